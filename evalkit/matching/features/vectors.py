"""The vectors of one text, on a grid.

Every number is a multiple of 1/2048 and every vector has length 1 or less, so that float32 holds each partial sum of a
dot product exactly: the order in which a library adds them up cannot change a similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
GRID = 2048


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors:
    """One text: the vector of its meaning, and one row for each of its words (see `tokens.analyse`). Only the same
    object is equal, as arrays can be neither compared nor hashed at a glance."""

    sentence: Vector
    words: Vector


def on_grid(vectors: Vector) -> Vector:
    """Return rows scaled to length 1 and rounded towards zero to the grid, so that no row gets longer than 1."""
    exact = vectors.astype(np.float64)
    exact /= np.maximum(np.sqrt((exact * exact).sum(axis=-1, keepdims=True)), 1e-12)
    exact *= GRID
    scaled: Vector = np.trunc(exact, out=exact).astype(np.float32)
    scaled /= GRID
    return scaled
