"""Find what the abbreviations of one paper's lists stand for.

Three sources, in this order: words of the lists themselves whose first letters spell the abbreviation ("evolvable-basis
binarizer" and "EBB"), two words that another entry writes as one ("fine-tuning" and "finetuning"), and a hand-written
glossary of the field, which counts only where the words it gives stand together in some entry of the lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from evalkit.matching.features.tokens import analyse
from evalkit.storage.files import read_text, shipped

Place = tuple[str, int]
"""A word by the text it stands in and its place among the words of that text."""


# One abbreviation may stand for several things, the first that is found counts.
GLOSSARY: dict[str, tuple[tuple[str, ...], ...]] = {
    short: tuple(tuple(word.stem for word in analyse(text).words) for text in meanings)
    for short, meanings in json.loads(read_text(shipped("matching/features/glossary.json"))).items()
}


@dataclass(frozen=True, slots=True)
class EntryForms:
    """What an entry's texts hold: stems, those that could be abbreviations, and what they could be abbreviated to."""

    stems: frozenset[str]
    short: frozenset[str]
    initials: frozenset[str]
    compounds: frozenset[str]


@lru_cache(maxsize=65536)
def _forms(texts: tuple[str, ...]) -> EntryForms:
    analysed = [analyse(text) for text in texts]
    words = [word for text in analysed for word in text.words]
    return EntryForms(
        frozenset(word.stem for word in words),
        frozenset(word.stem for word in words if word.acronym and 2 <= len(word.stem) <= 6),
        frozenset(letters for text in analysed for letters in text.initials),
        frozenset(joined for text in analysed for joined in text.compounds),
    )


def expansions(entries: Iterable[tuple[str, ...]]) -> dict[str, tuple[Place, ...]]:
    """Return what every abbreviation of these lists stands for: stem -> the words, each by where it can be read.

    The result does not depend on the order of the entries.
    """
    forms = {entry: _forms(entry) for entry in sorted(set(entries))}
    stems = frozenset().union(*(one.stems for one in forms.values()))
    short = frozenset().union(*(one.short for one in forms.values()))
    spelled_out = [
        entry for entry, one in forms.items()
        if not short.isdisjoint(one.initials) or not stems.isdisjoint(one.compounds)
    ]  # fmt: skip
    places: dict[str, tuple[Place, ...]] = {}
    for text in sorted({text for entry in spelled_out for text in entry}):
        words, initials, compounds = (one := analyse(text)).words, one.initials, one.compounds
        for stem in sorted(short & initials.keys()) + sorted(stems & compounds.keys()):
            long = initials[stem] if stem in short and stem in initials else compounds[stem]
            if stem not in places and stem not in {words[index].stem for index in long}:
                places[stem] = tuple((text, index) for index in long)
    for entry, one_entry in forms.items() if (rest := sorted((stems & GLOSSARY.keys()) - places.keys())) else ():
        for stem in rest:
            for meaning in GLOSSARY[stem]:
                if stem not in places and one_entry.stems.issuperset(meaning):
                    places[stem] = tuple(_first(word, entry) for word in meaning)
    return places


def _first(stem: str, texts: Iterable[str]) -> Place:
    """Return where a stem stands first."""
    words = ((text, index, word) for text in texts for index, word in enumerate(analyse(text).words))
    return next((text, index) for text, index, word in words if word.stem == stem)
