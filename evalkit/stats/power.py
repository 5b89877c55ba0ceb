"""What an interval or a standard error of a difference means: a verdict, and what could have been detected."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from evalkit.stats.intervals import FEWEST_PAPERS
from evalkit.stats.measures import Array
from evalkit.stats.permutation import least_p
from evalkit.stats.student import below, quantile

Verdict = Literal["pass", "regressed", "inconclusive"]
ROUNDING = 1e-9  # a figure this near to a limit is at it: 0.3, 0.2 and 0.1 have a mean of 0.19999999999999998
_NORMAL_REACH = 1.959963984540054 + 0.8416212335729143  # the normal distribution's quantiles at 97.5 and 80%


def minimum_detectable(
    standard_error: float, papers: int, *, tests: int = 1, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the difference that a two-sided test over these papers, one of so many, finds with that power.

    It is (t(1 - level / (2 tests)) + t(power)) * SE with papers - 1 degrees of freedom. NaN where no difference can be
    found: the least p that so many papers can have, times the tests, is not below the level.
    """
    if papers < 2 or _is_hopeless(papers, tests, level):
        return math.nan
    return (quantile(papers - 1, level / (2 * max(tests, 1))) + quantile(papers - 1, 1 - power)) * standard_error


def _is_hopeless(papers: int, tests: int, level: float) -> bool:
    """Tell whether no p of so many papers can be below the level, corrected for so many tests."""
    return max(tests, 1) * least_p(papers) >= level


def papers_needed(n: int, detectable: float, target: float, *, tests: int = 1) -> int | None:
    """Return how many papers bring the minimum detectable effect down to `target`: n * (detectable / target)^2.

    Never fewer than an interval needs, or than so many tests need for a p below 5%.
    """
    if math.isnan(detectable) or not target > 0:
        return None
    # 90.00000000000001 papers are 90.
    papers = max(FEWEST_PAPERS, math.ceil(n * (detectable / target) ** 2 - 1e-9))
    while _is_hopeless(papers, tests, 0.05):
        papers += 1
    return papers


def papers_to_see(deviation: float, target: float) -> int | None:
    """Return the fewest papers that show a difference of `target`, where it varies by `deviation` from paper to paper.

    Unlike `papers_needed`, which keeps the degrees of freedom of the papers at hand, it takes those of the papers
    needed. Never fewer than an interval needs.
    """
    if math.isnan(deviation) or not target > 0:
        return None
    # Quantiles of t lie above those of the normal distribution, so that no smaller number can do.
    papers = max(FEWEST_PAPERS, math.floor((_NORMAL_REACH * deviation / target) ** 2))
    while minimum_detectable(deviation / math.sqrt(papers), papers) > target:
        papers += 1
    return papers


def variance_components(means: Array, spreads: Array, samples: Array) -> tuple[float, float]:
    """Return the variance between papers, and that of one sample within a paper; NaN where no paper has several.

    `means`, `spreads` and `samples` [papers]: of each paper's samples the mean, the standard deviation (NaN of a single
    one), and how many there are. What samples add to the variance of the means is taken out of that between papers.
    """
    repeated = ~np.isnan(spreads)
    if len(means) < 2 or not repeated.any():
        return math.nan, math.nan
    within = float(np.mean(spreads[repeated] ** 2))
    return max(float(np.var(means, ddof=1)) - within * float(np.mean(1 / samples)), 0.0), within


def verdict(low: float, high: float, margin: float, *, strict: bool = False) -> Verdict:
    """Judge a drop by `margin` from the interval of a difference; NaN ends are inconclusive.

    *regressed*: the upper end is below -margin, or below 0 with `strict` (even when the lower end is above -margin);
    *pass*: the lower end is not below -margin, so that a run against itself passes with margin 0.
    """
    least = -margin - ROUNDING
    if high < least or (strict and high < -ROUNDING):
        return "regressed"
    return "pass" if low >= least else "inconclusive"


def alarm_rate(drop: float, standard_error: float, papers: int, threshold: float) -> float:
    """Return how often the observed difference falls below -threshold when the true one is -drop.

    The observed difference over its standard error is taken as Student's t about the true one.
    """
    if papers < 2 or math.isnan(standard_error):
        return math.nan
    if standard_error == 0 or math.isinf(threshold):
        return float(drop > threshold)
    return below(papers - 1, (drop - threshold) / standard_error)


def significant_from(standard_error: float, papers: int, *, tests: int = 1, level: float = 0.05) -> float:
    """Return the difference from which on a two-sided test, one of so many, is significant; infinity where none is."""
    if papers < 2 or _is_hopeless(papers, tests, level):
        return math.inf
    return quantile(papers - 1, level / (2 * max(tests, 1))) * standard_error
