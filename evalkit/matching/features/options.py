"""Takes what two lists put in the place of their parts, gives how far the options overlap.

An option's words count less when the entry's own part has them: "max pooling" for "DFS pooling" shares nothing with
"random pooling". Entries without options have 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.coverage import GRID, Array
from evalkit.matching.features.rarity import rarity
from evalkit.matching.features.semantic import Meant, floor
from evalkit.matching.features.tokens import analyse
from evalkit.matching.features.words import segments
from evalkit.types import Ablation

Bag = dict[str, float]
Numbers = NDArray[np.intp]


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
    the head of each entry's part; how many words an option has, and what all of them weigh; how new options are.

    After the options of an entry stands an empty one, so that none is without any; `has` says which have others.
    `texts` are all parts, then all names, then the options; `spoken` is where each option stands among them, `owned`
    where the part of its entry does; what is empty stands behind the last.
    """

    words: Mapping[str, int]
    options: Array
    there: Array
    totals: Array
    sizes: Array
    begins: Numbers
    counts: Array
    heads: Array
    wholes: Array
    new: Array
    has: NDArray[np.bool_]
    texts: tuple[str, ...]
    spoken: Numbers
    owned: Numbers


def optioned(entries: Sequence[Ablation]) -> Optioned:
    """The options of this list."""
    stacked = [bag for entry in entries for bag in (*bags(entry), {})]
    heads = [{stem: rarity(stem) for stem, _ in segments(entry)[0]} for entry in entries]
    words: dict[str, int] = {}
    for bag in (*stacked, *heads):
        for stem in bag:
            words.setdefault(stem, len(words))
    options, head = _table(stacked, words), _table(heads, words)
    counts = [len(entry.replacements) for entry in entries]
    there = _table([dict.fromkeys(bag, 1.0) for bag in stacked], words)
    parts, names = [entry.part for entry in entries], [entry.name for entry in entries]
    texts = (*parts, *names, *chain.from_iterable(entry.replacements for entry in entries))
    spoken, owned = _places(counts, len(texts))
    return Optioned(
        words, options, there, options.sum(axis=1), there.sum(axis=1),
        np.array([0, *accumulate(count + 1 for count in counts)][:-1], np.intp), np.maximum(counts, 1.0),
        head, 1 + head.sum(axis=1), np.array([_newness(entry) for entry in entries]), np.array(counts) > 0,
        texts, spoken, owned,
    )  # fmt: skip


def _places(counts: Sequence[int], texts: int) -> tuple[Numbers, Numbers]:
    """Where options and the parts of their entries stand among the texts."""
    spoken: list[int] = []
    owned: list[int] = []
    begin = 2 * len(counts)
    for entry, count in enumerate(counts):
        spoken += [*range(begin, begin + count), texts]
        owned += [*[entry] * count, texts]
        begin += count
    return np.array(spoken, np.intp), np.array(owned, np.intp)


def _table(stacked: Sequence[Bag], words: Mapping[str, int]) -> Array:
    table = np.zeros((len(stacked), len(words)))
    for row, bag in enumerate(stacked):
        for stem, weight in bag.items():
            table[row, words[stem]] = weight
    return table


def compared(one: Optioned, other: Optioned, said: tuple[Meant, Meant] | None) -> list[Array]:
    """By gold entry, plan entry, SPELLED: the best pair of options, the mean of each option's best, whether two options
    are the same, how many are shared, how far the part of one is an option of the other (the more, the lesser), and how
    far the options of one say something new where the other has none.

    With what both lists mean also MEANT: the nearest pair of options, the mean of each option's nearest,
    the nearest pair after taking away what the parts themselves mean, and where only one has options, how near one is
    to the other's part.
    """
    kinds = [_spelled(one, other)] if said is None else [_spelled(one, other), _meant(*said)]
    options, to_options, to_parts = (np.concatenate(some) for some in zip(*kinds, strict=True))
    best, mean, count = _counterparts(options, one, other)
    forth = np.maximum.reduceat(to_options, other.begins, axis=2)
    back = np.maximum.reduceat(to_parts, one.begins, axis=1)
    lone = np.not_equal(one.has[:, None], other.has)
    # How much of what an entry ablates some single option of the other says.
    restated, restating = forth[0] / one.wholes[:, None], back[0] / other.wholes
    new = lone * np.maximum(one.new[:, None], other.new)
    more, less = np.maximum(restated, restating), np.minimum(restated, restating)
    blocks = [np.array((best[0], mean[0], best[1], count, more, less, new))]
    if said is not None:
        removed = floor(lone * np.maximum(forth[1], back[1]))
        blocks.append(np.array((best[2], mean[1], best[3], removed)))
    return [block.transpose(1, 2, 0) for block in blocks]


def _spelled(one: Optioned, other: Optioned) -> Sequence[Array]:
    """By option of gold, option of the plan: how far their words are alike, and whether they are the same. By part of
    gold, option of the plan, and the other way round: the weight of the part's words that the option has.
    """
    words = [(at, other.words[word]) for word, at in one.words.items() if word in other.words]
    ours, theirs = (np.array(side, np.intp) for side in (zip(*words, strict=True) if words else ((), ())))
    there, there_other = one.there[:, ours], other.there[:, theirs]
    alike = one.options[:, ours] @ there_other.T
    alike += there @ other.options[:, theirs].T
    alike /= one.totals[:, None] + other.totals + 1.0
    common = there @ there_other.T
    same = (common > 0) & (common == one.sizes[:, None]) & (common == other.sizes)
    heads, heads_other = one.heads[:, ours], other.heads[:, theirs]
    return np.array((np.round(alike * GRID) / GRID, same)), (heads @ there_other.T)[None], (there @ heads_other.T)[None]


def _meant(one: Meant, other: Meant) -> Sequence[NDArray[np.floating]]:
    """The same in meaning: how near options are, and how near less what the parts themselves mean."""
    near = floor(one.options @ other.options.swapaxes(1, 2))
    to_options, to_parts = one.phrases[0] @ other.options[0].T, one.options[0] @ other.phrases[0].T
    return near, to_options[None], to_parts[None]


def _counterparts(near: Array, one: Optioned, other: Optioned) -> tuple[Array, Array, Array]:
    """By kind of nearness of options: the nearest two of a pair. Of the first and the third kind: the mean, over the
    options of both sides, of how near the best counterpart is. Of the first: how many options have one, 3 at most, the
    smaller of the two directions.
    """
    of_gold = np.maximum.reduceat(near, other.begins, axis=2)
    of_plan = np.maximum.reduceat(near, one.begins, axis=1)
    best = np.maximum.reduceat(of_plan, other.begins, axis=2)
    forth, back = (np.array((*np.maximum(side[::2], 0.0), side[0] > 0.6)) for side in (of_gold, of_plan))
    total, others = np.add.reduceat(forth, one.begins, axis=1), np.add.reduceat(back, other.begins, axis=2)
    mean = (total[:-1] / one.counts[:, None] + others[:-1] / other.counts) / 2
    return best, mean, np.minimum(np.minimum(total[-1], others[-1]), 3.0)


@lru_cache(maxsize=65536)
def _newness(entry: Ablation) -> float:
    own = {stem for segment in segments(entry)[:2] for stem, _ in segment}
    shares = [sum(w for stem, w in bag.items() if stem not in own) / (sum(bag.values()) + 1.0) for bag in bags(entry)]
    return round(sum(shares) / max(len(shares), 1) * GRID) / GRID
