"""Data of the alignment browser: the class of every pair and plan, and one document a paper.

Nothing here is markup; the page's script shows every text as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evalkit.metrics.figures import shown_in
from evalkit.report.values import shown_path, text
from evalkit.storage.runs import Run
from evalkit.storage.tables import from_cell
from evalkit.text import normalise

FIGURES = shown_in("browser")
STATES = ("planned", "empty", "unreadable", "missing")
SIDES = {side: [f"{side}_{field}" for field in ("name", "part", "action", "replacements", "metrics")]
         for side in ("gold", "plan")}  # fmt: skip
Row = Mapping[Any, Any]
# Class -> (title, what it counts). The order is the order of every table and filter.
CLASSES: dict[str, tuple[str, str]] = {
    "match": ("Matched", "aligned pairs that are full matches"),
    "wrong-action": ("Wrong action", "right part, but removed, replaced or added where gold does something else"),
    "wrong-replacement": ("Wrong replacement", "right part and action, but no option in common with gold"),
    "part-only": ("Part only", "right part, and not the same ablation for another reason"),
    "missed": ("Missed", "gold entries that nothing in the plan stands for"),
    "spurious": ("Spurious", "plan entries that stand for nothing in gold"),
    "duplicate": ("Duplicate", "plan entries that repeat another entry of the same plan"),
    "borderline": ("Borderline", "pairs inside the band of doubt, whatever was decided"),
    "unread": ("Not read", "plans that are missing, empty or unreadable, or lost an entry on reading"),
}
# "Not read" counts plans; everything else counts entries or pairs.
PLAN_KEY = ["planner", "paper", "sample"]


def is_true(column: pd.Series, expected: bool = True) -> pd.Series:
    """Return where a column of True, False and missing is as expected, however it came back from its file."""
    return column.astype(object).map(lambda value: str(value) == str(expected)).astype(bool)


def keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with "" for an empty planner, paper or sample, which is a missing cell in a run read back."""
    names = [name for name in PLAN_KEY if name in frame]
    return frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), "") for name in names})


def classified(pairs: pd.DataFrame) -> pd.Series:
    """Return the class of each row of pairs; a candidate that is not aligned has none ("")."""
    part = pairs["status"] == "part"
    wrong_action = part & is_true(pairs["same_action"], False)
    shared = pd.to_numeric(pairs["shared_options"], errors="coerce")
    wrong_options = part & ~wrong_action & (shared == 0)
    classes = pd.Series(np.where(pairs["status"] == "candidate", "", pairs["status"]), index=pairs.index, dtype=object)
    classes[part] = "part-only"
    classes[wrong_action] = "wrong-action"
    classes[wrong_options] = "wrong-replacement"
    classes[(pairs["status"] == "spurious") & _repeated(pairs)] = "duplicate"
    return classes


def _repeated(pairs: pd.DataFrame) -> pd.Series:
    """Return whether each row's plan entry says the same as another entry of its plan."""
    entries = keyed(pairs[pairs["plan_entry"].notna() & (pairs["status"] != "candidate")])
    texts = [
        entries[name].astype(object).where(entries[name].notna(), "").map(normalise)
        for name in ("plan_part", "plan_action", "plan_replacements")
    ]
    entries = entries.assign(text=["\0".join(row) for row in zip(*texts, strict=True)])
    distinct = entries.drop_duplicates([*PLAN_KEY, "plan_entry"])
    sizes = distinct.groupby([*PLAN_KEY, "text"])["plan_entry"].transform("size")
    repeated = pd.Series(False, index=pairs.index)
    repeated[sizes.index[sizes > 1]] = True
    return repeated


def diagnostics_by_path(run: Run) -> dict[str, list[list[object]]]:
    """Return path -> what was repaired, doubtful or left out there, as [severity, code, message, line]."""
    by_path: dict[str, list[list[object]]] = {}
    rows = run.diagnostics
    lines = [None if pd.isna(line) else int(line) for line in rows["line"]]
    columns = (rows["path"], rows["severity"], rows["code"], rows["message"], lines)
    for path, *item in zip(*columns, strict=True):
        if isinstance(path, str) and path:
            by_path.setdefault(path, []).append(item)
    return by_path


def counts(run: Run) -> pd.DataFrame:
    """Return one row a planner and paper, one column a class: how many cases there are."""
    rows, plans = keyed(run.pairs).assign(kind=classified(run.pairs)), run.plans
    failing = {path for path, items in diagnostics_by_path(run).items() if any(item[0] == "error" for item in items)}
    # One file may hold many plans; its errors cannot be laid at the door of one of them.
    lost = plans["path"].isin(failing) & ~plans["path"].duplicated(keep=False)
    unread = (plans["status"] != "planned") | lost
    counted = [
        rows.loc[rows["kind"] != "", ["planner", "paper", "kind"]],
        rows.loc[is_true(rows["borderline"]), ["planner", "paper"]].assign(kind="borderline"),
        plans.loc[unread, ["planner", "paper"]].assign(kind="unread"),
    ]
    table = pd.concat(counted).groupby(["planner", "paper", "kind"]).size().unstack("kind", fill_value=0)
    index = pd.MultiIndex.from_frame(run.papers[["planner", "paper"]])
    return table.reindex(index=index, columns=list(CLASSES), fill_value=0)


def gold_hits(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row a gold entry (paper, number): its texts, and for each planner whether it matched it fully."""
    rows = run.pairs[run.pairs["status"].isin(("match", "part", "missed")) & run.pairs["gold_entry"].notna()]
    entry = [rows["paper"], rows["gold_entry"].astype(int)]
    hits = (rows["status"] == "match").groupby([*entry, rows["planner"]]).any().unstack("planner", fill_value=False)
    texts = rows.groupby(entry)[["gold_name", "gold_part", "gold_action"]].first()
    return texts, hits.reindex(columns=run.leaderboard["planner"].tolist(), fill_value=False)


def index(run: Run) -> dict[str, Any]:
    """Return what the list of plans needs: planners best first, papers, a row a plan with figures and cases, and gold.

    Gold entries stand with those found least first: [paper, number, name, part, action, a 0 or 1 for each planner].
    """
    planners, papers = run.leaderboard["planner"].tolist(), sorted(run.papers["paper"].unique())
    planner_index, paper_index = _indices(planners), _indices(papers)
    rows = [
        [paper_index[row["paper"]], planner_index[row["planner"]], STATES.index(row["status"]),
         [_number(row[name]) for name in FIGURES], cases]
        for row, cases in zip(run.papers.to_dict("records"), counts(run).to_numpy().tolist(), strict=True)
    ]  # fmt: skip
    texts, hits = gold_hits(run)
    gold = [
        [paper_index[paper], entry, *map(text, cells), "".join("01"[int(hit)] for hit in own)]
        for (paper, entry), cells, own in zip(texts.index, texts.to_numpy(), hits.to_numpy(), strict=True)
    ]
    gold.sort(key=lambda row: (row[-1].count("1"), row[0], row[1]))
    classes = {name: title for name, (title, _) in CLASSES.items()}
    return {"planners": planners, "papers": papers, "rows": rows, "classes": classes, "gold": gold}


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
                {
                    "planner": planners[plan["planner"]],
                    "sample": plan["sample"],
                    "status": STATES.index(plan["status"]),
                    "path": shown_path(text(plan["path"])),
                    "trace": text(plan["trace"]),
                    "problems": diagnostics.get(text(plan["path"]), []),
                    "entries": _entries(own, "plan"),
                    "pairs": [_pair(row) for row in own],
                }
                for plan, own in zip(by_paper[paper], pairs, strict=True)
            ],
        }


def _entries(pairs: Iterable[Row], side: str) -> list[list[Any]]:
    """Return the entries of one list in order, as [name, part, action, list of options, metrics]."""
    own = {row[f"{side}_entry"]: row for row in pairs if not pd.isna(row[f"{side}_entry"])}
    entries = [[text(own[number][name]) for name in SIDES[side]] for number in sorted(own)]
    return [[*texts, from_cell(options), metrics] for *texts, options, metrics in entries]


def _pair(row: Row) -> list[Any]:
    """Return a pair as [class, gold, plan, part, match, borderline, options, metrics, for, against, decided_by]."""
    numbers = [_whole(row["gold_entry"]), _whole(row["plan_entry"])]
    probabilities = [_number(row["part_probability"]), _number(row["match_probability"])]
    shared = [_whole(row["shared_options"], 0), _whole(row["shared_metrics"], 0)]
    texts = [text(row[name]) for name in ("speaks_for", "speaks_against", "decided_by")]
    return [row["kind"], *numbers, *probabilities, int(row["borderline"]), *shared, *texts]


def _indices(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _whole(value: Any, first: int = 1) -> int | None:
    """Return a count, or an entry's number counted from 0; None where there is none."""
    return None if pd.isna(value) else int(value) - first


def _number(value: Any) -> float | None:
    """Three digits, which is what the page shows."""
    return None if pd.isna(value) else round(float(value), 3)
