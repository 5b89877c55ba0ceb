"""Takes an agreement with labels, or a Calibration, gives what a terminal shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.errors import InputError
from evalkit.labels.adapt import Adapted
from evalkit.matching.probability import Calibration
from evalkit.report.console import number
from evalkit.text import safe_terminal

FIGURES = {
    "precision": "P", "recall": "R", "f1": "F1", "average_precision": "AP", "kappa": "kappa", "ece": "ECE"
}  # fmt: skip
SHOWN = 5


def report(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """An agreement: decisions, tasks, what a look at the doubtful pairs would bring, planners, worst disagreements."""
    head = f"{found['rows']} labelled plans of {found['papers']} papers, {found['pairs']} pairs"
    yield Text(f"{head}; calibration {safe_terminal(found['calibration'])}, model {safe_terminal(found['model'])}")
    if found["fitted_on_these_labels"]:
        flattery = "this calibration was fitted on these labels, so the figures flatter it; its file has held-out ones"
        yield Text(f"warning: {flattery}", style="yellow")
    rows = {"match": found["match"], "part": found["part"]}
    for task, both in found["by_task"].items():
        rows |= {f"{safe_terminal(task)}: {what}": both[what] for what in ("match", "part")} if task else {}
    yield decisions(rows, "Decisions of pairs, before assignment")
    after = found["after_assignment"]
    yield Text("matches after assignment: " + ", ".join(f"{FIGURES[name]} {number(after[name])}" for name in after))
    yield Text(curve(found["risk_coverage"]))
    yield planners(found["per_planner"])
    error, rank = found["mean_absolute_error"], found["rank_correlation"]
    yield Text(f"planners' F1: mean absolute error {number(error)}, rank correlation {number(rank)}")
    yield from worst(found["worst"][:SHOWN])


def calibration(made: Calibration) -> Iterator[RenderableType]:
    """A calibration and what it is worth on the papers that were held out."""
    fitted, held = made.fitted_on, made.cross_validation
    yield Text(f"{made.id}: {fitted['pairs']} pairs of {fitted['papers']} papers, {held['folds']} folds by paper")
    yield decisions({what: held[what] for what in ("match", "part")}, "Held-out papers")
    yield Text(curve(held["match"]["risk_coverage"]))
    limits = made.thresholds
    yield Text(
        f"thresholds: part {limits.part:g}, match {limits.match:g}; band of doubt {limits.low:g} to {limits.high:g}"
    )


def adapted(moved: Adapted, *, even_so: bool) -> Iterator[RenderableType]:
    """What held-out papers say of a move; refuses one that did not help, unless it is wanted even so."""
    said = moved.report
    yield decisions({"base": said["before"], "moved": said["after"]}, "Held-out papers, full matches")
    losses = " to ".join(number(said[name]["log_loss"], 4) for name in ("before", "after"))
    told = f"log loss {losses} on {said['papers']} held-out papers (p {number(said['p'])})"
    yield Text(told)
    if not moved.helped and not even_so:
        raise InputError(f"these labels do not mend the base: {told}; nothing written, --even-so writes it")


def decisions(rows: Mapping[str, Mapping[str, float | None]], title: str) -> Table:
    """One row of figures for each kind of decision."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in FIGURES.values():
        table.add_column(name, justify="right")
    for label, figures in rows.items():
        table.add_row(label, *(number(figures[name]) for name in FIGURES))
    return table


def curve(points: Sequence[Mapping[str, float | None]]) -> str:
    """What F1 would be, were the pairs nearest the threshold decided by the labels."""
    told = ", ".join(f"{point['share']:.0%}: {number(point['f1'])}" for point in points)
    return f"match F1 with the nearest pairs decided by the labels: {told}"


def planners(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Each planner's F1 as the labels have it and as the matcher has it."""
    table = Table("planner", "plans", "F1 by labels", "F1 by matcher", "difference")
    for row in rows:
        one, other = row["f1_labels"], row["f1_matcher"]
        table.add_row(Text(safe_terminal(row["planner"])), str(row["plans"]), number(one), number(other),
                      f"{other - one:+.3f}")  # fmt: skip
    return table


def worst(pairs: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """The disagreements that the matcher was surest of."""
    for pair in pairs:
        said = "match" if pair["label"] else "same part" if pair["same_part"] else "different"
        yield Text(f"{safe_terminal(pair['paper'])}: labels say {said}, matcher {number(pair['match_probability'], 2)}")
        for side in ("gold", "plan"):
            entry = pair[side]
            options = "; ".join(entry["replacement"])
            told = f"  {side}: {entry['name']} | {entry['ablated_part']} | {entry['action']} {options}"
            yield Text(safe_terminal(told))
