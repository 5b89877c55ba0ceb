"""Correction of p for several tests, and the rank intervals that follow from it.

Sources: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70; Shaffer, Journal of the American Statistical
Association 81 (1986) 826-831; Benjamini and Hochberg, Journal of the Royal Statistical Society B 57 (1995) 289-300.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evalkit.stats.measures import Array, Indices


def holm(p: Array) -> Array:
    """Return Holm's step-down adjusted p, same shape; NaN are tests that could not be made and are not counted."""
    tests = int((~np.isnan(p)).sum())
    return _step_down(p, np.arange(tests, 0, -1))


def shaffer(p: Array, planners: int) -> Array:
    """Return the step-down adjusted p of tests of all pairs of planners, same shape.

    Once a pair is told apart, not any number of the others can be alike: two that are like a third are alike. So each
    step corrects for the most pairs that can still be alike. Where a test could not be made, Holm's numbers are used.
    """
    tests = int((~np.isnan(p)).sum())
    if tests != planners * (planners - 1) // 2:
        return holm(p)
    possible = np.array(_alike(planners))
    left = np.arange(tests, 0, -1)
    return _step_down(p, possible[np.searchsorted(possible, left, side="right") - 1])


def benjamini_hochberg(p: Array) -> Array:
    """Return adjusted p that keep the expected share of false discoveries, same shape; NaN are not counted."""
    flat = p.ravel()
    order = _ordered(flat)
    steps = flat[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return adjusted.reshape(p.shape)


def correct(p: Array, correction: str) -> Array:
    """Return the adjusted p of tests that share no planner but a base: "bh" by Benjamini-Hochberg, else by Holm.

    Where no test implies another, Shaffer's step-down is Holm's.
    """
    return benjamini_hochberg(p) if correction == "bh" else holm(p)


def correct_pairs(p: Array, planners: int, correction: str) -> Array:
    """Return the adjusted p of tests of all pairs of planners: "bh" by Benjamini-Hochberg, else by Shaffer."""
    return benjamini_hochberg(p) if correction == "bh" else shaffer(p, planners)


def _step_down(p: Array, numbers: Indices) -> Array:
    """Multiply the p, from the least on, by these numbers of tests; none is less than the one before it."""
    flat = p.ravel()
    order = _ordered(flat)
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * numbers), 1.0)
    return adjusted.reshape(p.shape)


def _ordered(flat: Array) -> Indices:
    made = np.flatnonzero(~np.isnan(flat))
    order: Indices = made[np.argsort(flat[made], kind="stable")]
    return order


@lru_cache(maxsize=8)
def _alike(planners: int) -> tuple[int, ...]:
    """Return how many pairs of planners can be alike: planners fall into groups, within which all pairs are."""
    sets = [1, 1]  # bit n of sets[k]: n pairs of k planners can be alike
    for size in range(2, planners + 1):
        sets.append(0)
        for group in range(1, size + 1):
            sets[size] |= sets[size - group] << (group * (group - 1) // 2)
    return tuple(number for number, bit in enumerate(reversed(f"{sets[planners]:b}")) if bit == "1")


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
