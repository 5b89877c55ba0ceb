"""Console text of comparisons, gates and baselines, and the cells that Markdown and pages share with it.

Everything from plans and gold is disarmed and stands inside the borders of a table, so that no text begins a line: CI
systems take lines that begin with certain signs for commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.comparison import Comparison, FigureChange, GateReport, Outlook, Snapshot, scores
from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.report.escaping import plain
from evalkit.report.planner_table import PlannerTable, common_prefix
from evalkit.report.values import CORRECTIONS, brackets, number, p_value
from evalkit.stats import FEWEST_PAPERS

BESIDE = {name: FIGURES[name].label for name in shown_in("beside")}
SHOWN = 15  # rows of a table of changes; the rest is counted, and whole in --json
ALL = "--json has all"
STYLES = {"better": "green", "worse": "red", "regressed": "red", "inconclusive": "yellow", "pass": "green"}
NO_TEST = "corrected by labels: the 95% interval decides, planner by planner; swapping papers is no test for such sums"


def interval(change: FigureChange) -> str:
    """Return a difference with its interval."""
    return number(change.difference, signed=True) + brackets(change.low, change.high, 3, signed=True)


def change_cells(change: FigureChange) -> tuple[str, ...]:
    """Return papers, base, new, and the difference with its interval."""
    return str(change.papers), number(change.base), number(change.new), interval(change)


def paper_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return planner, paper, base, new and the difference of a paper that moved."""
    cells = (number(row["base"]), number(row["new"]), number(row["difference"], signed=True))
    return str(row["planner"]), str(row["paper"]), *cells


def entry_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return planner, paper, the gold entry that was lost or gained, and the plan entries that had or have it."""
    return str(row["planner"]), str(row["paper"]), gold_entry(row), plan_entries(row)


def gold_entry(row: Mapping[Any, Any]) -> str:
    """Return a gold entry's texts in a line; of a baseline, its name."""
    parts = [row["gold_name"]]
    if row["gold_part"] and row["gold_part"] != row["gold_name"]:
        parts.append(row["gold_part"])
    action = ": ".join(str(row[name]) for name in ("gold_action", "gold_replacements") if row[name])
    return " · ".join(str(part) for part in (*parts, action) if part)


def plan_entries(row: Mapping[Any, Any]) -> str:
    """Return which plan entry had the gold entry before and has it now; samples of one paper as shares."""
    before, after = (
        f"{row[f'{side}_entry'] or ('matched' if row[f'{side}_share'] else 'none')}" for side in ("base", "new")
    )
    shares = {float(str(row["base_share"])), float(str(row["new_share"]))}
    samples = "" if shares <= {0.0, 1.0} else f" ({row['base_share']:.2f} → {row['new_share']:.2f} of the samples)"
    part = " (part only)" if row["new_status"] == "part" else ""
    return f"{before} → {after}{part}{samples}"


def planner_name(change: FigureChange) -> str:
    """Return a planner's name, and the one it had before."""
    return change.planner if change.planner == change.was else f"{change.was} → {change.planner}"


def comparison(result: Comparison) -> Iterator[RenderableType]:
    """Yield how much changed, how sure that is, and where."""
    yield from _forced(result)
    yield _headline(result)
    if result.corrected:
        heads = ("figure", "labelled", "base", "new", "difference [95%]", "verdict", "could see")
        table = PlannerTable("Corrected by labels", heads, folded=heads)
        for change in result.corrected:
            cells = map(Text, (change.figure, *change_cells(change)))
            table.add_row(plain(change.planner), *cells, _verdict(change), number(change.detectable))
        yield table
        yield Text(NO_TEST, style="dim")
    yield from _warnings(result)
    yield _planner_table(result)
    yield from _slices(result)
    yield from _moved(result)
    digests = (side.signature.digest for side in (result.base, result.new))
    yield Text("signatures: base {}, new {} (whole with --json)".format(*digests), style="dim")


def _forced(result: Comparison) -> Iterator[Text]:
    """Say what differs besides the plans, when the user said to go on."""
    for name, (base, new) in result.forced.items():
        yield Text(f"forced: {name} is {plain(base)} in base and {plain(new)} in new; not like with like", style="red")


def _warnings(result: Comparison) -> Iterator[Text]:
    for warning in result.warnings:
        yield Text(f"warning: {plain(warning)}", style="yellow")


def _headline(result: Comparison) -> PlannerTable:
    """Return one row a planner: the metric that decides."""
    by = CORRECTIONS[result.correction]
    heads = ("papers", "base", "new", "difference [95%]", "p", by, "verdict", "could see")
    title = f"{plain(result.new.name)} against {plain(result.base.name)}: {result.metric}"
    first = ("verdict", "difference [95%]", "new", "base", by, "p", "papers", "could see")
    table = PlannerTable(title, (*heads, f"to see {result.target:g}"), folded=("verdict",), first=first, hint=ALL)
    for change in result.headline:
        cells = map(Text, (*change_cells(change), p_value(change.p), p_value(change.p_adjusted)))
        needed = "–" if change.papers_needed is None else f"{change.papers_needed} papers"
        table.add_row(plain(planner_name(change)), *cells, _verdict(change), number(change.detectable), needed)
    return table


def _verdict(change: FigureChange) -> Text:
    return Text(change.verdict, style=STYLES.get(change.verdict, ""))


def _planner_table(result: Comparison) -> PlannerTable:
    """Return one row a planner: other figures, as they are now and how they moved."""
    figures = {name: head for name, head in BESIDE.items() if any(change.figure == name for change in result.changes)}
    table = PlannerTable("Other figures, exploratory: new (difference)", figures.values(), folded=figures.values())
    for change in result.headline:
        others = [(result.change(change.planner, name), FIGURES[name].digits) for name in figures]
        cells = [
            Text(f"{number(other.new, digits)} ({number(other.difference, digits, signed=True)})")
            for other, digits in others
        ]
        table.add_row(plain(change.planner), *cells)
    return table


def slice_rows(result: Comparison, field: str) -> Iterator[tuple[str, FigureChange]]:
    """Yield each slice of a field with the change of each planner: in the metric, or in recall alone."""
    for value, changes in result.slices[field].items():
        figures = {change.figure for change in changes}
        shown = result.metric if result.metric in figures else "match_recall"
        yield from ((value or "–", change) for change in changes if change.figure == shown)


def slice_cells(change: FigureChange) -> tuple[str, ...]:
    """Return papers, base, new and the difference of a slice; a dash for the interval of a small one."""
    papers, *values, difference = change_cells(change)
    small = change.papers < FEWEST_PAPERS
    dash = " [–]" if small and change.difference is not None else ""
    return f"{papers}, few" if small else papers, *values, difference + dash


def _slices(result: Comparison) -> Iterator[RenderableType]:
    """Yield a table for each field by which figures were compared."""
    for field in result.slices:
        rows = list(slice_rows(result, field))
        figure = rows[0][1].figure if rows else result.metric
        heads = ("papers", "base", "new", "difference [95%]")
        title = f"By {plain(field)}: {figure}, exploratory (few: below {FEWEST_PAPERS} papers, no interval)"
        prefix = common_prefix([change.planner for change in result.headline])
        title += f"\nplanners below {plain(prefix)}" if prefix else ""
        first = ("difference [95%]", "papers", "new", "base")
        table = PlannerTable(title, heads, first=first, hint=ALL, name=f"{plain(field)} · planner")
        for value, change in rows:
            name = plain(planner_name(change).removeprefix(prefix))
            table.add_row(f"{plain(value)} · {name}", *map(Text, slice_cells(change)))
        yield table


def _moved(result: Comparison) -> Iterator[RenderableType]:
    """Gold entries, papers and failures that changed, the largest first, and what only one side has."""
    entries, papers, failures = result.entries, result.moved_papers, result.failures
    if len(entries):
        counts = entries["change"].value_counts()
        title = f"Gold entries: {counts.get('lost', 0)} lost, {counts.get('gained', 0)} gained"
        rows = [(str(row["change"]), *entry_cells(row)) for row in entries.head(SHOWN).to_dict("records")]
        yield _table(title, ("", "planner", "paper", "gold entry", "plan entry, base → new"), rows, len(entries))
    if len(papers):
        rows = [paper_cells(row) for row in papers.head(SHOWN).to_dict("records")]
        heads = ("planner", "paper", "base", "new", "difference")
        yield _table(f"Papers that changed: {len(papers)} of {len(result.papers)}", heads, rows, len(papers))
    if len(failures):
        rows = [tuple(map(str, row.values())) for row in failures.head(SHOWN).to_dict("records")]
        yield _table("No longer read", tuple(failures.columns), rows, len(failures))
    sides = (result.base, result.new)
    for side, planners, only in zip(sides, result.only_planners, result.only_papers, strict=True):
        if planners:
            yield Text(f"planners only in {plain(side.name)}: {', '.join(map(plain, planners))}", style="yellow")
        if only:
            listed = ", ".join(f"{plain(paper)} ({plain(planner)})" for planner, paper in only[:SHOWN])
            more = f" and {len(only) - SHOWN} more" if len(only) > SHOWN else ""
            yield Text(f"papers only in {plain(side.name)}: {listed}{more}", style="yellow")


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], of: int) -> Table:
    """Return a table of texts, with how many rows it leaves out."""
    more = f" (the first {len(rows)}; --json has all)" if of > len(rows) else ""
    table = Table(title=title + more, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def gate(report: GateReport) -> Iterator[RenderableType]:
    """Yield each check with its verdict, what changed, and what it comes to."""
    result = report.comparison
    yield from _forced(result)
    yield from (Text(outlook_sentence(item)) for item in report.outlook)
    table = Table(title=f"{plain(result.new.name)} against {plain(result.base.name)}", title_justify="left")
    for head in ("verdict", "planner", "check", "found"):
        table.add_column(head, overflow="fold")
    for check in report.checks:
        texts = (plain(check.planner), plain(check.name), "\n".join(map(plain, (check.message, *check.details))))
        table.add_row(Text(check.verdict, style=STYLES[check.verdict]), *map(Text, texts))
    yield table
    if result.corrected:
        yield Text(NO_TEST, style="dim")
    yield from _warnings(result)
    yield from _moved(result)
    yield Text(gate_sentence(report), style="bold red" if report.tripped else "bold")


def outlook_sentence(item: Outlook) -> str:
    """Say how often a rule would trip on these papers, without a change and with one."""
    catches = ", ".join(f"of {drop:g} in {rate:.0%}" for drop, rate in item.catches)
    return (
        f"{plain(item.rule)}: on these papers it trips in {item.alarms:.1%} of runs in which nothing changed, "
        f"and catches a drop {catches}"
    )


def gate_sentence(report: GateReport) -> str:
    """Say in a sentence what a gate's checks come to."""
    counts = {name: sum(check.verdict == name for check in report.checks) for name in ("regressed", "inconclusive")}
    summary = f"{len(report.checks)} checks, {counts['regressed']} regressed, {counts['inconclusive']} inconclusive"
    if report.tripped:
        return f"gate tripped: {summary}"
    doubt = "; inconclusive is no proof that nothing was lost" if counts["inconclusive"] else ""
    return f"gate passed: {summary}{doubt}"


def baseline(side: Snapshot) -> Iterator[RenderableType]:
    """Show a baseline: each planner's figures, and what pins them."""
    figures = {"match_f1": FIGURES["match_f1"].label} | BESIDE
    headline, *others = figures.values()
    heads = ("papers", "gold matched", headline, *others)
    table = PlannerTable(f"Baseline {plain(side.name)}", heads, first=(headline, "gold matched"))
    for planner, row in scores(side).items():
        papers = int((side.papers["planner"] == planner).sum())
        own = side.matches[side.matches["planner"] == planner]
        matched = f"{own['share'].sum():g} of {len(own)}"
        table.add_row(plain(planner), str(papers), matched, *(number(row[name]) for name in figures))
    yield table
    yield Text(f"signature: {side.signature}", style="dim")


def baselines(sides: Mapping[str, Snapshot]) -> PlannerTable | Text:
    """Show one row a baseline: where it lies, and its best planner."""
    if not sides:
        return Text("no baselines; `evalkit baseline set RUN` makes one")
    heads = ("planners", "best planner", "match F1", "gold", "plans")
    table = PlannerTable("Baselines", heads, folded=("best planner",), first=("match F1", "best planner"), name="file")
    for path, side in sides.items():
        rows = scores(side)
        best = max(rows, key=lambda planner: (rows[planner]["match_f1"] or 0.0, planner))
        cells = (str(len(rows)), best, number(rows[best]["match_f1"]), side.signature.gold, side.signature.plans)
        table.add_row(plain(path), *map(plain, cells))
    return table
