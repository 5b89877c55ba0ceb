"""Takes the shared papers of two sides, gives Changes: each figure's difference, interval, test and verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from evalkit import stats
from evalkit.comparison.paired_papers import measure

Outcome = Literal["better", "worse", "inconclusive", "no change"]
LEVEL = 0.05
MARK = "_corrected"  # the end of a figure that labels correct


class Chance(TypedDict):
    """How chance is drawn: passed on to every function that draws."""

    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one planner: new minus base over `papers` shared papers; None is undefined.

    `p` is the paired permutation test's, `p_holm` corrects it for the planners compared on that figure. `detectable`
    is the smallest difference that so many papers show with 80% power, `papers_needed` how many would show `target`.
    """

    planner: str
    was: str
    figure: str
    base: float | None = None
    new: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Outcome = "inconclusive"
    standard_error: float | None = None
    detectable: float | None = None
    papers_needed: int | None = None
    papers: int = 0
    undefined_resamples: int = 0

    @property
    def defined(self) -> bool:
        """Whether both sides have a value."""
        return self.base is not None and self.new is not None

    @property
    def by_labels(self) -> bool:
        """Whether labels correct this figure, so that it has an interval and no test."""
        return self.figure.endswith(MARK)


def tested(
    sides: tuple[pd.DataFrame, pd.DataFrame],
    pair: tuple[str, str],
    figures: Sequence[str],
    target: float,
    chance: Chance,
) -> list[Change]:
    """Every figure of one planner; all intervals come from the same resamples."""
    measures = {name: measure(*sides, name) for name in figures}
    found = {name: still(both, pair, name) for name, both in measures.items()}
    moving = [name for name, change in found.items() if change.difference is None and change.defined]
    drawn = stats.differences([measures[name] for name in moving], 0, 1, **chance)
    for name, difference in zip(moving, drawn, strict=True):
        p = stats.paired_test(measures[name], 0, 1, **chance)
        found[name] = moved(found[name], difference, p, target)
    return list(found.values())


def still(both: stats.Measure, pair: tuple[str, str], figure: str) -> Change:
    """A figure on both sides; what did not change on any paper has a difference of exactly 0, with p = 1."""
    before, after = (defined(value) for value in both.values)
    change = Change(pair[1], pair[0], figure, before, after, papers=int(both.n.min()))
    if change.defined and np.array_equal(both.sums[:, 0], both.sums[:, 1]):
        return replace(change, difference=0.0, low=0.0, high=0.0, p=1.0, verdict="no change", standard_error=0.0)
    return change


def moved(change: Change, found: stats.Difference, p: float, target: float) -> Change:
    """A figure that changed, with its interval, its test, and what could have been seen."""
    detectable = stats.minimum_detectable(found.standard_error)
    return replace(
        change,
        difference=found.value,
        low=defined(found.low),
        high=defined(found.high),
        p=defined(p),
        standard_error=defined(found.standard_error),
        detectable=defined(detectable),
        papers_needed=stats.papers_needed(found.n, detectable, target) or None,
        undefined_resamples=found.undefined,
    )


def defined(value: float) -> float | None:
    """A number, or None where it is undefined."""
    return None if math.isnan(value) else float(value)


def with_holm(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Holm over the planners, figure by figure, and the verdict that follows from it."""
    adjusted: dict[tuple[str, str], float | None] = {}
    for figure in dict.fromkeys(change.figure for change in changes):
        family = [change for change in changes if change.figure == figure]
        p = stats.holm(np.array([math.nan if item.p is None else item.p for item in family], dtype=np.float64))
        adjusted |= {(item.planner, figure): defined(value) for item, value in zip(family, p, strict=True)}
    return tuple(_judged(replace(item, p_holm=adjusted[item.planner, item.figure])) for item in changes)


def _judged(change: Change) -> Change:
    """Better or worse where the corrected p says so, else what it was."""
    if change.p_holm is None or change.p_holm >= LEVEL or not change.difference:
        return change
    return replace(change, verdict="better" if change.difference > 0 else "worse")
