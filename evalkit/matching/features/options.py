"""Compare what two lists put in the place of their parts: how far the options overlap.

An option's words count less when the entry's own part has them: "max pooling" for "DFS pooling" shares nothing with
"random pooling". Entries without options have 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.registry import FeatureTable
from evalkit.matching.features.semantic import ListVectors
from evalkit.matching.features.words import GRID, Array, Numbers, entry_words, floor
from evalkit.matching.tokens import analyse, rarity
from evalkit.types import Ablation

Bag = dict[str, float]
Kind = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]


@lru_cache(maxsize=65536)
def _bags(entry: Ablation) -> tuple[list[Bag], float, Bag]:
    """Return the words of every option with their weights, a quarter for words of the own part, 1 for a number; the
    mean share of an option that is not said in the part; and the words of what is ablated."""
    head, tail, *_ = entry_words(entry).segments
    own = {*head, *tail}
    bags = [
        {
            stem: (1.0 if stem[0].isdigit() else rarity(stem)) * (0.25 if stem in own else 1.0)
            for stem in analyse(option).stems
        }
        for option in entry.replacements
    ]
    shares = [sum(w for stem, w in bag.items() if stem not in own) / (sum(bag.values()) + 1.0) for bag in bags]
    return bags, round(sum(shares) / max(len(shares), 1) * GRID) / GRID, {stem: rarity(stem) for stem in head}


@dataclass(frozen=True, slots=True, eq=False)
class OptionTable:
    """The options of one list with all that does not depend on the other list.

    After the options of an entry stands an empty one, so that none is without any; `has_options` says which have
    others, `begins` where those of each entry begin. `words` numbers all words, `weights` and `present` [option, word]
    weigh and mark those of options, `head_weights` [entry, word] those of heads. `texts` are all parts, then all names,
    then the options; `option_texts` is where each option stands among them, `part_texts` where the part of its entry
    does; what is empty stands behind the last.
    """

    words: Mapping[str, int]
    weights: Array
    present: Array
    option_weights: Array
    option_lengths: Array
    begins: Numbers
    counts: Array
    head_weights: Array
    head_totals: Array
    newness: Array
    has_options: NDArray[np.bool_]
    texts: tuple[str, ...]
    option_texts: Numbers
    part_texts: Numbers


def option_table(entries: Sequence[Ablation]) -> OptionTable:
    """Return the table of this list."""
    bags, newness, heads = zip(*map(_bags, entries), strict=True)
    stacked = [bag for options in bags for bag in (*options, {})]
    words: dict[str, int] = {}
    for bag in (*stacked, *heads):
        for stem in bag:
            words.setdefault(stem, len(words))
    (weights, present), (head_weights, _) = _matrices(stacked, words), _matrices(heads, words)
    counts = [len(entry.replacements) for entry in entries]
    begins = [0, *accumulate(count + 1 for count in counts)][:-1]
    parts, names = [entry.part for entry in entries], [entry.name for entry in entries]
    texts = (*parts, *names, *chain.from_iterable(entry.replacements for entry in entries))
    first = 2 * len(entries)  # parts and names stand before the options, which lack the empty ones of entries before
    option_texts = [
        [*range(first + begin - entry, first + begin - entry + count), len(texts)]
        for entry, (begin, count) in enumerate(zip(begins, counts, strict=True))
    ]
    part_texts = [[*[entry] * count, len(texts)] for entry, count in enumerate(counts)]
    return OptionTable(
        words=words,
        weights=weights,
        present=present,
        option_weights=weights.sum(axis=1),
        option_lengths=present.sum(axis=1),
        begins=np.array(begins, np.intp),
        counts=np.maximum(counts, 1.0),
        head_weights=head_weights,
        head_totals=1 + head_weights.sum(axis=1),
        newness=np.array(newness),
        has_options=np.array(counts) > 0,
        texts=texts,
        option_texts=np.array([*chain.from_iterable(option_texts)], np.intp),
        part_texts=np.array([*chain.from_iterable(part_texts)], np.intp),
    )


def _matrices(stacked: Sequence[Bag], words: Mapping[str, int]) -> tuple[Array, Array]:
    """Return the weights of the words of bags [bag, word], and 1 for each word that a bag has."""
    weights, present = np.zeros((2, len(stacked), len(words)))
    rows = [row for row, bag in enumerate(stacked) for _ in bag]
    columns = [words[stem] for bag in stacked for stem in bag]
    weights[rows, columns] = [weight for bag in stacked for weight in bag.values()]
    present[rows, columns] = 1.0
    return weights, present


class OptionPairs:
    """What the options of gold lists and as many plans have in common, [kind, lists, gold, plan] or without kind.

    The kinds of nearness of two options are: how far their words are alike, whether they are the same and, with
    vectors, how near they are in meaning, and how near less what the parts themselves mean. The lists of one side have
    as many entries each.
    """

    __slots__ = ("best", "count", "in_gold", "in_plan", "lone", "mean", "newness", "restated")

    def __init__(
        self,
        lists: Sequence[tuple[OptionTable, OptionTable]],
        vectors: Sequence[tuple[ListVectors, ListVectors]] | None,
    ) -> None:
        kinds = [[_by_spelling(*tables) for tables in lists]]
        if vectors is not None:
            kinds.append([_by_meaning(*tables) for tables in vectors])
        near: list[Array] = []
        to_options: list[Array] = []
        to_parts: list[Array] = []
        for of_lists in zip(*kinds, strict=True):
            for blocks, into in zip(zip(*of_lists, strict=True), (near, to_options, to_parts), strict=True):
                into.append(np.concatenate(blocks))
        gold, plan = (_Side([tables[side] for tables in lists]) for side in (0, 1))
        self.best, self.mean, self.count = _counterparts(near, gold, plan)
        # How near the part of one comes to any option of the other, by spelling and by meaning.
        self.in_plan = plan.reduced(np.maximum, [one.swapaxes(1, 2) for one in to_options]).swapaxes(2, 3)
        self.in_gold = gold.reduced(np.maximum, to_parts)
        # How much of what an entry ablates some single option of the other says, both ways.
        restated = self.in_plan[0] / gold.head_totals[..., None], self.in_gold[0] / plan.head_totals[:, None]
        self.restated: tuple[Array, Array] = restated
        self.lone: NDArray[np.bool_] = np.not_equal(gold.has_options[..., None], plan.has_options[:, None])
        self.newness: Array = np.maximum(gold.newness[..., None], plan.newness[:, None])


class _Side:
    """The options of several lists, one list after another: where those of each entry begin; and by [list, entry] what
    else their tables say."""

    def __init__(self, tables: Sequence[OptionTable]) -> None:
        self.tables = tables
        before = [0, *accumulate(len(table.option_weights) for table in tables)]
        self.begins = np.concatenate([table.begins + start for table, start in zip(tables, before, strict=False)])
        self.counts = np.array([table.counts for table in tables])
        self.head_totals = np.array([table.head_totals for table in tables])
        self.has_options = np.array([table.has_options for table in tables])
        self.newness = np.array([table.newness for table in tables])

    def reduced(self, how: np.ufunc, values: Sequence[NDArray[Any]]) -> Array:
        """Reduce [kind, option, other side's entry] of each list to [kind, list, entry, other side's entry]."""
        by_entry: Array = how.reduceat(np.concatenate(values, axis=1), self.begins, axis=1)
        return by_entry.reshape(len(by_entry), len(self.tables), -1, by_entry.shape[-1])


SPELLED: FeatureTable[OptionPairs] = FeatureTable("lexical", "changes")
add_spelled = SPELLED.add
add_spelled("options.shared", "most alike pair of options, words of the part counting less", lambda o: o.best[0])
add_spelled(
    "options.shared.mean",
    "mean likeness of options to their counterparts, words of the part counting less",
    lambda o: o.mean[0],
)
add_spelled("options.same", "an option of the one is an option of the other", lambda o: o.best[1])
add_spelled("options.count", "how many options have a counterpart", lambda o: o.count)
add_spelled(
    "options.restated", "what one entry ablates is said in an option of the other", lambda o: np.maximum(*o.restated)
)
add_spelled(
    "options.restated.both",
    "what each entry ablates is said in an option of the other",
    lambda o: np.minimum(*o.restated),
)
add_spelled(
    "options.new",
    "an entry removes, and the options of the other say something else than its part",
    lambda o: o.lone * o.newness,
)

NEAR: FeatureTable[OptionPairs] = FeatureTable("embedding", "changes")
add_near = NEAR.add
add_near("options.near", "nearest pair of options in meaning", lambda o: o.best[2])
add_near("options.near.mean", "mean nearness of options to their counterparts in meaning", lambda o: o.mean[1])
add_near("options.apart", "nearest pair of options in meaning, less what the parts mean", lambda o: o.best[3])
add_near(
    "options.part",
    "an entry removes, and an option of the other is near to the removed part in meaning",
    lambda o: floor(o.lone * np.maximum(o.in_plan[1], o.in_gold[1])),
)


def _by_spelling(gold: OptionTable, plan: OptionTable) -> Kind:
    """Return how far words are alike and whether they are the same, [these two, option, option]; and the weight of the
    words of parts that options have, [1, part of gold, option of the plan] and [1, option of gold, part of the plan].
    """
    common = [(index, plan.words[word]) for word, index in gold.words.items() if word in plan.words]
    ours, theirs = (np.array(side, np.intp) for side in (zip(*common, strict=True) if common else ((), ())))
    present, present_there = gold.present[:, ours], plan.present[:, theirs]
    alike = gold.weights[:, ours] @ present_there.T
    alike += present @ plan.weights[:, theirs].T
    alike /= gold.option_weights[:, None] + plan.option_weights + 1.0
    shared = present @ present_there.T
    same = (shared > 0) & (shared == gold.option_lengths[:, None]) & (shared == plan.option_lengths)
    heads, heads_there = gold.head_weights[:, ours], plan.head_weights[:, theirs]
    alike_and_same = np.array((np.round(alike * GRID) / GRID, same))
    return alike_and_same, (heads @ present_there.T)[None], (present @ heads_there.T)[None]


def _by_meaning(gold: ListVectors, plan: ListVectors) -> Kind:
    """Return the same in meaning: how near options are, and how near less what the parts themselves mean."""
    options = floor(gold.options @ plan.options.swapaxes(1, 2))
    to_options, to_parts = gold.phrases[0] @ plan.options[0].T, gold.options[0] @ plan.phrases[0].T
    return options, to_options[None], to_parts[None]


def _counterparts(near: Sequence[Array], gold: _Side, plan: _Side) -> tuple[Array, Array, Array]:
    """Return the nearest two options of a pair, by kind; of the first and the third kind, the mean over the options of
    both sides of how near the best counterpart is; and of the first, how many options have one, 3 at most, the smaller
    of the two directions. `near` has of each list [kind, option of gold, option of the plan].
    """
    of_gold = [np.maximum.reduceat(one, table.begins, axis=2) for one, table in zip(near, plan.tables, strict=True)]
    of_plan = [
        np.maximum.reduceat(one, table.begins, axis=1).swapaxes(1, 2)
        for one, table in zip(near, gold.tables, strict=True)
    ]
    best = plan.reduced(np.maximum, of_plan).swapaxes(2, 3)
    total = gold.reduced(np.add, _likeness(of_gold))
    others = plan.reduced(np.add, _likeness(of_plan)).swapaxes(2, 3)
    mean = (total[:-1] / gold.counts[..., None] + others[:-1] / plan.counts[:, None]) / 2
    return best, mean, np.minimum(np.minimum(total[-1], others[-1]), 3.0)


def _likeness(sides: Sequence[Array]) -> list[Array]:
    """Return of how near the best counterparts are the first and the third kind, and whether there is one."""
    whole = np.concatenate(sides, axis=1)
    return [np.array((*np.maximum(whole[::2], 0.0), whole[0] > 0.6))]
