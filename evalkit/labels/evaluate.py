"""Measure probabilities and decisions `[pair]` against labels, and evaluate a calibration on labelled plans.

Decisions of pairs are probability against threshold, before assignment; matches after assignment stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.labels.planners import PlanFigure, planner_errors
from evalkit.matching.assign import align
from evalkit.matching.calibration import Calibration, probabilities
from evalkit.matching.embeddings import TextVectors
from evalkit.matching.features import features
from evalkit.storage.label_files import LabelledPlan
from evalkit.types import Ablation, Thresholds

SCHEMA_VERSION = 1
WORST = 20
BINS = 15
SHARES = (0.0, 0.02, 0.05, 0.07, 0.10)
Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]
Vectors = Mapping[str, TextVectors]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A labelled plan with the probabilities of its pairs `[gold, plan]`, and the thresholds that decide them."""

    row: LabelledPlan
    part: Matrix
    match: Matrix
    limits: Thresholds


def agreement(rows: Sequence[LabelledPlan], calibration: Calibration, vectors: Vectors | None) -> dict[str, Any]:
    """Return how well a calibration agrees with the labels of these plans."""
    limits = calibration.thresholds
    predictions = [
        Prediction(row, *probabilities(features(row.gold, row.plan, vectors), calibration), limits) for row in rows
    ]
    return report(predictions, calibration.id)


def report(predictions: Sequence[Prediction], calibration: str) -> dict[str, Any]:
    """Return the agreement of probabilities with labels, wherever they come from (held out or not)."""
    limit = predictions[0].limits.match
    chances, truth = _flat(predictions, "match")
    return {
        "schema_version": SCHEMA_VERSION,
        "calibration": calibration,
        "rows": len(predictions),
        "papers": len({one.row.paper for one in predictions}),
        "pairs": len(truth),
        **_decided(predictions),
        "by_task": by_task(predictions),
        "after_assignment": _assigned(predictions),
        **planner_errors(_figures(predictions)),
        "risk_coverage": risk_coverage(chances, truth, limit),
        "reliability": reliability(chances, truth),
        "worst": _worst(predictions),
    }


def by_task(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Return the figures of pairs and planners by kind of gold list."""
    kinds = {task: [one for one in predictions if one.row.task == task] for task in {p.row.task for p in predictions}}
    return {
        task: {
            "rows": len(some),
            "papers": len({one.row.paper for one in some}),
            **_decided(some),
            "planners": planner_errors(_figures(some)),
        }
        for task, some in sorted(kinds.items())
    }


def _flat(predictions: Sequence[Prediction], what: str) -> tuple[Matrix, Flags]:
    """Return the probabilities `[pair]` of all decided pairs, and what the labels say of them."""
    chances = np.concatenate([getattr(one, what)[one.row.known_table] for one in predictions])
    return chances, np.concatenate([getattr(one.row, f"{what}_table")[one.row.known_table] for one in predictions])


def _decided(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Return decision and ranking figures, for matches and for parts."""
    result = {}
    for what in ("match", "part"):
        chances, truth = _flat(predictions, what)
        limits = np.repeat(
            [getattr(p.limits, what) for p in predictions], [p.row.known_table.sum() for p in predictions]
        )
        result[what] = decisions(chances >= limits, truth) | ranking(chances, truth)
    return result


def matched_pairs(one: Prediction, *, labels: bool) -> set[tuple[int, int]]:
    """Return the pairs that are aligned one-to-one and match fully, by the labels or by the matcher."""
    row = one.row
    part, match = (row.part_table.astype(float), row.match_table.astype(float)) if labels else (one.part, one.match)
    alignment = align(part, match, (row.gold, row.plan), one.limits, "one-to-one", candidates=False)
    return {(pair.gold, pair.plan) for pair in alignment.pairs if pair.matched}


def _assigned(predictions: Sequence[Prediction]) -> dict[str, float | None]:
    """Compare full matches after assignment with those that the labels' own assignment keeps."""
    matched = [(one.row, matched_pairs(one, labels=False)) for one in predictions]
    hits = sum(len(pairs & row.match) for row, pairs in matched)
    decided = sum(len(pairs) for _, pairs in matched)
    true = sum(len(matched_pairs(one, labels=True)) for one in predictions)
    precision, recall = (hits / decided if decided else None), (min(hits / true, 1.0) if true else None)
    return {"precision": precision, "recall": recall, "f1": f1(hits, decided, true)}


def _figures(predictions: Sequence[Prediction]) -> list[PlanFigure]:
    """Return match F1 of every plan as the labels have it and as the matcher has it."""
    return [
        PlanFigure(
            one.row.paper,
            one.row.planner,
            *(
                2 * len(matched_pairs(one, labels=labels)) / (len(one.row.gold) + len(one.row.plan))
                for labels in (True, False)
            ),
        )
        for one in predictions
    ]


def _worst(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Return the wrongly decided pairs whose probability is furthest from their label."""
    wrong = [
        (abs(float(one.match[g, p]) - ((g, p) in one.row.match)), index, g, p)
        for index, one in enumerate(predictions)
        for g, p in np.ndindex(one.match.shape)
        if (one.match[g, p] >= one.limits.match) != ((g, p) in one.row.match) and (g, p) not in one.row.undecided
    ]
    wrong.sort(key=lambda item: (-item[0], *item[1:]))

    def shown(entry: Ablation) -> dict[str, Any]:
        action = entry.action.value if entry.action else None
        options = list(entry.replacements)
        return {"name": entry.name, "ablated_part": entry.part, "action": action, "replacement": options}

    return [
        {
            "paper": one.row.paper, "task": one.row.task, "planner": one.row.planner,
            "label": (g, p) in one.row.match, "same_part": (g, p) in one.row.match | one.row.same_part,
            "match_probability": float(one.match[g, p]), "part_probability": float(one.part[g, p]),
            "gold": shown(one.row.gold[g]), "plan": shown(one.row.plan[p]),
        }
        for _, index, g, p in wrong[:WORST]
        for one in [predictions[index]]
    ]  # fmt: skip


def f1(hits: int, decided: int, true: int) -> float | None:
    """Return F1 from counts; undefined when nothing was decided and nothing is true."""
    return 2 * hits / (decided + true) if decided + true else None


def decisions(decided: Flags, truth: Flags) -> dict[str, float | None]:
    """Return precision, recall, F1 and Cohen's kappa of decisions against labels."""
    n, hits, yes, true = len(truth), int((decided & truth).sum()), int(decided.sum()), int(truth.sum())
    observed = float((decided == truth).mean()) if n else 0.0
    chance = (yes * true + (n - yes) * (n - true)) / (n * n) if n else 1.0
    return {
        "precision": hits / yes if yes else None,
        "recall": hits / true if true else None,
        "f1": f1(hits, yes, true),
        "kappa": (observed - chance) / (1 - chance) if chance < 1 else None,
    }


def ranking(chances: Matrix, truth: Flags) -> dict[str, float | None]:
    """Return average precision and expected calibration error of probabilities; no value where nothing is true."""
    return {"average_precision": average_precision(chances, truth), "ece": ece(chances, truth)}


def average_precision(chances: Matrix, truth: Flags) -> float | None:
    """Return the mean of the precisions at which true pairs are found; pairs of one probability are found together."""
    if not truth.any():
        return None
    order = np.argsort(-chances, kind="stable")
    last = np.append(np.flatnonzero(np.diff(chances[order])), len(order) - 1)
    hits = np.cumsum(truth[order])[last]
    return float((np.diff(hits, prepend=0) / hits[-1] * hits / (last + 1)).sum())


def ece(chances: Matrix, truth: Flags, bins: int = BINS) -> float | None:
    """Return the expected calibration error over bins of equal mass."""
    filled = reliability(chances, truth, bins)
    error = float(sum(one["pairs"] * abs(one["predicted"] - one["observed"]) for one in filled))
    return error / len(chances) if filled else None


def reliability(chances: Matrix, truth: Flags, bins: int = BINS) -> list[dict[str, Any]]:
    """Return pairs by probability in bins of equal mass: how many, their mean probability, the share labelled yes."""
    order = np.lexsort((truth, chances))  # so that the order of the pairs changes nothing
    return [
        {"pairs": len(p), "predicted": round(float(chances[p].mean()), 6), "observed": round(float(truth[p].mean()), 6)}
        for p in np.array_split(order, bins) if len(p)
    ]  # fmt: skip


def balanced_threshold(chances: Matrix, truth: Flags, weights: Matrix) -> float:
    """Return the threshold that decides as much weight of pairs as the labels do, to three decimals.

    Where as many pairs are decided as are true, what is missed makes up for what is wrongly given, and a planner's
    figure is off by chance only; F1 is within a few thousandths of the best one can have.
    """
    order = np.argsort(-chances, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), weights[truth].sum()))
    return round(float(chances[order[min(place, len(order) - 1)]]), 3)


def risk_coverage(chances: Matrix, truth: Flags, threshold: float) -> list[dict[str, float | None]]:
    """Return F1 if somebody decided just the pairs nearest the threshold rightly, by the share of pairs so decided."""
    nearest = np.argsort(np.abs(chances - threshold), kind="stable")
    curve: list[dict[str, float | None]] = []
    for share in SHARES:
        decided = chances >= threshold
        corrected = nearest[: round(share * len(chances))]
        decided[corrected] = truth[corrected]
        curve.append({"share": share, "f1": f1(int((decided & truth).sum()), int(decided.sum()), int(truth.sum()))})
    return curve
