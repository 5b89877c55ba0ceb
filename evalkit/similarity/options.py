"""Takes what two lists put in the place of their parts, gives how far the options overlap.

An option's words count less when the entry's own part has them: "max pooling" for "DFS pooling" shares nothing with
"random pooling". Entries without options have 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Ablation
from evalkit.similarity.coverage import GRID, Array
from evalkit.similarity.entries import segments
from evalkit.similarity.meaning import Vectors
from evalkit.similarity.rarity import rarity
from evalkit.similarity.tokens import analyse
from evalkit.similarity.vectors import Vector, on_grid

Bag = dict[str, float]


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


def _stack(entries: Sequence[Ablation], index: dict[str, int]) -> tuple[list[Bag], NDArray[np.intp]]:
    """Every option of a list, and after the options of each entry an empty one; where each entry's options begin."""
    found: list[Bag] = []
    starts = []
    for entry in entries:
        starts.append(len(found))
        found += [*bags(entry), {}]
    for bag in found:
        for stem in bag:
            index.setdefault(stem, len(index))
    return found, np.array(starts, np.intp)


def _table(stacked: Sequence[Bag], index: dict[str, int]) -> Array:
    table = np.zeros((len(stacked), len(index)))
    for row, bag in enumerate(stacked):
        for stem, weight in bag.items():
            table[row, index[stem]] = weight
    return table


def spelled(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> Array:
    """By gold entry, plan entry: the best pair of options, the mean of each option's best, whether two options are the
    same, how many are shared, how far the part of one is an option of the other (the more, the lesser), and how far the
    options of one say something new where the other has none."""
    index: dict[str, int] = {}
    (one, begin), (other, begin_other) = _stack(gold, index), _stack(plan, index)
    a, b = _table(one, index), _table(other, index)
    weight_a, weight_b = a.sum(axis=1), b.sum(axis=1)
    there, there_other = (a > 0).astype(np.float64), (b > 0).astype(np.float64)
    shared = a @ there_other.T + there @ b.T
    alike = shared / (weight_a[:, None] + weight_b[None, :] + 1.0)
    alike = np.round(alike * GRID) / GRID
    words_a, words_b = [frozenset(bag) for bag in one], [frozenset(bag) for bag in other]
    same = np.array([[bool(x) and x == y for y in words_b] for x in words_a], dtype=float)
    best, mean = _best(alike, begin, begin_other), _mean(alike, (gold, begin), (plan, begin_other))
    count = np.minimum(_count(alike, begin, begin_other), 3.0)
    forth, back = _restated(gold, index, there_other, begin_other), _restated(plan, index, there, begin).T
    return np.stack(
        (
            best, mean, _best(same, begin, begin_other), count, np.maximum(forth, back), np.minimum(forth, back),
            _lone(gold, plan) * np.maximum.outer(_new(gold), _new(plan)),
        ),
        axis=-1,
    )  # fmt: skip


def _best(alike: Array, begin: NDArray[np.intp], other: NDArray[np.intp]) -> Array:
    return np.maximum.reduceat(np.maximum.reduceat(alike, begin, axis=0), other, axis=1)


def _count(alike: Array, begin: NDArray[np.intp], other: NDArray[np.intp]) -> Array:
    """How many options of one have a counterpart in the other, the smaller of the two directions."""
    there = np.add.reduceat(np.maximum.reduceat(alike, other, axis=1) > 0.6, begin, axis=0, dtype=float)
    back = np.add.reduceat(np.maximum.reduceat(alike, begin, axis=0) > 0.6, other, axis=1, dtype=float)
    return np.minimum(there, back)


def _mean(
    alike: Array, gold: tuple[Sequence[Ablation], NDArray[np.intp]], plan: tuple[Sequence[Ablation], NDArray[np.intp]]
) -> Array:
    """The mean, over the options of both sides, of how alike the best counterpart is."""
    (entries, begin), (others, other) = gold, plan
    there = np.add.reduceat(np.maximum.reduceat(alike, other, axis=1), begin, axis=0)
    back = np.add.reduceat(np.maximum.reduceat(alike, begin, axis=0), other, axis=1)
    counts = np.array([max(len(entry.replacements), 1) for entry in entries])
    counts_other = np.array([max(len(entry.replacements), 1) for entry in others])
    mean: Array = (there / counts[:, None] + back / counts_other[None, :]) / 2
    return mean


def _restated(entries: Sequence[Ablation], index: dict[str, int], there: Array, begin: NDArray[np.intp]) -> Array:
    """How much of what an entry ablates (the head of its part) some single option of the other says.

    `there` is 1 where an option of the other has the word.
    """
    heads, whole = np.zeros((len(entries), len(index))), np.ones(len(entries))
    for at, entry in enumerate(entries):
        for stem, weight in _head(entry).items():
            whole[at] += weight
            if stem in index:
                heads[at, index[stem]] = weight
    said: Array = np.maximum.reduceat(heads @ there.T, begin, axis=1) / whole[:, None]
    return said


@lru_cache(maxsize=65536)
def _head(entry: Ablation) -> Bag:
    """The words of what an entry ablates, by how rare they are."""
    return {stem: rarity(stem) for stem, _ in segments(entry)[0]}


def _lone(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> Array:
    """1 where one entry has options and the other has none."""
    one, other = (np.array([bool(entry.replacements) for entry in entries]) for entries in (gold, plan))
    return np.asarray(np.not_equal.outer(one, other), dtype=np.float64)


def _new(entries: Sequence[Ablation]) -> Array:
    """The mean over an entry's options of how much of what they say is not in its part; 0 without options."""
    return np.array([_newness(entry) for entry in entries])


@lru_cache(maxsize=65536)
def _newness(entry: Ablation) -> float:
    own = {stem for segment in segments(entry)[:2] for stem, _ in segment}
    shares = [sum(w for stem, w in bag.items() if stem not in own) / (sum(bag.values()) + 1.0) for bag in bags(entry)]
    return round(sum(shares) / max(len(shares), 1) * GRID) / GRID


def meant(gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Vectors) -> Array:
    """By gold entry, plan entry: the nearest pair of options, the mean of each option's nearest, the nearest pair after
    taking away what the parts themselves mean, and where only one has options, how near one is to the other's part."""
    sides = [_option_vectors(entries, vectors) for entries in (gold, plan)]
    (one, one_apart, begin), (other, other_apart, begin_other) = sides
    near = np.floor((one @ other.T).astype(np.float64) * GRID) / GRID
    apart = np.floor((one_apart @ other_apart.T).astype(np.float64) * GRID) / GRID
    mean = _mean(np.maximum(near, 0.0), (gold, begin), (plan, begin_other))
    parts, other_parts = (np.array([vectors[entry.part].sentence for entry in side]) for side in (gold, plan))
    forth = np.maximum.reduceat((one @ other_parts.T).astype(np.float64), begin, axis=0)
    back = np.maximum.reduceat((parts @ other.T).astype(np.float64), begin_other, axis=1)
    removed = np.floor(_lone(gold, plan) * np.maximum(forth, back) * GRID) / GRID
    return np.stack((_best(near, begin, begin_other), mean, _best(apart, begin, begin_other), removed), axis=-1)


def _option_vectors(
    entries: Sequence[Ablation], vectors: Vectors
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """The vectors of all options, the same less the meaning of the own part, and where each entry's options begin."""
    nothing = np.zeros_like(vectors[entries[0].part].sentence)
    rows: list[Vector] = []
    parts: list[Vector] = []
    starts: list[int] = []
    for entry in entries:
        starts.append(len(rows))
        rows += [*(vectors[option].sentence for option in entry.replacements), nothing]
        parts += [*(vectors[entry.part].sentence for _ in entry.replacements), nothing]
    plain = np.array(rows)
    apart = on_grid(plain - np.float32(0.75) * np.array(parts))
    return plain, apart, np.array(starts, np.intp)
