"""Takes a gold list and a plan, gives features of every pair: how far the two entries are the same ablation.

The context of a pair is the gold list and this one plan, nothing else. Every number is on a grid on which sums are
exact, so that neither the order of entries nor the batches of an encoder can change a bit of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Ablation
from evalkit.similarity import coverage, logic, meaning, options
from evalkit.similarity.abbreviations import expansions
from evalkit.similarity.entries import rows_of, texts_of
from evalkit.similarity.table import FEATURES, LEXICAL, Feature
from evalkit.similarity.vectors import TextVectors

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
    blocks = [*_words(gold, plan, vectors), options.spelled(gold, plan), logic.deeds(gold, plan)]
    if vectors is not None:
        blocks += [_phrases(gold, plan, vectors), options.meant(gold, plan, vectors)]
    values = np.round(np.concatenate(blocks, axis=-1) * GRID) / GRID
    return Features(names, values, logic.unspecified(gold, plan))


def _words(
    gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Mapping[str, TextVectors] | None
) -> list[Array]:
    """How far words are found again, by each kind of likeness, and how that stands out among the alternatives."""
    written = expansions([texts_of(entry) for entry in (*gold, *plan)])
    one, other = rows_of(gold, written), rows_of(plan, written)
    within, within_other, spelled = coverage.spelled_alike(one, other)
    kinds = [spelled]
    if vectors is not None:
        kinds.append(meaning.meant_alike(one, other, vectors))
    weighed = (one, coverage.weights(one, within)), (other, coverage.weights(other, within_other))
    covered = coverage.coverage(np.stack(kinds), *weighed)
    stands_out = coverage.contrast(covered[:, 0])
    shape = (len(kinds), -1, len(gold), len(plan))
    together = np.concatenate((covered.reshape(shape), stands_out.reshape(shape)), axis=1)
    return [np.moveaxis(kind, 0, -1) for kind in together]


def _phrases(gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Mapping[str, TextVectors]) -> Array:
    """How near whole parts and whole names are in meaning."""
    parts = meaning.cosines([entry.part for entry in gold], [entry.part for entry in plan], vectors)
    names = meaning.cosines([entry.name for entry in gold], [entry.name for entry in plan], vectors)
    return np.stack((*parts, *names), axis=-1)
