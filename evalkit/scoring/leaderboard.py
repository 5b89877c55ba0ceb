"""Make the papers table and the leaderboard: sums and ratios of each paper, then of each planner, with intervals.

Tables are dictionaries of columns: lists of texts, arrays of numbers, NaN where a number is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit import stats
from evalkit.errors import InputError
from evalkit.metrics.figures import FIGURES, HEADLINES, MACRO, MICRO, WEIGHT_COUNTS, WEIGHTED, figures
from evalkit.scoring.rows import BatchResult
from evalkit.storage.schema import STATES
from evalkit.storage.tables import Table
from evalkit.types import COUNT_NAMES

Columns = dict[str, Any]  # a Table that is being made
Array = NDArray[np.float64]
Indices = NDArray[np.intp]

COUNTED = [name for name in COUNT_NAMES if name not in ("papers", "ndcg_at_1", "ndcg_at_3", "ndcg_at_5")]
COUNTED.remove("average_precision")


def papers_of(counts: BatchResult) -> Columns:
    """Return one row a planner and paper, with all sums; several samples are averaged, with the best and the spread."""
    order = sorted(range(len(counts.planners)), key=lambda at: (counts.planners[at], counts.papers[at]))
    keys = [(counts.planners[at], counts.papers[at]) for at in order]
    states = [counts.statuses[at] for at in order]
    # `+ 0.0`: nothing is -0.0, as nothing that was averaged is.
    columns = dict(zip(COUNT_NAMES, counts.sums[order].T + 0.0, strict=True))
    ratios = {name: value + 0.0 for name, value in figures(columns, tuple(MACRO)).items()}
    values = {f"sum {name}": column for name, column in columns.items()} | ratios
    groups = groups_of(keys)
    sizes = np.array([len(rows) for rows in groups.values()], np.int64)
    best, spread = np.full((2, len(groups)), np.nan)
    if len(groups) < len(keys):
        for at, rows in enumerate(groups.values()):
            f1 = _known(values["match_f1"][rows])
            best[at], spread[at] = (max(f1, default=np.nan), _deviation(f1)) if len(rows) > 1 else (np.nan, np.nan)
        values = {name: _means(column, groups) for name, column in values.items()}
        states = [min((states[at] for at in rows), key=STATES.index) for rows in groups.values()]
    planners, papers = ([key[side] for key in groups] for side in (0, 1))
    head = {"planner": planners, "paper": papers, "status": states, "samples": sizes}
    return {**head, **values, "match_f1_best": best, "match_f1_spread": spread}


def groups_of(keys: Any) -> dict[Any, Indices]:
    """Return the places of equal keys, keys in order."""
    places: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return {key: np.array(places[key], np.intp) for key in sorted(places)}


def _known(values: Array) -> list[float]:
    """Return what is defined."""
    known: list[float] = values[~np.isnan(values)].tolist()
    return known


def _means(values: Array, groups: Mapping[Any, Indices]) -> Array:
    """Return the mean of what is defined in each group; sums are exact, so the order of rows plays no part."""
    known = [_known(values[rows]) for rows in groups.values()]
    return np.array([math.fsum(some) / len(some) if some else np.nan for some in known])


def _sums(values: Array, groups: Mapping[Any, Indices]) -> Array:
    """Return the sum of what is defined in each group, undefined where nothing is."""
    known = [_known(values[rows]) for rows in groups.values()]
    return np.array([math.fsum(some) if some else np.nan for some in known])


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample (Welford's method: 0 where all are the same)."""
    mean = squares = 0.0
    for count, value in enumerate(values, start=1):
        before = mean
        mean += (value - mean) / count
        squares += (value - mean) * (value - before)
    return math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else math.nan


def without_weights(papers: Table) -> Columns:
    """Return papers without what is the same as its unweighted counterpart where all weights are 1."""
    left_out = {*WEIGHTED, *(f"sum {name}" for name in WEIGHT_COUNTS)}
    return {name: column for name, column in papers.items() if name not in left_out}


def paper_table(papers: Table) -> Columns:
    """Return the columns of papers.csv: status, counts under their own names, then the ratios."""
    ends = ["match_f1_best", "match_f1_spread"]
    counts = {name: papers[f"sum {name}"] for name in COUNTED if f"sum {name}" in papers}
    ratios = [name for name in MACRO if name != "coverage" and name in papers]
    head = {name: papers[name] for name in ("planner", "paper", "status", "samples")}
    return {**head, **counts, **{name: papers[name] for name in (*ratios, *ends)}}


def papers_of_table(table: Table) -> Columns:
    """Return the papers, with their sums, that a papers table was made of; what labels say is left out."""
    sums = {f"sum {name}": _numbers(table[name]) for name in COUNT_NAMES if name in table}
    ends = ["planner", "paper", "status", "samples", "match_f1_best", "match_f1_spread"]
    columns = {name: _numbers(table[name]) for name in MACRO if name in table} | sums
    rows = len(table["planner"])
    return {**columns, **{name: table[name] for name in ends}, "sum papers": np.ones(rows),
            "coverage": _numbers(table["planned"])}  # fmt: skip


def _numbers(column: Any) -> Array:
    return np.asarray(column, dtype=np.float64)


def macro_means(papers: Table) -> Columns:
    """Return the mean of every macro figure over each planner's papers; weighted figures by the papers' weights."""
    groups = groups_of(papers["planner"])
    means: Columns = {name: _means(_numbers(papers[name]), groups) for name in MACRO if name in papers}
    for name in (name for name in WEIGHTED if name in papers):
        values, weights = _numbers(papers[name]), _numbers(papers["sum paper_weight"])
        above, below = (_sums(some, groups) for some in (values * weights, np.where(np.isnan(values), np.nan, weights)))
        means[name] = stats.divide(above, np.where(below > 0, below, 0.0))
    return means


def leaderboard(papers: Table) -> Columns:
    """Return one row a planner, best macro match F1 first: macro and micro figures, papers behind each, and sums."""
    groups = groups_of(papers["planner"])
    known = [name for name in COUNT_NAMES if f"sum {name}" in papers]
    columns = {name: _sums(_numbers(papers[f"sum {name}"]), groups) for name in known}
    totals = figures(columns, tuple(MICRO))
    macro = macro_means(papers)
    table: Columns = {"planner": list(groups), "papers": np.rint(columns["papers"]).astype(np.int64)}
    for name in FIGURES:
        if name in macro:
            table[name] = macro[name]
        if name in MICRO:
            table[name if name not in MACRO else f"{name}_micro"] = totals[name]
        if name in macro and name != "coverage":
            defined = ~np.isnan(_numbers(papers[name]))
            table[f"{name}_n"] = np.array([defined[rows].sum() for rows in groups.values()], np.int64)
    for status in ("missing", "empty", "unreadable"):
        there = np.array([state == status for state in papers["status"]], np.bool_)
        table[f"{status}_plans"] = np.array([there[rows].sum() for rows in groups.values()], np.int64)
    table |= _repeats(papers, groups) | {name: columns[name] for name in COUNTED if name in columns}
    f1 = table["match_f1"]
    order = sorted(range(len(groups)), key=lambda at: (bool(np.isnan(f1[at])), -f1[at]))
    return {name: [column[at] for at in order] if isinstance(column, list) else column[order]
            for name, column in table.items()}  # fmt: skip


def _repeats(papers: Table, groups: Mapping[str, Indices]) -> Columns:
    """Return the mean over papers of the best of several samples, and of their spread."""
    best, f1 = _numbers(papers["match_f1_best"]), _numbers(papers["match_f1"])
    columns = {"match_f1_best": np.where(np.isnan(best), f1, best), "match_f1_spread": papers["match_f1_spread"]}
    of_papers = np.asarray(papers["samples"])
    samples = np.array([of_papers[rows].max() for rows in groups.values()])
    means = {name: np.where(samples > 1, _means(_numbers(column), groups), np.nan) for name, column in columns.items()}
    return {"samples": samples, **means}


def with_uncertainty(
    table: Table, papers: Table, *, seed: int, resamples: int, baseline: str, correction: str = "shaffer"
) -> Columns:
    """Return the leaderboard with intervals of headline figures, ranks with theirs, and p against best and baseline."""
    planners = list(table["planner"])
    table, headline = with_intervals(table, papers)
    extra: Columns = {}
    tests = stats.all_pairs(headline, seed=seed, resamples=resamples, correction=correction)
    ranks = stats.rank_intervals(headline.values, tests.adjusted)
    f1 = _numbers(table["match_f1"]).tolist()
    extra |= {
        "rank": [None if value != value else 1 + sum(other > value + stats.TIE for other in f1) for value in f1],
        "rank_low": [rank and rank[0] for rank in ranks],
        "rank_high": [rank and rank[1] for rank in ranks],
        "p_best": tests.adjusted[0],
        "best_probability": stats.top_probability(headline, seed=seed, resamples=resamples),
    }
    if baseline:
        if baseline not in planners:
            raise InputError(f"no planner {baseline!r} to compare with; there are {', '.join(planners)}")
        place = planners.index(baseline)
        tests = stats.against_baseline(headline, place, seed=seed, resamples=resamples, correction=correction)
        adjusted = "p_baseline_bh" if correction == "bh" else "p_baseline_holm"
        extra |= {"p_baseline": tests.raw[place], adjusted: tests.adjusted[place]}
    return _ordered({**table, **extra})


def with_intervals(table: Table, papers: Table) -> tuple[Columns, stats.Measure]:
    """Return the leaderboard with intervals of headline figures behind them, and the measure of the first of these."""
    square = _squares(papers, table["planner"])
    names = [name for name in HEADLINES if name in papers]
    measures = {
        name: stats.macro(square(name), square("sum paper_weight") if name in WEIGHTED else None) for name in names
    }
    counts = {name: np.nan_to_num(square(f"sum {name}")) for name in COUNT_NAMES if f"sum {name}" in papers}
    measures |= {
        f"{name}_micro": stats.formula_measure(counts, FIGURES[name].formula) for name in names if name in MICRO
    }
    ends: Columns = {}
    for name, interval in zip(measures, stats.intervals(list(measures.values())), strict=True):
        ends |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return _ordered({**table, **ends}), measures[HEADLINES[0]]


def _squares(papers: Table, planners: Any) -> Callable[[str], Array]:
    """Return how to see one per-paper figure as [paper, planner], papers sorted; what was left out is undefined."""
    keys = {paper: row for row, paper in enumerate(sorted(set(papers["paper"])))}
    places = {planner: column for column, planner in enumerate(planners)}
    rows, columns = [keys[paper] for paper in papers["paper"]], [places[planner] for planner in papers["planner"]]

    def square(name: str) -> Array:
        table = np.full((len(keys), len(planners)), np.nan)
        table[rows, columns] = _numbers(papers[name])
        return table

    return square


def _ordered(table: Columns) -> Columns:
    """Put planner and rank first, then every figure with its interval behind it, then the rest."""
    first = ["planner", "rank", "rank_low", "rank_high", "p_best", "best_probability", "p_baseline", "p_baseline_holm",
             "p_baseline_bh"]  # fmt: skip
    order = [name for name in first if name in table]
    for name in table:
        bounds = [f"{name}_low", f"{name}_high"] if name.removesuffix("_micro") in HEADLINES else []
        order.extend(item for item in (name, *bounds) if item not in order)
    return {name: table[name] for name in order}
