"""Takes the words of two lists, gives how far each entry's words are found again in each entry of the other list.

Words may meet by spelling ("word") or by meaning in their context ("meaning"). A word counts by how rare it
is in the field and how rare it is in its own list: what every entry says tells no two of them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evalkit.similarity.entries import Rows

Array = NDArray[np.float64]

GRID = 1024  # similarities and weights are multiples of a power of two: their sums are exact in any order
SOURCES = ("head", "tail", "part", "name", "title", "options", "all")
TARGETS = ("head", "part", "name", "title", "options", "all")
STATISTICS = ("mean", "min", "own", "miss", "least", "sum")
COMBINATIONS = (
    ("head", "head"), ("head", "part"), ("head", "title"), ("part", "part"), ("part", "title"), ("part", "all"),
    ("tail", "all"), ("name", "name"), ("name", "title"), ("title", "title"), ("title", "all"),
    ("options", "options"), ("options", "title"), ("options", "all"), ("all", "all"),
)  # fmt: skip
_PICK = (
    np.array([SOURCES.index(source) for source, _ in COMBINATIONS]),
    np.array([TARGETS.index(target) for _, target in COMBINATIONS]),
)
# The segments that each source is made of: head, tail, name, options.
_MADE_OF = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
_BUCKETS = 512


@lru_cache(maxsize=65536)
def spelling(stem: str) -> NDArray[np.float32]:
    """The stem's runs of two to four letters, hashed into a vector; stems that share runs point alike."""
    vector = np.zeros(_BUCKETS)
    padded = f"^{stem}$"
    for size in (2, 3, 4) if stem else ():
        for run in {padded[at : at + size] for at in range(len(padded) - size + 1)}:
            vector[crc32(run.encode()) % _BUCKETS] += size - 1
    length = np.sqrt((vector**2).sum())
    scaled: NDArray[np.float32] = (np.trunc(vector / max(length, 1e-12) * 2048) / 2048).astype(np.float32)
    return scaled


def spelled_alike(gold: Rows, plan: Rows) -> tuple[Array, Array, Array]:
    """How alike words are spelled, 1 for one stem, 0 for chance: within gold, within plan, gold by plan."""
    index: dict[str, int] = {}
    one = np.array([index.setdefault(stem, len(index)) for stem in gold.stems])
    other = np.array([index.setdefault(stem, len(index)) for stem in plan.stems])
    runs = np.array([spelling(stem) for stem in index])
    alike = np.floor((runs @ runs.T).astype(np.float64) * 0.8 * GRID) / GRID
    alike[alike <= 0.36] = 0.0
    np.fill_diagonal(alike, 1.0)
    alike[index[""]] = alike[:, index[""]] = 0.0
    return alike[one][:, one], alike[other][:, other], alike[one][:, other]


def weights(rows: Rows, alike: Array) -> Array:
    """Rarity in the field, less for a word that stands in another entry of its own list as well (options aside)."""
    entries = len(rows.starts) // 4
    if entries < 2:
        return rows.weights
    told = np.where(rows.options[None, :], 0.0, alike)
    elsewhere = np.maximum.reduceat(told, rows.starts[::4], axis=1)
    elsewhere[np.arange(len(rows.owners)), rows.owners] = 0.0
    weighed: Array = np.round(rows.weights * (1 - 0.75 * elsewhere.max(axis=1)) * 128) / 128
    return weighed


def coverage(alike: Array, gold: tuple[Rows, Array], plan: tuple[Rows, Array]) -> Array:
    """All statistics of all combinations, by kind of likeness, statistic, combination, gold entry, plan entry."""
    there = _covered(alike, gold, plan)
    back = [side.swapaxes(-1, -2) for side in _covered(alike.swapaxes(1, 2), plan, gold)]
    (mean, own, miss, total), (mean_back, own_back, miss_back, total_back) = there, back
    both = total + total_back
    return np.stack(
        (
            (mean + mean_back) / 2,
            np.minimum(mean, mean_back),
            (own + own_back) / 2,
            (miss + miss_back) / 2,
            np.minimum(miss, miss_back),
            both / (both + 8),
        ),
        axis=1,
    )


def _covered(alike: Array, source: tuple[Rows, Array], target: tuple[Rows, Array]) -> Sequence[Array]:
    """From one side only, by kind, combination, source entry, target entry.

    `mean` is the share of the words' weight that is found again, `own` how much of that no other target would give as
    well, `miss` the weight of the heaviest word that is not found, `total` the weight that is found.
    """
    (rows, weight), (other, _) = source, target
    kinds, entries, others = len(alike), len(rows.starts) // 4, len(other.starts) // 4
    best = np.maximum.reduceat(alike, other.starts, axis=2).reshape(kinds, -1, others, 4)
    head, part = best[..., 0], np.maximum(best[..., 0], best[..., 1])
    title = np.maximum(part, best[..., 2])
    found = np.stack((head, part, best[..., 2], title, best[..., 3], np.maximum(title, best[..., 3])), axis=2)
    heavy = _belonging(rows) * weight
    both = np.concatenate((found, found - rivals(found))).reshape(2 * kinds, len(weight), -1)
    # Sums are exact on the grid, so a matrix product may add them up in any order.
    sums = heavy.reshape(-1, len(weight)) @ both
    sums = sums.reshape(2 * kinds, len(SOURCES), entries, len(TARGETS), others)
    total, own = np.split(sums[:, _PICK[0], :, _PICK[1], :].swapaxes(0, 1), 2)
    whole = heavy.sum(axis=2)[_PICK[0], :, None] + 0.5
    weighed = (1 - found) * weight[:, None, None]
    miss = _heaviest(np.maximum.reduceat(weighed, rows.starts, axis=1).reshape(kinds, entries, 4, len(TARGETS), others))
    return total / whole, own / whole, miss / 8, total


def _belonging(rows: Rows) -> Array:
    """Which words belong to which source of which entry: 1 or 0 by source, entry, word."""
    lengths = np.diff([*rows.starts, len(rows.owners)])
    segment = np.repeat(np.tile(np.arange(4), len(rows.starts) // 4), lengths)
    mine = rows.owners == np.arange(len(rows.starts) // 4)[:, None]
    return np.asarray(_MADE_OF[:, None, segment] * mine, dtype=np.float64)


def _heaviest(segments: Array) -> Array:
    """The largest of the segments of each source, for the wanted combinations of source and target."""
    head, tail, name, options = (segments[:, :, at] for at in range(4))
    part = np.maximum(head, tail)
    title = np.maximum(part, name)
    stacked = np.stack((head, tail, part, name, title, options, np.maximum(title, options)), axis=1)
    picked: Array = stacked[:, _PICK[0], :, _PICK[1], :].swapaxes(0, 1)
    return picked


def rivals(values: Array) -> Array:
    """For each value the largest of the others along the last axis; 0 where there are no others."""
    if values.shape[-1] < 2:
        return np.zeros_like(values)
    first = values[..., 0]
    second = np.full_like(first, -np.inf)
    for at in range(1, values.shape[-1]):
        column = values[..., at]
        second = np.maximum(second, np.minimum(first, column))
        first = np.maximum(first, column)
    return np.where(values >= first[..., None], second[..., None], first[..., None])


def contrast(values: Array) -> Array:
    """How far a value stands out in its row and in its column: above the better, and above the lesser of the two best
    alternatives; by kind, these two, combination, gold entry, plan entry."""
    row, column = rivals(values), rivals(values.swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.stack((values - np.maximum(row, column), values - np.minimum(row, column)), axis=1)
