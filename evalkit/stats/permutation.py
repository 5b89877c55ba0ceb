"""Paired permutation tests that swap whole papers, for one pair of planners or for many at once.

p is the mid-p: swaps that reach just the observed statistic count half. It holds its level on average over discrete
scores, where the plain p stays below it; exactly valid it is not. Of the random swaps the observed one is one (Phipson
and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010) 39). Where too few of them reach the
observed statistic to tell how small p is, the tail is Student's, and no smaller than the least p that so many papers
can have: many tests are corrected for, and a p that cannot get small enough would hide every difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.measures import Array, Flags, Indices, Measure, Metric, divide, gradient, is_macro
from evalkit.stats.multiplicity import correct, correct_pairs
from evalkit.stats.resampling import RESAMPLES
from evalkit.stats.student import both_tails

CHUNK_CELLS = 1_000_000  # cells of one chunk of swaps
_PAIRS = 64  # pairs in one matrix product
_PRODUCTS = 32  # such products that share one drawing of swaps
_TIE = 1e-7  # statistics this close are ties: rounding and the numerical gradient can part them that far
_ZERO = 1e-12  # a difference this small is rounding
_FEW = 20  # with fewer swaps that reach the observed statistic, its tail is Student's


@dataclass(frozen=True, slots=True)
class PairTests:
    """p of pairwise tests [planners, planners], raw and corrected; NaN where no test was asked for or possible."""

    raw: Array
    adjusted: Array


def paired_test(measure: Measure, first: int, second: int, *, seed: int, resamples: int = RESAMPLES) -> float:
    """Return the two-sided p of "these two planners are exchangeable on every paper".

    The statistic is the difference over its linearised standard error, recomputed after every swap; for a macro
    measure without undefined papers it orders the swaps as the plain difference does. All swaps are counted when the m
    papers on which they differ have no more than `resamples` of them; else so many are drawn. A swap that leaves the
    difference undefined counts as extreme; p is NaN when the observed difference is undefined.
    """
    one, two = measure.sums[:, first], measure.sums[:, second]
    observed = _statistic(measure.metric, one, two, np.ones((1, len(one))))[0]
    if math.isnan(observed):
        return math.nan
    differs = (one != two).any(axis=1)
    exact = _is_exact(differs, resamples)
    beyond = tied = total = 0
    for signs in _swaps(differs, exact, resamples, seed):
        statistic = _statistic(measure.metric, one, two, signs)
        further = ~(statistic <= observed + _TIE)
        beyond += int(np.count_nonzero(further))
        tied += int(np.count_nonzero(~further & (statistic >= observed - _TIE)))
        total += len(signs)
    counts = np.array([[beyond], [tied]], dtype=np.float64)
    return float(_mid_p(counts, total, exact, np.array([observed]), len(one), int(differs.sum()))[0])


def least_p(differing: int) -> float:
    """Return the smallest p that papers can have of which so many differ: all of them differ the same way.

    Of the 2^m swaps, that one and its opposite reach the observed statistic, and tie with it.
    """
    return float(0.5**differing)


def _mid_p(counts: Array, total: int, exact: bool, observed: Array, papers: int, differing: int) -> Array:
    """Return the mid-p [pairs] of counts of swaps [beyond the observed statistic or tied with it, pairs]; without a
    difference it is 1."""
    beyond, tied = counts
    if exact:
        return np.where(observed == 0, 1.0, (beyond + tied / 2) / total)
    drawn = (beyond + (tied + 1) / 2) / (total + 1)
    tail = np.minimum(drawn, _tail(observed, papers, differing))
    return np.where(observed == 0, 1.0, np.where(beyond + tied < _FEW, tail, drawn))


def _tail(observed: Array, papers: int, differing: int) -> Array:
    """Return the two-sided p of Student's t of these statistics, and no less than 1 / 2^m of m differing papers."""
    t = np.sqrt((papers - 1) / papers * divide(observed, np.maximum(1 - observed, 1e-15)))
    return np.asarray(np.maximum(both_tails(papers - 1, t), least_p(differing)), dtype=np.float64)


def all_pairs(measure: Measure, *, seed: int, resamples: int = RESAMPLES, correction: str = "shaffer") -> PairTests:
    """Test every planner against every other, corrected over all pairs; symmetric, NaN on the diagonal."""
    planners = measure.sums.shape[1]
    rows, columns = (indices.astype(np.int64) for indices in np.triu_indices(planners, 1))
    raw = _pair_tests(measure, rows, columns, seed, resamples)
    return _tables(raw, correct_pairs(raw, planners, correction), rows, columns, planners)


def against_baseline(
    measure: Measure, baseline: int, *, seed: int, resamples: int = RESAMPLES, correction: str = "shaffer"
) -> PairTests:
    """Test every planner against one, corrected over the K - 1 tests; NaN outside the baseline's row and column."""
    planners = measure.sums.shape[1]
    others = np.delete(np.arange(planners, dtype=np.int64), baseline)
    rows = np.full_like(others, baseline)
    raw = _pair_tests(measure, rows, others, seed, resamples)
    return _tables(raw, correct(raw, correction), rows, others, planners)


def chosen_pairs(measure: Measure, pairs: Sequence[tuple[int, int]], *, seed: int, resamples: int = RESAMPLES) -> Array:
    """Return the p [pairs] of `paired_test` for these pairs of planners, not corrected."""
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return _pair_tests(measure, rows, columns, seed, resamples)


def _tables(raw: Array, adjusted: Array, rows: Indices, columns: Indices, planners: int) -> PairTests:
    """Lay both p of pairs out as [planners, planners]."""
    square = np.full((2, planners, planners), np.nan)
    for table, p in zip(square, (raw, adjusted), strict=True):
        table[rows, columns] = table[columns, rows] = p
    return PairTests(square[0], square[1])


def _is_exact(differs: Flags, resamples: int) -> bool:
    """Tell whether all 2^m swaps of the papers that differ can be counted: 2^m <= resamples."""
    return int(differs.sum()) < resamples.bit_length()


def _swaps(differs: Flags, exact: bool, resamples: int, seed: int) -> Iterator[Array]:
    """Yield chunks of signs [swaps, papers], -1 where a paper is swapped: every pattern, or random ones."""
    places = np.flatnonzero(differs)
    total = 2 ** len(places) if exact else resamples
    chunk, rng = max(1, CHUNK_CELLS // len(differs)), np.random.default_rng(seed)
    for start in range(0, total, chunk):
        rows = np.arange(start, min(start + chunk, total))
        if exact:
            swapped = rows[:, None] >> np.arange(len(places)) & 1
        else:
            swapped = rng.integers(2, size=(len(rows), len(places)))
        flips = swapped.astype(np.float64)
        flips *= -2.0
        flips += 1.0
        if len(places) == len(differs):
            yield flips
            continue
        signs = np.ones((len(rows), len(differs)))
        signs[:, places] = flips
        yield signs


def _statistic(metric: Metric, one: Array, two: Array, signs: Array) -> Array:
    """Return d^2 / (d^2 + var d) [swaps]: it grows with |d| / SE, is 1 when the SE is 0, and 0 when d is.

    With c, e the half sum and half difference of a paper's rows and s its sign, the planners have c + s e and c - s e.
    With u, v the difference and the sum of the two gradients, the paper moves the difference by u.c + s v.e; the
    variance is the sum of the squares, and quadratic forms give it without an array [swaps, papers] for every sum.
    """
    centre, half = (one + two) / 2, (one - two) / 2
    total, shift = centre.sum(axis=0), signs @ half
    difference = metric(total + shift) - metric(total - shift)
    first, second = gradient(metric, total + shift), gradient(metric, total - shift)
    u, v = first - second, first + second
    k = one.shape[1]
    cross = (signs @ (centre[:, :, None] * half[:, None, :]).reshape(-1, k * k)).reshape(-1, k, k)
    squares = ((u @ (centre.T @ centre)) * u).sum(axis=1) + ((v @ (half.T @ half)) * v).sum(axis=1)
    products = 2 * ((u[:, None, :] @ cross)[:, 0] * v).sum(axis=1)
    squared = np.where(np.abs(difference) < _ZERO, 0.0, difference**2)
    return np.where(squared == 0, 0.0, divide(squared, squared + np.maximum(squares + products, 0.0)))


def _pair_tests(measure: Measure, rows: Indices, columns: Indices, seed: int, resamples: int) -> Array:
    """Return the p of the pairs (rows[i], columns[i]), those of complete macro measures together."""
    raw = np.full(len(rows), np.nan)
    planners = measure.sums.shape[1]
    # Only a mean of values that are defined on every paper has the closed form.
    complete = (measure.sums[:, :, 1] == 1).all(axis=0) if is_macro(measure) else np.zeros(planners, dtype=np.bool_)
    together = complete[rows] & complete[columns]
    for index in np.flatnonzero(~together).tolist():
        raw[index] = paired_test(measure, int(rows[index]), int(columns[index]), seed=seed, resamples=resamples)
    raw[together] = _mean_tests(measure.sums[:, :, 0], rows[together], columns[together], seed, resamples)
    return raw


def _mean_tests(values: Array, rows: Indices, columns: Indices, seed: int, resamples: int) -> Array:
    """Return the p of `paired_test` for many pairs of means of `values` [papers, planners].

    The statistic then has a closed form in the plain difference. Pairs that differ on as many papers see the same
    swaps, as they do one by one, so that one matrix product serves many of them: a sweep of hundreds of prompts is
    tens of thousands of pairs.
    """
    p = np.full(len(rows), np.nan)
    differing = np.array([int((values[:, i] != values[:, j]).sum()) for i, j in zip(rows, columns, strict=True)], int)
    for size in np.unique(differing).tolist():
        same = np.flatnonzero(differing == size)
        groups = np.array_split(same, math.ceil(len(same) / _PAIRS))
        for start in range(0, len(groups), _PRODUCTS):
            batch = groups[start : start + _PRODUCTS]
            halves = []
            for pairs in batch:
                gaps = (values[:, rows[pairs]] - values[:, columns[pairs]]).T / 2
                halves.append(gaps[gaps != 0].reshape(len(pairs), size).T)
            for pairs, p_values in zip(batch, _mean_p_values(halves, len(values), seed, resamples), strict=True):
                p[pairs] = p_values
    return p


def _mean_p_values(halves: Sequence[Array], papers: int, seed: int, resamples: int) -> list[Array]:
    """Return the p [pairs] of each array of half differences [differing papers, pairs]; all see the same swaps."""
    size = len(halves[0])
    if not size:
        return [np.ones(half.shape[1]) for half in halves]
    squares = [(half**2).sum(axis=0) for half in halves]
    observed = [_mean_statistic(half.sum(axis=0), square, papers) for half, square in zip(halves, squares, strict=True)]
    differs = np.ones(size, dtype=np.bool_)
    exact = _is_exact(differs, resamples)
    counts, total = [np.zeros((2, half.shape[1])) for half in halves], 0
    for signs in _swaps(differs, exact, resamples, seed):
        for count, half, square, limit in zip(counts, halves, squares, observed, strict=True):
            statistic = _mean_statistic(signs @ half, square, papers)
            beyond = np.count_nonzero(statistic > limit + _TIE, axis=0)
            count[0] += beyond
            count[1] += np.count_nonzero(statistic >= limit - _TIE, axis=0) - beyond
        total += len(signs)
    return [
        _mid_p(count, total, exact, limit, papers, size) for count, limit in zip(counts, observed, strict=True)
    ]  # fmt: skip


def _mean_statistic(shift: Array, squares: Array, papers: int) -> Array:
    """Return `_statistic` of half differences that add up to `shift`, with `squares` the sum of their squares."""
    squared = np.where(np.abs(2 * shift / papers) < _ZERO, 0.0, shift**2)
    return np.where(squared == 0, 0.0, divide(squared, squared + np.maximum(squares - shift**2 / papers, 0.0)))
