"""Takes a Run or a Comparison, gives what a notebook shows in its place: HTML, which needs no extra, and charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.comparison import Comparison
from evalkit.reporting import changes, charts, compared, compared_charts, drawing, markup, tables
from evalkit.reporting.summary import title, verdict
from evalkit.runs import Run

if TYPE_CHECKING:
    import altair as alt


def run_chart(run: Run, kind: str) -> alt.TopLevelMixin:
    """One of the charts of a run's report."""
    return drawing.coloured(charts.chart(run, kind))


def comparison_chart(found: Comparison, kind: str) -> alt.TopLevelMixin:
    """One of the charts of a comparison's report."""
    return drawing.coloured(compared_charts.chart(found, kind))


def run_html(run: Run) -> str:
    """The verdict and the leaderboard."""
    made = tables.table({"": run})
    return f"<div><b>{markup.html(title(run))}</b><p>{markup.html(verdict(run))}</p>{tables.html(made, False)}</div>"


def comparison_html(found: Comparison) -> str:
    """The verdict and one row a planner."""
    heads = "".join(
        f"<th>{head}</th>" for head in ("planner", "papers", "base", "new", "difference [95%]", "p", "verdict")
    )
    rows = []
    for item in found.headline:
        numbers = (changes.number(item.base), changes.number(item.new), changes.interval(item))
        cells = (str(item.papers), *numbers, changes.p_value(item.p_holm), item.verdict)
        rows.append(f"<tr><th>{markup.html(item.planner)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    lost, gained = ((found.entries["change"] == change).sum() for change in ("lost", "gained"))
    told = f"<p>Gold entries: {lost} lost, {gained} gained.</p>"
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div><p>{markup.html(compared.verdict(found))}</p>{table}{told}</div>"
