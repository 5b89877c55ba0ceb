"""Takes what two entries do to their parts, gives whether they can be one deed: actions, sweeps, removals in disguise.

Each entry is first seen alone (its traits); a pair is then described by products and differences of traits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Ablation, Action
from evalkit.similarity.coverage import Array
from evalkit.similarity.entries import segments
from evalkit.similarity.tokens import analyse

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
    """What one entry is like, seen alone; `values` in the order that `_TRAITS` names."""

    values: NDArray[np.float64]
    numbers: frozenset[str]
    stems: tuple[str, ...]
    head: tuple[str, ...]
    title: frozenset[str]


_TRAITS = (
    "remove", "replace", "add", "unspecified", "open", "none", "plain", "fixed", "removing", "sweep", "count", "single",
    "vague", "all vague", "current", "several", "length", "head length", "generic",
)  # fmt: skip


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


def deeds(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> Array:
    """NAMES, by gold entry, plan entry."""
    one, other = [traits(entry) for entry in gold], [traits(entry) for entry in plan]
    a, b = np.array([seen.values for seen in one]), np.array([seen.values for seen in other])
    g = {name: a[:, at, None] for at, name in enumerate(_TRAITS)}
    p = {name: b[None, :, at] for at, name in enumerate(_TRAITS)}
    aspects, others = a[:, None, len(_TRAITS) :], b[None, :, len(_TRAITS) :]
    shared, apart = aspects * others, np.abs(aspects - others)
    counts = np.stack((shared.sum(axis=-1), apart.sum(axis=-1)), axis=-1)
    return np.concatenate((_actions(g, p), _forms(g, p, one, other), counts, shared, apart), axis=-1)


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


Columns = dict[str, Array]


def _either(g: Columns, p: Columns, first: str, second: str, third: str = "") -> Array:
    """One entry has the first trait and the other has the second (and the third)."""
    extra_g, extra_p = (g[third], p[third]) if third else (1.0, 1.0)
    return g[first] * p[second] * extra_p + g[second] * extra_g * p[first]


def _actions(g: Columns, p: Columns) -> Array:
    """What is done on either side, and whether the options speak of removal.

    What is left out agrees with everything: where an action is unspecified, or one of two replacements names no
    options, the pair counts as the same deed.
    """
    free = np.maximum(g["unspecified"], p["unspecified"])
    free = np.maximum(free, np.maximum(g["open"] * p["replace"], g["replace"] * p["open"]))
    stated = 1 - free
    replaces = g["replace"] * p["replace"] * stated
    cues = ("none", "plain", "fixed")
    columns = [
        np.maximum(g["remove"] * p["remove"], free), replaces, _either(g, p, "remove", "replace") * stated,
        np.maximum(g["add"], p["add"]) * stated,
        *(_either(g, p, "remove", "replace", cue) for cue in cues),
        *(replaces * g[cue] * p[cue] for cue in cues),
        *(replaces * np.abs(g[cue] - p[cue]) for cue in cues),
        _either(g, p, "remove", "replace", "removing"), replaces * np.maximum(g["removing"], p["removing"]),
        _either(g, p, "remove", "replace", "count") / 8,
    ]  # fmt: skip
    return np.stack(columns, axis=-1)


def _forms(g: Columns, p: Columns, one: Sequence[Traits], other: Sequence[Traits]) -> Array:
    """Sweeps over numbers, how options are put, and the outward form of parts and names."""
    replaces = g["replace"] * p["replace"]
    columns = [
        g["sweep"] * p["sweep"], np.abs(g["sweep"] - p["sweep"]), _either(g, p, "remove", "sweep"),
        _pairs(one, other, _shared_numbers), replaces * np.abs(g["sweep"] - p["sweep"]),
        (g["count"] + p["count"]) / 8, g["single"] + p["single"], np.maximum(g["vague"], p["vague"]),
        g["all vague"] + p["all vague"], g["current"] + p["current"],
        np.abs(g["several"] - p["several"]), g["several"] * p["several"],
        _pairs(one, other, lambda x, y: float(x.stems == y.stems and bool(x.stems))),
        np.minimum(g["length"], p["length"]) / 8,
        np.abs(g["length"] - p["length"]) / (g["length"] + p["length"] + 1),
        np.minimum(g["head length"], p["head length"]) / 4,
        _pairs(one, other, lambda x, y: _word(x, y, -1)), _pairs(one, other, lambda x, y: _word(x, y, 0)),
        g["generic"] + p["generic"], np.full_like(replaces, min(len(one) * len(other), 36) / 36),
    ]  # fmt: skip
    return np.stack(columns, axis=-1)


def _pairs(one: Sequence[Traits], other: Sequence[Traits], score: Callable[[Traits, Traits], float]) -> Array:
    return np.array([[score(x, y) for y in other] for x in one])


def _shared_numbers(one: Traits, other: Traits) -> float:
    """How many of the numbers in the options are the same, of those of the side that has fewer."""
    return len(one.numbers & other.numbers) / (min(len(one.numbers), len(other.numbers)) or 1)


def _word(one: Traits, other: Traits, at: int) -> float:
    """Whether the last (or first) words of the heads are found on the other side: 1 both, 0.5 one, 0 neither."""
    if not one.head or not other.head:
        return 0.5
    return ((one.head[at] in other.title) + (other.head[at] in one.title)) / 2
