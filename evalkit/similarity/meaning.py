"""Takes vectors of texts, gives how near two lists' words and phrases are in meaning.

Products of vectors on the grid are exact (see `vectors`), so no similarity depends on what it was computed beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.similarity.coverage import GRID
from evalkit.similarity.entries import Rows
from evalkit.similarity.vectors import TextVectors, on_grid

Vectors = Mapping[str, TextVectors]


def meant_alike(gold: Rows, plan: Rows, vectors: Vectors) -> NDArray[np.float32]:
    """The cosine of every word of gold with every word of plan, each as it is meant in its own text; never below 0."""
    if not gold.texts or not plan.texts:
        return np.zeros((len(gold.stems), len(plan.stems)), np.float32)
    return np.maximum(floor(_stack(gold, vectors) @ _stack(plan, vectors).T), np.float32(0))


def floor(product: NDArray[np.float32]) -> NDArray[np.float32]:
    """Down to the grid; exact in float32, as the grid's step is a power of two."""
    product *= GRID
    np.floor(product, out=product)
    product /= GRID
    return product


def _stack(rows: Rows, vectors: Vectors) -> NDArray[np.float32]:
    """The word vectors of a list in the order of its rows."""
    words = np.concatenate([vectors[text].words for text in rows.texts])
    return words if rows.places is None else words[rows.places]


def cosines(gold: Sequence[Sequence[str]], plan: Sequence[Sequence[str]], vectors: Vectors) -> NDArray[np.float32]:
    """How near texts of gold are to those of plan, kind by kind: as they are, and after taking away what all share.

    Both are lists of kinds of text, with a text for each entry; the result is by kind, these two, gold, plan.
    """
    border, entries = len(gold[0]), len(gold[0]) + len(plan[0])
    stacked = np.array(
        [[vectors[text].sentence for text in (*one, *other)] for one, other in zip(gold, plan, strict=True)]
    )
    shared = stacked.astype(np.float64).sum(axis=1, keepdims=True) / entries
    apart = on_grid((stacked - shared).astype(np.float32))
    both = np.stack((stacked, apart), axis=1)
    return floor(both[:, :, :border] @ both[:, :, border:].swapaxes(-1, -2))
