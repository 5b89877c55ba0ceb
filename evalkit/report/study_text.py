"""Console text of what one run says of a gate, and of how many papers and samples to take."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from evalkit.comparison import Design, Expectation, GateStudy
from evalkit.comparison.outlook import DROPS
from evalkit.report.escaping import plain
from evalkit.report.planner_table import PlannerTable
from evalkit.report.values import number


def gate_study(study: GateStudy) -> Iterator[RenderableType]:
    """Yield how often the rules would trip on these papers, then what more samples and papers would do."""
    if study.expectations:
        yield _expectations(study)
        yield Text(
            "change: what a later run is taken to be. asked again: the same planner, nothing changed; another planner: "
            "one that differs from this planner, paper by paper, as the others of this run do"
        )
    else:
        yield Text("no rule looks at a figure by its interval or test; there is nothing to foresee")
    for rule, rate in study.alarms.items():
        planners = {item.planner for item in study.expectations if item.rule == rule}
        if len(planners) > 1 and rate is not None:
            yield Text(f"{plain(rule)}: trips for any of {len(planners)} planners in {share(rate)} of unchanged runs")
    yield from (Text(_varies(design)) for design in study.designs if design.within is not None)
    yield _designs(study)
    if any(design.within is None for design in study.designs):
        yield Text("– needs several samples of a paper; score `paper.1`, `paper.2`, … to know it", style="dim")


def share(rate: float | None) -> str:
    """Return a rate in percent."""
    return "–" if rate is None else f"{rate:.1%}"


def _expectations(study: GateStudy) -> PlannerTable:
    heads = ("rule", "change", "papers", "trips unchanged", *(f"catches {drop:g}" for drop in DROPS), "could see")
    first = ("change", "trips unchanged", "catches 0.05", "catches 0.1", "catches 0.02", "could see")
    title = f"{plain(study.run)}: what the gate can do on these papers"
    table = PlannerTable(title, heads, folded=("rule", *first), first=first)
    for item in study.expectations:
        if item.alarms is not None:
            table.add_row(plain(item.planner), *_cells(item))
    return table


def _cells(item: Expectation) -> tuple[str, ...]:
    rates = dict(item.catches)
    caught = (share(rates.get(drop)) for drop in DROPS)
    return plain(item.rule), item.change, str(item.papers), share(item.alarms), *caught, number(item.detectable)


def _varies(design: Design) -> str:
    """Say where a planner's match F1 varies."""
    samples = f"{design.papers} papers, {'up to ' if design.samples > 1 else ''}{design.samples} a paper"
    return (
        f"{plain(design.planner)}: match F1 varies by {number(design.between)} between papers and by "
        f"{number(design.within)} between samples of a paper ({samples})"
    )


def _designs(study: GateStudy) -> PlannerTable:
    again, other = (f"papers to see {study.target:g}, {change}" for change in ("asked again", "another planner"))
    heads = ("samples a paper", "interval", "narrower by", *((again,) if study.has_samples else ()), other)
    table = PlannerTable("Samples and papers: match F1", heads, folded=heads)
    for design in study.designs:
        known = [row for row in design.advice if row.reach is not None]
        for row in known or design.advice[:1]:
            reach = "–" if row.reach is None else f"± {number(row.reach)}"
            narrower = "–" if row.narrower is None else f"{row.narrower:.0%}"
            papers = (row.papers_again, row.papers_other)[not study.has_samples :]
            needed = ("–" if count is None else str(count) for count in papers)
            table.add_row(plain(design.planner), str(row.samples), reach, narrower, *needed)
    return table
