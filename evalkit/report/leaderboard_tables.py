"""The leaderboard as people paste it: Markdown, LaTeX, CSV, HTML or JSON, with the best of each column marked.

A cell that is best of its column in its run is bold; one whose difference from the best is not significant (paired
permutation over papers, corrected for all pairs, 5%) carries a dagger.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.comparison.differences import figure_named, per_paper
from evalkit.errors import InputError
from evalkit.metrics.figures import TITLES, WEIGHTED, shown_in
from evalkit.report import escaping, json_output
from evalkit.report.values import CORRECTIONS, brackets, defined, is_best, number, papers_shown
from evalkit.storage.runs import Run
from evalkit.storage.tables import to_csv

COLUMNS = shown_in("table")
SIGNIFICANT = 0.05
SIDE_BY_SIDE = 3  # more runs stand one below the other
LONG = ("run", "planner")  # what rows begin with then
COUNTS = ("rank", "rank_low", "rank_high", "papers")


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure with its interval; `mark` is "best", "tied" (not significantly worse), "untested" or nothing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    mark: str = ""
    digits: int = 3
    missing: bool = False  # whether a dash stands where its interval would

    @property
    def figure(self) -> str:
        """The figure alone; a dash where it is undefined."""
        return number(self.value, self.digits)

    @property
    def interval(self) -> str:
        """The interval in brackets, or nothing; a dash in brackets where there are too few papers for one."""
        return brackets(self.low, self.high).strip() or "[–]" * (self.missing and self.value is not None)

    def marked(self, bold: str, dagger: str) -> str:
        """Return the figure with its mark; `bold` is a format."""
        return bold.format(self.figure) if self.mark == "best" else self.figure + dagger * (self.mark == "tied")


@dataclass(frozen=True, slots=True)
class Table:
    """Planners as rows, and for each run a group of columns; or a row for each run and planner, of one group.

    A planner that a run does not have has empty cells. Each row begins with its names, below `heads`; `facts` are what
    CSV and JSON say in their place.
    """

    runs: tuple[str, ...]
    signatures: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Cell | None, ...]], ...]
    facts: tuple[Mapping[str, Any], ...]
    corrections: tuple[str, ...] = ("shaffer",)  # of p, those of the runs
    heads: tuple[str, ...] = ("planner",)

    @property
    def long(self) -> bool:
        """Whether there is a row for each run and planner."""
        return self.heads == LONG

    @property
    def groups(self) -> tuple[str, ...]:
        """The runs that have columns of their own; none where there is one group."""
        return self.runs if len(self.runs) > 1 and not self.long else ()

    @property
    def titles(self) -> list[str]:
        """The columns of all groups as people read them."""
        return [TITLES.get(name, name.replace("_", " ")) for name in self.columns] * max(1, len(self.groups))


Render = Callable[[Table, bool], str]
RENDERERS: dict[str, Render] = {}


def _renderer(render: Render) -> Render:
    """Put a format into RENDERERS under its function's name."""
    RENDERERS[render.__name__] = render
    return render


def table(
    runs: Mapping[str, Run], columns: Sequence[str] = (), *, intervals: bool = True, long: bool | None = None
) -> Table:
    """Return columns of one leaderboard, or of several: side by side, or one below the other where there are many.

    Side by side, the first run sets the order of planners. Without `columns` they are the headline figures, weighted
    ones only where all runs have them.
    """
    columns = columns or [name for name in COLUMNS if all(name in run.leaderboard for run in runs.values())]
    runs = {name: _with_added(run, columns) for name, run in runs.items()}
    cells = [_cells(run, name, columns, intervals) for name, run in runs.items()]
    signatures = tuple(str(run.signature) for run in runs.values())
    chosen = {run.meta.get("settings", {}).get("correction", "shaffer") for run in runs.values()}
    corrections = sorted(chosen & CORRECTIONS.keys())
    if len(runs) > SIDE_BY_SIDE if long is None else long:
        places = [(name, planner) for name, own in zip(runs, cells, strict=True) for planner in own]
        each = tuple(row for own in cells for row in own.values())
        rows, heads = tuple(zip(places, each, strict=True)), LONG
        facts = tuple({"run": name, "planner": planner} for name, planner in places)
        return Table(tuple(runs), signatures, tuple(columns), rows, facts, tuple(corrections), heads)
    planners = dict.fromkeys(planner for own in cells for planner in own)
    nothing: tuple[Cell | None, ...] = (None,) * len(columns)
    merged = tuple(((name,), tuple(cell for own in cells for cell in own.get(name, nothing))) for name in planners)
    facts = tuple({"planner": planner} for planner in planners)
    return Table(tuple(runs), signatures, tuple(columns), merged, facts, tuple(corrections))


def slice_table(name: str, run: Run, field: str, columns: Sequence[str] = (), *, intervals: bool = True) -> Table:
    """Return one row a slice and planner; the best of a slice is marked, and nothing is tested."""
    frame = run.by(field)
    columns = columns or [column for column in COLUMNS if column in frame and frame[column].notna().any()]
    _check_columns(frame, name, columns)
    best = frame.groupby("slice")[list(columns)].transform("max")
    several = frame.groupby("slice")["planner"].transform("size") > 1
    rows, facts = [], []
    for place, row in enumerate(frame.to_dict("records")):
        marks = ["best" if several[place] and is_best(row[column], best[column][place]) else "" for column in columns]
        cells = [_cell(row, *pair, intervals) for pair in zip(columns, marks, strict=True)]
        # A dash in the place of the interval that a small slice has not.
        dashed = [intervals and bool(row["small"]) and f"{column}_low" in frame for column in columns]
        shown = tuple(replace(cell, missing=dash) for cell, dash in zip(cells, dashed, strict=True))
        rows.append(((row["slice"] or "–", papers_shown(row), row["planner"]), shown))
        facts.append({"by": field, **{key: row[key] for key in ("slice", "papers", "small", "planner")}})
    return Table(
        (name,), (str(run.signature),), tuple(columns), tuple(rows), tuple(facts), (), (field, "papers", "planner")
    )


def _with_added(run: Run, columns: Sequence[str]) -> Run:
    """Return the run with the figures of other packages that are asked for: means over papers, and ratios of sums."""
    board, papers = run.leaderboard, run.papers.assign(papers=1.0)
    added = [name for name in columns if name not in (*board, *WEIGHTED) and figure_named(name)]
    for name in added:
        papers = papers.assign(**{name: per_paper(papers, name)})
        totals = papers.groupby("planner").sum(numeric_only=True)
        micro = name.endswith("_micro")
        values = per_paper(totals.drop(columns=name), name) if micro else papers.groupby("planner")[name].mean()
        board = board.assign(**{name: board["planner"].map(values)})
    return run.replace(leaderboard=board, papers=papers.drop(columns="papers")) if added else run


def _cells(run: Run, name: str, columns: Sequence[str], intervals: bool) -> dict[str, tuple[Cell | None, ...]]:
    """Planner -> its cells in one run."""
    frame = run.leaderboard
    _check_columns(frame, name, columns)
    marks = zip(*(_marks(run, column) for column in columns), strict=True)
    return {
        row["planner"]: tuple(_cell(row, *pair, intervals) for pair in zip(columns, own, strict=True))
        for row, own in zip(frame.to_dict("records"), marks, strict=True)
    }


def _check_columns(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Refuse a column that a leaderboard does not have."""
    known = [str(column) for column in frame.columns if pd.api.types.is_numeric_dtype(frame[column])]
    for column in columns:
        if column not in known:
            near = " or ".join(repr(item) for item in difflib.get_close_matches(column, known, n=2))
            raise InputError(
                f"{name}: leaderboard.csv has no column {column!r}" + (f"; did you mean {near}?" if near else "")
            )


def _cell(row: Mapping[Any, Any], column: str, mark: str, intervals: bool) -> Cell:
    bounded = intervals and column != "rank"
    low, high = (defined(row.get(f"{column}_{end}")) if bounded else None for end in ("low", "high"))
    figure = figure_named(column)
    digits = 0 if column in COUNTS else figure.digits if figure else 3
    return Cell(defined(row[column]), low, high, mark, digits)


def _marks(run: Run, column: str) -> list[str]:
    """Return each planner's mark; only ratios of papers can be tested, and only figures have a best."""
    values = run.leaderboard[column]
    if figure_named(column) is None or values.isna().all():
        return [""] * len(values)
    marks = ["best" if is_best(value, values.max()) else "" for value in values]
    if column not in run.papers:
        return [mark or "untested" * bool(known) for mark, known in zip(marks, values.notna(), strict=True)]
    if len(values) < 2:
        return marks
    planners = run.leaderboard["planner"].tolist()
    wide = run.papers.pivot_table(index="paper", columns="planner", values=column, dropna=False, sort=True)
    settings = run.meta["settings"]
    values_of = wide.reindex(columns=planners).to_numpy(dtype="float64")
    measure = stats.macro(values_of, _paper_weights(run, planners) if column in WEIGHTED else None)
    correction = settings.get("correction", "shaffer")
    tests = stats.all_pairs(
        measure, seed=settings["seed"], resamples=settings["resamples"] or 9999, correction=correction
    )
    against_best = tests.adjusted[int(values.argmax())]
    # What could not be tested (too few papers in common) is not significantly worse either.
    tied = values.notna().to_numpy() & ~(against_best < SIGNIFICANT)
    return [mark or ("tied" if is_tied else "") for mark, is_tied in zip(marks, tied, strict=True)]


def _paper_weights(run: Run, planners: Sequence[str]) -> NDArray[np.float64]:
    """Return the weights of papers [paper, planner]."""
    weights = run.papers.pivot_table(index="paper", columns="planner", values="paper_weight", dropna=False, sort=True)
    return weights.reindex(columns=list(planners)).to_numpy(dtype="float64")


@_renderer
def markdown(board: Table, standalone: bool) -> str:
    """Return a table for a README or a pull request."""
    runs = [run for run in board.groups for _ in board.columns]
    heads = [f"{run}: {title}" for run, title in zip(runs, board.titles, strict=True)] if runs else board.titles
    lines = [
        "| " + " | ".join(map(escaping.markdown, [*board.heads, *heads])) + " |",
        "|" + " --- |" * len(board.heads) + " ---: |" * len(heads),
    ]
    for names, cells in board.rows:
        texts = [f"{cell.marked('**{}**', '†')} {cell.interval}".strip() if cell else "" for cell in cells]
        lines.append("| " + " | ".join([*map(escaping.markdown, names), *texts]) + " |")
    return "\n".join([*lines, "", _legend(board, "**bold**", "†"), "", *map(escaping.code, _signed(board))]) + "\n"


@_renderer
def latex(board: Table, standalone: bool) -> str:
    """Return a booktabs table; as a document of its own, or to paste into one that loads booktabs and graphicx.

    A table that is wider than the page is scaled to its width.
    """
    width = len(board.columns)
    names = len(board.heads)
    body = [r"\sbox0{\begin{tabular}{" + "l" * names + "r" * len(board.titles) + "}", r"\toprule"]
    if board.groups:
        groups = [rf"\multicolumn{{{width}}}{{c}}{{{escaping.latex(run)}}}" for run in board.groups]
        ends = [(start, start + width - 1) for start in range(2, 2 + len(board.titles), width)]
        body += [
            " & ".join(["", *groups]) + r" \\", " ".join(rf"\cmidrule(lr){{{first}-{last}}}" for first, last in ends)
        ]  # fmt: skip
    heads = [head.capitalize() if head in ("papers", *LONG) else head for head in board.heads]
    body += [" & ".join(map(escaping.latex, [*heads, *board.titles])) + r" \\", r"\midrule"]
    body += [" & ".join([*map(escaping.latex, own), *map(_latex_cell, cells)]) + r" \\" for own, cells in board.rows]
    body += [r"\bottomrule", r"\end{tabular}}"]
    caption = escaping.latex(_legend(board, "Bold", "dagger")).replace("dagger", r"$\dagger$")
    fitted = [r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"]
    inside = [r"\begin{table}[t]", r"\centering", r"\small", *body, *fitted,
              rf"\caption{{{caption}}}", r"\end{table}"]  # fmt: skip
    comments = [f"% {line}" for line in _signed(board)]
    if not standalone:
        return "\n".join([*comments, r"% needs \usepackage{booktabs,graphicx}", *inside]) + "\n"
    frame = [r"\documentclass{article}", r"\usepackage[T1]{fontenc}", r"\usepackage[landscape,margin=2cm]{geometry}",
             r"\usepackage{booktabs,graphicx}", r"\begin{document}"]  # fmt: skip
    return "\n".join([*comments, *frame, *inside, r"\end{document}"]) + "\n"


def _latex_cell(cell: Cell | None) -> str:
    """Return a cell of a LaTeX table; a dash without a dagger where it is undefined."""
    if cell is None or cell.value is None:
        return "" if cell is None else "--"
    figure = cell.marked(r"\textbf{{{}}}", r"$^{\dagger}$")
    return figure + (rf" {{\scriptsize {cell.interval.replace('–', '--')}}}" if cell.interval else "")


@_renderer
def csv(board: Table, standalone: bool) -> str:
    """Return tidy rows, one a run and planner, with the signature that pins them."""
    return to_csv(pd.DataFrame(list(_records(board))))


@_renderer
def html(board: Table, standalone: bool) -> str:
    """Return a table element without style of its own; as a document, with a little."""
    heads = "".join(f"<th>{escaping.html(title)}</th>" for title in board.titles)
    groups = "".join(f'<th colspan="{len(board.columns)}">{escaping.html(run)}</th>' for run in board.groups)
    top = f"<tr><th></th>{groups}</tr>" if groups else ""
    rows = "".join(
        f"<tr>{''.join(f'<th><bdi>{escaping.html(name)}</bdi></th>' for name in names)}"
        f"{''.join(map(_html_cell, cells))}</tr>"
        for names, cells in board.rows
    )
    own = "".join(f"<th>{escaping.html(head)}</th>" for head in board.heads)
    lines = (_legend(board, "Bold", "†"), *_signed(board))
    notes = "".join(f"<div><small>{escaping.html(line)}</small></div>" for line in lines)
    text = f"<table><thead>{top}<tr>{own}{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}\n"
    page = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>evalkit</title>'
    return f"{page}<body>{text}</body></html>\n" if standalone else text


def _html_cell(cell: Cell | None) -> str:
    interval = f" <small>{cell.interval}</small>" if cell and cell.interval else ""
    return f"<td>{cell.marked('<b>{}</b>', '†')}{interval}</td>" if cell else "<td></td>"


@_renderer
def json(board: Table, standalone: bool) -> str:
    """Return one document."""
    runs = dict(zip(board.runs, board.signatures, strict=True))
    return json_output.dump({"runs": runs, "rows": list(_records(board))}) + "\n"


def _records(board: Table) -> Iterator[dict[str, object]]:
    """Yield one record a run and planner."""
    width = len(board.columns)
    for nth, (run, signature) in enumerate(zip(board.runs, board.signatures, strict=True)):
        start = 0 if board.long else nth * width
        for facts, (_, cells) in zip(board.facts, board.rows, strict=True):
            record: dict[str, object] = {}
            if board.long and facts["run"] != run:
                continue
            for name, cell in zip(board.columns, cells[start : start + width], strict=True):
                if cell:
                    record |= {name: cell.value, f"{name}_low": cell.low, f"{name}_high": cell.high,
                               f"{name}_mark": cell.mark}  # fmt: skip
            if record:
                yield {"run": run, **facts, **record, "signature": signature}


def _legend(board: Table, best: str, dagger: str) -> str:
    """Say what the marks mean."""
    cells = [cell for _, row in board.rows for cell in row if cell is not None]
    notes = [f"{best}: best of its {'column' if board.corrections else 'slice'}"]
    if any(cell.mark == "tied" for cell in cells):
        by = (
            ""
            if board.corrections == ("shaffer",)
            else f", {' and '.join(CORRECTIONS[name] for name in board.corrections)}"
        )
        tests = f"paired permutation over papers, all pairs{by}, 5%"
        notes.append(f"{dagger}: not significantly worse than the best ({tests})")
    titles = zip(*(zip(board.titles, row, strict=True) for _, row in board.rows), strict=True)
    marked = ((column[0][0], [cell.mark for _, cell in column if cell is not None]) for column in titles)
    if untested := list(dict.fromkeys(title for title, marks in marked if "untested" in marks)):
        notes.append(f"not tested: {', '.join(untested)}")
    if any(cell.low is not None for cell in cells):
        notes.append("brackets: 95% intervals over papers")
    if any(cell.missing for cell in cells):
        notes.append("few: below five papers, no interval")
    return "; ".join(notes) + "."


def _signed(board: Table) -> list[str]:
    """Return what pins the numbers, one line a run."""
    return [escaping.plain(f"{run} {sign}") for run, sign in zip(board.runs, board.signatures, strict=True)]
