"""Bootstrap over papers, never over entries, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evalkit.stats.measures import Array, Flags, Indices, Measure

RESAMPLES = 9_999
TIE = 1e-12  # values this close are ties, which rounding parts: 0.2 + 0.4 is not 0.6
CHUNK_CELLS = 100_000  # cells of one chunk of resamples: 0.8 MB an array stays in the cache of a core


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


def top_probability(measure: Measure, *, seed: int, top: int = 1, resamples: int = RESAMPLES) -> Array:
    """Return in what share of resamples each planner [planners] is among the `top` best; ties share a place."""
    (drawn,) = bootstrap([measure], seed=seed, resamples=resamples)
    drawn = np.nan_to_num(drawn, nan=-1e300)  # below any value; resamples without any are shared by all
    if top >= drawn.shape[1]:
        return np.ones(drawn.shape[1])
    border = np.partition(drawn, -top, axis=1)[:, -top, None]
    above, on_border = drawn > border + TIE, np.abs(drawn - border) <= TIE
    places = (top - above.sum(axis=1, keepdims=True)) / on_border.sum(axis=1, keepdims=True)
    shares: Array = (above + on_border * places).mean(axis=0)
    return shares
