"""Agreement of several raters about the same units, beyond chance.

Ratings are nominal; None is a missing rating (a rater who abstained). No agreement to speak of is None, never 0 or 1:
raters who all said the same about everything leave nothing that chance could be told from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

Rating = Hashable | None


def krippendorff_alpha(units: Iterable[Sequence[Rating]]) -> float | None:
    """Return Krippendorff's alpha for nominal data; units with fewer than two ratings do not count."""
    totals: Counter[Hashable] = Counter()
    disagreement = 0.0
    for unit in units:
        ratings = Counter(rating for rating in unit if rating is not None)
        size = ratings.total()
        if size < 2:
            continue
        for rating, count in ratings.items():
            totals[rating] += count
            disagreement += count * (size - count) / (size - 1)
    n = totals.total()
    expected = (n * n - sum(count * count for count in totals.values())) / (n - 1) if n > 1 else 0.0
    return 1 - disagreement / expected if expected else None


def cohen_kappa(first: Sequence[Rating], second: Sequence[Rating]) -> float | None:
    """Return Cohen's kappa of two raters over the units that both rated."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not both:
        return None
    n = len(both)
    observed = sum(a == b for a, b in both) / n
    counts = Counter(a for a, _ in both), Counter(b for _, b in both)
    chance = sum(counts[0][rating] * counts[1][rating] for rating in counts[0]) / (n * n)
    return (observed - chance) / (1 - chance) if chance < 1 else None
