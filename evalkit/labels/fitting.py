"""Fit a calibration to labelled pairs: models by scikit-learn, thresholds and figures from held-out papers.

Everything that is reported was predicted for papers that the models had not seen. Thresholds are chosen on held-out
predictions, and the F1 that is reported uses for each fold the threshold that the other folds chose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError, install_command
from evalkit.labels.evaluate import (
    Prediction,
    Vectors,
    balanced_threshold,
    by_task,
    decisions,
    ranking,
    reliability,
    risk_coverage,
)
from evalkit.labels.guarantee import guaranteed_band
from evalkit.matching.calibration import (
    WRITTEN,
    Calibration,
    LogisticModel,
    Models,
    dump_calibration,
    model_probabilities,
)
from evalkit.matching.features import FEATURES, Features, features
from evalkit.matching.rules import Need, Needs
from evalkit.storage.label_files import LabelledPlan
from evalkit.types import Thresholds

FOLDS = 5
BORDERLINE_SHARE = 0.07  # of all pairs, the nearest to the threshold
WRITTEN_WEIGHT = 4.0  # how often these count when a threshold is chosen
FAMILIES = {
    "hybrid": ("lexical", "embedding", "logic"),
    "lexical": ("lexical", "logic"),
    "embedding": ("embedding", "logic"),
}
# Inverse strength of the ridge penalty on standardised features; figures are flat within a factor of three.
PENALTY = {"part": 0.005, "removal": 0.03, "overlap": 0.03}
# What the two models of options see: few pairs share a part, and what they are about says little on whether they match
# fully. Actions and options do, and how much of the words of either side is found again.
OPTION_FEATURES = re.compile(
    r"options\.|removal\.|act\.|sweep\.|option\.|part\.|phrase\.|name\.|list\."
    r"|(?:word|meaning)\.(?:options>\w+|part>part|title>title|head>head)\.(?:mean|least|sum)$"
)
SEEN_BY: Mapping[str, Callable[[str], object]] = {
    "part": lambda feature: not feature.startswith("removal."),
    "removal": OPTION_FEATURES.match,
    "overlap": OPTION_FEATURES.match,
}

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """All labelled pairs in one table: `values` are `[pair, feature]`, the rest `[pair]`; `folds` are of their papers,
    `needs` says what a pair needs to match, and `weights` how much it counts when thresholds are chosen."""

    names: tuple[str, ...]
    values: Array
    part: NDArray[np.bool_]
    match: NDArray[np.bool_]
    folds: NDArray[np.intp]
    needs: Needs
    unnamed: Flags
    weights: Array

    def seen(self, rows: Flags | slice = slice(None)) -> Features:
        """Return some of the pairs, as a matcher sees them."""
        return Features(self.names, self.values[rows], self.needs[rows], self.unnamed[rows])

    def targets(self) -> dict[str, tuple[Flags, Flags]]:
        """Return what each model predicts, and of which pairs, both `[pair]`."""
        return {
            "part": (self.part, np.ones(len(self.part), np.bool_)),
            "removal": (self.match, self.part & (self.needs == Need.REMOVAL)),
            "overlap": (self.match, self.part & (self.needs == Need.OVERLAP)),
        }


def fold_of(paper: str, seed: str = "") -> int:
    """Return the fold of a paper, from its name alone, so that new labels move no old paper."""
    return int(hashlib.sha256((seed + paper).encode()).hexdigest(), 16) % FOLDS


def table_of(rows: Sequence[LabelledPlan], matcher: str, vectors: Vectors | None, seed: str = "") -> Pairs:
    """Return the decided pairs of all rows with the features that this matcher uses."""
    tables = [features(row.gold, row.plan, vectors) for row in rows]
    names = tuple(name for name in tables[0].names if FEATURES[name].family in FAMILIES[matcher])
    columns = [tables[0].names.index(name) for name in names]
    known = [row.known_table for row in rows]

    def decided(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([array[where] for array, where in zip(arrays, known, strict=True)])

    return Pairs(
        names,
        np.concatenate([t.values[where][:, columns] for t, where in zip(tables, known, strict=True)]),
        decided(row.part_table for row in rows),
        decided(row.match_table for row in rows),
        np.repeat([fold_of(row.paper, seed) for row in rows], [int(where.sum()) for where in known]),
        decided(table.needs for table in tables),
        decided(table.unnamed for table in tables),
        np.repeat([WRITTEN_WEIGHT if row.task == WRITTEN else 1.0 for row in rows], [int(one.sum()) for one in known]),
    )


def _regression() -> Any:
    """Return what fits a logistic model."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise InputError(f"fitting a matcher needs scikit-learn: {install_command('calibrate')}") from error
    return LogisticRegression


def fit_linear(names: Sequence[str], values: Array, truth: NDArray[np.bool_], penalty: float) -> LogisticModel:
    """Fit a ridge-penalised logistic model, its scaler folded into its weights.

    Reasons start from the pair half-way between those that do and those that do not: from the average, which is no
    match, most reasons would speak for any pair.
    """
    means, spread = values.mean(axis=0), values.std(axis=0)
    used = spread > 1e-9
    scaled = (values[:, used] - means[used]) / spread[used]
    fitted = _regression()(C=penalty, solver="newton-cholesky", max_iter=50, tol=1e-6).fit(scaled, truth)
    weights = np.round(fitted.coef_[0] / spread[used], 6)
    intercept = float(fitted.intercept_[0] - weights @ means[used])
    names = [name for name, use in zip(names, used, strict=True) if use]
    middle = np.round((values[truth].mean(axis=0) + values[~truth].mean(axis=0))[used] / 2, 6)
    return LogisticModel(
        dict(zip(names, weights.tolist(), strict=True)),
        dict(zip(names, middle.tolist(), strict=True)),
        round(intercept, 6),
    )


def fit(pairs: Pairs, train: Flags, penalty: Mapping[str, float] = PENALTY) -> Models:
    """Fit to the pairs in `train`; the models of options to those that share a part and need such an option."""
    require_both(pairs.part[train], "share a part")
    require_both(pairs.match[train & pairs.part], "match, of those that share a part")
    models = {}
    for name, (truth, where) in pairs.targets().items():
        columns = [column for column, feature in enumerate(pairs.names) if SEEN_BY[name](feature)]
        rows = train & where
        few = truth[rows].all() or not truth[rows].any()
        names, values = [pairs.names[column] for column in columns], pairs.values[:, columns][rows]
        models[name] = constant(truth[rows]) if few else fit_linear(names, values, truth[rows], penalty[name])
    return Models(**models)


def constant(truth: Flags) -> LogisticModel:
    """Return a model that knows no feature: the odds of labels that all say the same, one of each kind added."""
    return LogisticModel({}, {}, round(float(np.log((truth.sum() + 1) / ((~truth).sum() + 1))), 6))


def require_both(truth: Flags, what: str) -> None:
    """Refuse labels that say the same of every pair."""
    if len(truth) == 0 or truth.all() or not truth.any():
        raise InputError(
            f"{'all' if truth.any() else 'none'} of {len(truth)} labelled pairs {what}; a matcher is fitted to pairs "
            "that do and pairs that do not, each in several papers, because papers are held out in turn"
        )


def predict(pairs: Pairs, models: Models) -> tuple[Array, Array]:
    """Return the probabilities `[pair]` of a shared part and of a match."""
    return model_probabilities(pairs.seen(), models)


def held_out(pairs: Pairs, penalty: Mapping[str, float] = PENALTY) -> tuple[Array, Array]:
    """Return both probabilities `[pair]`, from models that saw no pair of its paper."""
    part, match = np.zeros(len(pairs.folds)), np.zeros(len(pairs.folds))
    for fold in np.unique(pairs.folds):
        out = pairs.folds == fold
        for target, predicted in zip((part, match), predict(pairs, fit(pairs, ~out, penalty)), strict=True):
            target[out] = predicted[out]
    return part, match


def calibrate(
    rows: Sequence[LabelledPlan],
    matcher: str,
    vectors: Vectors | None,
    fitted_on: Mapping[str, Any],
    guarantee: float | None = None,
) -> Calibration:
    """Fit one matcher to these rows, with its own cross-validated figures; `guarantee` chooses the band of doubt."""
    _regression()  # whether it is here shows before anything is computed
    papers = {row.paper for row in rows}
    if len(papers) < 2 * FOLDS:
        raise InputError(
            f"{len(papers)} papers are labelled, expected {2 * FOLDS} or more: papers are held out in {FOLDS} folds"
        )
    pairs = table_of(rows, matcher, vectors)
    part, match = held_out(pairs)
    models = fit(pairs, np.ones(len(part), dtype=bool))
    limits, promise = thresholds_of(pairs, part, match), {}
    if guarantee is not None:
        place = np.unique([row.paper for row in rows for _ in range(int(row.known_table.sum()))], return_inverse=True)[
            1
        ]
        low, high, facts = guaranteed_band(match, pairs.match, place, limits.match, guarantee)
        limits, promise = replace(limits, low=low, high=high), {"guarantee": facts}
    unnamed = Calibration(
        "", matcher, limits, models,
        {name: FEATURES[name].version for name in pairs.names if name in models.features},
        {**fitted_on, "papers": len(papers), "rows": len(rows), "pairs": len(part), "penalty": PENALTY},
        {
            "folds": FOLDS,
            "part": figures(pairs, part, pairs.part, np.ones(len(part))),
            "match": figures(pairs, match, pairs.match, pairs.weights),
            "by_task": by_task(predictions(rows, pairs, part, match)),
            **promise,
        },
    )  # fmt: skip
    return with_id(unnamed)


def predictions(rows: Sequence[LabelledPlan], pairs: Pairs, part: Array, match: Array) -> list[Prediction]:
    """Return held-out probabilities as predictions, each fold decided by the thresholds that the others chose."""
    limits = {fold: thresholds_of(pairs, part, match, pairs.folds != fold) for fold in range(FOLDS)}
    result, start = [], 0
    for row in rows:
        known = row.known_table
        pieces = slice(start, start := start + int(known.sum()))
        tables = np.zeros((2, *known.shape))
        tables[:, known] = part[pieces], match[pieces]
        result.append(Prediction(row, tables[0], tables[1], limits[fold_of(row.paper)]))
    return result


def with_id(calibration: Calibration) -> Calibration:
    """Return a calibration with the id that its content gives it."""
    digest = hashlib.sha256(dump_calibration(replace(calibration, id="")).encode()).hexdigest()[:10]
    return replace(calibration, id=f"{calibration.matcher}-{digest}")


def thresholds_of(pairs: Pairs, part: Array, match: Array, some: Flags | slice = slice(None)) -> Thresholds:
    """Return the thresholds by held-out predictions, and the borderline band around the match threshold."""
    part, match, weights = part[some], match[some], pairs.weights[some]
    limit = balanced_threshold(match, pairs.match[some], weights)
    nearest = np.sort(match[np.argsort(np.abs(match - limit), kind="stable")[: round(BORDERLINE_SHARE * len(match))]])
    low, high = round(float(nearest[0]), 3), round(float(nearest[-1]), 3)
    of_parts = balanced_threshold(part, pairs.part[some], np.ones(len(part)))
    # A match shares its part: the threshold of parts is not the higher one.
    return Thresholds(min(of_parts, limit), limit, low, high)


def figures(pairs: Pairs, chances: Array, truth: Flags, weights: Array) -> dict[str, Any]:
    """Measure held-out predictions; each fold is decided by the threshold that the other folds chose."""
    decided = np.zeros(len(chances), dtype=bool)
    for fold in np.unique(pairs.folds):
        out = pairs.folds == fold
        decided[out] = chances[out] >= balanced_threshold(chances[~out], truth[~out], weights[~out])
    result = decisions(decided, truth) | ranking(chances, truth)
    curve = risk_coverage(chances, truth, balanced_threshold(chances, truth, weights))
    return result | {"reliability": reliability(chances, truth), "risk_coverage": curve}
