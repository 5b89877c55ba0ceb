"""Changes of figures that labels correct, on papers that two snapshots scored with labels share.

Labels of some papers say how far the matcher is off in both, its figures of all papers say the rest. Swapping papers
is no test for corrected sums, so such a change has no p, and its verdict is where its interval lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from evalkit import stats
from evalkit.comparison.comparable import Pair, PaperRows
from evalkit.comparison.differences import (
    CORRECTED_SUFFIX,
    FigureChange,
    Outcome,
    ResamplingOptions,
    point_change,
    with_detectable,
    with_difference,
)
from evalkit.comparison.snapshot import Snapshot
from evalkit.errors import InputError
from evalkit.scoring import correction
from evalkit.text import nearest

CORRECTABLE = (*correction.CORRECTED, *(f"{name}_micro" for name in correction.CORRECTED))


def corrected_changes(
    base: Snapshot,
    new: Snapshot,
    shared: Mapping[Pair, PaperRows],
    figures: Sequence[str],
    target: float,
    options: ResamplingOptions,
    metric: str,
) -> tuple[FigureChange, ...]:
    """Compare each figure of each planner as `<figure>_corrected`; refuse a snapshot that was scored without labels.

    Only that of `metric`, the primary figure, has a verdict: intervals are not corrected for the number of figures.
    """
    for figure in figures:
        if figure not in CORRECTABLE:
            raise InputError(f"labels do not correct {figure!r}{nearest(figure, CORRECTABLE)}")
    for snapshot in (base, new):
        if figures and "labelled" not in snapshot.papers:
            raise InputError(
                f"{snapshot.name} has no labels: a corrected difference needs both sides scored with `evalkit score "
                "--labels FILE`, each with labels of its own plans for the same papers"
            )
    changes = [_corrected(rows, pair, name, target, options) for name in figures for pair, rows in shared.items()]
    return tuple(_with_role(change, metric + CORRECTED_SUFFIX) for change in changes)


def _with_role(change: FigureChange, primary: str) -> FigureChange:
    if change.figure == primary:
        return replace(change, role="primary")
    known = change.verdict == "no change" or not change.defined
    return change if known else replace(change, verdict="exploratory")


def _corrected(rows: PaperRows, pair: Pair, figure: str, target: float, options: ResamplingOptions) -> FigureChange:
    """Compare one corrected figure; it is undefined where fewer than two papers are labelled in both."""
    base, new = (side.assign(paper=side.index) for side in rows)
    name, title = figure.removesuffix("_micro"), figure + CORRECTED_SUFFIX
    papers = int((base["labelled"] & new["labelled"]).sum())
    if (shared := correction.shared_measure(base, new, name, micro=name != figure)) is None:
        return FigureChange(pair[1], pair[0], title, papers=papers)
    measure, labelled = shared
    change = point_change(measure, pair, title)
    if change.defined and change.difference is None:
        (estimate,) = stats.differences([measure], 0, 1, labelled=labelled)
        known = replace(with_difference(change, estimate, math.nan), papers=estimate.n)
        change = with_detectable(known, 1, target)
    # Corrected values are unbiased and can lie outside [0, 1]; they are shown inside, their difference as it is.
    shown = (None if value is None else min(max(value, 0.0), 1.0) for value in (change.base, change.new))
    before, after, difference, low, high = map(_short, (*shown, change.difference, change.low, change.high))
    counts = [*correction.HITS, *correction.SIZES]
    return replace(
        change, base=before, new=after, difference=difference, low=low, high=high, p=None,
        verdict=_verdict(change, base[counts].equals(new[counts])), papers=papers, papers_needed=None,
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    """Drop the last digits, which depend on the order of sums: a floor of 0.5 holds for a half."""
    return None if value is None else round(value, 12)


def _verdict(change: FigureChange, same_counts: bool) -> Outcome:
    """Call a change better or worse where the whole interval lies on one side.

    Labels that do not differ say little of the other papers: no change only where the matcher's counts agree as well.
    """
    if change.low is None or change.high is None or change.low <= 0 <= change.high:
        return "no change" if change.verdict == "no change" and same_counts else "inconclusive"
    return "better" if change.low > 0 else "worse"


def correction_warnings(base: Snapshot, new: Snapshot, changes: Sequence[FigureChange]) -> Iterator[str]:
    """Yield what makes corrected differences less sure than they look."""
    for snapshot in (base, new):
        yield from (f"{snapshot.name}: {doubt}" for doubt in snapshot.doubts)
    for change in changes:
        if change.papers < 2:
            yield f"{change.planner}: {_labelled(change)} labelled in both; {change.figure} needs two or more"
        elif stats.few_papers(change.papers):
            yield f"{change.planner}: {_labelled(change)} labelled in both; the corrected interval says little"


def _labelled(change: FigureChange) -> str:
    return "1 paper is" if change.papers == 1 else f"{change.papers} papers are"
