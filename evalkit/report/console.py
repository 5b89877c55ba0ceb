"""Console text of runs and documents: leaderboard, gold beside plan, diagnostics. Texts of plans are made harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.report import json_output
from evalkit.report.values import brackets, number, text
from evalkit.scoring.load import LoadedPlans
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal
from evalkit.types import Diagnostic, Severity

COLUMNS = {name: FIGURES[name].title for name in shown_in("console")}
SHOWN_DIAGNOSTICS = 8


def leaderboard(run: Run) -> Table:
    """Return the planners, best first; the best of each column carries a star."""
    frame = run.leaderboard
    ranked = "rank" in frame
    heads = ("papers", *(("rank", "p best") if ranked else ()), *COLUMNS.values())
    table = planner_table("Leaderboard (macro means over papers; * best; p against the best, Holm)", heads)
    best = {name: frame[name].max() for name in COLUMNS}
    for _, row in frame.iterrows():
        cells = [_starred(row, name, best[name]) for name in COLUMNS]
        rank = (_rank(row), number(row["p_best_holm"])) if ranked else ()
        table.add_row(Text(safe_terminal(row["planner"])), str(row["papers"]), *rank, *cells)
    return table


def planner_table(title: str, heads: Iterable[str], *, folded: Collection[str] = ()) -> Table:
    """Return a table whose rows are planners; its other columns stand at the right, in one line unless folded."""
    table = Table(title=title, title_justify="left")
    table.add_column("planner", overflow="fold", min_width=12)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=head not in folded)
    return table


def _rank(row: pd.Series) -> str:
    if pd.isna(row["rank"]):
        return "–"
    low, high = row["rank_low"], row["rank_high"]
    return f"{row['rank']}" if low == high else f"{row['rank']} ({low}–{high})"


def _starred(row: pd.Series, name: str, best: float) -> Text:
    """Return a cell with a star on its column's best value; only the headline has room for its interval."""
    cell = number(row[name], FIGURES[name].digits)
    if name == "match_f1":
        cell += brackets(row.get("match_f1_low"), row.get("match_f1_high"))
    return Text(f"{cell}*", style="bold") if row[name] == best else Text(f"{cell} ")


def summary(run: Run) -> Iterator[RenderableType]:
    """Yield the leaderboard, what could not be read or paired, doubt, and the signature."""
    yield leaderboard(run)
    yield from notes(run)
    yield Text(f"signature: {run.signature}", style="dim")


def notes(run: Run) -> Iterator[Text]:
    """Yield one line for each thing a reader of the leaderboard must know."""
    totals = run.meta["totals"]
    for warning in run.meta["warnings"]:
        yield Text(f"warning: {safe_terminal(warning)}", style="yellow")
    for row in json_output.records(run.leaderboard):
        if (row.get("samples") or 1) > 1:
            best, spread = number(row["match_f1_best"]), number(row["match_f1_spread"])
            name = safe_terminal(row["planner"])
            yield Text(f"{name}: up to {row['samples']} samples a paper; best of them {best}, spread {spread}")
    if totals["borderline_pairs"]:
        ends = run.leaderboard[["planner", "match_f1_if_none", "match_f1_if_all"]].itertuples(index=False)
        spans = (f"{safe_terminal(name)} {number(low)} to {number(high)}" for name, low, high in ends)
        count = f"{totals['borderline_pairs']} of {totals['pairs']} pairs are borderline"
        yield Text(f"{count}; match F1 if none or all of them matched: {', '.join(spans)}")
    yield from diagnostics([Diagnostic(**row) for row in json_output.records(run.diagnostics)])


def diagnostics(items: Sequence[Diagnostic]) -> Iterator[Text]:
    """Yield what was left out, in full for the first few, and counts of the rest."""
    errors = [item for item in items if item.severity == "error"]
    for item in errors[:SHOWN_DIAGNOSTICS]:
        yield Text(diagnostic(item), style="red")
    if len(errors) > SHOWN_DIAGNOSTICS:
        yield Text(f"… and {len(errors) - SHOWN_DIAGNOSTICS} more errors", style="red")
    counts = Counter(f"{item.code} ({item.severity})" for item in items if item.severity != "error")
    if counts:
        yield Text("also: " + ", ".join(f"{count} x {code}" for code, count in counts.most_common()))


def diagnostic(item: Diagnostic) -> str:
    """Return `path:line: severity [code] message`, as editors and CI like it."""
    line = "" if item.line is None else f":{item.line}"
    place = f"{item.path}{line}: " if isinstance(item.path, str) and item.path else ""
    return safe_terminal(f"{place}{item.severity} [{item.code}] {item.message}")


def readings(results: Sequence[LoadedPlans]) -> Iterator[Text]:
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
    tail = ", ".join(f"{counts[name]} {name}s" for name in rank)
    yield Text(f"{len(plans)} plans, {entries} entries; {tail}")


def next_steps(folder: str) -> Text:
    """Say where the demo's files are, and which commands to try on them."""
    place = safe_terminal(folder)
    commands = (
        ("see why entries matched or not", f"evalkit show {place}/run --paper swin-transformer"),
        ("see what was repaired or left out", f"evalkit validate {place}/plans"),
        ("score again after a change", f"evalkit score --pred {place}/plans --gold {place}/gold --out {place}/run2"),
    )
    steps = "\n".join(f"  {command}\n      {purpose}" for purpose, command in commands)
    return Text(f"written: plans and gold in {place}, tables in {place}/run\ntry next:\n{steps}")


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a plain table of texts."""
    table = Table(*heads)
    for row in rows:
        table.add_row(*(Text(safe_terminal(cell)) for cell in row))
    return table


def paper(run: Run, paper: str, planner: str) -> Group:
    """Return gold and one plan side by side: what matched and why, what was missed, what was spurious."""
    rows = run.pairs[(run.pairs["paper"] == paper) & (run.pairs["planner"] == planner)]
    table = Table("", show_lines=True, expand=True)
    for head in ("gold", "plan", "why"):
        table.add_column(head, ratio=2, overflow="fold")
    for _, row in rows[rows["status"] != "candidate"].iterrows():
        table.add_row(row["status"], _side(row, "gold"), _side(row, "plan"), _evidence(row, rows))
    scores = run.papers[(run.papers["paper"] == paper) & (run.papers["planner"] == planner)].iloc[0]
    figures = ", ".join(f"{title} {number(scores[name])}" for name, title in COLUMNS.items() if name in scores)
    headline = f"{safe_terminal(paper)} · {safe_terminal(planner)} · {scores['status']} · {figures}"
    return Group(Text(headline, style="bold"), table)


def _side(row: pd.Series, side: str) -> Text:
    if pd.isna(row[f"{side}_entry"]):
        return Text("")
    lines = [f"{int(row[f'{side}_entry'])}. {_text(row[f'{side}_name'])}", _text(row[f"{side}_part"])]
    action, options = _text(row[f"{side}_action"]), _text(row[f"{side}_replacements"])
    lines.append(f"{action or 'action unspecified'}{': ' + options if options else ''}")
    if metrics := _text(row[f"{side}_metrics"]):
        lines.append(f"metrics: {metrics}")
    return Text("\n".join(lines))


def _evidence(row: pd.Series, rows: pd.DataFrame) -> Text:
    """Probabilities and reasons of a pair; for an entry that stayed alone, its nearest partner."""
    if row["status"] in ("match", "part"):
        return Text("\n".join(_reasons(row)))
    side = "gold" if row["status"] == "missed" else "plan"
    near = rows[rows["status"].isin(("candidate", "match", "part")) & (rows[f"{side}_entry"] == row[f"{side}_entry"])]
    if near.empty:
        return Text("nothing to compare it with")
    closest = near.sort_values("match_probability", ascending=False).iloc[0]
    other = "plan" if side == "gold" else "gold"
    head = f"nearest: {other} {int(closest[f'{other}_entry'])}. {_text(closest[f'{other}_name'])}"
    return Text("\n".join([head, *_reasons(closest)]))


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


def show(parts: Iterable[RenderableType]) -> None:
    """Print to standard output; colours and NO_COLOR are rich's business, and pipes get plain text."""
    console = Console() if Console().is_terminal else Console(width=200)
    for part in parts:
        console.print(part, highlight=False)
