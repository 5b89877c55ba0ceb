"""Takes what workers found, in the order of the work, gives a Run: in memory, or written to its folder as it comes."""

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
from evalkit.scoring.rows import PAIR_COLUMNS, PLAN_COLUMNS, Compat, Marks, Outcome, Row, joined
from evalkit.settings import Settings
from evalkit.storage.parquet import content
from evalkit.storage.runs import SCHEMA_VERSION, Run, RunFolder, WrittenRun
from evalkit.storage.signature import Signature
from evalkit.types import COUNT_NAMES, Diagnostic

PACKAGES = ("numpy", "scipy", "pandas", "rapidfuzz", "sentence-transformers", "torch")
AT_ONCE = 4096  # plans whose counts are held before they become rows of the papers table


class Ledger:
    """What is known so far. Marks come planner by planner: papers can be written before all planners are in."""

    def __init__(self, folder: RunFolder | None, signature: Signature) -> None:
        self._folder, self._signature = folder, signature
        self._marks: list[Marks] = []
        self._held = 0
        self._papers: list[pd.DataFrame] = []
        self._pairs: list[Row] = []
        self._plans: list[Row] = []
        self._compat: list[Compat] = []
        self._totals = {"plans": 0.0, "pairs": 0.0, "borderline_pairs": 0.0}

    def add(self, outcome: Outcome) -> None:
        """Enter what was found of a batch."""
        marks = outcome.marks
        sums = dict(zip(COUNT_NAMES, marks.sums.T, strict=True))
        self._totals["plans"] += marks.states.count("planned")
        self._totals["pairs"] += float(sums["gold_entries"] @ sums["plan_entries"])
        self._totals["borderline_pairs"] += float(sums["borderline_pairs"].sum())
        self._marks.append(marks)
        self._held += len(marks.planners)
        self._compat.extend(outcome.compat)
        for name, rows, head in (("pairs", outcome.pairs, PAIR_COLUMNS), ("plans", outcome.plans, PLAN_COLUMNS)):
            if isinstance(rows, bytes) and self._folder is not None:
                self._folder.add(name, rows, head)
            elif isinstance(rows, list):
                getattr(self, f"_{name}").extend(rows)
        if self._held >= AT_ONCE and marks.planners[-1] != self._marks[0].planners[0]:
            self._close(whole=False)

    def _close(self, *, whole: bool) -> None:
        """Turn the marks that are held into rows, and write these; those of a planner who is not done can wait."""
        marks = joined(self._marks)
        end = len(marks.planners) if whole else marks.planners.index(marks.planners[-1])
        self._marks, self._held = [marks.part(end, None)], len(marks.planners) - end
        frame = aggregate.paper_frame(marks.part(0, end))
        self._papers.append(frame)
        if self._folder is not None and not self._compat:
            table = aggregate.paper_table(frame)
            self._folder.add("papers", content(table, self._folder.tables(self._signature)), table.columns)

    def run(
        self,
        problems: Iterable[Diagnostic],
        settings: Settings,
        doubts: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """The run, with everything that takes all of it to know."""
        self._close(whole=True)
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
            "warnings": [*_warnings(board), *doubts],
            **(facts or {}),
        }
        table = aggregate.paper_table(papers)
        if self._compat:
            meta["compat"] = aggregate.compat_report(self._compat)
            board, table = aggregate.with_compat(board, table, aggregate.compat_frame(self._compat))
        short = {"leaderboard": board, "papers": table, "diagnostics": aggregate.diagnostic_frame(problems)}
        if self._folder is not None:
            return WrittenRun(self._folder.place, **short, meta=meta)
        pairs, plans = aggregate.pair_frame(self._pairs), aggregate.plan_frame(self._plans)
        return Run(**short, pairs=pairs, plans=plans, meta=meta)


def _warnings(board: pd.DataFrame) -> list[str]:
    """What makes every number of this run less sure than it looks."""
    papers = int(board["papers"].max())
    if not stats.few_papers(papers):
        return []
    counted = (
        f"{row['planner']} {row['match_gold']:.4g} of {row['gold_entries']:g} gold and "
        f"{row['match_plan']:.4g} of {row['plan_entries']:.4g} plan entries"
        for row in board.to_dict("records")
    )
    few = f"only {papers} paper{'s' * (papers != 1)}: intervals and p values say little; look at the counts of matches"
    return [f"{few}: {'; '.join(counted)}"]


def versions() -> dict[str, str]:
    """The versions of what a number may depend on; found without importing any of it."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
