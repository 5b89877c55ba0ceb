"""Turn features of pairs into probabilities by a calibration: two fitted models, thresholds, where they come from.

Two logistic models: the first says whether two entries share a part, the second whether they match fully once they do;
their product is the probability of a full match, so that a match is never likelier than its part. Weights and features
lie on grids on which sums are exact (see `features`), so no order of entries changes a bit of a probability.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.matching.features import FEATURES, Features
from evalkit.types import Thresholds

SCHEMA_VERSION = 1
GRID = 2.0**20
Matrix = NDArray[np.float64]  # [gold, plan]


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """Weights of features and the intercept; `middle` is the feature of a pair half-way between those that the model
    says yes to and the others, from which reasons are counted."""

    weights: Mapping[str, float]
    middle: Mapping[str, float]
    intercept: float

    __hash__ = object.__hash__  # a model holds tables: caches know it by being the same object


@dataclass(frozen=True, slots=True)
class Calibration:
    """Two logistic models, the thresholds of their probabilities, and the labels that they were fitted on."""

    id: str
    matcher: str
    thresholds: Thresholds
    part: LogisticModel
    match: LogisticModel
    versions: Mapping[str, int]
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)

    __hash__ = object.__hash__


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


def dump_calibration(calibration: Calibration) -> str:
    """Return a calibration as JSON, for people and for `load_calibration`."""
    return json.dumps({"schema_version": SCHEMA_VERSION} | asdict(calibration), indent=1, ensure_ascii=False) + "\n"


def load_calibration(text: str, path: str) -> Calibration:
    """Return a calibration from JSON; raise InputError for one that this version cannot honour."""
    try:
        table = json.loads(text)
        version = table.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(f"{path}: schema_version {version}, expected {SCHEMA_VERSION}; fit it anew")
        table["thresholds"] = Thresholds(**table["thresholds"])
        table["part"], table["match"] = LogisticModel(**table["part"]), LogisticModel(**table["match"])
        calibration = Calibration(**table)
        _check(calibration, path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a calibration ({error}); make one with `evalkit calibrate`") from error
    return calibration


def _check(calibration: Calibration, path: str) -> None:
    """Check that its numbers are finite, and that its features exist here in the version it was fitted with."""
    models = (calibration.part, calibration.match)
    weights = (value for model in models for value in (model.intercept, *model.weights.values()))
    middles = (value for model in models for value in model.middle.values())
    for value in (*astuple(calibration.thresholds), *weights, *middles):
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r:.40} is not a finite number")
    for name in {**calibration.part.weights, **calibration.match.weights}:
        if name not in FEATURES:
            raise InputError(f"{path}: feature {name!r} does not exist in this version of evalkit; fit it anew")
        fitted, here = calibration.versions.get(name), FEATURES[name].version
        if fitted != here:
            message = f"feature {name!r} is version {here} here, the calibration has {fitted}; fit it anew"
            raise InputError(f"{path}: {message}")
    for model in models:
        if without := model.weights.keys() - model.middle.keys():
            raise ValueError(f"no middle for {min(without)!r}")
    if not isinstance(calibration.fitted_on, Mapping):
        raise TypeError("fitted_on is not a table")
