"""Plug-ins by entry points: the package in examples/plugin, built, unpacked beside evalkit and used by the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from forked import evalkit_command

from evalkit.errors import InputError
from evalkit.matching.plugged import PluginMatcher
from evalkit.types import Ablation

ROOT = Path(__file__).resolve().parent.parent
# Three gold entries. By words, the plan's first has 2 of 3 words of "sparse gate" (a match from 0.5 on), its second the
# part of the second under another action, and the third is missed.
GOLD = [
    {"name": "Gate", "ablated_part": "sparse gate", "action": "REMOVE"},
    {"name": "Decay", "ablated_part": "weight decay", "action": "REMOVE"},
    {"name": "Warmup", "ablated_part": "learning rate warmup", "action": "REMOVE"},
]
PLAN = "%plan\nREMOVE the sparse gate\nADD weight decay: 0.1; 0.2\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as an installed package: a folder with its module and its metadata."""
    work = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "examples" / "plugin", work / "source")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work)]
    subprocess.run(build, cwd=work / "source", check=True, capture_output=True)
    (wheel,) = work.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(work / "site")
    return work / "site"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        path = tmp_path / "gold" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"ablations": GOLD}))
        (tmp_path / "plans" / "model").mkdir(parents=True, exist_ok=True)
        (tmp_path / "plans" / "model" / f"{name}.plan").write_text(PLAN)
    return tmp_path


def evalkit(project: Path, *words: str, site: Path | None = None, code: int = 0) -> str:
    env = {**os.environ, "XDG_CACHE_HOME": str(project / "cache"), "COLUMNS": "120"}
    done = evalkit_command(words, project, env, [str(site)] if site else [])
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


SCORE = ("score", "--pred", "plans", "--gold", "gold", "--matcher", "words", "--resamples", "99")


def test_a_format_and_a_matcher_of_ones_own(installed: Path, project: Path) -> None:
    """Of three gold entries one matches, by one of two plan entries: F1 is 2 * 1 / (3 + 2); parts have 2 * 2 / 5."""
    text = evalkit(project, *SCORE, "--out", "run", "--json", site=installed)
    run = json.loads(text[text.index("{") : text.rindex("}") + 1])
    (row,) = run["leaderboard"]
    assert (row["match_f1"], row["part_f1"]) == (pytest.approx(0.4), pytest.approx(0.8))
    signature = run["signature"]
    assert (signature["matcher"], signature["calibration"]) == ("words", "evalkit-example==1.0-jaccard")
    assert (signature["model"], signature["thresholds"]) == ("none", "0.5/0.5")
    again = evalkit(project, *SCORE, "--engine", "processes", "--workers", "2", "--out", "again", site=installed)
    assert "0.400" in again
    # Where the package is not installed, what it made can be read, and its own files are passed over.
    assert "0.400" in evalkit(project, "table", "run")
    assert "no documents" in evalkit(project, *SCORE[:5], code=2)


def test_thresholds_of_the_settings_hold_for_plugins(installed: Path, project: Path) -> None:
    """Two words of three are 0.667: below 0.7, so only the other part is shared, and nothing matches."""
    (project / "settings.toml").write_text("part_threshold = 0.7\nmatch_threshold = 0.7\n")
    evalkit(project, *SCORE, "--config", "settings.toml", "--out", "run", site=installed)
    pairs = (project / "run" / "pairs.csv").read_text()
    assert "match," not in pairs
    assert "part," in pairs


def test_figures_and_exports_of_ones_own(installed: Path, project: Path) -> None:
    """In base, one of two shared parts matches on both papers. In new, both do on the second: 3/4 on the mean."""
    evalkit(project, *SCORE, "--out", "base", site=installed)
    (project / "plans" / "model" / "two.plan").write_text("%plan\nREMOVE sparse gate\nREMOVE weight decay\n")
    evalkit(project, *SCORE, "--out", "new", site=installed)
    table = evalkit(project, "table", "new", "--columns", "match_given_part,match_given_part_micro", site=installed)
    assert table.count("0.750") == 2
    text = evalkit(project, "compare", "base", "new", "--metric", "match_given_part", "--json", site=installed)
    (change,) = json.loads(text)["planners"]
    assert (change["base"], change["new"]) == (pytest.approx(1 / 2), pytest.approx(3 / 4))
    (project / "gate.toml").write_text('[[rule]]\nmetric = "match_given_part"\nfloor = 0.9\n')
    words = ("gate", "base", "new", "--config", "gate.toml")
    assert "match_given_part at least 0.9" in evalkit(project, *words, site=installed, code=3)
    evalkit(project, "export", "new", "--to", "missed", "--out", "out", site=installed)
    found = (project / "out" / "model.txt").read_text().splitlines()
    assert sorted(found) == ["one: Warmup", "two: Warmup"]


def test_agreement_is_measured_and_nothing_is_fitted(installed: Path, project: Path) -> None:
    """The labels say that both pairs of equal parts match; the matcher finds the first of them: P 1, R 1/2."""
    plan = [{"name": "a", "ablated_part": "sparse gate", "action": "REMOVE"},
            {"name": "b", "ablated_part": "weight decay", "action": "ADD"}]  # fmt: skip
    row = {"paper": "p", "planner": "m", "gold": GOLD[:2], "plan": plan, "match": [[0, 0], [1, 1]], "same_part": []}
    (project / "labels.jsonl").write_text(json.dumps(row) + "\n")
    text = evalkit(project, "agree", "--labels", "labels.jsonl", "--matcher", "words", "--json", site=installed)
    match = json.loads(text)["match"]
    assert (match["precision"], match["recall"]) == (1.0, 0.5)
    words = ("calibrate", "--labels", "labels.jsonl", "--matcher", "words", "--out", "x.json")
    assert "a plug-in, which has no calibration to fit" in evalkit(project, *words, site=installed, code=2)


def test_what_is_there_is_listed_and_named_in_mistakes(installed: Path, project: Path) -> None:
    assert "plug-in matchers" in evalkit(project, "doctor", site=installed)
    assert "lines" in evalkit(project, "formats", site=installed)
    assert "plug-in" not in evalkit(project, "doctor")
    words = ("score", "--pred", "plans", "--gold", "gold", "--matcher", "word")
    assert "'words'" in evalkit(project, *words, site=installed, code=2)
    assert "'words'" not in evalkit(project, *words, code=2)
    calibrated = (*SCORE, "--calibration", "x.json")
    assert "is a plug-in, which has none" in evalkit(project, *calibrated, site=installed, code=2)


def test_rewards_by_a_figure_of_ones_own(installed: Path, project: Path) -> None:
    code = """
import sys, evalkit
from evalkit.types import Plan
gold = evalkit.read_plans("gold/one.json", gold=True).plans[0]
own = evalkit.Settings(matcher="lexical")
assert "evalkit_example" not in sys.modules, "loaded without need"
reply = '[{"ablated_part": "sparse gate", "action": "REMOVE"}]'
print(evalkit.Scorer(own, cache=None).reward(reply, gold, "match_given_part"))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT)))}
    done = subprocess.run([sys.executable, "-c", code], cwd=project, env=env, capture_output=True, text=True)
    assert float(done.stdout) == 1, done.stderr


def test_a_plugin_that_cannot_be_loaded_is_named(installed: Path, project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    (broken / "evalkit_example.py").write_text("import no_such_module_at_all\n")
    text = evalkit(project, *SCORE, site=broken, code=2)
    assert "of evalkit-example==1.0 cannot be loaded: ModuleNotFoundError" in text


def decide(part: object, match: object) -> PluginMatcher:
    def function(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> object:
        return part, match

    return PluginMatcher("own", "package==1", function)


@pytest.mark.parametrize(("part", "match", "message"), [
    ([[1.0]], [[0.5, 0.5]], r"expected tables of shape \(1, 1\), found \(1, 2\)"),
    ([[1.5]], [[0.5]], "expected probabilities from 0 to 1"),
    ([[np.nan]], [[0.5]], "expected probabilities from 0 to 1"),
    ([[0.5]], [[0.7]], "expected a match to be no likelier than its part"),
    ([["x"]], [[0.7]], "expected two tables of numbers"),
])  # fmt: skip
def test_wrong_answers_are_refused(part: object, match: object, message: str) -> None:
    one = [Ablation("a", "a")]
    with pytest.raises(InputError, match=f"the matcher 'own' of package==1: {message}"):
        decide(part, match)(one, one)


def test_empty_lists_are_not_asked_about() -> None:
    part, match = decide(None, None)([Ablation("a", "a")], [])
    assert part.shape == match.shape == (1, 0)
