"""The gate: each demand, what inconclusive means, exit codes, and the files that CI reads."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import entry, gold, plan
from scipy.stats import t as student

from evalkit import cli
from evalkit.comparison import Check, GateReport, Snapshot, compare, evaluate_gate, parse_gate, snapshot_of
from evalkit.comparison.outlook import trip_rates
from evalkit.errors import InputError, SettingsError
from evalkit.report import ci
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.files import shipped
from evalkit.types import Ablation, Diagnostic, Plan, entry_tree

ROOT = Path(__file__).resolve().parent.parent
LEXICAL = Settings(matcher="lexical", resamples=999)
GATE, WARMUP = entry("gate", metrics=["accuracy"]), entry("optimizer warmup", "REPLACE", ["none"])
BOTH = (GATE, WARMUP)
PAPERS = [f"paper {letter}" for letter in "abcdefghijkl"]
GOLDS = [gold(*BOTH, paper=paper) for paper in PAPERS]


def plans(entries: tuple[Ablation, ...] = BOTH, planner: str = "p", **different: tuple[Ablation, ...]) -> list[Plan]:
    return [plan(*different.get(paper[-1], entries), paper=paper, planner=planner) for paper in PAPERS]


def side(given: list[Plan], name: str = "side") -> Snapshot:
    return snapshot_of(score_run(given, GOLDS, LEXICAL), name)


FULL, ONE_LOST, ALL_LOST = side(plans()), side(plans(a=(GATE,))), side(plans((GATE,)))
NONE_FOR_A = side(plans(a=()))


def gate_report(
    rule: str, new: Snapshot, base: Snapshot = FULL, *, strict: bool = False, choices: str = ""
) -> GateReport:
    gate = parse_gate(f"{choices}\n[[rule]]\n{rule}", "gate.toml")
    return evaluate_gate(compare(base, new, metric=gate.metrics[0], figures=gate.metrics), gate, strict=strict)


@pytest.mark.parametrize(
    ("rule", "new", "verdict"),
    [
        # Every paper falls from 1 to 2/3: the interval is -1/3 at both ends.
        ("margin = 0.34", ALL_LOST, "pass"),
        ("margin = 0.33", ALL_LOST, "regressed"),
        # One of twelve falls by 1/3: -1/36 = -0.028, and the interval reaches from about -0.1 to 0.
        ("margin = 0.0", FULL, "pass"),
        ("margin = 0.01", ONE_LOST, "inconclusive"),
        ("margin = 0.2", ONE_LOST, "pass"),
        ("margin = 1", ALL_LOST, "pass"),
        ("max_drop = 0.02", ONE_LOST, "regressed"),
        ("max_drop = 0.03", ONE_LOST, "pass"),
        ("max_drop = 0.02\nsignificant = true", ONE_LOST, "inconclusive"),
        ("max_drop = 0.02\nsignificant = true", ALL_LOST, "regressed"),
        ("max_drop = 0.4\nsignificant = true", ALL_LOST, "pass"),
        ("metric = 'match_recall_micro'\nfloor = 0.95", ONE_LOST, "pass"),  # 23/24 = 0.958
        ("metric = 'match_recall_micro'\nfloor = 0.96", ONE_LOST, "regressed"),
        ("metric = 'match_precision'\nmargin = 0.0", ONE_LOST, "pass"),
        ("coverage = 0.92", NONE_FOR_A, "regressed"),  # 11/12 = 0.917
        ("coverage = 0.91", NONE_FOR_A, "pass"),
        ("paper_floor = 0.6", ONE_LOST, "pass"),  # 2/3
        ("paper_floor = 0.7", ONE_LOST, "regressed"),
        ("paper_max_drop = 0.34", ONE_LOST, "pass"),
        ("paper_max_drop = 0.3", ONE_LOST, "regressed"),
        ("metric = 'match_recall_micro'\npaper_max_drop = 0.4", ONE_LOST, "regressed"),  # 1 to 1/2
        ("new_parse_failures = 0", NONE_FOR_A, "regressed"),
        ("new_parse_failures = 1", NONE_FOR_A, "pass"),
        ("must_match = ['paper a/gate', 'Paper-A/Optimizer  Warmup']", FULL, "pass"),
        ("must_match = ['paper a/optimizer warmup']", ONE_LOST, "regressed"),
        ("must_match = ['paper b/optimizer warmup']", ONE_LOST, "pass"),
    ],
)
def test_each_demand(rule: str, new: Snapshot, verdict: str) -> None:
    report = gate_report(rule, new)
    assert (report.verdict, len(report.checks)) == (verdict, 1), report.checks
    assert report.tripped == (verdict == "regressed")


def test_figures_that_rules_test_are_corrected_for_their_number() -> None:
    """Recall falls on all twelve papers, precision on none: each p is of two tests, and the drop is sure."""
    rules = "".join(
        f"[[rule]]\nmetric = '{name}'\nmax_drop = 0.02\nsignificant = true\n"
        for name in ("match_f1", "match_recall", "match_precision", "match_recall")
    )
    gate = parse_gate(f"{rules}[[rule]]\nmetric = 'part_f1'\nmax_drop = 0.02\n", "gate.toml")
    assert gate.tested == ("match_recall", "match_precision")
    assert [gate.tests(rule, 3) for rule in gate.rules] == [3, 6, 6, 6, 3]
    found = compare(FULL, ALL_LOST, figures=gate.metrics, tested=gate.tested, resamples=4096)
    assert found.change("p", "match_recall").p_holm == 2 / 4096
    report = evaluate_gate(found, gate)
    assert [check.verdict for check in report.checks] == ["regressed", "regressed", "pass", "regressed", "regressed"]
    # A comparison that was not told of the rules has no verdicts on them; the gate knows by the test all the same.
    untold = compare(FULL, ALL_LOST, figures=gate.metrics, resamples=4096)
    assert untold.change("p", "match_recall").verdict == "exploratory"
    assert [check.verdict for check in evaluate_gate(untold, gate).checks] == [c.verdict for c in report.checks]


def test_the_correction_is_a_choice_of_gate_and_compare(evalkit: Command) -> None:
    Path("gate.toml").write_text("[gate]\ncorrection = 'bh'\n[[rule]]\nmax_drop = 0.02\nsignificant = true\n")
    document = json.loads(evalkit("gate", "full", "all", "--config", "gate.toml", "--json")[1])["comparison"]
    assert (document["correction"], document["planners"][0]["p_holm"]) == ("bh", None)
    words = ("compare", "full", "all", "--json")
    assert json.loads(evalkit(*words)[1])["correction"] == "holm"
    assert json.loads(evalkit(*words, "--correction", "bh")[1])["correction"] == "bh"


def test_no_plan_may_be_lost_by_a_rule_on_coverage(evalkit: Command) -> None:
    """`max_drop = 0` on coverage: one lost of twelve plans is 1/12, without a test; none lost or one gained passes."""
    Path("gate.toml").write_text("[[rule]]\nmetric = 'coverage'\nmax_drop = 0\n")
    score_run(plans(a=()), GOLDS, LEXICAL).save("lost")
    lost = ("gate", "full", "lost", "--config", "gate.toml", "--json")
    code, out, _ = evalkit(*lost)
    (check,) = json.loads(out)["checks"]
    assert (code, check["verdict"], check["demand"]) == (3, "regressed", "coverage drops by at most 0")
    assert check["said"].startswith("coverage 1.000 → 0.917: -0.083")
    for base, new in (("full", "full"), ("lost", "lost"), ("lost", "full"), ("full", "one")):
        assert evalkit("gate", base, new, "--config", "gate.toml")[0] == 0
    # --margin allows a drop of figures, and not of coverage.
    assert evalkit(*lost, "--margin", 1)[0] == 3


def test_inconclusive_passes_by_default_and_states_its_power() -> None:
    rule = "margin = 0.01"
    assert not gate_report(rule, ONE_LOST).tripped
    assert gate_report(rule, ONE_LOST, choices="[gate]\ninconclusive = 'fail'").tripped
    strict = gate_report(rule, ONE_LOST, strict=True)
    assert (strict.verdict, strict.tripped) == ("inconclusive", True)
    # Of -1/36 the standard error is 1/36; t(0.975, 11) + t(0.8, 11) = 2.200985 + 0.875530: 3.076515 / 36 = 0.0855, and
    # 12 * (0.085459 / 0.01)^2 = 876.4.
    assert strict.checks[0].details == (
        "with 12 papers, a test finds differences from 0.085 on (80% power at 5%)",
        "a run of about 877 papers would find a difference of 0.01",
    )


def test_strict_takes_any_sure_drop_for_a_regression() -> None:
    assert gate_report("margin = 0.5", ALL_LOST).verdict == "pass"
    assert gate_report("margin = 0.5", ALL_LOST, strict=True).verdict == "regressed"


TENTHS = [entry(part) for part in (
    "shifted window attention", "relative position bias", "dropout rate", "label smoothing", "momentum encoder",
    "optimizer warmup", "contrastive clustering", "graph pooling", "beam search width", "tokenizer vocabulary",
)]  # fmt: skip
ELSE = [entry(part) for part in (
    "audio resampling filter", "satellite imagery crop", "protein folding template", "chess opening book",
    "weather station grid", "coffee roasting curve", "violin tuning peg", "glacier snow season", "parking meter coin",
    "lighthouse lens",
)]  # fmt: skip


def tenths(*hits: int) -> Snapshot:
    """A planner whose F1 on each paper is so many tenths: ten entries in gold, ten in the plan, so many the same."""
    golds = [gold(*TENTHS, paper=paper) for paper, _ in zip(PAPERS, hits, strict=False)]
    given = [
        plan(*TENTHS[:count], *ELSE[count:], paper=paper, planner="p")
        for paper, count in zip(PAPERS, hits, strict=False)
    ]
    return snapshot_of(score_run(given, golds, LEXICAL), "tenths")


@pytest.mark.parametrize(
    ("rule", "base", "new", "verdict"),
    [
        # The mean of 0.3, 0.2 and 0.1 is 0.2; as floats it is 0.19999999999999998.
        ("floor = 0.2", (3, 2, 1), (3, 2, 1), "pass"),
        ("floor = 0.2001", (3, 2, 1), (3, 2, 1), "regressed"),
        ("paper_floor = 0.1", (3, 2, 1), (3, 2, 1), "pass"),
        # 0.1 less on every paper: the interval is -0.1 at both ends, but for what rounding makes of it.
        ("margin = 0.1", (4, 5, 6, 7, 4, 5), (3, 4, 5, 6, 3, 4), "pass"),
        ("margin = 0.0999", (4, 5, 6, 7, 4, 5), (3, 4, 5, 6, 3, 4), "regressed"),
        ("max_drop = 0.1", (4, 5, 6, 7, 4, 5), (3, 4, 5, 6, 3, 4), "pass"),
    ],
)
def test_what_is_at_a_limit_passes(rule: str, base: tuple[int, ...], new: tuple[int, ...], verdict: str) -> None:
    report = gate_report(rule, tenths(*new), tenths(*base))
    assert [check.verdict for check in report.checks] == [verdict], report.checks


def test_the_same_drop_on_every_paper_says_nothing_of_what_could_be_seen() -> None:
    """Differences without spread have no standard error: a dash, not 0.000."""
    (change,) = compare(tenths(4, 5, 6, 7, 4, 5), tenths(3, 4, 5, 6, 3, 4), figures=()).headline
    assert (change.difference, change.low, change.high) == (pytest.approx(-0.1),) * 3
    assert (change.standard_error, change.detectable, change.papers_needed) == (0.0, None, None)


def test_a_floor_of_every_paper_holds_on_papers_that_only_new_has() -> None:
    """With --missing skip, base leaves out paper c, for which it has no plan; on it, new has 0."""
    skip, golds = replace(LEXICAL, missing="skip"), [gold(*TENTHS, paper=paper) for paper in PAPERS[:3]]
    good = [plan(*TENTHS, paper=paper, planner="p") for paper in PAPERS[:2]]
    base = snapshot_of(score_run(good, golds, skip), "base")
    new = snapshot_of(score_run([*good, plan(*ELSE, paper=PAPERS[2], planner="p")], golds, skip), "new")
    (check,) = gate_report("paper_floor = 0.5", new, base).checks
    assert (check.verdict, check.message, check.details) == (
        "regressed", "1 of 3 papers are below", ("paper c: 0.000",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "choices", "strict", "trips_from"),
    [
        # One of twelve papers falls by 1/3: an error of 1/36, and t(0.975, 11) = 2.200985 of it are 0.061138.
        ("margin = 0.05", "", False, 0.05 + 2.200985 / 36),
        # Inconclusive trips: what is not wholly above -0.05.
        ("margin = 0.05", "[gate]\ninconclusive = 'fail'", False, 0.05 - 2.200985 / 36),
        ("margin = 0.05", "", True, 0.05 - 2.200985 / 36),
        # --strict also trips on a drop that is sure, which comes first where the margin is wide.
        ("margin = 0.2", "", True, 2.200985 / 36),
        ("margin = 0.2", "[gate]\ninconclusive = 'fail'", False, 0.2 - 2.200985 / 36),
        ("max_drop = 0.02\nsignificant = true", "", False, 2.200985 / 36),
        ("max_drop = 0.02\nsignificant = true", "", True, 0.02),
        # What a rule trips on without a test counts as well.
        ("margin = 0.05\nmax_drop = 0.02", "", False, 0.02),
    ],
)
def test_the_outlook_is_that_of_the_rules_as_they_are_applied(
    rule: str, choices: str, strict: bool, trips_from: float
) -> None:
    (outlook,) = gate_report(rule, ONE_LOST, choices=choices, strict=strict).outlook
    # The difference is t about the true one: without a drop it is below -limit so often, with one of 0.1 so often.
    assert outlook.alarms == pytest.approx(student.cdf(-trips_from * 36, 11), abs=1e-6)
    assert outlook.catches[-1] == (0.1, pytest.approx(student.cdf((0.1 - trips_from) * 36, 11), abs=1e-6))


def test_nothing_is_foreseen_where_no_rule_can_tell() -> None:
    """Four papers have no interval. On five, one test can be below 5% (1/32), but not when two are corrected for."""
    assert gate_report("margin = 0.05", tenths(1, 2, 3, 5), tenths(2, 3, 4, 4)).outlook == ()
    one = gate_report("max_drop = 0.01\nsignificant = true", tenths(1, 2, 3, 5, 5), tenths(2, 3, 4, 4, 6))
    # Four differences of -0.1 and one of 0.1: s^2 = (4 * 0.04^2 + 0.16^2) / 4 = 0.008, an error of 0.04; t(0.975, 4).
    assert one.outlook[0].catches[-1][1] == pytest.approx(student.cdf(0.1 / 0.04 - 2.776445, 4), abs=1e-6)
    rule = parse_gate("[[rule]]\nmax_drop = 0.01\nsignificant = true", "gate.toml").rules[0]
    assert trip_rates(rule, 0.02, 5, 2, (0.0, 0.1), unsure=False) == (0.0, 0.0)
    # Of figures that labels correct, the interval decides, planner by planner.
    labelled = replace(rule, corrected=True)
    assert parse_gate("[[rule]]\nmax_drop = 0.01\nsignificant = true\ncorrected = true", "g").tests(labelled, 7) == 1


def test_each_demand_checks_each_matching_planner() -> None:
    base = side([*plans(planner="lab/a"), *plans(planner="lab/b"), *plans(planner="other")])
    new = side([*plans(planner="lab/a"), *plans((GATE,), "lab/b"), *plans((), "other")])
    report = gate_report("planner = 'lab/*'\nmargin = 0.1\ncoverage = 1", new, base)
    assert [(check.planner, check.verdict) for check in report.checks] == [
        ("lab/a", "pass"), ("lab/b", "regressed"), ("lab/a", "pass"), ("lab/b", "pass"),
    ]  # fmt: skip
    assert len({(check.planner, check.name) for check in report.checks}) == 4


def test_a_missing_planner_is_a_regression_by_default() -> None:
    base = side([*plans(planner="kept"), *plans(planner="gone")])
    new = side(plans(planner="kept"))
    report = gate_report("margin = 0.1", new, base)
    assert [(check.planner, check.name, check.verdict) for check in report.checks] == [
        ("kept", "rule 1: match_f1 not worse by more than 0.1", "pass"), ("gone", "planners: present", "regressed"),
    ]  # fmt: skip
    assert not gate_report("margin = 0.1", new, base, choices="[gate]\nmissing_planners = 'pass'").tripped
    assert not gate_report("planner = 'kept'\nmargin = 0.1", new, base).tripped


def test_a_binary_file_is_a_new_parse_failure() -> None:
    run = score_run(plans(a=()), GOLDS, LEXICAL)
    row = {"severity": "error", "code": "not-text", "path": "p/paper a.md", "message": "expected text"}
    found = run.replace(diagnostics=run.diagnostics.iloc[:0])
    worse = run.replace(diagnostics=run.diagnostics.iloc[:0].reindex([0]).assign(**row))
    report = gate_report("new_parse_failures = 0", snapshot_of(worse, "new"), snapshot_of(found, "base"))
    assert report.checks[0].details == ("a document: entries-left-out (0 → 1)",)


def _no_text(place: Path) -> None:
    place.write_bytes(b"\0\1\2")


def _too_large(place: Path) -> None:
    place.touch()
    os.truncate(place, 1 << 30)


UNREAD: dict[str, Callable[[Path], object]] = {
    "no-text": _no_text,
    "too-large": _too_large,
    "pipe": os.mkfifo,
    "dangling": lambda place: place.symlink_to("nowhere"),
    "garbage": lambda place: place.write_text("nothing of a plan"),
    "no-table": lambda place: place.with_suffix(".parquet").write_bytes(b"PAR1"),
    "no-entries": lambda place: place.write_text('{"ablations": [7]}'),
}


@pytest.mark.parametrize("kind", UNREAD)
@pytest.mark.parametrize("paper", ["a", "unknown"])
def test_a_plan_that_cannot_be_read_fails_the_planner_that_its_path_names_and_no_other(
    tmp_path: Path, kind: str, paper: str
) -> None:
    snapshots = []
    for name in ("base", "new"):
        write_plans(str(tmp_path / name), [Plan(x, planner, BOTH) for planner, x in product(("p", "lab/q"), "ab")])
        if name == "new":
            place = tmp_path / name / "lab/q" / f"{paper}.json"
            place.unlink(missing_ok=True)
            UNREAD[kind](place)
        golds = [gold(*BOTH, paper=letter) for letter in "ab"]
        run = score_run(tmp_path / name, golds, LEXICAL)
        if name == "new" and paper == "a":
            assert run.papers["status"].tolist() == ["unreadable", *["planned"] * 3]
        snapshots.append(snapshot_of(run, name))
    report = gate_report("new_parse_failures = 0", snapshots[1], snapshots[0])
    assert {check.planner: check.verdict for check in report.checks} == {"lab/q": "regressed", "p": "pass"}


def test_rules_that_could_not_hold_anything_are_refused() -> None:
    with pytest.raises(InputError, match="rule 1: no planner is like 'lb/\\*'"):
        gate_report("planner = 'lb/*'\nmargin = 0.1", FULL)
    with pytest.raises(InputError, match="gold has no entry 'paper a/gat'; did you mean 'paper a/gate'"):
        gate_report("must_match = ['paper a/gat']", FULL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no rule"),
        ("[[rule]]\n", "rule 1: demands nothing"),
        ("[[rule]]\nmargn = 0.1", "rule 1: no key of a rule is called 'margn'; did you mean 'margin'?"),
        ("[[rules]]\nmargin = 0.1", "no table is called 'rules'; did you mean 'rule'?"),
        ("[gate]\ninconclusiv = 'fail'\n[[rule]]\nmargin = 0.1", "did you mean 'inconclusive'?"),
        ("[gate]\ninconclusive = 'maybe'\n[[rule]]\nmargin = 0.1", "inconclusive = 'maybe': expected 'pass' or 'fail'"),
        ("[[rule]]\nmargin = 0.1\nmetric = 'match_f'", "no figure is called 'match_f'; did you mean 'match_f1'"),
        ("[[rule]]\nmargin = -0.1", "margin = -0.1: expected a number from 0 to 1"),
        ("[[rule]]\nmargin = nan", "margin = nan: expected a number from 0 to 1"),
        ("[[rule]]\nmargin = true", "margin = True: expected a number"),
        ("[[rule]]\nmargin = '0.1'", "margin = '0.1': expected a number"),
        ("[[rule]]\nnew_parse_failures = 0.5", "expected how many are allowed"),
        ("[[rule]]\nmust_match = 'paper/gate'", "must_match = 'paper/gate': expected a list"),
        ("[[rule]]\nmargin = 0.1\nsignificant = true", "significant belongs to max_drop"),
        ("[[rule]]\nmax_drop = 0.1\nsignificant = 1", "significant = 1: expected true or false"),
        ("[[rule]]\nplanner = 3\nmargin = 0.1", "planner = 3: expected text"),
        ("rule = 3", "rules that begin with"),
        ("[[rule", "not valid TOML"),
    ],
)
def test_wrong_rules_are_refused_with_place_and_suggestion(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_gate(text, "gate.toml")
    assert str(refused.value).startswith("gate.toml: ")
    assert expected in str(refused.value)


def test_shipped_rules_pass_themselves_and_name_every_demand() -> None:
    text = shipped("configs/gate.toml").read_text(encoding="utf-8")
    gate = parse_gate(text, "configs/gate.toml")
    assert not evaluate_gate(compare(FULL, FULL, figures=gate.metrics), gate, strict=True).tripped
    assert evaluate_gate(compare(FULL, ALL_LOST, figures=gate.metrics), gate).tripped
    # What stands there as a comment is right as well, once its marks are away.
    shown = re.sub(r"^# (?=\[\[rule\]\]|\w+ = )", "", text, flags=re.MULTILINE)
    from evalkit.comparison.gate_rules import DEMANDS

    assert len(parse_gate(shown, "shown").rules) == len(gate.rules) + 3
    assert all(f"{demand} = " in shown for demand in DEMANDS)


# What CI reads.

HOSTILE = "]]> <b>&\x00\x1b[31m\ud800\ufffe | @team #1 ![x](http://e.vil) \u202e\n::error::x%0A"


def report_of(*checks: Check, comparison: GateReport | None = None) -> GateReport:
    return GateReport((comparison or gate_report("margin = 0.1", ONE_LOST)).comparison, checks, False)


def test_junit_is_read_back_by_junitparser() -> None:
    junitparser = pytest.importorskip("junitparser")
    report = report_of(
        Check("r", "a", HOSTILE, "regressed", f"said {HOSTILE}", ("more",)),
        Check("r", "b", "q", "inconclusive", "not sure"),
        Check("r", "a", "q", "pass", "fine"),
    )
    xml = junitparser.JUnitXml.fromstring(ci.junit(report).encode("utf-8"))
    assert (xml.tests, xml.failures, xml.skipped, xml.errors) == (3, 1, 1, 0)
    cases = [case for suite in xml for case in suite]
    assert len({(case.classname, case.name) for case in cases}) == 3
    first, second, third = (case.result for case in cases)
    assert isinstance(first[0], junitparser.Failure)
    assert first[0].message.startswith("regressed: said ]]> <b>&")
    assert first[0].text.startswith("said ]]> <b>&")
    assert first[0].text.endswith("\nmore")
    assert isinstance(second[0], junitparser.Skipped)
    assert third == []
    assert cases[2].system_out == "fine"


def test_annotations_cannot_be_broken_out_of() -> None:
    report = report_of(Check("r", "a", "p,q:r", "regressed", HOSTILE), Check("r", "b", "p", "inconclusive", "50% sure"))
    lines = list(ci.workflow_commands(report))
    assert all("\n" not in line and "\r" not in line and "\x1b" not in line for line in lines)
    assert lines[0].startswith("::error title=r%3A a (p%2Cq%3Ar)::]]> <b>&")
    assert "%0A::error::x%250A" in lines[0]
    assert lines[1] == "::warning title=r%3A b (p)::50%25 sure"
    assert lines[2] == "::error title=evalkit gate::gate tripped: 2 checks, 1 regressed, 1 inconclusive"
    assert list(ci.workflow_commands(report_of()))[-1].startswith("::notice ")


def test_markdown_holds_texts_without_obeying_them() -> None:
    golds = [gold(replace(GATE, name=HOSTILE.replace("\ud800", "")), WARMUP, paper=paper) for paper in PAPERS]
    base, new = (
        snapshot_of(score_run(plans(entries), golds, LEXICAL), name)
        for entries, name in ((BOTH, "a"), ((WARMUP,), "b"))
    )
    text = ci.comparison_markdown(compare(base, new))
    row = next(line for line in text.splitlines() if "team" in line)
    assert row.replace(r"\|", "").count("|") == 5
    assert "<b>" not in row
    assert "@team" not in row
    assert "#1" not in row
    assert "![x]" not in row


def repeated(side: Snapshot, times: int) -> Snapshot:
    """A side of one paper as one of many papers whose gold entries have long names."""
    words = "a gold entry whose name goes on and on, with ümläuts and a | in it " * 3
    keys = [f"paper-{i:05}-{words[:60]}" for i in range(times)]

    def tiled(frame: pd.DataFrame) -> pd.DataFrame:
        many = frame.loc[frame.index.repeat(times)].reset_index(drop=True)
        return many.assign(key=keys * len(frame)) if "key" in frame else many

    gold = tiled(side.gold.reset_index())
    gold = gold.assign(paper=gold["key"], gold_name=words).set_index(["key", "id"]).sort_index()
    papers = tiled(side.papers)
    return replace(side, papers=papers.assign(paper=papers["key"]), gold=gold, matches=tiled(side.matches))


@pytest.mark.slow
def test_markdown_of_ten_thousand_papers_stays_small() -> None:
    golds = [gold(GATE, paper="x")]
    runs = [score_run([plan(item, paper="x", planner="p")], golds, LEXICAL) for item in (GATE, WARMUP)]
    base, new = (repeated(snapshot_of(run, "run"), 10_000) for run in runs)
    gate = parse_gate("[[rule]]\npaper_floor = 0.5\nmargin = 0.1", "gate.toml")
    report = evaluate_gate(compare(base, new, figures=(), resamples=99), gate)
    assert len(report.comparison.entries) == 10_000
    text = ci.gate_markdown(report)
    assert 900_000 < len(text.encode("utf-8")) < 1024 * 1024
    assert re.search(r"… and \d+ more", text)
    assert "gate tripped" in text
    assert text.count("<details>") == text.count("</details>")
    assert len(ci.gate_markdown(report, 4096).encode("utf-8")) < 4096


# The command line.


@pytest.fixture
def evalkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in a folder that holds three runs and a file of rules; gives exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    for name, given in (("full", plans()), ("one", plans(a=(GATE,))), ("all", plans((GATE,)))):
        score_run(given, GOLDS, LEXICAL).save(name)
    Path("gate.toml").write_text("[[rule]]\nmargin = 0.01\n")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["evalkit", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


Command = Callable[..., tuple[int, str, str]]


def test_exit_codes(evalkit: Command) -> None:
    gate = ("--config", "gate.toml")
    assert evalkit("gate", "full", "full", *gate)[0] == 0
    code, out, err = evalkit("gate", "full", "all", *gate)
    assert (code, err) == (3, "evalkit: error: gate tripped: 1 checks, 1 regressed, 0 inconclusive\n")
    assert "match_f1 1.000 → 0.667: -0.333 [-0.333, -0.333] over 12 papers" in out
    assert evalkit("gate", "full", "one", *gate)[0] == 0
    assert evalkit("gate", "full", "one", *gate, "--strict")[0] == 3
    Path("typo.toml").write_text("[[rule]]\nmargn = 0.01\n")
    for words in (("nowhere", "full", *gate), ("full",), ("full", "full", "--config", "typo.toml"),
                  ("full", "full", *gate, "--map", "p"), ("full", "gate.toml", *gate)):  # fmt: skip
        code, _, err = evalkit("gate", *words)
        assert (code, "Traceback" in err) == (2, False), words


def test_a_gate_writes_what_ci_reads(evalkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("summary.md").write_text("what was there\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, err = evalkit("gate", "full", "all", "--config", "gate.toml", "--json", "--junit", "out/gate.xml",
                             "--markdown", "gate.md")  # fmt: skip
    assert code == 3
    document = json.loads(out)
    assert (document["verdict"], document["tripped"], document["schema_version"]) == ("regressed", True, 1)
    assert len(document["comparison"]["entries"]) == 12
    assert err.splitlines()[0].startswith(
        "::error title=rule 1%3A match_f1 not worse by more than 0.01 (p)::match_f1 1"
    )
    assert Path("out/gate.xml").read_text().startswith("<testsuites ")
    assert Path("summary.md").read_text() == "what was there\n" + Path("gate.md").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere", "full"), "nowhere: "),
        (("full", "gate.toml"), "gate.toml: neither a run folder nor a baseline"),
        (("full", "other"), "differ in more than their plans: settings is "),
        (("full", "full", "--config", "typo.toml"), "typo.toml: rule 1: no key of a rule is called"),
        (("full", "full", "--map", "p"), "--map p: expected OLD=NEW"),
        (("full", "full", "--config", f"{chr(27)}[2J@team.toml"), "@"),
    ],
)
def test_what_could_not_be_checked_says_so_everywhere(
    evalkit: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    junitparser = pytest.importorskip("junitparser")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    Path("typo.toml").write_text("[[rule]]\nmargn = 0.01\n")
    score_run(plans(), GOLDS, replace(LEXICAL, match_threshold=0.9)).save("other")
    code, out, err = evalkit("gate", *words, "--junit", "gate.xml", "--markdown", "gate.md")
    assert (code, out) == (2, "")
    annotation, sentence = err.splitlines()
    assert annotation.startswith("::error title=evalkit gate%3A nothing was checked::")
    assert expected in annotation
    assert sentence.startswith("evalkit: error: ")
    xml = junitparser.JUnitXml.fromstring(Path("gate.xml").read_bytes())
    assert (xml.tests, xml.failures, xml.errors) == (1, 0, 1)
    (case,) = (case for suite in xml for case in suite)
    assert expected in case.result[0].message
    assert case.result[0].text == case.result[0].message
    page = Path("gate.md").read_text()
    assert page.startswith("## ❌ evalkit gate: nothing was checked\n\n")
    assert "\x1b" not in page + Path("gate.xml").read_text()
    assert "@team" not in page
    assert Path("summary.md").read_text() == page


def test_a_report_that_cannot_be_written_does_not_hide_what_is_wrong(evalkit: Command) -> None:
    code, _, err = evalkit("gate", "nowhere", "full", "--markdown", "full/run.json/gate.md")
    warning, sentence = err.splitlines()
    assert code == 2
    assert warning.startswith("evalkit: warning: full/run.json")
    assert sentence.startswith("evalkit: error: nowhere")


def test_a_nearly_full_job_summary_gets_less(evalkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    for size in (1024 * 1024 - 4200, 1024 * 1024 - 10):
        Path("summary.md").write_text("x" * size)
        assert evalkit("gate", "full", "all", "--config", "gate.toml")[0] == 3
        assert size <= Path("summary.md").stat().st_size < 1024 * 1024


def test_compare_and_baseline_from_the_command_line(evalkit: Command) -> None:
    code, out, _ = evalkit("baseline", "set", "full")
    assert (code, "written to baselines/main.json" in out.replace("\\", "/")) == (0, True)
    assert json.loads(evalkit("baseline", "show", "--json")[1])["scores"]["p"]["match_f1"] == 1
    assert [
        row["path"].replace("\\", "/") for row in json.loads(evalkit("baseline", "list", "--json")[1])["baselines"]
    ] == ["baselines/main.json"]
    assert "match F1" in evalkit("baseline", "show")[1]
    for base in ("full", "main", "baselines/main.json"):
        found = json.loads(evalkit("compare", base, "one", "--json", "--markdown", "c.md")[1])
        assert [(row["change"], row["paper"], row["gold_name"]) for row in found["entries"]] == [
            ("lost", "paper a", "optimizer warmup")
        ]
        assert found["planners"][0]["difference"] == pytest.approx(-1 / 36)
        assert "Gold entries lost: 1" in Path("c.md").read_text()
    assert evalkit("gate", "main", "all")[0] == 3
    assert evalkit("gate", "main", "full")[0] == 0


def test_compare_scores_two_folders_of_plans(evalkit: Command) -> None:
    rows = [{"name": "Gate", "ablated_part": "gate", "action": "REMOVE"},
            {"name": "Warmup", "ablated_part": "optimizer warmup", "action": "REMOVE"}]  # fmt: skip
    for folder, kept in (("gold", rows), ("a/p", rows), ("b/p", rows[:1])):
        Path(folder).mkdir(parents=True)
        for paper in PAPERS:
            Path(folder, f"{paper}.json").write_text(json.dumps(kept))
    words = ("compare", "--pred-base", "a", "--pred-new", "b", "--gold", "gold", "--matcher", "lexical")
    found = json.loads(evalkit(*words, "--resamples", "99", "--json")[1])
    assert found["planners"][0]["difference"] == pytest.approx(-1 / 3)
    runs = ("compare", "full", "one")
    for wrong in (words[:3], runs[:2], (*runs, "--matcher", "lexical"), (*words, "full"), (*runs, "--metric", "f1")):
        assert evalkit(*wrong)[0] == 2, wrong


def write_plans(folder: str, given: list[Plan]) -> None:
    for item in given:
        place = Path(folder, item.planner or "", f"{item.paper}.json")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps([entry_tree(one) for one in item.ablations]))


def test_a_changed_gold_is_a_path(evalkit: Command) -> None:
    """Gold gains an entry that neither plan has: of two entries both match, F1 is 4/5; of one, 2/4."""
    loss = entry("contrastive loss", "REPLACE", ['a; "b"', "c"], ["top-1"], name="=Loss; \x1b[2J")
    changed = [gold(*BOTH, loss, paper=paper) for paper in PAPERS]
    score_run(plans((GATE,)), changed, LEXICAL).save("new")
    write_plans("plans", plans())
    code, _, err = evalkit("gate", "full", "new", "--json")
    assert code == 2
    assert "gold changed: --rescore-base PLANS scores the plans of the base on the new gold" in err
    code, out, err = evalkit("gate", "full", "new", "--rescore-base", "plans", "--no-cache", "--json")
    document = json.loads(out)["comparison"]
    assert code == 3
    assert (document["planners"][0]["base"], document["planners"][0]["new"]) == (pytest.approx(0.8), 0.5)
    assert (document["base"]["name"], document["forced"], document["warnings"]) == ("full, scored again", {}, [])
    evalkit("baseline", "set", "full")
    words = ("--rescore-base", "plans", "--no-cache", "--json")
    assert json.loads(evalkit("compare", "main", "new", *words)[1])["planners"] == document["planners"]
    write_plans("plans", plans(a=(GATE,)))
    (warning,) = json.loads(evalkit("compare", "main", "new", *words)[1])["warnings"]
    assert warning.startswith("plans: not what main was scored from")


def test_a_base_is_scored_again_as_the_new_run_was(evalkit: Command) -> None:
    """With --top-k 1 either plan has the first entry only: 2/3."""
    score_run(plans((GATE,)), GOLDS, replace(LEXICAL, top_k=1, papers={"x": "paper a"})).save("new")
    write_plans("plans", plans())
    document = json.loads(evalkit("compare", "full", "new", "--rescore-base", "plans", "--no-cache", "--json")[1])
    assert document["planners"][0]["base"] == pytest.approx(2 / 3)
    assert document["planners"][0]["difference"] == 0


def test_a_base_that_cannot_be_scored_again_is_refused(evalkit: Command) -> None:
    write_plans("plans", plans())
    run = score_run(plans(), GOLDS, LEXICAL)
    judged = run.replace(meta={**run.meta, "signature": {**run.meta["signature"], "judge": "a@1"}})
    judged.save("judged")
    score_run(plans(a=()), GOLDS, replace(LEXICAL, missing="skip")).save("skipped")
    run.replace(meta={**run.meta, "settings": {**run.meta["settings"], "matcher": "psychic"}}).save("odd")
    evalkit("baseline", "set", "full")
    for new, expected in (
        ("judged", "judged was decided by judges"),
        ("skipped", "skipped: its tables do not hold all of its gold"),
        ("odd", "odd/run.json: matcher = 'psychic': expected one of"),
        ("main", "main"),  # a baseline holds names of gold, not gold
    ):
        code, _, err = evalkit("gate", "full", new, "--rescore-base", "plans", "--no-cache")
        assert (code, expected in err) == (2, True), err
    assert evalkit("gate", "full", "full", "--no-cache")[0] == 2
    assert evalkit("compare", "full", "full", "--rescore-base", "plans", "--matcher", "lexical")[0] == 2


@pytest.mark.slow
def test_a_fifth_of_entries_lost_trips_the_gate(evalkit: Command) -> None:
    parts = ("gate", "optimizer warmup", "temporal attention", "contrastive loss", "tokenizer vocabulary")
    golds = [gold(*map(entry, parts), paper=f"{i:03}") for i in range(30)]
    luck = random.Random(0)
    whole = [replace(item, planner="p") for item in golds]
    thinned = [replace(item, ablations=tuple(e for e in item.ablations if luck.random() >= 0.2)) for item in whole]
    for name, given in (("whole", whole), ("thinned", thinned)):
        score_run(given, golds, LEXICAL).save(name)
    for margin, code in ((0.02, 3), (1, 0)):
        Path("gate.toml").write_text(f"[[rule]]\nmargin = {margin}\n")
        assert evalkit("gate", "whole", "thinned", "--config", "gate.toml")[0] == code
    assert evalkit("gate", "whole", "thinned")[0] == 3
    assert evalkit("gate", "whole", "thinned", "--margin", 1)[0] == 0
    assert evalkit("gate", "whole", "thinned", "--margin", 2)[0] == 2
    assert evalkit("gate", "whole", "whole", "--strict")[0] == 0
    lost = json.loads(evalkit("compare", "whole", "thinned", "--json")[1])["entries"]
    assert len(lost) == 150 - sum(len(item.ablations) for item in thinned)


# The workflow files.


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_workflow_files_are_valid_and_call_existing_commands(name: str) -> None:
    text = (ROOT / "docs" / "ci" / name).read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    if name == "github.yml":
        # YAML 1.1 takes the key `on` for true; GitHub reads YAML 1.2.
        assert set(content) == {"name", True, "permissions", "jobs"}
        steps = content["jobs"]["gate"]["steps"]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        lines = "\n".join(step.get("run", "") for step in steps).splitlines()
    else:
        job = content["plans"]
        assert job["artifacts"]["reports"]["junit"] == "gate.xml"
        lines = [*job["before_script"], *job["script"]]
        assert all(isinstance(line, str) for line in lines)
    calls = [line.split() for line in lines if line.startswith("evalkit ")]
    assert [words[1] for words in calls] == ["score", "gate"]
    for words in calls:
        command = cli.group.get_command(None, words[1])  # type: ignore[arg-type]
        assert command is not None
        known = {option for item in command.params for option in item.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_other_planners_diagnostics_do_not_count() -> None:
    error = Diagnostic("error", "not-recognised", "expected a plan", "q/paper a.md", 1)
    bad = Plan("paper a", "q", (), (error,), "q/paper a.md")
    base = side([*plans(), *plans(planner="q")])
    new = side([*plans(), bad, *plans(planner="q")[1:]])
    report = gate_report("new_parse_failures = 0", new, base)
    assert [(check.planner, check.verdict) for check in report.checks] == [("p", "pass"), ("q", "regressed")]
