"""Takes a reason and the features of a pair, gives in words what speaks for a match of that pair, or against it.

Features that say nearly the same are told as one reason: a linear model shares its weight among them at will, so only
their sum points the right way. Checked on labelled pairs: of each reason here the sum is larger where pairs match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evalkit.similarity.logic import ASPECTS

Values = Mapping[str, float]
Said = tuple[str, str]

# What a reason says when it speaks for a match, and when it speaks against one.
SIMPLE: dict[str, Said] = {
    "parts": ("the parts say much the same", "the parts say different things"),
    "entries": ("name, part and options together are alike", "name, part and options together are unlike"),
    "rivals": ("neither has a better partner elsewhere", "another entry fits better"),
    "lists": ("entries of lists this long match more often", "entries of lists this long match less often"),
}
# What both entries do, by the feature that is 1 where they do it; the first that applies is told.
DEEDS: dict[str, Said] = {
    "act.same": ("what they do agrees", "what they do is common to most pairs"),
    "act.both replace": ("what they put in its place agrees", "what they put in its place differs"),
    "act.remove replace": (
        "what one puts in its place amounts to removing it", "one removes it, the other puts something in its place",
    ),
}  # fmt: skip
OTHERWISE: Said = ("what they do agrees", "what they do differs")


def _deed(values: Values) -> Said:
    return next((said for name, said in DEEDS.items() if values[name]), OTHERWISE)


def _aspects(values: Values) -> Said:
    """The aspects that both have, or that only one has: two of them at most."""
    both, one = ([name for name in ASPECTS if values[f"aspect.{name}.{how}"]] for how in ("both", "one"))
    shared = f"both are about {' and '.join(both[:2])}" if both else "they are about no aspect in particular"
    apart = f"only one is about {' and '.join(one[:2])}" if one else "they have no aspect in common"
    return shared, apart


DEPENDING: dict[str, Callable[[Values], Said]] = {"deeds": _deed, "aspects": _aspects}
REASONS = (*SIMPLE, *DEPENDING)
# The features that decide how a reason is put.
NEEDED = (*DEEDS, *(f"aspect.{name}.{how}" for name in ASPECTS for how in ("both", "one")))


def told(reason: str, values: Values, *, speaks_for: bool) -> str:
    """One reason in words, as it applies to a pair with these features."""
    said = SIMPLE[reason] if reason in SIMPLE else DEPENDING[reason](values)
    return said[0] if speaks_for else said[1]
