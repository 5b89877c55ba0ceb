"""Turn scored plans into counts and table rows, without frames, as a worker returns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.set_overlap import metrics_in_common, options_in_common
from evalkit.storage.tables import Table, TableFormat, from_cell, in_cell, rows_csv, table_content
from evalkit.types import COUNT_NAMES, Ablation, Action, CompatScore, Pair, PaperScore, ScoredPlan

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[object, ...]
Compat = tuple[PaperScore, CompatScore]
PLAN_COLUMNS = ["planner", "paper", "sample", "status", "path", "trace"]
TEXT_COLUMNS = {
    "gold": ("gold_name", "gold_part", "gold_action", "gold_replacements", "gold_metrics"),
    "plan": ("plan_name", "plan_part", "plan_action", "plan_replacements", "plan_metrics"),
}
EVIDENCE_COLUMNS = [
    "part_probability", "match_probability", "borderline", "decided_by", "same_action", "shared_options",
    "shared_metrics", "speaks_for", "speaks_against",
]  # fmt: skip
PAIR_COLUMNS = [
    "planner", "paper", "sample", "status", "gold_entry", "plan_entry", *EVIDENCE_COLUMNS, *TEXT_COLUMNS["gold"],
    *TEXT_COLUMNS["plan"],
]  # fmt: skip
NO_TEXTS = (nan,) * 5
NO_EVIDENCE = (nan,) * len(EVIDENCE_COLUMNS)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a worker returns for a batch: the counts of plans as columns, sums [plan, COUNT_NAMES], and table rows.

    Rows of the long tables are bytes where a run is written to a folder as it comes.
    """

    planners: list[str]
    papers: list[str]
    statuses: list[str]
    sums: NDArray[np.float64]
    pairs: list[Row] | bytes = b""
    plans: list[Row] | bytes = b""
    compat: Sequence[Compat] = ()

    def plan_rows(self, start: int, end: int | None) -> BatchResult:
        """Return the counts of some of the plans."""
        some = slice(start, end)
        return BatchResult(self.planners[some], self.papers[some], self.statuses[some], self.sums[some])


def batch_result(scored: Sequence[ScoredPlan], table_format: TableFormat | None = None) -> BatchResult:
    """Return the counts of scored plans, and their rows of the long tables, as bytes where a format is given."""
    pairs: list[Row] = [row for item in scored for row in pair_rows(item)]
    plans: list[Row] = [plan_row(item) for item in scored]
    return replace(
        score_columns([item.score for item in scored]),
        pairs=_encoded(PAIR_COLUMNS, pairs, table_format) if table_format else pairs,
        plans=_encoded(PLAN_COLUMNS, plans, table_format) if table_format else plans,
        compat=[(item.score, item.compat) for item in scored if item.compat is not None],
    )


def _encoded(columns: Sequence[str], rows: Sequence[Row], table_format: TableFormat) -> bytes:
    """Encode rows of a long table: CSV without a frame, which would cost more than all else for a cached plan."""
    if table_format.form == "csv":
        return rows_csv(rows, table_format.signature)
    return table_content(table_of_rows(columns, rows), table_format)


def table_of_rows(columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """Return the table of these rows."""
    return dict(zip(columns, zip(*rows, strict=True) if rows else ((),) * len(columns), strict=True))


def score_columns(scores: Sequence[PaperScore]) -> BatchResult:
    """Return the counts of scores as columns."""
    sums = np.array([score.counts.values() for score in scores], dtype=np.float64).reshape(-1, len(COUNT_NAMES))
    return BatchResult([s.planner for s in scores], [s.paper for s in scores], [s.status for s in scores], sums)


def joined(batches: Sequence[BatchResult]) -> BatchResult:
    """Join the counts of several batches."""
    return BatchResult(
        [name for batch in batches for name in batch.planners],
        [name for batch in batches for name in batch.papers],
        [status for batch in batches for status in batch.statuses],
        np.concatenate([batch.sums for batch in batches]) if batches else np.empty((0, len(COUNT_NAMES))),
    )


def plan_row(item: ScoredPlan) -> Row:
    """Return where a plan, also a missing one, came from, how it was read, and the reasoning that came with it."""
    score, plan = item.score, item.plan
    return score.planner, score.paper, score.sample, score.status, plan.path, plan.trace


def pair_rows(item: ScoredPlan) -> list[Row]:
    """Return the pairs of one plan by status: match, part, missed, spurious, candidate. Entries count from 1."""
    alignment = item.alignment
    names = (item.score.planner, item.gold.paper, item.plan.sample)
    gold = [_texts(entry) for entry in item.gold.ablations]
    plan = [_texts(entry) for entry in item.plan.ablations]

    def row(status: str, pair: Pair) -> Row:
        g, p = pair.gold, pair.plan
        return *names, status, g + 1, p + 1, *_evidence(item, pair), *gold[g], *plan[p]

    rows = [row("match" if pair.matched else "part", pair) for pair in alignment.pairs]
    rows.extend((*names, "missed", g + 1, nan, *NO_EVIDENCE, *gold[g], *NO_TEXTS) for g in alignment.missed)
    rows.extend((*names, "spurious", nan, p + 1, *NO_EVIDENCE, *NO_TEXTS, *plan[p]) for p in alignment.spurious)
    rows.extend(row("candidate", pair) for pair in alignment.candidates)
    return rows


def row_entries(rows: pd.DataFrame, side: str) -> tuple[Ablation, ...]:
    """Return the entries of one side ("gold" or "plan") of a list, from its rows of the pairs table."""
    number = f"{side}_entry"
    own = rows[rows[number].notna()].drop_duplicates(number).sort_values(number)
    entries = []
    for row in own.to_dict("records"):
        name, part, action, *lists = (row[column] for column in TEXT_COLUMNS[side])
        options, metrics = (tuple(filter(None, from_cell(cell))) for cell in lists)
        kind = Action(action) if isinstance(action, str) and action else None
        entries.append(Ablation(_text(name), _text(part), kind, options, metrics))
    return tuple(entries)


def _text(cell: object) -> str:
    return str(cell) if isinstance(cell, str) else ""


def _texts(entry: Ablation) -> Row:
    return entry.name, entry.part, entry.action, in_cell(entry.replacements), in_cell(entry.metrics)


def _evidence(item: ScoredPlan, pair: Pair) -> Row:
    """Return a pair's probabilities, sub-scores and reasons."""
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
