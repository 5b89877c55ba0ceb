"""Takes the papers of two sides, gives one figure of them: paper by paper, or as a measure to resample and to swap."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evalkit import stats
from evalkit.comparison.snapshot import Side
from evalkit.errors import InputError
from evalkit.metrics.figures import FIGURES, HEADLINES, shown_in
from evalkit.text import nearest

MICRO = {f"{name}_micro": name for name, figure in FIGURES.items() if figure.macro and figure.micro}
COMPARABLE = (*FIGURES, *MICRO)
BESIDE = (*HEADLINES, "match_f1_micro", *(name for name in shown_in("compare") if name not in HEADLINES))


def checked_figures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each figure once; one that there is not is refused."""
    for name in names:
        if name not in COMPARABLE:
            raise InputError(f"no figure is called {name!r}{nearest(name, COMPARABLE)}")
    return tuple(dict.fromkeys(names))


def papers_of(side: Side, planner: str) -> pd.DataFrame:
    """One planner's rows, by paper key."""
    return side.papers[side.papers["planner"] == planner].set_index("key").sort_index()


def shared_papers(base: Side, new: Side, pair: tuple[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides' rows of one planner (its name in base, in new) on the papers that both have, in the same order."""
    ours, theirs = papers_of(base, pair[0]), papers_of(new, pair[1])
    keys = sorted(set(ours.index) & set(theirs.index))
    return ours.loc[keys], theirs.loc[keys]


def per_paper(rows: pd.DataFrame, figure: str) -> pd.Series:
    """One figure of every paper; of a micro figure, what it is on that paper alone."""
    if figure in rows:
        return rows[figure]
    formula = FIGURES[MICRO.get(figure, figure)].formula
    return pd.Series(formula({str(name): rows[name].to_numpy() for name in rows}), index=rows.index)


def measure(base: pd.DataFrame, new: pd.DataFrame, figure: str) -> stats.Measure:
    """A figure of both sides, base first: a mean over papers, or a ratio of sums."""
    if figure in FIGURES and FIGURES[figure].macro:
        return stats.macro(np.stack([base[figure], new[figure]], axis=1).astype(np.float64))
    counts = base.select_dtypes("number").columns.intersection(new.columns)
    columns = {str(name): np.stack([base[name], new[name]], axis=1).astype(np.float64) for name in counts}
    return stats.formula_measure(columns, FIGURES[MICRO.get(figure, figure)].formula)
