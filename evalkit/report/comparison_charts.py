"""The charts of a comparison: how much changed and how sure that is, beside what, and on which papers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from evalkit.comparison import Comparison
from evalkit.metrics.figures import TITLES, shown_in
from evalkit.report.chart_style import SERIES, Charts, colour, colours, draw, label, labels, registered

PAPERS = 30


CHARTS: Charts = {}


def chart(result: Comparison, kind: str) -> Any:
    """Draw one of CHARTS for this comparison; in a notebook it shows itself."""
    return draw(CHARTS, kind, result, "chart of a comparison")


def _zero() -> Any:
    """The line of no change."""
    import altair as alt

    return alt.Chart(pd.DataFrame([{"at": 0.0}])).mark_rule(color=colour("muted")).encode(x="at:Q")


def _moves(rows: list[dict[str, Any]], title: str, order: list[str], names: list[str]) -> Any:
    """Points with intervals around zero; several planners in one row lie one below the other."""
    import altair as alt

    scale = alt.Scale(domain=names[: len(SERIES)], range=colours(SERIES)[: len(names)])
    legend = alt.Legend(title=None, orient="bottom", columns=2) if len(names) > 1 else None
    base = alt.Chart(pd.DataFrame(rows, columns=["row", "name", "value", "low", "high"])).encode(
        y=alt.Y("row:N", sort=order, title=None),
        yOffset=alt.YOffset("name:N", sort=names) if order != names else alt.YOffset(),
        color=alt.value(colour("c0")) if order == names else alt.Color("name:N", scale=scale, legend=legend),
    )
    x = alt.X("value:Q", title=title)
    ends = {"x": alt.X("low:Q", title=title), "x2": "high:Q"}
    marks = base.mark_rule(strokeWidth=2.5, opacity=0.5).encode(**ends) + base.mark_point(
        filled=True, size=70, opacity=1
    ).encode(x=x)
    step = 34 if order == names else 14 * max(2, len(names))
    return (_zero() + marks).properties(width=400, height=alt.Step(step) if order == names else step * len(order))


def _change_rows(result: Comparison, figures: list[str]) -> list[dict[str, Any]]:
    """What a chart needs of the changes in these figures."""
    names = labels([change.planner for change in result.headline])
    return [
        {"row": TITLES.get(change.figure, change.figure), "name": names[change.planner], "value": change.difference,
         "low": change.low, "high": change.high}
        for change in result.changes if change.figure in figures and change.difference is not None
    ]  # fmt: skip


@registered(
    CHARTS,
    "changes",
    "Better or worse, and how sure is that?",
    "Difference with its 95% interval over the papers that both have. Right of the line is better.",
)
def changes(result: Comparison) -> Any:
    """The metric that decides: each planner's difference with its interval."""
    rows = [row | {"row": row["name"]} for row in _change_rows(result, [result.metric])]
    names = [str(row["name"]) for row in rows]
    return _moves(rows, f"{TITLES.get(result.metric, result.metric)}, new minus base", names, names)


@registered(
    CHARTS,
    "figures",
    "Better or worse at what?",
    "The other figures on the same papers.",
)
def figures(result: Comparison) -> Any:
    """The other figures' differences."""
    beside = [
        name for name in shown_in("page") if name != result.metric and any(c.figure == name for c in result.changes)
    ]
    rows = _change_rows(result, beside)
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    order = [TITLES[name] for name in beside if any(row["row"] == TITLES[name] for row in rows)]
    return _moves(rows, "new minus base", order, names[: len(SERIES)])


@registered(
    CHARTS,
    "papers",
    "On which papers?",
    f"Papers that moved, from base to new; of many, the {PAPERS} that moved most.",
)
def papers(result: Comparison) -> Any:
    """The papers that moved most, an arrow from base to new."""
    import altair as alt

    moved = result.moved_papers.head(PAPERS)
    names = labels([change.planner for change in result.headline])
    several = len(names) > 1
    rows = [
        {"row": label(f"{row['paper']} · {names[row['planner']]}" if several else row["paper"], 60),
         "base": row["base"], "new": row["new"], "way": "gained" if row["difference"] > 0 else "lost",
         "angle": 90 if row["difference"] > 0 else 270}
        for row in moved.sort_values("difference", ascending=False, kind="stable").to_dict("records")
    ]  # fmt: skip
    order = list(dict.fromkeys(row["row"] for row in rows))
    frame = pd.DataFrame(rows, columns=["row", "base", "new", "way", "angle"])
    scale = alt.Scale(domain=["gained", "lost"], range=colours(("c0", "c1")))
    base = alt.Chart(frame).encode(
        y=alt.Y("row:N", sort=order, title=None),
        color=alt.Color("way:N", scale=scale, legend=alt.Legend(title=None, orient="bottom")),
    )
    x = alt.X("base:Q", title=TITLES.get(result.metric, result.metric), scale=alt.Scale(domain=[0, 1]))
    lines = base.mark_rule(strokeWidth=2).encode(x=x, x2="new:Q")
    heads = base.mark_point(shape="triangle", filled=True, size=80, opacity=1).encode(
        x=alt.X("new:Q"), angle=alt.Angle("angle:Q", scale=None)
    )
    return (lines + heads).properties(width=420, height=alt.Step(18))
