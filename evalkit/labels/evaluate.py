"""Evaluate a calibration on labelled pairs: how well it agrees with the labels, and what that does to scores.

Decisions of pairs are probability against threshold, before assignment; matches after assignment stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.labels import pair_metrics
from evalkit.matching.assign import align
from evalkit.matching.calibration import Calibration, probabilities
from evalkit.matching.embeddings import TextVectors
from evalkit.matching.features import features
from evalkit.storage.label_files import LabelledPlan
from evalkit.types import Ablation, Thresholds

SCHEMA_VERSION = 1
WORST = 20
Matrix = NDArray[np.float64]
Vectors = Mapping[str, TextVectors]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A labelled plan with the probabilities of its pairs `[gold, plan]`."""

    row: LabelledPlan
    part: Matrix
    match: Matrix


def agreement(rows: Sequence[LabelledPlan], calibration: Calibration, vectors: Vectors | None) -> dict[str, Any]:
    """Return how well a calibration agrees with the labels of these plans."""
    predictions = [Prediction(row, *probabilities(features(row.gold, row.plan, vectors), calibration)) for row in rows]
    return report(predictions, calibration.thresholds, calibration.id)


def report(predictions: Sequence[Prediction], limits: Thresholds, calibration: str) -> dict[str, Any]:
    """Return the agreement of probabilities with labels, wherever they come from (held out or not)."""
    tasks = sorted({one.row.task for one in predictions})
    chances, truth = _flat(predictions, "match")
    planners = _planners(predictions, limits)
    return {
        "schema_version": SCHEMA_VERSION,
        "calibration": calibration,
        "rows": len(predictions),
        "papers": len({one.row.paper for one in predictions}),
        "pairs": len(truth),
        **_both(predictions, limits),
        "by_task": {task: _both([one for one in predictions if one.row.task == task], limits) for task in tasks},
        "after_assignment": _assigned(predictions, limits),
        "per_planner": planners,
        "mean_absolute_error": _mean([abs(p["f1_labels"] - p["f1_matcher"]) for p in planners]),
        "rank_correlation": pair_metrics.rank_correlation(
            [p["f1_labels"] for p in planners], [p["f1_matcher"] for p in planners]
        ),
        "risk_coverage": pair_metrics.risk_coverage(chances, truth, limits.match),
        "reliability": [asdict(bin_) for bin_ in pair_metrics.reliability(chances, truth)],
        "worst": _worst(predictions, limits),
    }


def _flat(predictions: Sequence[Prediction], what: str) -> tuple[Matrix, NDArray[np.bool_]]:
    """Return the probabilities `[pair]` of all decided pairs, and what the labels say of them."""
    chances = np.concatenate([getattr(one, what)[one.row.known_table] for one in predictions])
    return chances, np.concatenate([getattr(one.row, f"{what}_table")[one.row.known_table] for one in predictions])


def _both(predictions: Sequence[Prediction], limits: Thresholds) -> dict[str, Any]:
    """Return decision and ranking figures, for matches and for parts."""
    result = {}
    for what, limit in (("match", limits.match), ("part", limits.part)):
        chances, truth = _flat(predictions, what)
        result[what] = pair_metrics.decisions(chances >= limit, truth) | pair_metrics.ranking(chances, truth)
    return result


def _matched(one: Prediction, limits: Thresholds, *, labels: bool) -> set[tuple[int, int]]:
    """Return the pairs that are aligned one-to-one and match fully, by the labels or by the matcher."""
    row = one.row
    part, match = (row.part_table.astype(float), row.match_table.astype(float)) if labels else (one.part, one.match)
    alignment = align(part, match, (row.gold, row.plan), limits, "one-to-one")
    return {(pair.gold, pair.plan) for pair in alignment.pairs if pair.matched}


def _assigned(predictions: Sequence[Prediction], limits: Thresholds) -> dict[str, float | None]:
    """Compare full matches after assignment with those that the labels' own assignment keeps."""
    hits = decided = true = 0
    for one in predictions:
        matcher, labels = (_matched(one, limits, labels=labels) for labels in (False, True))
        hits += len(matcher & one.row.match)
        decided, true = decided + len(matcher), true + len(labels)
    precision, recall = (hits / decided if decided else None), (min(hits / true, 1.0) if true else None)
    return {"precision": precision, "recall": recall, "f1": pair_metrics.f1(hits, decided, true)}


def _planners(predictions: Sequence[Prediction], limits: Thresholds) -> list[dict[str, Any]]:
    """Return each planner's macro match F1 as the labels have it and as the matcher has it."""
    table: dict[str, list[tuple[float, float]]] = {}
    for one in predictions:
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


def _worst(predictions: Sequence[Prediction], limits: Thresholds) -> list[dict[str, Any]]:
    """Return the wrongly decided pairs whose probability is furthest from their label."""
    wrong = [
        (abs(float(one.match[g, p]) - ((g, p) in one.row.match)), index, g, p)
        for index, one in enumerate(predictions)
        for g, p in np.ndindex(one.match.shape)
        if (one.match[g, p] >= limits.match) != ((g, p) in one.row.match) and (g, p) not in one.row.undecided
    ]
    wrong.sort(key=lambda item: (-item[0], *item[1:]))
    return [_disagreement(predictions[index], g, p) for _, index, g, p in wrong[:WORST]]


def _disagreement(one: Prediction, g: int, p: int) -> dict[str, Any]:
    row = one.row

    def shown(entry: Ablation) -> dict[str, Any]:
        action = entry.action.value if entry.action else None
        options = list(entry.replacements)
        return {"name": entry.name, "ablated_part": entry.part, "action": action, "replacement": options}

    return {
        "paper": row.paper, "task": row.task, "planner": row.planner,
        "label": (g, p) in row.match, "same_part": (g, p) in row.match | row.same_part,
        "match_probability": float(one.match[g, p]), "part_probability": float(one.part[g, p]),
        "gold": shown(row.gold[g]), "plan": shown(row.plan[p]),
    }  # fmt: skip
