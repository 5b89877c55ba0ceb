"""The charts of a run. Each answers one question, and stands in CHARTS by its decorator."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.errors import InputError
from evalkit.report import chart_style
from evalkit.report.browser_data import gold_hits, is_true
from evalkit.report.chart_style import (
    HEAT,
    LONGEST_NAME,
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
from evalkit.report.escaping import address
from evalkit.storage.files import write_bytes
from evalkit.storage.runs import Run
from evalkit.storage.schema import ACTION_COUNTS
from evalkit.types import RANKS, Action

NAMED_PAPERS = 45
NAMED_PLANNERS = 8  # as many as there are colours
SHORT_NAME = 18  # letters that fit next to each other, or above a small table
MOST_PLANNERS = 12  # rows of planners, the best by match F1
CHARTS: Charts = {}


def chart(run: Run, kind: str) -> Any:
    """Draw one of CHARTS for this run; in a notebook it shows itself."""
    return draw(CHARTS, kind, run, "chart")


def write(run: Run, kind: str, path: str) -> None:
    """Write one chart of a run as a file for print."""
    write_chart(lambda: chart(run, kind), path)


def write_chart(draw_it: Callable[[], Any], path: str) -> None:
    """Write a chart as a file for print; the ending of the file's name says in which format, and is looked at first."""
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in chart_style.FORMATS:
        raise InputError(
            f"{path}: expected a name that ends in {', '.join(f'.{name}' for name in chart_style.FORMATS)}"
        )
    write_bytes(path, chart_style.image(draw_it(), form))


def _board(run: Run, longest: int = LONGEST_NAME) -> tuple[pd.DataFrame, list[str]]:
    """Return the leaderboard with a printable `name` column, and these names, best first."""
    names = labels(run.leaderboard["planner"].tolist(), longest)
    return run.leaderboard.copy().assign(name=run.leaderboard["planner"].map(names)), list(names.values())


def _share(most: int, planners: int) -> str:
    """Return what a chart of the best planners says about the rest."""
    return f"the best {most} of {planners} planners by match F1" if planners > most else ""


def _frame(rows: Any, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a frame that altair takes as it is, with texts as objects."""
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(frame.select_dtypes(include=["string"]).columns, object))


@registered(CHARTS, "planners", "Who is really ahead?")
def planners(run: Run) -> Any:
    """Match F1 with its 95% interval. Where intervals overlap widely, the order is not settled."""
    import altair as alt

    board, order = _board(run)
    board, title = board.head(MOST_PLANNERS), _share(MOST_PLANNERS, len(order))
    columns = [name for name in ("name", "match_f1", "match_f1_low", "match_f1_high") if name in board]
    frame = _frame(board[columns]).assign(shown=board["match_f1"].map(lambda value: f"{value:.3f}"))
    base = alt.Chart(frame).encode(y=alt.Y("name:N", sort=order[:MOST_PLANNERS], title=None))
    x = alt.X("match_f1:Q", title="match F1, mean over papers", scale=alt.Scale(domainMin=0))
    layers = [base.mark_point(filled=True, size=90, opacity=1, color=colour("c0")).encode(x=x)]
    if "match_f1_low" in frame and frame["match_f1_low"].notna().any():  # no bar of nothing
        ends = {"x": alt.X("match_f1_low:Q", title=""), "x2": "match_f1_high:Q"}
        layers.insert(0, base.mark_rule(strokeWidth=2.5, opacity=0.45, color=colour("c0")).encode(**ends))
    layers.append(base.mark_text(dy=-11, color=colour("ink")).encode(x=x, text="shown:N"))
    return titled(alt.layer(*layers).properties(**sized(), height=alt.Step(34)), title)


@registered(CHARTS, "precision-recall", "Too much, or too little?")
def precision_recall(run: Run) -> Any:
    """High, left: few entries, most of them right. Low, right: gold is covered among much else. Curves: equal F1."""
    import altair as alt

    board, order = _board(run)
    frame = _frame(board[["name", "match_precision", "match_recall"]])
    steps = [step / 100 for step in range(1, 101)]
    most = min(1.0, math.ceil(frame[["match_precision", "match_recall"]].fillna(0.4).max().max() * 10 + 1) / 10)
    curves = [
        {"f1": f"F1 {f1}", "recall": recall, "precision": f1 * recall / (2 * recall - f1)}
        for f1 in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
        for recall in steps
        if f1 / 2 < recall <= most and f1 * recall <= most * (2 * recall - f1)
    ]
    unit = alt.Scale(domain=[0, most])
    behind = alt.Chart(_frame(curves)).mark_line(strokeWidth=1, color=colour("line"))
    behind = behind.encode(x=alt.X("recall:Q", scale=unit), y=alt.Y("precision:Q", scale=unit), detail="f1:N")
    ends = alt.Chart(_frame([row for row in curves if row["recall"] == most])).mark_text(
        align="left", dx=4, fontSize=10, color=colour("muted")
    )
    ends = ends.encode(x="recall:Q", y="precision:Q", text="f1:N")
    axes = {"x": alt.X("match_recall:Q", title="recall", scale=unit),
          "y": alt.Y("match_precision:Q", title="precision", scale=unit)}  # fmt: skip
    points = [alt.Chart(frame.head(NAMED_PLANNERS)).mark_point(filled=True, size=110, opacity=1)]
    layers = [behind, ends, points[0].encode(**axes, **_distinct(order))]
    title = ""
    if len(order) > NAMED_PLANNERS:
        rest = alt.Chart(frame.iloc[NAMED_PLANNERS:]).mark_point(filled=True, size=45, opacity=0.6)
        layers.insert(2, rest.encode(**axes, color=alt.value(colour("muted"))))
        title = f"grey: the other {len(order) - NAMED_PLANNERS} planners"
    return titled(alt.layer(*layers).properties(**sized(), height=300), title)


def _distinct(order: list[str]) -> dict[str, Any]:
    """Return colour and shape of the planners that the palette has colours for."""
    import altair as alt

    domain = order[:NAMED_PLANNERS]
    roles = colours(SERIES)[: len(domain)]
    shapes = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right"]
    legend = alt.Legend(title=None, orient="bottom", columns=1 if max(map(len, domain), default=0) > SHORT_NAME else 2)
    return {
        "color": alt.Color("name:N", scale=alt.Scale(domain=domain, range=roles), legend=legend),
        "shape": alt.Shape("name:N", scale=alt.Scale(domain=domain, range=shapes[: len(domain)]), legend=legend),
    }


@registered(CHARTS, "ranks", "Do the important entries come first?")
def ranks(run: Run) -> Any:
    """Recall and nDCG when only the first k entries of each plan count."""
    import altair as alt

    board, order = _board(run)
    shown = board.head(NAMED_PLANNERS)
    rows = [
        {"name": row["name"], "k": str(k), "value": row[f"{column}_at_{k}"], "figure": title}
        for row in shown.to_dict("records") for k in RANKS
        for column, title in (("recall", "recall of the first k"), ("ndcg", "nDCG of the first k"))
    ]  # fmt: skip
    base = alt.Chart(_frame(rows)).encode(
        x=alt.X("k:O", title="k", axis=alt.Axis(labelAngle=0, grid=False), sort=[str(k) for k in RANKS]),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(domainMin=0)),
        color=_distinct(order)["color"],
    )
    both = base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=60, opacity=1).encode(**_distinct(order))
    column = alt.Column("figure:N", title=None, sort="descending")
    return titled(both.properties(width=172, height=190).facet(column=column), _share(NAMED_PLANNERS, len(order)))


@registered(CHARTS, "found", "What does nobody find?")
def found_by(run: Run) -> Any:
    """Gold entries by how many planners match them: 0 are the blind spots that all share."""
    import altair as alt

    _, hits = gold_hits(run)
    everyone = hits.shape[1]
    times = hits.sum(axis=1).value_counts().reindex(range(everyone + 1), fill_value=0)
    rows = [{"found": str(count), "entries": int(entries)} for count, entries in times.items()]
    base = alt.Chart(_frame(rows)).encode(
        x=alt.X("found:O", sort=None, title=f"planners (of {everyone}) that match the entry",
                axis=alt.Axis(labelAngle=0, grid=False, labelOverlap="greedy")),
        y=alt.Y("entries:Q", title="gold entries", scale=alt.Scale(domainMax=int(times.max() * 1.1) + 1)),
    )  # fmt: skip
    bars = base.mark_bar(color=colour("c0"), width={"band": 0.7})
    if everyone <= MOST_PLANNERS:  # beyond, numbers would run into each other
        bars += base.mark_text(dy=-7).encode(text="entries:Q")
    return bars.properties(**sized(), height=250)


@registered(CHARTS, "papers", "Where does it go wrong?", wide=True)
def papers(run: Run) -> Any:
    """Match F1 by paper, easiest paper first. A cell opens its plan in the browser below."""
    import altair as alt

    every = labels(run.leaderboard["planner"].tolist())
    names = dict(list(every.items())[:MOST_PLANNERS])
    means = run.papers.groupby("paper")["match_f1"].mean().sort_values(ascending=False, kind="stable")
    titles = labels(means.index.tolist())
    rows = run.papers[run.papers["planner"].isin(names)]
    frame = _frame(rows[["planner", "paper", "match_f1"]]).assign(
        name=rows["planner"].map(names),
        title=rows["paper"].map(titles),
        link=[link(*own) for own in zip(rows["paper"], rows["planner"], strict=True)],
    )
    few = len(titles) <= NAMED_PAPERS
    legend = alt.Legend(title="match F1", orient="bottom", direction="horizontal", gradientLength=240)
    axis = alt.Axis(labelAngle=-50, labelLimit=150, ticks=False) if few else None
    scale = alt.Scale(type="quantize", domain=[0, 1], range=colours(HEAT))
    width = alt.Step(max(18, min(52, 780 // len(titles)))) if few else 840
    cells = (
        alt.Chart(frame)
        .mark_rect(stroke=colour("paper"), strokeWidth=1.5 if few else 0, aria=False)
        .encode(
            x=alt.X("title:N", sort=list(titles.values()), title=None if few else f"{len(titles)} papers", axis=axis),
            y=alt.Y("name:N", sort=list(names.values()), title=None, axis=alt.Axis(ticks=False, domain=False)),
            color=alt.Color("match_f1:Q", scale=scale, legend=legend),
            href="link:N",
        )
        .properties(width=width, height=alt.Step(24), padding={"left": 24, "right": 5})
    )
    return titled(cells, _share(MOST_PLANNERS, len(every)))


def link(paper: str, planner: str) -> str:
    """Return the deep link to one plan in the browser."""
    return f"#paper={address(paper)}&planner={address(planner)}"


@registered(CHARTS, "actions", "Is it the right kind of ablation?")
def actions(run: Run) -> Any:
    """Aligned pairs by what gold does (rows) and what the plan does (columns); shades are shares of the row."""
    import altair as alt

    board, order = _board(run, SHORT_NAME)
    kinds = [action.value for action in Action]
    rows = []
    aligned = board[board[[*ACTION_COUNTS]].sum(axis=1) > 0]  # a planner without a pair would be an empty table
    for row in aligned.head(NAMED_PLANNERS).to_dict("records"):
        for gold in kinds:
            cells = {plan: row[f"{gold}_{plan}".lower()] for plan in kinds}
            total = sum(cells.values())
            for plan, count in cells.items():
                share = count / total if total else 0.0
                rows.append({"name": row["name"], "gold": gold, "plan": plan, "count": round(count, 1), "share": share,
                             "dark": share >= 0.5})  # fmt: skip
    axis = alt.Axis(labelAngle=0, ticks=False, domain=False, labelExpr="lower(datum.label)", labelFontSize=10)
    base = alt.Chart(_frame(rows)).encode(
        x=alt.X("plan:N", sort=kinds, title=None, axis=axis),
        y=alt.Y("gold:N", sort=kinds, title=None, axis=axis),
    )
    scale = alt.Scale(type="quantize", domain=[0, 1], range=colours(HEAT))
    cells = base.mark_rect(stroke=colour("paper"), strokeWidth=2).encode(
        color=alt.Color("share:Q", scale=scale, legend=None)
    )
    texts = base.mark_text().encode(
        text=alt.Text("count:Q", format="~f"),
        color=alt.Color("dark:N", scale=alt.Scale(domain=[True, False], range=colours(("paper", "ink"))), legend=None),
    )
    both = alt.layer(cells, texts).resolve_scale(color="independent").properties(width=129, height=84)
    columns = min(3, max(1, len(aligned)))
    title = _share(NAMED_PLANNERS, len(aligned)) or ("" if len(aligned) else "no pair of entries is aligned")
    # An axis of its own for each table: below a last row that is not full, a shared one would stand alone.
    tables = both.facet(facet=alt.Facet("name:N", sort=order, title=None), columns=columns)
    return titled(tables.resolve_axis(x="independent"), title)


OUTCOMES = {"match": "full match", "part": "same part only", "candidate": "not aligned"}


@registered(CHARTS, "probabilities", "How sure is the matcher?")
def probabilities(run: Run) -> Any:
    """Aligned pairs, and the nearest partners of the rest. Dashed: the threshold; shaded: the band of doubt."""
    import altair as alt

    pairs = run.pairs[run.pairs["status"].isin(OUTCOMES) & run.pairs["match_probability"].notna()]
    order = {status: number for number, status in enumerate(OUTCOMES)}
    bins = (pairs["match_probability"].astype(float) * 25).astype(int).clip(0, 24)
    counted = pairs.assign(bin=bins).groupby(["bin", "status"]).size().reset_index(name="pairs")
    rows = [
        (start / 25, (start + 1) / 25, count, OUTCOMES[status], order[status])
        for start, status, count in counted.itertuples(index=False)
    ]
    legend = alt.Legend(title=None, orient="bottom")
    scale = alt.Scale(domain=list(OUTCOMES.values()), range=colours(("c0", "c1", "line")))
    bars = alt.Chart(_frame(rows, ["from", "to", "pairs", "outcome", "order"])).mark_bar(binSpacing=1)
    bars = bars.encode(
        x=alt.X("from:Q", bin="binned", title="match probability", scale=alt.Scale(domain=[0, 1])), x2="to:Q",
        y=alt.Y("pairs:Q", title="pairs", stack="zero"), order="order:Q",
        color=alt.Color("outcome:N", scale=scale, legend=legend),
    )  # fmt: skip
    layers = [bars]
    limits = run.signature.thresholds
    if limits != "majority":  # recorded judges vote, and have no threshold
        rule = alt.Chart(_frame([{"at": float(limits.split("/")[-1])}])).mark_rule(
            color=colour("ink"), strokeDash=[4, 3]
        )
        layers.append(rule.encode(x="at:Q"))
    doubt = pairs.loc[is_true(pairs["borderline"]), "match_probability"].astype(float)
    if len(doubt):
        band = alt.Chart(_frame([{"low": doubt.min(), "high": doubt.max()}])).mark_rect(
            opacity=0.12, color=colour("c4")
        )
        layers.insert(0, band.encode(x="low:Q", x2="high:Q"))
    return alt.layer(*layers).properties(**sized(), height=250)
