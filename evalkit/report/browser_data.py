"""Takes a Run, gives what the alignment browser needs as JSON: one index, and one document a paper.

Nothing here is markup. The page's script puts every text in with textContent, and `embed` makes JSON that cannot end
the element it stands in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from evalkit.metrics.figures import shown_in
from evalkit.report.error_classes import CLASSES, classified, counts, found_by, is_true, keyed, problems
from evalkit.storage.csv import from_cell
from evalkit.storage.runs import Run

FIGURES = shown_in("browser")
# Signs of markup, line ends of JavaScript, and what would steer a terminal or the direction of a line.
_ESCAPED = re.compile("[<>&\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
Row = Mapping[Any, Any]
STATES = ("planned", "empty", "unreadable", "missing")
SIDES = {side: [f"{side}_{field}" for field in ("name", "part", "action", "replacements", "metrics")]
         for side in ("gold", "plan")}  # fmt: skip


def embed(content: object) -> str:
    """JSON that can stand inside a script element: no `<`, so that no text can close it or open a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return whole(_ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def whole(text: str) -> str:
    """Text that UTF-8 can hold: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def index(run: Run) -> dict[str, Any]:
    """What the list of plans needs: planners best first, papers, and one row a plan with figures and case counts."""
    planners = run.leaderboard["planner"].tolist()
    papers = sorted(run.papers["paper"].unique())
    table = counts(run).to_numpy().tolist()
    at_planner, at_paper = _places(planners), _places(papers)
    rows = [
        [at_paper[row["paper"]], at_planner[row["planner"]], STATES.index(row["status"]),
         [_number(row[name]) for name in FIGURES], cases]
        for row, cases in zip(run.papers.to_dict("records"), table, strict=True)
    ]  # fmt: skip
    classes = {kind: title for kind, (title, _) in CLASSES.items()}
    return {"planners": planners, "papers": papers, "rows": rows, "classes": classes, "gold": _gold(run, at_paper)}


def _gold(run: Run, at_paper: dict[str, int]) -> list[list[Any]]:
    """Gold entries, those found least first: [paper, number, name, part, action, a 0 or 1 for each planner]."""
    texts, hits = found_by(run)
    rows = [
        [at_paper[paper], entry, *(_text(value) for value in said), "".join("01"[int(hit)] for hit in found)]
        for (paper, entry), said, found in zip(texts.index, texts.to_numpy(), hits.to_numpy(), strict=True)
    ]
    return sorted(rows, key=lambda row: (row[-1].count("1"), row[0], row[1]))


def documents(run: Run) -> Iterator[dict[str, Any]]:
    """One document a paper, in the order of the index: gold, and every planner's plan with its pairs."""
    planners = _places(run.leaderboard["planner"].tolist())
    found = problems(run)
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
            "gold": _entries([row for one in pairs for row in one], "gold"),
            "plans": [_plan(plan, one, planners, found) for plan, one in zip(by_paper[paper], pairs, strict=True)],
        }


def _plan(
    plan: Row, pairs: Sequence[Row], planners: dict[str, int], found: dict[str, list[list[object]]]
) -> dict[str, Any]:
    """One plan: where it came from, its entries and the pairs they stand in."""
    path = _text(plan["path"])
    return {
        "planner": planners[plan["planner"]],
        "sample": plan["sample"],
        "status": STATES.index(plan["status"]),
        "path": path,
        "trace": _text(plan["trace"]),
        "problems": found.get(path, []),
        "entries": _entries(pairs, "plan"),
        "pairs": [_pair(row) for row in pairs],
    }


def _entries(pairs: Iterable[Row], side: str) -> list[list[Any]]:
    """The entries of one side in their order, as [name, part, action, list of options, metrics]."""
    own = {row[f"{side}_entry"]: row for row in pairs if not pd.isna(row[f"{side}_entry"])}
    entries = [[_text(own[number][name]) for name in SIDES[side]] for number in sorted(own)]
    return [[*texts, from_cell(options), metrics] for *texts, options, metrics in entries]


def _pair(row: Row) -> list[Any]:
    """A row of pairs: [class, gold, plan, part, match, borderline, options, metrics, for, against, decided_by]."""
    return [
        row["kind"],
        _place(row["gold_entry"]),
        _place(row["plan_entry"]),
        _number(row["part_probability"]),
        _number(row["match_probability"]),
        int(row["borderline"]),
        _place(row["shared_options"], 0),
        _place(row["shared_metrics"], 0),
        _text(row["speaks_for"]),
        _text(row["speaks_against"]),
        _text(row["decided_by"]),
    ]


def _places(names: Sequence[str]) -> dict[str, int]:
    """Where each name stands."""
    return {name: at for at, name in enumerate(names)}


def _place(value: Any, first: int = 1) -> int | None:
    """A count or an entry's number as a whole number, entries from 0; None where there is none."""
    return None if pd.isna(value) else int(value) - first


def _number(value: Any) -> float | None:
    """Three digits, which is what the page shows."""
    return None if pd.isna(value) else round(float(value), 3)


def _text(value: object) -> str:
    """A cell as text; missing is empty."""
    return value if isinstance(value, str) else ""
