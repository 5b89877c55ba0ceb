"""Say how far judges agree about plans: counts and coefficients.

The unit is a pair of a gold entry and a plan entry (in the reviewer task, a plan entry), so it matters *which* entry
was matched. A unit is counted once however often a judge repeats itself, and what a judge did not rate is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evalkit.metrics.agreement import cohen_kappa, krippendorff_alpha
from evalkit.text import normalise_id
from evalkit.types import Plan

if TYPE_CHECKING:
    from evalkit.judges.recorded.voting import Judgements

UnitRatings = list[bool | None]
LISTED = 20


def agreement(judgements: Judgements, work: Iterable[tuple[Plan, Plan]]) -> dict[str, Any]:
    """Return per judge what it said, per two judges how they compare, over all of them Krippendorff's alpha."""
    columns: list[UnitRatings] = [[] for _ in judgements.judges]
    plans = unjudged = 0
    for gold, plan in work:
        plans += bool(plan.ablations)
        unjudged += bool(plan.ablations) and not any(judgements.of_plan(gold, plan))
        for column, ratings in zip(columns, judgements.ratings(gold, plan), strict=True):
            units = zip(ratings.full.flat, ratings.rated.flat, strict=True)
            column.extend(bool(full) if rated else None for full, rated in units)
    named = dict(zip(judgements.names, columns, strict=True))
    return {
        "plans": plans,
        "unjudged": unjudged,
        "pairs": len(columns[0]),
        "judges": {
            name: {"rated": len(column) - column.count(None), "matched": column.count(True)}
            for name, column in named.items()
        },
        "compared": [{"judge": a, "against": b, **compare(named[a], named[b])} for a, b in combinations(named, 2)],
        "krippendorff_alpha": krippendorff_alpha(zip(*columns, strict=True)) if len(columns) > 1 else None,
    }


def published(judgements: Judgements, work: Iterable[tuple[Plan, Plan]], top_k: int | None) -> dict[str, Any] | None:
    """Compare a judge's own `evaluations.json` with a recount of its rows; None where there is nothing to compare."""
    if len(judgements.judges) > 1:
        return None
    figures = {(name, normalise_id(paper)): own for (name, paper), own in judgements.judges[0].published.items()}
    compared, differing = 0, []
    for gold, plan in work:
        key = normalise_id(f"{plan.paper}.{plan.sample}" if plan.sample else plan.paper)
        own = next(filter(None, (figures.get((name, key)) for name in judgements.planner_names(plan))), None)
        if own is None:
            continue
        compat = judgements.compat(gold, plan, top_k)
        counted = {"precision": compat.tally.precision, "recall": compat.tally.recall, "f1_score": compat.tally.f1}
        counted["ndcg_score"] = compat.ndcg
        compared += 1
        differing += [
            {"planner": plan.planner, "paper": plan.paper, "figure": name, "published": value, "counted": counted[name]}
            for name, value in own.items()
            if abs((counted[name] or 0.0) - value) > 1e-9
        ]
    papers = {(item["planner"], item["paper"]) for item in differing}
    result = {"compared": compared, "equal": compared - len(papers), "differing": differing[:LISTED]}
    return result if compared else None


def compare(judge: UnitRatings, against: UnitRatings) -> dict[str, float | int | None]:
    """Compare one judge with another (or with people), over the units that both rated."""
    both = [(a, b) for a, b in zip(judge, against, strict=True) if a is not None and b is not None]
    hits, judged, wanted = both.count((True, True)), sum(a for a, _ in both), sum(b for _, b in both)
    return {
        "pairs": len(both),
        "both": hits,
        "judge_only": judged - hits,
        "against_only": wanted - hits,
        "precision": hits / judged if judged else None,
        "recall": hits / wanted if wanted else None,
        "f1": 2 * hits / (judged + wanted) if judged + wanted else None,
        "kappa": cohen_kappa(*zip(*both, strict=True)) if both else None,
    }
