"""Takes a Run, gives what stands beside its leaderboard: AblationBench's figures with reasons, and the judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.metrics.ablationbench import NDCG_REASON
from evalkit.report.console import number
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal

FIGURES = {"precision": "P", "recall": "R", "f1": "F1"}


def tables(run: Run) -> Iterator[RenderableType]:
    """The judges of a run that judges decided; with `compat`, both benchmarks' figures and why they differ."""
    if judges := run.meta.get("judges"):
        yield from agreement(judges)
    if run.meta["settings"].get("compat") == "ablationbench" and (planners := run.meta.get("compat")):
        ndcg = dict(zip(run.leaderboard["planner"], run.leaderboard["ab_ndcg"], strict=True))
        yield figures(planners, ndcg)
        if any(row["steps"] for row in planners):
            yield reasons(planners)
        yield Text(f"nDCG has no counterpart: {NDCG_REASON}; see ndcg_at_5 for the plan's own order", style="dim")


def agreement(judges: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Who judged, how much, and how far they agree pair by pair."""
    if judges["unjudged"]:
        gap = f"{judges['unjudged']} of {judges['plans']} plans were not judged and count as unmatched"
        yield Text(f"warning: {gap}; this run is incomplete", style="yellow")
    for name, said in judges["judges"].items():
        rated = f"rated {said['rated']} of {judges['pairs']} pairs, matched {said['matched']}"
        yield Text(f"judge {safe_terminal(name)}: {rated}")
    for pair in judges["compared"]:
        names = f"{safe_terminal(pair['judge'])} against {safe_terminal(pair['against'])}"
        yield Text(
            f"{names}: F1 {number(pair['f1'])}, kappa {number(pair['kappa'])} over {pair['pairs']} pairs "
            f"({pair['both']} matched by both, {pair['judge_only']} and {pair['against_only']} by one)"
        )
    if judges["compared"]:
        yield Text(f"Krippendorff's alpha of all judges: {number(judges['krippendorff_alpha'])}")
    if published := judges["published"]:
        same = f"{published['equal']} of {published['compared']} papers have the figures that evaluations.json says"
        yield Text(same, style="" if published["equal"] == published["compared"] else "yellow")
        for item in published["differing"]:
            what = f"{item['paper']}: {item['figure']} {number(item['published'])}, recounted {number(item['counted'])}"
            yield Text(f"  {safe_terminal(what)}", style="yellow")


def figures(planners: Sequence[Mapping[str, Any]], ndcg: Mapping[str, float]) -> Table:
    """Both benchmarks' macro figures, one planner a row."""
    table = Table(title="Beside AblationBench (ab: by its rules)", title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    for title in (*(text for short in FIGURES.values() for text in (f"ab {short}", short)), "ab nDCG"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in planners:
        cells = [number(row[side][name]) for name in FIGURES for side in ("ablationbench", "corrected")]
        table.add_row(Text(safe_terminal(row["planner"])), *cells, number(ndcg.get(row["planner"])))
    return table


def reasons(planners: Sequence[Mapping[str, Any]]) -> Table:
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
