"""Compare two snapshots: how much each planner changed, how sure that is, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import stats
from evalkit.comparison.baseline import as_snapshot
from evalkit.comparison.changes import entry_changes, new_failures, paper_changes
from evalkit.comparison.comparable import (
    Pair,
    PaperRows,
    Papers,
    judge_of,
    planner_pairs,
    shared_papers,
    signature_differences,
    unshared_papers,
    unshared_planners,
)
from evalkit.comparison.corrected_differences import corrected_changes, correction_warnings
from evalkit.comparison.differences import (
    LEVEL,
    SECONDARY_FIGURES,
    FigureChange,
    ResamplingOptions,
    checked_figures,
    figure_changes,
    figure_measure,
    per_paper,
    with_verdicts,
    with_weights,
)
from evalkit.comparison.slices import SliceChanges, slice_changes
from evalkit.comparison.snapshot import Snapshot
from evalkit.settings import bounds_of, check_value
from evalkit.storage.runs import Run, reporting
from evalkit.text import amount

TARGET = 0.05  # the difference worth seeing, unless the user names another


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that changed between two runs; the frames are sorted with the largest change first.

    `pairs`: (name in base, name in new) of each planner. `papers`: planner, paper, base, new, difference (of `metric`),
    base_status, new_status. `entries`: gold entries gained or lost. `failures`: what can no longer be read or is no
    longer there. `only_planners`, `only_papers`: what base alone has, and what new alone has. `forced`: in what the
    signatures differ besides the plans, name -> (base, new); not empty only where the user said to go on. `corrected`:
    figures that labels of some papers correct, `<figure>_corrected`, where they were asked for. `correction`: how p is
    corrected, "holm" or "bh". `slices`: field of gold's metadata -> value -> changes, where they were asked for.
    """

    base: Snapshot
    new: Snapshot
    metric: str
    target: float
    seed: int
    resamples: int
    changes: tuple[FigureChange, ...]
    papers: pd.DataFrame
    entries: pd.DataFrame
    failures: pd.DataFrame
    pairs: tuple[tuple[str, str], ...]
    only_planners: tuple[tuple[str, ...], tuple[str, ...]]
    only_papers: tuple[Papers, Papers]
    forced: Mapping[str, tuple[str, str]]
    warnings: tuple[str, ...]
    corrected: tuple[FigureChange, ...] = ()
    correction: str = "holm"
    slices: Mapping[str, SliceChanges] = field(default_factory=dict)

    @property
    def headline(self) -> tuple[FigureChange, ...]:
        """Return the change of each planner in the metric that decides."""
        return tuple(change for change in self.changes if change.figure == self.metric)

    @property
    def moved_papers(self) -> pd.DataFrame:
        """Return the papers whose metric is not what it was, or has a value in one of the two only."""
        base, new = self.papers["base"], self.papers["new"]
        return self.papers[(base != new) & ~(base.isna() & new.isna())]

    def change(self, planner: str, figure: str) -> FigureChange:
        """Return the change of one planner (by its new name) in one figure, a corrected one included."""
        changes = (*self.changes, *self.corrected)
        return next(item for item in changes if (item.planner, item.figure) == (planner, figure))

    def chart(self, kind: str) -> Any:
        """Draw one of the charts of a comparison's report (changes, figures, papers); needs the extra `report`."""
        return reporting("notebook", "comparison_chart")(self, kind)

    def _repr_html_(self) -> str:
        """Show the verdict and each planner's change in a notebook."""
        return str(reporting("notebook", "comparison_html")(self))


def compare(
    base: Snapshot | Run | str | Path,
    new: Snapshot | Run | str | Path,
    *,
    metric: str = "match_f1",
    figures: Sequence[str] = SECONDARY_FIGURES,
    tested: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
    force: bool = False,
    target: float = TARGET,
    resamples: int | None = None,
    seed: int | None = None,
    corrected: Sequence[str] = (),
    doubts: Sequence[str] = (),
    correction: str | None = None,
    by: Sequence[str] = (),
) -> Comparison:
    """Compare `new` with `base`, planner by planner on shared papers.

    base: a run, its folder, a baseline's file or name, or a Snapshot.
    new: the same.
    metric: the figure that decides.
    figures: other figures to compare; they are exploratory.
    tested: figures named beforehand that have verdicts too, their p corrected for their number.
    renamed: planners that have another name in new: name in base -> name in new.
    force: whether to compare runs that were not made alike; the result names what differs.
    target: the difference for which the number of papers is computed that would show it.
    resamples: resamples of intervals and tests; those of base where it is left out.
    seed: seed of everything random; that of base where it is left out.
    corrected: figures to correct by the labels that both were scored with.
    doubts: warnings that join those of the comparison.
    correction: "shaffer", which is Holm's here, or "bh"; that of base where it is left out.
    by: fields of gold's metadata by whose values the figures are compared too.
    """
    for name, number in (("resamples", resamples), ("seed", seed)):
        check_value(name, number, bounds_of(name))
    check_value("target", target, {"least": 0, "most": 1})
    base, new = as_snapshot(base, "base"), as_snapshot(new, "new")
    forced = signature_differences(base, new, force)
    names = with_weights(checked_figures((metric, *tested, *figures)), metric, (base.papers, new.papers))
    pairs = planner_pairs(base, new, renamed or {})
    shared = {pair: shared_papers(base, new, pair) for pair in pairs}
    options = _resampling_options(base, resamples, seed)
    chosen = str(base.settings.get("correction") or "shaffer") if correction is None else correction
    changes = [change for pair in pairs for change in figure_changes(shared[pair], pair, names, options)]
    by_labels = corrected_changes(base, new, shared, corrected, target, options, metric)
    papers = paper_changes(shared, lambda rows: per_paper(rows, metric))
    unshared = unshared_papers(base, new, pairs)
    return Comparison(
        base=base,
        new=new,
        metric=metric,
        target=target,
        **options,
        changes=with_verdicts(changes, metric, tested, chosen, target),
        papers=papers,
        entries=entry_changes(base, new, pairs, papers),
        failures=new_failures(base, new, pairs),
        pairs=tuple(pairs),
        only_planners=unshared_planners(base, new, pairs),
        only_papers=unshared,
        forced=forced,
        warnings=(
            *doubts,
            *_warnings(base, new, changes, metric, any(unshared)),
            *_unreachable(changes, shared, metric),
            *correction_warnings(base, new, by_labels),
        ),
        corrected=by_labels,
        correction="bh" if chosen == "bh" else "holm",
        slices={name: slice_changes(base, new, shared, names, name) for name in dict.fromkeys(by)},
    )


def _resampling_options(base: Snapshot, resamples: int | None, seed: int | None) -> ResamplingOptions:
    """Return what was asked for, else what base was scored with."""
    return ResamplingOptions(
        resamples=int(base.settings.get("resamples") or stats.RESAMPLES) if resamples is None else resamples,
        seed=int(base.settings.get("seed") or 0) if seed is None else seed,
    )


def _unreachable(changes: Sequence[FigureChange], shared: Mapping[Pair, PaperRows], metric: str) -> Iterator[str]:
    """Yield which planners differ on so few papers that no test of theirs can reach 5%.

    Papers differ where what the figure is made of does: its value, whether it is defined, or its sums.
    """
    tests = [item for item in changes if item.figure == metric and item.p is not None]
    for item in tests:
        sums = figure_measure(shared[item.was, item.planner], metric).sums
        count = int((sums[:, 0] != sums[:, 1]).any(axis=1).sum())
        if item.difference and len(tests) * stats.least_p(count) >= LEVEL:
            over = f", corrected over {len(tests)} planners," if len(tests) > 1 else ""
            differ = f"{count} of {amount(len(sums), 'paper')} {'differs' if len(sums) == 1 else 'differ'}"
            yield f"{item.planner}: {differ}; with so few{over} no p can be below {LEVEL}"


def _warnings(
    base: Snapshot, new: Snapshot, changes: Sequence[FigureChange], metric: str, unshared: bool
) -> Iterator[str]:
    """Yield what makes the comparison less sure than it looks."""
    for item in changes:
        if item.figure == metric and stats.few_papers(item.papers):
            yield (
                f"{item.planner}: {amount(item.papers, 'paper')} with {metric}; intervals and p values say little "
                f"below {stats.FEW_PAPERS}, look at the papers"
            )
    if unshared:
        yield "compared on the papers that both have; some papers are in one of the two only"
    for snapshot in (base, new):
        if left := judge_of(snapshot.signature)[1]:
            yield f"{snapshot.name}: the judge's answers are incomplete ({left} to the matcher)"
