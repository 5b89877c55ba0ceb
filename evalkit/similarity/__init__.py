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
from evalkit.similarity.vectors import TextVectors, Vector

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
    one, other = options.optioned(tuple(gold)), options.optioned(tuple(plan))
    said = None
    if vectors is not None:
        said = meaning.sentences(one.texts, vectors), meaning.sentences(other.texts, vectors)
    spelled, *meant = options.compared(one, other, said)
    blocks = [*_words(gold, plan, vectors), spelled, logic.deeds(gold, plan)]
    if said is not None:
        blocks += [_phrases(said[0], said[1], len(gold), len(plan)), *meant]
    values = np.concatenate(blocks, axis=-1)
    values *= GRID
    np.round(values, out=values)
    values /= GRID
    return Features(names, values, logic.unspecified(gold, plan))


def _words(
    gold: Sequence[Ablation], plan: Sequence[Ablation], vectors: Mapping[str, TextVectors] | None
) -> list[Array]:
    """How far words are found again, by each kind of likeness, and how that stands out among the alternatives."""
    written = expansions([texts_of(entry) for entry in (*gold, *plan)])
    one, other = coverage.side_of(rows_of(gold, written)), coverage.side_of(rows_of(plan, written))
    kinds: list[NDArray[np.floating]] = [coverage.spelled_alike(one, other)]
    if vectors is not None:
        kinds.append(meaning.meant_alike(one.rows, other.rows, vectors))
    return list(coverage.coverage(kinds, one, other))


def _phrases(gold: Vector, plan: Vector, entries: int, others: int) -> Array:
    """How near whole parts and whole names are in meaning: the first of the texts, and those that follow."""
    one, other = gold[: 2 * entries].reshape(2, entries, -1), plan[: 2 * others].reshape(2, others, -1)
    near: Array = meaning.cosines(one, other).astype(np.float64)
    return near.reshape(-1, entries, others).transpose(1, 2, 0)
