"""Takes one list of entries, gives its words in rows that arrays can be made of.

The words of an entry fall into four segments, always in this order: the *head* of its part (what is ablated), the
*tail* of its part (where it is, what it is for), its *name*, its *options*. Every segment ends in an empty row, so
that no segment is ever without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Ablation
from evalkit.similarity.abbreviations import Place
from evalkit.similarity.rarity import rarity
from evalkit.similarity.tokens import analyse

SEGMENTS = ("head", "tail", "name", "options")
TRUST = (1.0, 0.5, 0.8125, 0.5)  # how much a word counts by its segment
EMPTY = ""

Lines = tuple[tuple[str, ...], tuple["Place | None", ...], NDArray[np.float64], tuple[int, ...]]
Words = tuple[tuple[tuple[str, Place], ...], ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """All words of one list: stem and place of each, the segment borders, and the weight of a word on its own."""

    stems: tuple[str, ...]
    places: tuple[Place | None, ...]
    starts: NDArray[np.intp]
    owners: NDArray[np.intp]
    weights: NDArray[np.float64]
    options: NDArray[np.bool_]


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
    """The rows of an entry as it stands: stems, places, weights, and how many rows each segment has."""
    return _lines(segments(entry))


def _lines(words: Words) -> Lines:
    stems = tuple(stem for segment in words for stem in (*(stem for stem, _ in segment), EMPTY))
    places = tuple(place for segment in words for place in (*(place for _, place in segment), None))
    lengths = tuple(len(segment) + 1 for segment in words)
    return stems, places, np.array([rarity(stem) for stem in stems]) * np.repeat(np.array(TRUST), lengths), lengths


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
    head, tail, name, options = words
    return _lines((head, tail, name, options))


def rows_of(entries: Sequence[Ablation], meanings: Mapping[str, tuple[Place, ...]]) -> Rows:
    """The words of a list, abbreviations written out, with segment borders."""
    lines = [_laid_out(entry) for entry in entries]
    short = meanings.keys()
    if short:
        lines = [
            line if short.isdisjoint(line[0]) else _written_out(entry, meanings)
            for entry, line in zip(entries, lines, strict=True)
        ]
    lengths = np.array([length for line in lines for length in line[3]], np.intp)
    segment_of = np.repeat(np.tile(np.arange(4), len(entries)), lengths)
    owners = np.repeat(np.repeat(np.arange(len(entries)), 4), lengths)
    stems = tuple(stem for line in lines for stem in line[0])
    places = tuple(place for line in lines for place in line[1])
    weights = np.concatenate([line[2] for line in lines])
    return Rows(stems, places, np.cumsum(lengths) - lengths, owners, weights, segment_of == 3)
