"""The plug-in of pytest, in a pytest of its own: silent until asked, one run a session, papers as items, xdist."""

from __future__ import annotations

import json
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent
GATE = {"name": "Gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["accuracy"]}
DECAY = {"name": "Decay", "ablated_part": "weight decay", "action": "REMOVE", "metrics": ["accuracy"]}
MARKED = """
import pytest
from evalkit.pytest_plugin import assert_no_regression

pytestmark = pytest.mark.evalkit(pred="{pred}", gold="gold", matcher="lexical", resamples=99)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Gold for six papers, the plans that are like it, and worse ones; both of one planner."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for number in range(6):
        write(pytester.path / "gold" / f"paper-{number}.json", [GATE, DECAY])
        write(pytester.path / "plans" / "model" / f"paper-{number}.json", [GATE, DECAY])
        if number:
            write(pytester.path / "worse" / "model" / f"paper-{number}.json", [GATE] if number > 2 else [])
    return pytester


def write(path: Path, entries: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ablations": entries}), encoding="utf-8")


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-q", "-p", "evalkit.pytest_plugin", "-p", "no:cacheprovider", *options)


def test_a_run_is_scored_once_and_shared(project: pytest.Pytester) -> None:
    project.makepyfile(
        MARKED.format(pred="plans")
        + """
runs = []

@pytest.mark.parametrize("time", [1, 2])
def test_run(evalkit_run, time):
    runs.append(evalkit_run)
    assert evalkit_run.leaderboard["match_f1"].tolist() == [1.0]
    assert all(run is runs[0] for run in runs)

def test_no_regression_against_itself(evalkit_run):
    assert_no_regression(evalkit_run, evalkit_run)
"""
    )
    run(project).assert_outcomes(passed=3)


@pytest.mark.slow
def test_the_same_marker_in_another_folder_is_another_run(project: pytest.Pytester) -> None:
    """Tests that work in folders of their own name their plans alike; the first one's run is not the second one's."""
    (project.path / "other").mkdir()
    (project.path / "gold").rename(project.path / "other" / "gold")
    (project.path / "gold").symlink_to("other/gold")
    (project.path / "worse").rename(project.path / "other" / "plans")
    project.makepyfile(
        MARKED.format(pred="plans")
        + """
@pytest.fixture(params=[".", "other"])
def place(request, monkeypatch):
    monkeypatch.chdir(request.param)
    return request.param

def test_run(place, evalkit_run):
    # On three of six papers one of two is found, P = 1, R = 1/2, F1 = 2/3; on three there is no plan.
    assert evalkit_run.leaderboard["match_f1"].round(4).tolist() == [1.0 if place == "." else 0.3333]
"""
    )
    run(project).assert_outcomes(passed=2)


def test_a_regression_fails_and_says_where(project: pytest.Pytester) -> None:
    """The worse plans cover half of the papers: match F1 is 0 on three and 2/3 on three (one of two found)."""
    project.makepyfile(
        MARKED.format(pred="worse")
        + """
import evalkit

def test_gate(evalkit_run):
    base = evalkit.score("plans", "gold", evalkit.Settings(matcher="lexical", resamples=99), out="base")
    assert evalkit_run.leaderboard["match_f1"].round(4).tolist() == [round((3 * 2 / 3) / 6, 4)]
    assert_no_regression(evalkit_run, "base", seed=1)
"""
    )
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*of 4 checks fail*", "*model: reading: coverage drops by at most 0: regressed: *"])


@pytest.mark.slow
def test_own_rules_and_strict(project: pytest.Pytester) -> None:
    (project.path / "lenient.toml").write_text("[[rule]]\nfloor = 0.1\n")
    (project.path / "sharp.toml").write_text("[[rule]]\nfloor = 0.9\n")
    project.makepyfile(
        MARKED.format(pred="worse")
        + """
def test_lenient(evalkit_run):
    assert_no_regression(evalkit_run, evalkit_run, rules="lenient.toml")

def test_sharp(evalkit_run):
    assert_no_regression(evalkit_run, evalkit_run, rules="sharp.toml")
"""
    )
    run(project).assert_outcomes(passed=1, failed=1)


PAPERS = """
def test_paper(evalkit_paper):
    assert evalkit_paper.scores["match_f1"].min() > 0.5
    assert set(evalkit_paper.pairs["status"]) == {"match"}
"""


def test_papers_are_items(project: pytest.Pytester) -> None:
    project.makepyfile(MARKED.format(pred="worse") + PAPERS.replace('== {"match"}', '>= {"match"}'))
    result = run(project, "-rA")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines(["PASSED *test_paper?paper-5?", "FAILED *test_paper?paper-0?*"])


def test_workers_of_xdist_agree(project: pytest.Pytester) -> None:
    project.makepyfile(MARKED.format(pred="plans") + PAPERS)
    result = run(project, "-p", "xdist.plugin", "-n", "2", "--basetemp", "temp")
    result.assert_outcomes(passed=6)
    assert len(list((project.path / "temp").glob("evalkit-*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("marker", "message"), [
    ("", "*expected a marker: @pytest.mark.evalkit(pred=..., gold=...)*"),
    ('@pytest.mark.evalkit(pred="plans")', "*expected gold= in @pytest.mark.evalkit(...)*"),
    ('@pytest.mark.evalkit("plans", "gold", matchr="x")', "*matchr*"),
    ('@pytest.mark.evalkit("plans", "gold", matcher="x")', "*expected one of hybrid, lexical, embedding*"),
    ('@pytest.mark.evalkit("nowhere", "gold")', "*nowhere*"),
])  # fmt: skip
def test_mistakes_are_named(project: pytest.Pytester, marker: str, message: str) -> None:
    project.makepyfile(f"import pytest\n\n{marker}\ndef test_run(evalkit_run):\n    pass\n")
    result = run(project)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([message])


def test_papers_without_a_marker_are_an_error(project: pytest.Pytester) -> None:
    project.makepyfile("def test_paper(evalkit_paper):\n    pass\n")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_paper: expected a marker*"])


def test_tests_that_do_not_ask_load_nothing(project: pytest.Pytester) -> None:
    project.makepyfile("""
import sys

def test_nothing():
    assert not {"pandas", "numpy", "evalkit.scoring"} & set(sys.modules)
""")
    run(project, "--strict-markers").assert_outcomes(passed=1)


def test_pytest_finds_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (name,) = project["entry-points"]["pytest11"].values()
    assert hasattr(import_module(name), "evalkit_run")
