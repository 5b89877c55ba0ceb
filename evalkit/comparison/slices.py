"""What changed between two snapshots by what gold says about its papers and entries, as the new one knows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from evalkit import stats
from evalkit.comparison.comparable import Pair, PaperRows
from evalkit.comparison.differences import FigureChange, figure_measure, point_change, with_difference
from evalkit.comparison.snapshot import Snapshot
from evalkit.scoring.gold_facts import check_field, in_order

SliceChanges = Mapping[str, tuple[FigureChange, ...]]
"""Value of a field -> the change of every planner in every figure."""
ENTRY_FIGURES = ("match_recall", "match_recall_micro")  # what a slice of gold entries has


def slice_changes(
    base: Snapshot, new: Snapshot, shared: Mapping[Pair, PaperRows], figures: Sequence[str], field: str
) -> SliceChanges:
    """Return the changes in every slice, with intervals from five papers on; nothing is tested, all is exploratory."""
    fields = new.gold["fields"]
    check_field({name for own in fields for name in own}, field, f"gold of {new.name}")
    values = fields.map(lambda own: own.get(field, ""))
    of_papers = values.groupby(level="key").nunique().max() == 1
    names = figures if of_papers else ENTRY_FIGURES
    result: dict[str, tuple[FigureChange, ...]] = {}
    for value in in_order(values):
        entries = values.index[values == value]
        keys = entries.get_level_values("key").unique()
        changes: list[FigureChange] = []
        for pair, sides in shared.items():
            if of_papers:
                rows = [side[side.index.isin(keys)] for side in sides]
            else:
                counted = [_counted(side, planner, entries) for side, planner in zip((base, new), pair, strict=True)]
                common = counted[0].index.intersection(counted[1].index)
                rows = [side.loc[common] for side in counted]
            changes.extend(map(partial(_change, rows, pair), names))
        result[value] = tuple(changes)
    return result


def _counted(snapshot: Snapshot, planner: str, entries: pd.Index[Any]) -> pd.DataFrame:
    """Return how many of these gold entries a planner matched, paper by paper."""
    own = snapshot.matches[snapshot.matches["planner"] == planner].set_index(["key", "id"])["share"]
    by_paper = own[own.index.isin(entries)].groupby(level="key")
    counts = pd.DataFrame({"gold_entries": by_paper.size().astype(np.float64), "match_gold": by_paper.sum()})
    return counts.assign(match_recall=counts["match_gold"] / counts["gold_entries"])


def _change(rows: Sequence[pd.DataFrame], pair: Pair, figure: str) -> FigureChange:
    """Return the change of a figure in a slice; without interval where it has too few papers."""
    measure = figure_measure(rows, figure)
    change = point_change(measure, pair, figure)
    if change.difference is None and change.defined:
        change = with_difference(change, stats.differences([measure], 0, 1)[0], math.nan)
    change = replace(change, p=None, verdict="exploratory" if change.difference else change.verdict)
    small = change.papers < stats.FEWEST_PAPERS
    return replace(change, low=None, high=None, standard_error=None) if small else change
