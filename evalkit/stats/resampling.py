"""Takes measures, gives intervals: a bootstrap over papers, never over entries, seeded and of bounded memory.

Sources: Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015) 371-386 (the
expanded percentile); Angelopoulos, Duchi and Zrnic, PPI++, arXiv 2311.01453 (the corrected sums).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.measures import Array, Flags, Indices, Measure, divide, gradient

RESAMPLES = 9_999
FEW_PAPERS = 10  # below this, counts and a warning belong beside every interval
_PLANNERS = 48  # planners whose replicates are held at once
_CELLS = 1_000_000  # cells of one chunk of resamples: 8 MB an array, whatever the number of papers


@dataclass(frozen=True, slots=True)
class Intervals:
    """One measure of every planner: value, ends, papers that count, and resamples in which it was undefined."""

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
    """Whether an interval over n papers needs the counts and a warning beside it."""
    return n < FEW_PAPERS


def bootstrap(
    measures: Sequence[Measure], *, seed: int, resamples: int = RESAMPLES, labelled: Flags | None = None
) -> list[Array]:
    """Replicates [resamples, planners] of each measure, NaN where a resample leaves it undefined.

    Papers are drawn with replacement; one draw serves all measures and planners, so their replicates stay paired.
    With `labelled`, the labelled papers and the others are resampled separately (see `corrected_sums`).
    """
    if not measures:
        return []
    widths = [measure.sums.shape[1] * measure.sums.shape[2] for measure in measures]
    flat = [measure.sums.reshape(-1, width) for measure, width in zip(measures, widths, strict=True)]
    columns, ends = np.concatenate(flat, axis=1), np.cumsum(widths)[:-1]
    parts: list[list[Array]] = [[] for _ in measures]
    chunk = max(1, _CELLS // max(columns.shape))
    for weights in _weights(_strata(len(columns), labelled), resamples, chunk, seed):
        for part, measure, drawn in zip(parts, measures, np.split(weights @ columns, ends, axis=1), strict=True):
            part.append(measure.metric(drawn.reshape(-1, *measure.sums.shape[1:])))
    return [np.concatenate(part) for part in parts]


def _strata(papers: int, labelled: Flags | None) -> list[Indices]:
    groups = [np.ones(papers, dtype=np.bool_)] if labelled is None else [labelled, ~labelled]
    return [np.flatnonzero(group).astype(np.int64) for group in groups if group.any()]


def _weights(strata: list[Indices], resamples: int, chunk: int, seed: int) -> Iterator[Array]:
    """How often each paper is drawn: Multinomial(n, 1/n) in each stratum, `chunk` rows [papers] at a time.

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
    """The quantiles to take: Phi(-+ t(n - 1) * sqrt(n / (n - 1))). For a mean they reach as far as the t interval."""
    from scipy.special import ndtr, stdtrit

    reach = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(n / (n - 1))
    return float(ndtr(-reach)), float(ndtr(reach))


def expanded_interval(replicates: Array, n: int, level: float = 0.95) -> tuple[float, float, int]:
    """Low, high and the number of undefined replicates, which are left out; NaN ends under two papers."""
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
    """Expanded percentile intervals of each measure for every planner, all from the same resamples."""
    planners = measures[0].sums.shape[1] if measures else 0
    if planners > _PLANNERS:
        # In blocks: the replicates of hundreds of planners would fill the memory. Every block draws the same papers.
        blocks = [slice(start, start + _PLANNERS) for start in range(0, planners, _PLANNERS)]
        parts = [
            intervals(
                [Measure(one.sums[:, block], one.metric) for one in measures],
                seed=seed, resamples=resamples, level=level, labelled=labelled,
            )
            for block in blocks
        ]  # fmt: skip
        return [_joined(found) for found in zip(*parts, strict=True)]
    found = []
    drawn = bootstrap(measures, seed=seed, resamples=resamples, labelled=labelled)
    for measure, replicates in zip(measures, drawn, strict=True):
        n = _counted(measure, labelled)
        ends = [expanded_interval(column, int(m), level) for column, m in zip(replicates.T, n, strict=True)]
        low, high, undefined = np.array(ends, dtype=np.float64).reshape(-1, 3).T
        found.append(Intervals(measure.values, low, high, n, undefined.astype(np.int64)))
    return found


def _joined(blocks: Sequence[Intervals]) -> Intervals:
    """The intervals of several blocks of planners as one."""
    columns = ([getattr(block, name) for block in blocks] for name in ("value", "low", "high", "n", "undefined"))
    return Intervals(*(np.concatenate(column) for column in columns))


def _counted(measure: Measure, labelled: Flags | None) -> Indices:
    """The papers that an interval rests on; of a corrected measure, those with labels."""
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
    """`new - base` of each measure with its paired bootstrap interval. For a test use `paired_test`: this is none."""
    pairs = [Measure(measure.sums[:, [base, new]], measure.metric) for measure in measures]
    found = []
    for pair, drawn in zip(pairs, bootstrap(pairs, seed=seed, resamples=resamples, labelled=labelled), strict=True):
        n = int(_counted(pair, labelled).min())
        low, high, undefined = expanded_interval(drawn[:, 1] - drawn[:, 0], n, level)
        error = standard_error(pair, 0, 1, labelled=labelled)
        found.append(Difference(float(np.diff(pair.values)[0]), low, high, error, n, undefined))
    return found


def standard_error(measure: Measure, base: int, new: int, *, labelled: Flags | None = None) -> float:
    """Linearised standard error of the paired difference: s / sqrt(n) for a macro measure defined everywhere.

    Of a corrected measure, the labelled papers and the others each vary about their own mean.
    """
    slopes = gradient(measure.metric, measure.sums[:, [base, new]].sum(axis=0))
    moved = measure.sums[:, new] @ slopes[1] - measure.sums[:, base] @ slopes[0]
    n = int(_counted(measure, labelled)[[base, new]].min())
    if n < 2:
        return math.nan
    groups = [moved[members] for members in _strata(len(moved), labelled)]
    variance = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return math.sqrt(variance * n / (n - 1))


def corrected_sums(
    automatic: Array, truth: Array, labelled: Flags, doubtful: Flags | None = None
) -> tuple[Array, Array]:
    """Prediction-powered numerators [papers, planners, k] and their lambda [planners, k].

    Their total is lambda * sum_all(automatic) + (N / n) * sum_labelled(truth - lambda * automatic), which is right on
    average when the n labelled papers are a random sample of the N. `truth` is read on labelled papers only. lambda is
    the slope of truth on automatic over the labelled papers, clipped to [0, 1]: it has the least variance, also for a
    ratio to known denominators, whose covariances with `automatic` cancel. Join the denominators to the sums and give
    `intervals` the same `labelled`; a test by swapping is not meant for such sums.

    `doubtful` [papers, planners] is where labels have anything to say; elsewhere (no plan, no gold) `automatic` is the
    truth, and such papers count neither among the N nor among the n, whether they were sampled or not.
    """
    doubtful = np.ones(automatic.shape[:2], dtype=np.bool_) if doubtful is None else doubtful
    chosen = doubtful & labelled[:, None]
    n = chosen.sum(axis=0).astype(np.float64)
    share = np.nan_to_num(divide(doubtful.sum(axis=0).astype(np.float64), n))
    here = chosen[:, :, None]
    known, guessed = np.where(here, truth, 0.0), np.where(here, automatic, 0.0)
    centred = np.where(here, automatic - divide(guessed.sum(axis=0), n[:, None]), 0.0)
    slope = divide((centred * known).sum(axis=0), (centred**2).sum(axis=0))
    trust = np.clip(np.nan_to_num(slope), 0.0, 1.0)
    sums = np.where(doubtful[:, :, None], trust, 1.0) * automatic
    return sums + share[:, None] * (known - trust * guessed), trust
