"""Takes runs, gives the leaderboard as people paste it: Markdown, LaTeX, CSV, HTML or JSON, with the best marked.

A cell that is best of its column in its run is bold; one whose difference from the best is not significant (paired
permutation over papers, Holm over all pairs, 5%) carries a dagger.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from evalkit import stats
from evalkit.errors import InputError
from evalkit.metrics.figures import FIGURES, TITLES, shown_in
from evalkit.report import escaping, json_output
from evalkit.report.summary import value
from evalkit.storage.csv import to_csv
from evalkit.storage.runs import Run

COLUMNS = shown_in("table")
SIGNIFICANT = 0.05
WHOLE = ("rank", "rank_low", "rank_high", "papers")


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure with its interval; `mark` is "best", "tied" (not significantly worse) or nothing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    mark: str = ""
    digits: int = 3

    @property
    def figure(self) -> str:
        """The figure alone; a dash where it is undefined."""
        return "–" if self.value is None else f"{self.value:.{self.digits}f}"

    @property
    def ends(self) -> str:
        """The interval in brackets, or nothing."""
        return "" if self.low is None or self.high is None else f"[{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Table:
    """Planners as rows; for each run a group of columns. A planner that a run does not have has empty cells."""

    runs: tuple[str, ...]
    signatures: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]

    @property
    def titles(self) -> list[str]:
        """The columns as people read them."""
        return [TITLES.get(name, name.replace("_", " ")) for name in self.columns]


def table(runs: Mapping[str, Run], columns: Sequence[str] = COLUMNS, *, intervals: bool = True) -> Table:
    """The chosen columns of one leaderboard, or of several side by side; the first run sets the order of planners."""
    found = [_cells(run, name, columns, intervals) for name, run in runs.items()]
    planners = dict.fromkeys(planner for cells in found for planner in cells)
    nothing: tuple[Cell | None, ...] = (None,) * len(columns)
    rows = tuple((planner, tuple(c for cells in found for c in cells.get(planner, nothing))) for planner in planners)
    signatures = tuple(str(run.signature) for run in runs.values())
    return Table(tuple(runs), signatures, tuple(columns), rows)


def _cells(run: Run, name: str, columns: Sequence[str], intervals: bool) -> dict[str, tuple[Cell | None, ...]]:
    """Planner -> its cells in one run."""
    frame = run.leaderboard
    known = [str(column) for column in frame.columns if pd.api.types.is_numeric_dtype(frame[column])]
    for column in columns:
        if column not in known:
            near = " or ".join(repr(item) for item in difflib.get_close_matches(column, known, n=2))
            raise InputError(
                f"{name}: leaderboard.csv has no column {column!r}" + (f"; did you mean {near}?" if near else "")
            )
    marks = {column: _marks(run, column) for column in columns}
    rows = frame.to_dict("records")
    return {
        row["planner"]: tuple(_cell(row, column, marks[column][at], intervals) for column in columns)
        for at, row in enumerate(rows)
    }


def _cell(row: Mapping[object, object], column: str, mark: str, intervals: bool) -> Cell:
    """One figure of one planner."""
    ends = (value(row.get(f"{column}_low")), value(row.get(f"{column}_high"))) if intervals else (None, None)
    if column == "rank":
        ends = (None, None)
    return Cell(value(row[column]), *ends, mark, 0 if column in WHOLE else 3)


def _marks(run: Run, column: str) -> list[str]:
    """For each planner "best", "tied" or nothing; only ratios of papers can be tested, and only figures have a best."""
    values = run.leaderboard[column]
    if column.removesuffix("_micro") not in FIGURES or values.isna().all():
        return [""] * len(values)
    best = values == values.max()
    marks = ["best" if is_best else "" for is_best in best]
    if column not in run.papers or len(values) < 2:
        return marks
    planners = run.leaderboard["planner"].tolist()
    wide = run.papers.pivot_table(index="paper", columns="planner", values=column, dropna=False, sort=True)
    settings = run.meta["settings"]
    measure = stats.macro(wide.reindex(columns=planners).to_numpy(dtype="float64"))
    tests = stats.all_pairs(measure, seed=settings["seed"], resamples=settings["resamples"] or 9999)
    against_best = tests.adjusted[int(values.argmax())]
    # What could not be tested (too few papers in common) is not significantly worse either.
    tied = values.notna().to_numpy() & ~(against_best < SIGNIFICANT)
    return [mark or ("tied" if is_tied else "") for mark, is_tied in zip(marks, tied, strict=True)]


def markdown(made: Table, standalone: bool) -> str:
    """A table for a README or a pull request."""
    heads = [f"{run}: {title}" if len(made.runs) > 1 else title for run in made.runs for title in made.titles]
    lines = [
        "| " + " | ".join(["planner", *(escaping.markdown(head) for head in heads)]) + " |",
        "| --- |" + " ---: |" * len(heads),
    ]
    for planner, cells in made.rows:
        lines.append("| " + " | ".join([escaping.markdown(planner), *(_markdown_cell(cell) for cell in cells)]) + " |")
    return "\n".join([*lines, "", _legend(made, "**bold**", "†"), "", *_signed(made, "`", "`")]) + "\n"


def _markdown_cell(cell: Cell | None) -> str:
    """A cell of a Markdown table."""
    if cell is None:
        return ""
    figure = f"**{cell.figure}**" if cell.mark == "best" else cell.figure + "†" * (cell.mark == "tied")
    return f"{figure} {cell.ends}".strip()


def latex(made: Table, standalone: bool) -> str:
    """A booktabs table; as a document of its own, or to paste into one that loads booktabs."""
    width = len(made.columns)
    heads = " & ".join(["Planner", *(escaping.latex(title) for _ in made.runs for title in made.titles)])
    body = [r"\begin{tabular}{l" + "r" * width * len(made.runs) + "}", r"\toprule"]
    if len(made.runs) > 1:
        body.append(
            " & ".join(["", *(rf"\multicolumn{{{width}}}{{c}}{{{escaping.latex(run)}}}" for run in made.runs)]) + r" \\"
        )
        body.append(
            " ".join(rf"\cmidrule(lr){{{2 + at * width}-{1 + (at + 1) * width}}}" for at in range(len(made.runs)))
        )
    body += [heads + r" \\", r"\midrule"]
    body += [" & ".join([escaping.latex(planner), *map(_latex_cell, cells)]) + r" \\" for planner, cells in made.rows]
    body += [r"\bottomrule", r"\end{tabular}"]
    caption = escaping.latex(_legend(made, "Bold", "dagger")).replace("dagger", r"$\dagger$")
    inside = [r"\begin{table}[t]", r"\centering", r"\small", *body, rf"\caption{{{caption}}}", r"\end{table}"]
    comments = [f"% {line}" for line in _signed(made)]
    if not standalone:
        return "\n".join([*comments, r"% needs \usepackage{booktabs}", *inside]) + "\n"
    frame = [r"\documentclass{article}", r"\usepackage[T1]{fontenc}", r"\usepackage[landscape,margin=2cm]{geometry}",
             r"\usepackage{booktabs}", r"\begin{document}"]  # fmt: skip
    return "\n".join([*comments, *frame, *inside, r"\end{document}"]) + "\n"


def _latex_cell(cell: Cell | None) -> str:
    """A cell of a LaTeX table."""
    if cell is None or cell.value is None:
        return "" if cell is None else "--"
    figure = rf"\textbf{{{cell.figure}}}" if cell.mark == "best" else cell.figure
    dagger = r"$^{\dagger}$" if cell.mark == "tied" else ""
    return figure + dagger + (rf" {{\scriptsize {cell.ends}}}" if cell.ends else "")


def html(made: Table, standalone: bool) -> str:
    """A table element without style of its own; as a document, with a little."""
    heads = "".join(f"<th>{escaping.html(title)}</th>" for _ in made.runs for title in made.titles)
    groups = "".join(f'<th colspan="{len(made.columns)}">{escaping.html(run)}</th>' for run in made.runs)
    top = f"<tr><th></th>{groups}</tr>" if len(made.runs) > 1 else ""
    rows = "".join(
        f"<tr><th><bdi>{escaping.html(planner)}</bdi></th>{''.join(map(_html_cell, cells))}</tr>"
        for planner, cells in made.rows
    )
    notes = "".join(
        f"<div><small>{escape(line)}</small></div>" for line in (_legend(made, "Bold", "†"), *_signed(made))
    )
    text = f"<table><thead>{top}<tr><th>planner</th>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}\n"
    page = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>evalkit</title>'
    return f"{page}<body>{text}</body></html>\n" if standalone else text


def _html_cell(cell: Cell | None) -> str:
    """A cell of an HTML table."""
    if cell is None:
        return "<td></td>"
    figure = f"<b>{cell.figure}</b>" if cell.mark == "best" else cell.figure + "†" * (cell.mark == "tied")
    return f"<td>{figure}{f' <small>{cell.ends}</small>' if cell.ends else ''}</td>"


def csv(made: Table, standalone: bool) -> str:
    """Tidy rows, one a run and planner, with the signature that pins them."""
    return to_csv(pd.DataFrame(list(_records(made))))


def json(made: Table, standalone: bool) -> str:
    """One document."""
    return (
        json_output.dump({"runs": dict(zip(made.runs, made.signatures, strict=True)), "rows": list(_records(made))})
        + "\n"
    )


def _records(made: Table) -> Iterable[dict[str, object]]:
    """One record a run and planner."""
    width = len(made.columns)
    for at, (run, signature) in enumerate(zip(made.runs, made.signatures, strict=True)):
        for planner, cells in made.rows:
            record: dict[str, object] = {"run": run, "planner": planner}
            for name, cell in zip(made.columns, cells[at * width : (at + 1) * width], strict=True):
                if cell is not None:
                    record |= {
                        name: cell.value,
                        f"{name}_low": cell.low,
                        f"{name}_high": cell.high,
                        f"{name}_mark": cell.mark,
                    }
            if len(record) > 2:
                yield record | {"signature": signature}


def _legend(made: Table, best: str, dagger: str) -> str:
    """What the marks say."""
    cells = [cell for _, row in made.rows for cell in row if cell is not None]
    said = [f"{best}: best of its column"]
    if any(cell.mark == "tied" for cell in cells):
        said.append(f"{dagger}: not significantly worse than the best (paired permutation over papers, Holm, 5%)")
    if any(cell.ends for cell in cells):
        said.append("brackets: 95% intervals, bootstrap over papers")
    return "; ".join(said) + "."


def _signed(made: Table, before: str = "", after: str = "") -> list[str]:
    """What pins the numbers, one line a run."""
    return [
        f"{before}{escaping.plain(run).replace('`', ' ')} {sign}{after}"
        for run, sign in zip(made.runs, made.signatures, strict=True)
    ]


RENDERERS: dict[str, Callable[[Table, bool], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv,
    "html": html,
    "json": json,
}
