"""Prediction-powered inference: sums of an automatic matcher corrected by labels of a random sample of papers.

Source: Angelopoulos, Duchi and Zrnic, PPI++, arXiv 2311.01453.
"""

from __future__ import annotations

import numpy as np

from evalkit.stats.measures import Array, Flags, divide


def corrected_sums(
    automatic: Array, truth: Array, labelled: Flags, doubtful: Flags | None = None
) -> tuple[Array, Array]:
    """Return prediction-powered numerators [papers, planners, k] and their lambda [planners, k].

    Their total is lambda * sum_all(automatic) + (N / n) * sum_labelled(truth - lambda * automatic), which is unbiased
    when the n labelled papers are a random sample of the N. `truth` is read on labelled papers only. lambda is the
    slope of truth on automatic over the labelled papers, clipped to [0, 1]: it has the least variance, also for a
    ratio to known denominators, whose covariances with `automatic` cancel. Join the denominators to the sums and give
    `intervals` the same `labelled`; permutation tests are not valid for such sums.

    `doubtful` [papers, planners] is where labels can change anything; elsewhere (no plan, no gold) `automatic` is the
    truth, and such papers count neither among the N nor among the n, whether they were sampled or not.
    """
    doubtful = np.ones(automatic.shape[:2], dtype=np.bool_) if doubtful is None else doubtful
    sampled = doubtful & labelled[:, None]
    n = sampled.sum(axis=0).astype(np.float64)
    scale = np.nan_to_num(divide(doubtful.sum(axis=0).astype(np.float64), n))
    inside = sampled[:, :, None]
    known, guessed = np.where(inside, truth, 0.0), np.where(inside, automatic, 0.0)
    centred = np.where(inside, automatic - divide(guessed.sum(axis=0), n[:, None]), 0.0)
    slope = divide((centred * known).sum(axis=0), (centred**2).sum(axis=0))
    weight = np.clip(np.nan_to_num(slope), 0.0, 1.0)
    sums = np.where(doubtful[:, :, None], weight, 1.0) * automatic
    return sums + scale[:, None] * (known - weight * guessed), weight
