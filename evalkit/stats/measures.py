"""Takes sums or ratios of papers, gives measures: what the resamples resample and the swaps swap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
Metric = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Measure:
    """Sums [papers, planners, k] and the metric of them; make one with `micro`, `named` or `macro`."""

    sums: Array
    metric: Metric

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or not np.isfinite(self.sums).all():
            raise ValueError(f"sums must be finite and [papers, planners, k]; got shape {self.sums.shape}")

    @property
    def values(self) -> Array:
        """The measure of each planner."""
        return self.metric(self.sums.sum(axis=0))

    @property
    def n(self) -> Indices:
        """The papers of each planner that say something: a non-zero sum (micro), a defined ratio (macro)."""
        return np.asarray((self.sums != 0).any(axis=2).sum(axis=0), dtype=np.int64)


def divide(over: Array, under: Array) -> Array:
    """`over / under`, NaN where `under` is 0."""
    return np.asarray(over / np.where(under == 0, np.nan, under), dtype=np.float64)


def micro(sums: Array, metric: Metric) -> Measure:
    """The metric of the summed papers. Pass only the sums that the metric uses: they decide which papers count."""
    return Measure(np.asarray(sums, dtype=np.float64), metric)


def named(columns: Mapping[str, Array], formula: Callable[[Mapping[str, Any]], Array]) -> Measure:
    """The micro measure of a formula over named sums [papers, planners]; takes along only the sums that it reads."""
    reads = _Reads(columns)
    formula(reads)
    names = tuple(reads.names)
    sums = np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=2)
    return Measure(sums, lambda drawn: formula({name: drawn[..., i] for i, name in enumerate(names)}))


class _Reads(Mapping[str, Any]):
    """Columns that remember which of them were read."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self.columns = columns
        self.names: dict[str, None] = {}

    def __getitem__(self, name: str) -> Array:
        self.names[name] = None
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def macro(ratios: Array) -> Measure:
    """The mean over papers of `ratios` [papers, planners]; NaN is undefined and left out."""
    defined = ~np.isnan(ratios)
    return Measure(np.stack([np.where(defined, ratios, 0.0), defined.astype(np.float64)], axis=2), _mean)


def is_macro(measure: Measure) -> bool:
    """Whether a measure is one that `macro` made."""
    return measure.metric is _mean


def _mean(sums: Array) -> Array:
    return divide(sums[..., 0], sums[..., 1])


def gradient(metric: Metric, totals: Array) -> Array:
    """Central differences of the metric at `totals` [rows, k].

    The step is 1e-5 of each sum, so that no denominator changes sign; where a sum is 0, of the row's largest.
    """
    size = np.abs(totals)
    step = 1e-5 * np.where(size > 0, size, size.max(axis=1, keepdims=True))
    moves = step[:, :, None] * np.eye(totals.shape[1])
    return divide(metric(totals[:, None, :] + moves) - metric(totals[:, None, :] - moves), 2 * step)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Several plans of one paper as one: mean, best and spread (sample SD) of the defined values, and their number."""

    mean: Array
    best: Array
    spread: Array
    n: Indices


def repeats(values: Array, paper: Indices, papers: int) -> Repeats:
    """Average repeated plans inside their paper: `values` [plans, ...] and the paper index of each plan."""
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0.0)
    shape = (papers, *values.shape[1:])
    n, total, squares = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
    best = np.full(shape, np.nan)
    np.add.at(n, paper, defined)
    np.add.at(total, paper, filled)
    np.fmax.at(best, paper, values)
    mean = divide(total, n.astype(np.float64))
    np.add.at(squares, paper, np.where(defined, filled - mean[paper], 0.0) ** 2)
    variance = np.divide(squares, n - 1, out=np.full(shape, np.nan), where=n > 1)
    return Repeats(mean, best, np.sqrt(variance), n)
