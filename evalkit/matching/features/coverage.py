"""Measure how far the words of each entry of one list are found in each entry of the other (see `words`).

Several gold lists are compared with a plan each at once, filled up to as many words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.words import (
    COMBINATIONS,
    FROM,
    SEGMENTS,
    SOURCE_ROWS,
    SOURCES,
    STATISTICS,
    TARGETS,
    Array,
    Numbers,
    WordTable,
)

FILLING = 8  # how many times the words of a list may be filled up
_TARGET_ROWS = (*TARGETS, "tail")  # the tail is no target, but other targets hold it
_TO = np.array([_TARGET_ROWS.index(target) for _, target in COMBINATIONS])
_AS_SOURCE, _AS_TARGET = (np.array([rows.index(name) for name in SEGMENTS]) for rows in (SOURCE_ROWS, _TARGET_ROWS))


@dataclass(frozen=True, slots=True, eq=False)
class WordTables:
    """The words of several lists that have as many entries each, filled up to as many words: see `WordTable`.

    `weights` [list, word], `source_weights` [list, source and entry, word], `totals` [combination, list, 1, 1, entry];
    `members` are places among the words of all lists, and `owner` says which list a segment is of.
    """

    entries: int
    weights: Array
    source_weights: Array
    totals: Array
    members: Numbers
    owner: Numbers
    entry: Numbers
    kind: Numbers


def stacked(tables: Sequence[WordTable]) -> WordTables:
    """Return the tables of these lists as one."""
    lengths = [len(table.weights) for table in tables]
    shape, longest = (len(tables), max(lengths)), max(len(table.members) for table in tables)
    weights, source_weights = np.zeros(shape), np.zeros((shape[0], len(tables[0].source_weights), shape[1]))
    members = []
    for index, (table, length) in enumerate(zip(tables, lengths, strict=True)):
        weights[index, :length], source_weights[index, :, :length] = table.weights, table.source_weights
        if length:
            rows = np.minimum(np.arange(longest), len(table.members) - 1)
            members.append(table.members[rows] + index * shape[1])
    return WordTables(
        entries=tables[0].entries,
        weights=weights,
        source_weights=source_weights,
        totals=np.stack([table.totals for table in tables], axis=1),
        members=np.concatenate([np.zeros((longest, 0), np.intp), *members], axis=1),
        owner=np.repeat(np.arange(len(tables)), [len(table.kind) for table in tables]),
        entry=np.concatenate([table.entry for table in tables]),
        kind=np.concatenate([table.kind for table in tables]),
    )


def coverage(
    similarities: Sequence[Sequence[NDArray[np.floating]]], golds: Sequence[WordTable], plans: Sequence[WordTable]
) -> Array:
    """Return all statistics of all combinations by each kind of similarity, [kind, lists, gold, plan, feature].

    `similarities` has the matrices of each gold list and plan, one of each kind. The lists of one side have as many
    entries each.
    """
    lists, kinds, entries, others = len(golds), len(similarities[0]), golds[0].entries, plans[0].entries
    turned = [[matrix.T for matrix in matrices] for matrices in similarities]
    if entries == others:
        # Both directions at once: of one plan, most of the time goes into numpy's calls.
        forth, back = np.split(_found([*turned, *similarities], [*golds, *plans], [*plans, *golds]), 2, axis=2)
    else:
        forth, back = _found(turned, golds, plans), _found(similarities, plans, golds)
    back = back.swapaxes(3, 5)
    share, own, missing, total = forth + back
    lesser_share, _, lesser_missing, _ = np.minimum(forth, back)
    values = np.empty((len(STATISTICS), len(COMBINATIONS), lists, others, kinds, entries))
    row = dict(zip(STATISTICS, values, strict=True))
    row["mean"][...], row["min"][...], row["own"][...] = share / 2, lesser_share, own / 2
    row["miss"][...], row["least"][...], row["sum"][...] = missing / 2, lesser_missing, total / (total + 8)
    # How far the share stands out among the alternatives of the gold entry and of the plan entry.
    of_plan, of_gold = rivals(row["mean"], 2), rivals(row["mean"], 4)
    np.subtract(row["mean"], np.maximum(of_plan, of_gold), out=row["first"])
    np.subtract(row["mean"], np.minimum(of_plan, of_gold), out=row["second"])
    return values.transpose(4, 2, 5, 3, 0, 1).reshape(kinds, lists, entries, others, -1)


def _found(
    similarities: Sequence[Sequence[NDArray[np.floating]]], sources: Sequence[WordTable], targets: Sequence[WordTable]
) -> Array:
    """Return `_covered` of these lists, of whose similarities [word of the target, word of the source] each has one of
    each kind."""
    source, target = stacked(sources), stacked(targets)
    filled = np.zeros((len(sources), target.weights.shape[1], len(similarities[0]), source.weights.shape[1]))
    for index, matrices in enumerate(similarities):
        for kind, matrix in enumerate(matrices):
            filled[index, : matrix.shape[0], kind, : matrix.shape[1]] = matrix
    return _covered(filled, source, target)


def _covered(similarity: Array, source: WordTables, target: WordTables) -> Array:
    """Look for the words of lists in others: [statistic, combination, list, target entry, kind, source entry].

    `similarity` is [list, word of the target, kind, word of the source]. The statistics are the share of the words'
    weight that is found again, how much of that no other target would give as well, the weight of the heaviest word
    that is not found, and the weight that is found.
    """
    entries, others, (lists, length, kinds, words) = source.entries, target.entries, similarity.shape
    each = len(TARGETS) * others * kinds
    best = np.zeros((len(_TARGET_ROWS), lists, others, kinds, words))
    greatest = _greatest(similarity.reshape(lists * length, kinds, words), target)
    best[_AS_TARGET[target.kind], target.owner, target.entry] = greatest
    _unite(best, _TARGET_ROWS)
    covered = best[: len(TARGETS)].swapaxes(0, 1)  # [list, target, target entry, kind, word]
    both = np.empty((lists, 2, *covered.shape[1:]))
    both[:, 0] = covered
    np.subtract(covered, rivals(covered, 2), out=both[:, 1])
    # Sums are exact on the grid, so a matrix product may add them up in any order.
    sums = both.reshape(lists, 2 * each, words) @ source.source_weights.swapaxes(1, 2)
    picked = sums.reshape(lists, 2, len(TARGETS), others, kinds, len(SOURCES), entries)[:, :, _TO, :, :, FROM]
    statistics = np.empty((4, len(COMBINATIONS), lists, others, kinds, entries))
    np.divide(picked.transpose(2, 0, 1, 3, 4, 5), source.totals, out=statistics[:2])
    missing = np.subtract(1, covered, out=both[:, 0])
    missing *= source.weights[:, None, None, None]
    worst = np.zeros((len(SOURCES), lists, entries, len(TARGETS), others, kinds))
    heaviest = _greatest(missing.reshape(lists, each, words).swapaxes(1, 2).reshape(lists * words, each), source)
    worst[_AS_SOURCE[source.kind], source.owner, source.entry] = heaviest.reshape(-1, len(TARGETS), others, kinds)
    _unite(worst, SOURCE_ROWS)
    np.divide(worst[FROM, :, :, _TO].transpose(0, 1, 3, 4, 2), 8, out=statistics[2])
    statistics[3] = picked[:, :, 0]
    return statistics


def _unite(values: Array, names: Sequence[str]) -> None:
    """Fill the rows of what is made of several segments with the larger of its parts."""
    row = dict(zip(names, values, strict=True))
    np.maximum(row["head"], row["tail"], out=row["part"])
    np.maximum(row["part"], row["name"], out=row["title"])
    np.maximum(row["title"], row["options"], out=row["all"])


def _greatest(values: Array, words: WordTables) -> Array:
    """Return the largest of each segment's words, along the first axis.

    Taking all words by their place in their segment is four times as fast as `maximum.reduceat`, unless some segment is
    much longer than the others: then it would be mostly filling.
    """
    if words.members.size > FILLING * len(values):
        best: Array = np.maximum.reduceat(values, words.members[0], axis=0)
        return best
    greatest: Array = values.take(words.members, axis=0).max(axis=0, initial=0.0)
    return greatest


def rivals(values: Array, axis: int) -> Array:
    """Return for each value the largest of the others along an axis; 0 where there are no others."""
    slabs = np.ascontiguousarray(values.swapaxes(0, axis))
    if len(slabs) < 2:
        return np.zeros_like(values)
    others = np.empty_like(slabs)
    own, best = list(slabs), list(others)
    # The largest of those behind, then of those before as well.
    best[-2][...] = own[-1]
    for index in range(len(own) - 3, -1, -1):
        np.maximum(best[index + 1], own[index + 1], out=best[index])
    before = best[-1]
    before[...] = own[0]
    for largest, slab in zip(best[1:-1], own[1:-1], strict=True):
        np.maximum(largest, before, out=largest)
        np.maximum(before, slab, out=before)
    return others.swapaxes(0, axis)
