"""Takes an interval or a standard error of a difference, gives what it means: a verdict, and what could be seen."""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["pass", "regressed", "inconclusive"]


def minimum_detectable(standard_error: float, *, power: float = 0.8, level: float = 0.05) -> float:
    """The difference a two-sided test finds with that power: (z(1 - level/2) + z(power)) * SE, by default 2.80 SE."""
    from scipy.special import ndtri

    return float(ndtri(1 - level / 2) + ndtri(power)) * standard_error


def papers_needed(n: int, detectable: float, target: float) -> int | None:
    """Papers that bring the minimum detectable effect down to `target`: n * (detectable / target)^2, rounded up."""
    if math.isnan(detectable) or not target > 0:
        return None
    # 90.00000000000001 papers are 90.
    return math.ceil(n * (detectable / target) ** 2 - 1e-9)


def verdict(low: float, high: float, margin: float, *, strict: bool = False) -> Verdict:
    """What the interval of a difference says of a drop by `margin`; NaN ends are inconclusive.

    *regressed*: the upper end is below -margin, or below 0 with `strict` (even when the lower end is above -margin);
    *pass*: the lower end is not below -margin, so that a run against itself passes with margin 0.
    """
    if high < -margin or (strict and high < 0):
        return "regressed"
    return "pass" if low >= -margin else "inconclusive"
