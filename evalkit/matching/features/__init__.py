"""Describe every pair of a gold list and a plan by features: how far the two entries are the same ablation.

The context of a pair is the gold list and this one plan, nothing else. Every number is on a grid on which sums are
exact, so that neither the order of entries nor the batches of an encoder can change a bit of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.embeddings import TextVectors, on_grid
from evalkit.matching.features import options, removals, semantic, traits, words
from evalkit.matching.features.registry import Feature
from evalkit.matching.features.semantic import COMPOSED, ListVectors
from evalkit.matching.features.words import SOURCES, Expansions, expansions_in, texts_of
from evalkit.matching.rules import Needs, gold_as_read, needs_of, plan_as_read
from evalkit.matching.tokens import expansions
from evalkit.types import Ablation

__all__ = ["FEATURES", "Feature", "Features", "features", "needs"]

GRID = 65536
COMPOSED_ROWS = [tuple(SOURCES).index(name) for name in COMPOSED]
CACHED_LISTS = 1024  # about 60 KB each of tables, and 120 KB of vectors
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
    """What is known about every pair: `values` [gold, plan, feature], and what it `needs` to match [gold, plan]."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    needs: Needs


def needs(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> list[str]:
    """Return the texts whose vectors `features` will ask for, each once."""
    return list(dict.fromkeys(text for entry in (*gold, *plan) for text in texts_of(entry)))


def features(gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Mapping[str, TextVectors] | None) -> Features:
    """Return every feature of every pair; without vectors those that need no embedding."""
    names = tuple(FEATURES) if vectors is not None else LEXICAL
    shape = (len(gold), len(plan))
    if not gold or not plan:
        return Features(names, np.zeros((*shape, len(names))), np.zeros(shape, np.int8))
    gold, plan = gold_as_read(gold), plan_as_read(plan)
    meanings = expansions([texts_of(entry) for entry in (*gold, *plan)])
    one, other = (list_tables(tuple(entries), expansions_in(entries, meanings)) for entries in (gold, plan))
    in_vectors = None if vectors is None else (list_vectors(one, vectors), list_vectors(other, vectors))
    similarities: list[NDArray[np.floating]] = [words.spelling_similarity(one.words, other.words)]
    if in_vectors is not None:
        similarities.append(semantic.word_similarity(in_vectors[0].words, in_vectors[1].words))
    trait_pairs = traits.TraitPairs(one.traits, other.traits)
    option_pairs = options.OptionPairs(one.options, other.options, in_vectors)
    blocks = [
        *words.coverage(similarities, one.words, other.words),
        options.SPELLED.compute(option_pairs, *shape),
        traits.TRAIT_FEATURES.compute(trait_pairs, *shape),
        removals.REMOVAL_FEATURES.compute(trait_pairs, *shape),
    ]
    if in_vectors is not None:
        blocks += [semantic.phrase_features(*in_vectors), options.NEAR.compute(option_pairs, *shape)]
    values = np.concatenate(blocks, axis=-1)
    values *= GRID
    np.round(values, out=values)
    values /= GRID
    return Features(names, values, needs_of(gold, plan))


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
