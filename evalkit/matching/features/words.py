"""Lay out the words of a list of entries in rows that arrays can be made of.

The words of an entry fall into four segments, always in this order: the *head* of its part (what is ablated), the
*tail* of its part (where it is, what it is for), its *name*, its *options*. The words of a segment stand in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.abbreviations import Place
from evalkit.matching.features.rarity import rarity
from evalkit.matching.features.tokens import analyse
from evalkit.types import Ablation

TRUST = {"head": 1.0, "tail": 0.5, "name": 0.8125, "options": 0.5}  # how much a word counts by its segment
SEGMENTS = tuple(TRUST)
OPTIONS = SEGMENTS.index("options")
_TRUST = np.array(list(TRUST.values()))

Words = tuple[tuple[tuple[str, Place], ...], ...]
Expansions = tuple[tuple[str, tuple[Place, ...]], ...]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class EntryWords:
    """The words of one entry: their stems, where they stand in its texts' words (one text after another), the segment
    of each, and its weight on its own."""

    stems: tuple[str, ...]
    texts: tuple[str, ...]
    places: Numbers
    length: int
    segments: Numbers
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ListWords:
    """All words of one list as `EntryWords` has them, with the entry of each (`owners`); `places` is None where every
    word of the texts stands in its order.

    Of each segment that has words, `kind` and `entry` say which segment of which entry it is, and `members` (by place
    in the segment, segment) which words are in it, the last as often as it takes.
    """

    entries: int
    stems: tuple[str, ...]
    texts: tuple[str, ...]
    places: Numbers | None
    segments: Numbers
    owners: Numbers
    weights: NDArray[np.float64]
    members: Numbers
    entry: Numbers
    kind: Numbers


def texts_of(entry: Ablation) -> tuple[str, ...]:
    """Return the texts of an entry that words are read from."""
    return (entry.part, entry.name, *entry.replacements)


@lru_cache(maxsize=65536)
def segments(entry: Ablation) -> Words:
    """Return the words of an entry in its four segments, each with the place it is read from."""
    part = [(word, (entry.part, place)) for place, word in enumerate(analyse(entry.part).words)]
    head = tuple((word.stem, place) for word, place in part if word.head)
    tail = tuple((word.stem, place) for word, place in part if not word.head)
    return head, tail, _read((entry.name,)), _read(entry.replacements)


def _read(texts: Sequence[str]) -> tuple[tuple[str, Place], ...]:
    return tuple((word.stem, (text, index)) for text in texts for index, word in enumerate(analyse(text).words))


@lru_cache(maxsize=65536)
def _entry_words(entry: Ablation) -> EntryWords:
    return _lay_out(segments(entry))


def _lay_out(words: Words) -> EntryWords:
    flat = tuple(chain.from_iterable(words))
    begins: dict[str, int] = {}
    length = 0
    for _, (text, _) in flat:
        if text not in begins:
            begins[text] = length
            length += len(analyse(text).words)
    segment = np.repeat(np.arange(len(SEGMENTS)), [len(one) for one in words])
    return EntryWords(
        stems=tuple(stem for stem, _ in flat),
        texts=tuple(begins),
        places=np.array([begins[text] + index for _, (text, index) in flat], np.intp),
        length=length,
        segments=segment,
        weights=np.array([rarity(stem) for stem, _ in flat]) * _TRUST[segment],
    )


def _expanded(entry: Ablation, meanings: Mapping[str, tuple[Place, ...]]) -> EntryWords:
    """Return the words of an entry with its abbreviations written out."""
    words: list[tuple[tuple[str, Place], ...]] = []
    for segment in segments(entry):
        pairs = ((stem, where) for stem, place in segment for where in meanings.get(stem, (place,)))
        words.append(
            tuple(
                (analyse(where[0]).words[where[1]].stem if stem in meanings else stem, where) for stem, where in pairs
            )
        )
    return _lay_out(tuple(words))


def expansions_in(entries: Iterable[Ablation], meanings: Mapping[str, tuple[Place, ...]]) -> Expansions:
    """Return those of the abbreviations that stand in a list, with what they mean."""
    stems = set().union(*(_entry_words(entry).stems for entry in entries)) if meanings else ()
    return tuple((stem, places) for stem, places in meanings.items() if stem in stems)


def list_words(entries: Iterable[Ablation], expansions: Expansions) -> ListWords:
    """Return the words of a list, these abbreviations written out, with segment borders."""
    meanings = dict(expansions)
    lines = [
        line if meanings.keys().isdisjoint(line.stems) else _expanded(entry, meanings)
        for entry, line in ((entry, _entry_words(entry)) for entry in entries)
    ]
    owners = np.repeat(np.arange(len(lines)), [len(line.stems) for line in lines])
    segment = np.concatenate([line.segments for line in lines])
    slots = owners * len(SEGMENTS) + segment
    starts = np.flatnonzero(np.diff(slots, prepend=-1))
    places = np.concatenate([line.places for line in lines])
    before = np.array([0, *accumulate([line.length for line in lines])])
    places += before[owners]
    return ListWords(
        entries=len(lines),
        stems=tuple(chain.from_iterable([line.stems for line in lines])),
        texts=tuple(chain.from_iterable([line.texts for line in lines])),
        places=None if np.array_equal(places, np.arange(before[-1])) else places,
        segments=segment,
        owners=owners,
        weights=np.concatenate([line.weights for line in lines]),
        members=_members(starts, len(slots)),
        entry=owners[starts],
        kind=segment[starts],
    )


def _members(starts: Numbers, words: int) -> Numbers:
    """Return the words of every segment, [place in the segment, segment], filled up with the last."""
    ends = np.append(starts, words)[1:]
    longest = int((ends - starts).max(initial=0))
    members: Numbers = np.minimum(starts + np.arange(longest)[:, None], ends - 1)
    return members
