"""Scores in tests: a plug-in of pytest that does nothing until a test asks for `evalkit_run` or `evalkit_paper`.

    @pytest.mark.evalkit(pred="plans", gold="references")
    def test_planners(evalkit_run):
        assert_no_regression(evalkit_run, "main")

Importing it loads pytest and nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd

    from evalkit.settings import Settings
    from evalkit.storage.runs import Run

MARKER = "evalkit(pred, gold, config=None, **settings): what `evalkit_run` scores; paths as for `evalkit score`"
RUNS = pytest.StashKey[dict[str, Any]]()
Choices = dict[str, Any]


@dataclass(frozen=True)
class Paper:
    """One gold paper of a run: `scores` are its rows of papers.csv, one a planner; `pairs` its rows of pairs.csv."""

    paper: str
    scores: pd.DataFrame
    pairs: pd.DataFrame


def assert_no_regression(
    run: Run, baseline: Any, *, rules: str | Path | None = None, strict: bool = False, **choices: Any
) -> None:
    """Fail with the checks that trip where `evalkit gate` would end with 3.

    run: the new run, or its folder.
    baseline: a baseline's name or file, a run or its folder.
    rules: a gate's file; the one that ships where it is left out.
    strict: whether what is inconclusive fails.
    choices: what `evalkit.compare` takes by name: `renamed`, `force`, `seed`, ...
    """
    from evalkit.comparison import compare_for_gate, evaluate_gate, parse_gate
    from evalkit.storage.files import read_text, shipped

    __tracebackhide__ = True
    path = str(rules or shipped("configs/gate.toml"))
    gate = parse_gate(read_text(path), path)
    report = evaluate_gate(compare_for_gate(baseline, run, gate, **choices), gate, strict=strict)
    failing = [check for check in report.checks if report.fails(check)]
    lines = [f"{check.planner}: {check.name}: {check.verdict}: {check.message}" for check in failing]
    assert not failing, "\n  ".join([f"{len(failing)} of {len(report.checks)} checks fail", *lines])


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", MARKER)
    config.stash[RUNS] = {}


@pytest.fixture
def evalkit_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that the test's marker `evalkit` names, scored once a session."""
    return _run(request, tmp_path_factory)


@pytest.fixture
def evalkit_paper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Paper:
    """One paper of the run that the marker names; a test that asks for it is an item for each gold paper."""
    run, paper = _run(request, tmp_path_factory), request.param
    scores, pairs = (frame[frame["paper"] == paper].reset_index(drop=True) for frame in (run.papers, run.pairs))
    return Paper(paper, scores, pairs)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item of each gold paper for a test that asks for a paper."""
    if "evalkit_paper" not in metafunc.fixturenames:
        return
    from evalkit.errors import EvalkitError
    from evalkit.scoring.load import read_plans

    try:
        choices = _choices(metafunc.definition)
        plans = read_plans(choices.pop("gold"), _settings(choices), gold=True).plans
    except EvalkitError as error:
        pytest.fail(f"{metafunc.definition.nodeid}: {error}", pytrace=False)
    papers = sorted({plan.paper for plan in plans if plan.ablations})
    metafunc.parametrize("evalkit_paper", papers, indirect=True)


def _choices(item: Any) -> Choices:
    """Return the arguments of a test's marker, by name."""
    from evalkit.errors import InputError

    marker = item.get_closest_marker("evalkit")
    if marker is None:
        raise InputError("expected a marker: @pytest.mark.evalkit(pred=..., gold=...)")
    choices: Choices = dict(zip(("pred", "gold"), marker.args, strict=False)) | marker.kwargs
    if absent := [name for name in ("pred", "gold") if name not in choices]:
        raise InputError(f"expected {absent[0]}= in @pytest.mark.evalkit(...)")
    return choices


def _settings(choices: Choices) -> Settings:
    """Return the settings of a marker: those of its file, with what it names on top."""
    from evalkit.errors import SettingsError
    from evalkit.settings import Settings, parse_settings
    from evalkit.storage.files import read_text

    own = {name: value for name, value in choices.items() if name not in ("pred", "gold", "config")}
    config = choices.get("config")
    try:
        return (parse_settings(read_text(config), str(config)) if config else Settings()).with_options(own)
    except TypeError as error:
        raise SettingsError(f"@pytest.mark.evalkit(...): {error}") from error


def _run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the run of a test's marker; workers of xdist share its folder, and the first to finish writes it."""
    from evalkit.errors import EvalkitError, OutputError
    from evalkit.scoring.pipeline import score
    from evalkit.settings import fingerprint
    from evalkit.storage.files import is_there
    from evalkit.storage.runs import load_run

    top, runs = tmp_path_factory.getbasetemp(), request.config.stash[RUNS]
    top = top.parent if hasattr(request.config, "workerinput") else top
    try:
        choices = _choices(request.node)
        place = str(Path.cwd())  # of the relative paths among the choices
        key = fingerprint([place, {name: repr(value) for name, value in choices.items()}])[:12]
        folder = top / f"evalkit-{key}"
        if not is_there(folder):
            with suppress(OutputError):  # another worker was first
                score(str(choices["pred"]), str(choices["gold"]), _settings(choices), out=folder)
        if key not in runs:
            runs[key] = load_run(folder)
    except EvalkitError as error:
        pytest.fail(str(error), pytrace=False)
    return runs[key]  # type: ignore[no-any-return]
