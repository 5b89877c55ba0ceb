"""Say in words what speaks for a match of a pair, and what against it.

Features that say nearly the same count as one reason: a linear model shares its weight among them at will, so only
their sum points the right way. Checked on labelled pairs: of each reason here the sum is larger where pairs match.

The sum says whether a reason is named; what the pair itself shows says in which words. A reason for which no words
would be true of the pair is not named: two parts that have nothing in common never "say much the same".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.calibration import Calibration
from evalkit.matching.features import FEATURES, Features
from evalkit.matching.features.traits import ASPECTS
from evalkit.matching.rules import Need

Evidence = tuple[tuple[str, float], ...]
Reasons = tuple[tuple[str, ...], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], list[int]]
NOTICED = 0.25  # log-odds that a reason must have added to be named


class Graded(NamedTuple):
    """How a reason is put, by one feature of the pair: for a match the first text whose bound the feature reaches,
    against one the first whose bound it stays below; without such a text, the reason is not named."""

    measure: str
    supports: tuple[tuple[float, str], ...]
    against: tuple[tuple[float, str], ...]


GRADED = {
    "parts": Graded(
        "word.part>part.mean",
        ((0.6, "the parts say much the same"), (0.35, "the parts are somewhat alike")),
        ((0.5, "the parts say different things"), (1.0, "the parts differ in some words")),
    ),
    "entries": Graded(
        "word.all>all.mean",
        (
            (0.6, "name, part and options together are alike"),
            (0.35, "name, part and options together are somewhat alike"),
        ),
        (
            (0.5, "name, part and options together are unlike"),
            (1.0, "name, part and options together differ in some words"),
        ),
    ),
    "rivals": Graded(
        "word.title>title.first",
        ((0.0, "neither is closer to another entry"),),
        ((0.0, "one of them is closer to another entry"),),
    ),
    "options": Graded(
        "options.shared",
        ((0.3, "their options agree"),),
        ((0.5, "their options differ"), (1.0, "their options agree only in part")),
    ),
}
# With vectors, features that also see meaning take the place of those that see spelling alone.
BY_MEANING = {
    "word.part>part.mean": "meaning.part>part.mean",
    "word.all>all.mean": "meaning.all>all.mean",
    "word.title>title.first": "meaning.title>title.first",
    "options.shared": "options.near",
}
# What entries do, by the features of which a pair has at most one.
BOTH_REMOVE, BOTH_REPLACE, REMOVE_REPLACE, ADDS = ACTIONS = (
    "act.same", "act.both replace", "act.remove replace", "act.add",
)  # fmt: skip
# Why something put in place of a part amounts to removing it, by the first of these features that the pair has.
AMOUNTS_TO_REMOVING = {
    "act.remove none": "one removes it, and an option of the other speaks of removing",
    "act.name removes": "one removes it, and the name of the other speaks of removing",
    "act.remove plain": "one removes it, and an option of the other is a plain one",
    "act.remove fixed": "one removes it, and an option of the other is a fixed, random or single one",
}
REASONS = ("parts", "entries", "rivals", "changes", "aspects", "lists")
# The features that decide how a reason is put.
WORDING = (
    *(graded.measure for graded in GRADED.values()),
    *ACTIONS,
    *AMOUNTS_TO_REMOVING,
    *(f"aspect.{name}.{sides}" for sides in ("both", "one") for name in ASPECTS),
)
_MEASURE = {reason: WORDING.index(graded.measure) for reason, graded in GRADED.items()}
_ACTIONS, _AMOUNTS, _BOTH_ABOUT = (
    WORDING.index(name) for name in (BOTH_REMOVE, next(iter(AMOUNTS_TO_REMOVING)), f"aspect.{next(iter(ASPECTS))}.both")
)
_ONE_ABOUT = _BOTH_ABOUT + len(ASPECTS)


def explain(features: Features, calibration: Calibration, places: Sequence[tuple[int, ...]]) -> list[Evidence]:
    """Return of each of these pairs the three reasons that speak most for a match and the three most against.

    A place is (gold, plan), or (lists, gold, plan) where the features are of several lists.
    The number of a reason is what its features add to the log-odds, compared with a pair half-way.
    """
    if not places:
        return []
    where = tuple(np.array(places).T)
    values, needs = features.values[where], features.needs[where]  # [pair, feature], [pair]
    evidence: list[Evidence] = [()] * len(places)
    for needed in sorted(set(needs.tolist())):
        rows = np.flatnonzero(needs == needed)
        of_need = _evidence_of(values[rows], _reasons(calibration, features.names, Need(needed)))
        for row, reasons in zip(rows.tolist(), of_need, strict=True):
            evidence[row] = reasons
    return evidence


def _evidence_of(values: NDArray[np.float64], reasons_of: Reasons) -> list[Evidence]:
    """Return the strongest reasons of pairs with one need and these features [pair, feature]."""
    reasons, columns, weights, middles, wording_columns = reasons_of
    added = values[:, columns]  # [pair, feature of the reason, reason]
    added -= middles
    added *= weights
    # Accumulated one after another, so that a sum is the same to the last bit however many reasons there are.
    sums = np.add.accumulate(added, axis=1)[:, -1].tolist()
    wording = values[:, wording_columns].tolist()
    return [_strongest(reasons, *pair) for pair in zip(sums, wording, strict=True)]


def _strongest(reasons: Sequence[str], sums: Sequence[float], wording: Sequence[float]) -> Evidence:
    """Return the reasons worth naming, what speaks for a match first."""
    near = [(value, reason) for value, reason in zip(sums, reasons, strict=True) if abs(value) > NOTICED - 0.001]
    ranked = sorted([(added, why) for value, why in near if abs(added := round(value, 3)) >= NOTICED], reverse=True)
    named = [(text, added) for added, reason in ranked if (text := reason_text(reason, wording, supports=added > 0))]
    return tuple([pair for pair in named[:3] if pair[1] > 0] + [pair for pair in named[:-4:-1] if pair[1] < 0])


def reason_text(reason: str, wording: Sequence[float], *, supports: bool) -> str:
    """Return one reason in words that are true of a pair with these values of the WORDING features; "" without any."""
    if reason == "lists":
        return ""  # how long the lists are is the same for all pairs of a plan, and explains none of them
    if reason == "aspects":
        return _aspects_text(wording, supports=supports)
    if reason == "changes":
        return _changes_text(wording, supports=supports)
    return _graded_text(reason, wording, supports=supports)


def _graded_text(reason: str, wording: Sequence[float], *, supports: bool) -> str:
    """Return the text of a reason by the grade of its measure."""
    graded, value = GRADED[reason], wording[_MEASURE[reason]]
    if supports:
        return next((text for least, text in graded.supports if value >= least), "")
    return next((text for most, text in graded.against if value < most), "")


def _aspects_text(wording: Sequence[float], *, supports: bool) -> str:
    """Name two at most of the aspects that both entries have, or that only one has."""
    begin = _BOTH_ABOUT if supports else _ONE_ABOUT
    names = " and ".join(list(compress(ASPECTS, wording[begin : begin + len(ASPECTS)]))[:2])
    return f"{'both are' if supports else 'only one is'} about {names}" if names else ""


def _changes_text(wording: Sequence[float], *, supports: bool) -> str:
    """Say what the two do to their parts."""
    action = next(compress(ACTIONS, wording[_ACTIONS : _ACTIONS + len(ACTIONS)]), "")
    if action == BOTH_REMOVE:
        return "both remove" if supports else ""
    if action == REMOVE_REPLACE:
        marks = wording[_AMOUNTS : _AMOUNTS + len(AMOUNTS_TO_REMOVING)]
        amounts = next(compress(AMOUNTS_TO_REMOVING.values(), marks), "")
        return amounts if supports else "one removes it, the other puts something in its place"
    if action == ADDS and not supports:
        return "one of them adds something, as few matches do"
    return _graded_text("options", wording, supports=supports) if supports or action == BOTH_REPLACE else ""


@lru_cache(maxsize=64)
def _reasons(calibration: Calibration, names: tuple[str, ...], need: Need) -> Reasons:
    """Return the reasons of the features of the models that decide; the columns, weights and middles of each, filled up
    with 0, as [feature of the reason, reason]; and the columns of WORDING."""
    column = {name: index for index, name in enumerate(names)}
    table: dict[str, list[tuple[int, float, float]]] = {}
    for model in calibration.models.of(need):
        for name, weight in model.weights.items():
            table.setdefault(FEATURES[name].reason, []).append((column[name], weight, model.middle[name]))
    longest = max(map(len, table.values()), default=1)
    filled = [row + [(0, 0.0, 0.0)] * (longest - len(row)) for row in table.values()]
    rows = np.array(filled, dtype=np.float64).reshape(-1, longest, 3)  # a calibration may weigh nothing
    columns, weights, middles = (np.ascontiguousarray(rows[..., index].T) for index in range(3))
    wording = [column.get(BY_MEANING.get(name, name), column[name]) for name in WORDING]
    return tuple(table), columns.astype(np.intp), weights, middles, wording
