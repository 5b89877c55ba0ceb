"""How far judges agree: takes Votes and the plans they are about, gives counts and coefficients.

The unit is a pair of a gold entry and a plan entry (in the reviewer task, a plan entry), so it matters *which* entry
was matched. A unit is counted once however often a judge repeats itself; what a judge did not rate is missing, not a
no; and a judge who matches nothing matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

from evalkit.judges.recorded.votes import Votes
from evalkit.metrics.agreement import cohen_kappa, krippendorff_alpha
from evalkit.text import normalise_id
from evalkit.types import Plan

Ratings = list[bool | None]
LISTED = 20


def agreement(judgements: Votes, work: Iterable[tuple[Plan, Plan]]) -> dict[str, Any]:
    """Per judge what it said, per two judges how they compare, over all of them Krippendorff's alpha."""
    ratings: list[Ratings] = [[] for _ in judgements.judges]
    plans = unjudged = 0
    for gold, plan in work:
        plans += bool(plan.ablations)
        unjudged += bool(plan.ablations) and not any(judgements.sheets(gold, plan))
        for said, verdict in zip(ratings, judgements.verdicts(gold, plan), strict=True):
            flat = zip(verdict.full.flat, verdict.rated.flat, strict=True)
            said.extend(bool(full) if rated else None for full, rated in flat)
    named = dict(zip(judgements.names, ratings, strict=True))
    return {
        "plans": plans,
        "unjudged": unjudged,
        "pairs": len(ratings[0]),
        "judges": {name: _alone(said) for name, said in named.items()},
        "compared": [{"judge": a, "against": b, **compare(named[a], named[b])} for a, b in combinations(named, 2)],
        "krippendorff_alpha": krippendorff_alpha(zip(*ratings, strict=True)) if len(ratings) > 1 else None,
    }


def published(judgements: Votes, work: Iterable[tuple[Plan, Plan]], top_k: int | None) -> dict[str, Any] | None:
    """A judge's own `evaluations.json` held against a recount of its rows; None where there is nothing to hold."""
    if len(judgements.judges) > 1:
        return None
    figures = {
        (planner, normalise_id(paper)): said for (planner, paper), said in judgements.judges[0].published.items()
    }
    compared, differing = 0, []
    for gold, plan in work:
        key = normalise_id(f"{plan.paper}.{plan.sample}" if plan.sample else plan.paper)
        known = (figures.get((name, key)) for name in judgements.planners_of(plan))
        if (said := next(filter(None, known), None)) is None:
            continue
        compat = judgements.compat(gold, plan, top_k)
        counted = {"precision": compat.tally.precision, "recall": compat.tally.recall, "f1_score": compat.tally.f1}
        counted["ndcg_score"] = compat.ndcg
        off = {name: value for name, value in said.items() if abs((counted[name] or 0.0) - value) > 1e-9}
        compared += 1
        differing += [
            {"planner": plan.planner, "paper": plan.paper, "figure": name, "published": value, "counted": counted[name]}
            for name, value in off.items()
        ]
    papers = {(item["planner"], item["paper"]) for item in differing}
    return (
        {"compared": compared, "equal": compared - len(papers), "differing": differing[:LISTED]} if compared else None
    )


def _alone(said: Ratings) -> dict[str, int]:
    """How much a judge rated, and how much of it it matched."""
    return {"rated": sum(rating is not None for rating in said), "matched": sum(rating is True for rating in said)}


def compare(judge: Ratings, against: Ratings) -> dict[str, float | int | None]:
    """One judge held against another (or against people), over the units that both rated."""
    both = [(a, b) for a, b in zip(judge, against, strict=True) if a is not None and b is not None]
    table = np.array([[sum((a, b) == (x, y) for a, b in both) for y in (True, False)] for x in (True, False)])
    hits, judged, given = int(table[0, 0]), int(table[0].sum()), int(table[:, 0].sum())
    return {
        "pairs": len(both),
        "both": hits,
        "judge_only": judged - hits,
        "against_only": given - hits,
        "precision": hits / judged if judged else None,
        "recall": hits / given if given else None,
        "f1": 2 * hits / (judged + given) if judged + given else None,
        "kappa": cohen_kappa(*zip(*both, strict=True)) if both else None,
    }
