"""Takes the shared papers of two sides scored with labels, gives Changes of corrected figures: the interval decides.

Labels of some papers say how far the matcher is off on both sides, its figures of all papers say the rest. Swapping
papers is no test for corrected sums, so such a change has no p, and its verdict is where its interval lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from evalkit import stats
from evalkit.comparison.differences import MARK, Chance, Change, Outcome, moved, still
from evalkit.comparison.snapshot import Side
from evalkit.errors import InputError
from evalkit.scoring import correction
from evalkit.text import nearest

CORRECTABLE = (*correction.CORRECTED, *(f"{name}_micro" for name in correction.CORRECTED))
Sides = tuple[pd.DataFrame, pd.DataFrame]


def corrected_changes(
    base: Side,
    new: Side,
    shared: Mapping[tuple[str, str], Sides],
    figures: Sequence[str],
    target: float,
    chance: Chance,
) -> tuple[Change, ...]:
    """Each figure of each planner, as `<figure>_corrected`; refused where a side was scored without labels."""
    for figure in figures:
        if figure not in CORRECTABLE:
            raise InputError(f"labels do not correct {figure!r}{nearest(figure, CORRECTABLE)}")
    for side in (base, new):
        if figures and "labelled" not in side.papers:
            raise InputError(
                f"{side.name} has no labels: a corrected difference needs both sides scored with `evalkit score "
                "--labels FILE`, each with labels of its own plans for the same papers"
            )
    return tuple(_corrected(rows, pair, figure, target, chance) for figure in figures for pair, rows in shared.items())


def _corrected(rows: Sides, pair: tuple[str, str], figure: str, target: float, chance: Chance) -> Change:
    """One corrected figure of one planner; undefined where fewer than two papers are labelled on both sides."""
    base, new = (side.assign(paper=side.index) for side in rows)
    name = figure.removesuffix("_micro")
    change = Change(pair[1], pair[0], figure + MARK, papers=int((base["labelled"] & new["labelled"]).sum()))
    if (shared := correction.shared_measure(base, new, name, micro=name != figure)) is None:
        return change
    both, labelled = shared
    found = still(both, pair, figure + MARK)
    if found.defined and found.difference is None:
        drawn = stats.differences([both], 0, 1, labelled=labelled, **chance)[0]
        found = moved(found, drawn, math.nan, target)
    # Corrected figures are right on average, and can lie outside of what figures can be; the difference stays as it is.
    ends = (None if value is None else min(max(value, 0.0), 1.0) for value in (found.base, found.new))
    base_value, new_value, difference, low, high = map(_short, (*ends, found.difference, found.low, found.high))
    return replace(
        found, base=base_value, new=new_value, difference=difference, low=low, high=high, p=None,
        verdict=_verdict(found, _same(base, new)), papers=change.papers, papers_needed=None,
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    """A number without the last digits, which depend on the order of sums: a floor of 0.5 holds for a half."""
    return None if value is None else round(value, 12)


def _same(base: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Whether the matcher says the same of both sides; labels that do not differ say little of the other papers."""
    counts = [*correction.HITS, *correction.SIZES]
    return base[counts].equals(new[counts])


def _verdict(change: Change, same: bool) -> Outcome:
    """Better or worse where the whole interval says so."""
    if change.low is None or change.high is None or change.low <= 0 <= change.high:
        return "no change" if change.verdict == "no change" and same else "inconclusive"
    return "better" if change.low > 0 else "worse"


def correction_doubts(base: Side, new: Side, changes: Sequence[Change]) -> Iterator[str]:
    """What makes corrected differences less sure than they look."""
    for side in (base, new):
        yield from (f"{side.name}: {doubt}" for doubt in side.doubts)
    for change in changes:
        if change.papers < 2:
            yield f"{change.planner}: {change.papers} papers are labelled in both; {change.figure} needs two or more"
        elif stats.few_papers(change.papers):
            yield f"{change.planner}: {change.papers} papers are labelled in both; the corrected interval says little"
