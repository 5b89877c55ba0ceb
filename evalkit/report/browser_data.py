"""The data of the page's alignment browser: one index of plans, and one document a paper.

Nothing here is markup; the page's script shows every text as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from evalkit.metrics.figures import shown_in
from evalkit.report.error_classes import CLASSES, classified, counts, diagnostics_by_path, gold_hits, is_true, keyed
from evalkit.report.values import text
from evalkit.storage.runs import Run
from evalkit.storage.tables import from_cell

FIGURES = shown_in("browser")
Row = Mapping[Any, Any]
STATES = ("planned", "empty", "unreadable", "missing")
SIDES = {side: [f"{side}_{field}" for field in ("name", "part", "action", "replacements", "metrics")]
         for side in ("gold", "plan")}  # fmt: skip


def index(run: Run) -> dict[str, Any]:
    """Return what the list of plans needs: planners best first, papers, and a row a plan with figures and cases."""
    planners = run.leaderboard["planner"].tolist()
    papers = sorted(run.papers["paper"].unique())
    planner_index, paper_index = _indices(planners), _indices(papers)
    rows = [
        [paper_index[row["paper"]], planner_index[row["planner"]], STATES.index(row["status"]),
         [_number(row[name]) for name in FIGURES], cases]
        for row, cases in zip(run.papers.to_dict("records"), counts(run).to_numpy().tolist(), strict=True)
    ]  # fmt: skip
    classes = {name: title for name, (title, _) in CLASSES.items()}
    return {"planners": planners, "papers": papers, "rows": rows, "classes": classes, "gold": _gold(run, paper_index)}


def _gold(run: Run, paper_index: Mapping[str, int]) -> list[list[Any]]:
    """Gold entries, those found least first: [paper, number, name, part, action, a 0 or 1 for each planner]."""
    texts, hits = gold_hits(run)
    rows = [
        [paper_index[paper], entry, *map(text, cells), "".join("01"[int(hit)] for hit in own)]
        for (paper, entry), cells, own in zip(texts.index, texts.to_numpy(), hits.to_numpy(), strict=True)
    ]
    return sorted(rows, key=lambda row: (row[-1].count("1"), row[0], row[1]))


def documents(run: Run) -> Iterator[dict[str, Any]]:
    """Yield one document a paper, in the order of the index: gold, and every planner's plan with its pairs."""
    planners = _indices(run.leaderboard["planner"].tolist())
    diagnostics = diagnostics_by_path(run)
    rows = keyed(run.pairs).assign(kind=classified(run.pairs), borderline=is_true(run.pairs["borderline"]))
    # Plain dictionaries from here on: thousands of small frames would take most of the time that a report takes.
    by_plan: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows.to_dict("records"):
        by_plan.setdefault((row["paper"], row["planner"], row["sample"]), []).append(row)
    by_paper: dict[str, list[Row]] = {}
    for plan in keyed(run.plans).to_dict("records"):
        by_paper.setdefault(plan["paper"], []).append(plan)
    for paper in sorted(by_paper):
        pairs = [by_plan.get((paper, plan["planner"], plan["sample"]), []) for plan in by_paper[paper]]
        yield {
            "gold": _entries([row for own in pairs for row in own], "gold"),
            "plans": [
                _plan(plan, own, planners, diagnostics) for plan, own in zip(by_paper[paper], pairs, strict=True)
            ],
        }


def _plan(
    plan: Row, pairs: Sequence[Row], planners: Mapping[str, int], diagnostics: Mapping[str, list[list[object]]]
) -> dict[str, Any]:
    """One plan: where it came from, its entries and the pairs they stand in."""
    path = text(plan["path"])
    return {
        "planner": planners[plan["planner"]],
        "sample": plan["sample"],
        "status": STATES.index(plan["status"]),
        "path": path,
        "trace": text(plan["trace"]),
        "problems": diagnostics.get(path, []),
        "entries": _entries(pairs, "plan"),
        "pairs": [_pair(row) for row in pairs],
    }


def _entries(pairs: Iterable[Row], side: str) -> list[list[Any]]:
    """The entries of one side in their order, as [name, part, action, list of options, metrics]."""
    own = {row[f"{side}_entry"]: row for row in pairs if not pd.isna(row[f"{side}_entry"])}
    entries = [[text(own[number][name]) for name in SIDES[side]] for number in sorted(own)]
    return [[*texts, from_cell(options), metrics] for *texts, options, metrics in entries]


def _pair(row: Row) -> list[Any]:
    """A row of pairs: [class, gold, plan, part, match, borderline, options, metrics, for, against, decided_by]."""
    return [
        row["kind"],
        _whole(row["gold_entry"]),
        _whole(row["plan_entry"]),
        _number(row["part_probability"]),
        _number(row["match_probability"]),
        int(row["borderline"]),
        _whole(row["shared_options"], 0),
        _whole(row["shared_metrics"], 0),
        text(row["speaks_for"]),
        text(row["speaks_against"]),
        text(row["decided_by"]),
    ]


def _indices(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _whole(value: Any, first: int = 1) -> int | None:
    """A count or an entry's number as a whole number, entries from 0; None where there is none."""
    return None if pd.isna(value) else int(value) - first


def _number(value: Any) -> float | None:
    """Three digits, which is what the page shows."""
    return None if pd.isna(value) else round(float(value), 3)
