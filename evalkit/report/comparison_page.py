"""The page of two runs and its charts: lost and gained first, differences, papers, and both alignments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.comparison import Comparison, FigureChange, compare, snapshot_of
from evalkit.metrics.figures import TITLES, shown_in
from evalkit.report import browser_data, chart_style
from evalkit.report.browser_data import CLASSES
from evalkit.report.chart_style import SERIES, Charts, colour, colours, draw, label, labels, registered, sized, titled
from evalkit.report.comparison_text import gold_entry, interval, plan_entries, planner_name, slice_cells, slice_rows
from evalkit.report.escaping import address
from evalkit.report.html import LARGEST_INLINE, Page, browser_page, drawn
from evalkit.report.values import CORRECTIONS, brackets, defined, p_value, shown_path
from evalkit.stats import FEWEST_PAPERS
from evalkit.storage.runs import Run
from evalkit.text import normalise_id

View = dict[str, Any]
CHARTS: Charts = {}
MOST_PLANNERS = 12
PAPERS = 30  # of a chart
HEADLINE = "match_f1"
SHOWN = 200  # entries in the page's own list; the browser has all
SECTIONS = (
    ("changes", "Changes"), ("entries", "Gained and lost"), ("charts", "Charts"), ("browser", "Browser"),
    ("details", "Details"),
)  # fmt: skip


def write_comparison(
    runs: dict[str, Run], path: str | Path, *, force: bool = False, largest_inline: int = LARGEST_INLINE,
    by: str | None = None,
) -> list[Path]:  # fmt: skip
    """Write the report of two runs, base and new, and the folder beside it when it is large."""
    return comparison_page(runs, f"{Path(path).stem}-data", force, largest_inline, by).write(path)


def comparison_page(
    runs: dict[str, Run], folder: str, force: bool, largest_inline: int = LARGEST_INLINE, by: str | None = None,
    home: str = "", renamed: Mapping[str, str] | None = None,
) -> Page:  # fmt: skip
    """Return the page of two runs under their names, base first, with slices by a field if one is named.

    `home` is as in `run_page`, `renamed` as in `compare`.
    """
    chart_style.require()
    (base_name, base), (new_name, new) = runs.items()
    if shown_path(base_name) != shown_path(new_name):
        base_name, new_name = shown_path(base_name), shown_path(new_name)
    sides = snapshot_of(base, base_name), snapshot_of(new, new_name)
    both_labelled = all("labelled" in side.papers for side in sides)
    result = compare(*sides, force=force, renamed=renamed, corrected=(HEADLINE,) if both_labelled else (),
                     by=(by,) if by else ())  # fmt: skip
    index, documents = _index(new, result), _documents(base, new, result)
    charts = drawn(CHARTS if len(result.moved_papers) else {}, result)
    content = _view(result) | {"charts": charts, "title": f"{new_name} against {base_name}", "sections": SECTIONS}
    content["home"] = home
    return browser_page("comparison.html.j2", index, documents, folder, largest_inline, **content)


def _view(result: Comparison) -> View:
    counts = result.entries["change"].value_counts()
    only = zip((result.base.name, result.new.name), result.only_planners, result.only_papers, strict=True)
    forced = [
        f"Not like with like: {name} is {base} in {result.base.name} and {new} in {result.new.name}."
        for name, (base, new) in result.forced.items()
    ]
    return {
        "verdict": verdict(result),
        "also": also_moved(result),
        "warnings": [*forced, *result.warnings],
        "metric": TITLES.get(result.metric, result.metric),
        "target": result.target,
        "correction": CORRECTIONS[result.correction],
        "changes": _changes(result.headline),
        "corrected": _changes(result.corrected),
        "slices": [_slices(result, field) for field in result.slices],
        "lost": int(counts.get("lost", 0)),
        "gained": int(counts.get("gained", 0)),
        "entries": [_entry(row) for row in result.entries.head(SHOWN).to_dict("records")],
        "more": max(0, len(result.entries) - SHOWN),
        "failures": [{str(k): v for k, v in row.items()} for row in result.failures.head(SHOWN).to_dict("records")],
        "only": [{"run": name, "planners": planners, "papers": papers[:SHOWN]} for name, planners, papers in only],
        "signatures": [(side.name, list(side.signature.table.items())) for side in (result.base, result.new)],
    }


def verdict(result: Comparison) -> str:
    """Say in a sentence what the comparison shows."""
    headline, name = result.headline, TITLES.get(result.metric, result.metric)
    if len(headline) == 1:
        only = headline[0]
        if only.difference is None:
            return f"{name} of {only.planner} is undefined in one of the two runs."
        ends = brackets(only.low, only.high, 3, signed=True)
        could_see = "" if only.detectable is None else f"; could see {only.detectable:.3f} (80% power)"
        moved = f"{name} {only.base:.3f} → {only.new:.3f}, {only.difference:+.3f}{ends}"
        return f"{only.planner}: {moved}: {only.verdict}{could_see}.{_by_labels(result)}"
    counts = f"{_counted(headline)} (paired permutation over papers, {CORRECTIONS[result.correction]}, 5%)"
    return f"{name} of {len(headline)} planners: {counts}.{_by_labels(result)}"


def also_moved(result: Comparison) -> str:
    """Name the other figures that moved by their own intervals, with the planners they did so for; empty for none."""
    planners = len(result.headline)
    moves = []
    for name in shown_in("page"):
        own = [change for change in result.changes if change.figure == name != result.metric]
        up = sum(change.low is not None and change.low > 0 for change in own)
        down = sum(change.high is not None and change.high < 0 for change in own)
        for count, way in ((up, "up"), (down, "down")):
            if count:
                moves.append(f"{TITLES[name]} {way}" + (f" for {count} of {planners} planners" if planners > 1 else ""))
    return f"Other figures whose interval leaves out 0 (exploratory): {', '.join(moves)}." if moves else ""


def _counted(items: Sequence[FigureChange]) -> str:
    """Say how many planners are better, worse, or neither."""
    verdicts = [item.verdict for item in items]
    kinds = ("better", "worse", "inconclusive", "no change")
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds if kind in verdicts)


def _by_labels(result: Comparison) -> str:
    """Say what labels make of it; they can say otherwise."""
    if not result.corrected:
        return ""
    only = result.corrected[0]
    changes = _counted(result.corrected) if len(result.corrected) > 1 else f"{interval(only)}, {only.verdict}"
    return f" Corrected by labels: {changes}."


def _changes(items: Sequence[FigureChange]) -> list[View]:
    """Return the rows of a table of changes; an interval's ends are shares of the widest one, for its small picture."""
    largest = max((abs(end) for item in items for end in (item.low, item.high) if end is not None), default=0.0) or 1.0

    def share(value: float | None) -> float | None:
        return None if value is None else (value / largest + 1) / 2

    return [
        asdict(item)
        | {"at": share(item.difference), "from": share(item.low), "to": share(item.high)}
        | {"planner": planner_name(item), "link": address(item.planner)}
        | {"p": p_value(item.p_adjusted), "needed": item.papers_needed}
        for item in items
    ]


def _slices(result: Comparison, field: str) -> View:
    """Return the changes by a field of gold's metadata."""
    rows = [
        {"slice": value, "planner": planner_name(change), "cells": slice_cells(change)}
        for value, change in slice_rows(result, field)
    ]
    figure = next((change.figure for _, change in slice_rows(result, field)), result.metric)
    return {"field": field, "figure": TITLES.get(figure, figure), "rows": rows, "fewest": FEWEST_PAPERS}


def _entry(row: dict[Any, Any]) -> View:
    link = f"paper={address(row['paper'])}&planner={address(row['planner'])}"
    shown = {name: row[name] for name in ("change", "planner", "paper")}
    return shown | {"link": link, "gold": gold_entry(row), "plan": plan_entries(row)}


def _index(new: Run, result: Comparison) -> View:
    """Return the plans that both runs have: figures of new, what base had, and what was gained and lost."""
    index = browser_data.index(new)
    papers = {normalise_id(name): number for number, name in enumerate(index["papers"])}
    planners = {name: number for number, name in enumerate(index["planners"])}
    moved = result.entries.groupby(["planner", "paper", "change"]).size().to_dict()
    before = {
        (papers[normalise_id(row["paper"])], planners[row["planner"]]): row for row in result.papers.to_dict("records")
    }
    rows = []
    for paper, planner, status, figures, cases in index["rows"]:
        if (old := before.get((paper, planner))) is None:
            continue
        counts = [int(moved.get((old["planner"], old["paper"], change), 0)) for change in ("gained", "lost")]
        rows.append([paper, planner, status, figures, [*cases, *counts], defined(old["base"])])
    classes = {name: title for name, (title, _) in CLASSES.items()} | {"gained": "Gained", "lost": "Lost"}
    names = {"base": result.base.name, "new": result.new.name}
    return index | {"rows": rows, "classes": classes, "compared": names, "gold": []}


def _documents(base: Run, new: Run, result: Comparison) -> Iterator[View]:
    """Yield the documents of new, each with base's beside it; base's planners are counted as new's are."""
    names = dict(result.pairs)
    order = {name: number for number, name in enumerate(new.leaderboard["planner"])}
    numbers = [order.get(names.get(planner, ""), -1) for planner in base.leaderboard["planner"]]
    papers = [normalise_id(name) for name in sorted(base.papers["paper"].unique())]
    before = dict(zip(papers, browser_data.documents(base), strict=True))
    changes = _entry_changes(result)
    for paper, document in zip(sorted(new.papers["paper"].unique()), browser_data.documents(new), strict=True):
        key = normalise_id(paper)
        old = before.get(key, {"gold": [], "plans": []})
        plans = [plan | {"planner": numbers[plan["planner"]]} for plan in old["plans"]]
        moved = {str(number): changes.get(key, {}).get(name, []) for name, number in order.items()}
        yield document | {"base": {"gold": old["gold"], "plans": plans}, "moved": moved}


def _entry_changes(result: Comparison) -> dict[str, dict[str, list[list[str]]]]:
    """Paper -> planner -> [name, part, change] of the gold entries that were gained or lost."""
    changes: dict[str, dict[str, list[list[str]]]] = {}
    for row in result.entries.to_dict("records"):
        own = changes.setdefault(normalise_id(row["paper"]), {}).setdefault(row["planner"], [])
        own.append([row["gold_name"], row["gold_part"], row["change"]])
    return changes


def chart(result: Comparison, kind: str) -> Any:
    """Draw one of CHARTS for this comparison; in a notebook it shows itself."""
    return draw(CHARTS, kind, result, "chart of a comparison")


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
    zero = alt.Chart(pd.DataFrame([{"at": 0.0}])).mark_rule(color=colour("muted")).encode(x="at:Q")
    x = alt.X("value:Q", title=title)
    ends = {"x": alt.X("low:Q", title=title), "x2": "high:Q"}
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(x=x)
    if any(row["low"] is not None for row in rows):  # no bar of nothing
        marks = base.mark_rule(strokeWidth=2.5, opacity=0.5).encode(**ends) + marks
    step = 34 if order == names else 14 * max(2, len(names))
    return (zero + marks).properties(**sized(), height=alt.Step(step) if order == names else step * len(order))


def _change_rows(result: Comparison, figures: list[str]) -> list[dict[str, Any]]:
    """Return what a chart needs of the changes in these figures."""
    names = labels([change.planner for change in result.headline])
    return [
        {"row": TITLES.get(change.figure, change.figure), "name": names[change.planner], "value": change.difference,
         "low": change.low, "high": change.high}
        for change in result.changes if change.figure in figures and change.difference is not None
    ]  # fmt: skip


def _axis(result: Comparison) -> str:
    return f"{TITLES.get(result.metric, result.metric)}, new minus base"


@registered(CHARTS, "changes", "Better or worse, and how sure is that?")
def changes(result: Comparison) -> Any:
    """Difference with its 95% interval over the papers that both have. Right of the line is better."""
    rows = [row | {"row": row["name"]} for row in _change_rows(result, [result.metric])]
    largest = sorted((abs(row["value"]) for row in rows), reverse=True)[:MOST_PLANNERS]
    names = [str(row["name"]) for row in rows if abs(row["value"]) >= largest[-1]][:MOST_PLANNERS] if rows else []
    chart = _moves([row for row in rows if row["name"] in names], _axis(result), names, names)
    more = len(rows) > len(names)
    return titled(chart, f"the {len(names)} of {len(rows)} planners that moved most" if more else "")


@registered(CHARTS, "figures", "Which other figures moved?")
def figures(result: Comparison) -> Any:
    """The other figures on the same papers: exploratory, for of a dozen one stands apart by chance quite often."""
    others = [
        name for name in shown_in("page") if name != result.metric and any(c.figure == name for c in result.changes)
    ]
    rows = _change_rows(result, others)
    every = list(dict.fromkeys(str(row["name"]) for row in rows))
    names = every[: len(SERIES)]
    order = [TITLES[name] for name in others if any(row["row"] == TITLES[name] for row in rows)]
    chart = _moves([row for row in rows if row["name"] in names], "new minus base", order, names)
    return titled(chart, f"the first {len(names)} of {len(every)} planners" if len(every) > len(names) else "")


@registered(CHARTS, "papers", "On which papers?")
def papers(result: Comparison) -> Any:
    """Papers that moved, from base to new; of many, the 30 that moved most."""
    import altair as alt

    moved = result.moved_papers.dropna(subset="difference").head(PAPERS)
    names = labels([change.planner for change in result.headline])
    several = len(names) > 1
    rows = [
        {"row": label(f"{row['paper']} · {names[row['planner']]}" if several else row["paper"], 36),
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
    return (lines + heads).properties(**sized(), height=alt.Step(18))
