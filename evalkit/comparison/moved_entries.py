"""Takes two Sides and their planners, gives where they differ: papers, gold entries, and what can no longer be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from evalkit.comparison.snapshot import GOLD_TEXTS, Side

Pairs = Sequence[tuple[str, str]]
PAPER_COLUMNS = ["planner", "paper", "base", "new", "difference", "base_status", "new_status"]
ENTRY_COLUMNS = [
    "planner", "paper", "change", "id", *GOLD_TEXTS, "base_share", "new_share", "base_entry", "new_entry", "new_status",
]  # fmt: skip
FAILURE_COLUMNS = ["planner", "paper", "kind", "base", "new"]
# What counts as a failure to read; a plan that is missing is a matter of coverage. Where plans without entries are
# skipped (--missing skip), one that can no longer be read is absent.
PARSE_FAILURES = ("unreadable", "empty", "entries-left-out", "absent")


def paper_changes(
    shared: Mapping[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]], figure: Callable[[pd.DataFrame], pd.Series]
) -> pd.DataFrame:
    """One row a planner and paper that both sides have, the largest difference first."""
    tables = []
    for (_, planner), (base, new) in shared.items():
        table = pd.DataFrame({"paper": new["paper"], "base": figure(base), "new": figure(new)})
        states = {"base_status": base["status"], "new_status": new["status"]}
        tables.append(table.assign(planner=planner, difference=table["new"] - table["base"], **states))
    found = pd.concat(tables)[PAPER_COLUMNS]
    return _largest_first(found, found["difference"].abs(), ["planner", "paper"])


def _largest_first(frame: pd.DataFrame, size: pd.Series, ties: list[str]) -> pd.DataFrame:
    """Rows by size, the largest first and undefined last."""
    order = frame.assign(size=size.fillna(-1.0)).sort_values(["size", *ties], ascending=[False, *[True] * len(ties)])
    return order.drop(columns="size").reset_index(drop=True)


def entry_changes(base: Side, new: Side, pairs: Pairs, papers: pd.DataFrame) -> pd.DataFrame:
    """Gold entries that are matched more often than before ("gained") or less ("lost"), whole changes first."""
    place = ["planner", "key", "id"]
    ours = base.found.assign(planner=base.found["planner"].map(dict(pairs))).dropna(subset="planner")
    theirs = new.found[new.found["planner"].isin([name for _, name in pairs])]
    both = ours.merge(theirs, on=place, suffixes=("_base", "_new"))
    moved = both[both["share_base"] != both["share_new"]]
    gain = moved["share_new"] - moved["share_base"]
    rows = pd.DataFrame(
        {
            "planner": moved["planner"],
            "change": ["gained" if step > 0 else "lost" for step in gain],
            "id": moved["id"],
            "base_share": moved["share_base"],
            "new_share": moved["share_new"],
            "base_entry": moved["entry_base"],
            "new_entry": moved["entry_new"],
            "new_status": moved["status_new"],
        }
    )
    texts = _texts(base, new).reindex(pd.MultiIndex.from_frame(moved[["key", "id"]]))
    for name in ("paper", *GOLD_TEXTS):
        rows[name] = texts[name].to_numpy()
    size = papers.set_index(["planner", "paper"])["difference"].abs()
    within = size.reindex(pd.MultiIndex.from_frame(rows[["planner", "paper"]])).fillna(0.0).to_numpy()
    weight = gain.abs() * 10 + within
    return _largest_first(rows[ENTRY_COLUMNS], weight, ["planner", "paper", "change", "id"])


def _texts(base: Side, new: Side) -> pd.DataFrame:
    """What the gold entries say, from the side that knows more than names: a run before a baseline."""
    first, second = sorted((new, base), key=lambda side: not side.gold["gold_part"].astype(bool).any())
    return pd.concat([first.gold, second.gold.loc[second.gold.index.difference(first.gold.index)]])


def new_failures(base: Side, new: Side, pairs: Pairs) -> pd.DataFrame:
    """Plans that were read before and are not now, or lost entries on reading that they did not lose before."""
    rows = [row for old, name in pairs for row in _worse_plans(base, new, old, name)]
    rows.extend(_more_errors(base, new, pairs))
    return pd.DataFrame(sorted(rows), columns=FAILURE_COLUMNS)


def _worse_plans(base: Side, new: Side, old: str, name: str) -> Iterator[tuple[str, str, str, str, str]]:
    """One planner's papers without a plan in new that had one, or lacked it for another reason."""
    before, after = (
        side.papers[side.papers["planner"] == planner].set_index("key") for side, planner in ((base, old), (new, name))
    )
    # Where gold itself changed, papers that it no longer has are no failure of the planner.
    known = set(new.gold.index.get_level_values("key")) if base.signature.gold != new.signature.gold else before.index
    for key in sorted({*before.index.intersection(list(known)), *after.index}):
        was = str(before["status"].get(key, "absent"))
        now = str(after["status"].get(key, "absent"))
        paper = str((after if key in after.index else before)["paper"][key])
        if now not in ("planned", was) and not (now == "absent" and was != "planned"):
            yield name, paper, now, was, now


def _more_errors(base: Side, new: Side, pairs: Pairs) -> Iterator[tuple[str, str, str, str, str]]:
    """Where more was left out on reading than before, although there is a plan."""
    names = {name: old for old, name in pairs} | {"": ""}
    papers = dict(zip(new.papers["key"], new.papers["paper"], strict=True)) | {"": ""}
    plans = new.papers[new.papers["status"] == "planned"]
    planned = set(zip(plans["planner"], plans["key"], strict=True))
    for (planner, key), count in new.errors.items():
        before = base.errors.get((names.get(planner, planner), key), 0)
        if planner in names and count > before and (not key or (planner, key) in planned):
            yield planner, papers.get(key, key), "entries-left-out", str(before), str(count)
