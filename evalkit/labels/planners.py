"""Measure how far a matcher's figure of a planner is off the labels' one, and whether that depends on the planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]  # [paper, planner], NaN where a planner has no labelled plan
SWAPS = 9999


@dataclass(frozen=True, slots=True)
class PlanFigure:
    """Match F1 of one plan by the labels and by the matcher."""

    paper: str
    planner: str
    labels: float
    matcher: float


def planner_errors(figures: Sequence[PlanFigure], seed: int = 0) -> dict[str, Any]:
    """Return each planner's macro figure by labels and matcher, the errors with their sign, and what they amount to."""
    papers, planners = (sorted({getattr(one, name) for one in figures}) for name in ("paper", "planner"))
    labels, matcher = (np.full((len(papers), len(planners)), np.nan) for _ in range(2))
    for one in figures:  # several samples of a plan are averaged inside the paper
        place = papers.index(one.paper), planners.index(one.planner)
        same = [other for other in figures if (other.paper, other.planner) == (one.paper, one.planner)]
        labels[place] = sum(other.labels for other in same) / len(same)
        matcher[place] = sum(other.matcher for other in same) / len(same)
    errors = matcher - labels
    rows = [
        {
            "planner": planner,
            "plans": int((~np.isnan(errors[:, column])).sum()),
            "f1_labels": float(np.nanmean(labels[:, column])),
            "f1_matcher": float(np.nanmean(matcher[:, column])),
            "error": float(np.nanmean(errors[:, column])),
        }
        for column, planner in enumerate(planners)
    ]
    sizes = [abs(row["error"]) for row in rows]
    return {
        "per_planner": rows,
        "mean_absolute_error": sum(sizes) / len(sizes),
        "largest_error": max(sizes),
        "rank_correlation": rank_correlation([row["f1_labels"] for row in rows], [row["f1_matcher"] for row in rows]),
        "p_planner_dependent": p_planner_dependent(errors, seed),
        **spread(errors),
    }


def p_planner_dependent(errors: Table, seed: int = 0) -> float | None:
    """Return how often errors that are shuffled among the planners of each paper differ as much between planners.

    Only papers that every planner has are used; no value for fewer than two of either.
    """
    whole = errors[~np.isnan(errors).any(axis=1)]
    if min(whole.shape) < 2:
        return None
    rng = np.random.default_rng(seed)
    seen = whole.mean(axis=0).var()
    shuffled = (rng.permuted(whole, axis=1).mean(axis=0).var() for _ in range(SWAPS))
    return (1 + sum(bool(value >= seen - 1e-12) for value in shuffled)) / (1 + SWAPS)


def spread(errors: Table) -> dict[str, float | None]:
    """Return the standard deviations of one paper's error and, beyond what that explains, of a planner's own error."""
    count = (~np.isnan(errors)).sum(axis=0)
    if errors.size == 0 or count.min() < 2:
        return {"paper_sd": None, "planner_sd": None}
    within = float(np.mean(np.nanvar(errors, axis=0, ddof=1)))
    between = float(np.mean(np.nanmean(errors, axis=0) ** 2) - np.mean(within / count))
    return {"paper_sd": sqrt(within), "planner_sd": sqrt(max(between, 0.0))}


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's correlation; no value for fewer than three, or where all are equal."""
    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)
