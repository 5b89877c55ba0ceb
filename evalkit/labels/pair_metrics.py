"""Takes probabilities or decisions beside labels, gives how good they are: arrays in, numbers out."""

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
    """Pairs of like probability: how many, the mean probability, and the share that the labels say yes to."""

    pairs: int
    predicted: float
    observed: float


def f1(hits: int, decided: int, true: int) -> float | None:
    """F1 from counts; undefined when nothing was decided and nothing is true."""
    return 2 * hits / (decided + true) if decided + true else None


def decisions(decided: Truth, truth: Truth) -> dict[str, float | None]:
    """Precision, recall, F1 and Cohen's kappa of decisions against labels."""
    n, hits, said, true = len(truth), int((decided & truth).sum()), int(decided.sum()), int(truth.sum())
    observed = float((decided == truth).mean()) if n else 0.0
    chance = (said * true + (n - said) * (n - true)) / (n * n) if n else 1.0
    return {
        "precision": hits / said if said else None,
        "recall": hits / true if true else None,
        "f1": f1(hits, said, true),
        "kappa": (observed - chance) / (1 - chance) if chance < 1 else None,
    }


def ranking(chances: Array, truth: Truth) -> dict[str, float | None]:
    """Average precision and expected calibration error of probabilities; no value where nothing is true."""
    if not truth.any():
        return {"average_precision": None, "ece": ece(chances, truth)}
    from sklearn.metrics import average_precision_score

    return {"average_precision": float(average_precision_score(truth, chances)), "ece": ece(chances, truth)}


def reliability(chances: Array, truth: Truth, bins: int = BINS) -> Sequence[Bin]:
    """Pairs by probability in bins of equal mass; the order of the pairs changes nothing."""
    order = np.lexsort((truth, chances))
    pieces = [piece for piece in np.array_split(order, bins) if len(piece)]
    return [Bin(len(p), round(float(chances[p].mean()), 6), round(float(truth[p].mean()), 6)) for p in pieces]


def ece(chances: Array, truth: Truth, bins: int = BINS) -> float | None:
    """Expected calibration error over bins of equal mass."""
    found = reliability(chances, truth, bins)
    total = sum(one.pairs for one in found)
    return sum(one.pairs * abs(one.predicted - one.observed) for one in found) / total if total else None


def f1_threshold(chances: Array, truth: Truth) -> float:
    """The threshold that is half of the F1 it gives: for calibrated probabilities, the best; to three decimals.

    It follows the labels far less closely than the threshold with the highest F1 on them, and holds better elsewhere.
    """
    threshold, true = 0.4, int(truth.sum())
    for _ in range(50 if true else 0):
        decided = chances >= threshold
        reached = f1(int((decided & truth).sum()), int(decided.sum()), true) or 0.0
        threshold = 0.9 * threshold + 0.1 * reached / 2
    return round(threshold, 3)


def risk_coverage(chances: Array, truth: Truth, threshold: float) -> list[dict[str, float | None]]:
    """F1 had somebody decided rightly just the pairs nearest the threshold, by the share of pairs so decided."""
    nearest = np.argsort(np.abs(chances - threshold), kind="stable")
    curve: list[dict[str, float | None]] = []
    for share in SHARES:
        decided = chances >= threshold
        looked_at = nearest[: round(share * len(chances))]
        decided[looked_at] = truth[looked_at]
        curve.append({"share": share, "f1": f1(int((decided & truth).sum()), int(decided.sum()), int(truth.sum()))})
    return curve


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's correlation; no value for fewer than three, or where all are equal."""
    if len(one) < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)
