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
_ROUNDS = 50  # of Newton's method at most; ten do
_EXACT = 4e-16
_TINY = 1e-300  # in place of a denominator of 0


def both_tails(freedom: int, t: Array) -> Array:
    """Return the probability of values as far from 0 as t or further, on both sides; NaN stays NaN."""
    return np.array([math.exp(_log_tails(freedom, value)) for value in t.tolist()])


def below(freedom: int, t: float) -> float:
    """Return the probability of values below t."""
    tail = math.exp(_log_tails(freedom, t)) / 2
    return tail if t < 0 else 1 - tail


@lru_cache(maxsize=1024)
def quantile(freedom: int, above: float) -> float:
    """Return the value that is exceeded with this probability."""
    if not 0 < above < 0.5:
        return -quantile(freedom, 1 - above) if 0.5 < above < 1 else 0.0 if above == 0.5 else math.nan
    # The logarithm of the tails is concave in that of t: Newton's steps come to the solution from one side.
    wanted, place, before = math.log(2 * above), 0.0, math.inf
    for _ in range(_ROUNDS):
        t = math.exp(place)
        tails = _log_tails(freedom, t)
        density = math.log(_front(freedom)) - math.log(freedom) / 2 - (freedom + 1) / 2 * math.log1p(t * t / freedom)
        step = (tails - wanted) / 2 * math.exp(tails - density - place)
        if abs(step) < 1e-12 and abs(step) >= before:  # rounding
            break
        place, before = place + step, abs(step)
    return math.exp(place)


def _log_tails(freedom: int, t: float) -> float:
    """Return the logarithm of the probability of values as far from 0 as t or further."""
    if t == 0 or math.isnan(t):
        return abs(t)
    half, square = freedom / 2, t * t
    inside = square / (freedom + square)
    front = math.log(_front(freedom)) - half * math.log1p(square / freedom) + math.log(inside) / 2
    if square > 1.5 * freedom / (half + 1):
        return front + math.log(_fraction(half, 0.5, freedom / (freedom + square)) / half)
    return math.log1p(-math.exp(front) * _fraction(0.5, half, inside) * 2)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (by Lentz's method)."""
    below = 1 / ((1 - (a + b) * x / (a + 1)) or _TINY)
    above, value = 1.0, below
    for m in range(1, _STEPS):
        before, place = value, a + 2 * m
        for part in (m * (b - m) * x / ((place - 1) * place), -(a + m) * (a + b + m) * x / (place * (place + 1))):
            below, above = 1 / ((1 + part * below) or _TINY), (1 + part / above) or _TINY
            value *= below * above
        if abs(value - before) <= _EXACT * abs(value):
            break
    return value


@lru_cache(maxsize=64)
def _front(freedom: int) -> float:
    """Return gamma((n + 1) / 2) / (gamma(n / 2) sqrt(pi)), as a product."""
    value = 0.5 if freedom % 2 == 0 else 1 / math.pi
    for n in range(2 - freedom % 2, freedom, 2):
        value *= (n + 1) / n
    return value
