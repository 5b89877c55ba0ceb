"""Make a Run of the results of its batches: its tables, in memory or written as they come."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit import stats
from evalkit.metrics.ablationbench import COMPAT_COUNTS, COMPAT_FIGURES, NO_SUGGESTION, differences
from evalkit.scoring.leaderboard import Columns, leaderboard, paper_table, papers_of, with_uncertainty, without_weights
from evalkit.scoring.rows import PAIR_COLUMNS, PLAN_COLUMNS, BatchResult, Compat, Row, joined, table_of_rows
from evalkit.settings import Settings
from evalkit.storage.runs import SCHEMA_VERSION, Run, RunFolder, Signature
from evalkit.storage.tables import Table, TableFormat, frame_of, table_content, table_of
from evalkit.text import readable
from evalkit.types import COUNT_NAMES, CompatScore, Diagnostic, Tally

if TYPE_CHECKING:
    import pandas as pd  # only AblationBench's rules take it

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
