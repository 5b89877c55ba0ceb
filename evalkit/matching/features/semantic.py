"""Measure how near two lists' words and phrases are in meaning, from the vectors of their texts.

Products of vectors on the grid are exact (see `embeddings`), so no similarity depends on what was computed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.embeddings import Vector, on_grid
from evalkit.matching.features.coverage import rivals
from evalkit.matching.features.registry import Feature
from evalkit.matching.features.words import SOURCES, floor, reason_of

COMPOSED = tuple(name for name in SOURCES if name != "tail")  # what the weighted mean of its words stands for
COMPARED = {
    "": "",
    ".apart": ", less what all entries share",
    ".first": ", less what all entries share, above the best alternative of either entry",
}
PHRASES = {"part": "parts", "name": "entries"}  # the kinds of phrases, in the order of `ListVectors.phrases`
FEATURES = [
    Feature(f"phrase.{kind}{suffix}", "embedding", reason, f"nearness of the {kind}s{less} (by meaning)")
    for kind, reason in PHRASES.items()
    for suffix, less in (("", ""), (".apart", ", less what all entries share"))
] + [
    Feature(f"whole.{name}{suffix}", "embedding", reason_of(name), f"nearness of the words of {SOURCES[name][0]}{less}")
    for suffix, less in COMPARED.items()
    for name in COMPOSED
]


@dataclass(frozen=True, slots=True, eq=False)
class ListVectors:
    """One list in vectors: of its words; of its parts and of its names [kind, entry]; of its options as they are and
    less what their parts mean [these two, option]; of the weighted means of words [COMPOSED, entry]."""

    words: Vector
    phrases: Vector
    options: Vector
    composed: Vector


def word_similarity(gold: Vector, plan: Vector) -> Vector:
    """Return the cosines of words, each as it is meant in its own text, never below 0: [word of gold, word of plan]."""
    return np.maximum(floor(gold @ plan.T), np.float32(0))


def phrase_features(lists: Sequence[tuple[ListVectors, ListVectors]]) -> NDArray[np.float64]:
    """Return FEATURES, how near whole parts and names and the means of words are: [lists, gold, plan, feature]."""
    phrases, composed = (
        [np.array([getattr(one[side], name) for one in lists]) for side in (0, 1)] for name in ("phrases", "composed")
    )
    near, apart = _nearness(*composed)
    first = apart - np.maximum(rivals(apart, 2), rivals(apart, 3))
    whole = np.stack(_nearness(*phrases), axis=2)
    whole = whole.reshape(len(lists), -1, *whole.shape[-2:])
    return np.concatenate((whole, near, apart, first), axis=1).transpose(0, 2, 3, 1)


def _nearness(gold: Vector, plan: Vector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cosines of vectors as they are and without what all of a kind share, [lists, kind, gold, plan]."""
    border = gold.shape[2]
    vectors = np.concatenate((gold, plan), axis=2)
    shared = vectors.astype(np.float64).sum(axis=2, keepdims=True) / vectors.shape[2]
    apart = on_grid((vectors - shared).astype(np.float32))
    near, less = (
        floor(some[:, :, :border] @ some[:, :, border:].swapaxes(-1, -2)).astype(np.float64)
        for some in (vectors, apart)
    )
    return near, less
