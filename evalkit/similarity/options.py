"""Takes what two lists put in the place of their parts, gives how far the options overlap.

An option's words count less when the entry's own part has them: "max pooling" for "DFS pooling" shares nothing with
"random pooling". Entries without options have 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Ablation
from evalkit.similarity.coverage import GRID, Array
from evalkit.similarity.entries import segments
from evalkit.similarity.meaning import Vectors, floor
from evalkit.similarity.rarity import rarity
from evalkit.similarity.tokens import analyse
from evalkit.similarity.vectors import Vector, on_grid

Bag = dict[str, float]
Entries = Sequence[Ablation]
Begin = NDArray[np.intp]
Nearest = tuple[NDArray[np.floating], NDArray[np.floating]]


@lru_cache(maxsize=65536)
def bags(entry: Ablation) -> tuple[Bag, ...]:
    """The words of every option with their weights; a quarter for words of the entry's own part, 1 for a number."""
    own = {stem for segment in segments(entry)[:2] for stem, _ in segment}
    return tuple(
        {
            word.stem: (1.0 if word.stem[0].isdigit() else rarity(word.stem)) * (0.25 if word.stem in own else 1.0)
            for word in analyse(option).words
        }
        for option in entry.replacements
    )


@dataclass(frozen=True, slots=True, eq=False)
class Optioned:
    """The options of one list, ready to meet others: words, each once; the weight of each word in each option and in
    the head of each entry's part; which words an option has, and all of them together; how new options are.

    After the options of an entry stands an empty one, so that none is without any; `has` says which have others.
    """

    words: Mapping[str, int]
    options: Array
    there: Array
    totals: Array
    begins: Begin
    counts: Array
    says: Sequence[frozenset[str]]
    heads: Array
    wholes: Array
    new: Array
    has: NDArray[np.bool_]


@lru_cache(maxsize=1024)
def optioned(entries: tuple[Ablation, ...]) -> Optioned:
    """The options of this list; kept, as gold lists meet many plans."""
    stacked = [bag for entry in entries for bag in (*bags(entry), {})]
    heads = [{stem: rarity(stem) for stem, _ in segments(entry)[0]} for entry in entries]
    words: dict[str, int] = {}
    for bag in (*stacked, *heads):
        for stem in bag:
            words.setdefault(stem, len(words))
    options, head = _table(stacked, words), _table(heads, words)
    counts = [len(entry.replacements) for entry in entries]
    return Optioned(
        words, options, (options > 0).astype(np.float64), options.sum(axis=1),
        np.array([0, *accumulate(count + 1 for count in counts)][:-1], np.intp), np.maximum(counts, 1.0),
        [frozenset(bag) for bag in stacked], head, 1 + head.sum(axis=1), np.array([_newness(one) for one in entries]),
        np.array(counts) > 0,
    )  # fmt: skip


def _table(stacked: Sequence[Bag], words: Mapping[str, int]) -> Array:
    table = np.zeros((len(stacked), len(words)))
    for row, bag in enumerate(stacked):
        for stem, weight in bag.items():
            table[row, words[stem]] = weight
    return table


def spelled(gold: Entries, plan: Entries) -> Array:
    """By gold entry, plan entry: the best pair of options, the mean of each option's best, whether two options are the
    same, how many are shared, how far the part of one is an option of the other (the more, the lesser), and how far the
    options of one say something new where the other has none."""
    one, other = optioned(tuple(gold)), optioned(tuple(plan))
    shared = [(at, other.words[word]) for word, at in one.words.items() if word in other.words]
    ours, theirs = (np.array(side, np.intp) for side in (zip(*shared, strict=True) if shared else ((), ())))
    there, there_other = one.there[:, ours], other.there[:, theirs]
    alike = one.options[:, ours] @ there_other.T
    alike += there @ other.options[:, theirs].T
    alike /= one.totals[:, None] + other.totals + 1.0
    nearest = _nearest(np.round(alike * GRID) / GRID, one.begins, other.begins)
    same = _nearest(_same(one.says, other.says), one.begins, other.begins)
    # How many options of one have a counterpart in the other, the smaller of the two directions.
    count = np.minimum(*_summed([side > 0.6 for side in nearest], one.begins, other.begins))
    # How much of what an entry ablates some single option of the other says.
    forth = np.maximum.reduceat(one.heads[:, ours] @ there_other.T, other.begins, axis=1) / one.wholes[:, None]
    back = np.maximum.reduceat(there @ other.heads[:, theirs].T, one.begins, axis=0) / other.wholes
    new = _lone(one, other) * np.maximum(one.new[:, None], other.new)
    said = (
        _best(nearest, other.begins), _mean(nearest, one, other), _best(same, other.begins), np.minimum(count, 3.0),
        np.maximum(forth, back), np.minimum(forth, back), new,
    )  # fmt: skip
    return np.array(said).transpose(1, 2, 0)


def _same(one: Sequence[frozenset[str]], other: Sequence[frozenset[str]]) -> Array:
    """1 where two options have the same words, and have any."""
    index: dict[frozenset[str], int] = {frozenset(): 0}
    a, b = (np.array([index.setdefault(words, len(index)) for words in side]) for side in (one, other))
    return np.asarray((a[:, None] == b) & (b > 0), dtype=np.float64)


def _nearest(alike: NDArray[np.floating], begin: Begin, other: Begin) -> Nearest:
    """How near the best counterpart of an option is: of gold's options by plan entry, of the plan's by gold entry."""
    return np.maximum.reduceat(alike, other, axis=1), np.maximum.reduceat(alike, begin, axis=0)


def _best(nearest: Nearest, other: Begin) -> Array:
    """The nearest two options of a pair."""
    best: Array = np.maximum.reduceat(nearest[1], other, axis=1)
    return best


def _summed(nearest: Sequence[NDArray[Any]], begin: Begin, other: Begin) -> tuple[Array, Array]:
    """The totals over the options of gold's entries, and over those of the plan's."""
    there, back = nearest
    return np.add.reduceat(there, begin, axis=0, dtype=float), np.add.reduceat(back, other, axis=1, dtype=float)


def _mean(nearest: Nearest, one: Optioned, other: Optioned) -> Array:
    """The mean, over the options of both sides, of how alike the best counterpart is."""
    there, back = _summed(nearest, one.begins, other.begins)
    mean: Array = (there / one.counts[:, None] + back / other.counts) / 2
    return mean


def _lone(one: Optioned, other: Optioned) -> NDArray[np.float32]:
    """1 where one entry has options and the other has none."""
    return np.not_equal(one.has[:, None], other.has).astype(np.float32)


@lru_cache(maxsize=65536)
def _newness(entry: Ablation) -> float:
    own = {stem for segment in segments(entry)[:2] for stem, _ in segment}
    shares = [sum(w for stem, w in bag.items() if stem not in own) / (sum(bag.values()) + 1.0) for bag in bags(entry)]
    return round(sum(shares) / max(len(shares), 1) * GRID) / GRID


def meant(gold: Entries, plan: Entries, vectors: Vectors) -> Array:
    """By gold entry, plan entry: the nearest pair of options, the mean of each option's nearest, the nearest pair after
    taking away what the parts themselves mean, and where only one has options, how near one is to the other's part."""
    one, other = optioned(tuple(gold)), optioned(tuple(plan))
    (near_by, own, parts), (other_by, other_own, other_parts) = (_vectors(side, vectors) for side in (gold, plan))
    less = on_grid(np.concatenate((near_by, other_by)) - np.float32(0.75) * np.concatenate((own, other_own)))
    near = _nearest(floor(near_by @ other_by.T), one.begins, other.begins)
    apart = _nearest(floor(less[: len(near_by)] @ less[len(near_by) :].T), one.begins, other.begins)
    mean = _mean((np.maximum(near[0], 0.0), np.maximum(near[1], 0.0)), one, other)
    forth = np.maximum.reduceat(near_by @ other_parts.T, one.begins, axis=0)
    back = np.maximum.reduceat(parts @ other_by.T, other.begins, axis=1)
    removed = floor(_lone(one, other) * np.maximum(forth, back))
    said: Array = np.array((_best(near, other.begins), mean, _best(apart, other.begins), removed), dtype=np.float64)
    return said.transpose(1, 2, 0)


def _vectors(entries: Entries, vectors: Vectors) -> tuple[Vector, Vector, Vector]:
    """The vectors of options, each entry's followed by one of nothing; for each that of its own part; and of parts."""
    nothing = np.zeros(len(vectors[entries[0].part].sentence), np.float32)
    rows: list[Vector] = []
    own: list[Vector] = []
    for entry in entries:
        rows += [*[vectors[option].sentence for option in entry.replacements], nothing]
        own += [*[vectors[entry.part].sentence] * len(entry.replacements), nothing]
    return np.array(rows), np.array(own), np.array([vectors[entry.part].sentence for entry in entries])
