"""Console text of `evalkit watch`: what each save moved, or why the last good run stays."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from evalkit.comparison.moved import FAILED_READS, Moved
from evalkit.report.comparison_text import gold_entry, plan_entries
from evalkit.report.console import diagnostic
from evalkit.report.escaping import plain
from evalkit.report.json_output import records
from evalkit.report.values import number
from evalkit.storage.runs import Run
from evalkit.types import Diagnostic

SHOWN = 15  # planners, and gold entries, that one save lists
SHOWN_PROBLEMS = 5


def begun(run: Run, head: str) -> Iterator[Text]:
    """Yield the headline of the first good run, planner by planner."""
    yield Text(head, style="bold")
    board = run.leaderboard.head(SHOWN)
    for planner, value in zip(board["planner"], board["match_f1"], strict=True):
        yield Text(f"  {plain(planner)}  match F1 {number(value)}")
    yield from _rest(len(run.leaderboard) - SHOWN, "planners")


def saved(result: Moved, head: str) -> Iterator[Text]:
    """Yield what moved: each planner's match F1, then gold entries gained and lost."""
    yield Text(head, style="bold")
    shown = result.planners[result.planners["difference"] != 0]
    for row in shown.head(SHOWN).to_dict("records"):
        moved = f"({number(row['difference'], signed=True)})" if row["difference"] == row["difference"] else "(new)"
        gone = row["new"] != row["new"]
        yield Text(f"  {plain(row['planner'])}  " + ("gone" if gone else f"match F1 {number(row['new'])} {moved}"))
    yield from _rest(len(shown) - SHOWN, "planners")
    for row in result.entries.head(SHOWN).to_dict("records"):
        sign, style = ("+", "green") if row["change"] == "gained" else ("-", "red")
        place = f"{row['planner']} · {row['paper']}: {gold_entry(row)} ({plan_entries(row)})"
        yield Text(f"  {sign} {row['change']} {plain(place)}", style=style)
    yield from _rest(len(result.entries) - SHOWN, "gold entries")
    for row in result.failures.head(SHOWN).to_dict("records"):
        yield Text(
            f"  {plain(row['planner'])} · {plain(row['paper'])}: {row['kind']} (was {row['base']})", style="yellow"
        )
    if not len(shown) and not len(result.entries):
        yield Text("  nothing moved")


def failed(result: Moved, last: Run, run: Run, head: str) -> Iterator[Text]:
    """Yield what could no longer be read, with the errors of reading that the last good run has not."""
    yield Text(f"{head}: not read; the last good run stays", style="bold red")
    for row in result.failures[result.failures["kind"].isin(FAILED_READS)].head(SHOWN).to_dict("records"):
        place = " · ".join(filter(None, (row["planner"], row["paper"]))) or "plans"
        yield Text(f"  {plain(place)}: {row['kind']} (was {row['base']})", style="red")
    known = records(last.diagnostics)
    errors = [Diagnostic(**row) for row in records(run.diagnostics) if row["severity"] == "error" and row not in known]
    yield from (Text(f"  {diagnostic(item)}", style="red") for item in errors[:SHOWN_PROBLEMS])
    yield from _rest(len(errors) - SHOWN_PROBLEMS, "errors")


def refused(error: Exception, head: str) -> Iterator[Text]:
    """Yield why there is no new run."""
    yield Text(f"{head}: {plain(str(error))}; the last good run stays", style="bold red")


def _rest(count: int, what: str) -> Iterator[Text]:
    if count > 0:
        yield Text(f"  … and {count} more {what}", style="dim")
