"""Takes vectors of texts, gives how near two lists' words and phrases are in meaning.

Products of vectors on the grid are exact (see `vectors`), so no similarity depends on what it was computed beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Ablation
from evalkit.similarity.coverage import GRID, Array
from evalkit.similarity.entries import Rows
from evalkit.similarity.vectors import TextVectors, on_grid

Vectors = Mapping[str, TextVectors]


def titled(entry: Ablation) -> str:
    """Name and part as one text, so that each is read in the light of the other."""
    return f"{entry.name}: {entry.part}"


def meant_alike(gold: Rows, plan: Rows, vectors: Vectors) -> Array:
    """The cosine of every word of gold with every word of plan, each as it is meant in its own text; never below 0."""
    product = _stack(gold, vectors) @ _stack(plan, vectors).T
    return np.maximum(_floor(product), 0.0)


def _floor(product: NDArray[np.float32]) -> Array:
    return np.floor(product.astype(np.float64) * GRID) / GRID


def _stack(rows: Rows, vectors: Vectors) -> NDArray[np.float32]:
    """The word vectors of a list in the order of its rows; nothing for an empty row."""
    texts = list(dict.fromkeys(place[0] for place in rows.places if place))
    blocks = [vectors[text].words for text in texts]
    width = next((block.shape[1] for block in blocks), 1)
    table = np.concatenate((*blocks, np.zeros((1, width), np.float32)))
    begins = dict(zip(texts, np.cumsum([0, *map(len, blocks)]).tolist(), strict=False))
    return table[[begins[place[0]] + place[1] if place else -1 for place in rows.places]]


def cosines(gold: Sequence[str], plan: Sequence[str], vectors: Vectors) -> tuple[Array, Array]:
    """How near the texts of gold are to those of plan: as they are, and after taking away what all of them share."""
    stacked = np.array([vectors[text].sentence for text in (*gold, *plan)])
    plain = _floor(stacked[: len(gold)] @ stacked[len(gold) :].T)
    shared = stacked.astype(np.float64).sum(axis=0) / len(stacked)
    apart = on_grid((stacked - shared).astype(np.float32))
    return plain, _floor(apart[: len(gold)] @ apart[len(gold) :].T)
