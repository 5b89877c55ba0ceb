"""Comparisons worked by hand: differences, tests, what was gained and lost, and what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import entry, gold, plan

from evalkit.comparison import Comparison, Snapshot, baseline_text, compare, snapshot_of
from evalkit.errors import IncomparableError, InputError
from evalkit.report import ci, comparison_text, console, json_output
from evalkit.scoring.pipeline import score_run
from evalkit.settings import JudgeSettings, Settings
from evalkit.storage.runs import load_run
from evalkit.types import Ablation, Diagnostic, Plan

LEXICAL = Settings(matcher="lexical", resamples=999)
GATE = entry("gate", metrics=["accuracy"])
WARMUP = entry("optimizer warmup", "REPLACE", ["none", "linear"])
BOTH = (GATE, WARMUP)
PAPERS = [f"paper {letter}" for letter in "abcdefghijkl"]
GOLDS = [gold(*BOTH, paper=paper) for paper in PAPERS]


def plans(entries: tuple[Ablation, ...] = BOTH, planner: str = "p", **different: tuple[Ablation, ...]) -> list[Plan]:
    """A planner's plans of all papers; `a=(...)` gives paper a others."""
    return [plan(*different.get(paper[-1], entries), paper=paper, planner=planner) for paper in PAPERS]


def side(given: list[Plan], name: str = "side", golds: list[Plan] = GOLDS, **settings: object) -> Snapshot:
    return snapshot_of(score_run(given, golds, replace(LEXICAL, **settings)), name)  # type: ignore[arg-type]


def test_one_entry_lost_on_one_of_twelve_papers() -> None:
    found = compare(side(plans()), side(plans(a=(GATE,))))
    change = found.headline[0]
    # Paper a falls from 1 to F1(P = 1, R = 1/2) = 2/3, so the mean falls by (1/3) / 12 = 1/36.
    assert (change.base, change.new, change.difference) == (1, pytest.approx(35 / 36), pytest.approx(-1 / 36))
    # s^2 = (1/9 - 12 / 36^2) / 11 = 1/108, and sqrt(1/108 / 12) = 1/36.
    assert change.standard_error == pytest.approx(1 / 36)
    # t(0.975, 11) + t(0.8, 11) = 3.076515, / 36 = 0.085459; 12 * (0.085459 / 0.05)^2 = 35.06.
    assert change.detectable == pytest.approx(0.085459, abs=1e-6)
    assert change.papers_needed == 36
    # One paper differs: both swaps are as extreme, and count half.
    assert (change.p, change.p_holm, change.verdict, change.papers) == (0.5, 0.5, "inconclusive", 12)
    assert change.low is not None
    assert change.high is not None
    # -1/36 and 2.200985 / 36 to either side.
    assert (change.low, change.high) == pytest.approx((-0.088916, 0.033361), abs=1e-6)
    lost = found.entries.to_dict("records")
    assert [(row["change"], row["paper"], row["gold_name"]) for row in lost] == [
        ("lost", "paper a", "optimizer warmup")
    ]
    assert (lost[0]["gold_action"], lost[0]["gold_replacements"]) == ("REPLACE", "none; linear")
    assert (lost[0]["base_entry"], lost[0]["new_entry"], lost[0]["new_status"]) == ("optimizer warmup", "", "missed")
    assert found.papers.iloc[0][["paper", "base", "new"]].tolist() == ["paper a", 1, pytest.approx(2 / 3)]
    assert (found.papers["difference"].iloc[1:] == 0).all()


def test_the_same_gain_everywhere_is_sure() -> None:
    change = compare(side(plans((GATE,))), side(plans())).headline[0]
    assert change.difference == pytest.approx(1 / 3)
    assert (change.low, change.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    # All twelve differ the same way: 2 of 2^12 = 4096 swaps are as extreme, but 999 resamples cannot count them.
    assert change.p is not None
    assert change.p < 0.01
    assert change.verdict == "better"
    exact = compare(side(plans((GATE,))), side(plans()), resamples=4096).headline[0]
    assert exact.p == 1 / 4096


def test_holm_is_over_the_planners() -> None:
    base = side([*plans((GATE,), "a"), *plans(planner="b")])
    new = side([*plans(BOTH, "a"), *plans(planner="b", a=(GATE,))])
    found = compare(base, new, resamples=4096)
    # Sorted: 1/4096 twice over, then 1/2.
    assert [(item.planner, item.p, item.p_holm) for item in found.headline] == [
        ("a", 1 / 4096, 2 / 4096), ("b", 0.5, 0.5),
    ]  # fmt: skip
    assert [item.verdict for item in found.headline] == ["better", "inconclusive"]
    # One of two tests: t(1 - 0.05 / 4, 11) + t(0.8, 11) = 2.593093 + 0.875530, times 1/36; a has no spread.
    assert [item.detectable for item in found.headline] == [None, pytest.approx(3.468623 / 36, abs=1e-6)]


def test_false_discoveries_are_a_choice_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """p of a and b is 1/4096, of c 1/2: Holm makes 3/4096 of the first, Benjamini and Hochberg 3/2 * 1/4096."""
    base = side([*plans((GATE,), "a"), *plans((GATE,), "b"), *plans(planner="c")])
    new = side([*plans(BOTH, "a"), *plans(BOTH, "b"), *plans(planner="c", a=(GATE,))])
    by_holm = compare(base, new, resamples=4096)
    assert [(item.p_holm, item.p_bh) for item in by_holm.headline] == [
        (3 / 4096, None), (3 / 4096, None), (0.5, None),
    ]  # fmt: skip
    found = compare(base, new, resamples=4096, correction="bh")
    assert [(item.p_holm, item.p_bh, item.verdict) for item in found.headline] == [
        (None, 1.5 / 4096, "better"), (None, 1.5 / 4096, "better"), (None, 0.5, "inconclusive"),
    ]  # fmt: skip
    # Whatever base was scored with is taken, unless another is asked for.
    chosen = replace(base, settings={**base.settings, "correction": "bh"})
    assert compare(chosen, new).correction == "bh"
    assert (
        compare(chosen, new, correction="shaffer").correction
        == json.loads(json_output.comparison(by_holm))["correction"]
    )
    console.show(comparison_text.comparison(found))
    assert "Benjamini-Hochberg" in capsys.readouterr().out
    assert "| p | Benjamini-Hochberg | verdict |" in ci.comparison_markdown(found)
    assert "| p | Holm | verdict |" in ci.comparison_markdown(by_holm)


def test_a_run_against_itself_has_no_difference(tmp_path: Path) -> None:
    run = score_run(plans(a=(GATE,), b=()), GOLDS, LEXICAL)
    memory, disk = snapshot_of(run, "memory"), snapshot_of(load_run(run.save(tmp_path / "run")), "disk")
    for base, new in ((memory, memory), (memory, disk), (disk, memory)):
        found = compare(base, new)
        for change in found.changes:
            if change.base is not None:
                message = (change.difference, change.low, change.high, change.p, change.verdict)
                assert message == (0, 0, 0, 1, "no change"), change.figure
        assert not len(found.entries)
        assert not len(found.failures)
        assert (found.papers["difference"].fillna(0) == 0).all()


def test_one_paper_against_itself_warns() -> None:
    one = side(plans()[:1], golds=GOLDS[:1])
    found = compare(one, one)
    assert found.headline[0].verdict == "no change"
    assert "p: 1 paper with match_f1" in found.warnings[0]


def test_undefined_figures_stay_undefined() -> None:
    # No plan at all: precision has no value, recall is 0.
    found = compare(side(plans(())), side(plans()))
    precision, recall = found.change("p", "match_precision"), found.change("p", "match_recall")
    assert (precision.base, precision.new, precision.difference, precision.p) == (None, 1, None, None)
    assert precision.verdict == "inconclusive"
    assert (recall.base, recall.new, recall.verdict) == (0, 1, "exploratory")


def test_only_figures_that_were_named_beforehand_have_verdicts() -> None:
    """Everything triples or doubles on every paper; p is 1/4096 for each figure, swaps of 12 papers counted."""
    choices = {"resamples": 4096, "tested": ("match_recall", "match_precision", "match_recall_micro")}
    found = compare(side(plans((GATE,))), side(plans()), **choices)  # type: ignore[arg-type]
    facts = {item.figure: (item.role, item.p_holm, item.verdict) for item in found.changes}
    assert facts["match_f1"] == ("primary", 1 / 4096, "better")
    # Holm over the two that changed and precision, which did not: 3 and then 2 tests, and none is less than the first.
    assert facts["match_recall"] == facts["match_recall_micro"] == ("corrected", 3 / 4096, "better")
    assert facts["match_precision"] == ("corrected", 1, "no change")
    assert facts["part_f1"] == ("exploratory", 1 / 4096, "exploratory")
    assert {item.verdict for item in found.changes if item.role == "exploratory"} <= {
        "exploratory", "no change", "inconclusive",
    }  # fmt: skip
    figures = json.loads(json_output.comparison(found))
    assert [item["role"] for item in figures["planners"]] == ["primary"]
    assert {item["figure"]: item["role"] for item in figures["figures"]} == {
        figure: role for figure, (role, _, _) in facts.items() if figure != "match_f1"
    }


def test_micro_figures_are_ratios_of_sums() -> None:
    found = compare(side(plans()), side(plans(a=(GATE,))), metric="match_recall_micro")
    # 24 gold entries, one of them lost.
    assert found.headline[0].new == pytest.approx(23 / 24)
    assert found.papers.iloc[0]["new"] == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alignment": "group"}, "alignment is one-to-one in base and group in new"),
        ({"part_threshold": 0.4}, "part_threshold = None and 0.4"),
        ({"seed": 1}, "seed is 0 in base and 1 in new"),
        ({"planners": {"x": "y"}}, "(planners.x = None and 'y')"),
        ({"papers": {f"k{n}": "v" for n in range(7)}}, "papers.k4 = None and 'v' and 2 more);"),
    ],
)
def test_other_differences_than_plans_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    base, new = side(plans(), "base"), side(plans(a=(GATE,)), "new", **settings)
    with pytest.raises(IncomparableError, match="base and new differ in more than their plans") as refused:
        compare(base, new)
    assert message in str(refused.value)
    found = compare(base, new, force=True)
    assert set(found.forced) >= {"settings"}
    assert found.headline[0].difference == pytest.approx(-1 / 36)


def test_another_judge_is_refused_without_its_settings() -> None:
    one, two = (JudgeSettings(models=(name,), url="http://10.0.0.1/v1", prices={name: (1, 2)}) for name in "ab")
    base, new = side(plans(), "base", judge=one), side(plans(a=(GATE,)), "new", judge=two)
    # No pair was sent to either: nothing differs but what they would have cost.
    assert compare(base, new).headline[0].difference == pytest.approx(-1 / 36)
    judged = [replace(item, signature=replace(item.signature, judge=f"{name}@1")) for item, name in
              ((base, "a"), (new, "b"))]  # fmt: skip
    with pytest.raises(IncomparableError) as refused:
        compare(*judged)
    assert "judge is a@1 in base and b@1 in new; score both the same way" in str(refused.value)
    assert "10.0.0.1" not in str(refused.value)
    assert "10.0.0.1" not in baseline_text(base, "main")
    asked = [replace(item, signature=replace(item.signature, judge=f"a@1{left}")) for item, left in
             ((base, ""), (new, " (2 of 7 left)"))]  # fmt: skip
    assert compare(*asked).warnings[0] == "new: the judge's answers are incomplete (2 of 7 left to the matcher)"


def test_forced_over_other_gold_compares_shared_papers() -> None:
    other = [gold(GATE, entry("loss weight"), paper="paper a"), *GOLDS[1:11], gold(*BOTH, paper="paper m")]
    found = compare(side(plans(), "old"), side(plans(), "new", other), force=True)
    assert set(found.forced) == {"gold"}
    assert found.only_papers == ((("p", "paper l"),), (("p", "paper m"),))
    assert found.headline[0].papers == 11
    assert any("compared on the papers that both have" in text for text in found.warnings)
    # Paper l is gone from gold, which is not the planner's doing.
    assert "absent" not in set(found.failures["kind"])


def test_planners_are_paired_by_name_or_by_map() -> None:
    base, new = (
        side([*plans(planner="old"), *plans(planner="kept")]),
        side([*plans(planner="new"), *plans(planner="kept")]),
    )
    assert [item.planner for item in compare(base, new).headline] == ["kept"]
    assert compare(base, new).only_planners == (("old",), ("new",))
    found = compare(base, new, renamed={"old": "new"})
    assert [(item.was, item.planner) for item in found.headline] == [("kept", "kept"), ("old", "new")]
    assert found.only_planners == ((), ())
    with pytest.raises(InputError, match="side has no planner 'odl'; did you mean 'old'"):
        compare(base, new, renamed={"odl": "new"})
    with pytest.raises(InputError, match=r"no planner in common .* --map old=new"):
        compare(side(plans(planner="x")), side(plans(planner="y")))


def test_an_unknown_figure_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no figure is called 'match_f2'; did you mean 'match_f1'"):
        compare(side(plans()), side(plans()), metric="match_f2")


def test_only_new_failures_to_read_are_listed() -> None:
    def broken(paper: str) -> Plan:
        error = Diagnostic("error", "not-recognised", "expected a plan", f"p/{paper}.md", 1)
        return Plan(paper, "p", (), (error,), f"p/{paper}.md")

    def lossy(paper: str) -> Plan:
        error = Diagnostic("error", "entry-unreadable", "expected fields", f"p/{paper}.md", 9)
        return Plan(paper, "p", BOTH, (error,), f"p/{paper}.md")

    base = side([broken("paper a"), *plans()[1:]])
    new = side(
        [broken("paper a"), broken("paper b"), lossy("paper c"), plan(paper="paper d", planner="p"), *plans()[5:]]
    )
    found = compare(base, new).failures
    assert found[["paper", "kind", "base", "new"]].to_numpy().tolist() == [
        ["paper b", "unreadable", "planned", "unreadable"],
        ["paper c", "entries-left-out", "0", "1"],
        ["paper d", "empty", "planned", "empty"],
        ["paper e", "missing", "planned", "missing"],
    ]


def test_a_skipped_unreadable_plan_is_a_failure() -> None:
    base, new = side(plans(), missing="skip"), side(plans(a=()), missing="skip")
    found = compare(base, new)
    assert found.only_papers == ((("p", "paper a"),), ())
    assert found.failures[["paper", "kind"]].to_numpy().tolist() == [["paper a", "absent"]]


def test_samples_are_averaged_and_changes_are_shares() -> None:
    def sampled(*kept: tuple[Ablation, ...]) -> list[Plan]:
        first = [plan(*entries, paper="paper a", planner="p", sample=str(i)) for i, entries in enumerate(kept)]
        return [*first, *plans()[1:]]

    found = compare(side(sampled(BOTH, BOTH)), side(sampled(BOTH, (GATE,))))
    # Paper a: the mean of 1 and 2/3.
    assert found.papers.iloc[0]["new"] == pytest.approx(5 / 6)
    row = found.entries.iloc[0]
    assert (row["change"], row["gold_name"], row["base_share"], row["new_share"]) == (
        "lost",
        "optimizer warmup",
        1,
        0.5,
    )


def test_entries_are_identified_by_content_not_position() -> None:
    turned = [gold(*reversed(BOTH), paper=paper) for paper in PAPERS]
    found = compare(side(plans()), side(plans(a=(GATE,)), golds=turned), force=True)
    assert found.entries["gold_name"].tolist() == ["optimizer warmup"]


def test_a_repeated_gold_entry_has_its_own_id() -> None:
    twice = [gold(GATE, GATE, paper="paper a"), *GOLDS[1:]]
    found = compare(side(plans(a=(GATE, GATE)), golds=twice), side(plans(a=(GATE,)), golds=twice))
    assert len(found.entries) == 1
    assert len(found.base.gold.loc["paper-a"]) == 2


def shown(found: Comparison, capsys: pytest.CaptureFixture[str]) -> str:
    console.show(comparison_text.comparison(found))
    return capsys.readouterr().out


def test_the_console_shows_size_certainty_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(compare(side(plans(), "before"), side(plans(a=(GATE,)), "after")), capsys)
    for part in ("after against before: match_f1", "inconclusive", "0.085", "36 papers", "1 lost, 0 gained",
                 "REPLACE: none; linear", "optimizer warmup → none", "Papers that changed: 1 of 12"):  # fmt: skip
        assert part in text, part


def test_plan_texts_cannot_begin_lines_or_steer_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    evil = entry("gate", name="::error::x\n::add-mask::y \x1b[2J [red]gate[/red] \u202e")
    golds = [gold(evil, WARMUP, paper=paper) for paper in PAPERS]
    text = shown(compare(side(plans((evil,)), golds=golds), side(plans((WARMUP,)), golds=golds)), capsys)
    assert "[red]gate[/red]" in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert not set(text) & {"\x1b", "\u202e"}


def test_few_papers_that_differ_are_named() -> None:
    """Of four papers that differ, the least p is 1/16; of five 1/32, which two tests double."""
    few = compare(side(plans()), side(plans(**dict.fromkeys("abcd", (GATE,)))), resamples=4096)
    assert few.headline[0].p == 1 / 16
    assert "p: 4 of 12 papers differ; with so few no p can be below 0.05" in few.warnings
    five = dict.fromkeys("abcde", (GATE,))
    assert not any("differ" in warning for warning in compare(side(plans()), side(plans(**five))).warnings)
    two = compare(side([*plans(), *plans(planner="q")]), side([*plans(**five), *plans(planner="q", a=(GATE,))]))
    told = [warning for warning in two.warnings if "differ" in warning]
    assert told == [
        f"{planner}: {count} of 12 papers differ; with so few, corrected over 2 planners, no p can be below 0.05"
        for planner, count in (("p", 5), ("q", 1))
    ]


def test_papers_differ_by_what_the_figure_is_made_of() -> None:
    """A test swaps a paper also where a figure is undefined in one run, or has the same value of other sums."""
    # Base has plans of four papers, all wrong, so its precision is 0 on these and undefined on eight; new is right on
    # all twelve. Of 2^12 swaps none but the observed one and its opposite part the means by 1; both tie: 1/4096.
    wrong = entry("satellite imagery")
    found = compare(side(plans((wrong,))[:4]), side(plans()), metric="match_precision")
    assert (found.headline[0].p, found.headline[0].verdict) == (1 / 4096, "better")
    assert not any("differ" in warning for warning in found.warnings)
    # On eleven papers F1 is 0 of both, of plans with one entry and with three; on paper a it is 1 of both. So no
    # paper's F1 differs, but the sums do on eleven: 2 * 2 / (24 + 13) to 2 * 2 / (24 + 35).
    three = (wrong, entry("audio resampling"), entry("protein folding"))
    found = compare(side(plans((wrong,), a=BOTH)), side(plans(three, a=BOTH)), metric="match_f1_micro")
    assert found.headline[0].difference == pytest.approx(4 / 59 - 4 / 37)
    assert not len(found.moved_papers)
    assert found.headline[0].p is not None
    assert found.headline[0].p < 0.05
    assert not any("differ" in warning for warning in found.warnings)


def test_a_paper_moves_where_only_one_run_has_a_value() -> None:
    """Without a plan precision is undefined: paper a gets a value, paper b loses its value, c has none in either."""
    base, new = side(plans(a=(), c=())), side(plans(b=(), c=()))
    found = compare(base, new, metric="match_precision")
    moved = found.moved_papers
    assert moved["paper"].tolist() == ["paper a", "paper b"]
    assert moved["difference"].isna().all()
    document = json.loads(json_output.comparison(found))
    assert [(row["base"], row["new"]) for row in document["papers"]] == [(None, 1.0), (1.0, None)]
    assert document["unchanged_papers"] == 10


def test_a_renamed_planner_has_both_names_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(side(plans(planner="old")), side(plans((GATE,), "young")), renamed={"old": "young"})
    assert "| old → young | 12 | 1.000 | 0.667 | -0.333 [-0.333, -0.333] |" in ci.comparison_markdown(found)
    assert "old → young" in shown(found, capsys)
