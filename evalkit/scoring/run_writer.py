"""Make a Run of the results of its batches: the frames of its tables, in memory or written as they come."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.errors import InputError
from evalkit.metrics.ablationbench import COMPAT_COUNTS, COMPAT_FIGURES, NO_SUGGESTION, differences
from evalkit.metrics.figures import FIGURES, HEADLINES, MACRO, MICRO, WEIGHT_COUNTS, WEIGHTED, figures
from evalkit.scoring.rows import PAIR_COLUMNS, PLAN_COLUMNS, BatchResult, Compat, Row, joined
from evalkit.settings import Settings
from evalkit.storage.runs import SCHEMA_VERSION, Run, RunFolder, Signature
from evalkit.storage.tables import TableFormat, table_content
from evalkit.text import readable
from evalkit.types import COUNT_NAMES, CompatScore, Diagnostic, Tally

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
        self._papers: list[pd.DataFrame] = []
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
        frame = paper_frame(counts.plan_rows(0, end))
        if not self._weighted:
            frame = without_weights(frame)
        self._papers.append(frame)
        if self._folder is not None and self.table_format and not self._compat and not self._papers_whole:
            table = paper_table(frame)
            self._folder.add("papers", table_content(table, self.table_format), table.columns)

    def finish(
        self,
        problems: Iterable[Diagnostic],
        settings: Settings,
        warnings: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """Return the run, with everything that takes all results to know."""
        self._flush(finished=True)
        papers = pd.concat(self._papers, ignore_index=True) if len(self._papers) > 1 else self._papers[0]
        self._papers = []
        board = leaderboard(papers)
        if settings.resamples:
            board = with_uncertainty(
                board, papers, seed=settings.seed, resamples=settings.resamples, baseline=settings.baseline,
                correction=settings.correction,
            )  # fmt: skip
        counted = {"planners": len(board), "papers": int(papers["paper"].nunique())}
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
            board, table = with_compat(board, table, compat_frame(self._compat), empty)
        return Run(
            leaderboard=board,
            papers=table,
            diagnostics=diagnostic_frame(problems),
            meta=meta,
            pairs=None if self._folder else pd.DataFrame(self._rows["pairs"], columns=PAIR_COLUMNS),
            plans=None if self._folder else pd.DataFrame(self._rows["plans"], columns=PLAN_COLUMNS),
            folder=self._folder.place if self._folder else None,
        )


def _few_papers_warning(board: pd.DataFrame) -> list[str]:
    """Say what makes every number of a run over few papers less sure than it looks."""
    papers = int(board["papers"].max())
    planners = len(board)
    hopeless = planners * (planners - 1) // 2 * stats.least_p(papers) >= 0.05 and papers >= stats.FEWEST_PAPERS
    untold = [f"with {papers} papers no test can tell two of {planners} planners apart at 5%"] if hopeless else []
    if not stats.few_papers(papers):
        return untold
    counts = (
        f"{row['planner']} {row['match_gold']:.4g} of {row['gold_entries']:g} gold and "
        f"{row['match_plan']:.4g} of {row['plan_entries']:.4g} plan entries"
        for row in board.to_dict("records")
    )
    few = f"only {papers} paper{'s' * (papers != 1)}: intervals and p values say little; look at the counts of matches"
    return [f"{few}: {'; '.join(counts)}", *untold]


def versions() -> dict[str, str]:
    """Return the versions of what a number may depend on, without importing any of it."""
    result = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            result[name] = version(name)
    return result


COUNTED = [name for name in COUNT_NAMES if name not in ("papers", "ndcg_at_1", "ndcg_at_3", "ndcg_at_5")]
COUNTED.remove("average_precision")


def paper_frame(counts: BatchResult) -> pd.DataFrame:
    """Return one row a planner and paper; several samples are averaged, with the best and the spread beside."""
    # `+ 0.0`: nothing is -0.0, as nothing that was averaged is.
    columns = dict(zip(COUNT_NAMES, counts.sums.T + 0.0, strict=True))
    keys = {"planner": counts.planners, "paper": counts.papers, "status": counts.statuses}
    ratios = {name: value + 0.0 for name, value in figures(columns, tuple(MACRO)).items()}
    plans = pd.DataFrame(keys | {f"sum {name}": values for name, values in columns.items()} | ratios)
    if not plans.duplicated(["planner", "paper"]).any():
        plans.insert(3, "samples", 1)
        gaps = dict.fromkeys(("match_f1_best", "match_f1_spread"), np.nan)
        return plans.sort_values(["planner", "paper"], ignore_index=True).assign(**gaps)
    by_paper = plans.groupby(["planner", "paper"], sort=True)
    frame = by_paper[[f"sum {name}" for name in COUNT_NAMES] + MACRO].mean()
    frame.insert(0, "status", by_paper["status"].agg(_status))
    frame.insert(1, "samples", by_paper.size())
    repeated = frame["samples"] > 1
    frame["match_f1_best"] = by_paper["match_f1"].max().where(repeated)
    frame["match_f1_spread"] = by_paper["match_f1"].std().where(repeated)
    return frame.reset_index()


def without_weights(papers: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of papers without what is the same as its unweighted counterpart where all weights are 1."""
    return papers.drop(columns=[*WEIGHTED, *(f"sum {name}" for name in WEIGHT_COUNTS)])


def _status(states: Iterable[str]) -> str:
    """Return the best of several samples' states."""
    return min(states, key=("planned", "empty", "unreadable", "missing").index)


def paper_table(papers: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of papers.csv: status, counts under their own names, then the ratios."""
    ends = ["match_f1_best", "match_f1_spread"]
    counts = {f"sum {name}": name for name in COUNTED if f"sum {name}" in papers}
    ratios = [name for name in MACRO if name != "coverage" and name in papers]
    return papers[["planner", "paper", "status", "samples", *counts, *ratios, *ends]].rename(columns=counts)


def frame_of_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the frame that a papers table was made of; what labels say is left out."""
    sums = {f"sum {name}": table[name] for name in COUNT_NAMES if name in table}
    ends = ["planner", "paper", "status", "samples", "match_f1_best", "match_f1_spread"]
    columns = {name: table[name] for name in MACRO if name in table} | sums | {name: table[name] for name in ends}
    return pd.DataFrame(columns | {"sum papers": 1.0, "coverage": table["planned"]})


def macro_means(papers: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of every macro figure over each planner's papers; weighted figures by the papers' weights."""
    by_planner = papers.groupby("planner", sort=True)
    means = by_planner[[name for name in MACRO if name in papers]].mean()
    for name in (name for name in WEIGHTED if name in papers):
        weights = papers["sum paper_weight"].where(papers[name].notna())
        sums = pd.DataFrame({"above": papers[name] * weights, "below": weights}).groupby(papers["planner"]).sum()
        means[name] = sums["above"] / sums["below"].where(sums["below"] > 0)
    return means


def leaderboard(papers: pd.DataFrame) -> pd.DataFrame:
    """Return one row a planner, best macro match F1 first: macro and micro figures, papers behind each, and sums."""
    by_planner = papers.groupby("planner", sort=True)
    known = [name for name in COUNT_NAMES if f"sum {name}" in papers]
    sums = by_planner[[f"sum {name}" for name in known]].sum(min_count=1)
    columns = {name: sums[f"sum {name}"].to_numpy() for name in known}
    totals = figures(columns, tuple(MICRO))
    macro = macro_means(papers)
    n = by_planner[list(macro)].count()
    table: dict[str, object] = {"papers": sums["sum papers"].round().astype(int)}
    for name in FIGURES:
        if name in macro:
            table[name] = macro[name]
        if name in MICRO:
            table[name if name not in MACRO else f"{name}_micro"] = totals[name]
        if name in macro and name != "coverage":
            table[f"{name}_n"] = n[name]
    for status in ("missing", "empty", "unreadable"):
        table[f"{status}_plans"] = (papers["status"] == status).groupby(papers["planner"], sort=True).sum()
    table |= _repeats(papers) | {name: columns[name] for name in COUNTED if name in columns}
    frame = pd.DataFrame(table, index=sums.index).reset_index()
    order = frame.sort_values(["match_f1", "planner"], ascending=[False, True], kind="stable")
    return order.reset_index(drop=True)


def _repeats(papers: pd.DataFrame) -> dict[str, object]:
    """Return the mean over papers of the best of several samples, and of their spread."""
    best = papers["match_f1_best"].fillna(papers["match_f1"])
    columns = {"match_f1_best": best, "match_f1_spread": papers["match_f1_spread"]}
    means = papers[["planner"]].assign(**columns).groupby("planner", sort=True).mean()
    samples = papers.groupby("planner", sort=True)["samples"].max()
    repeated = samples > 1
    return {"samples": samples} | {name: means[name].where(repeated) for name in columns}


def with_uncertainty(
    table: pd.DataFrame, papers: pd.DataFrame, *, seed: int, resamples: int, baseline: str, correction: str = "shaffer"
) -> pd.DataFrame:
    """Return the leaderboard with intervals of headline figures, ranks with theirs, and p against best and baseline."""
    planners = table["planner"].tolist()
    table, headline = with_intervals(table, papers)
    extra: dict[str, Any] = {}
    tests = stats.all_pairs(headline, seed=seed, resamples=resamples, correction=correction)
    ranks = stats.rank_intervals(headline.values, tests.adjusted)
    extra |= {
        "rank": table["match_f1"].rank(ascending=False, method="min").to_numpy(),
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
    wide = table.assign(**extra).astype(dict.fromkeys(("rank", "rank_low", "rank_high"), "Int64"))
    return wide.loc[:, _ordered(list(wide.columns))]


def with_intervals(table: pd.DataFrame, papers: pd.DataFrame) -> tuple[pd.DataFrame, stats.Measure]:
    """Return the leaderboard with intervals of headline figures behind them, and the measure of the first of these."""
    square = _squares(papers, table["planner"].tolist())
    names = [name for name in HEADLINES if name in papers]
    measures = {
        name: stats.macro(square(name), square("sum paper_weight") if name in WEIGHTED else None) for name in names
    }
    counts = {name: np.nan_to_num(square(f"sum {name}")) for name in COUNT_NAMES if f"sum {name}" in papers}
    measures |= {
        f"{name}_micro": stats.formula_measure(counts, FIGURES[name].formula) for name in names if name in MICRO
    }
    ends: dict[str, Any] = {}
    for name, interval in zip(measures, stats.intervals(list(measures.values())), strict=True):
        ends |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    wide = table.assign(**ends)
    return wide.loc[:, _ordered(list(wide.columns))], measures[HEADLINES[0]]


def _squares(papers: pd.DataFrame, planners: Sequence[str]) -> Callable[[str], NDArray[np.float64]]:
    """Return how to see one per-paper figure as [paper, planner], papers sorted; what was left out is undefined."""
    rows, keys = pd.factorize(papers["paper"], sort=True)
    columns = pd.Index(planners).get_indexer(pd.Index(papers["planner"]))

    def square(name: str) -> NDArray[np.float64]:
        table = np.full((len(keys), len(planners)), np.nan)
        table[rows, columns] = papers[name].to_numpy(dtype=np.float64)
        return table

    return square


def _ordered(columns: Sequence[str]) -> list[str]:
    """Put planner and rank first, then every figure with its interval behind it, then the rest."""
    first = ["planner", "rank", "rank_low", "rank_high", "p_best", "best_probability", "p_baseline", "p_baseline_holm",
             "p_baseline_bh"]  # fmt: skip
    order = [name for name in first if name in columns]
    for name in columns:
        bounds = [f"{name}_low", f"{name}_high"] if name.removesuffix("_micro") in HEADLINES else []
        order.extend(item for item in (name, *bounds) if item not in order)
    return order


def compat_frame(scores: Iterable[Compat]) -> pd.DataFrame:
    """Return AblationBench's counts and figures of each planner and paper, undefined as 0; samples averaged."""
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


def diagnostic_frame(diagnostics: Iterable[Diagnostic]) -> pd.DataFrame:
    """Return one row a diagnostic, by path and line."""
    rows = [asdict(item) | {"path": readable(item.path)} for item in diagnostics]
    frame = pd.DataFrame(rows, columns=["severity", "code", "path", "line", "message"])
    return frame.astype({"line": "Int64"}).sort_values(["path", "line", "code"], kind="stable", ignore_index=True)
