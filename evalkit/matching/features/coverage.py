"""Takes the words of two lists, gives how far each entry's words are found again in each entry of the other list.

Words may meet by spelling ("word") or by meaning in their context ("meaning"). A word counts by how rare it
is in the field and how rare it is in its own list: what every entry says tells no two of them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.words import OPTIONS, SEGMENTS, SOURCES, TARGETS, Rows

Array = NDArray[np.float64]

GRID = 1024  # similarities and weights are multiples of a power of two: their sums are exact in any order
STATISTICS = ("mean", "min", "own", "miss", "least", "sum")
COMBINATIONS = (
    ("head", "head"), ("head", "part"), ("head", "title"), ("part", "part"), ("part", "title"), ("part", "all"),
    ("tail", "all"), ("name", "name"), ("name", "title"), ("title", "title"), ("title", "all"),
    ("options", "options"), ("options", "title"), ("options", "all"), ("all", "all"),
)  # fmt: skip
_FROM = np.array([SOURCES.index(source) for source, _ in COMBINATIONS])
_TO = np.array([TARGETS.index(target) for _, target in COMBINATIONS])
# The segments that each source is made of: head, tail, name, options.
_MADE_OF = np.array(
    [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]], dtype=np.float64
)
_BUCKETS = 512
FILLING = 8  # how many times the words of a list may be filled up


@lru_cache(maxsize=65536)
def spelling(stem: str) -> NDArray[np.float32]:
    """The stem's runs of two to four letters, hashed into a vector; stems that share runs point alike."""
    vector = np.zeros(_BUCKETS)
    padded = f"^{stem}$"
    for size in (2, 3, 4) if stem else ():
        for run in {padded[at : at + size] for at in range(len(padded) - size + 1)}:
            vector[crc32(run.encode()) % _BUCKETS] += size - 1
    length = np.sqrt((vector**2).sum())
    scaled: NDArray[np.float32] = (np.trunc(vector / max(length, 1e-12) * 2048) / 2048).astype(np.float32)
    return scaled


@dataclass(frozen=True, slots=True, eq=False)
class Worded:
    """The words of one list, ready to meet others: its stems, each once, and how they are spelled; the stem and the
    weight of each word; the weight of each word in each source of each entry, and what they come to."""

    rows: Rows
    stems: Mapping[str, int]
    words: NDArray[np.intp]
    runs: NDArray[np.float32]
    weights: Array
    heavy: Array
    whole: Array


def worded(rows: Rows) -> Worded:
    """The words of these rows."""
    stems: dict[str, int] = {}
    words = np.array([stems.setdefault(stem, len(stems)) for stem in rows.stems], np.intp)
    runs = np.array([spelling(stem) for stem in stems], np.float32).reshape(-1, _BUCKETS)
    weights = _weights(rows, words, runs)
    heavy = _belonging(rows, weights)
    whole = heavy.sum(axis=1).reshape(len(SOURCES), 1, 1, rows.entries)[_FROM] + 0.5
    return Worded(rows, stems, words, runs, weights, heavy, whole)


def spelled_alike(gold: Worded, plan: Worded) -> Array:
    """How alike the words of two lists are spelled: 1 for one stem, 0 for chance."""
    alike = _alike(gold.runs, plan.runs)
    for stem, place in plan.stems.items():
        if stem in gold.stems:
            alike[gold.stems[stem], place] = 1.0
    return alike.take(gold.words, axis=0).take(plan.words, axis=1)


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> Array:
    """How many runs of letters stems share, on the grid; too few are chance."""
    alike = (one @ other.T).astype(np.float64)
    alike *= 0.8 * GRID
    np.floor(alike, out=alike)
    alike /= GRID
    alike *= alike > 0.36
    return alike


def _weights(rows: Rows, words: NDArray[np.intp], runs: NDArray[np.float32]) -> Array:
    """Rarity in the field, less for a word that stands in another entry of its own list as well (options aside)."""
    if rows.entries < 2 or not rows.stems:
        return rows.weights
    alike = _alike(runs, runs)
    np.fill_diagonal(alike, 1.0)
    told = (rows.owners[:, None] != rows.owners) & (rows.segments != OPTIONS)
    elsewhere = (alike.take(words, axis=0).take(words, axis=1) * told).max(axis=1)
    weighed: Array = np.round(rows.weights * (1 - 0.75 * elsewhere) * 128) / 128
    return weighed


def coverage(alike: Sequence[NDArray[np.floating]], gold: Worded, plan: Worded) -> Array:
    """By kind of likeness, gold entry, plan entry: all statistics of all combinations, and how the share that is found
    stands out among the alternatives."""
    kinds, entries, others = len(alike), gold.rows.entries, plan.rows.entries
    by_plan = np.empty((len(plan.words), kinds, len(gold.words)))
    by_gold = np.empty((len(gold.words), kinds, len(plan.words)))
    for kind, matrix in enumerate(alike):
        by_plan[:, kind], by_gold[:, kind] = matrix.T, matrix
    there = _covered(by_plan, gold, plan)
    back = _covered(by_gold, plan, gold).transpose(0, 1, 4, 3, 2)
    both, least = there + back, np.minimum(there, back)
    mean, own, miss, total = both
    found = np.empty((len(STATISTICS) + 2, len(COMBINATIONS), others, kinds, entries))
    found[0], found[1], found[2] = mean / 2, least[0], own / 2
    found[3], found[4], found[5] = miss / 2, least[2], total / (total + 8)
    contrast(found[0], out=found[6:])
    return found.transpose(3, 4, 2, 0, 1).reshape(kinds, entries, others, -1)


def _covered(alike: Array, source: Worded, target: Worded) -> Array:
    """From one side only: `mean`, `own`, `miss`, `total` by combination, target entry, kind, source entry.

    `alike` is by word of the target, kind, word of the source. `mean` is the share of the words' weight that is found
    again, `own` how much of that no other target would give as well, `miss` the weight of the heaviest word that is not
    found, `total` the weight that is found.
    """
    entries, others, (_, kinds, words) = source.rows.entries, target.rows.entries, alike.shape
    found, each = _found(alike, target.rows), len(TARGETS) * others * kinds
    both = np.empty((2, *found.shape))
    both[0] = found
    np.subtract(found, rivals(found, 1), out=both[1])
    # Sums are exact on the grid, so a matrix product may add them up in any order.
    sums = both.reshape(2 * each, words) @ source.heavy.T
    picked = sums.reshape(2, len(TARGETS), others, kinds, len(SOURCES), entries)[:, _TO, :, :, _FROM]
    said = np.empty((4, len(COMBINATIONS), others, kinds, entries))
    np.divide(picked.swapaxes(0, 1), source.whole, out=said[:2])
    missing = np.subtract(1, found, out=both[0])
    missing *= source.weights
    np.divide(_heaviest(missing.reshape(each, words).T, source.rows, missing.shape[:-1]), 8, out=said[2])
    said[3] = picked[:, 0]
    return said


def _found(alike: Array, other: Rows) -> Array:
    """How far each word of the source is found in each target, by target, target entry, kind, word."""
    _, kinds, words = alike.shape
    best = np.zeros((len(TARGETS) + 1, other.entries, kinds, words))
    best[other.as_target, other.entry] = _greatest(alike, other)
    head, part, name, title, options, whole, tail = best
    np.maximum(head, tail, out=part)
    np.maximum(part, name, out=title)
    np.maximum(title, options, out=whole)
    return best[:-1]


def _belonging(rows: Rows, weight: Array) -> Array:
    """The weight of each word in each source of each entry: by source and entry, word."""
    told = np.zeros((len(SEGMENTS), rows.entries, len(weight)))
    told[rows.segments, rows.owners, np.arange(len(weight))] = weight
    made: Array = _MADE_OF @ told.reshape(len(SEGMENTS), rows.entries * len(weight))
    return made.reshape(len(SOURCES) * rows.entries, len(weight))


def _heaviest(weighed: Array, rows: Rows, shape: tuple[int, ...]) -> Array:
    """The largest value among the words of each source, by combination, target entry, kind, source entry.

    `weighed` is by word and, in one row, target, target entry, kind: `shape` says how many.
    """
    worst = np.zeros((len(SOURCES), rows.entries, *shape))
    worst[rows.as_source, rows.entry] = _greatest(weighed, rows).reshape(len(rows.entry), *shape)
    head, tail, part, name, title, options, whole = worst
    np.maximum(head, tail, out=part)
    np.maximum(part, name, out=title)
    np.maximum(title, options, out=whole)
    return worst[_FROM, :, _TO].transpose(0, 2, 3, 1)


def _greatest(values: Array, rows: Rows) -> Array:
    """The largest of each segment's words, along the first axis.

    Taking all words by their place in their segment is four times as fast as `maximum.reduceat`, unless some segment is
    much longer than the others: then it would be mostly filling.
    """
    if rows.members.size > FILLING * len(values):
        best: Array = np.maximum.reduceat(values, rows.members[0], axis=0)
        return best
    greatest: Array = values.take(rows.members, axis=0).max(axis=0, initial=0.0)
    return greatest


def rivals(values: Array, axis: int) -> Array:
    """For each value the largest of the others along an axis; 0 where there are no others."""
    slabs = np.ascontiguousarray(values.swapaxes(0, axis))
    if len(slabs) < 2:
        return np.zeros_like(values)
    others = np.empty_like(slabs)
    given, best = list(slabs), list(others)
    # The largest of those behind, then of those before as well.
    best[-2][...] = given[-1]
    for at in range(len(given) - 3, -1, -1):
        np.maximum(best[at + 1], given[at + 1], out=best[at])
    before = best[-1]
    before[...] = given[0]
    for largest, slab in zip(best[1:-1], given[1:-1], strict=True):
        np.maximum(largest, before, out=largest)
        np.maximum(before, slab, out=before)
    return others.swapaxes(0, axis)


def contrast(values: Array, out: Array) -> None:
    """How far a value stands out in its row and in its column: above the better, and above the lesser of the two best
    alternatives; values are by combination, plan entry, kind, gold entry."""
    row, column = rivals(values, 1), rivals(values, 3)
    np.subtract(values, np.maximum(row, column), out=out[0])
    np.subtract(values, np.minimum(row, column), out=out[1])
