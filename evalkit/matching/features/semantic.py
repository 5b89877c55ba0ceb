"""Takes vectors of texts, gives how near two lists' words and phrases are in meaning.

Products of vectors on the grid are exact (see `vectors`), so no similarity depends on what it was computed beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features.coverage import GRID
from evalkit.matching.features.vectors import TextVectors, Vector, on_grid
from evalkit.matching.features.words import Rows

Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Meant:
    """One list as it is meant: the vectors of its words; of its parts and of its names; of its options, as they are
    and less what their parts mean."""

    words: Vector
    phrases: Vector
    options: Vector


def meant_alike(gold: Vector, plan: Vector) -> Vector:
    """The cosine of every word of gold with every word of plan, each as it is meant in its own text; never below 0."""
    return np.maximum(floor(gold @ plan.T), np.float32(0))


def floor(product: NDArray[Real]) -> NDArray[Real]:
    """Down to the grid; exact in float32, as the grid's step is a power of two."""
    product *= GRID
    np.floor(product, out=product)
    product /= GRID
    return product


def words_of(rows: Rows, texts: Sequence[TextVectors], width: int) -> Vector:
    """The word vectors of a list in the order of its rows; `texts` are those of the rows' texts."""
    words = np.concatenate([np.zeros((0, width), np.float32), *[text.words for text in texts]])
    return words if rows.places is None else words[rows.places]


def sentences(texts: Sequence[TextVectors]) -> Vector:
    """The vectors of whole texts, a row each, and behind them one of nothing."""
    rows = [text.sentence for text in texts]
    return np.concatenate([*rows, np.zeros(len(rows[0]), np.float32)]).reshape(len(rows) + 1, -1)


def cosines(gold: Vector, plan: Vector) -> Vector:
    """How near texts of gold are to those of plan, kind by kind: as they are, and after taking away what all share.

    Both are vectors by kind of text, entry; the result is by kind, these two, gold, plan.
    """
    border = gold.shape[1]
    stacked = np.concatenate((gold, plan), axis=1)
    shared = stacked.astype(np.float64).sum(axis=1, keepdims=True) / stacked.shape[1]
    apart = on_grid((stacked - shared).astype(np.float32))
    both = np.stack((stacked, apart), axis=1)
    return floor(both[:, :, :border] @ both[:, :, border:].swapaxes(-1, -2))
