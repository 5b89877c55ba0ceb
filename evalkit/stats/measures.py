"""Measures: per-paper sums and a metric of their totals, the common input of resampling and permutation."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
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
    """Sums [papers, planners, k] and their metric; made by `micro`, `formula_measure` or `macro`."""

    sums: Array
    metric: Metric

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or not np.isfinite(self.sums).all():
            raise ValueError(f"sums must be finite and [papers, planners, k]; got shape {self.sums.shape}")

    @property
    def values(self) -> Array:
        """Return the measure [planners] over all papers."""
        return self.metric(self.sums.sum(axis=0))

    @property
    def n(self) -> Indices:
        """Count the papers [planners] that say something: a non-zero sum (micro) or a defined ratio (macro)."""
        return np.asarray((self.sums != 0).any(axis=2).sum(axis=0), dtype=np.int64)


def divide(numerator: Array, denominator: Array) -> Array:
    """Divide, giving NaN where the denominator is 0."""
    return np.asarray(numerator / np.where(denominator == 0, np.nan, denominator), dtype=np.float64)


def micro(sums: Array, metric: Metric) -> Measure:
    """Measure the metric of the summed papers. Pass only sums that the metric uses: they decide which papers count."""
    return Measure(np.asarray(sums, dtype=np.float64), metric)


def formula_measure(columns: Mapping[str, Array], formula: Callable[[Mapping[str, Any]], Array]) -> Measure:
    """Measure a formula over named sums [papers, planners], keeping only the sums that it reads."""
    log = _ReadLog(columns)
    formula(log)
    names = tuple(log.read)
    sums = np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=2)
    return Measure(sums, lambda drawn: formula({name: drawn[..., i] for i, name in enumerate(names)}))


class _ReadLog(UserDict[str, Any]):
    """A mapping that records which of its keys were read."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        super().__init__(columns)
        self.read: dict[str, None] = {}

    def __getitem__(self, name: str) -> Any:
        self.read[name] = None
        return super().__getitem__(name)


def macro(ratios: Array, weights: Array | None = None) -> Measure:
    """Measure the mean over papers of `ratios` [papers, planners], by their weights if there are any.

    NaN is undefined and left out.
    """
    defined = (~np.isnan(ratios)).astype(np.float64)
    if weights is not None:
        defined *= np.nan_to_num(weights)
    return Measure(np.stack([np.nan_to_num(ratios) * defined, defined], axis=2), _mean)


def is_macro(measure: Measure) -> bool:
    """Tell whether a measure was made by `macro`."""
    return measure.metric is _mean


def _mean(sums: Array) -> Array:
    return divide(sums[..., 0], sums[..., 1])


def gradient(metric: Metric, totals: Array) -> Array:
    """Return the gradient [rows, k] of the metric at `totals` [rows, k] by central differences.

    The step is 1e-5 of each sum, so that no denominator changes sign; where a sum is 0, of the row's largest.
    """
    size = np.abs(totals)
    step = 1e-5 * np.where(size > 0, size, size.max(axis=1, keepdims=True))
    offsets = step[:, :, None] * np.eye(totals.shape[1])
    return divide(metric(totals[:, None, :] + offsets) - metric(totals[:, None, :] - offsets), 2 * step)
