"""Describe every pair of a gold list and a plan by features: how far the two entries are the same ablation.

The context of a pair is the gold list and this one plan, nothing else. Every number is on a grid on which sums are
exact, so that neither the order of entries nor the batches of an encoder can change a bit of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.embeddings import TextVectors, on_grid
from evalkit.matching.features import coverage, options, removals, semantic, traits, words
from evalkit.matching.features.registry import Feature
from evalkit.matching.features.semantic import COMPOSED, ListVectors
from evalkit.matching.features.words import SOURCES, Expansions, expansions_in, texts_of
from evalkit.matching.rules import Needs, gold_as_read, needs_of, plan_as_read, unnamed
from evalkit.matching.tokens import expansions
from evalkit.types import Ablation

__all__ = ["FEATURES", "Feature", "Features", "alike", "batch_features", "features", "needs"]

GRID = 65536
COMPOSED_ROWS = [tuple(SOURCES).index(name) for name in COMPOSED]
CACHED_LISTS = 1024  # about 60 KB each of tables, and 120 KB of vectors
PAIRS_TOGETHER = 512  # 335 features of each take 1.3 MB
LONGEST_TOGETHER = 2_000  # characters in a list: words are compared in tables as wide as the longest list of a batch
LONGEST_CACHED = 8_000  # characters in a list; the tables of the longest ones take many MB

# Every feature by its name, in the order of the arrays.
FEATURES = {
    feature.name: feature
    for feature in (
        *words.FEATURES,
        *options.SPELLED.features,
        *traits.TRAIT_FEATURES.features,
        *removals.REMOVAL_FEATURES.features,
        *semantic.FEATURES,
        *options.NEAR.features,
    )
}
LEXICAL = tuple(name for name, feature in FEATURES.items() if feature.family != "embedding")


@dataclass(frozen=True, slots=True)
class Features:
    """What is known about every pair: `values` [gold, plan, feature], what it `needs` to match and whether the plan's
    entry is `unnamed` [gold, plan]; of several lists (see `batch_features`) with one more axis before these."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    needs: Needs
    unnamed: NDArray[np.bool_]


def needs(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> list[str]:
    """Return the texts whose vectors `features` will ask for, each once."""
    return list(dict.fromkeys(text for entry in (*gold, *plan) for text in texts_of(entry)))


def features(gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Mapping[str, TextVectors] | None) -> Features:
    """Return every feature of every pair; without vectors those that need no embedding."""
    of_lists = batch_features([(gold, plan)], vectors)
    return Features(of_lists.names, of_lists.values[0], of_lists.needs[0], of_lists.unnamed[0])


def alike(lists: Sequence[tuple[Sequence[Ablation], Sequence[Ablation]]]) -> Iterator[list[int]]:
    """Yield the places of the lists that `batch_features` may take together: all have as many entries, none is long."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, both in enumerate(lists):
        if any(sum(len(text) for entry in entries for text in texts_of(entry)) > LONGEST_TOGETHER for entries in both):
            yield [place]
        else:
            groups.setdefault((len(both[0]), len(both[1])), []).append(place)
    for (gold, plan), places in groups.items():
        most = max(PAIRS_TOGETHER // max(gold * plan, 1), 1)
        yield from (places[start : start + most] for start in range(0, len(places), most))


def batch_features(
    lists: Sequence[tuple[Sequence[Ablation], Sequence[Ablation]]], vectors: Mapping[str, TextVectors] | None
) -> Features:
    """Return the features of several gold lists with a plan each; no pair of lists has a say in those of another.

    All gold lists have as many entries, and all plans: then they are computed together, which is several times as fast.
    """
    names = tuple(FEATURES) if vectors is not None else LEXICAL
    shape = (len(lists), len(lists[0][0]), len(lists[0][1]))
    if not all(shape):
        return Features(names, np.zeros((*shape, len(names))), np.zeros(shape, np.int8), np.zeros(shape, np.bool_))
    as_read = [(gold_as_read(gold), plan_as_read(plan)) for gold, plan in lists]
    tables = [_tables(gold, plan) for gold, plan in as_read]
    in_vectors = None
    if vectors is not None:
        in_vectors = [(list_vectors(one, vectors), list_vectors(other, vectors)) for one, other in tables]
    trait_pairs = traits.TraitPairs([(one.traits, other.traits) for one, other in tables])
    option_pairs = options.OptionPairs([(one.options, other.options) for one, other in tables], in_vectors)
    blocks = [
        *_coverage([(one.words, other.words) for one, other in tables], in_vectors),
        options.SPELLED.compute(option_pairs, shape),
        traits.TRAIT_FEATURES.compute(trait_pairs, shape),
        removals.REMOVAL_FEATURES.compute(trait_pairs, shape),
    ]
    if in_vectors is not None:
        blocks += [semantic.phrase_features(in_vectors), options.NEAR.compute(option_pairs, shape)]
    values = np.concatenate(blocks, axis=-1)
    values *= GRID
    np.round(values, out=values)
    values /= GRID
    needed = np.array([needs_of(gold, plan) for gold, plan in as_read])
    return Features(names, values, needed, np.array([unnamed(gold, plan) for gold, plan in as_read]))


def _tables(gold: tuple[Ablation, ...], plan: tuple[Ablation, ...]) -> tuple[ListTables, ListTables]:
    """Return the tables of a gold list and a plan, each with the abbreviations that the other explains."""
    meanings = expansions([texts_of(entry) for entry in (*gold, *plan)])
    one, other = (list_tables(entries, expansions_in(entries, meanings)) for entries in (gold, plan))
    return one, other


def _coverage(
    tables: Sequence[tuple[words.WordTable, words.WordTable]],
    in_vectors: Sequence[tuple[ListVectors, ListVectors]] | None,
) -> NDArray[np.float64]:
    """Return how far words are found again by spelling and, with vectors, by meaning:
    [kind, lists, gold, plan, feature].
    """
    similarities: list[list[NDArray[np.floating]]] = [[words.spelling_similarity(*both)] for both in tables]
    if in_vectors is not None:
        for matrices, (gold, plan) in zip(similarities, in_vectors, strict=True):
            matrices.append(semantic.word_similarity(gold.words, plan.words))
    golds, plans = zip(*tables, strict=True)
    return coverage.coverage(similarities, golds, plans)


@dataclass(frozen=True, slots=True, eq=False)
class ListTables:
    """All of one list that does not depend on the other. Kept, as gold lists meet many plans."""

    words: words.WordTable
    options: options.OptionTable
    traits: traits.TraitTable


def list_tables(entries: tuple[Ablation, ...], written_out: Expansions) -> ListTables:
    """Return the tables of these entries, with the abbreviations in them written out."""
    is_long = sum(len(text) for entry in entries for text in texts_of(entry)) > LONGEST_CACHED
    return (_list_tables.__wrapped__ if is_long else _list_tables)(entries, written_out)


@lru_cache(maxsize=CACHED_LISTS)
def _list_tables(entries: tuple[Ablation, ...], written_out: Expansions) -> ListTables:
    return ListTables(
        words.word_table(entries, written_out), options.option_table(entries), traits.trait_table(entries)
    )


def list_vectors(tables: ListTables, vectors: Mapping[str, TextVectors]) -> ListVectors:
    """Return this list in vectors."""
    texts = (*tables.words.texts, *tables.options.texts)
    is_long = sum(map(len, tables.options.texts)) > LONGEST_CACHED
    return (_list_vectors.__wrapped__ if is_long else _list_vectors)(tables, tuple([vectors[text] for text in texts]))


@lru_cache(maxsize=CACHED_LISTS)
def _list_vectors(tables: ListTables, texts: tuple[TextVectors, ...]) -> ListVectors:
    """Return a list in vectors if its texts have these; both are known by being the same objects."""
    words, table = tables.words, tables.options
    border = len(words.texts)
    whole = [text.sentence for text in texts[border:]]
    width = len(whole[0])
    sentences = np.concatenate([*whole, np.zeros(width, np.float32)]).reshape(-1, width)  # the last is of no text
    of_options = sentences[table.option_texts]
    apart = on_grid(of_options - np.float32(0.75) * sentences[table.part_texts])
    phrases = sentences[: 2 * words.entries].reshape(2, words.entries, -1)
    in_words = np.concatenate([np.zeros((0, width), np.float32), *[text.words for text in texts[:border]]])
    if words.places is not None:
        in_words = in_words[words.places]
    composed = (words.source_weights @ in_words).reshape(len(SOURCES), words.entries, width)[COMPOSED_ROWS]
    return ListVectors(in_words, phrases, np.array((of_options, apart)), on_grid(composed))
