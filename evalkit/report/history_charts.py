"""The charts of many runs, drawn of a history; each answers one question, and stands in CHARTS by its decorator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from evalkit.comparison.history import Group, History, history, paper_square
from evalkit.errors import InputError
from evalkit.metrics.figures import HEADLINES
from evalkit.report.chart_style import (
    HEAT,
    SERIES,
    Charts,
    colour,
    colours,
    draw,
    labels,
    registered,
    sized,
    titled,
)
from evalkit.report.charts import CHARTS as RUN_CHARTS
from evalkit.report.history_text import title_of
from evalkit.storage.run_list import list_runs

NAMED_RUNS = 45
MOST_RUNS = 30  # rows of the chart that ranks them
MOST_CELLS = 12_000  # of the chart of runs and papers; more would make a page of many megabytes
SHOWN_PLANNERS = len(SERIES)
CHARTS: Charts = {}


def history_of(places: Sequence[str]) -> History:
    """Return the history of the runs at or below these places, in the figure that leads."""
    found = list_runs(places, HEADLINES[0])
    return history(found.runs, HEADLINES[0], unread=found.unread)


def chart(result: History, kind: str) -> Any:
    """Draw one of CHARTS for this history; in a notebook it shows itself."""
    if not result.groups:
        raise InputError("no run to draw")
    return draw(CHARTS, kind, result, "chart of many runs")


def _apart(result: History) -> str:
    """Return what a chart says of the runs that it leaves out."""
    others = sum(len(group.lines) for group in result.groups[1:])
    return f"left out: {others} run{'s' * (others > 1)} that may not be compared with these" if others else ""


def _axis(group: Group) -> Any:
    """Return the axis of runs, oldest first: their names, or of many only how many there are."""
    import altair as alt

    order = list(labels([line.run.name for line in group.lines]).values())
    few = len(order) <= NAMED_RUNS
    axis = alt.Axis(labelAngle=-50, labelLimit=150, ticks=False) if few else alt.Axis(labels=False, ticks=False)
    return alt.X("run:N", sort=order, title=None if few else f"{len(order)} runs, oldest first", axis=axis)


@registered(CHARTS, "trend", "Is it getting better?", wide=True)
def trend(result: History) -> Any:
    """Each planner over the runs, oldest first; the shade is the 95% interval of the followed one, dashes its best so
    far. Runs are compared paper by paper, which tells more apart than their intervals do."""
    import altair as alt

    group = result.groups[0]
    runs = list(labels([line.run.name for line in group.lines]).values())
    every = group.planners
    names = labels(list(every[:SHOWN_PLANNERS]))
    rows = [
        {"run": run, "planner": names[planner], "value": value}
        for planner in names for run, value in zip(runs, group.trend(planner), strict=True) if not math.isnan(value)
    ]  # fmt: skip
    domain = list(names.values())
    legend = alt.Legend(title=None, orient="bottom", columns=3) if len(domain) > 1 else None
    scale = alt.Scale(domain=domain, range=colours(SERIES)[: len(domain)])
    x, title = _axis(group), f"{title_of(result.metric)}"
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    base = alt.Chart(pd.DataFrame(rows, columns=["run", "planner", "value"])).encode(
        x=x, y=y, color=alt.Color("planner:N", scale=scale, legend=legend)
    )
    layers = [base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=36, opacity=1)]
    layers = [*_interval(group, runs, x), *_best_line(group, runs, x), *layers]
    more = [f"{len(domain)} of {len(every)} planners"] if len(every) > len(domain) else []
    note = "; ".join([*more, *filter(None, [_apart(result)])])
    return titled(alt.layer(*layers).properties(**sized(860), height=280), note)


def _interval(group: Group, runs: list[str], x: Any) -> list[Any]:
    import altair as alt

    ends = [(run, line.scored.low, line.scored.high) for run, line in zip(runs, group.lines, strict=True)]
    known = [row for row in ends if not math.isnan(row[1])]
    if not known:
        return []
    frame = pd.DataFrame(known, columns=["run", "low", "high"])
    band = alt.Chart(frame).mark_area(opacity=0.13, color=colour("c0"))
    return [band.encode(x=x, y=alt.Y("low:Q", title=""), y2="high:Q")]


def _best_line(group: Group, runs: list[str], x: Any) -> list[Any]:
    import altair as alt

    best, rows = -math.inf, []
    for run, line in zip(runs, group.lines, strict=True):
        best = max(best, -math.inf if math.isnan(line.scored.value) else line.scored.value)
        rows += [(run, best)] if best > -math.inf else []
    frame = pd.DataFrame(rows, columns=["run", "best"])
    line = alt.Chart(frame).mark_line(interpolate="step-after", strokeDash=[4, 3], color=colour("muted"))
    return [line.encode(x=x, y=alt.Y("best:Q", title=""))]


@registered(CHARTS, "runs", "Which run is best, and how sure is that?")
def runs(result: History) -> Any:
    """Runs by their figure with its 95% interval; the percentage is in how many resampled sets of papers it leads."""
    import altair as alt

    group = result.groups[0]
    names = labels([line.run.name for line in group.lines])
    known = [line for line in group.lines if not math.isnan(line.scored.value)]
    shown = sorted(known, key=lambda line: -line.scored.value)[:MOST_RUNS]
    rows = [
        {"run": names[line.run.name], "value": line.scored.value, "low": line.scored.low, "high": line.scored.high,
         "share": f"{line.best_probability:.0%}" if (line.best_probability or 0) >= 0.005 else ""}
        for line in shown
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["run", "value", "low", "high", "share"])
    base = alt.Chart(frame).encode(y=alt.Y("run:N", sort=list(frame["run"]), title=None))
    x = alt.X("value:Q", title=title_of(result.metric), scale=alt.Scale(zero=False))
    layers = [base.mark_point(filled=True, size=70, opacity=1, color=colour("c0")).encode(x=x)]
    if frame["low"].notna().any():
        ends = {"x": alt.X("low:Q", title=""), "x2": "high:Q"}
        layers.insert(0, base.mark_rule(strokeWidth=2.5, opacity=0.45, color=colour("c0")).encode(**ends))
    layers.append(base.mark_text(dy=-8, fontSize=9, color=colour("muted")).encode(x=x, text="share:N"))
    title = f"the best {len(shown)} of {len(group.lines)} runs" if len(shown) < len(group.lines) else _apart(result)
    return titled(alt.layer(*layers).properties(**sized(), height=alt.Step(22)), title)


@registered(CHARTS, "papers", "On which papers did it change?", wide=True)
def papers(result: History) -> Any:
    """The followed planner by run, oldest first, and paper, easiest first. Darker is higher."""
    import altair as alt

    whole = result.groups[0]
    group = replace(whole, lines=whole.lines[-max(2, MOST_CELLS // max(line.scored.papers for line in whole.lines)) :])
    names = list(labels([line.run.name for line in group.lines]).values())
    titles, square = paper_square(group, result.metric)
    shown = labels(titles)
    means = {title: sum(v for v in column if not math.isnan(v)) for title, column in zip(titles, square.T, strict=True)}
    order = [shown[title] for title in sorted(titles, key=lambda title: -means[title])]
    rows = [
        {"run": names[at], "paper": shown[title], "value": None if math.isnan(value) else value}
        for at, own in enumerate(square.tolist()) for title, value in zip(titles, own, strict=True)
    ]  # fmt: skip
    few = len(order) <= NAMED_RUNS
    scale = alt.Scale(type="quantize", domain=[0, 1], range=colours(HEAT))
    legend = alt.Legend(title=title_of(result.metric), orient="bottom", direction="horizontal", gradientLength=240)
    axis = alt.Axis(ticks=False, domain=False) if few else None
    cells = alt.Chart(pd.DataFrame(rows, columns=["run", "paper", "value"])).mark_rect(
        stroke=colour("paper"), strokeWidth=1 if few else 0, aria=False
    )
    cells = cells.encode(
        x=_axis(group), y=alt.Y("paper:N", sort=order, title=None if few else f"{len(order)} papers", axis=axis),
        color=alt.Color("value:Q", scale=scale, legend=legend),
    )  # fmt: skip
    height = alt.Step(15) if few else 420
    newest = f"the newest {len(group.lines)} of {len(whole.lines)} runs" if len(group.lines) < len(whole.lines) else ""
    return titled(cells.properties(**sized(860), height=height), newest or _apart(result))


EVERY = (*RUN_CHARTS, *(name for name in CHARTS if name not in RUN_CHARTS))  # of one run, and of many
