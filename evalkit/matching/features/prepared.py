"""Takes one list of entries, gives all that it brings to a comparison: what it says, and what it means.

Both are kept, as gold lists meet many plans: the same few of them in a training loop, each of them once a planner in a
run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evalkit.matching.features import coverage, options, traits
from evalkit.matching.features.semantic import Meant, sentences, words_of
from evalkit.matching.features.vectors import TextVectors, on_grid
from evalkit.matching.features.words import Written, rows_of
from evalkit.types import Ablation

AT_HAND = 1024  # lists that are kept: about 60 KB each of what they say, and 120 KB of what they mean


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One list as it is written, ready to meet others: its words, its options, and what its entries do."""

    words: coverage.Worded
    options: options.Optioned
    deeds: traits.Doings


@lru_cache(maxsize=AT_HAND)
def side_of(entries: tuple[Ablation, ...], written: Written) -> Side:
    """What these entries say, with the abbreviations in them written out."""
    return Side(coverage.worded(rows_of(entries, written)), options.optioned(entries), traits.doings(entries))


def meant(side: Side, vectors: Mapping[str, TextVectors]) -> Meant:
    """What this list means."""
    texts = (*side.words.rows.texts, *side.options.texts)
    return _meant(side, tuple([vectors[text] for text in texts]))


@lru_cache(maxsize=AT_HAND)
def _meant(side: Side, found: tuple[TextVectors, ...]) -> Meant:
    """What a list means if its texts have these vectors; they are known by being the same objects."""
    said, rows = side.options, side.words.rows
    border = len(rows.texts)
    whole = sentences(found[border:])
    apart = on_grid(whole[said.spoken] - np.float32(0.75) * whole[said.owned])
    phrases = whole[: 2 * rows.entries].reshape(2, rows.entries, -1)
    return Meant(words_of(rows, found[:border], whole.shape[1]), phrases, np.array((whole[said.spoken], apart)))
