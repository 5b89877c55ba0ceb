"""Correction of p for several tests, and the rank intervals that follow from it.

Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
"""

from __future__ import annotations

import numpy as np

from evalkit.stats.measures import Array


def holm(p: Array) -> Array:
    """Return Holm's step-down adjusted p, same shape; NaN are tests that could not be made and are not counted."""
    flat = p.ravel()
    made = np.flatnonzero(~np.isnan(flat))
    order = made[np.argsort(flat[made], kind="stable")]
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted.reshape(p.shape)


def rank_intervals(values: Array, adjusted: Array, level: float = 0.05) -> list[tuple[int, int] | None]:
    """Return [1 + significantly better, K - significantly worse] of each planner among the K with a value.

    `values` [planners] and `adjusted` [planners, planners] are those of `all_pairs`.
    """
    planners = int(np.count_nonzero(~np.isnan(values)))
    ranks: list[tuple[int, int] | None] = []
    for value, p in zip(values, adjusted, strict=True):
        significant = p < level
        better, worse = int(np.sum(significant & (values > value))), int(np.sum(significant & (values < value)))
        ranks.append(None if np.isnan(value) else (1 + better, planners - worse))
    return ranks
