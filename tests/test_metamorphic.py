"""What must happen to the score when its input changes in a known way, at the level where it is true.

Alignment and counts are functions of probabilities: there the properties hold without exception, but for one that the
contract of one-to-one alignment does not give, which is worked by hand below. The matcher sees every pair in the
context of its lists, so a further entry may move other pairs; on real lists that is counted.
Order, planners apart and together, and one changed paper are in tests/test_pipeline.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from conftest import entry, gold, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.matching.assign import ALIGNERS, align
from evalkit.metrics.counts import score_paper
from evalkit.metrics.figures import FIGURES, figures
from evalkit.scoring.load import read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import MATCHERS, Settings
from evalkit.storage.files import shipped
from evalkit.types import Ablation, Counts, Plan, Thresholds

LIMITS = Thresholds(part=0.4, match=0.5, low=0.3, high=0.6)
KINDS = tuple(ALIGNERS)
QUICK = settings(max_examples=20, deadline=None)
LEXICAL = Settings(matcher="lexical", resamples=0)


def listed(letter: str, count: int) -> tuple[Ablation, ...]:
    """Entries that say different things."""
    return tuple(entry(f"{letter}{number}") for number in range(count))


@st.composite
def tables(draw: st.DrawFn, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Part and match probabilities of every pair, no two totals alike; a match is never likelier than its part."""
    rows = rows or draw(st.integers(1, 5))
    columns = draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    part = rng.random((rows, columns)) ** draw(st.sampled_from([0.3, 1.0, 2.0]))
    return part, part * rng.random((rows, columns)) ** draw(st.sampled_from([0.1, 1.0]))


def counted(part: np.ndarray, match: np.ndarray, kind: str) -> Counts:
    """The counts that probabilities lead to."""
    lists = listed("g", part.shape[0]), listed("p", part.shape[1])
    alignment = align(part, match, lists, LIMITS, kind)
    return score_paper(gold(*lists[0]), plan(*lists[1]), alignment, (alignment, alignment)).counts


def figure(counts: Counts, name: str) -> float:
    """A figure of one paper; what is undefined counts as nothing here."""
    return float(np.nan_to_num(figures({key: getattr(counts, key) for key in Counts.__slots__}, (name,))[name]))


def widened(table: np.ndarray, column: np.ndarray, at: int) -> np.ndarray:
    return np.insert(table, at, column, axis=1)


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(data=st.data())
def test_a_spurious_entry_never_raises_precision_and_leaves_recall(kind: str, data: st.DataObject) -> None:
    """Spurious: no gold entry reaches the threshold for its part. It aligns with nothing and moves no other pair."""
    part, match = data.draw(tables())
    at = data.draw(st.integers(0, part.shape[1]))
    column = np.random.default_rng(data.draw(st.integers(0, 99))).random(len(part)) * (LIMITS.part - 1e-6)
    before, after = counted(part, match, kind), counted(widened(part, column, at), widened(match, column, at), kind)
    assert after.plan_entries == before.plan_entries + 1
    for hits in ("match_gold", "match_plan", "part_gold", "part_plan", "aligned_pairs"):
        assert getattr(after, hits) == getattr(before, hits)
    for family in ("match", "part"):
        assert figure(after, f"{family}_precision") <= figure(before, f"{family}_precision")
        assert figure(after, f"{family}_recall") == figure(before, f"{family}_recall")
        assert figure(after, f"{family}_f1") <= figure(before, f"{family}_f1")


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(data=st.data())
def test_a_true_entry_never_lowers_recall(kind: str, data: st.DataObject) -> None:
    """True: it matches a gold entry fully. Part recall never falls; match recall never where entries group."""
    part, match = data.draw(tables())
    about = data.draw(st.integers(0, len(part) - 1))
    column = np.random.default_rng(data.draw(st.integers(0, 99))).random((2, len(part))) * 0.39
    column[:, about] = 0.93, 0.91
    before, after = (
        counted(part, match, kind),
        counted(widened(part, column[0], part.shape[1]), widened(match, column.min(axis=0), part.shape[1]), kind),
    )
    assert after.part_gold >= before.part_gold
    if kind == "group":
        assert after.match_gold >= before.match_gold


def test_one_to_one_alignment_may_pay_for_a_true_entry_elsewhere() -> None:
    """The assignment maximises the total of the means, by contract, and not the number of full matches.

    Before: p1 with g1 (part 0.9, match 0.8), p2 with g2 (0.6, 0.5): two full matches. p3 says g1 better (1.0, 1.0); p1
    then goes to g2, where it has the part for sure but not the match (0.9, 0.3; mean 0.6), and p2 (mean 0.55) goes.
    """
    part, match = np.array([[0.9, 0.0], [0.9, 0.6]]), np.array([[0.8, 0.0], [0.3, 0.5]])
    before = counted(part, match, "one-to-one")
    column = np.array([1.0, 0.0])
    after = counted(widened(part, column, 2), widened(match, column, 2), "one-to-one")
    assert (before.part_gold, before.match_gold) == (2, 2)
    assert (after.part_gold, after.match_gold) == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(data=st.data())
def test_surer_pairs_never_lower_recall_and_precision(kind: str, data: st.DataObject) -> None:
    """A pair that is aligned and matches stays so when it becomes more probable."""
    part, match = data.draw(tables())
    lists = listed("g", part.shape[0]), listed("p", part.shape[1])
    matched = [pair for pair in align(part, match, lists, LIMITS, kind).pairs if pair.matched]
    before = counted(part, match, kind)
    for pair in matched:
        surer = part.copy(), match.copy()
        for table in surer:
            table[pair.gold, pair.plan] = 1.0
        after = counted(*surer, kind)
        assert (after.match_gold, after.match_plan) == (before.match_gold, before.match_plan)


@QUICK
@given(tables(), st.randoms(use_true_random=False))
def test_rows_and_columns_may_stand_in_any_order(both, random) -> None:  # type: ignore[no-untyped-def]
    part, match = both
    rows, columns = list(range(part.shape[0])), list(range(part.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    golds, plans = listed("g", len(rows)), listed("p", len(columns))
    moved = [golds[row] for row in rows], [plans[column] for column in columns]
    for kind in KINDS:
        straight = align(part, match, (golds, plans), LIMITS, kind)
        other = align(part[rows][:, columns], match[rows][:, columns], moved, LIMITS, kind)
        back = {(rows[pair.gold], columns[pair.plan], pair.matched) for pair in other.pairs}
        assert back == {(pair.gold, pair.plan, pair.matched) for pair in straight.pairs}
        assert {rows[g] for g in other.missed} == set(straight.missed)
        assert {columns[p] for p in other.spurious} == set(straight.spurious)


# With a matcher.


def references() -> list[Plan]:
    """Every gold list that ships."""
    found = [item for item in read_plans(shipped("references"), gold=True).plans if item.ablations]
    assert len(found) > 10
    return found


ONE = [name for name in FIGURES if name.split("_at_")[0] not in ("recall", "doubt") and "kappa" not in name]


@pytest.mark.parametrize(
    "matcher", [pytest.param(name, marks=[] if name == "lexical" else [pytest.mark.slow]) for name in MATCHERS]
)
def test_a_plan_equal_to_gold_scores_one_wherever_it_is_defined(matcher: str) -> None:
    """On every reference list that ships, whatever is left unspecified in it; and kappa over the run."""
    golds = references()
    plans = [replace(item, planner="same") for item in golds]
    run = score_run(plans, golds, replace(LEXICAL, matcher=matcher))
    for name in ONE:
        if name not in run.papers:
            continue
        values = run.papers[name].dropna()
        low = run.papers.loc[values.index[values < 1 - 1e-9], ["paper", name]]
        if name != "match_f1_expected":
            assert low.empty, f"{name}: {low.to_dict('records')}"
    assert run.leaderboard["action_kappa"].iloc[0] == pytest.approx(1)
    assert run.papers["match_recall"].notna().all()


FOREIGN = entry("quarterly revenue of the bakery", "ADD", ["croissants"], ["euros"], name="Sell croissants")


def changes(golds: list[Plan], plans: list[Plan], added: list[Ablation]) -> Iterator[tuple[str, float, float]]:
    """Figures of each plan before and after an entry was added to it: name, before, after."""
    before = score_run(plans, golds, LEXICAL).papers.set_index("paper")
    more = [replace(one, ablations=(*one.ablations, extra)) for one, extra in zip(plans, added, strict=True)]
    after = score_run(more, golds, LEXICAL).papers.set_index("paper")
    for name in ("match_precision", "match_recall", "part_precision", "part_recall"):
        for paper in before.index:
            yield name, float(before.loc[paper, name]), float(after.loc[paper, name])


def sample_plans(planner: str) -> tuple[list[Plan], list[Plan]]:
    """The bundled plans of one planner, with their gold."""
    plans = [one for one in read_plans(shipped("sample/plans")).plans if one.planner == f"sample-planner/{planner}"]
    papers = {one.paper for one in plans}
    return [one for one in references() if one.paper in papers], plans


@pytest.mark.parametrize("planner", ["careful", "hasty"])
def test_an_entry_about_something_else_never_raises_precision_of_a_bundled_plan(planner: str) -> None:
    golds, plans = sample_plans(planner)
    for name, before, after in changes(golds, plans, [FOREIGN] * len(plans)):
        if name.endswith("precision"):
            assert after <= before, name


@pytest.mark.parametrize("planner", ["careful", "hasty"])
def test_a_gold_entry_added_to_a_bundled_plan_never_lowers_recall(planner: str) -> None:
    golds, plans = sample_plans(planner)
    by_paper = {one.paper: one for one in golds}
    for at in (0, -1):
        added = [by_paper[one.paper].ablations[at] for one in plans]
        for name, before, after in changes(golds, plans, added):
            if name.endswith("recall"):
                assert after >= before, name
