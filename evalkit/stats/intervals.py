"""Intervals over papers from linearised standard errors: Wilson's score interval for levels, plain t for differences.

The influence of a paper is what its sums add to a measure, by the measure's gradient at its totals. A level between 0
and 1 has the interval of a proportion in v (1 - v) / SE^2 draws, the effective sample size, with the quantile of t in
place of the normal one: it stays between 0 and 1.

Sources: Wilson, Journal of the American Statistical Association 22 (1927) 209-212; with an effective sample size Kott,
Survey Methodology 43 (2017) 235-240, and Franco, Little, Louis and Slud, Journal of Survey Statistics and Methodology 7
(2019) 334-364. It was chosen among logit-t, arcsine-t and t by its coverage of real scores, see
docs/comparing-and-ci.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.measures import Array, Flags, Indices, Measure, gradient
from evalkit.stats.student import quantile

FEWEST_PAPERS = 5  # below this there is no interval
FEW_PAPERS = 10  # below this, counts and a warning belong beside every interval
_ALIKE = 1e-9  # a standard error this small is rounding: all papers score alike


@dataclass(frozen=True, slots=True)
class Intervals:
    """One measure of every planner, each array [planners]; NaN ends where there is no interval."""

    value: Array
    low: Array
    high: Array
    n: Indices


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of a new planner minus a base planner on the same papers, with its interval and standard error."""

    value: float
    low: float
    high: float
    standard_error: float
    n: int


def few_papers(n: int) -> bool:
    """Tell whether an interval over n papers needs the counts and a warning beside it."""
    return n < FEW_PAPERS


def intervals(measures: Sequence[Measure], *, level: float = 0.95, labelled: Flags | None = None) -> list[Intervals]:
    """Return the interval of each measure for every planner.

    None under five papers, and none where all papers score alike: their spread says nothing of others. With `labelled`
    [papers], the labelled papers and the others each vary about their own mean (see `corrected_sums`).
    """
    return [_level(measure, level, labelled) for measure in measures]


def _level(measure: Measure, level: float, labelled: Flags | None) -> Intervals:
    value, n = measure.values, effective_papers(measure, labelled)
    error = _errors(_influences(measure), n, labelled)
    known = (n >= FEWEST_PAPERS) & (error > _ALIKE)
    reach = np.where(known, _quantile(n, level) * error, np.nan)
    centre, half = _wilson(value, reach)
    return Intervals(value, centre - half, centre + half, n)


def _wilson(value: Array, reach: Array) -> tuple[Array, Array]:
    """Return the centre and half the width of the interval of levels whose plain t interval is value +- reach.

    It holds every p with |value - p| <= reach * sqrt(p (1 - p) / (value (1 - value))): the error is that of p. A
    corrected level may lie outside of 0 to 1, where the interval is plain t.
    """
    inside = (value > 0) & (value < 1)
    spread = np.where(inside, value * (1 - value), 1.0)
    pull = np.where(inside, reach**2 / spread, 0.0)  # t^2 over the effective sample size
    centre = (value + pull / 2) / (1 + pull)
    return centre, np.sqrt(reach**2 + pull**2 / 4) / (1 + pull)


def differences(
    measures: Sequence[Measure], base: int, new: int, *, level: float = 0.95, labelled: Flags | None = None
) -> list[Difference]:
    """Return `new - base` of each measure with its paired t interval; for a test use `paired_test`."""
    results = []
    for measure in measures:
        pair = Measure(measure.sums[:, [base, new]], measure.metric)
        n = int(effective_papers(pair, labelled).min())
        error = standard_error(pair, 0, 1, labelled=labelled)
        error = 0.0 if error <= _ALIKE else error
        value = float(np.diff(pair.values)[0])
        reach = float(_quantile(np.array([n]), level)[0]) * error if n >= FEWEST_PAPERS else math.nan
        results.append(Difference(value, value - reach, value + reach, error, n))
    return results


def standard_error(measure: Measure, base: int, new: int, *, labelled: Flags | None = None) -> float:
    """Return the linearised standard error of the paired difference: s / sqrt(n) for a complete macro measure."""
    moved = _influences(measure)
    n = effective_papers(measure, labelled)[[base, new]].min()
    return float(_errors((moved[:, new] - moved[:, base])[:, None], np.array([n]), labelled)[0])


def difference_variances(measure: Measure) -> Array:
    """Return the squared standard error of the paired difference of every two planners [planners, planners]."""
    moved = _influences(measure)
    n = measure.n
    fewest = np.minimum(n[:, None], n[None, :])
    # By the papers' covariance: with hundreds of planners, an array [papers, planners, planners] would not fit.
    centred = moved - moved.mean(axis=0)
    products = centred.T @ centred
    squares = np.diag(products)
    total = np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)
    return np.asarray(total * fewest / np.where(fewest > 1, fewest - 1, np.nan), dtype=np.float64)


def t_reach(papers: int, *, level: float = 0.95) -> float:
    """Return how many standard errors an interval over so many papers reaches to each side; NaN where there is none."""
    return float(_quantile(np.array([papers]), level)[0]) if papers >= FEWEST_PAPERS else math.nan


def effective_papers(measure: Measure, labelled: Flags | None) -> Indices:
    """Count the papers [planners] that an interval rests on; of a corrected measure, those with labels."""
    return measure.n if labelled is None else Measure(measure.sums[labelled], measure.metric).n


def _influences(measure: Measure) -> Array:
    """Return what each paper adds to the measure [papers, planners], to first order."""
    slopes = gradient(measure.metric, measure.sums.sum(axis=0))
    return np.asarray(np.einsum("npk,pk->np", measure.sums, slopes), dtype=np.float64)


def _errors(influences: Array, n: Indices, labelled: Flags | None) -> Array:
    """Return standard errors [planners] of totals of influences; NaN under two papers."""
    groups = [influences] if labelled is None else [influences[labelled], influences[~labelled]]
    squares = [((group - group.mean(axis=0)) ** 2).sum(axis=0) for group in groups if len(group)]
    variance = np.sum(squares, axis=0) if squares else np.zeros(influences.shape[1])
    return np.asarray(np.sqrt(variance * n / np.where(n > 1, n - 1, np.nan)), dtype=np.float64)


def _quantile(n: Indices, level: float) -> Array:
    """Return the t quantile for n papers."""
    return np.array([quantile(max(int(papers) - 1, 1), (1 - level) / 2) for papers in n], dtype=np.float64)
