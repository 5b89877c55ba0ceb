"""Tell whether an option amounts to removing the part: for pairs of which one entry removes and the other replaces."""

from __future__ import annotations

import re
from functools import lru_cache, partial, reduce
from operator import or_

import numpy as np

from evalkit.matching.features.patterns import Pattern, pattern_bits
from evalkit.matching.features.registry import FeatureTable
from evalkit.matching.features.traits import CUES, NUMERIC, Reading, TraitPairs, matching_rows, trait
from evalkit.matching.features.words import Array
from evalkit.matching.tokens import analyse

# How a part may be qualified, and what an option says that takes the quality away: "adaptive weights", "equal weights".
CONTRASTS = (
    (
        r"adapti|dynamic|learn|variable|flexib|trainable|optimi[sz]|estimat|predict",
        r"\b(?:fixed|static|constant|uniform\w*|equal\w*|manual\w*|hand\w*|same|pre-?defined|non-?adaptive)\b",
    ),
    (
        r"\bmulti|\bdual|\btwo|\bbi|\bseveral|hierarch|\bmix|joint|cross|stage|ensembl|\bboth\b|combin",
        r"\b(?:single|one|uni\w*|flat|separate\w*|independent\w*|individual\w*|sequential\w*|merged)\b",
    ),
    (r"\bsoft|smooth|approximat|relax|gumbel", r"\bhard\b"),
    (
        r"guid|select|importan|inform|strateg|attent|mining|curricul|sampl|match|order|sort|search|cluster|maximi|active",
        r"\b(?:random\w*|uniform\w*|average|mean|averag\w*|exhaustive|all)\b",
    ),
    (r"pre-?train", r"\bscratch\b|random(?:ly)? init"),
    (r"fine-?tun|adapt", r"\bfrozen|zero-?shot|freez"),
    (r"shar|joint|unif", r"separate|individual|independent|per-"),
    (r"progressive|iterat|recurr|recurs|refin|multi-?step", r"single|one-?(?:step|shot|pass)|direct"),
    (
        r"equivarian|invarian|deform|dilat|steerable|spars|structur|specific|aware|based",
        r"\b(?:standard|vanilla|plain|regular|traditional|conventional|dense|generic|agnostic)\b",
    ),
    (r"gate|gating|attent|aggregat|fus|pool", r"\b(?:sum\w*|add\w*|concat\w*|average|averag\w*|element-?wise|mean)\b"),
)
_WITHOUT = Pattern(
    r"\b(?:no|none|without|w/o|remov\w*|disabl\w*|omit\w*|exclud\w*|drop\w*|skip\w*|not)\b|\bnon-"
    r"|\bun(?:shared|weighted|conditional\w*|guided|regulari\w+|normali\w+)",
)
_ONLY = Pattern(r"\b(?:only|alone|solely)\b")
_PLAIN = Pattern(
    r"\b(?:simpl\w+|naive|basic|direct\w*|vanilla|plain|standard|traditional|conventional|baseline|regular)\b",
)
_ZERO = re.compile(r"(?<![\d.])0(?:\.0+)?(?![.\d])")
# What a part without is when its number is 0: the weight of a term, a rate, how many there are.
_TERM = Pattern(
    r"weight|coefficient|factor|lambda|strength|scale|rate|ratio|probab|proportion|threshold|[α-ω]|residual"
    r"|dropout|penalty|loss",
    "number of",
)
_WAY = Pattern(
    r"\b(?:strategy|method|mechanism|approach|technique|scheme|type|choice|design|formulation|architecture|structure)\b",
)
_THING = Pattern(
    r"\b(?:module|block|layer|component|loss|term|regulari\w+|head|branch|network|constraint|step|stage)\b",
)
_CUE = Pattern("|".join(f"(?:{pattern})" for _, pattern in CUES.values()))


def _with_own_words(pattern: Pattern, one: Reading) -> bool:
    """Return whether an option with this pattern has a word of the entry's own part."""
    if not one.in_options & pattern.bit:
        return False
    own = set(analyse(one.entry.part).stems)
    return any(pattern.search(option) and not own.isdisjoint(analyse(option).stems) for option in one.options)


@lru_cache(maxsize=65536)
def _is_zero(option: str) -> bool:
    return bool(_ZERO.search(option) and NUMERIC.fullmatch(option.strip()))


def _opposed(one: Reading) -> bool:
    """Return whether an option takes away how its own part or name is qualified."""
    if not one.in_options & _ANY_OPPOSITE:
        return False
    title = pattern_bits(f"{one.entry.part} {one.entry.name}")
    return any(
        title & quality.bit and one.in_options & opposite.bit
        for quality, opposite in zip(_QUALITIES, _OPPOSITES, strict=True)
    )


_QUALITIES, _OPPOSITES = (
    [Pattern(pair[side]) for pair in CONTRASTS] for side in (0, 1)
)  # fmt: skip
_ANY_OPPOSITE = reduce(or_, (pattern.bit for pattern in _OPPOSITES))
QUALITY_ROWS = matching_rows(_QUALITIES, lambda one: one.in_part)
OPPOSITE_ROWS = matching_rows(_OPPOSITES, lambda one: one.in_options)
TRAITS = {
    "without": ("an option says no, without, disabled", lambda one: one.in_options & _WITHOUT.bit > 0),
    "zero": ("an option is 0", lambda one: any(map(_is_zero, one.options))),
    "zero of a term": (
        "an option is 0, and the part is a weight, a rate, a term",
        lambda one: any(map(_is_zero, one.options)) and _TERM.search(f"{one.entry.part} {one.entry.name}"),
    ),
    "only": ("an option says only", lambda one: one.in_options & _ONLY.bit > 0),
    "only part": (
        "an option keeps only a part of the part",
        lambda one: _with_own_words(_ONLY, one),
    ),
    "opposed": ("an option takes away how its own part is qualified", _opposed),
    "plain": (
        "an option is a plain one of its own part",
        lambda one: _with_own_words(_PLAIN, one),
    ),
    "cues": (
        "how many of the options have a word that speaks of removing",
        lambda one: sum(map(_CUE.search, one.options)) / max(len(one.options), 1),
    ),
    "way": ("the part is a way of doing something", lambda one: one.in_part & _WAY.bit > 0),
    "thing": ("the part is a module, a loss, a step", lambda one: one.in_part & _THING.bit > 0),
}
REMOVAL_FEATURES: FeatureTable[TraitPairs] = FeatureTable("logic", "changes")
add = REMOVAL_FEATURES.add
_ROWS = {name: trait(function) for name, (_, function) in TRAITS.items()}
ZERO_ROW = _ROWS["zero of a term"]
for _name, (_sees, _) in TRAITS.items():
    add(
        f"removal.{_name}",
        f"one removes, the other replaces: {_sees}",
        partial(TraitPairs.replacing, rows=_ROWS[_name]),
    )


def _takes_away(pairs: TraitPairs) -> Array:
    """Return where an option of the one takes away how the part of the other, which removes, is qualified."""
    gold, plan = pairs.a, pairs.b
    forth = (gold[QUALITY_ROWS] * plan[OPPOSITE_ROWS]).max(axis=0) * pairs.gold_removes
    back = (gold[OPPOSITE_ROWS] * plan[QUALITY_ROWS]).max(axis=0) * pairs.plan_removes
    values: Array = np.maximum(forth, back)
    return values


add("removal.takes away", "one removes, and an option of the other takes away how its part is qualified", _takes_away)


def _weighed(pairs: TraitPairs) -> Array:
    """Return how many words of the part that one removes stand in the part that the other weighs from 0 on."""
    wanted = pairs.replacing(ZERO_ROW)
    for index, g, p in np.argwhere(wanted).tolist():
        gold, plan = pairs.lists[index]
        sides = gold.stems[g], plan.stems[p]
        removed, weighed = sides if pairs.gold_removes[index, g, p] else sides[::-1]
        wanted[index, g, p] = len(set(removed) & set(weighed)) / max(len(set(removed)), 1)
    return wanted


add(
    "part.weighed",
    "one removes what the other weighs, 0 among the weights: how much of that part is named there",
    _weighed,
    reason="parts",
)
