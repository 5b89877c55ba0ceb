"""What every feature sees, in words: the names in the order of the arrays, for calibrations and for explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.matching.features import coverage, traits

Family = Literal["lexical", "embedding", "logic"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: what it is made from, the reason under which it is told, and what it sees, in words."""

    name: str
    family: Family
    reason: str
    description: str
    version: int = 1


_KINDS: dict[str, tuple[Family, str]] = {
    "word": ("lexical", "by spelling"),
    "meaning": ("embedding", "by meaning in context"),
}
_SOURCES = {
    "head": "what is ablated", "tail": "where the part is or what it is for", "part": "the part", "name": "the name",
    "title": "name and part", "options": "the options", "all": "the whole entry",
}  # fmt: skip
_STATISTICS = {
    "mean": "share of the weight of {source} that is found again in {target}, mean of both directions",
    "min": "share of the weight of {source} that is found again in {target}, the lesser direction",
    "own": "weight of {source} that is found in {target} of this entry rather than of another",
    "miss": "heaviest word of {source} that is not found in {target}, mean of both directions",
    "least": "heaviest word of {source} that is not found in {target}, the better direction",
    "sum": "total weight of {source} that is found again in {target}",
    "first": "share of {source} found in {target}, above the best alternative of either entry",
    "second": "share of {source} found in {target}, above the best alternative of one of the entries",
}
SPELLED = {
    "shared": "most alike pair of options, words of the part counting less",
    "shared.mean": "mean likeness of options to their counterparts, words of the part counting less",
    "same": "an option of the one is an option of the other",
    "count": "how many options have a counterpart",
    "restated": "what one entry ablates is said in an option of the other",
    "restated.both": "what each entry ablates is said in an option of the other",
    "new": "an entry removes, and the options of the other say something else than its part",
}
MEANT = {
    "near": "nearest pair of options in meaning",
    "near.mean": "mean nearness of options to their counterparts in meaning",
    "apart": "nearest pair of options in meaning, less what the parts mean",
    "part": "an entry removes, and an option of the other is near to the removed part in meaning",
}
_DEEDS = {
    "act.same": "both remove, or one leaves open what it does",
    "act.both replace": "both put something in the place of their part",
    "act.remove replace": "one removes, the other replaces",
    "act.add": "one of them adds",
    "act.remove none": "one removes, and an option of the other says none, without, disabled or zero",
    "act.remove plain": "one removes, and an option of the other says plain, standard or vanilla",
    "act.remove fixed": "one removes, and an option of the other says fixed, uniform or random",
    "act.both none": "both replace, and options of both say none, without, disabled or zero",
    "act.both plain": "both replace, and options of both say plain, standard or vanilla",
    "act.both fixed": "both replace, and options of both say fixed, uniform or random",
    "act.one none": "both replace, and options of only one say none, without, disabled or zero",
    "act.one plain": "both replace, and options of only one say plain, standard or vanilla",
    "act.one fixed": "both replace, and options of only one say fixed, uniform or random",
    "act.name removes": "one removes, and the name of the one that replaces speaks of removing",
    "act.name replaces": "both replace, and a name speaks of removing",
    "act.options of replace": "one removes, and how many options the other has",
    "sweep.both": "how many of the options are numbers, on both sides",
    "sweep.one": "how many more of the options are numbers on one side",
    "sweep.remove": "one removes, and how many options of the other are numbers",
    "sweep.shared": "how many numbers the options share",
    "sweep.unlike replace": "both replace, and how many more of the options are numbers on one side",
    "option.total": "how many options there are",
    "option.single": "how many sides have a single option",
    "option.vague": "share of options such as other, different, smaller, on the side that has more",
    "option.vague both": "how many sides have only such options",
    "option.current": "how many sides name the current design among their options",
    "part.several one": "only one of the parts names several things",
    "part.several both": "both parts name several things",
    "part.equal": "the parts are the same words in the same order",
    "part.length": "words of the shorter part",
    "part.length apart": "difference of the lengths of the parts",
    "part.head length": "words of the shorter head",
    "part.last word": "the last word of what is ablated stands on the other side",
    "part.first word": "the first word of what is ablated stands on the other side",
    "name.generic": "how many names only count (Ablation Study 1) and say nothing",
    "list.size": "how many pairs the two lists make",
    "aspect.shared": "how many aspects (a number, a loss, a place, ...) both are about",
    "aspect.apart": "how many aspects only one is about",
    **{f"aspect.{name}.both": f"both are about {name}" for name in traits.ASPECTS},
    **{f"aspect.{name}.one": f"only one is about {name}" for name in traits.ASPECTS},
}
_REASON_OF = {
    "act": "changes", "sweep": "changes", "option": "changes", "part": "parts", "name": "entries", "list": "lists",
    "aspect": "aspects",
}  # fmt: skip
# Raised when a feature sees something else than before: calibrations fitted to the earlier one are refused.
_VERSIONS = {"sweep": 2}  # 2: a number has a digit


def _reason(source: str, statistic: str) -> str:
    """The reason under which a feature about words is told."""
    if statistic in ("first", "second"):
        return "rivals"
    if source == "options":
        return "changes"
    return "parts" if source in ("head", "tail", "part") else "entries"


def _coverage(kind: str) -> list[Feature]:
    family, how = _KINDS[kind]
    made = []
    for statistic in (*coverage.STATISTICS, "first", "second"):
        for source, target in coverage.COMBINATIONS:
            said = _STATISTICS[statistic].format(source=_SOURCES[source], target=_SOURCES[target])
            reason = _reason(source, statistic)
            made.append(Feature(f"{kind}.{source}>{target}.{statistic}", family, reason, f"{said} ({how})"))
    return made


def _deed(name: str) -> Feature:
    kind = name.partition(".")[0]
    return Feature(name, "logic", _REASON_OF[kind], _DEEDS[name], _VERSIONS.get(kind, 1))


def _all() -> list[Feature]:
    """Every feature in the order in which `features` puts their values."""
    spelled = [Feature(f"options.{n}", "lexical", "changes", d) for n, d in SPELLED.items()]
    meant = [Feature(f"options.{n}", "embedding", "changes", d) for n, d in MEANT.items()]
    phrases = [
        Feature(f"phrase.{field}{way}", "embedding", whole, f"nearness of the {field}s{said} (by meaning)")
        for field, whole in (("part", "parts"), ("name", "entries"))
        for way, said in (("", ""), (".apart", ", less what all entries share"))
    ]
    deeds = [_deed(name) for name in traits.NAMES]
    words = [feature for kind in _KINDS for feature in _coverage(kind)]
    return [*words, *spelled, *deeds, *phrases, *meant]


FEATURES = {feature.name: feature for feature in _all()}
LEXICAL = tuple(name for name, feature in FEATURES.items() if feature.family in ("lexical", "logic"))
