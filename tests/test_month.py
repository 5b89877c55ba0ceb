"""A made-up month with known differences, of the gold that ships: history finds the steps, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import SHARED, requires_shared_data

from evalkit.cli import group

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "make_month.py"


def made(folder: Path, *more: str) -> dict[str, Any]:
    subprocess.run([sys.executable, str(SCRIPT), str(folder), *more], check=True, capture_output=True)
    return dict(json.loads((folder / "found.json").read_text()))


def check(found: dict[str, Any], prompts: int) -> None:
    assert found["runs that may be compared"] == [prompts, prompts]
    assert found["runs apart"] == [2, 2]
    steps, verdicts = found["steps, by the corrected test against the run before"]
    # The largest step is found, and nothing is called a step that is none, or the wrong way.
    assert verdicts.items() <= steps.items()
    assert verdicts[max(steps, key=int)] == "better"
    true, said = found["runs that are better than the best before them"]
    assert set(said) <= set(true)
    top, best = found["the best run is one of"]
    assert best in top
    assert found["probability that one of these is best"][1] > 0.95
    true, turns = found["the entry that is lost for good"]
    assert turns[0] == true


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "month"
    made(folder, "--prompts", "14")
    return folder


@pytest.mark.slow
def test_history_finds_what_was_made(month: Path) -> None:
    check(json.loads((month / "found.json").read_text()), 14)


@pytest.mark.slow
def test_the_commands_show_it(month: Path, tmp_path: Path) -> None:
    words = ("history", str(month / "runs"), "--planner", "lm/large")
    text = CliRunner().invoke(group, words, catch_exceptions=False).output
    assert text.count("not comparable with the runs above") == 2
    assert "alignment is group here and one-to-one above" in text
    assert "13 runs were held against the one before" in text
    entries = CliRunner().invoke(group, (*words, "--entries", "--format", "csv"), catch_exceptions=False).output
    paper = json.loads((month / "truth.json").read_text())["lost"][0]
    assert f",{paper}," in entries
    CliRunner().invoke(group, (*words, "--plot", str(tmp_path / "trend.svg")), catch_exceptions=False)
    assert "prompt-13" in (tmp_path / "trend.svg").read_text()
    chosen = CliRunner().invoke(group, (*words, "--tag", "style=short", "--json"), catch_exceptions=False).output
    assert [row["run"] for row in json.loads(chosen)["rows"]][:3] == ["prompt-00", "prompt-03", "prompt-06"]


def test_the_docs_show_what_it_prints(month: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (SCRIPT.parent.parent / "docs" / "history.md").read_text(encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    for more in ((), ("--entries",)):
        words = ("history", str(month / "runs"), "--planner", "lm/large", *more)
        text = CliRunner().invoke(group, words, catch_exceptions=False).output
        assert "\n".join(line.rstrip() for line in text.splitlines()) in page


@requires_shared_data
@pytest.mark.slow
def test_history_finds_what_was_made_among_published_plans(tmp_path: Path) -> None:
    check(made(tmp_path / "month", "--trajectories", str(SHARED / "data")), 40)
