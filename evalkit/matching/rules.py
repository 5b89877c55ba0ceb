"""Decide by rule what a full match of a pair needs besides a shared part, before any model is asked.

Gold may leave things out: what it does not say agrees with everything. What a plan leaves out it has not proposed, and
what it says everywhere alike it says of no entry in particular.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.tokens import analyse
from evalkit.text import normalise
from evalkit.types import Ablation, Action

# An option says that the part is gone; "only" keeps some of it.
_WITHOUT = re.compile(r"\b(?:no|none|without|w\W?o|remov\w*|disabl\w*|omit\w*|exclud\w*|off|absent)\b", re.IGNORECASE)
_ONLY = re.compile(r"\b(?:only|alone|solely)\b", re.IGNORECASE)
_COUNTING = re.compile(r"(?:ablation|ablation study|study|experiment)?\s*[#(]?\w{0,2}\)?", re.IGNORECASE)
UNNAMED_COST = 0.6  # in log-odds; of 0 to 1.3, the best held-out F1 of matches and of parts
MOST_OPTIONS = 16  # no labelled plan has more than twelve
Needs = NDArray[np.int8]  # [gold, plan]
Kind = tuple[Action | None, bool]  # what an entry does, and whether it has options


class Need(IntEnum):
    """What a pair that shares its part still needs to match: nothing, what no option can give, an option that amounts
    to removing the part, or an option that both have."""

    NOTHING = 0
    IMPOSSIBLE = 1
    REMOVAL = 2
    OVERLAP = 3


def needs_of(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> Needs:
    """Return what each pair needs to match."""
    ours, theirs = ([_KINDS.index((one.action, bool(one.replacements))) for one in side] for side in (gold, plan))
    return _NEEDS[np.array(ours, np.intp)[:, None], np.array(theirs, np.intp)]


def _need(gold: Kind, plan: Kind) -> Need:
    """Return what a pair of these kinds needs to match."""
    (action, options), (other, others) = gold, plan
    if action is None:
        if not options or other is Action.REMOVE:
            return Need.NOTHING
        return Need.OVERLAP if others else Need.IMPOSSIBLE
    if other is None:
        return Need.IMPOSSIBLE
    if {action, other} == {Action.REMOVE} or (action is other and not options):
        return Need.NOTHING
    if {action, other} == {Action.REMOVE, Action.ADD}:
        return Need.IMPOSSIBLE
    replacing = [has_options for kind, has_options in (gold, plan) if kind is not Action.REMOVE]
    if not all(replacing):
        return Need.IMPOSSIBLE
    return Need.OVERLAP if len(replacing) == 2 else Need.REMOVAL


# What every kind of gold entry needs of every kind of plan entry.
_KINDS: list[Kind] = [(action, has_options) for action in (None, *Action) for has_options in (False, True)]
_NEEDS = np.array([[_need(gold, plan) for plan in _KINDS] for gold in _KINDS], np.int8)


def unnamed(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> NDArray[np.bool_]:
    """Return which pairs [gold, plan] are of a plan entry, as read, whose name adds nothing to its part."""
    return np.broadcast_to([normalise(entry.name) == normalise(entry.part) for entry in plan], (len(gold), len(plan)))


def gold_as_read(entries: Sequence[Ablation]) -> tuple[Ablation, ...]:
    """Return the entries without options under a REMOVE, which are no part of an entry, and with the part in place of a
    name that says nothing."""
    return tuple(map(_entry_as_read, entries))


@lru_cache(maxsize=65536)
def _entry_as_read(entry: Ablation) -> Ablation:
    options = () if entry.action is Action.REMOVE else entry.replacements
    name = entry.part if says_nothing(entry.name) else entry.name
    same = options == entry.replacements and name == entry.name
    return entry if same else replace(entry, name=name, replacements=options)


def says_nothing(name: str) -> bool:
    """Return whether a name only counts ("Ablation Study 1") and says nothing about the part."""
    return bool(_COUNTING.fullmatch(name.strip())) or not analyse(name).stems


def plan_as_read(entries: Sequence[Ablation]) -> tuple[Ablation, ...]:
    """Return the entries of a plan without options under a REMOVE, and without what it says of most parts alike.

    An option that stands in more than half of the option lists, in two or more, is dropped from each that has another;
    so are options that say "without", where that many lists have one. Numbers stay in a sweep. A list of more than
    MOST_OPTIONS options, numbers aside, proposes none of them.
    """
    entries = tuple(_none_of_many(entry) for entry in gold_as_read(entries))
    lists = [frozenset(map(normalise, entry.replacements)) for entry in entries if entry.replacements]
    if len(lists) < 2:
        return entries
    often = Counter(option for own in lists for option in own)
    without = {option for option in often if _removes(option)}
    most = len(lists) // 2 + 1
    dropped = {option for option, count in often.items() if count >= max(most, 2)}
    if sum(not own.isdisjoint(without) for own in lists) >= max(most, 2):
        dropped |= without
    return tuple(_without(entry, dropped) for entry in entries) if dropped else entries


def _none_of_many(entry: Ablation) -> Ablation:
    """Return an entry without options if it has too many to mean one of them."""
    few = len(entry.replacements) <= MOST_OPTIONS
    many = not few and sum(not _is_number(option) for option in entry.replacements) > MOST_OPTIONS
    return replace(entry, replacements=()) if many else entry


def _without(entry: Ablation, dropped: set[str]) -> Ablation:
    """Return an entry without these options, unless it has no other."""
    options = [normalise(option) for option in entry.replacements]
    if 2 * sum(map(_is_number, options)) > len(options):
        dropped = {option for option in dropped if not _is_number(option)}
    kept = tuple(text for text, key in zip(entry.replacements, options, strict=True) if key not in dropped)
    return replace(entry, replacements=kept) if kept and len(kept) < len(options) else entry


def _removes(option: str) -> bool:
    """Return whether an option says that the part is gone."""
    return _WITHOUT.search(option) is not None and _ONLY.search(option) is None


def _is_number(option: str) -> bool:
    return not any(letter.isalpha() for letter in option)
