"""Takes vectors of texts, gives how near two lists' words and phrases are in meaning.

Products of vectors on the grid are exact (see `vectors`), so no similarity depends on what it was computed beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.similarity.coverage import GRID
from evalkit.similarity.entries import Rows
from evalkit.similarity.vectors import TextVectors, on_grid

Vectors = Mapping[str, TextVectors]
Real = TypeVar("Real", np.float32, np.float64)


def meant_alike(gold: Rows, plan: Rows, vectors: Vectors) -> NDArray[np.float32]:
    """The cosine of every word of gold with every word of plan, each as it is meant in its own text; never below 0."""
    if not gold.texts or not plan.texts:
        return np.zeros((len(gold.stems), len(plan.stems)), np.float32)
    return np.maximum(floor(_stack(gold, vectors) @ _stack(plan, vectors).T), np.float32(0))


def floor(product: NDArray[Real]) -> NDArray[Real]:
    """Down to the grid; exact in float32, as the grid's step is a power of two."""
    product *= GRID
    np.floor(product, out=product)
    product /= GRID
    return product


def _stack(rows: Rows, vectors: Vectors) -> NDArray[np.float32]:
    """The word vectors of a list in the order of its rows."""
    words = np.concatenate([vectors[text].words for text in rows.texts])
    return words if rows.places is None else words[rows.places]


def sentences(texts: Sequence[str], vectors: Vectors) -> NDArray[np.float32]:
    """The vectors of whole texts, a row each, and behind them one of nothing."""
    rows = [vectors[text].sentence for text in texts]
    rows.append(np.zeros(len(rows[0]), np.float32))
    return np.concatenate(rows).reshape(len(rows), -1)


def cosines(gold: NDArray[np.float32], plan: NDArray[np.float32]) -> NDArray[np.float32]:
    """How near texts of gold are to those of plan, kind by kind: as they are, and after taking away what all share.

    Both are vectors by kind of text, entry; the result is by kind, these two, gold, plan.
    """
    border = gold.shape[1]
    stacked = np.concatenate((gold, plan), axis=1)
    shared = stacked.astype(np.float64).sum(axis=1, keepdims=True) / stacked.shape[1]
    apart = on_grid((stacked - shared).astype(np.float32))
    both = np.stack((stacked, apart), axis=1)
    return floor(both[:, :, :border] @ both[:, :, border:].swapaxes(-1, -2))
