"""The page of many runs: a list to search and choose from, or a comparison of all of them over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.comparison.differences import FigureChange
from evalkit.comparison.entry_history import entry_histories
from evalkit.comparison.history import Group, History, Line
from evalkit.report import chart_style
from evalkit.report.escaping import script_json
from evalkit.report.history_charts import CHARTS
from evalkit.report.history_text import conclusions, entry_facts, found_line, planner_of, share, signed, title_of
from evalkit.report.html import LIST_SCRIPTS, Page, drawn, render
from evalkit.report.values import defined, shown_path

View = dict[str, Any]
MOST_LINES = 5  # planners of the small trend
MOST_PLANNERS = 50
SHOWN_ENTRIES = 200
MOST_ENTRY_RUNS = 60  # whose pairs are read for the table of entries
WIDTH, HEIGHT, EDGE = 1000, 160, 8  # of the small trend


def _nowhere(*names: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the other views of these runs are; empty where there is none.

    `data` is what else the page's script gets: whether it is served, by what token, and where comparisons are.
    """

    home: str = ""
    many: str = ""
    run: Callable[[str], str] = _nowhere
    pair: Callable[[str, str], str] = _nowhere
    planner: Callable[[str], str] = _nowhere
    data: Mapping[str, Any] = field(default_factory=lambda: {"live": False, "pairs": {}, "many": ""})


NO_PLACES = Places()


def write_runs(result: History, path: str | Path) -> list[Path]:
    """Write the comparison of many runs as one page."""
    return Page(many_page(result), "", {}).write(path)


def list_page(result: History, places: Places, *, tested: bool) -> str:
    """Return the list of runs, to search and to choose from."""
    live = bool(places.data["live"])
    return _page(result, places, pick=True, live=live, tested=tested, title="Runs", charts=[], planners=[],
                 entries=None, sections=(("runs", "Runs"),))  # fmt: skip


def many_page(result: History, places: Places = NO_PLACES) -> str:
    """Return the comparison of many runs: their changes, charts, planners, and gold entries found and lost."""
    chart_style.require()
    main = result.groups[0] if result.groups else None
    planners = list(_planners(main, places)) if main and len(main.lines) > 1 else []
    sections = [("runs", "Runs"), ("charts", "Charts"), ("planners", "Planners"), ("entries", "Gold entries")]
    return _page(
        result, places, pick=False, live=False, tested=True, title=_title(result), planners=planners,
        charts=drawn(CHARTS, result) if main else [], entries=_entries(main) if main else None, sections=sections,
    )  # fmt: skip


def _title(result: History) -> str:
    count = sum(len(group.lines) for group in result.groups)
    return f"{count} run{'s' * (count != 1)} over time"


def _page(result: History, places: Places, **content: Any) -> str:
    main = result.groups[0] if result.groups else None
    live, pick = bool(places.data["live"]), content["pick"]
    order = [line.run.name for line in sorted(result.lines, key=lambda line: (line.run.time, line.run.name))]
    return render(
        "runs.html.j2", LIST_SCRIPTS, **content, home=places.home, many=places.many, metric=title_of(result.metric),
        lead=list(_lead(result, main)), warnings=[], trend=_trend(main) if main and pick else None,
        groups=[_group(group, places, newest_first=pick) for group in result.groups], most=_scale_end(result),
        unread=[(shown_path(path), reason) for path, reason in result.unread], documents=not live,
        data=script_json({**places.data, "order": order}),
    )  # fmt: skip


def _lead(result: History, main: Group | None) -> Iterator[str]:
    """Yield what the runs show, in sentences."""
    if main is None:
        yield "There is no run yet; one that is written here appears by itself."
        return
    sentences = list(conclusions(result, main))
    apart = sum(len(group.lines) for group in result.groups[1:])
    others = f", and {apart} that may not be compared with them" if apart else ""
    yield f"{len(main.lines)} run{'s' * (len(main.lines) != 1)} of {main.lines[-1].planner}{others}."
    yield from (f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)


def _scale_end(result: History) -> float:
    """Return where the small scales end: the next fifth above everything on them."""
    values = [value for line in result.lines for value in (line.scored.value, line.scored.high)]
    highest = max((value for value in values if not math.isnan(value)), default=0.0)
    return min(1.0, math.ceil(highest * 5 + 1e-9) / 5) if highest > 0 else 1.0


def _group(group: Group, places: Places, *, newest_first: bool) -> View:
    rows = [_row(line, group, places) for line in group.lines]
    return {"reason": group.reason, "rows": rows[::-1] if newest_first else rows}


def _row(line: Line, group: Group, places: Places) -> View:
    run, scored = line.run, line.scored
    planners = ", ".join(run.board)
    lines = [f"{key}={value}" for key, value in run.tags.items()]
    return {
        "name": run.name, "link": places.run(run.name), "note": run.note, "says_time": run.says_time,
        "words": " ".join((run.name, run.note, *lines, planners, run.time)).lower(),
        "made": f"{'' if run.says_time else '~'}{run.time[:16].replace('T', ' ')}",
        "value": defined(scored.value), "low": defined(scored.low), "high": defined(scored.high),
        "best": line is group.best and len(group.lines) > 1, "papers": scored.papers, "planners": planners,
        "planner": planner_of(line),
        "tags": list(run.tags.items()), "tag_lines": "\n".join(lines),
        "previous": _step(line.previous, places), "since_best": _step(line.best, places),
        "chance": share(line.best_probability), "chance_value": line.best_probability,
    }  # fmt: skip


def _step(change: FigureChange | None, places: Places) -> View | None:
    """Return a change for its cell, with the page of the two runs; None where there is none."""
    if change is None or change.difference is None:
        return None
    text = signed(change.difference).replace("-", "−")
    link = places.pair(change.was, change.planner)
    return {"text": text, "verdict": change.verdict, "value": change.difference, "link": link}


def _trend(group: Group) -> View | None:
    """Return the small trend: the planners' lines, in pieces where runs lack them, and the followed one's interval."""
    trends = {name: group.trend(name) for name in group.planners[:MOST_LINES]}
    ends = [(line.scored.low, line.scored.high) for line in group.lines]
    known = [value for values in (*trends.values(), *ends) for value in values if not math.isnan(value)]
    if len(group.lines) < 2 or not known:
        return None
    low, high = min(known), max(known)
    lines = [
        {"planner": name, "at": at, "pieces": _pieces(values, low, high)}
        for at, (name, values) in enumerate(trends.items())
    ]
    with_ends = [(place, *own) for place, own in enumerate(ends) if not math.isnan(own[0])]
    outline = [(place, top) for place, _, top in with_ends] + [(place, bottom) for place, bottom, _ in with_ends[::-1]]
    band = " ".join(_point(place, value, len(ends), low, high) for place, value in outline)
    return {"lines": lines, "band": band, "low": f"{low:.3f}", "high": f"{high:.3f}", "runs": len(group.lines)}


def _pieces(values: Sequence[float], low: float, high: float) -> list[str]:
    """Return the points of a line, in pieces where values are missing; a piece of one point is a short dash."""
    pieces: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if math.isnan(value):
            pieces.append([])
        else:
            pieces[-1].append(_point(place, value, len(values), low, high))
    return [" ".join(piece if len(piece) > 1 else piece * 2) for piece in pieces if piece]


def _point(place: int, value: float, count: int, low: float, high: float) -> str:
    x = WIDTH * place / max(count - 1, 1)
    y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / ((high - low) or 1.0)
    return f"{x:.1f},{y:.1f}"


def _planners(group: Group, places: Places) -> Iterator[View]:
    """Yield each planner over the runs, those that are followed first."""
    trends = {name: group.trend(name) for name in group.planners[:MOST_PLANNERS]}
    every = [value for trend in trends.values() for value in trend if not math.isnan(value)]
    for name, trend in trends.items():
        known = [value for value in trend if not math.isnan(value)]
        yield {
            "planner": name, "link": places.planner(name), "runs": len(known), "low": min(known, default=None),
            "high": max(known, default=None), "newest": known[-1] if known else None,
            "pieces": _pieces(trend, min(every), max(every)) if known else [],
        }  # fmt: skip


def _entries(group: Group) -> View:
    """Return when gold entries were found and lost, those that turned most often first."""
    if len(group.lines) > MOST_ENTRY_RUNS:
        summary = f"`evalkit history --entries` lists the gold entries of more than {MOST_ENTRY_RUNS} runs."
        return {"summary": summary, "rows": []}
    names = [line.run.name for line in group.lines]
    every = entry_histories(group)
    turned = [entry for entry in every if entry.changes]
    always = sum(all(found for _, found in entry.known) for entry in every)
    rows = [entry_facts(entry, names) | {"line": found_line(entry.found)} for entry in turned[:SHOWN_ENTRIES]]
    more = f" The {SHOWN_ENTRIES} that turned most often are shown." if len(turned) > SHOWN_ENTRIES else ""
    never = len(every) - len(turned) - always
    summary = (
        f"Of {len(every)} entries {always} were found in every run, {never} in none, and {len(turned)} were found or "
        f"lost on the way. The same prompt asked again turns entries, too.{more}"
    )
    return {"summary": summary, "rows": rows}
