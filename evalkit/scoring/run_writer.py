"""Make a Run of the results of its batches: its tables, in memory or written as they come."""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit import stats
from evalkit.errors import InputError
from evalkit.metrics.ablationbench import COMPAT_COUNTS, COMPAT_FIGURES, NO_SUGGESTION, differences
from evalkit.metrics.figures import FIGURES, HEADLINES, MACRO, MICRO, WEIGHT_COUNTS, WEIGHTED, figures
from evalkit.scoring.rows import PAIR_COLUMNS, PLAN_COLUMNS, BatchResult, Compat, Row, joined, table_of_rows
from evalkit.settings import Settings
from evalkit.storage.runs import SCHEMA_VERSION, Run, RunFolder, Signature
from evalkit.storage.schema import STATES
from evalkit.storage.tables import Table, TableFormat, frame_of, table_content, table_of
from evalkit.text import readable
from evalkit.types import COUNT_NAMES, CompatScore, Diagnostic, Tally

if TYPE_CHECKING:
    import pandas as pd  # only AblationBench's rules take it

Columns = dict[str, Any]  # a Table that is being made
Array = NDArray[np.float64]
Indices = NDArray[np.intp]
PACKAGES = ("numpy", "scipy", "pandas", "rapidfuzz", "sentence-transformers", "torch")
FLUSH_AT = 4096  # plans whose counts are held before they become rows of the papers table


class RunWriter:
    """Collect results. They come planner by planner, so papers can be written before all planners are in.

    `folder` receives the rows of the long tables as they come; `papers_whole` keeps papers back until the end, for
    what is added to that table once all results are in; `weighted` says that a weight of gold is not 1.
    """

    def __init__(
        self, folder: RunFolder | None, signature: Signature, *, papers_whole: bool = False, weighted: bool = False
    ) -> None:
        self._folder, self._signature, self._papers_whole = folder, signature, papers_whole
        self._weighted = weighted
        self._counts: list[BatchResult] = []
        self._held = 0
        self._papers: list[Columns] = []
        self._rows: dict[str, list[Row]] = {"pairs": [], "plans": []}
        self._compat: list[Compat] = []
        self._totals = {"plans": 0.0, "pairs": 0.0, "borderline_pairs": 0.0}

    @property
    def table_format(self) -> TableFormat | None:
        """How workers are to encode rows of the long tables; None keeps the rows in memory."""
        return self._folder.table_format(self._signature) if self._folder is not None else None

    def add(self, result: BatchResult) -> None:
        """Enter the result of a batch."""
        sums = dict(zip(COUNT_NAMES, result.sums.T, strict=True))
        self._totals["plans"] += result.statuses.count("planned")
        self._totals["pairs"] += float(sums["gold_entries"] @ sums["plan_entries"])
        self._totals["borderline_pairs"] += float(sums["borderline_pairs"].sum())
        self._counts.append(result.plan_rows(0, None))
        self._held += len(result.planners)
        self._compat.extend(result.compat)
        for name, rows, columns in (("pairs", result.pairs, PAIR_COLUMNS), ("plans", result.plans, PLAN_COLUMNS)):
            if isinstance(rows, list):
                self._rows[name].extend(rows)
            elif self._folder is not None:
                self._folder.add(name, rows, columns)
        if self._held >= FLUSH_AT and result.planners[-1] != self._counts[0].planners[0]:
            self._flush(finished=False)

    def _flush(self, *, finished: bool) -> None:
        """Turn counts into rows of the papers table and write them; a planner who is not done can wait."""
        counts = joined(self._counts)
        end = len(counts.planners) if finished else counts.planners.index(counts.planners[-1])
        self._counts, self._held = [counts.plan_rows(end, None)], len(counts.planners) - end
        papers = papers_of(counts.plan_rows(0, end))
        if not self._weighted:
            papers = without_weights(papers)
        self._papers.append(papers)
        if self._folder is not None and self.table_format and not self._compat and not self._papers_whole:
            table = paper_table(papers)
            self._folder.add("papers", table_content(table, self.table_format), table)

    def finish(
        self,
        problems: Iterable[Diagnostic],
        settings: Settings,
        warnings: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """Return the run, with everything that takes all results to know."""
        self._flush(finished=True)
        papers = _joined_columns(self._papers)
        self._papers = []
        board = leaderboard(papers)
        if settings.resamples:
            board = with_uncertainty(
                board, papers, seed=settings.seed, resamples=settings.resamples, baseline=settings.baseline,
                correction=settings.correction,
            )  # fmt: skip
        counted = {"planners": len(board["planner"]), "papers": len(set(papers["paper"]))}
        meta: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "signature": self._signature.table,
            "settings": asdict(settings),
            "versions": versions(),
            "totals": counted | {name: int(value) for name, value in self._totals.items()},
            "warnings": [*_few_papers_warning(board), *warnings],
            **(facts or {}),
        }
        table = paper_table(papers)
        if self._compat:
            empty = sum(item.code == NO_SUGGESTION for item in problems)
            meta["compat"] = compat_report(self._compat, empty)
            frames = with_compat(frame_of(board), frame_of(table), compat_frame(self._compat), empty)
            board, table = map(table_of, frames)
        return Run(
            leaderboard=board,
            papers=table,
            diagnostics=diagnostics_table(problems),
            meta=meta,
            pairs=None if self._folder else table_of_rows(PAIR_COLUMNS, self._rows["pairs"]),
            plans=None if self._folder else table_of_rows(PLAN_COLUMNS, self._rows["plans"]),
            folder=self._folder.place if self._folder else None,
        )


def _joined_columns(parts: Sequence[Columns]) -> Columns:
    """Join tables of the same columns, one below the other."""
    if len(parts) == 1:
        return parts[0]
    return {
        name: [cell for part in parts for cell in part[name]] if isinstance(column, list)
        else np.concatenate([part[name] for part in parts])
        for name, column in parts[0].items()
    }  # fmt: skip


def _few_papers_warning(board: Table) -> list[str]:
    """Say what makes every number of a run over few papers less sure than it looks."""
    papers = max(map(int, board["papers"]))
    planners = len(board["planner"])
    hopeless = planners * (planners - 1) // 2 * stats.least_p(papers) >= 0.05 and papers >= stats.FEWEST_PAPERS
    untold = [f"with {papers} papers no test can tell two of {planners} planners apart at 5%"] if hopeless else []
    if not stats.few_papers(papers):
        return untold
    counts = (
        f"{planner} {match_gold:.4g} of {gold:g} gold and {match_plan:.4g} of {plan:.4g} plan entries"
        for planner, match_gold, gold, match_plan, plan in zip(
            *(board[name] for name in ("planner", "match_gold", "gold_entries", "match_plan", "plan_entries")),
            strict=True,
        )
    )
    few = f"only {papers} paper{'s' * (papers != 1)}: intervals and p values say little; look at the counts of matches"
    return [f"{few}: {'; '.join(counts)}", *untold]


def versions() -> dict[str, str]:
    """Return the versions of what a number may depend on, without importing any of it."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Look versions up once: reading the metadata of packages takes longer than scoring a short plan."""
    result = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            result[name] = version(name)
    return result


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


def compat_frame(scores: Iterable[Compat]) -> pd.DataFrame:
    """Return AblationBench's counts and figures of each planner and paper, undefined as 0; samples averaged."""
    import pandas as pd

    rows = [
        {
            "planner": score.planner,
            "paper": score.paper,
            "ab_precision": compat.tally.precision or 0.0,
            "ab_recall": compat.tally.recall or 0.0,
            "ab_f1": compat.tally.f1 or 0.0,
            "ab_ndcg": np.nan if compat.ndcg is None else compat.ndcg,
            "ab_true_positives": compat.tally.gold_hits,
            "ab_false_positives": compat.tally.plan - compat.tally.plan_hits,
            "ab_false_negatives": compat.tally.gold - compat.tally.gold_hits,
        }
        for score, compat in scores
    ]
    frame = pd.DataFrame(rows, columns=["planner", "paper", *COMPAT_FIGURES, *COMPAT_COUNTS])
    return frame.groupby(["planner", "paper"], sort=True, as_index=False).mean()


def with_compat(
    board: pd.DataFrame, papers: pd.DataFrame, compat: pd.DataFrame, empty: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add the `ab_` family to leaderboard and papers: unweighted means over papers, and sums of counts.

    `empty` papers, whose reviews suggest nothing, are 0 in the means.
    """
    by_planner = compat.groupby("planner", sort=True)
    counted = by_planner.size()
    means = by_planner[COMPAT_FIGURES].mean().mul(counted / (counted + empty), axis=0)
    means = means.join(by_planner[COMPAT_COUNTS].sum())
    return board.merge(means, on="planner", how="left"), papers.merge(compat, on=["planner", "paper"], how="left")


def compat_report(scores: Iterable[Compat], empty: int = 0) -> list[dict[str, object]]:
    """Return AblationBench's figures beside the run's own, per planner, and what each rule changes."""
    planners: dict[str, dict[str, list[tuple[CompatScore, Tally]]]] = {}
    for score, compat in scores:
        counts = score.counts
        ours = Tally(*(int(n) for n in (counts.match_plan, counts.plan_entries, counts.match_gold,
                                        counts.gold_entries)))  # fmt: skip
        planners.setdefault(score.planner, {}).setdefault(score.paper, []).append((compat, ours))
    return [
        {"planner": name, "papers": len(papers), **differences(papers, empty)}
        for name, papers in sorted(planners.items())
    ]


def diagnostics_table(diagnostics: Iterable[Diagnostic]) -> Columns:
    """Return one row a diagnostic, by path and line."""
    rows = [(item.severity, item.code, readable(item.path), item.line, item.message) for item in diagnostics]
    rows.sort(key=lambda row: (row[2], row[3] is None, row[3] or 0, row[1]))
    return dict(table_of_rows(("severity", "code", "path", "line", "message"), rows))
