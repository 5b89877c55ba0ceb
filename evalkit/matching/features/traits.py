"""Takes what two entries do to their parts, gives whether they can be one deed: actions, sweeps, removals in disguise.

Each entry is first seen alone (its traits); a pair is then described by products and differences of traits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.coverage import Array
from evalkit.matching.features.tokens import analyse
from evalkit.matching.features.words import segments
from evalkit.types import Ablation, Action

# What an entry may be about besides its own words: two entries about one thing in different respects are not the same.
ASPECTS = {
    "a number": r"\b(?:number|count|amount|quantity|how many|num)\b|\b[KNMT]\b",
    "a size": r"\b(?:size|dimension\w*|length|width|resolution|capacity|volume|depth)\b",
    "an initialization": r"\binitiali[sz]",
    "a place": r"\b(?:location|position(?!al| enc| emb)|placement|layers?|where|level|stage)\b",
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
CUES = {
    "none": r"\b(?:no|none|without|w/o|remov\w*|disabl\w*|identity|zero|omit\w*|off|absent|exclud\w*|null|drop\w*"
    r"|skip\w*|not|ablat\w*|empty)\b|\b0(?:\.0+)?\b(?![.\d])",
    "plain": r"\b(?:vanilla|standard|regular|plain|basic|baseline|conventional|traditional|naive|original|normal|simple"
    r"|default|ordinary|direct\w*|raw)\b|\bun\w{4,}|\bnon-?\w",
    "fixed": r"\b(?:fixed|uniform\w*|random\w*|constant|static|equal\w*|single|average|mean|frozen|independent|separate"
    r"|same|only|global|full|hard|linear)\b",
}
_ASPECTS = [re.compile(pattern, re.IGNORECASE) for pattern in ASPECTS.values()]
_CUES = [re.compile(pattern, re.IGNORECASE) for pattern in CUES.values()]
_GENERIC = re.compile(r"(?:ablation|ablation study|study|experiment)?\s*[#(]?\w{0,2}\)?", re.IGNORECASE)
_NUMERIC = re.compile(
    r"(?=.*\d)\W*(?:[A-Za-z_]{1,14}\W{0,4})?[=:]?\s*[-\d.,\s%{}\[\]e^x+*/~]+\s?[A-Za-z%-]{0,12}(?: [a-z]{2,12})?\.?\W*"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_VAGUE = re.compile(
    r"\b(?:different|alternative|various|varying|other|smaller|larger|fewer|more|less|higher|lower|simpl\w+|complex|advanced"
    r"|another|e\.g\.)(?!\w)",
    re.IGNORECASE,
)
_CURRENT = re.compile(r"\b(?:current|baseline|default|original|proposed|full|ours?)\b", re.IGNORECASE)
_REMOVING = re.compile(r"\b(?:w/o|without|no|remov\w+|non|disabl\w+)\b|^No[A-Z]", re.IGNORECASE)
_SEVERAL = re.compile(r"\b(?:and|both|combin\w*|multiple|components?|terms?|all)\b|[+/,]", re.IGNORECASE)

NAMES = (
    "act.same", "act.both replace", "act.remove replace", "act.add",
    "act.remove none", "act.remove plain", "act.remove fixed",
    "act.both none", "act.both plain", "act.both fixed", "act.one none", "act.one plain", "act.one fixed",
    "act.name removes", "act.name replaces", "act.options of replace",
    "sweep.both", "sweep.one", "sweep.remove", "sweep.shared", "sweep.unlike replace",
    "option.total", "option.single", "option.vague", "option.vague both", "option.current",
    "part.several one", "part.several both", "part.equal", "part.length", "part.length apart", "part.head length",
    "part.last word", "part.first word", "name.generic", "list.size", "aspect.shared", "aspect.apart",
    *(f"aspect.{name}.both" for name in ASPECTS), *(f"aspect.{name}.one" for name in ASPECTS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Traits:
    """What one entry is like, seen alone; `values` in the order of the names below."""

    values: NDArray[np.float64]
    numbers: frozenset[str]
    stems: tuple[str, ...]
    head: tuple[str, ...]
    title: frozenset[str]


(
    REMOVE, REPLACE, ADD, UNSPECIFIED, OPEN, NONE, PLAIN, FIXED, REMOVING, SWEEP, COUNT, SINGLE, VAGUE, ALL_VAGUE,
    CURRENT, SEVERAL, LENGTH, HEAD_LENGTH, GENERIC,
) = range(19)  # fmt: skip
_ASPECTS_FROM = 19
_CUE = slice(NONE, FIXED + 1)
_TOLD = [REPLACE, NONE, PLAIN, FIXED, REMOVING, COUNT]


def generic(name: str) -> bool:
    """Whether a name only counts ("Ablation Study 1") and says nothing about the part."""
    return bool(_GENERIC.fullmatch(name.strip())) or not analyse(name).words


@lru_cache(maxsize=65536)
def traits(entry: Ablation) -> Traits:
    """The traits of one entry."""
    options, part = entry.replacements, analyse(entry.part).words
    said = entry.part if generic(entry.name) else f"{entry.part} . {entry.name}"
    head, tail, name, _ = segments(entry)
    share = 1 / max(len(options), 1)
    vague = sum(bool(_VAGUE.search(option)) for option in options) * share
    values = [
        entry.action is Action.REMOVE, entry.action is Action.REPLACE, entry.action is Action.ADD, entry.action is None,
        entry.action is Action.REPLACE and not options,
        *(any(cue.search(option) for option in options) for cue in _CUES),
        bool(_REMOVING.search(entry.name)),
        sum(bool(_NUMERIC.fullmatch(option.strip())) for option in options) * share,
        min(len(options), 8), len(options) == 1, vague, vague == 1, any(_CURRENT.search(option) for option in options),
        bool(_SEVERAL.search(entry.part)), min(len(part), 24), min(len(head), 12), generic(entry.name),
        *(bool(aspect.search(said)) for aspect in _ASPECTS),
    ]  # fmt: skip
    return Traits(
        np.array(values, dtype=np.float64),
        frozenset(number for option in options for number in _NUMBER.findall(option)),
        tuple(word.stem for word in part),
        tuple(stem for stem, _ in head),
        frozenset(stem for segment in (head, tail, name) for stem, _ in segment),
    )


class Pairs(NamedTuple):
    """The traits of two lists by trait, gold entry, plan entry: of gold, of the plan, and what they make of a pair."""

    a: Array
    b: Array
    both: Array
    apart: Array
    most: Array

    @classmethod
    def of(cls, a: Array, b: Array) -> Pairs:
        """Every pair of these entries."""
        return cls(a, b, a * b, np.abs(a - b), np.maximum(a, b))


@dataclass(frozen=True, slots=True, eq=False)
class Doings:
    """The traits of a list: `values` by trait, entry; of each entry the numbers in its options, the stems of its part,
    the last and the first word of what it ablates, each beside all words of its part and name."""

    values: Array
    numbers: Sequence[frozenset[str]]
    stems: Sequence[tuple[str, ...]]
    ends: Sequence[Sequence[tuple[str, frozenset[str]]]]


def doings(entries: Sequence[Ablation]) -> Doings:
    """The traits of this list."""
    seen = [traits(entry) for entry in entries]
    return Doings(
        np.array([one.values for one in seen]).T.copy(),
        [one.numbers for one in seen],
        [one.stems for one in seen],
        [[(one.head[at] if one.head else "", one.title) for one in seen] for at in (-1, 0)],
    )


def deeds(one: Doings, other: Doings) -> Array:
    """NAMES, by gold entry, plan entry."""
    seen = Pairs.of(one.values[:, :, None], other.values[:, None])
    shared, apart = seen.both[_ASPECTS_FROM:], seen.apart[_ASPECTS_FROM:]
    counts = (shared.sum(axis=0, keepdims=True), apart.sum(axis=0, keepdims=True))
    columns = (*_actions(seen), _forms(seen, one, other), *counts, shared, apart)
    return np.concatenate(columns).transpose(1, 2, 0)


def unspecified(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> NDArray[np.bool_] | None:
    """Where gold leaves open what is done to the part, so that it agrees with whatever the plan does.

    None where it never does. Gold may leave things out; a plan that does so is given nothing for it.
    """
    if all(one.action is Action.REMOVE or (one.action and one.replacements) for one in gold):
        return None
    return np.array([[_agrees(one, other) for other in plan] for one in gold], dtype=np.bool_)


def _agrees(gold: Ablation, plan: Ablation) -> bool:
    """Whether gold says nothing that the plan's action and options could contradict."""
    if gold.action is None:
        return not gold.replacements or plan.action is Action.REMOVE
    return gold.action is plan.action and gold.action is not Action.REMOVE and not gold.replacements


def _actions(seen: Pairs) -> Sequence[Array]:
    """What is done on either side, and whether the options speak of removal.

    What is left out agrees with everything: where an action is unspecified, or one of two replacements names no
    options, the pair counts as the same deed.
    """
    a, b, both, apart, most = seen
    free = np.maximum(most[UNSPECIFIED], np.maximum(a[OPEN] * b[REPLACE], a[REPLACE] * b[OPEN]))
    stated = 1 - free
    replaces = both[REPLACE] * stated
    # One removes, and the other replaces: by itself, by each cue, by a name that speaks of removing, by its options.
    by_a, by_b = a[REPLACE] * a[_TOLD], b[REPLACE] * b[_TOLD]
    either = a[REMOVE] * by_b + by_a * b[REMOVE]
    said = (np.maximum(both[REMOVE], free), replaces, either[0] * stated, most[ADD] * stated)
    named = (either[4], replaces * most[REMOVING], either[5] / 8)
    return np.array(said), either[1:4], replaces * both[_CUE], replaces * apart[_CUE], np.array(named)


def _forms(seen: Pairs, one: Doings, other: Doings) -> Array:
    """Sweeps over numbers, how options are put, and the outward form of parts and names."""
    a, b, both, apart, most = seen
    total, (last, first) = a + b, _ends(one, other)
    entries, others = a.shape[1], b.shape[2]
    columns = [
        both[SWEEP], apart[SWEEP], a[REMOVE] * b[SWEEP] + a[SWEEP] * b[REMOVE],
        _shared_numbers(one, other), both[REPLACE] * apart[SWEEP],
        total[COUNT] / 8, total[SINGLE], most[VAGUE], total[ALL_VAGUE], total[CURRENT], apart[SEVERAL], both[SEVERAL],
        [[x == y and x != () for y in other.stems] for x in one.stems],
        np.minimum(a[LENGTH], b[LENGTH]) / 8, apart[LENGTH] / (total[LENGTH] + 1),
        np.minimum(a[HEAD_LENGTH], b[HEAD_LENGTH]) / 4, last, first, total[GENERIC],
        np.full((entries, others), min(entries * others, 36) / 36),
    ]  # fmt: skip
    return np.array(columns)


def _shared_numbers(one: Doings, other: Doings) -> list[list[float]] | Array:
    """How many of the numbers in the options are the same, of those of the side that has fewer."""
    ours, theirs = one.numbers, other.numbers
    if not any(ours) or not any(theirs):
        return np.zeros((len(ours), len(theirs)))
    return [[len(x & y) / min(len(x), len(y)) if x and y else 0.0 for y in theirs] for x in ours]


def _ends(one: Doings, other: Doings) -> list[list[list[float]]]:
    """Whether the last words of what is ablated are found on the other side, and whether the first are: 1 both, 0.5 one
    of the two, 0 neither; 0.5 too where there are none."""
    return [
        [
            [((word in said) + (end in title)) / 2 if word and end else 0.5 for end, said in theirs]
            for word, title in ours
        ]
        for ours, theirs in zip(one.ends, other.ends, strict=True)
    ]
