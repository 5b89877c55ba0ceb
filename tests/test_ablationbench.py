"""AblationBench's counting: its test vectors, each rule by a case of its own, and a second, brute-force statement."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import log2

import pytest
from conftest import aligned, entry, gold, plan

from evalkit.metrics.ablationbench import (
    AUTHOR_RULES,
    REVIEWER_RULES,
    AuthorRow,
    Names,
    ReviewerRow,
    author,
    author_vote,
    ndcg,
    reviewer,
    reviewer_vote,
    rows_of,
    score_author,
    score_reviewer,
)
from evalkit.types import Plan, Tally

SECOND = 1 / log2(3)  # what a hit in second place is worth


def named(*names: str) -> tuple[Plan, Plan]:
    """A gold list and a plan with entries of these names."""
    return gold(*(entry(name) for name in names)), plan(*(entry(name) for name in names))


def judged(golds: str, plans: str, rows: Sequence[tuple[str, Names]]) -> tuple[Tally, float]:
    names = golds.split(), plans.split()
    tally, found = author(*names, [AuthorRow(*row) for row in rows])
    return tally, ndcg(found, len(names[1]))


VECTORS: list[tuple[str, str, list[tuple[str, Names]], tuple[float, float, float, float]]] = [
    ("g1 g2", "p1 p2", [("g1", "p1")], (1 / 2, 1 / 2, 2 / 4, 1 / (1 + SECOND))),
    ("g1 g2 g3", "p1 p2", [("g1", "p1"), ("g2", "p1"), ("g3", "p1")], (3 / 4, 1, 6 / 7, 1)),
    ("g1 g2", "p1 p2 p3 p4", [("g1", ("p1", "p2", "p3"))], (1 / 2, 1 / 2, 2 / 4, 1 / (1 + SECOND))),
    ("g1", "p1", [("g1", ())], (1 / 2, 1, 2 / 3, 1)),
    ("g1", "p1 p2", [("g1", ("p1", "unknown"))], (0, 0, 0, 0)),
    ("g g", "p", [("g", "p")], (1, 1, 1, 1)),
    ("g1 g2", "p1", [("g2", "p1")], (1, 1 / 2, 2 / 3, 0)),
    ("g1", "", [], (0, 0, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("golds", "plans", "rows", "expected"), VECTORS)
def test_the_published_vectors_of_the_author_task(
    golds: str, plans: str, rows: list[tuple[str, Names]], expected: tuple[float, float, float, float]
) -> None:
    tally, gain = judged(golds, plans, rows)
    assert (tally.precision or 0.0, tally.recall, tally.f1, gain) == expected


def test_one_bad_name_leaves_one_false_positive() -> None:
    assert judged("g1", "p1 p2", [("g1", ("p1", "unknown"))])[0] == Tally(0, 1, 0, 1)


@pytest.mark.parametrize(("suggestions", "expected"), [(1, (1 / 2, 1, 2 / 3)), (2, (2 / 3, 1, 4 / 5))])
def test_the_published_vectors_of_the_reviewer_task(suggestions: int, expected: tuple[float, float, float]) -> None:
    rows = [ReviewerRow("a", True), ReviewerRow("b", True), ReviewerRow("c", False)]
    tally = reviewer(suggestions, ["a", "b", "c"], rows)
    assert (tally.precision, tally.recall, tally.f1) == expected


def test_ndcg_depends_on_the_order_of_gold() -> None:
    best = 1 + SECOND + 1 / 2
    assert judged("g1 g2 g3", "p1 p2 p3", [("g1", "p2")])[1] == 1 / best  # 0.469
    assert judged("g2 g3 g1", "p1 p2 p3", [("g1", "p2")])[1] == (1 / 2) / best  # 0.235
    assert judged("g1 g2 g3", "p3 p1 p2", [("g1", "p2")])[1] == 1 / best


def test_no_suggestions_score_nothing() -> None:
    assert reviewer(0, ["a"], [ReviewerRow("a", True)]) == Tally(0, 0, 0, 0)


def test_first_k_rows_are_the_judges() -> None:
    rows = [ReviewerRow("b", False), ReviewerRow("a", True)]
    assert reviewer(1, ["a"], rows, 1) == Tally(0, 1, 0, 1)
    assert reviewer(1, ["a"], rows, 1, set(REVIEWER_RULES) - {"first-k-rows"}) == Tally(1, 1, 1, 1)


def test_the_benchmarks_vote_has_its_flaws() -> None:
    one, other, third = [AuthorRow("g", "p1")], [AuthorRow("g", "p2")], [AuthorRow("g", "p3")]
    assert author_vote([one, other, third]) == [AuthorRow("g", None)]
    assert author_vote([one, [AuthorRow("g", ("p1",))]]) == [AuthorRow("g", None)]
    assert author_vote([one, [], []]) == one  # two judges had nothing to say, one mention wins
    assert author_vote([one * 2, other]) == one  # and a row written twice votes twice
    assert author_vote([[AuthorRow("g", ("p2", "p1"))], [AuthorRow("g", ("p1", "p2"))]]) == [
        AuthorRow("g", ("p1", "p2"))
    ]
    assert reviewer_vote([[ReviewerRow("a", True)], [ReviewerRow("a", False)], []]) == [ReviewerRow("a", False)]
    assert reviewer_vote([[ReviewerRow("a", True)], []]) == [ReviewerRow("a", True)]


def test_an_alignment_written_as_rows() -> None:
    golds, plans = named("a", "b", "c")
    found = rows_of(golds, plans, aligned([(0, 1), (2, 0), (2, 2)], [(1, 1)], (3, 3)))
    assert found == [AuthorRow("a", "b"), AuthorRow("b", None), AuthorRow("c", ("a", "c"))]


def test_each_lifted_rule_moves_the_tally() -> None:
    golds = gold(*(entry(name) for name in ("g1", "g2", "g3")))
    plans = plan(*(entry(name) for name in ("p1", "p2", "p3", "p3", "p4", "p5")))
    rows = [
        AuthorRow("g1", ()),  # a match of nothing
        AuthorRow("g2", ("p1", "p9")),  # p9 does not exist
        AuthorRow("g3", ("p3", "p4")),  # two partners, one of a name that stands twice
        AuthorRow("g9", "p2"),  # an unknown gold entry shields p2
    ]
    found = score_author(golds, plans, rows)
    # Hits g1, g3. No false positive but p5: p1, p2, p3 and p4 are mentioned somewhere.
    assert found.tally == Tally(2, 3, 2, 3)
    assert dict(found.steps) == {
        "empty-list-matches": Tally(1, 2, 1, 3),  # g1 is lost
        "one-bad-name-spoils": Tally(2, 3, 2, 3),  # g2 is hit through p1
        "any-mention-shields": Tally(2, 4, 2, 3),  # p2 is spurious after all
        "plan-is-a-set": Tally(2, 5, 2, 3),  # and so is the second p3
        "precision-counts-gold": Tally(3, 6, 2, 3),  # p1, p3, p4 of six entries
        "vote-by-rows": Tally(3, 6, 2, 3),  # there was one judge
    }


def test_each_lifted_rule_of_the_reviewer_task() -> None:
    golds = gold(entry("suggestion 1"))
    plans = plan(entry("a"), entry("b"), entry("c"))
    rows = [ReviewerRow("x", False), ReviewerRow("a", True), ReviewerRow("b", True), ReviewerRow("d", False)]
    found = score_reviewer(golds, plans, rows, 3)
    # The first three rows: x is wrong, a and b are right, of which one counts.
    assert found.tally == Tally(1, 2, 1, 1)
    assert dict(found.steps) == {
        "first-k-rows": Tally(1, 1, 1, 1),  # rows about the plan's entries: a, b
        "rows-are-the-plan": Tally(1, 2, 1, 1),  # c was not judged, and counts
        "surplus-vanishes": Tally(2, 3, 1, 1),
        "vote-by-rows": Tally(2, 3, 1, 1),
    }


# --- A second statement of the rules, written from their description, in another way. ---


def brute_author(golds: list[str], plans: list[str], rows: list[AuthorRow]) -> tuple[float, ...]:
    labels = []
    for name in golds:
        is_hit = False
        for row in rows:
            if row.gold != name or row.plan is None:
                continue
            partners = [row.plan] if isinstance(row.plan, str) else list(row.plan)
            missing = [one for one in partners if plans.count(one) == 0]
            is_hit = is_hit or missing == []
        labels.append(is_hit)
    unmentioned = []
    for name in plans:
        answer = False
        for row in rows:
            answer = answer or row.plan == name or (isinstance(row.plan, tuple) and name in row.plan)
        if not answer and name not in unmentioned:
            unmentioned.append(name)
    tp, fp, fn = labels.count(True), len(unmentioned), labels.count(False)
    gain = ideal = 0.0
    for place in range(min(len(golds), len(plans))):
        ideal += 1 / log2(place + 2)
        gain += (1 / log2(place + 2)) * labels[place]
    return divide(tp, tp + fp), divide(tp, tp + fn), divide(2 * tp, 2 * tp + fp + fn), divide(gain, ideal)


def brute_reviewer(suggestions: int, rows: list[ReviewerRow], top_k: int | None) -> tuple[float, ...]:
    kept = [row for place, row in enumerate(rows) if top_k is None or place < top_k]
    tp = min(len([row for row in kept if row.in_review]), suggestions)
    fp = len([row for row in kept if not row.in_review])
    fn = suggestions - tp
    return divide(tp, tp + fp), divide(tp, tp + fn), divide(2 * tp, 2 * tp + fp + fn)


def divide(above: float, below: float) -> float:
    return above / below if below else 0.0


def of(tally: Tally) -> tuple[float, ...]:
    return tally.precision or 0.0, tally.recall or 0.0, tally.f1 or 0.0


def random_names(chance: random.Random) -> Names:
    names = [f"p{chance.randrange(7)}" for _ in range(chance.randrange(4))]
    return chance.choice([None, names[0] if names else None, tuple(names)])


def test_random_judgements_agree_with_the_second_statement() -> None:
    chance = random.Random(20260101)
    differing = 0
    for _ in range(10_000):
        # Few names, so that they repeat; p5, p6 and g5 are seldom known, so that rows are often wrong.
        golds = [f"g{chance.randrange(5)}" for _ in range(chance.randrange(6))]
        plans = [f"p{chance.randrange(6)}" for _ in range(chance.randrange(7))]
        rows = [AuthorRow(f"g{chance.randrange(6)}", random_names(chance)) for _ in range(chance.randrange(7))]
        plans = plans[: chance.choice([None, None, 1, 3])]
        tally, found = author(golds, plans, rows)
        assert (*of(tally), ndcg(found, len(plans))) == brute_author(golds, plans, rows), (golds, plans, rows)
        answer = [ReviewerRow(f"p{chance.randrange(7)}", chance.random() < 0.5) for _ in range(chance.randrange(7))]
        n, top_k = chance.randrange(5), chance.choice([None, 1, 2, 4])
        assert of(reviewer(n, plans, answer, top_k)) == brute_reviewer(n, answer, top_k), (n, answer, top_k)
        differing += author(golds, plans, rows, ()) != (tally, found)
    assert differing > 1000  # the sets do exercise the rules


def test_without_rules_every_plan_entry_counts() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        golds = [f"g{chance.randrange(5)}" for _ in range(chance.randrange(6))]
        plans = [f"p{chance.randrange(6)}" for _ in range(chance.randrange(7))]
        rows = [AuthorRow(f"g{chance.randrange(6)}", random_names(chance)) for _ in range(chance.randrange(7))]
        tally, _ = author(golds, plans, rows, ())
        assert (tally.plan, tally.gold) == (len(plans), len(golds))
        assert tally.plan_hits <= tally.plan
        assert tally.gold_hits <= tally.gold


def test_every_rule_is_lifted_once_and_in_order() -> None:
    golds, plans = named("a")
    assert [rule for rule, _ in score_author(golds, plans, []).steps] == list(AUTHOR_RULES)
    assert [rule for rule, _ in score_reviewer(golds, plans, [], None).steps] == list(REVIEWER_RULES)
