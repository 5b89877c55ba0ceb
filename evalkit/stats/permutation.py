"""Takes measures, gives p: paired tests that swap whole papers, Holm's correction, and the ranks that follow.

Sources: Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010) 39, for
p = (c + 1) / (B + 1); Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.measures import Array, Flags, Indices, Measure, Metric, divide, gradient, is_macro
from evalkit.stats.resampling import RESAMPLES

_CELLS = 1_000_000  # cells of one chunk of swaps
_TOGETHER = 64  # pairs that one matrix product serves
_ALIKE = 32  # such products that one drawing of swaps serves
_TIE = 1e-7  # statistics this close are ties: rounding and the numerical gradient can part them that far


@dataclass(frozen=True, slots=True)
class PairTests:
    """p of pairwise tests [planners, planners], raw and Holm-adjusted; NaN where no test was meant or possible."""

    raw: Array
    adjusted: Array


def paired_test(measure: Measure, first: int, second: int, *, seed: int, resamples: int = RESAMPLES) -> float:
    """Two-sided p of "these two planners are exchangeable on every paper", by swapping whole papers.

    The statistic is the difference over its linearised standard error, recomputed after every swap; for a macro
    measure without undefined papers it orders the swaps as the plain difference does. Exact, c / 2^m, when the m
    papers on which they differ have no more than `resamples` swaps; else (c + 1) / (B + 1). A swap that leaves the
    difference undefined counts as extreme; p is NaN when the observed difference is undefined.
    """
    one, two = measure.sums[:, first], measure.sums[:, second]
    observed = _extremeness(measure.metric, one, two, np.ones((1, len(one))))[0]
    if math.isnan(observed):
        return math.nan
    differs = (one != two).any(axis=1)
    exact = _countable(differs, resamples)
    reached = drawn = 0
    for signs in _swaps(differs, exact, resamples, seed):
        reached += int(np.count_nonzero(~(_extremeness(measure.metric, one, two, signs) < observed - _TIE)))
        drawn += len(signs)
    return reached / drawn if exact else (reached + 1) / (drawn + 1)


def _countable(differs: Flags, resamples: int) -> bool:
    """Whether 2^m <= resamples."""
    return int(differs.sum()) < resamples.bit_length()


def _swaps(differs: Flags, exact: bool, resamples: int, seed: int) -> Iterator[Array]:
    """Signs [rows, papers], -1 where a paper is swapped: every pattern, or random ones."""
    places = np.flatnonzero(differs)
    total = 2 ** len(places) if exact else resamples
    chunk, rng = max(1, _CELLS // len(differs)), np.random.default_rng(seed)
    for start in range(0, total, chunk):
        rows = np.arange(start, min(start + chunk, total))
        if exact:
            swapped = rows[:, None] >> np.arange(len(places)) & 1
        else:
            swapped = rng.integers(2, size=(len(rows), len(places)))
        moved = swapped.astype(np.float64)
        moved *= -2.0
        moved += 1.0
        if len(places) == len(differs):
            yield moved
            continue
        signs = np.ones((len(rows), len(differs)))
        signs[:, places] = moved
        yield signs


def _extremeness(metric: Metric, one: Array, two: Array, signs: Array) -> Array:
    """d^2 / (d^2 + variance of d) of each row of swaps: it grows with |d| / SE, is 1 when the SE is 0, 0 when d is."""
    gap, variance = _gap(metric, one, two, signs)
    squared = np.where(np.abs(gap) < 1e-12, 0.0, gap**2)
    return np.where(squared == 0, 0.0, divide(squared, squared + variance))


def _gap(metric: Metric, one: Array, two: Array, signs: Array) -> tuple[Array, Array]:
    """The difference metric(one) - metric(two) after each row of swaps, and its linearised variance.

    With c, e the half sum and half difference of a paper's rows and s its sign, the sides are c + s e and c - s e.
    With u, v the difference and the sum of the two gradients, the paper moves the difference by u.c + s v.e; the
    variance is the sum of the squares, and quadratic forms give it without an array [swaps, papers] for every sum.
    """
    centre, half = (one + two) / 2, (one - two) / 2
    total, shift = centre.sum(axis=0), signs @ half
    gap = metric(total + shift) - metric(total - shift)
    rise, fall = gradient(metric, total + shift), gradient(metric, total - shift)
    u, v = rise - fall, rise + fall
    k = one.shape[1]
    cross = (signs @ (centre[:, :, None] * half[:, None, :]).reshape(-1, k * k)).reshape(-1, k, k)
    fixed = ((u @ (centre.T @ centre)) * u).sum(axis=1) + ((v @ (half.T @ half)) * v).sum(axis=1)
    turning = 2 * ((u[:, None, :] @ cross)[:, 0] * v).sum(axis=1)
    return gap, np.maximum(fixed + turning, 0.0)


def holm(p: Array) -> Array:
    """Holm's step-down adjusted p, same shape; NaN are tests that could not be made and are not counted."""
    flat = p.ravel()
    made = np.flatnonzero(~np.isnan(flat))
    order = made[np.argsort(flat[made], kind="stable")]
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted.reshape(p.shape)


def all_pairs(measure: Measure, *, seed: int, resamples: int = RESAMPLES) -> PairTests:
    """Every planner against every other, Holm over the K (K - 1) / 2 tests; symmetric, NaN on the diagonal."""
    rows, columns = np.triu_indices(measure.sums.shape[1], 1)
    return _tests(measure, rows.astype(np.int64), columns.astype(np.int64), seed, resamples)


def against(measure: Measure, baseline: int, *, seed: int, resamples: int = RESAMPLES) -> PairTests:
    """Every planner against one, Holm over the K - 1 tests; NaN outside the baseline's row and column."""
    others = np.delete(np.arange(measure.sums.shape[1], dtype=np.int64), baseline)
    return _tests(measure, np.full_like(others, baseline), others, seed, resamples)


def _tests(measure: Measure, rows: Indices, columns: Indices, seed: int, resamples: int) -> PairTests:
    raw = np.full(len(rows), np.nan)
    plain = _plain(measure)
    together = plain[rows] & plain[columns]
    for at in np.flatnonzero(~together).tolist():
        raw[at] = paired_test(measure, int(rows[at]), int(columns[at]), seed=seed, resamples=resamples)
    values = measure.sums[:, :, 0]
    raw[together] = _plain_tests(values, rows[together], columns[together], seed, resamples)
    planners = measure.sums.shape[1]
    square = np.full((2, planners, planners), np.nan)
    for table, p in zip(square, (raw, holm(raw)), strict=True):
        table[rows, columns] = table[columns, rows] = p
    return PairTests(square[0], square[1])


def _plain(measure: Measure) -> Flags:
    """The planners whose measure is the mean of a value that is defined on every paper."""
    if not is_macro(measure):
        return np.zeros(measure.sums.shape[1], dtype=np.bool_)
    return np.asarray((measure.sums[:, :, 1] == 1).all(axis=0))


def _plain_tests(values: Array, rows: Indices, columns: Indices, seed: int, resamples: int) -> Array:
    """`paired_test` of many pairs of such planners, for which the statistic has a closed form in the plain difference.

    Pairs that differ on as many papers see the same swaps, as they do one by one, so that one matrix product serves
    many of them: a sweep of hundreds of prompts is tens of thousands of pairs.
    """
    found = np.full(len(rows), np.nan)
    differing = np.array([int((values[:, i] != values[:, j]).sum()) for i, j in zip(rows, columns, strict=True)], int)
    for size in np.unique(differing).tolist():
        same = np.flatnonzero(differing == size)
        groups = np.array_split(same, math.ceil(len(same) / _TOGETHER))
        for start in range(0, len(groups), _ALIKE):
            some = groups[start : start + _ALIKE]
            halves = []
            for pairs in some:
                gaps = (values[:, rows[pairs]] - values[:, columns[pairs]]).T / 2
                halves.append(gaps[gaps != 0].reshape(len(pairs), size).T)
            for pairs, p in zip(some, _reached(halves, len(values), seed, resamples), strict=True):
                found[pairs] = p
    return found


def _reached(halves: Sequence[Array], papers: int, seed: int, resamples: int) -> list[Array]:
    """The p of each column of half differences on the papers where a pair differs; all see the same swaps."""
    size = len(halves[0])
    if not size:
        return [np.ones(half.shape[1]) for half in halves]
    spreads = [(half**2).sum(axis=0) for half in halves]
    limits = [
        _plain_extremeness(half.sum(axis=0), spread, papers) - _TIE
        for half, spread in zip(halves, spreads, strict=True)
    ]
    differs = np.ones(size, dtype=np.bool_)
    exact = _countable(differs, resamples)
    reached, drawn = [np.zeros(half.shape[1]) for half in halves], 0
    for signs in _swaps(differs, exact, resamples, seed):
        for count, half, spread, limit in zip(reached, halves, spreads, limits, strict=True):
            count += np.count_nonzero(_plain_extremeness(signs @ half, spread, papers) >= limit, axis=0)
        drawn += len(signs)
    return [count / drawn if exact else (count + 1) / (drawn + 1) for count in reached]


def _plain_extremeness(shift: Array, spread: Array, papers: int) -> Array:
    """`_extremeness` of half differences that add up to `shift`, with `spread` the sum of their squares."""
    squared = np.where(np.abs(2 * shift / papers) < 1e-12, 0.0, shift**2)
    return np.where(squared == 0, 0.0, divide(squared, squared + np.maximum(spread - shift**2 / papers, 0.0)))


def rank_intervals(values: Array, adjusted: Array, level: float = 0.05) -> list[tuple[int, int] | None]:
    """[1 + significantly better, K - significantly worse] among the K planners with a value, from `all_pairs`."""
    planners = int(np.count_nonzero(~np.isnan(values)))
    found: list[tuple[int, int] | None] = []
    for value, p in zip(values, adjusted, strict=True):
        clear = p < level
        better, worse = int(np.sum(clear & (values > value))), int(np.sum(clear & (values < value)))
        found.append(None if np.isnan(value) else (1 + better, planners - worse))
    return found
