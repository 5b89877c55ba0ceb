"""The change of each figure on the papers that two snapshots share: difference, interval, test and verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.comparison.comparable import Pair, PaperRows
from evalkit.errors import InputError
from evalkit.metrics.figures import FIGURES, HEADLINES, WEIGHTED, Figure, find_figure, shown_in
from evalkit.text import nearest

Outcome = Literal["better", "worse", "inconclusive", "no change", "exploratory"]
Role = Literal["primary", "corrected", "exploratory"]
LEVEL = 0.05
CORRECTED_SUFFIX = "_corrected"  # ends the name of a figure that labels correct
MICRO = {f"{name}_micro": name for name, figure in FIGURES.items() if figure.macro and figure.micro}
COMPARABLE = (*FIGURES, *MICRO)
SECONDARY_FIGURES = (*HEADLINES, "match_f1_micro", *(name for name in shown_in("compare") if name not in HEADLINES))


class ResamplingOptions(TypedDict):
    """Options of every function that resamples or permutes."""

    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One figure of one planner: new minus base over `papers` shared papers; None is undefined.

    `was` is the planner's name in base. `role`: the primary figure decides; corrected ones were named beforehand (by a
    gate's rules), and their p is corrected for their number as well; any other is exploratory and has no verdict but
    that nothing changed: of a dozen figures, one is "better" or "worse" by chance in a fifth of all comparisons.
    `p` is the paired permutation test's. `p_holm` corrects it for the planners compared on that figure, or `p_bh` does
    where the choice is to control false discoveries; the other is None. `detectable` is the smallest difference that so
    many papers show with 80% power in so many tests, `papers_needed` how many would show `target`.
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
    p_bh: float | None = None
    verdict: Outcome = "inconclusive"
    standard_error: float | None = None
    detectable: float | None = None
    papers_needed: int | None = None
    papers: int = 0
    role: Role = "exploratory"

    @property
    def is_significant(self) -> bool:
        """Return whether the change is sure: by its corrected p, or by its interval where labels correct the figure."""
        if self.is_corrected:
            return self.low is not None and self.high is not None and not self.low <= 0 <= self.high
        p = self.p_adjusted
        return p is not None and p < LEVEL and bool(self.difference)

    @property
    def p_adjusted(self) -> float | None:
        """Return the corrected p, whichever way it was corrected."""
        return self.p_holm if self.p_bh is None else self.p_bh

    @property
    def defined(self) -> bool:
        """Tell whether both snapshots have a value."""
        return self.base is not None and self.new is not None

    @property
    def is_corrected(self) -> bool:
        """Tell whether labels correct this figure, so that it has an interval and no test."""
        return self.figure.endswith(CORRECTED_SUFFIX)


def figure_named(name: str) -> Figure | None:
    """Return the figure that a name means, with or without _micro, one of another package as well, or None."""
    figure = find_figure(name)
    micro = None if figure else find_figure(name.removesuffix("_micro"))
    return figure or (micro if micro and micro.macro and micro.micro else None)


def _figure(name: str) -> Figure:
    """Return the figure that a name means, which is known to exist."""
    figure = figure_named(name)
    if figure is None:
        raise KeyError(name)
    return figure


def checked_figures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return each figure once; refuse one that does not exist."""
    for name in names:
        if figure_named(name) is None:
            raise InputError(f"no figure is called {name!r}{nearest(name, COMPARABLE)}")
    return tuple(dict.fromkeys(names))


def with_weights(names: tuple[str, ...], metric: str, sides: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """Return the figures without weighted ones where a side has no weights; refuse to decide by such a one."""
    if all("gold_weight" in papers for papers in sides):
        return names
    if metric in WEIGHTED:
        raise InputError(f"{metric}: gold has no weights in one of the two runs")
    return tuple(name for name in names if name not in WEIGHTED)


def per_paper(rows: pd.DataFrame, figure: str) -> pd.Series:
    """Return one figure of every paper; of a micro figure, what it is on that paper alone."""
    if figure in rows:
        return rows[figure]
    formula = _figure(figure).formula
    return pd.Series(formula({str(name): rows[name].to_numpy() for name in rows}), index=rows.index)


Counts = Mapping[str, NDArray[np.float64]]


def figure_measure(rows: Sequence[pd.DataFrame], figure: str, counts: Counts | None = None) -> stats.Measure:
    """Return the measure of a figure: a mean over papers, or a ratio of sums.

    Each of the frames is a planner of the measure (base and new, or the planners of a run), on the same papers.
    `counts` are their `stacked_counts`, where several figures are measured.
    """
    known = _figure(figure)
    if figure == known.name and known.macro:
        columns = (figure, "paper_weight") if figure in WEIGHTED else (figure,)
        return stats.macro(
            *(np.stack([per_paper(side, name) for side in rows], axis=1).astype(np.float64) for name in columns)
        )
    return stats.formula_measure(stacked_counts(rows) if counts is None else counts, known.formula)


def stacked_counts(rows: Sequence[pd.DataFrame]) -> Counts:
    """Return the columns of numbers that all frames have, [paper, frame]."""
    names = [name for name in rows[0].select_dtypes("number") if all(name in side for side in rows)]
    return {str(name): np.stack([side[name] for side in rows], axis=1).astype(np.float64) for name in names}


def figure_changes(
    rows: PaperRows, pair: Pair, figures: Sequence[str], options: ResamplingOptions
) -> list[FigureChange]:
    """Compare every figure of one planner; all intervals come from the same resamples."""
    counts = stacked_counts(rows)
    measures = {name: figure_measure(rows, name, counts) for name in figures}
    changes = {name: point_change(measure, pair, name) for name, measure in measures.items()}
    changed = [name for name, change in changes.items() if change.difference is None and change.defined]
    differences = stats.differences([measures[name] for name in changed], 0, 1)
    for name, difference in zip(changed, differences, strict=True):
        p = stats.paired_test(measures[name], 0, 1, **options)
        changes[name] = with_difference(changes[name], difference, p)
    return list(changes.values())


def point_change(measure: stats.Measure, pair: Pair, figure: str) -> FigureChange:
    """Return both values of a figure; what is alike on every paper has a difference of exactly 0, with p = 1."""
    before, after = (_defined(value) for value in measure.values)
    change = FigureChange(pair[1], pair[0], figure, before, after, papers=int(measure.n.min()))
    if change.defined and np.array_equal(measure.sums[:, 0], measure.sums[:, 1]):
        return replace(change, difference=0.0, low=0.0, high=0.0, p=1.0, verdict="no change", standard_error=0.0)
    return change


def with_difference(change: FigureChange, difference: stats.Difference, p: float) -> FigureChange:
    """Add the difference with its interval and its test."""
    return replace(
        change,
        difference=difference.value,
        low=_defined(difference.low),
        high=_defined(difference.high),
        p=_defined(p),
        standard_error=_defined(difference.standard_error),
    )


def with_detectable(change: FigureChange, tests: int, target: float) -> FigureChange:
    """Add what a test of this change, one of so many, could have detected, and the papers that would show `target`."""
    if not change.standard_error:
        return change
    detectable = stats.minimum_detectable(change.standard_error, change.papers, tests=tests)
    needed = stats.papers_needed(change.papers, detectable, target, tests=tests)
    return replace(change, detectable=_defined(detectable), papers_needed=needed)


def _defined(value: float) -> float | None:
    """Return a number, or None where it is undefined."""
    return None if math.isnan(value) else float(value)


def with_verdicts(
    changes: Sequence[FigureChange], metric: str, tested: Sequence[str], correction: str, target: float
) -> tuple[FigureChange, ...]:
    """Give each figure its role, correct p by Holm or Benjamini-Hochberg, and add the verdict that follows from it.

    The primary figure's p is corrected over the planners, those of the `tested` figures over planners and figures, and
    any other figure's over the planners.
    """
    families = {name: "tested" if name in tested else name for name in dict.fromkeys(item.figure for item in changes)}
    families[metric] = metric
    adjusted: dict[tuple[str, str], float | None] = {}
    tests: dict[str, int] = {}
    for family in dict.fromkeys(families.values()):
        members = [item for item in changes if families[item.figure] == family]
        raw = np.array([math.nan if item.p is None else item.p for item in members], dtype=np.float64)
        p = stats.correct(raw, correction)
        tests[family] = int(np.count_nonzero(~np.isnan(raw)))
        adjusted |= {(item.planner, item.figure): _defined(value) for item, value in zip(members, p, strict=True)}
    corrected = []
    for item in changes:
        p_item = adjusted[item.planner, item.figure]
        by_bh = correction == "bh"
        change = replace(item, p_holm=None if by_bh else p_item, p_bh=p_item if by_bh else None)
        change = with_detectable(change, tests[families[item.figure]], target)
        corrected.append(_with_verdict(replace(change, role=_role(item.figure, metric, tested))))
    return tuple(corrected)


def _role(figure: str, metric: str, tested: Sequence[str]) -> Role:
    return "primary" if figure == metric else "corrected" if figure in tested else "exploratory"


def _with_verdict(change: FigureChange) -> FigureChange:
    """Call a change better or worse where it is sure and its figure was named beforehand."""
    if change.role == "exploratory":
        known = change.verdict == "no change" or not change.defined
        return change if known else replace(change, verdict="exploratory")
    if not change.is_significant:
        return change
    return replace(change, verdict="better" if (change.difference or 0.0) > 0 else "worse")
