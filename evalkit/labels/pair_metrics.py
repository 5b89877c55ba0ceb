"""Measure probabilities `[pair]` or decisions `[pair]` against labels `[pair]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]
BINS = 15
SHARES = (0.0, 0.02, 0.05, 0.07, 0.10)


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of like probability: how many, their mean probability, and the share that is labelled yes."""

    pairs: int
    predicted: float
    observed: float


def f1(hits: int, decided: int, true: int) -> float | None:
    """Return F1 from counts; undefined when nothing was decided and nothing is true."""
    return 2 * hits / (decided + true) if decided + true else None


def decisions(decided: Truth, truth: Truth) -> dict[str, float | None]:
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


def ranking(chances: Array, truth: Truth) -> dict[str, float | None]:
    """Return average precision and expected calibration error of probabilities; no value where nothing is true."""
    from sklearn.metrics import average_precision_score

    average = float(average_precision_score(truth, chances)) if truth.any() else None
    return {"average_precision": average, "ece": ece(chances, truth)}


def reliability(chances: Array, truth: Truth, bins: int = BINS) -> Sequence[Bin]:
    """Return pairs by probability in bins of equal mass; the order of the pairs changes nothing."""
    order = np.lexsort((truth, chances))
    pieces = [piece for piece in np.array_split(order, bins) if len(piece)]
    return [Bin(len(p), round(float(chances[p].mean()), 6), round(float(truth[p].mean()), 6)) for p in pieces]


def ece(chances: Array, truth: Truth, bins: int = BINS) -> float | None:
    """Return the expected calibration error over bins of equal mass."""
    filled = reliability(chances, truth, bins)
    error = sum(one.pairs * abs(one.predicted - one.observed) for one in filled)
    return error / len(chances) if filled else None


def f1_threshold(chances: Array, truth: Truth) -> float:
    """Return the threshold that is half of the F1 it gives: for calibrated probabilities, the best; to three decimals.

    It follows the labels far less closely than the threshold with the highest F1 on them, and holds better elsewhere.
    """
    threshold, true = 0.4, int(truth.sum())
    for _ in range(50 if true else 0):
        decided = chances >= threshold
        reached = f1(int((decided & truth).sum()), int(decided.sum()), true) or 0.0
        threshold = 0.9 * threshold + 0.1 * reached / 2
    return round(threshold, 3)


def risk_coverage(chances: Array, truth: Truth, threshold: float) -> list[dict[str, float | None]]:
    """Return F1 if somebody decided just the pairs nearest the threshold rightly, by the share of pairs so decided."""
    nearest = np.argsort(np.abs(chances - threshold), kind="stable")
    curve: list[dict[str, float | None]] = []
    for share in SHARES:
        decided = chances >= threshold
        mended = nearest[: round(share * len(chances))]
        decided[mended] = truth[mended]
        curve.append({"share": share, "f1": f1(int((decided & truth).sum()), int(decided.sum()), int(truth.sum()))})
    return curve


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's correlation; no value for fewer than three, or where all are equal."""
    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)
