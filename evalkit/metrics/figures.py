"""Takes sums, gives figures: each ratio of the scoring contract, defined once, for one paper or for many at a time.

Every formula works on floats and on arrays alike, so that a paper, a planner's total and ten thousand resamples of
it go through the same lines. Undefined is NaN here; tables print it as an empty cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.types import RANKS, Action

Values = NDArray[np.float64]
Sums = Mapping[str, Any]
Formula = Callable[[Sums], Values]
Family = Literal["match", "part", "action", "replacement", "metric", "rank", "doubt", "coverage"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A named ratio: its family, one sentence of meaning, how it is computed, and which averages make sense of it."""

    family: Family
    meaning: str
    formula: Formula
    macro: bool = True
    micro: bool = True


def ratio(numerator: Any, denominator: Any) -> Values:
    """`numerator / denominator`, undefined where there is nothing to divide by."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    undefined = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=below > 0))


def harmonic(hits_plan: Any, plan: Any, hits_gold: Any, gold: Any) -> Values:
    """F1 of precision `hits_plan / plan` and recall `hits_gold / gold`; undefined only where both lists are empty.

    Written as 2ab / (a * gold + b * plan), which is the harmonic mean with the divisions taken out: an empty plan
    has no precision, but its F1 is 0, because its recall is.
    """
    a, b = np.asarray(hits_plan, dtype=np.float64), np.asarray(hits_gold, dtype=np.float64)
    below = a * np.asarray(gold, dtype=np.float64) + b * np.asarray(plan, dtype=np.float64)
    entries = np.asarray(gold, dtype=np.float64) + np.asarray(plan, dtype=np.float64)
    value = np.divide(2 * a * b, below, out=np.zeros_like(below), where=below > 0)
    return np.where(entries > 0, value, np.nan)


def kappa(s: Sums) -> Values:
    """Cohen's kappa of the 3x3 action table; undefined without pairs or where chance alone would agree fully."""
    names = [action.value.lower() for action in Action]
    table = np.stack([np.asarray(s[f"{g}_{p}"], dtype=np.float64) for g in names for p in names])
    table = table.reshape(3, 3, *table.shape[1:])
    total = table.sum(axis=(0, 1))
    observed = ratio(table[0, 0] + table[1, 1] + table[2, 2], total)
    chance = ratio((table.sum(axis=0) * table.sum(axis=1)).sum(axis=0), total * total)
    return ratio(observed - chance, 1 - chance)


def _prf(prefix: str, family: Family, what: str, names: tuple[str, str, str, str]) -> dict[str, Figure]:
    """Precision, recall and F1 from the columns (hits in the plan, plan, hits in gold, gold)."""
    hits_plan, plan, hits_gold, gold = names

    def precision(s: Sums) -> Values:
        return ratio(s[hits_plan], s[plan])

    def recall(s: Sums) -> Values:
        return ratio(s[hits_gold], s[gold])

    def f1(s: Sums) -> Values:
        return harmonic(s[hits_plan], s[plan], s[hits_gold], s[gold])

    return {
        f"{prefix}_precision": Figure(family, f"share of the plan's {what}", precision),
        f"{prefix}_recall": Figure(family, f"share of gold's {what}", recall),
        f"{prefix}_f1": Figure(family, f"harmonic mean of the two, {what}", f1),
    }


def _at_rank(k: int) -> dict[str, Figure]:
    """The rank-aware figures of a plan's first `k` entries."""
    return {
        f"recall_at_{k}": Figure(
            "rank",
            f"share of gold entries fully matched by the plan's first {k}",
            lambda s: ratio(s[f"covered_at_{k}"], s["gold_entries"]),
        ),
        f"precision_at_{k}": Figure(
            "rank",
            f"share of the plan's first {k} entries that match fully",
            lambda s: ratio(s[f"hits_at_{k}"], s[f"slots_at_{k}"]),
        ),
        f"ndcg_at_{k}": Figure(
            "rank",
            f"discounted gain of the plan's first {k} against the best possible order",
            lambda s: ratio(s[f"ndcg_at_{k}"], s["papers"]),
            micro=False,
        ),
    }


def _table() -> dict[str, Figure]:
    """All figures in the order in which tables show them."""
    match = ("match_plan", "plan_entries", "match_gold", "gold_entries")
    part = ("part_plan", "plan_entries", "part_gold", "gold_entries")
    replacement = ("replacement_matched", "replacement_plan", "replacement_matched", "replacement_gold")
    metric = ("metric_matched", "metric_plan", "metric_matched", "metric_gold")
    table = {
        **_prf("match", "match", "entries that match fully", match),
        **_prf("part", "part", "entries whose part is shared", part),
        "action_agreement": Figure(
            "action", "share of aligned pairs with the same action",
            lambda s: ratio(s["action_agreed"], s["action_pairs"]),
        ),
        "action_kappa": Figure("action", "Cohen's kappa of gold's and the plan's actions", kappa, macro=False),
        **_prf("replacement", "replacement", "options, over aligned pairs with options", replacement),
        **_prf("metric", "metric", "metrics, over aligned pairs with metrics", metric),
    }  # fmt: skip
    for k in RANKS:
        table |= _at_rank(k)
    return table | {
        "average_precision": Figure(
            "rank", "mean precision at the ranks of the matches, over all gold entries",
            lambda s: ratio(s["average_precision"], s["papers"]), micro=False,
        ),
        "coverage": Figure(
            "coverage", "share of gold papers for which a plan with entries was read",
            lambda s: ratio(s["planned"], s["papers"]), micro=False,
        ),
        "match_f1_if_none": Figure(
            "doubt", "match F1 if no borderline pair were a match",
            lambda s: harmonic(
                s["match_plan_if_none"], s["plan_entries"], s["match_gold_if_none"], s["gold_entries"]
            ),
        ),
        "match_f1_if_all": Figure(
            "doubt", "match F1 if every borderline pair were a match",
            lambda s: harmonic(s["match_plan_if_all"], s["plan_entries"], s["match_gold_if_all"], s["gold_entries"]),
        ),
        "match_f1_expected": Figure(
            "doubt", "match F1 to be expected if the matcher's probabilities are right",
            lambda s: harmonic(
                s["match_plan_expected"], s["plan_entries"], s["match_gold_expected"], s["gold_entries"]
            ),
        ),
    }  # fmt: skip


FIGURES: dict[str, Figure] = _table()
HEADLINES: tuple[str, ...] = (
    "match_f1",
    "match_precision",
    "match_recall",
    "part_f1",
    "part_precision",
    "part_recall",
    "action_agreement",
    "replacement_f1",
    "metric_f1",
    "recall_at_5",
    "ndcg_at_5",
    "average_precision",
)


def figures(sums: Sums, names: tuple[str, ...] = tuple(FIGURES)) -> dict[str, Values]:
    """The named figures of one row of sums, or of many rows at once."""
    return {name: FIGURES[name].formula(sums) for name in names}
