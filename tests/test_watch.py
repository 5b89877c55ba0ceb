"""`evalkit watch`: what a save moved, reads that fail, and an end that leaves nothing half-written."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan

from evalkit.cli import group
from evalkit.comparison import snapshot_of
from evalkit.comparison.moved import Moved, moved
from evalkit.errors import InputError, SettingsError
from evalkit.formats import write_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run, load_run
from evalkit.types import Plan

ROOT = Path(__file__).resolve().parent.parent
GATE, MOMENTUM = entry("gate", metrics=["acc"]), entry("momentum encoder", metrics=["acc"])
GOLD = [gold(GATE, MOMENTUM, paper=paper) for paper in ("alpha", "beta")]
SECONDS = 60  # that a line is waited for, on a busy machine


def run_of(*plans: Plan) -> Run:
    return score_run(list(plans), GOLD, Settings(matcher="lexical", resamples=0))


def between(base: Run, new: Run) -> Moved:
    return moved(base, new, snapshot_of(base, "base"), snapshot_of(new, "new"))


def test_what_moved_is_the_headline_and_the_entries() -> None:
    other = plan(GATE, paper="alpha", planner="other")
    base = run_of(plan(GATE, paper="alpha"), plan(GATE, paper="beta"), other)
    new = run_of(plan(GATE, MOMENTUM, paper="alpha"), plan(MOMENTUM, paper="beta"), other)
    result = between(base, new)
    # alpha 2/3 to 1, beta 2/3 to 2/3.
    rows = result.planners.set_index("planner")["difference"].to_dict()
    assert rows == {"planner": pytest.approx(1 / 6), "other": 0}
    assert result.planners["planner"].tolist()[0] == "planner"
    entries = result.entries[["change", "paper", "gold_name"]].apply(tuple, axis=1).tolist()
    assert sorted(entries) == [
        ("gained", "alpha", "momentum encoder"), ("gained", "beta", "momentum encoder"), ("lost", "beta", "gate")
    ]  # fmt: skip
    assert not result.failed


def test_a_planner_that_comes_or_goes_has_no_difference() -> None:
    result = between(run_of(plan(GATE, paper="alpha", planner="a")), run_of(plan(GATE, paper="alpha", planner="b")))
    assert result.planners["difference"].isna().all()
    assert result.planners["planner"].tolist() == ["a", "b"]
    assert not len(result.entries)


def test_an_empty_plan_is_a_failed_read_and_a_missing_one_is_not() -> None:
    base = run_of(plan(GATE, paper="alpha"), plan(GATE, paper="beta"))
    assert between(base, run_of(plan(GATE, paper="alpha"), plan(paper="beta"))).failed
    gone = between(base, run_of(plan(GATE, paper="alpha")))
    assert not gone.failed
    assert gone.failures["kind"].tolist() == ["missing"]


def text(*entries: object, paper: str) -> str:
    return write_plans([plan(*entries, paper=paper, planner="")], "json")  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "plans" / "lm").mkdir(parents=True)
    for paper in ("alpha", "beta"):
        (tmp_path / "plans" / "lm" / f"{paper}.json").write_text(text(GATE, paper=paper), encoding="utf-8")
    (tmp_path / "gold.json").write_text(write_plans(GOLD, "json"), encoding="utf-8")
    return tmp_path


class Watching:
    """A running `evalkit watch`, and its lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self._lines = process, queue.Queue[str]()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)

    def until(self, words: str) -> list[str]:
        """Return the lines up to the first one with these words."""
        lines: list[str] = []
        while not lines or words not in lines[-1]:
            lines.append(self._lines.get(timeout=SECONDS))
        return lines

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C, and return the exit code and what was still printed."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(SECONDS)
        rest = ""
        while not self._lines.empty():
            rest += self._lines.get()
        return code, rest


@contextmanager
def watching(folder: Path, *words: str) -> Iterator[Watching]:
    command = [sys.executable, "-m", "evalkit", "watch", "plans", "--gold", "gold.json", "--matcher", "lexical",
               "--cache", "cache", *words]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:  # fmt: skip
        try:
            yield Watching(process)
        finally:
            process.kill()


def test_saves_move_the_score_and_broken_ones_do_not(project: Path) -> None:
    place = project / "plans" / "lm" / "alpha.json"
    with watching(project, "--out", "run") as watch:
        assert "lm  match F1 0.667" in watch.until("match F1")[-1]
        place.write_text(text(GATE, MOMENTUM, paper="alpha"), encoding="utf-8")
        lines = watch.until("gained")
        assert "alpha.json" in lines[0]
        assert "lm  match F1 0.833 (+0.167)" in lines[1]
        assert "+ gained lm · alpha: momentum encoder" in lines[2]
        good = load_run(project / "run")
        place.write_text('{"ablations": [', encoding="utf-8")
        lines = watch.until("alpha.json:1: error")
        assert "not read; the last good run stays" in lines[0]
        assert load_run(project / "run").signature == good.signature
        # The plan comes back, as many editors save it: a new file in the place of the old one.
        beside = project / "plans" / "lm" / ".alpha.json.swp"
        beside.write_text(text(MOMENTUM, paper="alpha"), encoding="utf-8")
        beside.replace(place)
        lines = watch.until("lost")
        assert "match F1 0.667 (-0.167)" in "".join(lines)  # against the last good run
        code, rest = watch.stop()
    assert code == 130
    assert "nothing is left half-written" in rest
    assert load_run(project / "run").leaderboard["match_f1"].tolist() == [pytest.approx(2 / 3)]
    assert sorted(path.name for path in project.iterdir()) == ["cache", "gold.json", "plans", "run"]


def test_gold_that_cannot_be_read_keeps_the_last_run(project: Path) -> None:
    before = (project / "gold.json").read_text(encoding="utf-8")
    with watching(project) as watch:
        watch.until("match F1")
        (project / "gold.json").write_text("[]", encoding="utf-8")
        assert "no gold paper with entries" in watch.until("the last good run stays")[-1]
        (project / "gold.json").write_text(before, encoding="utf-8")
        watch.until("nothing moved")
        assert watch.stop()[0] == 130
    assert not (project / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plans", "--gold", "gold.json", "--out", "plans/run"], "lies in plans, which is watched"),
        (["none", "--gold", "gold.json"], "none: no such file or folder"),
        (["plans", "--gold", "gold.json", "--config", "judge.toml"], "watch asks no language model"),
    ],
)
def test_what_cannot_be_watched(project: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.chdir(project)
    Path("judge.toml").write_text('[judge]\nmodels = ["m"]\n', encoding="utf-8")
    result = CliRunner().invoke(group, ["watch", *words])
    assert isinstance(result.exception, InputError | SettingsError)
    assert message in str(result.exception)


def test_without_the_extra_the_command_says_how_to_get_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    result = CliRunner().invoke(group, ["watch", str(project / "plans"), "--gold", str(project / "gold.json")])
    assert isinstance(result.exception, InputError)
    assert "[watch]" in str(result.exception)
