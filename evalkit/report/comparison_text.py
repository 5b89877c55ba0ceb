"""What a terminal shows of comparisons, gates and baselines. Texts are disarmed.

Everything from plans and gold stands inside the borders of a table, so that no text begins a line: CI systems take
lines that begin with certain signs for commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.comparison import Comparison, FigureChange, GateReport, Snapshot, scores
from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.report.escaping import plain
from evalkit.report.values import brackets, number, p_value

BESIDE = {name: FIGURES[name].label for name in shown_in("beside")}
SHOWN = 15  # rows of a table of changes; the rest is counted, and whole in --json
STYLES = {"better": "green", "worse": "red", "regressed": "red", "inconclusive": "yellow", "pass": "green"}


def interval(change: FigureChange) -> str:
    """Return a difference with its interval."""
    return number(change.difference, signed=True) + brackets(change.low, change.high, 3, signed=True)


def comparison(result: Comparison) -> Iterator[RenderableType]:
    """Yield how much changed, how sure that is, and where."""
    yield from forced(result)
    yield _headline(result)
    yield from by_labels(result)
    for warning in result.warnings:
        yield Text(f"warning: {plain(warning)}", style="yellow")
    yield _beside(result)
    yield from changed(result)
    yield Text(f"base signature: {result.base.signature}\nnew signature:  {result.new.signature}", style="dim")


def forced(result: Comparison) -> Iterator[Text]:
    """Say what differs beside the plans, when the user said to go on."""
    for name, (base, new) in result.forced.items():
        yield Text(f"forced: {name} is {plain(base)} in base and {plain(new)} in new; not like with like", style="red")


def _headline(result: Comparison) -> Table:
    """One row a planner: the metric that decides."""
    title = f"{plain(result.new.name)} against {plain(result.base.name)}: {result.metric}"
    table = Table(title=title, title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    heads = ("papers", "base", "new", "difference [95%]", "p", "Holm", "verdict", "could see")
    for head in (*heads, f"to see {result.target:g}"):
        table.add_column(head, justify="right", no_wrap=head != "verdict")
    for change in result.headline:
        sides = (str(change.papers), number(change.base), number(change.new), Text(interval(change)))
        tests = (p_value(change.p), p_value(change.p_holm), _verdict(change))
        needed = "–" if change.papers_needed is None else f"{change.papers_needed} papers"
        table.add_row(Text(plain(planner_name(change))), *sides, *tests, number(change.detectable), needed)
    return table


def planner_name(change: FigureChange) -> str:
    """Return a planner's name, and the one it had before."""
    return change.planner if change.planner == change.was else f"{change.was} → {change.planner}"


def _verdict(change: FigureChange) -> Text:
    return Text(change.verdict, style=STYLES.get(change.verdict, ""))


NO_TEST = "corrected by labels: the 95% interval decides, planner by planner; swapping papers is no test for such sums"


def by_labels(result: Comparison) -> Iterator[RenderableType]:
    """One row a planner and figure that labels correct, and what the verdict rests on."""
    if not result.corrected:
        return
    table = Table(title="Corrected by labels", title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    for head in ("figure", "labelled", "base", "new", "difference [95%]", "verdict", "could see"):
        table.add_column(head, justify="right")
    for change in result.corrected:
        cells = (change.figure, str(change.papers), number(change.base), number(change.new), interval(change))
        table.add_row(Text(plain(change.planner)), *map(Text, cells), _verdict(change), number(change.detectable))
    yield table
    yield Text(NO_TEST, style="dim")


def _beside(result: Comparison) -> Table:
    """One row a planner: other figures, as they are now and how they moved."""
    table = Table(title="Beside it: new (difference)", title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    figures = [name for name in BESIDE if any(change.figure == name for change in result.changes)]
    for name in figures:
        table.add_column(BESIDE[name], justify="right")
    for change in result.headline:
        others = [(result.change(change.planner, name), FIGURES[name].digits) for name in figures]
        cells = [
            Text(f"{number(other.new, digits)} ({number(other.difference, digits, signed=True)})")
            for other, digits in others
        ]
        table.add_row(Text(plain(change.planner)), *cells)
    return table


def changed(result: Comparison) -> Iterator[RenderableType]:
    """Gold entries, papers and failures that changed, the largest first, and what only one side has."""
    entries = result.entries
    if len(entries):
        counts = entries["change"].value_counts()
        title = f"Gold entries: {counts.get('lost', 0)} lost, {counts.get('gained', 0)} gained"
        rows = [_entry(row) for row in _first(entries)]
        yield _table(title, ("", "planner", "paper", "gold entry", "plan entry, base → new"), rows, len(entries))
    moved = result.moved_papers
    if len(moved):
        rows = [_paper(row) for row in _first(moved)]
        heads = ("planner", "paper", "base", "new", "difference")
        yield _table(f"Papers that changed: {len(moved)} of {len(result.papers)}", heads, rows, len(moved))
    if len(result.failures):
        rows = [tuple(map(str, row.values())) for row in _first(result.failures)]
        yield _table("No longer read", tuple(result.failures.columns), rows, len(result.failures))
    yield from unshared(result)


def _first(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(name): value for name, value in row.items()} for row in frame.head(SHOWN).to_dict("records")]


def _entry(row: dict[str, object]) -> tuple[str, ...]:
    return str(row["change"]), str(row["planner"]), str(row["paper"]), gold_entry(row), plan_entries(row)


def _paper(row: dict[str, object]) -> tuple[str, ...]:
    cells = (number(row["base"]), number(row["new"]), number(row["difference"], signed=True))
    return str(row["planner"]), str(row["paper"]), *cells


def gold_entry(row: dict[str, object]) -> str:
    """A gold entry's texts in a line; of a baseline, its name."""
    parts = [row["gold_name"]]
    if row["gold_part"] and row["gold_part"] != row["gold_name"]:
        parts.append(row["gold_part"])
    action = ": ".join(str(row[name]) for name in ("gold_action", "gold_replacements") if row[name])
    return " · ".join(str(part) for part in (*parts, action) if part)


def plan_entries(row: dict[str, object]) -> str:
    """Which plan entry had the gold entry before and has it now; samples of one paper as shares."""
    before, after = (
        f"{row[f'{side}_entry'] or ('matched' if row[f'{side}_share'] else 'none')}" for side in ("base", "new")
    )
    shares = {float(str(row["base_share"])), float(str(row["new_share"]))}
    samples = "" if shares <= {0.0, 1.0} else f" ({row['base_share']:.2f} → {row['new_share']:.2f} of the samples)"
    part = " (part only)" if row["new_status"] == "part" else ""
    return f"{before} → {after}{part}{samples}"


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]], of: int) -> Table:
    """A table of texts with how many rows it leaves out."""
    more = f" (the first {len(rows)}; --json has all)" if of > len(rows) else ""
    table = Table(title=title + more, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def unshared(result: Comparison) -> Iterator[Text]:
    """Planners and papers that only one side has."""
    sides = (result.base, result.new)
    for side, planners, papers in zip(sides, result.only_planners, result.only_papers, strict=True):
        if planners:
            yield Text(f"planners only in {plain(side.name)}: {', '.join(map(plain, planners))}", style="yellow")
        if papers:
            listed = ", ".join(f"{plain(paper)} ({plain(planner)})" for planner, paper in papers[:SHOWN])
            more = f" and {len(papers) - SHOWN} more" if len(papers) > SHOWN else ""
            yield Text(f"papers only in {plain(side.name)}: {listed}{more}", style="yellow")


def gate(report: GateReport) -> Iterator[RenderableType]:
    """Yield each check with its verdict, what changed, and what it comes to."""
    yield from forced(report.comparison)
    table = Table(title=f"{plain(report.comparison.new.name)} against {plain(report.comparison.base.name)}",
                  title_justify="left")  # fmt: skip
    for head in ("verdict", "planner", "check", "found"):
        table.add_column(head, overflow="fold")
    for check in report.checks:
        message = "\n".join(plain(line) for line in (check.message, *check.details))
        verdict = Text(check.verdict, style=STYLES[check.verdict])
        table.add_row(verdict, Text(plain(check.planner)), Text(plain(check.name)), Text(message))
    yield table
    if report.comparison.corrected:
        yield Text(NO_TEST, style="dim")
    for warning in report.comparison.warnings:
        yield Text(f"warning: {plain(warning)}", style="yellow")
    yield from changed(report.comparison)
    yield Text(gate_sentence(report), style="bold red" if report.tripped else "bold")


def gate_sentence(report: GateReport) -> str:
    """What a gate's checks come to, in a sentence."""
    counts = {name: sum(check.verdict == name for check in report.checks) for name in ("regressed", "inconclusive")}
    summary = f"{len(report.checks)} checks, {counts['regressed']} regressed, {counts['inconclusive']} inconclusive"
    if report.tripped:
        return f"gate tripped: {summary}"
    doubt = "; inconclusive is no proof that nothing was lost" if counts["inconclusive"] else ""
    return f"gate passed: {summary}{doubt}"


def baseline(side: Snapshot) -> Iterator[RenderableType]:
    """A kept baseline: each planner's figures, and what pins them."""
    table = Table(title=f"Baseline {plain(side.name)}", title_justify="left")
    figures = {"match_f1": FIGURES["match_f1"].label} | BESIDE
    for head in ("planner", "papers", "gold matched", *figures.values()):
        table.add_column(head, justify="left" if head == "planner" else "right")
    for planner, row in scores(side).items():
        papers = int((side.papers["planner"] == planner).sum())
        own = side.matches[side.matches["planner"] == planner]
        matched = f"{own['share'].sum():g} of {len(own)}"
        table.add_row(Text(plain(planner)), str(papers), matched, *(number(row[name]) for name in figures))
    yield table
    yield Text(f"signature: {side.signature}", style="dim")


def baselines(sides: Mapping[str, Snapshot]) -> Table | Text:
    """One row a baseline: where it lies, and its best planner."""
    if not sides:
        return Text("no baselines; `evalkit baseline set RUN` makes one")
    table = Table("file", "planners", "best planner", "match F1", "gold", "plans")
    for path, side in sides.items():
        rows = scores(side)
        best = max(rows, key=lambda planner: (rows[planner]["match_f1"] or 0.0, planner))
        cells = (path, str(len(rows)), best, number(rows[best]["match_f1"]), side.signature.gold, side.signature.plans)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table
