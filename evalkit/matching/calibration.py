"""Turn features of pairs into probabilities by a calibration: three fitted models, thresholds, where they come from.

The first model says whether two entries share a part. What a pair that does still needs to match, its actions say (see
`rules`): an option that amounts to removing the part, or an option that both have, each by a model of its own. The
product is the probability of a full match, so that a match is never likelier than its part. Weights and features lie on
grids on which sums are exact (see `features`), so no order of entries changes a bit of a probability.
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
from evalkit.matching.rules import UNNAMED_COST, Need
from evalkit.storage.schema import COUNT, GUARANTEE, LINE, NOTHING, check_shape, numbers
from evalkit.text import readable
from evalkit.types import Thresholds

WRITTEN = "reference"  # the task of labelled rows whose gold was written, the kind of gold that users have
SCHEMA_VERSION = 2
GRID = 2.0**20
WEIGHT = numbers(-1e6, 1e6)
DEVIATION = (numbers(0, 1), NOTHING)
HELD_OUT = {"rows": COUNT, "papers": COUNT, "planners": {"planner_sd?": DEVIATION, "paper_sd?": DEVIATION}}
# The fields of a calibration other than its models.
SHAPE = {
    "id": LINE, "matcher": LINE, "versions": {str: COUNT}, "fitted_on": {"labels?": ([{"sha256": LINE}], LINE)},
    "cross_validation": {"by_task?": {str: HELD_OUT}, "guarantee?": GUARANTEE},
}  # fmt: skip
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
class Models:
    """Whether two entries share a part; and, of entries that do, whether an option amounts to removing it, and whether
    an option of the one is an option of the other."""

    part: LogisticModel
    removal: LogisticModel
    overlap: LogisticModel

    def of(self, need: Need) -> tuple[LogisticModel, ...]:
        """Return the models that decide on a pair with this need."""
        return (self.part, *({Need.REMOVAL: (self.removal,), Need.OVERLAP: (self.overlap,)}.get(need, ())))

    @property
    def features(self) -> set[str]:
        """The names of all features that have a weight."""
        return {*self.part.weights, *self.removal.weights, *self.overlap.weights}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted models, the thresholds of their probabilities, and the labels that they were fitted on."""

    id: str
    matcher: str
    thresholds: Thresholds
    models: Models
    versions: Mapping[str, int]
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)

    __hash__ = object.__hash__


def expected_error(calibration: Calibration, papers: int) -> dict[str, Any] | None:
    """Return how far a planner's match F1 over this many papers is expected to be off, and where that was measured.

    The error is that of held-out papers with written gold; without any in the labels it is not known. Errors are taken
    as normal: a planner's own, and one of each paper.
    """
    written = calibration.cross_validation.get("by_task", {}).get(WRITTEN)
    spread = written["planners"] if written else {}
    if not papers or spread.get("paper_sd") is None:
        return None
    deviation = math.sqrt(spread["planner_sd"] ** 2 + spread["paper_sd"] ** 2 / papers)
    return {
        "match_f1": round(math.sqrt(2 / math.pi) * deviation, 4),
        "papers": papers,
        "measured_on": f"{written['rows']} labelled plans of {written['papers']} held-out papers with written gold",
    }


def probabilities(features: Features, calibration: Calibration) -> tuple[Matrix, Matrix]:
    """Return the probabilities of a shared part and of a full match of every pair, to six decimals."""
    part, match = model_probabilities(features, calibration.models)
    return np.round(part, 6), np.round(match, 6)


def model_probabilities(features: Features, models: Models) -> tuple[Matrix, Matrix]:
    """Return both probabilities by these models and by the rules."""
    part = sigmoid(log_odds(features, models.part) - UNNAMED_COST * features.unnamed)
    match = part.copy()
    match[features.needs == Need.IMPOSSIBLE] = 0.0
    for need, model in ((Need.REMOVAL, models.removal), (Need.OVERLAP, models.overlap)):
        needed = features.needs == need
        match[needed] *= sigmoid(log_odds(features, model))[needed]
    return part, match


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


@lru_cache(maxsize=8)
def load_calibration(text: str, path: str) -> Calibration:
    """Return a calibration from JSON; raise InputError for one that this version cannot honour.

    One that was read is not read again: checking it takes as long as scoring a short plan.
    """
    try:
        table = json.loads(text)
        version = table.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(f"{path}: schema_version {version}, expected {SCHEMA_VERSION}; fit it anew")
        table["thresholds"] = Thresholds(**table["thresholds"])
        table["models"] = Models(**{name: LogisticModel(**model) for name, model in table["models"].items()})
        calibration = Calibration(**table)
        _check(calibration, path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = readable(str(error))  # it may name a key
        raise InputError(f"{path}: not a calibration ({reason}); make one with `evalkit calibrate`") from error
    return calibration


def _check(calibration: Calibration, path: str) -> None:
    """Check that its numbers are finite, and that its features exist here in the version it was fitted with."""
    check_shape({name: getattr(calibration, name) for name in SHAPE}, SHAPE, "it")
    models = (calibration.models.part, calibration.models.removal, calibration.models.overlap)
    weights = (value for model in models for value in (model.intercept, *model.weights.values()))
    middles = (value for model in models for value in model.middle.values())
    for value in (*astuple(calibration.thresholds), *weights, *middles):
        check_shape(value, WEIGHT, "a weight or threshold")
    for name in sorted(calibration.models.features):
        if name not in FEATURES:
            raise InputError(f"{path}: feature {name!r} does not exist in this version of evalkit; fit it anew")
        fitted, here = calibration.versions.get(name), FEATURES[name].version
        if fitted != here:
            message = f"feature {name!r} is version {here} here, the calibration has {fitted}; fit it anew"
            raise InputError(f"{path}: {message}")
    for model in models:
        if without := model.weights.keys() - model.middle.keys():
            raise ValueError(f"no middle for {min(without)!r}")
