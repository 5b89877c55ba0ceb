"""Choose a band of doubt outside which decisions agree with the labels at a promised rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError

CONFIDENCE = 0.95
STEP = 0.01
FEWEST = 10  # papers that must have such a pair
Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def guaranteed_band(
    chances: Array, truth: Flags, papers: NDArray[np.intp], limit: float, rate: float
) -> tuple[float, float, dict[str, Any]]:
    """Return the narrowest band around `limit` that keeps the promise on held-out pairs, and what it promises.

    Either edge moves towards the threshold as long as a one-sided t test over papers, whose pairs are not independent,
    says that the rate is exceeded beyond it. The edges are tested in a fixed order and the first that fails ends the
    walk, so that many tests cost no confidence; the two walks share the doubt between them.
    """
    if not 0.5 <= rate < 1:
        raise InputError(f"--guarantee {rate:g}: expected a share from 0.5 to 1")
    upper = _walk(np.arange(0.97, limit, -STEP), lambda edge: (chances >= edge, truth), papers, rate)
    lower = _walk(np.arange(0.03, limit, STEP), lambda edge: (chances <= edge, ~truth), papers, rate)
    if upper is None or lower is None:
        raise InputError(
            f"these labels cannot promise {rate:.0%}: too few of the surest pairs, or "
            "too many of them wrong; ask for less, or label more papers"
        )
    inside = float(((chances > lower) & (chances < upper)).mean())
    facts = {"rate": rate, "confidence": CONFIDENCE, "papers": len(np.unique(papers)), "inside": round(inside, 4)}
    return lower, upper, facts


def _walk(edges: Iterable[float], beyond: Any, papers: NDArray[np.intp], rate: float) -> float | None:
    """Return the last edge beyond which the rate is exceeded, all before it being so too."""
    from scipy.stats import t

    last = None
    for edge in edges:
        chosen, right = beyond(edge)
        names, place = np.unique(papers[chosen], return_inverse=True)
        if len(names) < FEWEST:
            return last
        excess = np.bincount(place, right[chosen] - rate)
        error = float(excess.std(ddof=1)) / np.sqrt(len(names))
        if excess.mean() <= t.ppf(1 - (1 - CONFIDENCE) / 2, len(names) - 1) * error:
            return last
        last = round(float(edge), 3)
    return last
