"""What a terminal shows of labels: how far a matcher agrees with them, and what a calibration on them is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.errors import InputError
from evalkit.labels.adapt import Adaptation
from evalkit.matching.calibration import Calibration
from evalkit.report.values import number
from evalkit.text import safe_terminal

FIGURES = {
    "precision": "P", "recall": "R", "f1": "F1", "average_precision": "AP", "kappa": "kappa", "ece": "ECE"
}  # fmt: skip
WORST_SHOWN = 5


def agreement(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Show decisions, tasks, what a look at the doubtful pairs would bring, planners, and the worst disagreements."""
    head = f"{result['rows']} labelled plans of {result['papers']} papers, {result['pairs']} pairs"
    yield Text(f"{head}; calibration {safe_terminal(result['calibration'])}, model {safe_terminal(result['model'])}")
    if result["fitted_on_these_labels"]:
        flattery = "this calibration was fitted on these labels, so the figures flatter it; its file has held-out ones"
        yield Text(f"warning: {flattery}", style="yellow")
    rows = {"match": result["match"], "part": result["part"]}
    for task, both in result["by_task"].items():
        rows |= {f"{safe_terminal(task)}: {what}": both[what] for what in ("match", "part")} if task else {}
    yield _decisions(rows, "Decisions of pairs, before assignment")
    after = result["after_assignment"]
    yield Text("matches after assignment: " + ", ".join(f"{FIGURES[name]} {number(after[name])}" for name in after))
    yield Text(_risk_coverage(result["risk_coverage"]))
    yield _planners(result["per_planner"])
    error, rank = result["mean_absolute_error"], result["rank_correlation"]
    yield Text(f"planners' F1: mean absolute error {number(error)}, rank correlation {number(rank)}")
    yield from _worst(result["worst"][:WORST_SHOWN])


def calibration(result: Calibration) -> Iterator[RenderableType]:
    """Show a calibration and what it is worth on the papers that were held out."""
    fitted, held_out = result.fitted_on, result.cross_validation
    yield Text(f"{result.id}: {fitted['pairs']} pairs of {fitted['papers']} papers, {held_out['folds']} folds by paper")
    yield _decisions({what: held_out[what] for what in ("match", "part")}, "Held-out papers")
    yield Text(_risk_coverage(held_out["match"]["risk_coverage"]))
    limits = result.thresholds
    yield Text(
        f"thresholds: part {limits.part:g}, match {limits.match:g}; band of doubt {limits.low:g} to {limits.high:g}"
    )


def adapted(result: Adaptation, *, even_so: bool) -> Iterator[RenderableType]:
    """Show what held-out papers say of a move; refuse one that did not help, unless it is wanted even so."""
    facts = result.report
    yield _decisions({"base": facts["before"], "moved": facts["after"]}, "Held-out papers, full matches")
    losses = " to ".join(number(facts[name]["log_loss"], 4) for name in ("before", "after"))
    message = f"log loss {losses} on {facts['papers']} held-out papers (p {number(facts['p'])})"
    yield Text(message)
    if not result.helped and not even_so:
        raise InputError(f"these labels do not mend the base: {message}; nothing written, --even-so writes it")


def _decisions(rows: Mapping[str, Mapping[str, float | None]], title: str) -> Table:
    """One row of figures for each kind of decision."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in FIGURES.values():
        table.add_column(name, justify="right")
    for label, figures in rows.items():
        table.add_row(label, *(number(figures[name]) for name in FIGURES))
    return table


def _risk_coverage(points: Sequence[Mapping[str, float | None]]) -> str:
    """What F1 would be, were the pairs nearest the threshold decided by the labels."""
    curve = ", ".join(f"{point['share']:.0%}: {number(point['f1'])}" for point in points)
    return f"match F1 with the nearest pairs decided by the labels: {curve}"


def _planners(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Each planner's F1 as the labels have it and as the matcher has it."""
    table = Table("planner", "plans", "F1 by labels", "F1 by matcher", "difference")
    for row in rows:
        labels, matcher = row["f1_labels"], row["f1_matcher"]
        cells = (str(row["plans"]), number(labels), number(matcher), f"{matcher - labels:+.3f}")
        table.add_row(Text(safe_terminal(row["planner"])), *cells)
    return table


def _worst(pairs: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """The disagreements that the matcher was surest of."""
    for pair in pairs:
        label = "match" if pair["label"] else "same part" if pair["same_part"] else "different"
        paper, probability = safe_terminal(pair["paper"]), number(pair["match_probability"], 2)
        yield Text(f"{paper}: labels say {label}, matcher {probability}")
        for side in ("gold", "plan"):
            entry = pair[side]
            action = f"{entry['action']} {'; '.join(entry['replacement'])}"
            yield Text(safe_terminal(f"  {side}: {entry['name']} | {entry['ablated_part']} | {action}"))
