"""Takes scored plans, gives what the tables hold of them, as plain rows: what a worker hands over, without frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.set_overlap import metrics_in_common, options_in_common
from evalkit.storage.csv import in_cell
from evalkit.types import COUNT_NAMES, Ablation, CompatScore, Pair, PaperScore, ScoredPlan

Row = tuple[object, ...]
Compat = tuple[PaperScore, CompatScore]
PLAN_COLUMNS = ["planner", "paper", "sample", "status", "path", "trace"]
TEXT_COLUMNS = {
    "gold": ("gold_name", "gold_part", "gold_action", "gold_replacements", "gold_metrics"),
    "plan": ("plan_name", "plan_part", "plan_action", "plan_replacements", "plan_metrics"),
}
FOUND = [
    "part_probability", "match_probability", "borderline", "decided_by", "same_action", "shared_options",
    "shared_metrics", "speaks_for", "speaks_against",
]  # fmt: skip
PAIR_COLUMNS = [
    "planner", "paper", "sample", "status", "gold_entry", "plan_entry", *FOUND, *TEXT_COLUMNS["gold"],
    *TEXT_COLUMNS["plan"],
]  # fmt: skip
NO_TEXTS = (nan,) * 5
NOT_FOUND = (nan,) * len(FOUND)


@dataclass(frozen=True, slots=True)
class Marks:
    """What plans scored, a place a plan: whose, of which paper, in which state, and sums [plans, COUNT_NAMES]."""

    planners: list[str]
    papers: list[str]
    states: list[str]
    sums: NDArray[np.float64]

    def part(self, start: int, end: int | None) -> Marks:
        """The marks of some of the plans."""
        some = slice(start, end)
        return Marks(self.planners[some], self.papers[some], self.states[some], self.sums[some])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker found of a batch of plans: their marks, and the rows of the long tables, as bytes when written."""

    marks: Marks
    pairs: list[Row] | bytes
    plans: list[Row] | bytes
    compat: list[Compat]


def marks_of(scores: Sequence[PaperScore]) -> Marks:
    """Scores as columns."""
    sums = np.array([score.counts.values() for score in scores], dtype=np.float64)
    return Marks(
        [score.planner for score in scores],
        [score.paper for score in scores],
        [score.status for score in scores],
        sums.reshape(len(scores), len(COUNT_NAMES)),
    )


def joined(marks: Sequence[Marks]) -> Marks:
    """The marks of several batches as one."""
    return Marks(
        [name for some in marks for name in some.planners],
        [name for some in marks for name in some.papers],
        [state for some in marks for state in some.states],
        np.concatenate([some.sums for some in marks]) if marks else np.empty((0, len(COUNT_NAMES))),
    )


def plan_row(item: ScoredPlan) -> Row:
    """A plan, missing ones too: where it came from, how it was read, and the reasoning that came with it."""
    score, plan = item.score, item.plan
    return score.planner, score.paper, score.sample, score.status, plan.path, plan.trace


def pair_rows(item: ScoredPlan) -> list[Row]:
    """The rows of one plan: match, part, missed, spurious, candidate (a pair not aligned). Entries count from 1."""
    alignment = item.alignment
    whose = (item.score.planner, item.gold.paper, item.plan.sample)
    gold, plan = [_texts(entry) for entry in item.gold.ablations], [_texts(entry) for entry in item.plan.ablations]

    def row(status: str, pair: Pair) -> Row:
        g, p = pair.gold, pair.plan
        return *whose, status, g + 1, p + 1, *_found(item, pair), *gold[g], *plan[p]

    rows = [row("match" if pair.matched else "part", pair) for pair in alignment.pairs]
    rows.extend((*whose, "missed", g + 1, nan, *NOT_FOUND, *gold[g], *NO_TEXTS) for g in alignment.missed)
    rows.extend((*whose, "spurious", nan, p + 1, *NOT_FOUND, *NO_TEXTS, *plan[p]) for p in alignment.spurious)
    rows.extend(row("candidate", pair) for pair in alignment.candidates)
    return rows


def _texts(entry: Ablation) -> Row:
    """An entry's texts as columns of its side."""
    return entry.name, entry.part, entry.action, in_cell(entry.replacements), in_cell(entry.metrics)


def _found(item: ScoredPlan, pair: Pair) -> Row:
    """A pair's probabilities, sub-scores and reasons."""
    gold, plan = item.gold.ablations[pair.gold], item.plan.ablations[pair.plan]
    both_options, both_metrics = gold.replacements and plan.replacements, gold.metrics and plan.metrics
    return (
        pair.part_probability,
        pair.match_probability,
        pair.borderline,
        pair.decided_by,
        None if gold.action is None else gold.action is plan.action,
        options_in_common(gold.replacements, plan.replacements) if both_options else None,
        metrics_in_common(gold.metrics, plan.metrics) if both_metrics else None,
        "; ".join(words for words, weight in pair.evidence if weight > 0),
        "; ".join(words for words, weight in pair.evidence if weight < 0),
    )
