"""Takes two Sides, gives a Comparison: how much each planner changed, how sure that is, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import stats
from evalkit.comparison.baseline import as_side
from evalkit.comparison.comparable import Papers, incomparable, judge_of, paired, unshared_papers, unshared_planners
from evalkit.comparison.corrected import corrected_changes, correction_doubts
from evalkit.comparison.differences import Chance, Change, tested, with_holm
from evalkit.comparison.moved_entries import entry_changes, new_failures, paper_changes
from evalkit.comparison.paired_papers import BESIDE, checked_figures, per_paper, shared_papers
from evalkit.comparison.snapshot import Side
from evalkit.storage.runs import Run, shown

TARGET = 0.05  # the difference worth seeing, unless the user names another


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that changed between two scorings; the frames are sorted with the largest change first.

    `pairs`: (name in base, name in new) of each planner. `papers`: planner, paper, base, new, difference (of `metric`),
    base_status, new_status. `entries`: gold entries gained or lost. `failures`: what can no longer be read or is no
    longer there. `only_planners`, `only_papers`: what base alone has, and what new alone has. `forced`: in what the
    signatures differ beside the plans, name -> (base, new); not empty only where the user said to go on. `corrected`:
    figures that labels of some papers correct, `<figure>_corrected`, where they were asked for.
    """

    base: Side
    new: Side
    metric: str
    target: float
    seed: int
    resamples: int
    changes: tuple[Change, ...]
    papers: pd.DataFrame
    entries: pd.DataFrame
    failures: pd.DataFrame
    pairs: tuple[tuple[str, str], ...]
    only_planners: tuple[tuple[str, ...], tuple[str, ...]]
    only_papers: tuple[Papers, Papers]
    forced: Mapping[str, tuple[str, str]]
    warnings: tuple[str, ...]
    corrected: tuple[Change, ...] = ()

    @property
    def headline(self) -> tuple[Change, ...]:
        """The change of each planner in the metric that decides."""
        return tuple(change for change in self.changes if change.figure == self.metric)

    @property
    def moved_papers(self) -> pd.DataFrame:
        """The papers whose metric is not what it was."""
        return self.papers[self.papers["difference"].fillna(0.0) != 0]

    def change(self, planner: str, figure: str) -> Change:
        """The change of one planner (by its new name) in one figure, a corrected one included."""
        every = (*self.changes, *self.corrected)
        return next(item for item in every if (item.planner, item.figure) == (planner, figure))

    def chart(self, kind: str) -> Any:
        """One of the charts of a comparison's report (changes, figures, papers); needs the extra `report`."""
        return shown("notebook", "comparison_chart")(self, kind)

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, and each planner's change."""
        return str(shown("notebook", "comparison_html")(self))


def compare(
    base: Side | Run | str | Path,
    new: Side | Run | str | Path,
    *,
    metric: str = "match_f1",
    figures: Sequence[str] = BESIDE,
    renamed: Mapping[str, str] | None = None,
    force: bool = False,
    target: float = TARGET,
    resamples: int | None = None,
    seed: int | None = None,
    corrected: Sequence[str] = (),
) -> Comparison:
    """`new` against `base`, planner by planner on shared papers. Seed and resamples are base's, unless said.

    Either may be a run, its folder, a baseline's file or name, or a Side. `renamed`: planner in base -> planner in new.
    `corrected`: figures to correct by the labels that both were scored with.
    """
    base, new = as_side(base, "base"), as_side(new, "new")
    forced = incomparable(base, new, force)
    names = checked_figures((metric, *figures))
    pairs = paired(base, new, renamed or {})
    shared = {pair: shared_papers(base, new, pair) for pair in pairs}
    chance = _chance(base, resamples, seed)
    found = [change for pair in pairs for change in tested(shared[pair], pair, names, target, chance)]
    mended = corrected_changes(base, new, shared, corrected, target, chance)
    papers = paper_changes(shared, lambda rows: per_paper(rows, metric))
    unshared = unshared_papers(base, new, pairs)
    return Comparison(
        base=base,
        new=new,
        metric=metric,
        target=target,
        **chance,
        changes=with_holm(found),
        papers=papers,
        entries=entry_changes(base, new, pairs, papers),
        failures=new_failures(base, new, pairs),
        pairs=tuple(pairs),
        only_planners=unshared_planners(base, new, pairs),
        only_papers=unshared,
        forced=forced,
        warnings=(*_warnings(found, metric, any(unshared)), *_judges(base, new), *correction_doubts(base, new, mended)),
        corrected=mended,
    )


def _chance(base: Side, resamples: int | None, seed: int | None) -> Chance:
    """What was asked for, else what base was scored with."""
    own = base.settings
    return Chance(
        resamples=int(own.get("resamples") or stats.RESAMPLES) if resamples is None else resamples,
        seed=int(own.get("seed") or 0) if seed is None else seed,
    )


def _warnings(changes: Sequence[Change], metric: str, unshared: bool) -> tuple[str, ...]:
    """What makes the comparison less sure than it looks."""
    found = [
        f"{item.planner}: {item.papers} papers with {metric}; intervals and p values say little below "
        f"{stats.FEW_PAPERS}, look at the papers"
        for item in changes
        if item.figure == metric and stats.few_papers(item.papers)
    ]
    if unshared:
        found.append("compared on the papers that both have; some papers are in one of the two only")
    return tuple(found)


def _judges(base: Side, new: Side) -> Iterator[str]:
    """Where a judge of borderline pairs did not answer all that it was asked."""
    for side in (base, new):
        if left := judge_of(side)[1]:
            yield f"{side.name}: the judge's answers are incomplete ({left} to the matcher)"
