"""Takes two Sides, says whether they may be compared, and which planners and papers of them belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.comparison.snapshot import Side
from evalkit.errors import IncomparableError, InputError
from evalkit.text import nearest

Papers = tuple[tuple[str, str], ...]
LISTED = 5  # settings that a refusal names


def incomparable(base: Side, new: Side, force: bool) -> dict[str, tuple[str, str]]:
    """In what the signatures differ beside the plans: refused, unless forced."""
    differences = base.signature.differences(new.signature)
    if judge_of(base)[0] == judge_of(new)[0]:
        differences.pop("judge", None)
    if differences and not force:
        told = "; ".join(f"{name} is {old} in base and {now} in new" for name, (old, now) in differences.items())
        raise IncomparableError(
            f"{base.name} and {new.name} differ in more than their plans: {told}{_which(base, new)}; "
            "score both the same way, or --force to compare them all the same"
        )
    return differences


def judge_of(side: Side) -> tuple[str, str]:
    """Which judge a side had, and how many pairs it left to the matcher: that depends on the plans."""
    name, _, left = side.signature.judge.partition(" (")
    return name, left.removesuffix(")")


def _which(base: Side, new: Side) -> str:
    """Which settings it is that differ, where both sides say; of a table, the keys."""
    ours, theirs = _flat(base.settings), _flat(new.settings)
    known = [name for name in ours | theirs if name.partition(".")[0] in base.settings.keys() & new.settings.keys()]
    both = [name for name in known if ours.get(name) != theirs.get(name)]
    told = ", ".join(f"{name} = {ours.get(name)!r} and {theirs.get(name)!r}" for name in both[:LISTED])
    more = f" and {len(both) - LISTED} more" if len(both) > LISTED else ""
    return f" ({told}{more})" if told else ""


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the keys of tables as settings of their own."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def paired(base: Side, new: Side, renamed: Mapping[str, str]) -> list[tuple[str, str]]:
    """(name in base, name in new) of every planner that both sides have."""
    for old, name in renamed.items():
        for planner, side in ((old, base), (name, new)):
            if planner not in side.planners:
                raise InputError(
                    f"--map {old}={name}: {side.name} has no planner {planner!r}{nearest(planner, side.planners)}"
                )
    if len(set(renamed.values())) < len(renamed):
        raise InputError("--map gives two planners of the base the same new name")
    taken = set(renamed.values())
    kept = {name: name for name in base.planners if name in new.planners and name not in taken}
    pairs = sorted((kept | dict(renamed)).items(), key=lambda pair: pair[1])
    if not pairs:
        raise InputError(
            f"{base.name} and {new.name} have no planner in common ({', '.join(base.planners)} against "
            f"{', '.join(new.planners)}); say which is which with --map old=new"
        )
    return pairs


def unshared_planners(
    base: Side, new: Side, pairs: Sequence[tuple[str, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The planners that only base has, and that only new has."""
    gone, come = set(base.planners) - {old for old, _ in pairs}, set(new.planners) - {name for _, name in pairs}
    return tuple(sorted(gone)), tuple(sorted(come))


def unshared_papers(base: Side, new: Side, pairs: Sequence[tuple[str, str]]) -> tuple[Papers, Papers]:
    """(planner, paper) that only base has, and that only new has, under the planner's new name."""
    table: list[set[tuple[str, str]]] = []
    shown: dict[str, str] = {}
    for side, place in ((base, 0), (new, 1)):
        names = {pair[place]: pair[1] for pair in pairs}
        rows = side.papers[side.papers["planner"].isin(list(names))]
        shown |= dict(zip(rows["key"], rows["paper"], strict=True))
        table.append({(names[planner], key) for planner, key in zip(rows["planner"], rows["key"], strict=True)})
    only = [sorted((planner, shown[key]) for planner, key in one) for one in (table[0] - table[1], table[1] - table[0])]
    return tuple(only[0]), tuple(only[1])
