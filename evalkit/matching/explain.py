"""Say in words what speaks for a match of a pair, and what against it.

Features that say nearly the same count as one reason: a linear model shares its weight among them at will, so only
their sum points the right way. Checked on labelled pairs: of each reason here the sum is larger where pairs match.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.calibration import Calibration
from evalkit.matching.features import FEATURES, Features
from evalkit.matching.features.traits import ASPECTS
from evalkit.matching.rules import Need

Evidence = tuple[tuple[str, float], ...]
Reasons = tuple[tuple[str, ...], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], list[int]]
Texts = tuple[str, str]  # when a reason speaks for a match, and when it speaks against one
NOTICED = 0.25  # log-odds that a reason must have added to be named

TEXTS: dict[str, Texts] = {
    "parts": ("the parts say much the same", "the parts say different things"),
    "entries": ("name, part and options together are alike", "name, part and options together are unlike"),
    "rivals": ("neither has a better partner elsewhere", "another entry fits better"),
    "lists": ("entries of lists this long match more often", "entries of lists this long match less often"),
    "changes": ("what they do agrees", "what they do differs"),
}
# What the reason "changes" says instead, by the first of these features that the pair has.
CHANGES: dict[str, Texts] = {
    "act.same": ("what they do agrees", "what they do is common to most pairs"),
    "act.both replace": ("what they put in its place agrees", "what they put in its place differs"),
    "act.remove replace": (
        "what one puts in its place amounts to removing it", "one removes it, the other puts something in its place",
    ),
}  # fmt: skip
REASONS = (*TEXTS, "aspects")
# The features that decide how a reason is put.
WORDING = (*CHANGES, *(f"aspect.{name}.{sides}" for sides in ("both", "one") for name in ASPECTS))


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
    chosen = [pair for pair in ranked[:3] if pair[0] > 0] + [pair for pair in ranked[:-4:-1] if pair[0] < 0]
    return tuple([(reason_text(reason, wording, supports=value > 0), value) for value, reason in chosen])


def reason_text(reason: str, wording: Sequence[float], *, supports: bool) -> str:
    """Return one reason in words for a pair with these values of the WORDING features."""
    if reason == "aspects":
        # Two at most of the aspects that both entries have, or that only one has.
        begin = len(CHANGES) if supports else len(CHANGES) + len(ASPECTS)
        names = " and ".join(list(compress(ASPECTS, wording[begin : begin + len(ASPECTS)]))[:2])
        if supports:
            return f"both are about {names}" if names else "they are about no aspect in particular"
        return f"only one is about {names}" if names else "they have no aspect in common"
    texts = TEXTS[reason]
    if reason == "changes":
        texts = next(compress(CHANGES.values(), wording), texts)
    return texts[0 if supports else 1]


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
    return tuple(table), columns.astype(np.intp), weights, middles, [column[name] for name in WORDING]
