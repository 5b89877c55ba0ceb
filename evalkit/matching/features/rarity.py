"""Tell how rare a stem is among the papers of the field.

The counts ship with the package (`rarity.json`): in how many of the labelled papers a stem stands, over the entries of
all reference lists and plans of the paper; no label was used. Where they come from is written in that file.
"""

from __future__ import annotations

import json
import math
from functools import cache, lru_cache

from evalkit.storage.files import read_text, shipped

STEP = 64  # weights are multiples of 1/64, so that sums of their products are exact in any order


@cache
def _counts() -> tuple[int, dict[str, int]]:
    table = json.loads(read_text(shipped("matching/features/rarity.json")))
    return table["papers"], table["stems"]


@lru_cache(maxsize=65536)
def rarity(stem: str) -> float:
    """Return the logarithm of the papers for one that has the stem; 0 for the empty row of a segment."""
    if not stem:
        return 0.0
    papers, counts = _counts()
    return round(math.log((papers + 1) / (counts.get(stem, 0) + 1)) * STEP) / STEP
