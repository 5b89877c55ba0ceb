"""The counts of a plan against gold, from their Alignment; nothing is aligned or divided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import log2

from evalkit.metrics.set_overlap import metrics_in_common, options_in_common
from evalkit.types import RANKS, Ablation, Alignment, Counts, Pair, PaperScore, Plan, PlanStatus

# Codes of plans that do not exist: of the paper at all, or of some of its samples.
MISSING_PLAN, LOST_SAMPLE = "missing-plan", "lost-sample"


def score_paper(
    gold: Plan,
    plan: Plan,
    alignment: Alignment,
    doubt: tuple[Alignment, Alignment],
    expected: tuple[float, float] | None = None,
) -> PaperScore:
    """Return the counts of one plan; `doubt` has the alignments if no borderline pair were a match, and if all were.

    `expected` are the matched entries of gold and of the plan under the matcher's probabilities; where nothing is left
    to chance, they are those of the alignment.
    """
    pairs = [(gold.ablations[pair.gold], plan.ablations[pair.plan]) for pair in alignment.pairs]
    matched = [pair for pair in alignment.pairs if pair.matched]
    borderline = sum(pair.borderline for pair in (*alignment.pairs, *alignment.candidates))
    weights = [entry.weight for entry in gold.ablations]
    none, every = ([pair for pair in end.pairs if pair.matched] for end in doubt)
    counts = Counts(
        papers=1,
        planned=float(bool(plan.ablations)),
        gold_entries=len(gold.ablations),
        plan_entries=len(plan.ablations),
        part_gold=_distinct(pair.gold for pair in alignment.pairs),
        part_plan=_distinct(pair.plan for pair in alignment.pairs),
        match_gold=_distinct(pair.gold for pair in matched),
        match_plan=_distinct(pair.plan for pair in matched),
        aligned_pairs=len(pairs),
        borderline_pairs=borderline,
        match_gold_if_none=_distinct(pair.gold for pair in none),
        match_plan_if_none=_distinct(pair.plan for pair in none),
        match_gold_if_all=_distinct(pair.gold for pair in every),
        match_plan_if_all=_distinct(pair.plan for pair in every),
        match_gold_expected=expected[0] if expected else _distinct(pair.gold for pair in matched),
        match_plan_expected=expected[1] if expected else _distinct(pair.plan for pair in matched),
        paper_weight=gold.weight,
        gold_weight=sum(weights),
        match_weight=sum(weights[place] for place in sorted({pair.gold for pair in matched})),
        **_actions(pairs),
        **_overlaps(pairs),
        **_ranking(matched, len(gold.ablations), len(plan.ablations)),
    )
    return PaperScore(gold.paper, plan.planner or "", counts, plan_status(plan), plan.sample)


def plan_status(plan: Plan) -> PlanStatus:
    """Return whether there is a plan, and if not, whether it was missing, empty or could not be read."""
    if plan.ablations:
        return "planned"
    if any(diagnostic.code in (MISSING_PLAN, LOST_SAMPLE) for diagnostic in plan.diagnostics):
        return "missing"
    return "unreadable" if any(item.severity == "error" for item in plan.diagnostics) else "empty"


def _distinct(indices: Iterable[int]) -> int:
    """Count different entries: in group alignment one entry may stand in several pairs."""
    return len(set(indices))


def _actions(pairs: Sequence[tuple[Ablation, Ablation]]) -> dict[str, float]:
    """Agreement over pairs whose gold action is specified, and the 3x3 table over pairs where both are."""
    counts: dict[str, float] = {}
    for gold, plan in pairs:
        if gold.action is None:
            continue
        counts["action_pairs"] = counts.get("action_pairs", 0) + 1
        counts["action_agreed"] = counts.get("action_agreed", 0) + (gold.action is plan.action)
        if plan.action is not None:
            cell = f"{gold.action.value}_{plan.action.value}".lower()
            counts[cell] = counts.get(cell, 0) + 1
    return counts


def _overlaps(pairs: Sequence[tuple[Ablation, Ablation]]) -> dict[str, float]:
    """Options over pairs with options on both sides; metrics over pairs whose gold names metrics."""
    options = [
        (gold.replacements, plan.replacements) for gold, plan in pairs if gold.replacements and plan.replacements
    ]
    metrics = [(gold.metrics, plan.metrics) for gold, plan in pairs if gold.metrics]
    return {
        "replacement_pairs": len(options),
        "replacement_gold": sum(len(gold) for gold, _ in options),
        "replacement_plan": sum(len(plan) for _, plan in options),
        "replacement_matched": sum(options_in_common(gold, plan) for gold, plan in options),
        "metric_pairs": len(metrics),
        "metric_gold": sum(len(gold) for gold, _ in metrics),
        "metric_plan": sum(len(plan) for _, plan in metrics),
        "metric_matched": sum(metrics_in_common(gold, plan) for gold, plan in metrics),
    }


def _ranking(matched: Sequence[Pair], gold: int, plan: int) -> dict[str, float]:
    """Return the rank-aware counts; only gold that no earlier entry matched is a gain, so repeating wins nothing."""
    first: dict[int, int] = {}
    for pair in sorted(matched, key=lambda pair: pair.plan):
        first.setdefault(pair.gold, pair.plan)
    matching = {pair.plan for pair in matched}
    useful = set(first.values())
    gains = tuple([int(index in useful) for index in range(plan)])
    counts: dict[str, float] = {}
    for k in RANKS:
        counts[f"covered_at_{k}"] = len([index for index in first.values() if index < k])
        counts[f"hits_at_{k}"] = len([index for index in matching if index < k])
        counts[f"slots_at_{k}"] = min(k, plan)
        best = _discounted((1,) * min(k, gold))
        counts[f"ndcg_at_{k}"] = _discounted(gains[:k]) / best if best else 0.0
    precisions = [nth / (index + 1) for nth, index in enumerate(sorted(useful), 1)]
    counts["average_precision"] = sum(precisions) / gold if gold else 0.0
    return counts


@lru_cache(maxsize=1024)
def _discounted(hits: tuple[int, ...]) -> float:
    """Discounted cumulative gain: a hit at position i (from 1) is worth 1 / log2(i + 1)."""
    return sum(hit / log2(rank + 1) for rank, hit in enumerate(hits, 1))
