"""Takes features and a Calibration, gives probabilities and reasons.

Two logistic models: the first says whether two entries share a part, the second whether they match fully once they do;
their product is the probability of a full match, so that a match is never likelier than its part. Weights and features
lie on grids on which sums are exact (see `similarity`), so no order of entries changes a bit of a probability.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.matching.features import FEATURES, Features
from evalkit.matching.features.reasons import NEEDED, told
from evalkit.types import Thresholds

SCHEMA_VERSION = 1
Matrix = NDArray[np.float64]
Evidence = tuple[tuple[str, float], ...]
GRID = 2.0**20
NOTICED = 0.25  # log-odds that a reason must have added to be told


Reasons = tuple[tuple[str, ...], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]
Key = TypeVar("Key")
Made = TypeVar("Made")


def _by_identity(make: Callable[[Key, tuple[str, ...]], Made]) -> Callable[[Key, tuple[str, ...]], Made]:
    """Remembers what was made of the last few models; they hold tables, so they are known by being the same object."""
    made: OrderedDict[tuple[int, tuple[str, ...]], tuple[Key, Made]] = OrderedDict()

    def known(one: Key, names: tuple[str, ...]) -> Made:
        key = (id(one), names)
        found = made.get(key)
        if found is None or found[0] is not one:
            found = made[key] = one, make(one, names)
            while len(made) > 16:
                made.popitem(last=False)
        return found[1]

    return known


@dataclass(frozen=True, slots=True)
class Linear:
    """A logistic model: weights of features, the intercept, and from where reasons are told: the feature of a pair
    half-way between those that the model says yes to and the others."""

    weights: Mapping[str, float]
    middle: Mapping[str, float]
    intercept: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How features become probabilities, from which probability on they count, and where that comes from."""

    id: str
    matcher: str
    thresholds: Thresholds
    part: Linear
    match: Linear
    versions: Mapping[str, int]
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)


def dump_calibration(calibration: Calibration) -> str:
    """A calibration as JSON, for people and for `load_calibration`."""
    return json.dumps({"schema_version": SCHEMA_VERSION} | asdict(calibration), indent=1, ensure_ascii=False) + "\n"


def load_calibration(text: str, path: str) -> Calibration:
    """A calibration from JSON; one that this version cannot honour is an InputError."""
    try:
        table = json.loads(text)
        version = table.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(f"{path}: schema_version {version}, expected {SCHEMA_VERSION}; fit it anew")
        table["thresholds"] = Thresholds(**table["thresholds"])
        table["part"], table["match"] = Linear(**table["part"]), Linear(**table["match"])
        calibration = Calibration(**table)
        _check(calibration, path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a calibration ({error}); make one with `evalkit calibrate`") from error
    return calibration


def _check(calibration: Calibration, path: str) -> None:
    """Its numbers must be some, and every feature it weighs must exist here, in the version it was fitted with."""
    models = (calibration.part, calibration.match)
    weighed = (value for model in models for value in (model.intercept, *model.weights.values()))
    told = (value for model in models for value in model.middle.values())
    for value in (*astuple(calibration.thresholds), *weighed, *told):
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


def probabilities(seen: Features, calibration: Calibration) -> tuple[Matrix, Matrix]:
    """The probability of a shared part and of a full match, for every pair, to six decimals."""
    part, match = chances(seen, calibration.part, calibration.match)
    return np.round(part, 6), np.round(match, 6)


def chances(seen: Features, part: Linear, match: Linear) -> tuple[Matrix, Matrix]:
    """Both probabilities by these two models; where gold leaves open what is done, sharing the part is matching."""
    shared, given = sigmoid(scores(seen, part)), sigmoid(scores(seen, match))
    if seen.unspecified is not None:
        given = np.where(seen.unspecified, 1.0, given)
    return shared, shared * given


def scores(seen: Features, model: Linear) -> Matrix:
    """The log-odds of every pair by one model."""
    return seen.values @ _weights(model, seen.names) + model.intercept


@_by_identity
def _weights(model: Linear, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The weights of these features, on a grid."""
    if missing := model.weights.keys() - set(names):
        raise InputError(f"the calibration needs {sorted(missing)[0]!r}, which needs an embedding model; give one")
    weights: NDArray[np.float64] = np.round(np.array([model.weights.get(name, 0.0) for name in names]) * GRID) / GRID
    return weights


def sigmoid(values: Matrix) -> Matrix:
    """Log-odds to probabilities."""
    return 1 / (1 + np.exp(-values))


def explain(seen: Features, calibration: Calibration, places: Sequence[tuple[int, int]]) -> list[Evidence]:
    """Of each of these pairs the three reasons that spoke most for a match and the three that spoke most against.

    Features of one reason are told together; its number is what they add to the log-odds, against a pair half-way.
    """
    if not places:
        return []
    reasons, columns, weights, middle = _reasons(calibration, seen.names)
    values = seen.values[tuple(np.array(places).T)]
    # Accumulated one after another, so that a sum is the same to the last bit however many reasons there are.
    added = values[:, columns]
    added -= middle
    added *= weights
    sums = np.add.accumulate(added, axis=1)[:, -1].tolist()
    needed = values[:, _needed(seen.names)].tolist()
    return [_told(reasons, *one) for one in zip(sums, needed, strict=True)]


def _told(reasons: Sequence[str], sums: Sequence[float], needed: Sequence[float]) -> Evidence:
    """What is worth telling of one pair, what speaks for it first."""
    near = [(value, reason) for value, reason in zip(sums, reasons, strict=True) if abs(value) > NOTICED - 0.001]
    ranked = sorted([(added, why) for value, why in near if abs(added := round(value, 3)) >= NOTICED], reverse=True)
    chosen = [found for found in ranked[:3] if found[0] > 0] + [found for found in ranked[:-4:-1] if found[0] < 0]
    return tuple([(told(reason, needed, speaks_for=value > 0), value) for value, reason in chosen])


@lru_cache(maxsize=4)
def _needed(names: tuple[str, ...]) -> list[int]:
    """Where the features stand that decide how a reason is put."""
    return [names.index(name) for name in NEEDED]


@_by_identity
def _reasons(calibration: Calibration, names: tuple[str, ...]) -> Reasons:
    """The reasons of a calibration's features, and a column of places, weights, middles for each, filled up with 0."""
    place = {name: at for at, name in enumerate(names)}
    table: dict[str, list[tuple[int, float, float]]] = {}
    for model in (calibration.part, calibration.match):
        for name, weight in model.weights.items():
            table.setdefault(FEATURES[name].reason, []).append((place[name], weight, model.middle[name]))
    longest = max(map(len, table.values()), default=1)
    filled = [row + [(0, 0.0, 0.0)] * (longest - len(row)) for row in table.values()]
    rows = np.array(filled, dtype=np.float64).reshape(-1, longest, 3)  # a calibration may weigh nothing
    places, weights, middles = (np.ascontiguousarray(rows[..., at].T) for at in range(3))
    return tuple(table), places.astype(np.intp), weights, middles
