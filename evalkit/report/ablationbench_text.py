"""What a terminal shows beside a leaderboard: AblationBench's figures, with the reason for each difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.metrics.ablationbench import NDCG_REASON
from evalkit.report.values import number
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal

FIGURES = {"precision": "P", "recall": "R", "f1": "F1"}


def compat(run: Run) -> Iterator[RenderableType]:
    """Show both benchmarks' figures and why they differ, for a run with `compat`."""
    if run.meta["settings"].get("compat") == "ablationbench" and (planners := run.meta.get("compat")):
        yield _figures(planners, dict(zip(run.leaderboard["planner"], run.leaderboard["ab_ndcg"], strict=True)))
        if any(row["steps"] for row in planners):
            yield _steps(planners)
        yield Text(f"nDCG has no counterpart: {NDCG_REASON}; see ndcg_at_5 for the plan's own order", style="dim")


def _figures(planners: Sequence[Mapping[str, Any]], ndcg: Mapping[str, float]) -> Table:
    """Both benchmarks' macro figures, one planner a row."""
    table = Table(title="Beside AblationBench (ab: by its rules)", title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    for title in (*(text for short in FIGURES.values() for text in (f"ab {short}", short)), "ab nDCG"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in planners:
        cells = [number(row[side][name]) for name in FIGURES for side in ("ablationbench", "corrected")]
        table.add_row(Text(safe_terminal(row["planner"])), *cells, number(ndcg.get(row["planner"])))
    return table


def _steps(planners: Sequence[Mapping[str, Any]]) -> Table:
    """What lifting each of its rules adds; the steps of a planner are its whole difference."""
    table = Table(title="What its rules are worth: what lifting each one adds", title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    table.add_column("its rule", no_wrap=True)
    for title in FIGURES.values():
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("which is", overflow="fold")
    for row in planners:
        for step in row["steps"]:
            moves = [f"{step[name]:+.3f}" if step[name] else "" for name in FIGURES]
            table.add_row(Text(safe_terminal(row["planner"])), step["rule"], *moves, step["reason"])
    return table
