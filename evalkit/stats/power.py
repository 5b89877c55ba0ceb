"""What an interval or a standard error of a difference means: a verdict, and what could have been detected."""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["pass", "regressed", "inconclusive"]


def minimum_detectable(
    standard_error: float, papers: int, *, tests: int = 1, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the difference that a two-sided test over these papers, one of so many, finds with that power.

    It is (t(1 - level / (2 tests)) + t(power)) * SE with papers - 1 degrees of freedom.
    """
    from scipy.special import stdtrit

    if papers < 2:
        return math.nan
    reach = stdtrit(papers - 1, 1 - level / (2 * max(tests, 1))) + stdtrit(papers - 1, power)
    return float(reach) * standard_error


def papers_needed(n: int, detectable: float, target: float) -> int | None:
    """Return how many papers bring the minimum detectable effect down to `target`: n * (detectable / target)^2."""
    if math.isnan(detectable) or not target > 0:
        return None
    # 90.00000000000001 papers are 90.
    return math.ceil(n * (detectable / target) ** 2 - 1e-9)


def verdict(low: float, high: float, margin: float, *, strict: bool = False) -> Verdict:
    """Judge a drop by `margin` from the interval of a difference; NaN ends are inconclusive.

    *regressed*: the upper end is below -margin, or below 0 with `strict` (even when the lower end is above -margin);
    *pass*: the lower end is not below -margin, so that a run against itself passes with margin 0.
    """
    if high < -margin or (strict and high < 0):
        return "regressed"
    return "pass" if low >= -margin else "inconclusive"
