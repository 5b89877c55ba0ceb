"""Alignment: the best assignment, its ties, groups, doubt; content decides, never position."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from conftest import entry
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from evalkit.matching.assign import (
    add_evidence,
    align,
    align_extremes,
    apply_opinions,
    credit_opinions,
    expected_matches,
)
from evalkit.matching.linear_assignment import largest_assignment
from evalkit.types import Opinion, Pair, Thresholds

LIMITS = Thresholds(part=0.4, match=0.5, low=0.35, high=0.65)


def places(part: list[list[float]], match: list[list[float]], kind: str = "one-to-one") -> dict[tuple[int, int], bool]:
    gold = [entry(f"gold {index}") for index in range(len(part))]
    plan = [entry(f"plan {index}") for index in range(len(part[0]))]
    found = align(np.array(part), np.array(match), (gold, plan), LIMITS, kind)
    return {(pair.gold, pair.plan): pair.matched for pair in found.pairs}


def test_the_total_is_maximised_and_not_each_step() -> None:
    # Greedy would take 0.9 first and leave gold 1 with nothing; the best total is 0.8 + 0.8.
    part = [[0.9, 0.8], [0.8, 0.1]]
    assert places(part, part) == {(0, 1): True, (1, 0): True}


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.sampled_from((0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 0.999999)))
    )
)
def test_assignments_are_those_of_scipy_among_ties_too(worth: np.ndarray) -> None:
    rows, columns = linear_sum_assignment(worth, maximize=True)
    assert largest_assignment(worth) == list(zip(rows.tolist(), columns.tolist(), strict=True))


@pytest.mark.parametrize("size", [24, 25])
def test_assignments_of_long_lists_are_those_of_scipy(size: int) -> None:
    worth = np.random.default_rng(size).integers(0, 4, (size, size - 2)) / 4
    rows, columns = linear_sum_assignment(worth, maximize=True)
    assert largest_assignment(worth) == list(zip(rows.tolist(), columns.tolist(), strict=True))


def test_below_the_part_threshold_nothing_is_aligned() -> None:
    assert places([[0.39]], [[0.39]]) == {}


def test_aligned_but_not_matched_below_the_match_threshold() -> None:
    assert places([[0.9]], [[0.49]]) == {(0, 0): False}


def test_a_group_takes_every_pair_over_the_threshold() -> None:
    part = [[0.9, 0.5], [0.1, 0.4]]
    assert set(places(part, part, "group")) == {(0, 0), (0, 1), (1, 1)}


def test_missed_spurious_and_their_nearest() -> None:
    part = np.array([[0.9, 0.1, 0.3], [0.2, 0.1, 0.05]])
    found = align(part, part, ([entry("a"), entry("b")], [entry("a"), entry("c"), entry("d")]), LIMITS, "one-to-one")
    assert (found.missed, found.spurious) == ((1,), (1, 2))
    assert {(pair.gold, pair.plan) for pair in found.candidates} == {(1, 0), (0, 1), (0, 2)}


def test_of_equal_plan_entries_the_earliest_matches() -> None:
    part = np.array([[0.9, 0.9, 0.9]])
    found = align(part, part, ([entry("a")], [entry("a")] * 3), LIMITS, "one-to-one")
    assert [(pair.gold, pair.plan) for pair in found.pairs] == [(0, 0)]
    assert found.spurious == (1, 2)


@pytest.mark.parametrize("kind", ["one-to-one", "group"])
def test_empty_lists(kind: str) -> None:
    found = align(np.zeros((2, 0)), np.zeros((2, 0)), ([entry("a"), entry("b")], []), LIMITS, kind)
    assert (found.pairs, found.missed, found.spurious, found.candidates) == ((), (0, 1), (), ())


def test_borderline_pairs_fall_both_ways_in_extremes() -> None:
    part = np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.0]])
    match = np.array([[0.6, 0.0, 0.0], [0.0, 0.36, 0.0]])
    lists = [entry("a"), entry("b")], [entry("a"), entry("b"), entry("c")]
    none, every = align_extremes(part, match, lists, LIMITS, "one-to-one")
    assert [pair.matched for pair in none.pairs] == [False]
    assert [pair.matched for pair in every.pairs] == [True, True]
    assert none.candidates == every.candidates == ()  # only what is aligned is asked for


def test_only_the_earliest_of_three_twins_hold_matches() -> None:
    """Two gold entries meet three plan entries that say the same, and one that does not: the first two twins match."""
    part = table([0.2, 0.9, 0.1, 0.9], [0.9, 0.3, 0.1, 0.8])
    twin, other = entry("a"), entry("b")
    found = align(part, part, ([entry("g"), entry("h")], [twin, twin, other, twin]), LIMITS, "one-to-one")
    assert sorted(pair.plan for pair in found.pairs) == [0, 1]
    assert found.spurious == (2, 3)


def test_reasons_reach_every_pair() -> None:
    part = np.array([[0.9, 0.5]])
    found = align(part, part, ([entry("a")], [entry("a"), entry("b")]), LIMITS, "one-to-one")
    message = add_evidence(found, [(("first", 1.0),), (("second", 1.0),)])
    assert message.pairs[0].evidence == (("first", 1.0),)
    assert message.candidates[0].evidence == (("second", 1.0),)


@given(st.data())
def test_the_assignment_is_the_best_of_all(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    grid = st.lists(st.sampled_from([0.0, 0.3, 0.4, 0.55, 0.7, 0.9]), min_size=n * m, max_size=n * m)
    part, match = (np.array(data.draw(grid)).reshape(n, m) for _ in range(2))
    worth = np.where(part >= LIMITS.part, (part + match) / 2, 0)
    small, large = sorted((n, m))
    table = worth if n <= m else worth.T
    best = max(sum(table[i, c] for i, c in enumerate(chosen)) for chosen in permutations(range(large), small))
    lists = [entry(f"g{i}") for i in range(n)], [entry(f"p{i}") for i in range(m)]
    total = sum(worth[pair.gold, pair.plan] for pair in align(part, match, lists, LIMITS, "one-to-one").pairs)
    assert total == pytest.approx(best)


@given(st.data())
def test_order_changes_nothing(data: st.DataObject) -> None:
    # Few values, so that ties are common: content has to break them.
    n, m = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    grid = st.lists(st.sampled_from([0.2, 0.5, 0.8]), min_size=n * m, max_size=n * m)
    part, match = (np.array(data.draw(grid)).reshape(n, m) for _ in range(2))
    rows, columns = data.draw(st.permutations(range(n))), data.draw(st.permutations(range(m)))
    gold, plan = [entry(f"g{i}") for i in range(n)], [entry(f"p{i}") for i in range(m)]
    straight = align(part, match, (gold, plan), LIMITS, "one-to-one")
    moved = align(
        part[np.ix_(rows, columns)], match[np.ix_(rows, columns)],
        ([gold[r] for r in rows], [plan[c] for c in columns]), LIMITS, "one-to-one",
    )  # fmt: skip
    assert {(pair.gold, pair.plan) for pair in straight.pairs} == {
        (rows[pair.gold], columns[pair.plan]) for pair in moved.pairs
    }


def table(*rows: list[float]) -> np.ndarray:
    return np.array(rows)


def test_extremes_include_both_ends_of_the_band() -> None:
    """0.35 and 0.65 are in doubt, 0.34 and 0.66 are not; if none counted the first is lost, if all did both match."""
    part = table([0.9, 0.0], [0.0, 0.9])
    lists = [entry("g1"), entry("g2")], [entry("p1"), entry("p2")]
    for inside, sure in ((0.35, 0.66), (0.65, 0.66), (0.35, 0.34), (0.65, 0.34)):
        none, every = align_extremes(part, table([inside, 0.0], [0.0, sure]), lists, LIMITS, "one-to-one")
        certain = [sure > LIMITS.high]
        assert [pair.matched for pair in none.pairs] == [False, *certain]
        assert [pair.matched for pair in every.pairs] == [True, *certain]
        assert every.pairs[0].part_probability == every.pairs[0].match_probability == 1


def test_reasons_change_nothing_else() -> None:
    """Evidence is added to pairs and candidates; places, probabilities and who decided stay."""
    lists = [entry("g1"), entry("g2"), entry("g3")], [entry("p1"), entry("p2"), entry("p3")]
    part = table([0.9, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.5])
    match = table([0.8, 0.1, 0.0], [0.1, 0.1, 0.0], [0.0, 0.0, 0.4])
    before = align(part, match, lists, LIMITS, "one-to-one")
    after = add_evidence(before, [((f"{one.gold}{one.plan}", 1.0),) for one in (*before.pairs, *before.candidates)])
    assert (after.missed, after.spurious) == (before.missed, before.spurious) == ((1,), (1,))
    assert len(after.candidates) == len(before.candidates) > 0
    for old, new in zip((*before.pairs, *before.candidates), (*after.pairs, *after.candidates), strict=True):
        assert new == replace(old, evidence=((f"{old.gold}{old.plan}", 1.0),))


def test_opinions_rule_where_they_are_given() -> None:
    part, match = table([0.2, 0.3]), table([0.1, 0.2])
    answer = {(0, 0): Opinion(True, False, "judge"), (0, 1): Opinion(False, True, "judge")}
    assert [item.tolist() for item in apply_opinions(part, match, answer)] == [[[1.0, 0.0]], [[0.0, 1.0]]]
    assert part.tolist() == [[0.2, 0.3]]
    assert [item.tolist() for item in apply_opinions(part, match, {})] == [part.tolist(), match.tolist()]


def test_a_decided_pair_shows_who_decided() -> None:
    """Of four pairs a judge decided three: one aligned, one candidate, one that nobody would have looked at."""
    lists = [entry("g1"), entry("g2")], [entry("p1"), entry("p2")]
    guesses = table([0.45, 0.11], [0.12, 0.9]), table([0.4, 0.01], [0.02, 0.8])
    answer = {
        (0, 0): Opinion(True, True, "judge"),
        (0, 1): Opinion(False, False, "other"),
        (1, 0): Opinion(False, False, "x"),
    }
    found = credit_opinions(align(*apply_opinions(*guesses, answer), lists, LIMITS, "one-to-one"), *guesses, answer)
    assert found.pairs == (
        Pair(0, 0, 0.45, 0.4, True, False, "judge"),
        Pair(1, 1, 0.9, 0.8, True, False, "matcher"),
    )
    assert found.candidates == (
        Pair(0, 1, 0.11, 0.01, False, False, "other"),
        Pair(1, 0, 0.12, 0.02, False, False, "x"),
    )
    assert (found.missed, found.spurious) == ((), ())


def test_only_decided_candidates_name_their_judge() -> None:
    """Both entries stay alone, so that each shows its likeliest partner: one pair was decided, one is the matcher's."""
    lists = [entry("g1"), entry("g2")], [entry("p1")]
    guesses = table([0.3], [0.2]), table([0.2], [0.1])
    answer = {(0, 0): Opinion(False, False, "judge")}
    found = credit_opinions(align(*apply_opinions(*guesses, answer), lists, LIMITS, "one-to-one"), *guesses, answer)
    assert found.candidates == (
        Pair(0, 0, 0.3, 0.2, False, False, "judge"),
        Pair(1, 0, 0.2, 0.1, False, False, "matcher"),
    )


def test_expected_matches_by_hand() -> None:
    """g1 fails with 0.5 * 0.8, g2 with 0.9: 0.6 + 0.1 = 0.7. p1 fails with 0.5 * 0.9, p2 with 0.8: 0.55 + 0.2 = 0.75"""
    match = table([0.5, 0.2], [0.1, 0.0])
    assert expected_matches(match, "group") == (pytest.approx(0.7), pytest.approx(0.75))
    assert expected_matches(match, "one-to-one") == (pytest.approx(0.7), pytest.approx(0.7))
    assert expected_matches(np.zeros((2, 0)), "group") == (0, 0)


def test_entries_that_differ_in_action_are_not_equal() -> None:
    """Twins hand their match to the earliest of them; REMOVE x and REPLACE x are not twins, nor are other metrics."""
    for first, second in (
        (entry("x", "REPLACE"), entry("x", "REMOVE")),
        (entry("x", None), entry("x", "REMOVE")),
        (entry("x", "ADD", ["a"]), entry("x", "ADD", ["b"])),
        (entry("x", "ADD", ["a"], []), entry("x", "ADD", [], ["a"])),
    ):
        found = align(table([0.1, 0.9]), table([0.1, 0.9]), ([entry("g")], [first, second]), LIMITS, "one-to-one")
        assert [(pair.gold, pair.plan) for pair in found.pairs] == [(0, 1)]
    twins = [entry("x", metrics=["a", "b"]), entry("x", metrics=["b", "a"])]
    found = align(table([0.1, 0.9]), table([0.1, 0.9]), ([entry("g")], twins), LIMITS, "one-to-one")
    assert [(pair.gold, pair.plan) for pair in found.pairs] == [(0, 0)]


@pytest.mark.parametrize(
    ("chance", "matched", "borderline"),
    [(0.34, False, False), (0.35, False, True), (0.5, True, True), (0.65, True, True), (0.66, True, False)],
)
def test_band_and_threshold_include_their_ends(chance: float, matched: bool, borderline: bool) -> None:
    """An aligned pair matches from the threshold on; it is in doubt from the lower end of the band up to the upper."""
    found = align(table([0.9]), table([chance]), ([entry("g")], [entry("p")]), LIMITS, "one-to-one")
    assert found.pairs == (Pair(0, 0, 0.9, chance, matched, borderline),)


@pytest.mark.parametrize(("chance", "seen"), [(0.34, False), (0.35, True), (0.65, True), (0.66, False)])
def test_a_borderline_pair_of_taken_entries_is_shown(chance: float, seen: bool) -> None:
    """g1-p1 and g2-p2 are aligned; g1-p2 is a candidate only for being in doubt, and is no match for it."""
    part, match = table([1.0, 0.7], [0.0, 1.0]), table([1.0, chance], [0.0, 1.0])
    found = align(part, match, ([entry("g1"), entry("g2")], [entry("p1"), entry("p2")]), LIMITS, "one-to-one")
    assert [(pair.gold, pair.plan) for pair in found.pairs] == [(0, 0), (1, 1)]
    assert found.candidates == ((Pair(0, 1, 0.7, chance, False, True),) if seen else ())


def test_a_missed_entrys_partner_is_shown_too() -> None:
    """g2 is missed and nearest to p1, far below the band; g1-p1 is aligned, and in doubt."""
    found = align(table([0.9], [0.2]), table([0.5], [0.1]), ([entry("g1"), entry("g2")], [entry("p")]), LIMITS, "group")
    assert [(pair.gold, pair.plan, pair.matched) for pair in found.candidates] == [(1, 0, False)]
    part, match = table([1.0, 0.7], [0.0, 1.0], [0.3, 0.1]), table([1.0, 0.5], [0.0, 1.0], [0.2, 0.1])
    lists = [entry("g1"), entry("g2"), entry("g3")], [entry("p1"), entry("p2")]
    found = align(part, match, lists, LIMITS, "one-to-one")
    assert [(pair.gold, pair.plan) for pair in found.candidates] == [(0, 1), (2, 0)]


def test_expected_matches_do_not_mix_rows_and_columns() -> None:
    """Columns fail with 0.1 * 0.8 and 0.9 * 0.2: 0.92 + 0.82; rows with 0.1 * 0.9 and 0.8 * 0.2: 0.91 + 0.84."""
    match = table([0.9, 0.1], [0.2, 0.8])
    assert expected_matches(match, "group") == (pytest.approx(1.75), pytest.approx(1.74))
