"""Takes one list of entries, gives its words in rows that arrays can be made of.

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

SEGMENTS = ("head", "tail", "name", "options")
OPTIONS = SEGMENTS.index("options")
# What an entry's words are looked up for, and what they are looked up in, made of segments (see `coverage`).
SOURCES = ("head", "tail", "part", "name", "title", "options", "all")
TARGETS = ("head", "part", "name", "title", "options", "all")
# Where the segments lie among them; the tail is no target, so it lies behind.
_AS_SOURCE, _AS_TARGET = np.array([0, 1, 3, 5]), np.array([0, 6, 2, 4])
TRUST = np.array([1.0, 0.5, 0.8125, 0.5])  # how much a word counts by its segment

_FIRST = np.array([True])

Words = tuple[tuple[tuple[str, Place], ...], ...]
Written = tuple[tuple[str, tuple[Place, ...]], ...]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lines:
    """The words of one entry: their stems, where they stand in its texts' words (one text after another), the segment
    of each, and its weight on its own."""

    stems: tuple[str, ...]
    texts: tuple[str, ...]
    places: Numbers
    length: int
    segments: Numbers
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All words of one list as `Lines` has them, with the entry of each (`owners`); `places` is None where every word
    of the texts stands in its order.

    Of each segment that has words, `entry` says whose it is, `as_source` and `as_target` where it lies among SOURCES
    and TARGETS, and `members` (by place in the segment, segment) which words are in it, the last as often as it takes.
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
    as_source: Numbers
    as_target: Numbers


def texts_of(entry: Ablation) -> tuple[str, ...]:
    """The texts of an entry that words are read from."""
    return (entry.part, entry.name, *entry.replacements)


@lru_cache(maxsize=65536)
def segments(entry: Ablation) -> Words:
    """The words of an entry in its four segments, each with the place it is read from."""
    part = [(word, (entry.part, place)) for place, word in enumerate(analyse(entry.part).words)]
    head = tuple((word.stem, place) for word, place in part if word.head)
    tail = tuple((word.stem, place) for word, place in part if not word.head)
    return head, tail, _read((entry.name,)), _read(entry.replacements)


def _read(texts: Sequence[str]) -> tuple[tuple[str, Place], ...]:
    return tuple((word.stem, (text, at)) for text in texts for at, word in enumerate(analyse(text).words))


@lru_cache(maxsize=65536)
def _laid_out(entry: Ablation) -> Lines:
    """The rows of an entry as it stands."""
    return _lines(segments(entry))


def _lines(words: Words) -> Lines:
    flat = tuple(chain.from_iterable(words))
    begins: dict[str, int] = {}
    length = 0
    for _, (text, _) in flat:
        if text not in begins:
            begins[text] = length
            length += len(analyse(text).words)
    segment = np.repeat(np.arange(len(SEGMENTS)), [len(one) for one in words])
    return Lines(
        stems=tuple(stem for stem, _ in flat),
        texts=tuple(begins),
        places=np.array([begins[text] + at for _, (text, at) in flat], np.intp),
        length=length,
        segments=segment,
        weights=np.array([rarity(stem) for stem, _ in flat]) * TRUST[segment],
    )


def _written_out(entry: Ablation, meanings: Mapping[str, tuple[Place, ...]]) -> Lines:
    """The rows of an entry with its abbreviations written out."""
    words = []
    for segment in segments(entry):
        said: list[tuple[str, Place]] = []
        for stem, place in segment:
            if stem in meanings:
                said += [(analyse(text).words[at].stem, (text, at)) for text, at in meanings[stem]]
            else:
                said.append((stem, place))
        words.append(tuple(said))
    return _lines(tuple(words))


def written_in(entries: Iterable[Ablation], meanings: Mapping[str, tuple[Place, ...]]) -> Written:
    """Those of the abbreviations that stand in a list, with what they mean."""
    there = set().union(*(_laid_out(entry).stems for entry in entries)) if meanings else ()
    return tuple((stem, places) for stem, places in meanings.items() if stem in there)


def rows_of(entries: Iterable[Ablation], written: Written) -> Rows:
    """The words of a list, these abbreviations written out, with segment borders."""
    meanings = dict(written)
    lines = [
        line if meanings.keys().isdisjoint(line.stems) else _written_out(entry, meanings)
        for entry, line in ((entry, _laid_out(entry)) for entry in entries)
    ]
    owners = np.repeat(np.arange(len(lines)), [len(line.stems) for line in lines])
    segment = np.concatenate([line.segments for line in lines])
    slots = owners * len(SEGMENTS) + segment
    starts = np.flatnonzero(np.concatenate((_FIRST[: len(slots)], slots[1:] != slots[:-1])))
    places = np.concatenate([line.places for line in lines])
    before = np.array([0, *accumulate([line.length for line in lines])])
    places += before[owners]
    return Rows(
        entries=len(lines),
        stems=tuple(chain.from_iterable([line.stems for line in lines])),
        texts=tuple(chain.from_iterable([line.texts for line in lines])),
        places=None if np.array_equal(places, np.arange(before[-1])) else places,
        segments=segment,
        owners=owners,
        weights=np.concatenate([line.weights for line in lines]),
        members=_members(starts, len(slots)),
        entry=owners[starts],
        as_source=_AS_SOURCE[segment[starts]],
        as_target=_AS_TARGET[segment[starts]],
    )


def _members(starts: Numbers, words: int) -> Numbers:
    """The words of every segment, by place in the segment, segment; filled up with the last."""
    ends = np.append(starts, words)[1:]
    longest = int((ends - starts).max(initial=0))
    members: Numbers = np.minimum(starts + np.arange(longest)[:, None], ends - 1)
    return members
