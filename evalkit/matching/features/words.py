"""Lay out the words of a list of entries, and compare how words of two lists are spelled.

The words of an entry fall into four segments, always in this order: the *head* of its part (what is ablated), the
*tail* of its part (where it is, what it is for), its *name*, its *options*. The words of a segment stand in a row.

Words may meet by spelling ("word") or by meaning in their context ("meaning"). A word counts by how rare it
is in the field and how rare it is in its own list: what every entry says tells no two of them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.registry import Family, Feature
from evalkit.matching.tokens import Place, analyse, rarity
from evalkit.types import Ablation

TRUST = {"head": 1.0, "tail": 0.5, "name": 0.8125, "options": 0.5}  # how much a word counts by its segment
SEGMENTS = tuple(TRUST)
OPTIONS = SEGMENTS.index("options")
GRID = 1024  # similarities and weights are multiples of a power of two: their sums are exact in any order
BLOCK = 128  # words that are compared with all others at a time
_BUCKETS = 512
_NO_SPELLING = np.zeros(0, np.float32)

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]
Real = TypeVar("Real", np.float32, np.float64)
Segments = tuple[tuple[str, ...], ...]  # the stems of each
Run = tuple[str, Sequence[int], int]  # of words: a text, their places among its words, and their segment
Expansions = tuple[tuple[str, tuple[Place, ...]], ...]

# What words are looked up for, and what they are looked up in, with its name in words and the segments it is made of.
SOURCES = {
    "head": ("what is ablated", ("head",)),
    "tail": ("where the part is or what it is for", ("tail",)),
    "part": ("the part", ("head", "tail")),
    "name": ("the name", ("name",)),
    "title": ("name and part", ("head", "tail", "name")),
    "options": ("the options", ("options",)),
    "all": ("the whole entry", SEGMENTS),
}
TARGETS = ("head", "part", "name", "title", "options", "all")
COMBINATIONS = (
    ("head", "head"), ("head", "part"), ("head", "title"), ("part", "part"), ("part", "title"), ("part", "all"),
    ("tail", "all"), ("name", "name"), ("name", "title"), ("title", "title"), ("title", "all"),
    ("options", "options"), ("options", "title"), ("options", "all"), ("all", "all"),
)  # fmt: skip
STATISTICS = {
    "mean": "share of the weight of {source} that is found again in {target}, mean of both directions",
    "min": "share of the weight of {source} that is found again in {target}, the lesser direction",
    "own": "weight of {source} that is found in {target} of this entry rather than of another",
    "miss": "heaviest word of {source} that is not found in {target}, mean of both directions",
    "least": "heaviest word of {source} that is not found in {target}, the better direction",
    "sum": "total weight of {source} that is found again in {target}",
    "first": "share of {source} found in {target}, above the best alternative of either entry",
    "second": "share of {source} found in {target}, above the best alternative of one of the entries",
}
KINDS: dict[str, tuple[Family, str]] = {
    "word": ("lexical", "by spelling"),
    "meaning": ("embedding", "by meaning in context"),
}


def reason_of(source: str, statistic: str = "") -> str:
    """Return the reason that a feature of these words belongs to."""
    if statistic in ("first", "second"):
        return "rivals"
    if source == "options":
        return "changes"
    return "parts" if source in ("head", "tail", "part") else "entries"


FEATURES = [
    Feature(
        f"{kind}.{source}>{target}.{statistic}",
        family,
        reason_of(source, statistic),
        f"{text.format(source=SOURCES[source][0], target=SOURCES[target][0])} ({how})",
        version=2,  # a hyphenated word ends no head
    )
    for kind, (family, how) in KINDS.items()
    for statistic, text in STATISTICS.items()
    for source, target in COMBINATIONS
]

SOURCE_ROWS = tuple(SOURCES)
FROM = np.array([SOURCE_ROWS.index(source) for source, _ in COMBINATIONS])
_MADE_OF = np.array([[float(name in made_of) for name in SEGMENTS] for _, made_of in SOURCES.values()])


def texts_of(entry: Ablation) -> tuple[str, ...]:
    """Return the texts of an entry that words are read from."""
    return (entry.part, entry.name, *entry.replacements)


class EntryWords(NamedTuple):
    """The words of one entry: the stems of each segment, the texts that have words, where each word stands among those
    of these texts (one text after another), how many these are, and the weight of each word on its own."""

    segments: Segments
    texts: tuple[str, ...]
    places: Sequence[int]
    length: int
    weights: Sequence[float]


@lru_cache(maxsize=65536)
def entry_words(entry: Ablation, expansions: Expansions = ()) -> EntryWords:
    """Return the words of an entry, these abbreviations written out."""
    heads = analyse(entry.part).heads
    sides = [[place for place, head in enumerate(heads) if head is wanted] for wanted in (True, False)]
    others = ((entry.name, 2), *((option, 3) for option in entry.replacements))
    read: list[Run] = [(entry.part, places, segment) for segment, places in enumerate(sides)]
    read += [(text, range(len(analyse(text).stems)), segment) for text, segment in others]
    if expansions:
        read = _written_out(read, dict(expansions))
    stems: tuple[list[str], ...] = ([], [], [], [])
    places: list[int] = []
    begins: dict[str, int] = {}
    length = 0
    for text, own, segment in read:
        if own:
            known = analyse(text).stems
            begin = begins.setdefault(text, length)
            length = max(length, begin + len(known))
            stems[segment].extend([known[place] for place in own])
            places.extend([begin + place for place in own])
    return EntryWords(
        segments=tuple(map(tuple, stems)),
        texts=tuple(begins),
        places=places,
        length=length,
        weights=[rarity(stem) * trust for some, trust in zip(stems, TRUST.values(), strict=True) for stem in some],
    )


def _written_out(read: Sequence[Run], meanings: Mapping[str, tuple[Place, ...]]) -> list[Run]:
    """Return runs of words with what abbreviations among them stand for in their places."""
    places = ((text, place, segment) for text, own, segment in read for place in own)
    return [
        (there, [at], segment)
        for text, place, segment in places
        for there, at in meanings.get(analyse(text).stems[place], ((text, place),))
    ]


def expansions_in(entries: Iterable[Ablation], meanings: Mapping[str, tuple[Place, ...]]) -> Expansions:
    """Return those of the abbreviations that stand in a list, with what they mean."""
    stems = set().union(*(some for entry in entries for some in entry_words(entry).segments)) if meanings else ()
    return tuple((stem, places) for stem, places in meanings.items() if stem in stems)


@lru_cache(maxsize=65536)
def spelling(stem: str) -> NDArray[np.float32]:
    """Return the stem's runs of two to four letters, hashed into a vector; stems that share runs point alike."""
    vector = np.zeros(_BUCKETS)
    padded = f"^{stem}$"
    for size in (2, 3, 4) if stem else ():
        for run in {padded[start : start + size] for start in range(len(padded) - size + 1)}:
            vector[crc32(run.encode()) % _BUCKETS] += size - 1
    length = np.sqrt((vector**2).sum())
    scaled: NDArray[np.float32] = (np.trunc(vector / max(length, 1e-12) * 2048) / 2048).astype(np.float32)
    return scaled


def _spellings(stems: Iterable[str]) -> NDArray[np.float32]:
    """Return the vectors of stems, one below the other; made anew, as those of one list take 80 KB."""
    return np.concatenate([_NO_SPELLING, *map(spelling, stems)]).reshape(-1, _BUCKETS)


@dataclass(frozen=True, slots=True, eq=False)
class WordTable:
    """The words of one list with all that does not depend on the other list.

    `places` says where each word stands among those of `texts`, or None where every word stands in its order. `stems`
    has each stem once, `stem_of` the stem of each word, `weights` the weight of each word, `source_weights` [source and
    entry, word] that in each source, `totals` [combination, 1, 1, entry] what they come to. Of each segment that has
    words, `kind` and `entry` say which segment of which entry it is, and `members` (by place in the segment, segment)
    which words are in it, the last as often as it takes.
    """

    entries: int
    texts: tuple[str, ...]
    places: Numbers | None
    stems: Mapping[str, int]
    stem_of: Numbers
    weights: Array
    source_weights: Array
    totals: Array
    members: Numbers
    entry: Numbers
    kind: Numbers


def word_table(entries: Sequence[Ablation], expansions: Expansions) -> WordTable:
    """Return the words of a list, these abbreviations written out."""
    shortened = {stem for stem, _ in expansions}
    lines = list(map(entry_words, entries))
    for index, entry in enumerate(entries if expansions else ()):
        if not all(map(shortened.isdisjoint, lines[index].segments)):
            lines[index] = entry_words(entry, expansions)
    count = len(lines)
    sizes = [len(some) for line in lines for some in line.segments]
    begun = np.repeat(np.arange(len(sizes)), sizes)
    owners, segment = begun // len(SEGMENTS), begun % len(SEGMENTS)
    filled = np.array([index for index, size in enumerate(sizes) if size], np.intp)
    ends = np.array([*accumulate(size for size in sizes if size)], np.intp)
    starts = np.concatenate(([0], ends))[:-1].astype(np.intp)
    before = [0, *accumulate(line.length for line in lines)]
    places = [begin + place for begin, line in zip(before, lines, strict=False) for place in line.places]

    stems: dict[str, int] = {}
    words = chain.from_iterable(some for line in lines for some in line.segments)
    stem_of = np.array([stems.setdefault(stem, len(stems)) for stem in words], np.intp)
    weights = np.array([*chain.from_iterable(line.weights for line in lines)], np.float64)
    if count > 1 and stems:
        # A word that stands in another entry of its own list too (options aside) counts less.
        spellings = _spellings(stems)
        similarity = _stem_similarity(spellings, spellings)
        np.fill_diagonal(similarity, 1.0)
        elsewhere = np.empty(len(stem_of))
        for start in range(0, len(stem_of), BLOCK):  # a table of all words by all words could fill the memory
            rows = slice(start, start + BLOCK)
            others = (owners[rows, None] != owners) & (segment != OPTIONS)
            elsewhere[rows] = (similarity.take(stem_of[rows], axis=0).take(stem_of, axis=1) * others).max(axis=1)
        weights = np.round(weights * (1 - 0.75 * elsewhere) * 128) / 128
    by_segment = np.zeros((len(SEGMENTS), count, len(weights)))
    by_segment[segment, owners, np.arange(len(weights))] = weights
    by_source: Array = _MADE_OF @ by_segment.reshape(len(SEGMENTS), count * len(weights))
    source_weights = by_source.reshape(len(SOURCES) * count, len(weights))
    return WordTable(
        entries=count,
        texts=tuple(chain.from_iterable([line.texts for line in lines])),
        places=None if places == list(range(before[-1])) else np.array(places, np.intp),
        stems=stems,
        stem_of=stem_of,
        weights=weights,
        source_weights=source_weights,
        totals=source_weights.sum(axis=1).reshape(len(SOURCES), 1, 1, count)[FROM] + 0.5,
        members=np.minimum(starts + np.arange(max(sizes, default=0))[:, None], ends - 1),
        entry=filled // len(SEGMENTS),
        kind=filled % len(SEGMENTS),
    )


def spelling_similarity(gold: WordTable, plan: WordTable) -> Array:
    """Return how alike words are spelled, [word of gold, word of plan]: 1 for one stem, 0 for chance."""
    similarity = _stem_similarity(_spellings(gold.stems), _spellings(plan.stems))
    for stem, index in plan.stems.items():
        if stem in gold.stems:
            similarity[gold.stems[stem], index] = 1.0
    return similarity.take(gold.stem_of, axis=0).take(plan.stem_of, axis=1)


def floor(product: NDArray[Real]) -> NDArray[Real]:
    """Round down to the grid, in place; exact in float32, as the grid's step is a power of two."""
    product *= GRID
    np.floor(product, out=product)
    product /= GRID
    return product


def _stem_similarity(gold: NDArray[np.float32], plan: NDArray[np.float32]) -> Array:
    """Return how many runs of letters stems share, on the grid; too few are chance."""
    similarity = (gold @ plan.T).astype(np.float64)
    similarity *= 0.8
    floor(similarity)
    similarity *= similarity > 0.36
    return similarity
