"""Simulate the corrected share of matches of a judge that errs: how often its interval holds the truth, its width.

.venv/bin/python scripts/simulate_judge_rate.py
"""

from __future__ import annotations

import numpy as np

from evalkit.stats import Share, corrected_rate, wilson

DRAWS = 2000
SIZES = ((100, 20, 20), (300, 30, 60), (300, 100, 100), (1000, 50, 200))  # judged pairs; labelled matches, others
JUDGES = ((0.95, 0.95), (0.8, 0.9), (0.7, 0.7), (1.0, 0.9))
TRUTHS = (0.05, 0.3, 0.6, 0.95)


def covered(size: tuple[int, int, int], judge: tuple[float, float], rng: np.random.Generator) -> tuple[float, ...]:
    """Return how often the corrected and the uncorrected interval hold the truth, at the worst one, and the width."""
    found = []
    for truth in TRUTHS:
        says = truth * judge[0] + (1 - truth) * (1 - judge[1])
        hits = [rng.binomial(n, p, DRAWS) / n for n, p in zip(size, (says, *judge), strict=True)]
        inside, plain, width = 0, 0, 0.0
        for shares in zip(*hits, strict=True):
            corrected = corrected_rate(*(Share(float(value), n) for value, n in zip(shares, size, strict=True)))
            _, low, high = corrected or (0.0, 0.0, 1.0)
            inside, width = inside + (low <= truth <= high), width + high - low
            low, high = wilson(float(shares[0]), size[0])
            plain += low <= truth <= high
        found.append((inside / DRAWS, plain / DRAWS, width / DRAWS))
    least, worst, widths = zip(*found, strict=True)
    return min(least), min(worst), float(np.mean(widths))


def main() -> None:
    """Print one line for each number of labels and each judge."""
    rng = np.random.default_rng(0)
    print("judged, labelled yes, no | sensitivity, specificity | covered: corrected, uncorrected | width")
    for size in SIZES:
        for judge in JUDGES:
            least, plain, width = covered(size, judge, rng)
            print(f"{size} | {judge} | {least:.1%} {plain:.1%} | {width:.2f}")


if __name__ == "__main__":
    main()
