"""The history of many runs as text: tables and small lines for the terminal, and CSV, Markdown and JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from evalkit.comparison.differences import LEVEL, FigureChange
from evalkit.comparison.entry_history import EntryHistory, entry_histories
from evalkit.comparison.history import Group, History, Line, false_alarm
from evalkit.metrics.figures import TITLES
from evalkit.report import escaping, json_output
from evalkit.report.escaping import plain
from evalkit.report.planner_table import PlannerTable
from evalkit.report.values import CORRECTIONS, brackets, number
from evalkit.storage.tables import to_csv

BLOCKS = "▁▂▃▄▅▆▇█"
MARKS = {"better": "▲", "worse": "▼", "no change": "=", "inconclusive": "?"}
LEGEND = "▲ better, ▼ worse, ? not told apart, = no change, after correction for all looks"
SHOWN_ENTRIES = 20
_OWN = re.compile(r"~?\d{4}-\d\d-\d\d|[-+]?\d\.\d{3}( \[\d\.\d\d, \d\.\d\d\]| [▲▼?=])?|[●· ]+|\d+( of \d+)?|\d+%|–")
ENTRY_HEADS = ("gold entry", "paper", "turns", "found in", "runs", "first found", "last lost", "found again")
SHOWN_TRENDS = 8


def title_of(metric: str) -> str:
    """Return a metric's name as titles print it."""
    return TITLES.get(metric, metric.replace("_", " "))


def history(result: History, *, wide: bool = False) -> Iterator[RenderableType]:
    """Yield a table of each group of runs with its small lines, and what to make of so many looks."""
    if not result.groups:
        yield Text("no run fits")
    for place, group in enumerate(result.groups):
        if group.reason:
            yield Text(f"\nnot comparable with the runs above: {plain(group.reason)}", style="yellow")
        yield _table(result, group, wide=wide)
        yield from small_lines(group)
        yield from (Text(line) for line in conclusions(result, group))
        if not place and any(line.previous for line in group.lines):
            yield Text(LEGEND, style="dim")
    if any(not line.run.says_time for line in result.lines):
        yield Text("~ the run does not say when it was made; its file's time", style="dim")
    for path, reason in result.unread:
        yield Text(f"not read: {plain(path)}: {plain(reason)}", style="red")


def _table(result: History, group: Group, *, wide: bool) -> PlannerTable:
    headline = title_of(result.metric)
    first = (headline, "since the last", "since the best", "P(best)", "made", "planner", "tags", "papers", "note")
    whose = f" of {plain(group.lines[-1].planner)}" if len({line.planner for line in group.lines}) == 1 else ""
    count = f"{len(group.lines)} run{'s' * (len(group.lines) != 1)}"
    table = PlannerTable(
        f"{headline}{whose}: {count}", _heads(result, wide=wide), folded=("tags", "note", "planner"), first=first,
        hint="--wide shows all", name="run",
    )  # fmt: skip
    best = group.best
    for line in group.lines:
        table.add_row(plain(line.run.name), *_cells(line, starred=line is best, wide=wide))
    return table


def _heads(result: History, *, wide: bool) -> tuple[str, ...]:
    headline = title_of(result.metric)
    heads = ("made", headline, "since the last", "since the best", "P(best)", "papers", "planner", "tags")
    return (*heads, "note") if wide else heads


def _cells(line: Line, *, starred: bool, wide: bool) -> Iterator[Text | str]:
    scored = line.scored
    yield f"{'' if line.run.says_time else '~'}{line.run.time[:10]}"
    value = f"{number(scored.value)}{brackets(scored.low, scored.high)}"
    yield Text(f"{value}*", style="bold") if starred else Text(f"{value} ")
    yield step(line.previous)
    yield step(line.best)
    yield share(line.best_probability)
    yield str(scored.papers)
    yield plain(planner_of(line))
    yield plain(tags(line))
    if wide:
        yield plain(line.run.note)


def step(change: FigureChange | None) -> str:
    """Return a change with the mark of its verdict; a dash where there is none."""
    if change is None or change.difference is None:
        return "–"
    return f"{signed(change.difference)} {MARKS[change.verdict]}"


def signed(value: float) -> str:
    """Return a difference with its sign; one that rounds to 0 has none."""
    text = f"{value:+.3f}"
    return text if float(text) else "0.000"


def share(chance: float | None) -> str:
    """Return a probability in percent; what is below half a percent is not 0, and what is nearly 1 is not 1."""
    if chance is None:
        return "–"
    return "<1%" if chance < 0.005 else ">99%" if 0.995 <= chance < 1 else f"{chance:.0%}"


def planner_of(line: Line) -> str:
    """Return the planner that is followed, with how many others the run has."""
    others = len(line.run.board) - 1
    return f"{line.planner} +{others}" if others else line.planner


def tags(line: Line) -> str:
    """Return a run's tags on one line."""
    return ", ".join(f"{key}={value}" for key, value in line.run.tags.items())


def small_lines(group: Group) -> Iterator[Text]:
    """Yield each planner's figure over the runs as a line of blocks, on one scale."""
    planners = group.planners[:SHOWN_TRENDS]
    trends = {name: group.trend(name) for name in planners}
    known = [value for trend in trends.values() for value in trend if not math.isnan(value)]
    if len(group.lines) < 2 or not known:
        return
    low, high = min(known), max(known)
    for name, trend in trends.items():
        yield Text(f"{sparkline(trend, low, high)}  {plain(name)}", no_wrap=True)
    more = f"; {len(group.planners) - len(planners)} more planners" if len(group.planners) > len(planners) else ""
    yield Text(f"{number(low)} to {number(high)}, oldest first{more}", style="dim")


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Return values as blocks between two ends; a dash where there is none."""
    reach = (high - low) or 1.0
    return "".join(
        "–" if math.isnan(value) else BLOCKS[min(int((value - low) / reach * len(BLOCKS)), len(BLOCKS) - 1)]
        for value in values
    )


def conclusions(result: History, group: Group) -> Iterator[str]:
    """Yield the best run with its probability of being the best, and what so many looks do to p."""
    best, looks = group.best, group.looks
    if best is None or len(group.lines) < 2:
        return
    value = f"{number(best.scored.value)}{brackets(best.scored.low, best.scored.high)}"
    leader = f"best so far: {plain(best.run.name)}, {title_of(result.metric)} {value}"
    if (chance := best.best_probability) is not None:
        leader += f"; best of the {len(group.lines)} in {share(chance)} of resampled papers"
    yield leader
    if looks > 1:
        p = LEVEL / looks
        by = CORRECTIONS["bh" if group.lines[-1].run.settings.get("correction") == "bh" else "holm"]
        yield (
            f"{looks} runs were held against the one before: if nothing had changed, at least one p would be below "
            f"{LEVEL:g} in {false_alarm(looks):.0%} of such histories; so p is corrected for all of them ({by}), and "
            f"a single change needs about p < {p:.2g}"
        )


def entries(result: History, *, wide: bool = False) -> Iterator[RenderableType]:
    """Yield for each gold entry when it was found and lost over the runs, those that turned most often first."""
    for group in result.groups:
        if len(group.lines) < 2:
            continue
        if group.reason:
            yield Text(f"\nnot comparable with the runs above: {plain(group.reason)}", style="yellow")
        every = entry_histories(group)
        turned = [entry for entry in every if entry.changes]
        names = [line.run.name for line in group.lines]
        title = f"Gold entries over {len(names)} runs: those that were found or lost on the way"
        first = ("runs", "paper", "turns", "found in", "first found", "last lost")
        folded = ("paper", "first found", "last lost", "found again")
        table = PlannerTable(
            title, ENTRY_HEADS[1:], folded=folded, first=first, hint="--wide shows all", name="gold entry"
        )
        for entry in turned if wide else turned[:SHOWN_ENTRIES]:
            table.add_row(plain(entry.name), *_entry_cells(entry, names))
        if turned:
            yield table
        if (rest := len(turned) - SHOWN_ENTRIES) > 0 and not wide:
            yield Text(f"… and {rest} more that turned; --wide shows all", style="dim")
        always = sum(all(found for _, found in entry.known) for entry in every)
        never = sum(not any(found for _, found in entry.known) for entry in every)
        yield Text(f"{len(every)} entries: {always} found in every run, {never} in none, {len(turned)} turned")
        yield Text("● found, · not found; the same prompt asked again turns entries too", style="dim")


def _entry_cells(entry: EntryHistory, names: Sequence[str]) -> Iterator[str]:
    facts = entry_facts(entry, names)
    yield plain(entry.paper)
    yield str(entry.changes)
    yield f"{facts['found']} of {facts['runs']}"
    yield found_line(entry.found)
    for name in ("first_found", "last_lost", "found_again"):
        yield plain(facts[name]) or "–"


def found_line(found: Sequence[bool | None]) -> str:
    """Return one sign a run: found, not found, or a blank where its paper is not there."""
    return "".join(" " if state is None else "●" if state else "·" for state in found)


def entry_facts(entry: EntryHistory, names: Sequence[str]) -> dict[str, Any]:
    """Return when an entry was first found, last lost and found again, by the names of the runs."""
    gained, lost = entry.turns(to=True), entry.turns(to=False)
    again = [place for place in gained if lost and place > lost[0]]
    return {
        "paper": entry.paper, "entry": entry.number, "name": entry.name, "turns": entry.changes,
        "found": sum(found for _, found in entry.known), "runs": len(entry.known),
        "first_found": names[gained[0]] if gained else "", "first_lost": names[lost[0]] if lost else "",
        "last_lost": names[lost[-1]] if lost else "", "found_again": names[again[-1]] if again else "",
    }  # fmt: skip


# ---- rows for other programs -----------------------------------------------------------------------------------


def run_rows(result: History) -> list[dict[str, Any]]:
    """Return one row a run, with the group that it may be compared in."""
    return [
        {
            "run": line.run.name, "time": line.run.time if line.run.says_time else None, "planner": line.planner,
            "metric": result.metric, "value": line.scored.value, "low": line.scored.low, "high": line.scored.high,
            **_change("previous", line.previous),
            **_change("best", line.best), "best_before": line.best_run or None,
            "best_probability": line.best_probability, "papers": line.scored.papers,
            "planners": len(line.run.board), "tags": tags(line), "note": line.run.note, "group": number,
            "signature": line.run.signature.digest,
        }
        for number, group in enumerate(result.groups, 1) for line in group.lines
    ]  # fmt: skip


def _change(kind: str, change: FigureChange | None) -> dict[str, Any]:
    names = ("difference", "low", "high", "p", "p_adjusted", "verdict")
    return {f"{kind}_{name}": getattr(change, name) if change else None for name in names}


def entry_rows(result: History) -> list[dict[str, Any]]:
    """Return one row a group and gold entry."""
    return [
        {"group": number, **entry_facts(entry, [line.run.name for line in group.lines]),
         "found_in": found_line(entry.found).replace("●", "1").replace("·", "0")}
        for number, group in enumerate(result.groups, 1) for entry in entry_histories(group)
    ]  # fmt: skip


def csv(result: History, entries: bool) -> str:
    """Return one row a run, or a gold entry, as CSV."""
    return to_csv(pd.DataFrame(entry_rows(result) if entries else run_rows(result)))


def markdown(result: History, entries: bool) -> str:
    """Return the tables of the terminal for a README or a pull request, a table a group."""
    lines: list[str] = []
    for group in result.groups:
        if group.reason:
            lines += [f"Not comparable with the runs above: {escaping.markdown(group.reason)}.", ""]
        heads = ENTRY_HEADS if entries else ("run", *_heads(result, wide=True))
        rows = _entry_table(group) if entries else _run_table(group)
        lines += ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
        lines += ["| " + " | ".join(map(_markdown_cell, row)) + " |" for row in rows]
        lines += ["", *(escaping.markdown(line) + "  " for line in conclusions(result, group) if not entries), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_cell(cell: object) -> str:
    """Return a cell for Markdown: the best figure bold, our own numbers and marks as they are, other texts escaped."""
    text = str(cell).strip()
    if isinstance(cell, Text) and cell.style == "bold":
        return f"**{text.removesuffix('*')}**"
    return text if _OWN.fullmatch(text) else escaping.markdown(text)


def _run_table(group: Group) -> Iterator[list[object]]:
    for line in group.lines:
        yield [line.run.name, *_cells(line, starred=line is group.best, wide=True)]


def _entry_table(group: Group) -> Iterator[list[object]]:
    names = [line.run.name for line in group.lines]
    for entry in entry_histories(group):
        if entry.changes:
            yield [entry.name, *_entry_cells(entry, names)]


def json(result: History, rows: Callable[[History], list[dict[str, Any]]] = run_rows) -> str:
    """Return one document: the groups, with why they are apart and what so many looks do, and the rows."""
    groups = [
        {"group": number, "runs": len(group.lines), "apart": group.reason or None, "looks": group.looks,
         "false_alarm": false_alarm(group.looks) if group.looks else None,
         "best": group.best.run.name if group.best else None}
        for number, group in enumerate(result.groups, 1)
    ]  # fmt: skip
    unread = [{"path": path, "reason": reason} for path, reason in result.unread]
    return json_output.dump({"metric": result.metric, "groups": groups, "rows": rows(result), "unread": unread})


RENDERERS = {"csv": csv, "markdown": markdown}
