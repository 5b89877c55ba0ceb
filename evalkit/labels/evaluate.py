"""Takes labelled pairs and a calibration, gives how well it agrees with the labels, and what that does to scores.

Decisions of pairs are probability against threshold, before assignment; what assignment makes of them is told beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.labels import pair_metrics
from evalkit.matching.assign import align
from evalkit.matching.calibration import Calibration
from evalkit.matching.features import features
from evalkit.matching.features.vectors import TextVectors
from evalkit.matching.probability import probabilities
from evalkit.storage.label_files import LabelledPlan
from evalkit.types import Ablation, Thresholds

SCHEMA_VERSION = 1
WORST = 20
Matrix = NDArray[np.float64]
Vectors = Mapping[str, TextVectors]


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled row with the probabilities of its pairs."""

    row: LabelledPlan
    part: Matrix
    match: Matrix


def agreement(rows: Sequence[LabelledPlan], calibration: Calibration, vectors: Vectors | None) -> dict[str, Any]:
    """How well a calibration agrees with labels on these rows."""
    judged = [Judged(row, *probabilities(features(row.gold, row.plan, vectors), calibration)) for row in rows]
    return report(judged, calibration.thresholds, calibration.id)


def report(judged: Sequence[Judged], limits: Thresholds, calibration: str) -> dict[str, Any]:
    """Agreement from probabilities, wherever they come from (held out or not)."""
    tasks = sorted({one.row.task for one in judged})
    chances, truth = _flat(judged, "match")
    planners = _planners(judged, limits)
    return {
        "schema_version": SCHEMA_VERSION,
        "calibration": calibration,
        "rows": len(judged),
        "papers": len({one.row.paper for one in judged}),
        "pairs": len(truth),
        **_both(judged, limits),
        "by_task": {task: _both([one for one in judged if one.row.task == task], limits) for task in tasks},
        "after_assignment": _assigned(judged, limits),
        "per_planner": planners,
        "mean_absolute_error": _mean([abs(p["f1_labels"] - p["f1_matcher"]) for p in planners]),
        "rank_correlation": pair_metrics.rank_correlation(
            *([p[k] for p in planners] for k in ("f1_labels", "f1_matcher"))
        ),
        "risk_coverage": pair_metrics.risk_coverage(chances, truth, limits.match),
        "reliability": [
            {"pairs": b.pairs, "predicted": b.predicted, "observed": b.observed}
            for b in pair_metrics.reliability(chances, truth)
        ],
        "worst": _worst(judged, limits),
    }


def _flat(judged: Sequence[Judged], what: str) -> tuple[Matrix, NDArray[np.bool_]]:
    """The probabilities of all decided pairs, and what the labels say of them."""
    chances = np.concatenate([getattr(one, what)[one.row.known_table] for one in judged])
    return chances, np.concatenate([getattr(one.row, f"{what}_table")[one.row.known_table] for one in judged])


def _both(judged: Sequence[Judged], limits: Thresholds) -> dict[str, Any]:
    """Precision, recall, F1, kappa, average precision and calibration error, for parts and for matches."""
    found = {}
    for what, limit in (("match", limits.match), ("part", limits.part)):
        chances, truth = _flat(judged, what)
        found[what] = pair_metrics.decisions(chances >= limit, truth) | pair_metrics.ranking(chances, truth)
    return found


def _matched(one: Judged, limits: Thresholds, *, labels: bool) -> set[tuple[int, int]]:
    """The pairs that are aligned one-to-one and match fully, by the labels or by the matcher."""
    row = one.row
    part, match = (row.part_table.astype(float), row.match_table.astype(float)) if labels else (one.part, one.match)
    found = align(part, match, (row.gold, row.plan), limits, "one-to-one")
    return {(pair.gold, pair.plan) for pair in found.pairs if pair.matched}


def _assigned(judged: Sequence[Judged], limits: Thresholds) -> dict[str, float | None]:
    """Full matches after assignment against those that the labels' own assignment keeps."""
    hits = said = true = 0
    for one in judged:
        matcher, labels = (_matched(one, limits, labels=labels) for labels in (False, True))
        hits += sum((pair in one.row.match) for pair in matcher)
        said, true = said + len(matcher), true + len(labels)
    precision, recall = (hits / said if said else None), (min(hits / true, 1.0) if true else None)
    return {"precision": precision, "recall": recall, "f1": pair_metrics.f1(hits, said, true)}


def _planners(judged: Sequence[Judged], limits: Thresholds) -> list[dict[str, Any]]:
    """Each planner's macro match F1 as the labels have it and as the matcher has it."""
    table: dict[str, list[tuple[float, float]]] = {}
    for one in judged:
        entries = len(one.row.gold) + len(one.row.plan)
        matcher, labels = (2 * len(_matched(one, limits, labels=labels)) / entries for labels in (False, True))
        table.setdefault(one.row.planner, []).append((labels, matcher))
    return [
        {
            "planner": planner,
            "plans": len(pairs),
            "f1_labels": _mean([labels for labels, _ in pairs]),
            "f1_matcher": _mean([matcher for _, matcher in pairs]),
        }
        for planner, pairs in sorted(table.items())
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _worst(judged: Sequence[Judged], limits: Thresholds) -> list[dict[str, Any]]:
    """The pairs whose probability is furthest from their label."""
    found = [
        (abs(float(one.match[g, p]) - ((g, p) in one.row.match)), at, g, p)
        for at, one in enumerate(judged)
        for g, p in np.ndindex(one.match.shape)
        if (one.match[g, p] >= limits.match) != ((g, p) in one.row.match) and (g, p) not in one.row.undecided
    ]
    return [_told(judged[at], g, p) for _, at, g, p in sorted(found, key=lambda f: (-f[0], *f[1:]))[:WORST]]


def _told(one: Judged, g: int, p: int) -> dict[str, Any]:
    row = one.row
    return {
        "paper": row.paper, "task": row.task, "planner": row.planner,
        "label": (g, p) in row.match, "same_part": (g, p) in row.match | row.same_part,
        "match_probability": float(one.match[g, p]), "part_probability": float(one.part[g, p]),
        "gold": _entry(row.gold[g]), "plan": _entry(row.plan[p]),
    }  # fmt: skip


def _entry(entry: Ablation) -> dict[str, Any]:
    action = entry.action.value if entry.action else None
    return {"name": entry.name, "ablated_part": entry.part, "action": action, "replacement": list(entry.replacements)}
