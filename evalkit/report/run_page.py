"""The page of a run: verdict, facts, leaderboard, charts, errors, and the alignment browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.report import browser_data, chart_style
from evalkit.report.browser_data import CLASSES, counts
from evalkit.report.charts import CHARTS
from evalkit.report.escaping import address
from evalkit.report.html import LARGEST_INLINE, Page, browser_page, drawn
from evalkit.report.values import brackets, defined, is_best, number, pairs_corrected, papers_shown, shown_path
from evalkit.stats import FEWEST_PAPERS
from evalkit.storage.runs import Run

COLUMNS = [name for name in shown_in("page") if name != "match_f1"]  # which has a column of its own
SECTIONS = (
    ("leaderboard", "Leaderboard"), ("slices", "Slices"), ("charts", "Charts"), ("errors", "Errors"), ("gold", "Gold"),
    ("browser", "Browser"), ("details", "Details"),
)  # fmt: skip
View = dict[str, Any]


def write_report(
    run: Run, path: str | Path, *, largest_inline: int = LARGEST_INLINE, by: str | None = None
) -> list[Path]:
    """Write a run's report, and the folder beside it when it is large; an older report is replaced."""
    return run_page(run, f"{Path(path).stem}-data", largest_inline, by).write(path)


def run_page(
    run: Run, folder: str, largest_inline: int = LARGEST_INLINE, by: str | None = None, home: str = ""
) -> Page:
    """Return the report of one run, with its slices by a field of gold's metadata if one is named.

    `home` is the address of the list that it belongs to, if there is one.
    """
    chart_style.require()
    index, documents = browser_data.index(run), browser_data.documents(run)
    slices = _slices(run, by) if by else None
    sections = [section for section in SECTIONS if section[0] != "slices" or slices]
    content = _view(run) | {"charts": drawn(CHARTS, run), "title": title(run), "sections": sections, "slices": slices}
    content["home"] = home
    return browser_page("run.html.j2", index, documents, folder, largest_inline, **content)


def title(run: Run) -> str:
    """Return what was scored, in a line."""
    planners, papers = len(run.leaderboard), run.papers["paper"].nunique()
    return f"{planners} planner{'s' * (planners != 1)} on {papers} paper{'s' * (papers != 1)}"


def _view(run: Run) -> View:
    figures = [FIGURES[name] for name in _columns(run)]
    cases = counts(run).groupby("planner").sum()
    return {
        "verdict": verdict(run),
        "warnings": list(run.meta.get("warnings", ())),
        "facts": list(_facts(run)),
        "columns": [{"title": figure.capital, "meaning": figure.meaning} for figure in figures],
        "board": list(_leaderboard(run)),
        "most": _scale_end(run),
        "doubt": _doubt(run),
        "classes": [{"kind": kind, "title": name, "meaning": text} for kind, (name, text) in CLASSES.items()],
        "errors": [
            {"planner": planner, "link": address(planner),
             "cells": [{"kind": kind, "count": int(cases.loc[planner, kind])} for kind in CLASSES]}
            for planner in run.leaderboard["planner"]
        ],
        "made": list(_made(run)),
        "signature": list(run.signature.table.items()),
        "problems": list(_diagnostics(run)),
    }  # fmt: skip


def _columns(run: Run) -> list[str]:
    """Return the figures besides match F1; weighted ones only where gold has weights."""
    return [name for name in COLUMNS if name in run.leaderboard]


def _slices(run: Run, field: str) -> View:
    """Return one row a slice and planner, with the figures that slices by this field have."""
    frame = run.by(field)
    names = [name for name in ("match_f1", *COLUMNS) if name in frame and frame[name].notna().any()]

    def cell(row: dict[Any, Any], name: str) -> View:
        low, high = (defined(row.get(f"{name}_{end}")) for end in ("low", "high"))
        return {"value": defined(row[name]), "low": low, "high": high, "small": row["small"] and f"{name}_low" in frame}

    rows = [
        {"slice": row["slice"] or "–", "planner": row["planner"], "papers": papers_shown(row)}
        | {"cells": [cell(row, name) for name in names]}
        for row in frame.to_dict("records")
    ]
    return {"field": field, "columns": [FIGURES[name] for name in names], "rows": rows, "fewest": FEWEST_PAPERS}


def verdict(run: Run) -> str:
    """Say who leads, by how much, and who cannot be told from the leader."""
    first = run.leaderboard.iloc[0]
    best = defined(first["match_f1"])
    if best is None:
        return "No planner has a match F1 that is defined."
    ends = brackets(first.get("match_f1_low"), first.get("match_f1_high"))
    others = run.leaderboard.iloc[1:]
    if not len(others):
        return f"{first['planner']}: match F1 {best:.3f}{ends}."
    lead = f"{first['planner']} has the highest match F1, {best:.3f}{ends}"
    if "p_best" not in others:
        return f"{lead}."
    p = pd.to_numeric(others["p_best"], errors="coerce")
    tied = int(((p >= 0.05) | p.isna()).sum())
    if not tied:
        return f"{lead}, significantly more than {'the other' if len(others) == 1 else 'every other planner'}."
    who = f"{tied} of the other {len(others)} cannot" if tied < len(others) else "no other planner can"
    corrected = pairs_corrected(run.meta.get("settings", {}))
    return f"{lead}; {who} be told from it on these papers (paired permutation test, {corrected}, 5%)."


def _facts(run: Run) -> Iterator[View]:
    """Yield the strip of numbers below the title."""
    totals, status = run.meta["totals"], run.plans["status"].value_counts()
    planned, every = int(status.get("planned", 0)), len(run.plans)
    absent = [f"{int(status[name])} {name}" for name in ("missing", "empty", "unreadable") if status.get(name)]
    failures = int((run.diagnostics["severity"] == "error").sum())
    borderline, pairs = totals["borderline_pairs"], max(totals["pairs"], 1)
    yield _fact("Papers", run.papers["paper"].nunique())
    yield _fact("Gold entries", int(run.papers.groupby("paper")["gold_entries"].first().sum()))
    yield _fact("Plans read", f"{planned} of {every}", ", ".join(absent), planned < every)
    yield _fact("Parse failures", failures, "entries or files left out" if failures else "", failures > 0)
    yield _fact("Borderline pairs", borderline, f"{100 * borderline / pairs:.1f}% of {totals['pairs']}")
    off = run.meta.get("matcher_error")
    error = f", ± {number(off['match_f1'])} in match F1" if off else ""
    yield _fact("Matcher", run.signature.matcher, run.signature.alignment + error)


def _fact(name: str, shown: object, note: str = "", alarm: bool = False) -> View:
    return {"name": name, "value": shown, "note": note, "alarm": alarm}


def _leaderboard(run: Run) -> Iterator[View]:
    frame = run.leaderboard
    # The only planner is not the best of anything.
    columns = _columns(run)
    best = {name: frame[name].max() if len(frame) > 1 else None for name in ("match_f1", *columns)}
    for row in frame.to_dict("records"):
        low, high = defined(row.get("rank_low")), defined(row.get("rank_high"))
        yield {
            "planner": row["planner"],
            "link": address(row["planner"]),
            "rank": int(defined(row.get("rank")) or 0) or "–",
            "ranks": f"{low:.0f}–{high:.0f}" if low is not None and high is not None and low != high else "",
            "f1": defined(row["match_f1"]),
            "best_f1": is_best(row["match_f1"], best["match_f1"]),
            "low": defined(row.get("match_f1_low")),
            "high": defined(row.get("match_f1_high")),
            "cells": [{"value": defined(row[name]), "best": is_best(row[name], best[name])} for name in columns],
        }


def _scale_end(run: Run) -> float:
    """Return where the small scale of match F1 ends: the next fifth above everything on it."""
    names = [name for name in ("match_f1", "match_f1_high") if name in run.leaderboard]
    highest = defined(run.leaderboard[names].max().max())
    return min(1.0, math.ceil(highest * 5 + 1e-9) / 5) if highest else 1.0


def _doubt(run: Run) -> View | None:
    """Say what the headline would be if every borderline pair fell one way, or the other."""
    totals = run.meta["totals"]
    if not totals["borderline_pairs"]:
        return None
    rows = [
        {"planner": row["planner"], "none": defined(row["match_f1_if_none"]), "f1": defined(row["match_f1"]),
         "all": defined(row["match_f1_if_all"])} for row in run.leaderboard.to_dict("records")
    ]  # fmt: skip
    return {"count": totals["borderline_pairs"], "pairs": totals["pairs"], "rows": rows}


def _made(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what the run says of its making; of paths only their ends, as the page is sent to others."""
    made = run.meta.get("provenance", {})
    yield from ((name, made[name]) for name in ("time", "note") if name in made)
    if "command" in made:
        yield "command", " ".join(shown_path(word) for word in made["command"].split(" "))
    yield from made.get("tags", {}).items()
    for name, source in made.get("inputs", {}).items():
        yield name, f"{shown_path(source.get('path', ''))} {source['digest']}".strip()
    if state := made.get("git"):
        dirty = {True: ", changed since", False: "", None: ", unknown whether changed since"}[state["dirty"]]
        yield "commit", f"{state['commit'][:12]}{dirty}"
    yield from (("prompt", f"{shown_path(one['path'])} {one['digest']}") for one in made.get("prompts", ()))


def _diagnostics(run: Run) -> Iterator[View]:
    """Yield the diagnostics by kind, errors first, with one example of each."""
    rank = {"error": 0, "warning": 1, "note": 2}
    groups = list(run.diagnostics.groupby(["severity", "code"], sort=True))
    for (severity, code), rows in sorted(groups, key=lambda group: (rank.get(str(group[0][0]), 3), -len(group[1]))):
        first = rows.iloc[0]
        place = f"{shown_path(first['path'])}: " if isinstance(first["path"], str) and first["path"] else ""
        yield {"severity": severity, "code": code, "count": len(rows), "example": f"{place}{first['message']}"[:400]}
