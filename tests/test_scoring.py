"""Scoring: the scoring contract's example worked by hand, and what happens at its edges."""

from __future__ import annotations

from math import log2

import pytest
from conftest import aligned, entry, gold, plan

from evalkit.metrics.counts import score_paper
from evalkit.metrics.figures import figures
from evalkit.types import COUNT_NAMES, Counts, Diagnostic, Pair, PaperScore, Plan


def of(score: PaperScore) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in figures(dict(zip(COUNT_NAMES, score.counts.values(), strict=True))).items()
    }


GOLD = gold(
    entry("encoder", "REMOVE", metrics=["accuracy", "F1"]),
    entry("decoder loss", "REPLACE", ["L1 loss", "hinge loss"], ["FID"]),
    entry("pooling", "ADD"),
    entry("gating", None),
)
PLAN = plan(
    entry("encoder", "REMOVE", metrics=["acc."]),
    entry("learning rate", "REPLACE", ["0.1", "0.01"]),
    entry("decoder loss", "REPLACE", ["hinge loss", "no loss", "focal loss"], ["FID", "LPIPS"]),
    entry("gating", "REPLACE", ["none"]),
    entry("pooling", "REPLACE", ["max pooling"]),
)
# Full matches: gold 1-plan 1, 2-3, 4-4; gold 3 and plan 5 share a part; plan 2 is spurious; nothing is missed.
ALIGNMENT = aligned([(0, 0), (1, 2), (3, 3)], [(2, 4)], (4, 5))


def test_the_worked_example() -> None:
    found = of(score_paper(GOLD, PLAN, ALIGNMENT, (ALIGNMENT, ALIGNMENT)))
    expected = {
        # Three of five plan entries and three of four gold entries: F1 = 2 * 3 / (4 + 5).
        "match_precision": 3 / 5,
        "match_recall": 3 / 4,
        "match_f1": 6 / 9,
        # All weights are 1.
        "weighted_recall": 3 / 4,
        "weighted_f1": 6 / 9,
        "part_precision": 4 / 5,
        "part_recall": 4 / 4,
        "part_f1": 8 / 9,
        # Gold's fourth entry has no action, so three pairs count; ADD against REPLACE disagrees.
        "action_agreement": 2 / 3,
        # The table has remove-remove 1, replace-replace 1, add-replace 1. Observed 2/3; by chance
        # (1 * 1 + 1 * 2 + 1 * 0) / 9 = 1/3; kappa = (2/3 - 1/3) / (1 - 1/3).
        "action_kappa": 1 / 2,
        # Only gold 2 and plan 3 have options on both sides: one of two and of three is shared.
        "replacement_precision": 1 / 3,
        "replacement_recall": 1 / 2,
        "replacement_f1": 2 / 5,
        # Gold names 2 + 1 metrics in aligned pairs, the plan 1 + 2 there; "acc." is accuracy, FID is FID.
        "metric_precision": 2 / 3,
        "metric_recall": 2 / 3,
        "metric_f1": 2 / 3,
        # Plan entries 1, 3 and 4 match.
        "recall_at_1": 1 / 4,
        "recall_at_3": 2 / 4,
        "recall_at_5": 3 / 4,
        "precision_at_1": 1 / 1,
        "precision_at_3": 2 / 3,
        "precision_at_5": 3 / 5,
        "ndcg_at_1": 1,
        "ndcg_at_3": (1 + 1 / log2(4)) / (1 + 1 / log2(3) + 1 / log2(4)),
        "ndcg_at_5": (1 + 1 / log2(4) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4) + 1 / log2(5)),
        "average_precision": (1 / 1 + 2 / 3 + 3 / 4) / 4,
        "coverage": 1,
        "match_f1_if_none": 6 / 9,
        "match_f1_if_all": 6 / 9,
        "match_f1_expected": 6 / 9,
    }
    assert found == pytest.approx(expected)


def test_papers_are_summed_before_they_are_divided() -> None:
    one = score_paper(GOLD, PLAN, ALIGNMENT, (ALIGNMENT, ALIGNMENT)).counts
    nothing = aligned([], [], (1, 1))
    two = score_paper(gold(entry("a")), plan(entry("b")), nothing, (nothing, nothing)).counts
    total = PaperScore("", "", one + two)
    assert of(total)["match_precision"] == pytest.approx(3 / 6)
    assert of(total)["match_recall"] == pytest.approx(3 / 5)


def test_a_group_counts_entries_and_not_pairs() -> None:
    # The plan's only entry covers both gold entries: P = 1/1, R = 2/2; at rank 1 everything is covered.
    both = aligned([(0, 0), (1, 0)], [], (2, 1))
    found = of(score_paper(gold(entry("a"), entry("b")), plan(entry("a and b")), both, (both, both)))
    assert (found["match_precision"], found["match_recall"], found["recall_at_1"]) == (1, 1, 1)


def test_repeated_entry_costs_precision_and_wins_nothing() -> None:
    # Two plan entries on one gold entry in group alignment: only the first gains.
    twice = aligned([(0, 0), (0, 1)], [], (2, 2))
    found = of(score_paper(gold(entry("a"), entry("b")), plan(entry("a"), entry("a")), twice, (twice, twice)))
    assert found["average_precision"] == pytest.approx(1 / 2)  # one hit at rank 1, two gold entries
    assert found["ndcg_at_3"] == pytest.approx(1 / (1 + 1 / log2(3)))


def test_doubt_is_carried_as_counts_of_both_ends() -> None:
    none, every = aligned([], [(0, 0)], (1, 1)), aligned([(0, 0)], [], (1, 1))
    found = of(score_paper(gold(entry("a")), plan(entry("a")), every, (none, every)))
    assert (found["match_f1_if_none"], found["match_f1"], found["match_f1_if_all"]) == (0, 1, 1)


def test_borderline_pairs_are_counted_once_wherever_they_stand() -> None:
    unsure = Pair(0, 1, 0.5, 0.4, False, True)
    alignment = aligned([(0, 0)], [], (1, 2))
    with_candidate = type(alignment)(alignment.pairs, (), (1,), (unsure,))
    score = score_paper(gold(entry("a")), plan(entry("a"), entry("b")), with_candidate, (alignment, alignment))
    assert score.counts.borderline_pairs == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (plan(entry("a")), "planned"),
        (Plan("paper", "planner", ()), "empty"),
        (Plan("paper", "planner", (), (Diagnostic("error", "not-readable", ""),)), "unreadable"),
        (Plan("paper", "planner", (), (Diagnostic("warning", "missing-plan", ""),)), "missing"),
    ],
)
def test_status_says_why_a_plan_is_empty(given: Plan, status: str) -> None:
    alignment = aligned([], [], (1, len(given.ablations)))
    assert score_paper(gold(entry("a")), given, alignment, (alignment, alignment)).status == status


def test_counts_add_up() -> None:
    assert Counts(papers=1, match_gold=2) + Counts(papers=1, match_gold=3) == Counts(papers=2, match_gold=5)


def test_whose_score_it_is() -> None:
    """Paper as gold spells it, planner and sample from the plan; a planner without a name is the empty one."""
    none = aligned([], [], (0, 0))
    named = score_paper(gold(paper="X"), plan(paper="x", planner="a", sample="2"), none, (none, none))
    assert (named.paper, named.planner, named.sample) == ("X", "a", "2")
    assert score_paper(gold(), Plan("x", None, ()), none, (none, none)).planner == ""


def test_nothing_in_gold_is_worth_nothing() -> None:
    """Without gold entries there is no gain to discount: 0, and no division."""
    none = aligned([], [], (0, 1))
    counts = score_paper(gold(), plan(entry("gate")), none, (none, none)).counts
    assert (counts.ndcg_at_1, counts.ndcg_at_5, counts.average_precision) == (0, 0, 0)


def test_expected_matches_come_from_the_matcher() -> None:
    """Gold's before the plan's; without a matcher they are those of the alignment: two of each."""
    both = aligned([(0, 0), (1, 1)], [], (2, 2))
    lists = gold(entry("a"), entry("b")), plan(entry("a"), entry("b"))
    counts = score_paper(*lists, both, (both, both), (1.25, 1.75)).counts
    assert (counts.match_gold_expected, counts.match_plan_expected) == (1.25, 1.75)
    counts = score_paper(*lists, both, (both, both)).counts
    assert (counts.match_gold_expected, counts.match_plan_expected, counts.aligned_pairs) == (2, 2, 2)


def test_pairs_of_the_same_actions_add_up() -> None:
    """Three pairs remove on both sides; one gold entry leaves its action open and is not in the table."""
    four = aligned([(0, 0), (1, 1), (2, 2), (3, 3)], [], (4, 4))
    golds = gold(entry("a"), entry("b"), entry("c"), entry("d", None))
    counts = score_paper(golds, plan(*(entry(part) for part in "abcd")), four, (four, four)).counts
    assert (counts.remove_remove, counts.action_pairs, counts.action_agreed) == (3, 3, 3)
