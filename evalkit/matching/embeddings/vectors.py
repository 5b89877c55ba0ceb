"""Hold the vectors of a text on a grid on which sums are exact, and say what an encoder is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Every number of a vector is a multiple of 1/2048 and every vector has length 1 or less, so that float32 holds each
# partial sum of a dot product exactly: the order in which a library adds them up cannot change a similarity.
GRID = 2048

Vector = NDArray[np.float32]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors:
    """One text: the vector of its meaning, and one row for each of its words (see `tokens.analyse`). Only the same
    object is equal, as arrays can be neither compared nor hashed at a glance."""

    sentence: Vector
    words: Vector


class Encoder(Protocol):
    """What gives texts their vectors. The fingerprint says what they depend on besides the text."""

    @property
    def fingerprint(self) -> str:
        """A name, and the hash of the weights or of the table."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> dict[str, TextVectors]:
        """Return the vectors of every text, each text once; those of one text depend on no other."""


def on_grid(vectors: NDArray[np.floating]) -> Vector:
    """Return rows scaled to length 1 and rounded towards zero to the grid, so that no row gets longer than 1."""
    exact = vectors.astype(np.float64)
    exact /= np.maximum(np.sqrt((exact * exact).sum(axis=-1, keepdims=True)), 1e-12)
    exact *= GRID
    scaled: Vector = np.trunc(exact, out=exact).astype(np.float32)
    scaled /= GRID
    return scaled
