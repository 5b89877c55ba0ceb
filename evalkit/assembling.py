"""Takes what workers found, in the order of the work, gives a Run: in memory, or written to its folder as it comes."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from evalkit import aggregation, statistics
from evalkit.aggregation import Compat, Outcome
from evalkit.records import Diagnostic, PaperScore
from evalkit.runs import SCHEMA_VERSION, Run, RunFolder, WrittenRun
from evalkit.settings import Settings, Signature

PACKAGES = ("numpy", "scipy", "pandas", "rapidfuzz", "sentence-transformers", "torch")
AT_ONCE = 4096  # plans whose counts are held before they become rows of the papers table


class Ledger:
    """What is known so far. Scores come planner by planner: papers can be written before all planners are in."""

    def __init__(self, folder: RunFolder | None, signature: Signature) -> None:
        self._folder, self._signature = folder, signature
        self._scores: list[PaperScore] = []
        self._papers: list[pd.DataFrame] = []
        self._pairs: list[dict[str, object]] = []
        self._plans: list[tuple[str, ...]] = []
        self._compat: list[Compat] = []
        self._totals = {"plans": 0, "pairs": 0.0, "borderline_pairs": 0.0}

    def add(self, outcome: Outcome) -> None:
        """Enter what was found of a batch."""
        for score in outcome.scores:
            if len(self._scores) >= AT_ONCE and score.planner != self._scores[-1].planner:
                self._close()
            self._scores.append(score)
            counts = score.counts
            self._totals["plans"] += score.status == "planned"
            self._totals["pairs"] += counts.gold_entries * counts.plan_entries
            self._totals["borderline_pairs"] += counts.borderline_pairs
        self._compat.extend(outcome.compat)
        for name, rows, head in (
            ("pairs", outcome.pairs, aggregation.PAIR_COLUMNS), ("plans", outcome.plans, aggregation.PLAN_COLUMNS)
        ):  # fmt: skip
            if isinstance(rows, bytes) and self._folder is not None:
                self._folder.add(name, rows, head)
            elif isinstance(rows, list):
                getattr(self, f"_{name}").extend(rows)

    def _close(self) -> None:
        """Turn the scores that are held into rows, and write these."""
        frame = aggregation.paper_frame(self._scores)
        self._papers.append(frame)
        self._scores = []
        if self._folder is not None and not self._compat:
            table = aggregation.paper_table(frame)
            self._folder.add("papers", self._folder.tables(self._signature).content(table), table.columns)

    def run(
        self,
        problems: Iterable[Diagnostic],
        settings: Settings,
        doubts: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """The run, with everything that takes all of it to know."""
        self._close()
        papers = pd.concat(self._papers, ignore_index=True) if len(self._papers) > 1 else self._papers[0]
        self._papers = []
        board = aggregation.leaderboard(papers)
        if settings.resamples:
            board = aggregation.with_uncertainty(
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
        table = aggregation.paper_table(papers)
        if self._compat:
            meta["compat"] = aggregation.compat_report(self._compat)
            board, table = aggregation.with_compat(board, table, aggregation.compat_frame(self._compat))
        short = {"leaderboard": board, "papers": table, "diagnostics": aggregation.diagnostic_frame(problems)}
        if self._folder is not None:
            return WrittenRun(self._folder.place, **short, meta=meta)
        pairs, plans = aggregation.pair_frame(self._pairs), aggregation.plan_frame(self._plans)
        return Run(**short, pairs=pairs, plans=plans, meta=meta)


def _warnings(board: pd.DataFrame) -> list[str]:
    """What makes every number of this run less sure than it looks."""
    papers = int(board["papers"].max())
    if not statistics.few_papers(papers):
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
