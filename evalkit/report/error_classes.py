"""Error classes: what kind of case every pair and plan of a run is, and how many of each a plan has."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evalkit.storage.runs import Run
from evalkit.text import normalise

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
    """Rows whose plan entry says the same as another entry of its plan."""
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


def _unread(run: Run) -> pd.Series:
    """For each row of plans: whether there is no plan, or entries of it were lost on reading."""
    plans = run.plans
    failing = {path for path, items in diagnostics_by_path(run).items() if any(item[0] == "error" for item in items)}
    # One file may hold many plans; its errors cannot be laid at the door of one of them.
    alone = ~plans["path"].duplicated(keep=False)
    return (plans["status"] != "planned") | (plans["path"].isin(failing) & alone)


def counts(run: Run) -> pd.DataFrame:
    """Return one row a planner and paper, one column a class: how many cases there are."""
    rows = keyed(run.pairs).assign(kind=classified(run.pairs))
    counted = [rows.loc[rows["kind"] != "", ["planner", "paper", "kind"]]]
    counted.append(rows.loc[is_true(rows["borderline"]), ["planner", "paper"]].assign(kind="borderline"))
    counted.append(run.plans.loc[_unread(run), ["planner", "paper"]].assign(kind="unread"))
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
