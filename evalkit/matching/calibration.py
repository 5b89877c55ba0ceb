"""Calibrations: the two fitted models of a matcher, its thresholds and where they come from, and their JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from evalkit.errors import InputError
from evalkit.matching.features import FEATURES
from evalkit.types import Thresholds

SCHEMA_VERSION = 1


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
    """How features become probabilities, from which probability on they count, and where that comes from."""

    id: str
    matcher: str
    thresholds: Thresholds
    part: LogisticModel
    match: LogisticModel
    versions: Mapping[str, int]
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)

    __hash__ = object.__hash__


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
        if (fitted := calibration.versions.get(name)) != FEATURES[name].version:
            here = FEATURES[name].version
            raise InputError(
                f"{path}: feature {name!r} is version {here} here, the calibration has {fitted}; fit it anew"
            )
    for model in models:
        if without := model.weights.keys() - model.middle.keys():
            raise ValueError(f"no middle for {min(without)!r}")
    if not isinstance(calibration.fitted_on, Mapping):
        raise TypeError("fitted_on is not a table")
