"""Measure how near two lists' words and phrases are in meaning, from the vectors of their texts.

Products of vectors on the grid are exact (see `embeddings`), so no similarity depends on what it was computed beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.embeddings import Vector, on_grid
from evalkit.matching.features.registry import Feature
from evalkit.matching.features.words import floor

PHRASES = {"part": "parts", "name": "entries"}  # the kinds of phrases, in the order of `ListVectors.phrases`
FEATURES = [
    Feature(f"phrase.{kind}{suffix}", "embedding", reason, f"nearness of the {kind}s{less} (by meaning)")
    for kind, reason in PHRASES.items()
    for suffix, less in (("", ""), (".apart", ", less what all entries share"))
]


@dataclass(frozen=True, slots=True, eq=False)
class ListVectors:
    """One list in vectors: of its words; of its parts and of its names [kind, entry]; of its options as they are and
    less what their parts mean [these two, option]."""

    words: Vector
    phrases: Vector
    options: Vector


def word_similarity(gold: Vector, plan: Vector) -> Vector:
    """Return the cosines of words, each as it is meant in its own text, never below 0: [word of gold, word of plan]."""
    return np.maximum(floor(gold @ plan.T), np.float32(0))


def phrase_features(gold: ListVectors, plan: ListVectors) -> NDArray[np.float64]:
    """Return FEATURES, how near whole parts and names are, as they are and without what all entries share:
    [gold, plan, feature]."""
    border = gold.phrases.shape[1]
    phrases = np.concatenate((gold.phrases, plan.phrases), axis=1)
    shared = phrases.astype(np.float64).sum(axis=1, keepdims=True) / phrases.shape[1]
    apart = on_grid((phrases - shared).astype(np.float32))
    both = np.stack((phrases, apart), axis=1)
    near = floor(both[:, :, :border] @ both[:, :, border:].swapaxes(-1, -2)).astype(np.float64)
    return near.reshape(-1, *near.shape[2:]).transpose(1, 2, 0)
