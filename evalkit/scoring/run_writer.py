"""Collect the results of a run batch by batch, in order, and make a Run of them: in memory, or written as they come."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from evalkit import stats
from evalkit.scoring import aggregate
from evalkit.scoring.rows import PAIR_COLUMNS, PLAN_COLUMNS, BatchResult, Compat, PlanCounts, Row, joined
from evalkit.settings import Settings
from evalkit.storage.csv import TableFormat
from evalkit.storage.parquet import content
from evalkit.storage.runs import SCHEMA_VERSION, Run, RunFolder
from evalkit.storage.signature import Signature
from evalkit.types import COUNT_NAMES, Diagnostic

PACKAGES = ("numpy", "scipy", "pandas", "rapidfuzz", "sentence-transformers", "torch")
FLUSH_AT = 4096  # plans whose counts are held before they become rows of the papers table


class RunWriter:
    """Collect results. They come planner by planner, so papers can be written before all planners are in.

    `folder` receives the rows of the long tables as they come; `papers_whole` keeps papers back until the end, for
    what is added to that table once all results are in.
    """

    def __init__(self, folder: RunFolder | None, signature: Signature, *, papers_whole: bool = False) -> None:
        self._folder, self._signature, self._papers_whole = folder, signature, papers_whole
        self._counts: list[PlanCounts] = []
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
        counts = result.counts
        sums = dict(zip(COUNT_NAMES, counts.sums.T, strict=True))
        self._totals["plans"] += counts.statuses.count("planned")
        self._totals["pairs"] += float(sums["gold_entries"] @ sums["plan_entries"])
        self._totals["borderline_pairs"] += float(sums["borderline_pairs"].sum())
        self._counts.append(counts)
        self._held += len(counts.planners)
        self._compat.extend(result.compat)
        for name, rows, columns in (("pairs", result.pairs, PAIR_COLUMNS), ("plans", result.plans, PLAN_COLUMNS)):
            if isinstance(rows, list):
                self._rows[name].extend(rows)
            elif self._folder is not None:
                self._folder.add(name, rows, columns)
        if self._held >= FLUSH_AT and counts.planners[-1] != self._counts[0].planners[0]:
            self._flush(finished=False)

    def _flush(self, *, finished: bool) -> None:
        """Turn counts into rows of the papers table and write them; a planner who is not done can wait."""
        counts = joined(self._counts)
        end = len(counts.planners) if finished else counts.planners.index(counts.planners[-1])
        self._counts, self._held = [counts.rows(end, None)], len(counts.planners) - end
        frame = aggregate.paper_frame(counts.rows(0, end))
        self._papers.append(frame)
        if self._folder is not None and self.table_format and not self._compat and not self._papers_whole:
            table = aggregate.paper_table(frame)
            self._folder.add("papers", content(table, self.table_format), table.columns)

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
        board = aggregate.leaderboard(papers)
        if settings.resamples:
            board = aggregate.with_uncertainty(
                board, papers, seed=settings.seed, resamples=settings.resamples, baseline=settings.baseline
            )
        counted = {"planners": len(board), "papers": int(papers["paper"].nunique())}
        meta: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "signature": asdict(self._signature),
            "settings": asdict(settings),
            "versions": versions(),
            "totals": counted | {name: int(value) for name, value in self._totals.items()},
            "warnings": [*_few_papers_warning(board), *warnings],
            **(facts or {}),
        }
        table = aggregate.paper_table(papers)
        if self._compat:
            meta["compat"] = aggregate.compat_report(self._compat)
            board, table = aggregate.with_compat(board, table, aggregate.compat_frame(self._compat))
        return Run(
            leaderboard=board,
            papers=table,
            diagnostics=aggregate.diagnostic_frame(problems),
            meta=meta,
            pairs=None if self._folder else aggregate.pair_frame(self._rows["pairs"]),
            plans=None if self._folder else aggregate.plan_frame(self._rows["plans"]),
            folder=self._folder.place if self._folder else None,
        )


def _few_papers_warning(board: pd.DataFrame) -> list[str]:
    """Say what makes every number of a run over few papers less sure than it looks."""
    papers = int(board["papers"].max())
    if not stats.few_papers(papers):
        return []
    counts = (
        f"{row['planner']} {row['match_gold']:.4g} of {row['gold_entries']:g} gold and "
        f"{row['match_plan']:.4g} of {row['plan_entries']:.4g} plan entries"
        for row in board.to_dict("records")
    )
    few = f"only {papers} paper{'s' * (papers != 1)}: intervals and p values say little; look at the counts of matches"
    return [f"{few}: {'; '.join(counts)}"]


def versions() -> dict[str, str]:
    """Return the versions of what a number may depend on, without importing any of it."""
    result = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            result[name] = version(name)
    return result
