"""Bootstrap over papers, never over entries: intervals of measures and of paired differences, in bounded memory.

Source: Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015) 371-386 (the
expanded percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from evalkit.stats.measures import Array, Flags, Indices, Measure, gradient

RESAMPLES = 9_999
FEW_PAPERS = 10  # below this, counts and a warning belong beside every interval
PLANNER_BLOCK = 48  # planners whose replicates are held at once
CHUNK_CELLS = 1_000_000  # cells of one chunk of resamples: 8 MB an array, whatever the number of papers


@dataclass(frozen=True, slots=True)
class Intervals:
    """One measure of every planner, each array [planners]; `undefined` counts resamples without a value."""

    value: Array
    low: Array
    high: Array
    n: Indices
    undefined: Indices


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of a new planner minus a base planner on the same papers, with its interval and standard error."""

    value: float
    low: float
    high: float
    standard_error: float
    n: int
    undefined: int


def few_papers(n: int) -> bool:
    """Tell whether an interval over n papers needs the counts and a warning beside it."""
    return n < FEW_PAPERS


def bootstrap(
    measures: Sequence[Measure], *, seed: int, resamples: int = RESAMPLES, labelled: Flags | None = None
) -> list[Array]:
    """Return replicates [resamples, planners] of each measure, NaN where a resample leaves it undefined.

    Papers are drawn with replacement; one draw serves all measures and planners, so their replicates stay paired.
    With `labelled` [papers], the labelled papers and the others are resampled separately (see `corrected_sums`).
    """
    if not measures:
        return []
    widths = [measure.sums.shape[1] * measure.sums.shape[2] for measure in measures]
    flat = [measure.sums.reshape(-1, width) for measure, width in zip(measures, widths, strict=True)]
    columns, ends = np.concatenate(flat, axis=1), np.cumsum(widths)[:-1]
    replicates: list[list[Array]] = [[] for _ in measures]
    chunk = max(1, CHUNK_CELLS // max(columns.shape))
    for weights in _weights(_strata(len(columns), labelled), resamples, chunk, seed):
        totals = np.split(weights @ columns, ends, axis=1)
        for drawn, measure, total in zip(replicates, measures, totals, strict=True):
            drawn.append(measure.metric(total.reshape(-1, *measure.sums.shape[1:])))
    return [np.concatenate(drawn) for drawn in replicates]


def _strata(papers: int, labelled: Flags | None) -> list[Indices]:
    """Return the paper indices of each group that is resampled separately."""
    groups = [np.ones(papers, dtype=np.bool_)] if labelled is None else [labelled, ~labelled]
    return [np.flatnonzero(group).astype(np.int64) for group in groups if group.any()]


def _weights(strata: list[Indices], resamples: int, chunk: int, seed: int) -> Iterator[Array]:
    """Yield chunks [resamples, papers] of how often each paper is drawn: Multinomial(n, 1/n) in each stratum.

    Drawing indices and counting them has that distribution at a sixth of the cost of `rng.multinomial`. One generator
    a stratum makes the draws independent of the size of the chunks.
    """
    generators = np.random.default_rng(seed).spawn(len(strata))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        weights = np.empty((rows, sum(map(len, strata))))
        for members, generator in zip(strata, generators, strict=True):
            size = len(members)
            drawn = generator.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
            weights[:, members] = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        yield weights


def expanded_levels(n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the quantiles Phi(-+ t(n - 1) * sqrt(n / (n - 1))). For a mean they reach as far as the t interval."""
    from scipy.special import ndtr, stdtrit

    reach = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(n / (n - 1))
    return float(ndtr(-reach)), float(ndtr(reach))


def expanded_interval(replicates: Array, n: int, level: float = 0.95) -> tuple[float, float, int]:
    """Return low, high and the number of undefined replicates, which are left out; NaN ends under two papers."""
    defined = replicates[~np.isnan(replicates)]
    undefined = len(replicates) - len(defined)
    if n < 2 or not len(defined):
        return math.nan, math.nan, undefined
    low, high = np.quantile(defined, expanded_levels(n, level))
    return float(low), float(high), undefined


def intervals(
    measures: Sequence[Measure],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    labelled: Flags | None = None,
) -> list[Intervals]:
    """Return expanded percentile intervals of each measure for every planner, all from the same resamples."""
    planners = measures[0].sums.shape[1] if measures else 0
    blocks: list[list[Intervals]] = [[] for _ in measures]
    # The replicates of hundreds of planners would fill the memory; every block of them draws the same papers.
    for start in range(0, max(planners, 1), PLANNER_BLOCK):
        block = [Measure(one.sums[:, start : start + PLANNER_BLOCK], one.metric) for one in measures]
        replicates = bootstrap(block, seed=seed, resamples=resamples, labelled=labelled)
        for found, measure, drawn in zip(blocks, block, replicates, strict=True):
            n = _effective_papers(measure, labelled)
            ends = [expanded_interval(column, int(m), level) for column, m in zip(drawn.T, n, strict=True)]
            low, high, undefined = np.array(ends, dtype=np.float64).reshape(-1, 3).T
            found.append(Intervals(measure.values, low, high, n, undefined.astype(np.int64)))
    return [_joined(found) for found in blocks]


def _joined(blocks: Sequence[Intervals]) -> Intervals:
    """Join the intervals of several blocks of planners."""
    return Intervals(*(np.concatenate(arrays) for arrays in zip(*map(astuple, blocks), strict=True)))


def _effective_papers(measure: Measure, labelled: Flags | None) -> Indices:
    """Count the papers [planners] that an interval rests on; of a corrected measure, those with labels."""
    return measure.n if labelled is None else Measure(measure.sums[labelled], measure.metric).n


def differences(
    measures: Sequence[Measure],
    base: int,
    new: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    labelled: Flags | None = None,
) -> list[Difference]:
    """Return `new - base` of each measure with its paired bootstrap interval; for a test use `paired_test`."""
    pairs = [Measure(measure.sums[:, [base, new]], measure.metric) for measure in measures]
    results = []
    for pair, drawn in zip(pairs, bootstrap(pairs, seed=seed, resamples=resamples, labelled=labelled), strict=True):
        n = int(_effective_papers(pair, labelled).min())
        low, high, undefined = expanded_interval(drawn[:, 1] - drawn[:, 0], n, level)
        error = standard_error(pair, 0, 1, labelled=labelled)
        results.append(Difference(float(np.diff(pair.values)[0]), low, high, error, n, undefined))
    return results


def standard_error(measure: Measure, base: int, new: int, *, labelled: Flags | None = None) -> float:
    """Return the linearised standard error of the paired difference: s / sqrt(n) for a complete macro measure.

    Of a corrected measure, the labelled papers and the others each vary about their own mean.
    """
    slopes = gradient(measure.metric, measure.sums[:, [base, new]].sum(axis=0))
    influence = measure.sums[:, new] @ slopes[1] - measure.sums[:, base] @ slopes[0]
    n = int(_effective_papers(measure, labelled)[[base, new]].min())
    if n < 2:
        return math.nan
    groups = [influence[members] for members in _strata(len(influence), labelled)]
    variance = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return math.sqrt(variance * n / (n - 1))
