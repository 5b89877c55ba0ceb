"""Student's t: tails and quantiles for whole degrees of freedom, without scipy, which takes longer to load than a run's
tests to make.

The two tails together are the regularised incomplete beta function I_x(n / 2, 1 / 2) at x = n / (n + t^2), by its
continued fraction (DLMF 8.17.22) on the side on which that converges.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from evalkit.stats.measures import Array

_STEPS = 1000  # of the continued fraction at most: it takes about as many as the root of the degrees of freedom
_ROUNDS = 100  # of Newton's method at most; ten do
_EXACT = 2e-16
_TINY = 1e-300  # in place of a denominator of 0


def both_tails(freedom: int, t: Array) -> Array:
    """Return the probability of values as far from 0 as t or further, on both sides; NaN stays NaN."""
    return np.asarray(np.exp(_log_tails(freedom, t)), dtype=np.float64)


def below(freedom: int, t: float) -> float:
    """Return the probability of values below t."""
    tail = float(both_tails(freedom, np.array([t]))[0]) / 2
    return tail if t < 0 else 1 - tail


@lru_cache(maxsize=256)
def quantile(freedom: int, above: float) -> float:
    """Return the value that is exceeded with this probability."""
    if not 0 < above < 0.5:
        return -quantile(freedom, 1 - above) if 0.5 < above < 1 else 0.0 if above == 0.5 else math.nan
    # The logarithm of the tails is concave in that of t: Newton's steps come to the solution from one side.
    wanted, place = math.log(2 * above), 0.0
    for _ in range(_ROUNDS):
        t = math.exp(place)
        tails = float(_log_tails(freedom, np.array([t]))[0])
        density = math.log(_front(freedom)) - math.log(freedom) / 2 - (freedom + 1) / 2 * math.log1p(t * t / freedom)
        step = (tails - wanted) / 2 * math.exp(tails - density - place)
        place += step
        if abs(step) < _EXACT * max(1.0, abs(place)):
            break
    return math.exp(place)


def _log_tails(freedom: int, t: Array) -> Array:
    """Return the logarithm of `both_tails`."""
    half, square = freedom / 2, t**2
    inside = square / (freedom + square)
    with np.errstate(divide="ignore"):
        front = np.log(_front(freedom)) - half * np.log1p(square / freedom) + np.log(inside) / 2
    far = square > 1.5 * freedom / (half + 1)
    fraction = _fraction(np.where(far, half, 0.5), np.where(far, 0.5, half), np.where(far, 1 - inside, inside))
    ours = front - np.log(np.where(far, half, 0.5)) + np.log(fraction)
    return np.where(far, ours, np.log1p(-np.exp(np.where(far, -1.0, ours))))


def _fraction(a: Array, b: Array, x: Array) -> Array:
    """Return the continued fraction of the incomplete beta function (by Lentz's method)."""
    below = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    above, value = np.ones_like(x), below
    for m in range(1, _STEPS):
        before = value
        for part in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            below, above = 1 / _not_zero(1 + part * below), _not_zero(1 + part / above)
            value = value * below * above
        if not (np.abs(value - before) > _EXACT * np.abs(value)).any():
            break
    return value


def _not_zero(values: Array) -> Array:
    return np.where(values == 0, _TINY, values)


@lru_cache(maxsize=64)
def _front(freedom: int) -> float:
    """Return gamma((n + 1) / 2) / (gamma(n / 2) sqrt(pi)), as a product."""
    value = 0.5 if freedom % 2 == 0 else 1 / math.pi
    for n in range(2 - freedom % 2, freedom, 2):
        value *= (n + 1) / n
    return value
