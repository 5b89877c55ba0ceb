"""Differences that labels correct: worked by hand, by simulation, from baselines, at the gate, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from test_correction import papers

from evalkit import stats
from evalkit.cli import group
from evalkit.comparison import (
    GateReport,
    Snapshot,
    baseline_text,
    compare,
    evaluate_gate,
    parse_baseline,
    parse_gate,
    snapshot_of,
)
from evalkit.errors import InputError, SettingsError
from evalkit.report import ci, comparison_text, console
from evalkit.scoring.correction import shared_measure
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.label_files import LabelledPlan, Labels
from evalkit.storage.runs import Run
from evalkit.types import Plan

QUICK = Settings(matcher="lexical", resamples=199)
PAPERS = [f"p{number:02}" for number in range(14)]
GOLDS = [gold(entry("gate"), entry("weight of the loss"), paper=paper) for paper in PAPERS]


def scored(second: str, match: set[tuple[int, int]], labelled: int = 12, samples: str = "") -> Run:
    """A planner whose first entry the matcher sees and whose second it does not; labels of the first papers."""
    plans = [
        plan(entry("gate"), entry(second), paper=paper, planner="a", sample=sample)
        for paper in PAPERS
        for sample in samples or [""]
    ]
    rows = [
        LabelledPlan(
            item.paper, "a", GOLDS[0].ablations, item.ablations, frozenset(match), frozenset(match),
            sample=item.sample, sampling="papers",
        )
        for item in plans[: labelled * max(len(samples), 1)]
    ]  # fmt: skip
    return score_run(plans, GOLDS, QUICK, labels=Labels(rows))


BOTH, FIRST = {(0, 0), (1, 1)}, {(0, 0)}
BASE = snapshot_of(scored("balance parameter", BOTH), "base")
NEW = snapshot_of(scored("coffee machine", FIRST), "new")


def test_a_loss_that_the_matcher_does_not_see() -> None:
    found = compare(BASE, NEW, corrected=["match_f1", "match_recall_micro"])
    # The matcher sees one of two entries in both, F1 0.5; by the labels base has both of them, and new one.
    headline = found.headline[0]
    assert (headline.base, headline.new, headline.verdict) == (0.5, 0.5, "no change")
    # Only the primary figure has a verdict.
    for figure, role, verdict in (
        ("match_f1", "primary", "worse"),
        ("match_recall_micro", "exploratory", "exploratory"),
    ):
        change = found.change("a", f"{figure}_corrected")
        assert (change.base, change.new, change.difference) == (1, 0.5, -0.5)
        # Every labelled paper says the same, so no resample says anything else.
        assert (change.low, change.high, change.papers) == (-0.5, -0.5, 12)
        assert (change.role, change.verdict, change.is_significant) == (role, verdict, True)
        assert (change.p, change.p_holm) == (None, None)
    assert found.warnings == ()
    assert [item.figure for item in found.headline] == ["match_f1"]


def test_agreeing_labels_do_not_decide_unlabelled_papers() -> None:
    same = compare(BASE, BASE, corrected=["match_f1"]).corrected[0]
    assert (same.difference, same.low, same.high, same.verdict) == (0, 0, 0, "no change")
    # Paper 13 has no labels and lost what the matcher saw; the labels, the same for all, know of no difference.
    fewer = BASE.papers.copy()
    fewer.loc[fewer["paper"] == "p13", ["match_gold", "match_plan", "match_f1"]] = 0
    other = compare(BASE, replace(BASE, papers=fewer), corrected=["match_f1"]).corrected[0]
    assert (other.difference, other.verdict) == (0, "inconclusive")


def test_only_labels_that_both_have_count() -> None:
    few = snapshot_of(scored("coffee machine", FIRST, labelled=3), "few")
    found = compare(BASE, few, corrected=["match_f1"])
    assert found.corrected[0].papers == 3
    assert "few: only 3 papers are labelled: the corrected intervals say little" in found.warnings
    assert "a: 3 papers are labelled in both; the corrected interval says little" in found.warnings
    one = compare(BASE, snapshot_of(scored("coffee machine", FIRST, labelled=1), "one"), corrected=["match_f1"])
    assert (one.corrected[0].difference, one.corrected[0].verdict) == (None, "inconclusive")
    assert any("1 paper is labelled in both; match_f1_corrected needs two" in text for text in one.warnings)


def test_missing_labels_and_uncorrectable_figures_are_refused() -> None:
    plain = snapshot_of(score_run([Plan("p00", "a", GOLDS[0].ablations)], GOLDS, QUICK), "plain")
    for pair in ((plain, BASE), (BASE, plain)):
        with pytest.raises(InputError, match=r"plain has no labels: .* both sides scored with `evalkit score --labels"):
            compare(*pair, corrected=["match_f1"])
        assert compare(*pair).headline[0].defined  # labels on one side are no hindrance otherwise
    with pytest.raises(InputError, match="labels do not correct 'match_f2'; did you mean 'match_f1'"):
        compare(BASE, NEW, corrected=["match_f2"])
    broken = scored("coffee machine", FIRST)
    with pytest.raises(InputError, match=r"papers\.csv has no column label_match_f1"):
        snapshot_of(broken.replace(papers=broken.papers.drop(columns="label_match_f1")), "broken")


@pytest.mark.parametrize("samples", ["", "12"])
def test_run_folder_and_baseline_give_the_same(tmp_path: Path, samples: str) -> None:
    run = scored("balance parameter", BOTH, samples=samples)
    memory = replace(snapshot_of(run, "base"), doubts=("not random",))
    disk = snapshot_of(evalkit_load(run.save(tmp_path / "run")), "base")
    text = baseline_text(memory, "main")
    kept = parse_baseline(text, "main.json")
    assert baseline_text(kept, "main") == text
    assert kept.doubts == ("not random",)
    expected = [
        compare(side, NEW, corrected=["match_f1", "part_recall_micro"]).corrected for side in (memory, disk, kept)
    ]
    assert expected[0] == expected[1] == expected[2]
    assert expected[0][0].difference == -0.5
    assert "doubts" not in json.loads(baseline_text(NEW, "main"))


def evalkit_load(folder: Path) -> Run:
    from evalkit.storage.runs import load_run

    return load_run(folder)


@pytest.mark.parametrize(("times", "least", "most", "few"), [
    (40, 34, 40, 12),  # 95% of 40 are 38, give or take 1.4 at one standard deviation
    pytest.param(200, 180, 198, 60, marks=pytest.mark.slow),  # 95% of 200 are 190, give or take 3
])  # fmt: skip
def test_the_corrected_interval_covers(times: int, least: int, most: int, few: int) -> None:
    # Base matches an entry of four with a half, new with 0.4: the truth is -0.1. The matcher flatters new: it sees a
    # match more on every second paper. 80 papers, 30 of them labelled.
    rng, truth, inside = np.random.default_rng(1), -0.1, {"plain": 0, "corrected": 0}
    labelled = [True] * 30 + [False] * 50
    for _ in range(times):
        hits = [rng.binomial(4, chance, size=80) for chance in (0.5, 0.4)]
        seen = [hits[0], np.minimum(hits[1] + rng.integers(0, 2, size=80), 4)]
        base, new = (papers(list(a), list(h), labelled) for a, h in zip(seen, hits, strict=True))
        shared = shared_measure(base, new, "match_f1")
        assert shared is not None
        corrected = stats.differences([shared[0]], 0, 1, labelled=shared[1])[0]
        both = stats.macro(np.stack([base["match_f1"], new["match_f1"]], axis=1))
        plain = stats.differences([both], 0, 1)[0]
        for name, found in (("corrected", corrected), ("plain", plain)):
            inside[name] += found.low <= truth <= found.high
    assert least <= inside["corrected"] <= most, inside
    assert inside["plain"] < few, inside


def gate_report(rule: str, new: Snapshot = NEW) -> GateReport:
    gate = parse_gate(f"[[rule]]\n{rule}", "gate.toml")
    found = compare(BASE, new, metric=gate.metrics[0], figures=gate.metrics, corrected=gate.corrected)
    return evaluate_gate(found, gate)


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ("margin = 0.02", "pass"),
        ("margin = 0.02\ncorrected = true", "regressed"),
        ("margin = 0.5\ncorrected = true", "pass"),
        ("max_drop = 0.4\nsignificant = true\ncorrected = true", "regressed"),
        ("max_drop = 0.5\ncorrected = true", "pass"),
        ("metric = 'match_recall'\nfloor = 0.5\ncorrected = true", "pass"),
        ("metric = 'match_recall_micro'\nfloor = 0.6\ncorrected = true", "regressed"),
    ],
)
def test_a_rule_can_ask_for_the_corrected_difference(rule: str, verdict: str) -> None:
    report = gate_report(rule)
    assert [check.verdict for check in report.checks] == [verdict]


def test_the_gate_says_what_it_rests_on() -> None:
    check = gate_report("margin = 0.02\ncorrected = true").checks[0]
    assert check.name == "rule 1: match_f1_corrected not worse by more than 0.02"
    assert check.message == (
        "match_f1_corrected 1.000 → 0.500: -0.500 [-0.500, -0.500] over 12 labelled papers, by the interval"
    )
    one = snapshot_of(scored("coffee machine", FIRST, labelled=1), "one")
    for demand in ("margin = 0.02", "max_drop = 0.02", "floor = 0.1"):
        assert gate_report(f"{demand}\ncorrected = true", one).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("margin = 0.1\ncorrected = 1", "corrected = 1: expected true or false"),
        ("metric = 'coverage'\nmargin = 0.1\ncorrected = true", "labels do not correct 'coverage', only match_f1,"),
        ("margin = 0.1\npaper_floor = 0.1\ncorrected = true", "goes with margin, max_drop, floor; give paper_floor a"),
    ],
)
def test_rules_that_ask_for_what_there_is_not(rule: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=r"gate.toml: rule 1: ") as refused:
        parse_gate(f"[[rule]]\n{rule}", "gate.toml")
    assert expected in str(refused.value)


def test_every_output_shows_corrections_without_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(BASE, NEW, corrected=["match_f1"])
    console.show(comparison_text.comparison(found))
    for text in (capsys.readouterr().out, ci.comparison_markdown(found)):
        assert "match_f1_corrected" in text
        assert "-0.500 [-0.500, -0.500]" in text
        assert "the 95% interval decides" in " ".join(text.split())
    assert "labels" not in ci.comparison_markdown(compare(BASE, NEW))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    scored("balance parameter", BOTH).save("base")
    scored("coffee machine", FIRST).save("new")
    Path("gate.toml").write_text("[[rule]]\nmargin = 0.02\ncorrected = true\n")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(group, words)
        return done.exit_code, done.output + str(done.exception or "")

    return run


def test_the_command_line(command: Callable[..., tuple[int, str]]) -> None:
    code, out = command("compare", "base", "new", "--corrected", "--json")
    assert (code, json.loads(out)["corrected"][0]["difference"]) == (0, -0.5)
    assert command("baseline", "set", "base")[0] == 0
    code, out = command("gate", "main", "new", "--config", "gate.toml")
    assert "gate tripped: 1 checks, 1 regressed" in out
    assert code != 0
    assert command("gate", "main", "base", "--config", "gate.toml")[0] == 0
    code, out = command("compare", "base", "new", "--corrected", "--metric", "action_agreement")
    assert "labels do not correct 'action_agreement'" in out
