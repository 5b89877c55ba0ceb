"""Shares of yes and no: their intervals, and what a judge's share says of the true one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from evalkit.stats.measures import Array


def wilson(value: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share of n."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def design_effect(hits: Array, totals: Array) -> float:
    """Return the variance of a share over papers, relative to that of independent pairs; at least 1."""
    n, papers = float(totals.sum()), len(totals)
    value = float(hits.sum() / n) if n else 0.0
    if papers < 2 or value in (0.0, 1.0):
        return 1.0
    between = papers / (papers - 1) * float(((hits - value * totals) ** 2).sum()) / n**2
    return max(1.0, between / (value * (1 - value) / n))


def design_effect_of(papers: Mapping[str, tuple[int, int]]) -> float:
    """Return the design effect of the hits and totals of papers."""
    hits, totals = np.array([papers[paper] for paper in sorted(papers)], dtype=np.float64).reshape(-1, 2).T
    return design_effect(hits, totals)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n things that know nothing of each other, where n need not be whole."""

    value: float
    n: float

    def widened(self, more: float) -> tuple[float, float]:
        """Return the share with so many hits and as many misses added, and its variance."""
        n = self.n + 2 * more
        value = (self.value * self.n + more) / n
        return value, value * (1 - value) / n


def corrected_rate(
    rate: Share, sensitivity: Share, specificity: Share, level: float = 0.95
) -> tuple[float, float, float] | None:
    """Return the true share of what a judge of this sensitivity and specificity called a share of, and its interval.

    None where the two add up to 1 or less: such a judge says yes as often to what is not as to what is. The value is
    Rogan and Gladen's, (rate + specificity - 1) / (sensitivity + specificity - 1). The interval is Fieller's for that
    ratio, all true shares q with (rate - q sensitivity - (1 - q)(1 - specificity))^2 <= z^2 times its variance; so it
    carries the uncertainty of all three, and is all from 0 to 1 where the labels do not tell the judge from chance. For
    the interval a hit and a miss are added to sensitivity and specificity, and z^2 / 2 of each to the rate (as Agresti
    and Coull do), so that a share of 1 in a few labels is not taken for certain.
    """
    youden = sensitivity.value + specificity.value - 1
    if youden <= 0:
        return None
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    (p, of_p), (yes, of_yes), (no, of_no) = rate.widened(z2 / 2), sensitivity.widened(1), specificity.widened(1)
    slope, above = yes + no - 1, p + no - 1
    # Where the square is zero, as a quadratic a q^2 - 2 b q + c in the true share q.
    a, b, c = slope**2 - z2 * (of_yes + of_no), above * slope - z2 * of_no, above**2 - z2 * (of_p + of_no)
    low, high = 0.0, 1.0
    if a > 0 and slope > 0:
        reach = sqrt(max(0.0, b * b - a * c))
        low, high = (b - reach) / a, (b + reach) / a
    value = (rate.value + specificity.value - 1) / youden
    value, low, high = (min(1.0, max(0.0, one)) for one in (value, low, high))
    return value, min(low, value), max(high, value)
