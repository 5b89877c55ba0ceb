"""Takes a ScoredPlan, gives the bytes to keep of it and the plan again: what was decided and counted, without texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evalkit.types import Alignment, Counts, Pair, PaperScore, Plan, PlanStatus, ScoredPlan


def remembered(scored: ScoredPlan) -> bytes:
    """The decisions and counts of a plan. JSON holds a float to the last bit."""
    found = scored.alignment
    said = {
        "pairs": [_listed(pair) for pair in found.pairs],
        "candidates": [_listed(pair) for pair in found.candidates],
        "alone": [found.missed, found.spurious],
        "counts": scored.score.counts.values(),
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def recalled(content: bytes, gold: Plan, plan: Plan, status: PlanStatus) -> ScoredPlan:
    """The plan as it was scored; names, status and texts are those of the plan at hand."""
    said = json.loads(content)
    missed, spurious = said["alone"]
    found = Alignment(_pairs(said["pairs"]), tuple(missed), tuple(spurious), _pairs(said["candidates"]))
    score = PaperScore(gold.paper, plan.planner or "", Counts(*said["counts"]), status, plan.sample)
    return ScoredPlan(gold, plan, found, score)


def _listed(pair: Pair) -> Sequence[Any]:
    return (
        pair.gold, pair.plan, pair.part_probability, pair.match_probability,
        pair.matched, pair.borderline, pair.decided_by, pair.evidence,
    )  # fmt: skip


def _pairs(rows: Sequence[Sequence[Any]]) -> tuple[Pair, ...]:
    found = []
    for gold, plan, part, match, matched, borderline, by, reasons in rows:
        evidence = tuple((words, weight) for words, weight in reasons)
        found.append(Pair(gold, plan, part, match, matched, borderline, by, evidence))
    return tuple(found)
