"""Console text of runs and documents: leaderboard, gold beside plan, diagnostics. Texts of plans are made harmless."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import nan
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.report import json_output
from evalkit.report.planner_table import PlannerTable, common_prefix
from evalkit.report.values import CORRECTIONS, brackets, is_best, missing, number, papers_shown, short_p, text
from evalkit.scoring.load import LoadedPlans
from evalkit.stats import FEWEST_PAPERS
from evalkit.storage.runs import Run
from evalkit.text import amount, safe_terminal
from evalkit.types import Diagnostic, Severity

if TYPE_CHECKING:
    import pandas as pd  # not loaded to print a run

COLUMNS = {name: FIGURES[name].title for name in shown_in("console")}
SHOWN_DIAGNOSTICS = 8
SHOWN_RANGES = 4
TOP = 15  # planners that the leaderboard shows
PIPE = 200  # columns where the output is no terminal and nothing says how wide it is
DOUBT = ("match_f1_if_none", "match_f1_if_all")
SHOWN_CODES = ("run-folder", "unread-files", "other-language", "link-outside", "link-folder")  # printed as errors are


def leaderboard(run: Run, *, wide: bool = False) -> Iterator[RenderableType]:
    """Yield the planners, best first, and how many a long table leaves out; the best of each column carries a star."""
    rows = json_output.records(run.columns("leaderboard"))
    ranked = ("rank", "p best") if "rank" in rows[0] else ()
    columns = {name: title for name, title in COLUMNS.items() if name in rows[0]}
    headline, *others = columns.values()
    heads = (headline, *ranked, *others, "papers")
    first = (
        headline,
        "rank",
        "P",
        "R",
        "weighted F1",
        "coverage",
        "part F1",
        "p best",
        "action",
        "metrics F1",
        "options F1",
    )
    by = f" by {CORRECTIONS['bh']}" if run.meta.get("settings", {}).get("correction") == "bh" else ""
    title = f"Leaderboard (macro means over papers; * best; p against the best, corrected{by})"
    table = PlannerTable(title, heads, first=first, hint="--wide shows all")
    best = {name: max((row[name] for row in rows if row[name] is not None), default=None) for name in columns}
    shown = rows if wide else rows[:TOP]
    for row in shown:
        cells = [_starred(row, name, best[name]) for name in columns]
        rank = (_rank(row), short_p(row["p_best"])) if ranked else ()
        table.add_row(safe_terminal(row["planner"]), cells[0], *rank, *cells[1:], str(row["papers"]))
    yield table
    if rest := len(rows) - len(shown):
        low = number(min((row["match_f1"] for row in rows if row["match_f1"] is not None), default=None))
        yield Text(f"… and {rest} more planners, down to match F1 {low}; --wide shows all", style="dim")


def _rank(row: Mapping[str, Any]) -> str:
    if row["rank"] is None:
        return "–"
    low, high = row["rank_low"], row["rank_high"]
    return f"{row['rank']}" if low == high else f"{row['rank']} ({low}–{high})"


def _starred(row: Mapping[str, Any], name: str, best: float | None) -> Text:
    """Return a cell with a star on its column's best value; only the headline has room for its interval."""
    cell = number(row[name], FIGURES[name].digits)
    if name == "match_f1":
        cell += brackets(row.get("match_f1_low"), row.get("match_f1_high"))
    return Text(f"{cell}*", style="bold") if is_best(row[name], best) else Text(f"{cell} ")


def summary(run: Run, *, wide: bool = False, verbose: bool = False, by: str | None = None) -> Iterator[RenderableType]:
    """Yield the leaderboard, slices by a field, what could not be read or paired, doubt, and what pins the numbers."""
    yield from leaderboard(run, wide=wide)
    if by:
        yield slices(run, by)
    yield from notes(run)
    whole = f"signature: {run.signature}"
    yield Text(whole if verbose else f"signature: {run.signature.digest} (whole in run.json)", style="dim")


def slices(run: Run, field: str) -> RenderableType:
    """Return one row a slice and planner: the figures that slices by this field have."""
    frame, shown = run.by(field), safe_terminal(field)
    names = [name for name in COLUMNS if name in frame and frame[name].notna().any()]
    heads = ("papers", *(COLUMNS[name] for name in names))
    title = f"By {shown} (macro means over papers; few: below {FEWEST_PAPERS} papers, no interval)"
    prefix = common_prefix(run.leaderboard["planner"].tolist())
    title += f"\nplanners below {safe_terminal(prefix)}" if prefix else ""
    table = PlannerTable(title, heads, first=heads, hint="--wide shows all", name=f"{shown} · planner")
    for row in frame.to_dict("records"):
        cells = [number(row[name], FIGURES[name].digits) for name in names]
        cells[0] += brackets(row.get(f"{names[0]}_low"), row.get(f"{names[0]}_high")) or " [–]" * bool(row["small"])
        label = f"{safe_terminal(row['slice']) or '–'} · {safe_terminal(row['planner'].removeprefix(prefix))}"
        table.add_row(label, papers_shown(row), *cells)
    return table


def notes(run: Run) -> Iterator[Text]:
    """Yield one line for each thing a reader of the leaderboard must know."""
    totals = run.meta["totals"]
    for warning in run.meta["warnings"]:
        yield Text(f"warning: {safe_terminal(warning)}", style="yellow")
    rows = json_output.records(run.columns("leaderboard"))
    for row in rows[:TOP]:
        if (row.get("samples") or 1) > 1:
            best, spread = number(row["match_f1_best"]), number(row["match_f1_spread"])
            name = safe_terminal(row["planner"])
            yield Text(f"{name}: up to {row['samples']} samples a paper; best of them {best}, spread {spread}")
    if off := run.meta.get("matcher_error"):
        papers = amount(off["papers"], "paper")
        error = f"± {number(off['match_f1'])} in match F1 over {papers}, which no interval above includes"
        yield Text(f"matcher {error} (expected error on {safe_terminal(off['measured_on'])})")
    if totals["borderline_pairs"]:
        count = f"{totals['borderline_pairs']} of {totals['pairs']} pairs are borderline"
        yield Text(f"{count}; {_borderline(rows)}")
    yield from diagnostics([Diagnostic(**row) for row in json_output.records(run.columns("diagnostics"))])


def _borderline(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what hangs on borderline pairs: the order of neighbours whose ranges of match F1 overlap, or nothing."""
    prefix = common_prefix([row["planner"] for row in rows])
    names = [safe_terminal(row["planner"].removeprefix(prefix)) for row in rows]
    lows, highs = ([nan if row[name] is None else float(row[name]) for row in rows] for name in DOUBT)
    spans = list(zip(names, lows, highs, strict=True))
    close = {index for index in range(1, len(spans)) if spans[index][2] >= spans[index - 1][1]}
    shown = [span for i, span in enumerate(spans) if (len(spans) == 1 or {i, i + 1} & close) and span[1] < span[2]]
    if not shown:
        return "whether they match or not, the order of planners stays"
    ranges = ", ".join(f"{name} {number(low)} to {number(high)}" for name, low, high in shown[:SHOWN_RANGES])
    more = f", and {len(shown) - SHOWN_RANGES} more" if len(shown) > SHOWN_RANGES else ""
    return f"match F1 if none or all of them matched: {ranges}{more}"


def diagnostics(items: Sequence[Diagnostic]) -> Iterator[Text]:
    """Yield what was left out, in full for the first few, and counts of the rest."""
    for item in items:
        if item.code in SHOWN_CODES:
            yield Text(diagnostic(item), style="yellow")
    errors = [item for item in items if item.severity == "error"]
    for item in errors[:SHOWN_DIAGNOSTICS]:
        yield Text(diagnostic(item), style="red")
    if len(errors) > SHOWN_DIAGNOSTICS:
        yield Text(f"… and {len(errors) - SHOWN_DIAGNOSTICS} more errors", style="red")
    counts = Counter(
        f"{item.code} ({item.severity})" for item in items if item.severity != "error" and item.code not in SHOWN_CODES
    )
    if counts:
        listed = ", ".join(f"{count} x {code}" for code, count in counts.most_common())
        yield Text(f"also: {listed}; diagnostics.csv has each")


def diagnostic(item: Diagnostic) -> str:
    """Return `path:line: severity [code] message`, as editors and CI like it."""
    line = "" if item.line is None else f":{item.line}"
    place = f"{item.path}{line}: " if isinstance(item.path, str) and item.path else ""
    return safe_terminal(f"{place}{item.severity} [{item.code}] {item.message}")


def readings(results: Sequence[LoadedPlans], *, gold: bool = False) -> Iterator[Text]:
    """Yield every diagnostic of documents that were read, grouped by code, then one line of counts."""
    items = [item for reading in results for item in reading.diagnostics]
    rank: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}
    grouped = sorted(items, key=lambda item: (rank[item.severity], item.code))
    for (severity, code), group in groupby(grouped, key=lambda item: (item.severity, item.code)):
        members = list(group)
        yield Text(f"{severity} {code}: {len(members)}", style="bold red" if severity == "error" else "bold")
        for item in members:
            yield Text(f"  {diagnostic(item)}")
    plans = [plan for reading in results for plan in reading.plans]
    entries = sum(len(plan.ablations) for plan in plans)
    counts = Counter(item.severity for item in items)
    tail = ", ".join(amount(counts[name], name) for name in rank)
    papers = amount(len(plans), "gold list" if gold else "plan")
    yield Text(f"{papers}, {amount(entries, 'entry', 'entries')}; {tail}")


def next_steps(folder: str) -> Text:
    """Say where the demo's files are, and which commands to try on them."""
    place = safe_terminal(folder)
    plans, gold, run, again = (safe_terminal(quote(f"{folder}/{name}")) for name in ("plans", "gold", "run", "run2"))
    steps = (
        ("see why entries matched or not", f"evalkit show {run} --paper swin-transformer"),
        ("see what was repaired or left out", f"evalkit validate {plans}"),
        ("score again after a change", f"evalkit score --pred {plans} --gold {gold} --out {again}"),
    )
    lines = [f"  {command}\n      {purpose}" for purpose, command in steps]
    return whole("\n".join([f"written: plans and gold in {place}, tables in {place}/run", "try next:", *lines]))


def after_score(folder: str) -> Text:
    """Say where a run is, and which commands look into it."""
    run = safe_terminal(quote(folder))
    look, report = f"evalkit show {run}", f"evalkit report {run} --out report.html"
    return whole(f"written to {safe_terminal(folder)}\ntry next:\n  {look}\n  {report}")


def missing_parts(commands: Iterable[str]) -> Iterator[Text]:
    """Yield the commands that bring what is missing, each once."""
    if lines := list(dict.fromkeys(commands)):
        yield whole("\n  ".join(["to get what is missing:", *lines]))


def whole(lines: str) -> Text:
    """Return lines that no width breaks: a command or a path that is broken cannot be copied."""
    return Text(lines, no_wrap=True)


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a plain table of texts."""
    table = Table()
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe_terminal(cell)) for cell in row))
    return table


def paper(run: Run, paper: str, planner: str) -> Group:
    """Return gold and one plan side by side: what matched and why, what was missed, what was spurious."""
    rows = run.pairs[(run.pairs["paper"] == paper) & (run.pairs["planner"] == planner)]
    table = Table("", show_lines=True, expand=True)
    for head in ("gold", "plan", f"why{_limits(run)}"):
        table.add_column(head, ratio=2, overflow="fold")
    alone = run.meta["settings"].get("alignment") == "one-to-one"
    for _, row in rows[rows["status"] != "candidate"].iterrows():
        table.add_row(row["status"], _side(row, "gold"), _side(row, "plan"), _evidence(row, rows, alone=alone))
    scores = run.papers[(run.papers["paper"] == paper) & (run.papers["planner"] == planner)].iloc[0]
    figures = ", ".join(f"{title} {number(scores[name])}" for name, title in COLUMNS.items() if name in scores)
    headline = f"{safe_terminal(paper)} · {safe_terminal(planner)} · {scores['status']} · {figures}"
    return Group(Text(headline, style="bold"), table)


def _limits(run: Run) -> str:
    """Say from which probability on a pair matches; recorded judges vote, and have none."""
    limit = run.signature.thresholds.split("/")[-1]
    return "" if limit == "majority" else f" (a match: {limit} or more)"


def _side(row: pd.Series, side: str) -> Text:
    if missing(row[f"{side}_entry"]):
        return Text("")
    lines = [f"{int(row[f'{side}_entry'])}. {_text(row[f'{side}_name'])}", _text(row[f"{side}_part"])]
    action, options = _text(row[f"{side}_action"]), _text(row[f"{side}_replacements"])
    lines.append(f"{action or 'action unspecified'}{': ' + options if options else ''}")
    if metrics := _text(row[f"{side}_metrics"]):
        lines.append(f"metrics: {metrics}")
    return Text("\n".join(lines))


def _evidence(row: pd.Series, rows: pd.DataFrame, *, alone: bool) -> Text:
    """Probabilities and reasons of a pair; for an entry that stayed alone, its nearest partner, and which entry that
    one belongs to where an entry has one partner at most."""
    if row["status"] in ("match", "part"):
        return Text("\n".join(_reasons(row)))
    side = "gold" if row["status"] == "missed" else "plan"
    near = rows[rows["status"].isin(("candidate", "match", "part")) & (rows[f"{side}_entry"] == row[f"{side}_entry"])]
    if near.empty:
        return Text("nothing to compare it with")
    closest = near.sort_values(["match_probability", "part_probability"], ascending=False).iloc[0]
    other = "plan" if side == "gold" else "gold"
    number_of = int(closest[f"{other}_entry"])
    lines = [f"nearest: {other} {number_of}. {_text(closest[f'{other}_name'])}", *_reasons(closest)]
    taken = rows[rows["status"].isin(("match", "part")) & (rows[f"{other}_entry"] == number_of)]
    if alone and len(taken):
        partner = taken.iloc[0]
        lines.append(f"{other} {number_of} is paired with {side} {int(partner[f'{side}_entry'])}")
    return Text("\n".join(lines))


def _reasons(row: pd.Series) -> Sequence[str]:
    """Say how probable a pair is, what spoke for and against it, and who decided if not the matcher."""
    doubt = ", borderline" if row["borderline"] is True or row["borderline"] == "True" else ""
    lines = [f"match {number(row['match_probability'], 2)}, part {number(row['part_probability'], 2)}{doubt}"]
    lines += [f"{sign} {_text(row[name])}" for sign, name in (("+", "speaks_for"), ("-", "speaks_against"))
              if _text(row[name])]  # fmt: skip
    if row["decided_by"] != "matcher":
        lines.append(f"decided by {_text(row['decided_by'])}")
    return lines


def _text(value: object) -> str:
    return safe_terminal(text(value))


def _plain(width: int | None = None) -> Console:
    """Return a console to which square brackets and colons in names and paths are text."""
    return Console(width=width, markup=False, emoji=False)


def _print(console: Console, part: RenderableType) -> None:
    """Print a part; of text alone nothing steers the terminal, wherever it came from."""
    unbroken = isinstance(part, Text) and part.no_wrap is True
    if isinstance(part, str | Text):
        part = Text(safe_terminal(str(part)), style=part.style if isinstance(part, Text) else "")
    console.print(part, highlight=False, soft_wrap=unbroken)


def show(parts: Iterable[RenderableType], *, wide: bool = False) -> None:
    """Print to standard output; colours and NO_COLOR are rich's business, and pipes get plain text.

    A pipe is as wide as COLUMNS says; `wide` makes room for every column, and the terminal folds the lines.
    """
    console = _plain()
    if wide or not (console.is_terminal or os.environ.get("COLUMNS", "").isdigit()):
        console = _plain(width=1000 if wide else PIPE)
    for part in parts:
        _print(console, part)


def page(parts: Iterable[RenderableType]) -> None:
    """Print through the terminal's pager where there is more than a screen of it, and else as `show` does."""
    console, parts = _plain(), list(parts)
    if not console.is_terminal:
        show(parts)
        return
    with console.capture() as capture:
        for part in parts:
            _print(console, part)
    text = capture.get()
    if text.count("\n") > console.height:
        click.echo_via_pager(text.removesuffix("\n"))  # `less` shows colours, other pagers get plain text
    else:
        click.echo(text, nl=False)
