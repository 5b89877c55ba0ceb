"""Compare what two entries do to their parts: actions, sweeps, removals in disguise, aspects, outward form.

Each entry is first seen alone: a trait is a number declared by `trait` or, for many patterns at once, by
`matching_rows`. A feature of a pair is made of products, differences, ... of traits, and declared by
`TRAIT_FEATURES.declare`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from operator import or_
from typing import NamedTuple

import numpy as np

from evalkit.matching.features.patterns import Pattern, pattern_bits
from evalkit.matching.features.registry import FeatureTable
from evalkit.matching.features.words import Array, entry_words
from evalkit.matching.tokens import analyse
from evalkit.types import Ablation, Action

# What an entry may be about besides its own words: two entries about one thing in different respects are not the same.
ASPECTS = {
    "a number": r"\b(?:number|count|amount|quantity|num)\b|\bhow many\b|\b[KNMT]\b",
    "a size": r"\b(?:size|dimension\w*|length|width|resolution|capacity|volume|depth)\b",
    "an initialization": r"\binitiali[sz]",
    "a place": r"\b(?:location|placement|layers?|where|level|stage)\b|\bposition(?!al| enc| emb)\b",
    "a weight": r"\b(?:weights?|coefficients?|factors?|lambda|balanc\w+|trade-?off|strength|scale|scaling"
    r"|hyper-?parameters?|parameters?)\b|[α-ω]",
    "a rate or threshold": r"\b(?:rate|ratio|probability|percent\w*|proportion|fraction|thresholds?|temperature)\b",
    "an order": r"\b(?:order|sequence|schedul\w+|ordering|curriculum)\b",
    "data": r"\b(?:data|datasets?|corpus|corpora|examples|samples?)\b",
    "a loss": r"\b(?:loss|losses|objective|regulari[sz]\w+|penalty|constraint)\b",
    "an optimizer": r"\b(?:optimi[sz]er|optimi[sz]ation|solver|algorithm)\b",
    "an architecture": r"\b(?:architecture|backbone|network|structure|design|encoder|decoder)\b",
    "a measure": r"\b(?:metric|distance|similarity|measure|kernel|divergence)\b",
    "a choice": r"\b(?:sampl\w+|select\w+|choice|strategy|search)\b",
    "an aggregation": r"\b(?:pool\w+|aggregat\w+|fus\w+|combin\w+|merg\w+|concat\w+)\b",
    "attention": r"\battention\b",
    "a stage of training": r"\bpre-?train\w*|fine-?tun\w*",
    "prompts": r"\bprompt\w*",
    "a representation": r"\b(?:embedding|encoding|representation|features?|token\w*)\b",
    "a model": r"\b(?:model|llm|lm)\b",
    "a normalization": r"\bnormali[sz]",
    "an augmentation": r"\baugment",
}
# Words by which an option says that the part is gone, and how the features call it.
CUES = {
    "none": (
        "none, without, disabled or zero",
        r"\b(?:no|none|without|w/o|remov\w*|disabl\w*|identity|zero|omit\w*|off|absent|exclud\w*|null|drop\w*"
        r"|skip\w*|not|ablat\w*|empty)\b|\b0(?:\.0+)?\b(?![.\d])",
    ),
    "plain": (
        "plain, standard or vanilla",
        r"\b(?:vanilla|standard|regular|plain|basic|baseline|conventional|traditional|naive|original|normal|simple"
        r"|default|ordinary|direct\w*|raw)\b|\bun\w{4,}|\bnon-?\w",
    ),
    "fixed": (
        "fixed, uniform or random",
        r"\b(?:fixed|uniform\w*|random\w*|constant|static|equal\w*|single|average|mean|frozen|independent|separate"
        r"|same|only|global|full|hard|linear)\b",
    ),
}
NUMERIC = re.compile(
    r"(?=.*\d)\W*(?:[A-Za-z_]{1,14}\W{0,4})?[=:]?\s*[-\d.,\s%{}\[\]e^x+*/~]+\s?[A-Za-z%-]{0,12}(?: [a-z]{2,12})?\.?\W*"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_VAGUE = Pattern(
    r"\b(?:different|alternative|various|varying|other|smaller|larger|fewer|more|less|higher|lower|simpl\w+|complex|advanced"
    r"|another|e\.g\.)(?!\w)",
)
_CURRENT = Pattern(r"\b(?:current|baseline|default|original|proposed|full|ours?)\b")
_REMOVING = Pattern(r"\b(?:w/o|without|no|remov\w+|non|disabl\w+)\b", r"^No[A-Z]")
_SEVERAL = Pattern(r"\b(?:and|both|combin\w*|multiple|components?|terms?|all)\b|[+/,]")


# Traits: what one entry is like, seen alone.


class Reading(NamedTuple):
    """An entry with what several traits look at."""

    entry: Ablation
    options: Sequence[str]
    part_words: int
    head_words: int
    unnamed: bool
    in_part: int  # the bits of the patterns that stand in its part
    in_topic: int  # in what it is about: its part, and its name if it has one
    in_options: int  # in any option


ENDS = {"last": -1, "first": 0}  # of what is ablated
End = tuple[str, frozenset[str]]  # that word, and all words of the part and the name

# The traits by their rows; those that are None are patterns, and stand in MATCHING with their bits, all together and
# one by one, and where to look.
TRAITS: list[Callable[[Reading], float] | None] = []
MATCHING: list[tuple[slice, int, tuple[int, ...], Callable[[Reading], int]]] = []


def trait(function: Callable[[Reading], float]) -> int:
    """Declare a trait; return its row in arrays of traits."""
    TRAITS.append(function)
    return len(TRAITS) - 1


def matching_rows(patterns: Sequence[Pattern], where: Callable[[Reading], int]) -> slice:
    """Declare for each pattern whether it is among the bits that are found there; return the rows."""
    rows = slice(len(TRAITS), len(TRAITS) + len(patterns))
    TRAITS.extend([None] * len(patterns))
    bits = tuple(pattern.bit for pattern in patterns)
    MATCHING.append((rows, sum(bits), bits, where))
    return rows


def _share(pattern: Callable[[str], object], options: Sequence[str]) -> float:
    """Return the share of the options that fit a pattern."""
    return sum([bool(pattern(option)) for option in options]) * (1 / len(options)) if options else 0.0


REMOVE = trait(lambda one: one.entry.action is Action.REMOVE)
REPLACE = trait(lambda one: one.entry.action is Action.REPLACE)
ADD = trait(lambda one: one.entry.action is Action.ADD)
CUE_ROWS = matching_rows([Pattern(pattern) for _, pattern in CUES.values()], lambda one: one.in_options)
REMOVING_NAME = trait(lambda one: _REMOVING.search(one.entry.name))
SWEEP = trait(lambda one: _share(NUMERIC.fullmatch, [option.strip() for option in one.options]))
COUNT = trait(lambda one: min(len(one.options), 8))
SINGLE = trait(lambda one: len(one.options) == 1)
VAGUE = trait(lambda one: _share(_VAGUE.search, one.options))
ALL_VAGUE = trait(lambda one: _share(_VAGUE.search, one.options) == 1)
CURRENT = trait(lambda one: one.in_options & _CURRENT.bit > 0)
SEVERAL = trait(lambda one: one.in_part & _SEVERAL.bit > 0)
LENGTH = trait(lambda one: min(one.part_words, 24))
HEAD_LENGTH = trait(lambda one: min(one.head_words, 12))
UNNAMED = trait(lambda one: one.unnamed)
ASPECT_ROWS = matching_rows([Pattern(pattern) for pattern in ASPECTS.values()], lambda one: one.in_topic)


@dataclass(frozen=True, slots=True, eq=False)
class TraitTable:
    """The traits of a list, [trait, entry]; of each entry the numbers in its options, the stems of its part, and the
    last and the first word of what it ablates, each beside all words of its part and name."""

    values: Array
    numbers: Sequence[frozenset[str]]
    stems: Sequence[tuple[str, ...]]
    ends: Sequence[Sequence[End]]


@lru_cache(maxsize=65536)
def _entry_traits(entry: Ablation) -> tuple[list[float], frozenset[str], tuple[str, ...], tuple[End, ...]]:
    """Return the traits of one entry in the order of `TraitTable`."""
    head, tail, name, _ = entry_words(entry).segments
    part, unnamed = analyse(entry.part).stems, entry.name == entry.part
    topic = entry.part if unnamed else f"{entry.part} . {entry.name}"
    in_options = reduce(or_, map(pattern_bits, entry.replacements), 0)
    marks = pattern_bits(entry.part), pattern_bits(topic), in_options
    one = Reading(entry, entry.replacements, len(part), len(head), unnamed, *marks)
    values = [0.0 if function is None else float(function(one)) for function in TRAITS]
    for rows, every, bits, where in MATCHING:
        values[rows] = _found(bits, where(one) & every)
    title = frozenset((*head, *tail, *name))
    return (
        values,
        frozenset([number for option in entry.replacements for number in _NUMBER.findall(option)]),
        part,
        tuple([(head[end] if head else "", title) for end in ENDS.values()]),
    )


@lru_cache(maxsize=65536)
def _found(bits: tuple[int, ...], there: int) -> list[float]:
    """Return 1 for each of the bits that is there; few sets of them come again and again."""
    return [float(there & bit > 0) for bit in bits]


def trait_table(entries: Sequence[Ablation]) -> TraitTable:
    """Return the traits of this list."""
    values, numbers, stems, ends = zip(*map(_entry_traits, entries), strict=True)
    return TraitTable(np.array(values).T.copy(), numbers, stems, tuple(zip(*ends, strict=True)))


# Features of pairs.


class TraitPairs:
    """The traits of gold lists and of as many plans: `a` and `b` of either, and what they make of pairs, [trait, lists,
    gold, plan]."""

    __slots__ = (
        "a", "apart", "b", "both", "both_replace", "gold_removes", "lists", "most", "plan_removes", "total",
    )  # fmt: skip

    def __init__(self, lists: Sequence[tuple[TraitTable, TraitTable]]) -> None:
        self.lists = lists
        gold, plan = (np.stack([tables[side].values for tables in lists], axis=1) for side in (0, 1))
        a, b = self.a, self.b = gold[..., None], plan[..., None, :]
        self.both, self.apart, self.most, self.total = a * b, np.abs(a - b), np.maximum(a, b), a + b
        self.both_replace = self.both[REPLACE]
        self.gold_removes, self.plan_removes = a[REMOVE] * b[REPLACE], a[REPLACE] * b[REMOVE]

    def replacing(self, rows: int | slice) -> Array:
        """Return traits of the entry that replaces, where the other one removes."""
        values: Array = self.gold_removes * self.b[rows] + self.a[rows] * self.plan_removes
        return values


TRAIT_FEATURES: FeatureTable[TraitPairs] = FeatureTable("logic", "changes")
declare, add = TRAIT_FEATURES.declare, TRAIT_FEATURES.add

add("act.same", "both remove", lambda p: p.both[REMOVE], version=2)
add("act.both replace", "both put something in the place of their part", lambda p: p.both_replace)
add("act.remove replace", "one removes, the other replaces", lambda p: p.gold_removes + p.plan_removes)
add("act.add", "one of them adds", lambda p: p.most[ADD])
declare(
    {f"act.remove {cue}": f"one removes, and an option of the other says {text}" for cue, (text, _) in CUES.items()}
)(lambda p: p.replacing(CUE_ROWS))
declare({f"act.both {cue}": f"both replace, and options of both say {text}" for cue, (text, _) in CUES.items()})(
    lambda p: p.both_replace * p.both[CUE_ROWS]
)
declare({f"act.one {cue}": f"both replace, and options of only one say {text}" for cue, (text, _) in CUES.items()})(
    lambda p: p.both_replace * p.apart[CUE_ROWS]
)
add(
    "act.name removes",
    "one removes, and the name of the one that replaces speaks of removing",
    lambda p: p.replacing(REMOVING_NAME),
)
add(
    "act.name replaces", "both replace, and a name speaks of removing", lambda p: p.both_replace * p.most[REMOVING_NAME]
)
add("act.options of replace", "one removes, and how many options the other has", lambda p: p.replacing(COUNT) / 8)

# Version 2 of sweeps: a number has a digit.
add_sweep = partial(add, version=2)
add_sweep("sweep.both", "how many of the options are numbers, on both sides", lambda p: p.both[SWEEP])
add_sweep("sweep.one", "how many more of the options are numbers on one side", lambda p: p.apart[SWEEP])
add_sweep(
    "sweep.remove",
    "one removes, and how many options of the other are numbers",
    lambda p: p.a[REMOVE] * p.b[SWEEP] + p.a[SWEEP] * p.b[REMOVE],
)


@declare({"sweep.shared": "how many numbers the options share"}, version=2)
def _shared_numbers(p: TraitPairs) -> list[list[list[float]]]:
    """Compare with the numbers of the side that has fewer."""
    return [
        [[len(x & y) / min(len(x), len(y)) if x and y else 0.0 for y in plan.numbers] for x in gold.numbers]
        for gold, plan in p.lists
    ]


add_sweep(
    "sweep.unlike replace",
    "both replace, and how many more of the options are numbers on one side",
    lambda p: p.both[REPLACE] * p.apart[SWEEP],
)

add("option.total", "how many options there are", lambda p: p.total[COUNT] / 8)
add("option.single", "how many sides have a single option", lambda p: p.total[SINGLE])
add(
    "option.vague",
    "share of options such as other, different, smaller, on the side that has more",
    lambda p: p.most[VAGUE],
)
add("option.vague both", "how many sides have only such options", lambda p: p.total[ALL_VAGUE])
add("option.current", "how many sides name the current design among their options", lambda p: p.total[CURRENT])

add_part = partial(add, reason="parts")
add_part("part.several one", "only one of the parts names several things", lambda p: p.apart[SEVERAL])
add_part("part.several both", "both parts name several things", lambda p: p.both[SEVERAL])
add_part(
    "part.equal",
    "the parts are the same words in the same order",
    lambda p: [[[x == y and x != () for y in plan.stems] for x in gold.stems] for gold, plan in p.lists],
)
add_part("part.length", "words of the shorter part", lambda p: np.minimum(p.a[LENGTH], p.b[LENGTH]) / 8)
add_part(
    "part.length apart", "difference of the lengths of the parts", lambda p: p.apart[LENGTH] / (p.total[LENGTH] + 1)
)
add_part("part.head length", "words of the shorter head", lambda p: np.minimum(p.a[HEAD_LENGTH], p.b[HEAD_LENGTH]) / 4)


_END_WORDS = {f"part.{end} word": f"the {end} word of what is ablated stands on the other side" for end in ENDS}


@declare(_END_WORDS, reason="parts")
def _ends(p: TraitPairs) -> list[list[list[list[float]]]]:
    """Return 1 where both words are found, 0.5 for one of the two and where there are none, else 0."""
    return [
        [
            [
                [((x in title) + (y in own)) / 2 if x and y else 0.5 for y, title in plan.ends[end]]
                for x, own in gold.ends[end]
            ]
            for gold, plan in p.lists
        ]
        for end in range(len(ENDS))
    ]


add(
    "name.none",
    "how many entries have no name of their own, or one that only counts (Ablation Study 1)",
    lambda p: p.total[UNNAMED],
    reason="entries",
)
add("list.size", "how many pairs the two lists make", lambda p: min(p.both[0, 0].size, 36) / 36, reason="lists")

add_aspect = partial(add, reason="aspects")
add_aspect(
    "aspect.shared",
    "how many aspects (a number, a loss, a place, ...) both are about",
    lambda p: p.both[ASPECT_ROWS].sum(axis=0),
)
add_aspect("aspect.apart", "how many aspects only one is about", lambda p: p.apart[ASPECT_ROWS].sum(axis=0))
declare({f"aspect.{name}.both": f"both are about {name}" for name in ASPECTS}, reason="aspects")(
    lambda p: p.both[ASPECT_ROWS]
)
declare({f"aspect.{name}.one": f"only one is about {name}" for name in ASPECTS}, reason="aspects")(
    lambda p: p.apart[ASPECT_ROWS]
)
