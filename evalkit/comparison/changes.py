"""Where two snapshots differ: papers, gold entries, and what can no longer be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from evalkit.comparison.comparable import Pair, PaperRows, papers_of
from evalkit.comparison.snapshot import GOLD_TEXTS, Snapshot

PAPER_COLUMNS = ["planner", "paper", "base", "new", "difference", "base_status", "new_status"]
ENTRY_COLUMNS = [
    "planner", "paper", "change", "id", *GOLD_TEXTS, "base_share", "new_share", "base_entry", "new_entry", "new_status",
]  # fmt: skip
FAILURE_COLUMNS = ["planner", "paper", "kind", "base", "new"]
# What counts as a failure to read; a plan that is missing is a matter of coverage. Where plans without entries are
# skipped (--missing skip), one that can no longer be read is absent.
PARSE_FAILURES = ("unreadable", "empty", "entries-left-out", "absent")


def paper_changes(shared: Mapping[Pair, PaperRows], figure: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    """Return one row a planner and paper that both have, the largest difference first."""
    tables = []
    for (_, planner), (base, new) in shared.items():
        table = pd.DataFrame({"paper": new["paper"], "base": figure(base), "new": figure(new)})
        states = {"base_status": base["status"], "new_status": new["status"]}
        tables.append(table.assign(planner=planner, difference=table["new"] - table["base"], **states))
    rows = pd.concat(tables)[PAPER_COLUMNS]
    return _largest_first(rows, rows["difference"].abs(), ["planner", "paper"])


def _largest_first(frame: pd.DataFrame, size: pd.Series, ties: list[str]) -> pd.DataFrame:
    """Sort rows by size, the largest first and undefined last."""
    order = frame.assign(size=size.fillna(-1.0)).sort_values(["size", *ties], ascending=[False, *[True] * len(ties)])
    return order.drop(columns="size").reset_index(drop=True)


def entry_changes(base: Snapshot, new: Snapshot, pairs: Sequence[Pair], papers: pd.DataFrame) -> pd.DataFrame:
    """Return gold entries matched more often than before ("gained") or less ("lost"), whole changes first."""
    place = ["planner", "key", "id"]
    before = base.matches.assign(planner=base.matches["planner"].map(dict(pairs))).dropna(subset="planner")
    both = before.merge(new.matches, on=place, suffixes=("_base", "_new"))
    changed = both[both["share_base"] != both["share_new"]]
    gain = changed["share_new"] - changed["share_base"]
    names = {f"{name}_{side}": f"{side}_{name}" for name in ("share", "entry", "status") for side in ("base", "new")}
    rows = changed.rename(columns=names).assign(change=np.where(gain > 0, "gained", "lost"))
    texts = _texts(base, new).reindex(pd.MultiIndex.from_frame(changed[["key", "id"]]))
    rows = rows.assign(**{name: texts[name].to_numpy() for name in ("paper", *GOLD_TEXTS)})
    size = papers.set_index(["planner", "paper"])["difference"].abs()
    within = size.reindex(pd.MultiIndex.from_frame(rows[["planner", "paper"]])).fillna(0.0).to_numpy()
    return _largest_first(rows[ENTRY_COLUMNS], gain.abs() * 10 + within, ["planner", "paper", "change", "id"])


def _texts(base: Snapshot, new: Snapshot) -> pd.DataFrame:
    """Return the texts of gold entries, from the snapshot that knows more than names: a run before a baseline."""
    first, second = sorted((new, base), key=lambda snapshot: not snapshot.gold["gold_part"].astype(bool).any())
    return pd.concat([first.gold, second.gold.loc[second.gold.index.difference(first.gold.index)]])


def new_failures(base: Snapshot, new: Snapshot, pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return plans that were read before and are not now, or lost entries on reading that they did not lose before."""
    rows = [row for pair in pairs for row in _worse_plans(base, new, pair)]
    rows.extend(_more_errors(base, new, pairs))
    return pd.DataFrame(sorted(rows), columns=FAILURE_COLUMNS)


def _worse_plans(base: Snapshot, new: Snapshot, pair: Pair) -> Iterator[tuple[str, ...]]:
    """Yield one planner's papers without a plan in new that had one, or lacked it for another reason."""
    before, after = papers_of(base, pair[0]), papers_of(new, pair[1])
    # Where gold itself changed, papers that it no longer has are no failure of the planner.
    known = set(new.gold.index.get_level_values("key")) if base.signature.gold != new.signature.gold else before.index
    for key in sorted({*before.index.intersection(list(known)), *after.index}):
        was = str(before["status"].get(key, "absent"))
        now = str(after["status"].get(key, "absent"))
        paper = str((after if key in after.index else before)["paper"][key])
        if now not in ("planned", was) and not (now == "absent" and was != "planned"):
            yield pair[1], paper, now, was, now


def _more_errors(base: Snapshot, new: Snapshot, pairs: Sequence[Pair]) -> Iterator[tuple[str, ...]]:
    """Yield where more was left out on reading than before, although there is a plan."""
    names = {name: old for old, name in pairs} | {"": ""}
    papers = dict(zip(new.papers["key"], new.papers["paper"], strict=True)) | {"": ""}
    plans = new.papers[new.papers["status"] == "planned"]
    planned = set(zip(plans["planner"], plans["key"], strict=True))
    for (planner, key), count in new.errors.items():
        before = base.errors.get((names.get(planner, planner), key), 0)
        if planner in names and count > before and (not key or (planner, key) in planned):
            yield planner, papers.get(key, key), "entries-left-out", str(before), str(count)
