"""Decide whether two snapshots may be compared, and pair their planners and papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evalkit.comparison.snapshot import Snapshot
from evalkit.errors import IncomparableError, InputError
from evalkit.storage.runs import Signature
from evalkit.text import nearest

Pair = tuple[str, str]  # one planner: its name in base, its name in new
Papers = tuple[tuple[str, str], ...]  # (planner, paper)
PaperRows = tuple[pd.DataFrame, pd.DataFrame]  # base's and new's rows of the same papers, in the same order
LISTED = 5  # settings that a refusal names


def signature_differences(base: Snapshot, new: Snapshot, force: bool) -> dict[str, tuple[str, str]]:
    """Return in what the signatures differ besides the plans, name -> (base, new); refuse any unless forced."""
    differences = unlike(base.signature, new.signature)
    if differences and not force:
        listed = "; ".join(f"{name} is {old} in base and {now} in new" for name, (old, now) in differences.items())
        rescore = (
            "gold changed: --rescore-base PLANS scores the plans of the base on the new gold; otherwise "
            if "gold" in differences
            else ""
        )
        raise IncomparableError(
            f"{base.name} and {new.name} differ in more than their plans: {listed}{_settings_differences(base, new)}; "
            f"{rescore}score both the same way, or --force to compare them all the same"
        )
    return differences


def unlike(base: Signature, new: Signature) -> dict[str, tuple[str, str]]:
    """Return what keeps two signatures from being compared: name -> (base, new)."""
    differences = base.differences(new)
    if judge_of(base)[0] == judge_of(new)[0]:
        differences.pop("judge", None)
    return differences


def judge_of(signature: Signature) -> tuple[str, str]:
    """Return the judge's name and how many pairs it left to the matcher, which depends on the plans."""
    name, _, left = signature.judge.partition(" (")
    return name, left.removesuffix(")")


def _settings_differences(base: Snapshot, new: Snapshot) -> str:
    """List the settings that differ, where both snapshots have them; of a table, the keys."""
    before, after = _flat(base.settings), _flat(new.settings)
    known = [name for name in before | after if name.partition(".")[0] in base.settings.keys() & new.settings.keys()]
    differing = [name for name in known if before.get(name) != after.get(name)]
    listed = ", ".join(f"{name} = {before.get(name)!r} and {after.get(name)!r}" for name in differing[:LISTED])
    more = f" and {len(differing) - LISTED} more" if len(differing) > LISTED else ""
    return f" ({listed}{more})" if listed else ""


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the keys of tables as settings of their own."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def planner_pairs(base: Snapshot, new: Snapshot, renamed: Mapping[str, str]) -> list[Pair]:
    """Return (name in base, name in new) of every planner that both snapshots have, by new name."""
    for old, name in renamed.items():
        for planner, snapshot in ((old, base), (name, new)):
            if planner not in snapshot.planners:
                raise InputError(f"--map {old}={name}: {snapshot.name} has no planner {planner!r}"
                                 f"{nearest(planner, snapshot.planners)}")  # fmt: skip
    taken = set(renamed.values())
    if len(taken) < len(renamed):
        raise InputError("--map gives two planners of the base the same new name")
    known = set(new.planners)
    same = {name: name for name in base.planners if name in known and name not in taken}
    pairs = sorted((same | dict(renamed)).items(), key=lambda pair: pair[1])
    if not pairs:
        raise InputError(
            f"{base.name} and {new.name} have no planner in common ({', '.join(base.planners)} against "
            f"{', '.join(new.planners)}); say which is which with --map old=new"
        )
    return pairs


def papers_of(snapshot: Snapshot, planner: str) -> pd.DataFrame:
    """Return one planner's rows by paper key."""
    return snapshot.papers[snapshot.papers["planner"] == planner].set_index("key").sort_index()


def shared_papers(base: Snapshot, new: Snapshot, pair: Pair) -> PaperRows:
    """Return both snapshots' rows of one planner on the papers that both have, in the same order."""
    before, after = papers_of(base, pair[0]), papers_of(new, pair[1])
    keys = sorted(set(before.index) & set(after.index))
    return before.loc[keys], after.loc[keys]


def unshared_planners(base: Snapshot, new: Snapshot, pairs: Sequence[Pair]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the planners that only base has, and those that only new has."""
    old, now = {old for old, _ in pairs}, {name for _, name in pairs}
    return tuple(sorted(set(base.planners) - old)), tuple(sorted(set(new.planners) - now))


def unshared_papers(base: Snapshot, new: Snapshot, pairs: Sequence[Pair]) -> tuple[Papers, Papers]:
    """Return (planner, paper) that only base has, and that only new has, under the planner's new name."""
    keys: list[set[tuple[str, str]]] = []
    titles: dict[str, str] = {}
    for snapshot, place in ((base, 0), (new, 1)):
        names = {pair[place]: pair[1] for pair in pairs}
        rows = snapshot.papers[snapshot.papers["planner"].isin(list(names))]
        titles |= dict(zip(rows["key"], rows["paper"], strict=True))
        keys.append({(names[planner], key) for planner, key in zip(rows["planner"], rows["key"], strict=True)})
    base_only, new_only = (
        tuple(sorted((planner, titles[key]) for planner, key in only))
        for only in (keys[0] - keys[1], keys[1] - keys[0])
    )
    return base_only, new_only
