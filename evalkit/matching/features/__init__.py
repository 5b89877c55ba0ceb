"""Takes a gold list and a plan, gives features of every pair: how far the two entries are the same ablation.

The context of a pair is the gold list and this one plan, nothing else. Every number is on a grid on which sums are
exact, so that neither the order of entries nor the batches of an encoder can change a bit of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.features import coverage, options, semantic, traits
from evalkit.matching.features.abbreviations import expansions
from evalkit.matching.features.prepared import Side, meant, side_of
from evalkit.matching.features.registry import FEATURES, LEXICAL, Feature
from evalkit.matching.features.semantic import Meant
from evalkit.matching.features.vectors import TextVectors
from evalkit.matching.features.words import texts_of, written_in
from evalkit.types import Ablation

__all__ = ["FEATURES", "Feature", "Features", "features", "needs"]

Array = NDArray[np.float64]
GRID = 65536


@dataclass(frozen=True, slots=True)
class Features:
    """What is known about every pair: `values` by gold entry, plan entry, feature.

    `unspecified` says of each pair whether gold leaves open what is done to the part: that agrees with everything.
    """

    names: tuple[str, ...]
    values: Array
    unspecified: NDArray[np.bool_] | None = None


def needs(gold: Sequence[Ablation], plan: Sequence[Ablation]) -> list[str]:
    """The texts whose vectors `features` will ask for, each once."""
    return list(dict.fromkeys(text for entry in (*gold, *plan) for text in texts_of(entry)))


def features(gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Mapping[str, TextVectors] | None) -> Features:
    """Every feature of every pair; without vectors those that need no embedding."""
    names = tuple(FEATURES) if vectors is not None else LEXICAL
    if not gold or not plan:
        return Features(names, np.zeros((len(gold), len(plan), len(names))))
    written = expansions([texts_of(entry) for entry in (*gold, *plan)])
    one, other = (side_of(tuple(entries), written_in(entries, written)) for entries in (gold, plan))
    said = None if vectors is None else (meant(one, vectors), meant(other, vectors))
    spelled, *near = options.compared(one.options, other.options, said)
    blocks = [*_words(one, other, said), spelled, traits.deeds(one.deeds, other.deeds)]
    if said is not None:
        blocks += [_phrases(*said), *near]
    values = np.concatenate(blocks, axis=-1)
    values *= GRID
    np.round(values, out=values)
    values /= GRID
    return Features(names, values, traits.unspecified(gold, plan))


def _words(one: Side, other: Side, said: tuple[Meant, Meant] | None) -> list[Array]:
    """How far words are found again, by each kind of likeness, and how that stands out among the alternatives."""
    kinds: list[NDArray[np.floating]] = [coverage.spelled_alike(one.words, other.words)]
    if said is not None:
        kinds.append(semantic.meant_alike(said[0].words, said[1].words))
    return list(coverage.coverage(kinds, one.words, other.words))


def _phrases(one: Meant, other: Meant) -> Array:
    """How near whole parts and whole names are in meaning."""
    near: Array = semantic.cosines(one.phrases, other.phrases).astype(np.float64)
    return near.reshape(-1, *near.shape[2:]).transpose(1, 2, 0)
