"""Turn features of pairs into probabilities by a calibration.

Two logistic models: the first says whether two entries share a part, the second whether they match fully once they do;
their product is the probability of a full match, so that a match is never likelier than its part. Weights and features
lie on grids on which sums are exact (see `features`), so no order of entries changes a bit of a probability.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.matching.calibration import Calibration, LogisticModel
from evalkit.matching.features import Features

Matrix = NDArray[np.float64]  # [gold, plan]
GRID = 2.0**20


def probabilities(features: Features, calibration: Calibration) -> tuple[Matrix, Matrix]:
    """Return the probabilities of a shared part and of a full match of every pair, to six decimals."""
    part, match = model_probabilities(features, calibration.part, calibration.match)
    return np.round(part, 6), np.round(match, 6)


def model_probabilities(features: Features, part: LogisticModel, match: LogisticModel) -> tuple[Matrix, Matrix]:
    """Return both probabilities by these models; where gold leaves open what is done, sharing the part is matching."""
    shared, match_given_part = sigmoid(log_odds(features, part)), sigmoid(log_odds(features, match))
    if features.unspecified is not None:
        match_given_part = np.where(features.unspecified, 1.0, match_given_part)
    return shared, shared * match_given_part


def log_odds(features: Features, model: LogisticModel) -> Matrix:
    """Return the log-odds of every pair by one model."""
    return features.values @ _weights(model, features.names) + model.intercept


@lru_cache(maxsize=16)
def _weights(model: LogisticModel, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the weights of these features, on a grid."""
    if missing := model.weights.keys() - set(names):
        raise InputError(f"the calibration needs {sorted(missing)[0]!r}, which needs an embedding model; give one")
    weights: NDArray[np.float64] = np.round(np.array([model.weights.get(name, 0.0) for name in names]) * GRID) / GRID
    return weights


def sigmoid(values: Matrix) -> Matrix:
    """Return the probabilities of log-odds."""
    return 1 / (1 + np.exp(-values))
