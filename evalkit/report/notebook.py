"""Show a run or a comparison in a notebook: HTML, which needs no extra, and charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.comparison import Comparison
from evalkit.errors import InputError
from evalkit.report import chart_style, charts, comparison_page, comparison_text, escaping, leaderboard_tables
from evalkit.report.run_page import title, verdict
from evalkit.report.values import p_value
from evalkit.storage.runs import Run

if TYPE_CHECKING:
    import altair as alt


def run_chart(run: Run, kind: str) -> alt.TopLevelMixin:
    """Return one of the charts of a run's report."""
    return chart_style.coloured(charts.chart(run, kind))


def comparison_chart(result: Comparison, kind: str) -> alt.TopLevelMixin:
    """Return one of the charts of a comparison's report."""
    return chart_style.coloured(comparison_page.chart(result, kind))


def run_html(run: Run) -> str:
    """Return the verdict and the leaderboard."""
    board = leaderboard_tables.html(leaderboard_tables.table({"": run}), False)
    return f"<div><b>{escaping.html(title(run))}</b><p>{escaping.html(verdict(run))}</p>{board}</div>"


def run_table(run: Run, form: str) -> str:
    """Return the leaderboard of a run in one of the forms of `evalkit table`."""
    if form not in leaderboard_tables.RENDERERS:
        raise InputError(f"no table is called {form!r}; there are {', '.join(leaderboard_tables.RENDERERS)}")
    return leaderboard_tables.RENDERERS[form](leaderboard_tables.table({"": run}), False)


def comparison_html(result: Comparison) -> str:
    """Return the verdict and one row a planner."""
    titles = ("planner", "papers", "base", "new", "difference [95%]", "p", "verdict")
    heads = "".join(f"<th>{title}</th>" for title in titles)
    rows = []
    for item in result.headline:
        cells = (*comparison_text.change_cells(item), p_value(item.p_adjusted), item.verdict)
        rows.append(f"<tr><th>{escaping.html(item.planner)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    lost, gained = ((result.entries["change"] == change).sum() for change in ("lost", "gained"))
    moved = f"<p>Gold entries: {lost} lost, {gained} gained.</p>"
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div><p>{escaping.html(comparison_page.verdict(result))}</p>{table}{moved}</div>"
