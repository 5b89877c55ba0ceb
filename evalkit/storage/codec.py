"""Encode plans and scored plans as JSON bytes for the cache, the spool and other processes, and decode them.

JSON holds a float to the last bit. A document is encoded without its path and without the names that only its path
gives, so that one text is cached once, wherever it lies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from evalkit.types import (
    Ablation,
    Action,
    Alignment,
    Counts,
    Diagnostic,
    Pair,
    PaperScore,
    Plan,
    PlanStatus,
    ScoredPlan,
)


class PathName(str):
    """A planner or paper that the path gives; its type tells it from the same name in a text."""

    __slots__ = ()


def encode_plans(plans: Iterable[Plan]) -> bytes:
    """Encode the plans of one document; a PathName becomes 0."""
    rows = [
        [
            _encode_name(plan.paper), _encode_name(plan.planner), plan.trace, plan.sample, plan.about,
            [(entry.name, entry.part, entry.action, entry.replacements, entry.metrics, entry.draft, entry.source)
             for entry in plan.ablations],
            [(item.severity, item.code, item.message, item.line) for item in plan.diagnostics],
        ]
        for plan in plans
    ]  # fmt: skip
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode_plans(content: bytes, path: str, planner: str | None = None, paper: str | None = None) -> tuple[Plan, ...]:
    """Decode the plans of a document that lies at this path, which gives these names."""
    return tuple(
        Plan(
            (paper or "") if paper_name == 0 else paper_name,
            planner if planner_name == 0 else planner_name,
            tuple([
                Ablation(name, part, action and Action(action), tuple(options), tuple(metrics), draft, source)
                for name, part, action, options, metrics, draft, source in entries
            ]),
            tuple([Diagnostic(severity, code, message, path, line) for severity, code, message, line in diagnostics]),
            path, trace, sample, tuple((key, text) for key, text in about),
        )
        for paper_name, planner_name, trace, sample, about, entries, diagnostics in json.loads(
            content.decode("utf-8", "surrogatepass")
        )
    )  # fmt: skip


def _encode_name(name: str | None) -> str | int | None:
    return 0 if isinstance(name, PathName) else name


def encode_score(scored: ScoredPlan) -> bytes:
    """Encode the alignment and counts of a plan, without its texts."""
    alignment = scored.alignment
    values = {
        "pairs": [_pair_values(pair) for pair in alignment.pairs],
        "candidates": [_pair_values(pair) for pair in alignment.candidates],
        "alone": [alignment.missed, alignment.spurious],
        "counts": scored.score.counts.values(),
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def decode_score(content: bytes, gold: Plan, plan: Plan, status: PlanStatus) -> ScoredPlan:
    """Decode a score; names, status and texts are those of this plan."""
    values = json.loads(content)
    missed, spurious = values["alone"]
    alignment = Alignment(_pairs(values["pairs"]), tuple(missed), tuple(spurious), _pairs(values["candidates"]))
    score = PaperScore(gold.paper, plan.planner or "", Counts(*values["counts"]), status, plan.sample)
    return ScoredPlan(gold, plan, alignment, score)


def _pair_values(pair: Pair) -> Sequence[Any]:
    return (
        pair.gold, pair.plan, pair.part_probability, pair.match_probability,
        pair.matched, pair.borderline, pair.decided_by, pair.evidence,
    )  # fmt: skip


def _pairs(rows: Sequence[Sequence[Any]]) -> tuple[Pair, ...]:
    return tuple([
        Pair(gold, plan, part, match, matched, borderline, by, tuple([(words, weight) for words, weight in evidence]))
        for gold, plan, part, match, matched, borderline, by, evidence in rows
    ])  # fmt: skip
