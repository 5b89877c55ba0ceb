"""Takes a reason and the features of a pair, gives in words what speaks for a match of that pair, or against it.

Features that say nearly the same are told as one reason: a linear model shares its weight among them at will, so only
their sum points the right way. Checked on labelled pairs: of each reason here the sum is larger where pairs match.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from evalkit.matching.features.traits import ASPECTS

Values = Sequence[float]
Said = tuple[str, str]

# What a reason says when it speaks for a match, and when it speaks against one.
SIMPLE: dict[str, Said] = {
    "parts": ("the parts say much the same", "the parts say different things"),
    "entries": ("name, part and options together are alike", "name, part and options together are unlike"),
    "rivals": ("neither has a better partner elsewhere", "another entry fits better"),
    "lists": ("entries of lists this long match more often", "entries of lists this long match less often"),
}
# What both entries do, by the feature that is not 0 where they do it; the first that applies is told.
DEEDS: dict[str, Said] = {
    "act.same": ("what they do agrees", "what they do is common to most pairs"),
    "act.both replace": ("what they put in its place agrees", "what they put in its place differs"),
    "act.remove replace": (
        "what one puts in its place amounts to removing it", "one removes it, the other puts something in its place",
    ),
}  # fmt: skip
OTHERWISE: Said = ("what they do agrees", "what they do differs")


def _deed(values: Values, *, speaks_for: bool) -> str:
    said = next(compress(DEEDS.values(), values), OTHERWISE)
    return said[0] if speaks_for else said[1]


def _aspects(values: Values, *, speaks_for: bool) -> str:
    """The aspects that both have, or that only one has: two of them at most."""
    begin = len(DEEDS) if speaks_for else len(DEEDS) + len(ASPECTS)
    some = list(compress(ASPECTS, values[begin : begin + len(ASPECTS)]))[:2]
    if speaks_for:
        return f"both are about {' and '.join(some)}" if some else "they are about no aspect in particular"
    return f"only one is about {' and '.join(some)}" if some else "they have no aspect in common"


DEPENDING = {"deeds": _deed, "aspects": _aspects}
REASONS = (*SIMPLE, *DEPENDING)
# The features that decide how a reason is put: what `told` is given, in this order.
NEEDED = (*DEEDS, *(f"aspect.{name}.{how}" for how in ("both", "one") for name in ASPECTS))


def told(reason: str, values: Values, *, speaks_for: bool) -> str:
    """One reason in words, as it applies to a pair with these features."""
    if reason in DEPENDING:
        return DEPENDING[reason](values, speaks_for=speaks_for)
    return SIMPLE[reason][0 if speaks_for else 1]
