"""Takes labelled pairs, gives a Calibration: models by scikit-learn, thresholds and figures from held-out papers.

Everything that is reported was predicted for papers that the models had not seen. Thresholds are chosen on held-out
predictions, and the F1 that is reported uses for each fold the threshold that the other folds chose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.labels import pair_metrics
from evalkit.matching import probability
from evalkit.matching.calibration import Calibration, LogisticModel, dump_calibration
from evalkit.matching.features import FEATURES, Features, features
from evalkit.matching.features.vectors import TextVectors
from evalkit.storage.label_files import LabelledPlan
from evalkit.types import Thresholds

FOLDS = 5
DOUBT = 0.07  # the band of doubt holds this share of pairs, the nearest to the threshold
FAMILIES = {
    "hybrid": ("lexical", "embedding", "logic"),
    "lexical": ("lexical", "logic"),
    "embedding": ("embedding", "logic"),
}
# Inverse strength of the ridge penalty on standardised features; figures are flat within a factor of three.
PENALTY = {"part": 0.007, "match": 0.05}
# What the second model sees: there are few pairs with a shared part, and what they are about says little on whether
# they match fully. Deeds and options do, and how much of the words of either side is found again.
DEEDS = re.compile(
    r"options\.|act\.|sweep\.|option\.|part\.|phrase\.|name\.|list\."
    r"|(?:word|meaning)\.(?:options>\w+|part>part|title>title|head>head)\.(?:mean|least|sum)$"
)

Array = NDArray[np.float64]
Vectors = Mapping[str, TextVectors]


@dataclass(frozen=True, slots=True)
class Pairs:
    """All labelled pairs in one table: features, labels, the fold that each pair's paper is in, and whether gold leaves
    open what is done."""

    names: tuple[str, ...]
    values: Array
    part: NDArray[np.bool_]
    match: NDArray[np.bool_]
    folds: NDArray[np.intp]
    unspecified: NDArray[np.bool_]

    def seen(self, rows: NDArray[np.bool_] | slice = slice(None)) -> Features:
        """Some of the pairs, as a matcher sees them."""
        return Features(self.names, self.values[rows], self.unspecified[rows])


@dataclass(frozen=True, slots=True)
class Models:
    """What is fitted: whether a pair shares a part, and whether it matches once it does."""

    part: LogisticModel
    match: LogisticModel


def fold_of(paper: str, seed: str = "") -> int:
    """The fold of a paper, from its name alone, so that new labels move no old paper."""
    return int(hashlib.sha256((seed + paper).encode()).hexdigest(), 16) % FOLDS


def table_of(rows: Sequence[LabelledPlan], matcher: str, vectors: Vectors | None, seed: str = "") -> Pairs:
    """The decided pairs of all rows with the features that this matcher uses."""
    seen = [features(row.gold, row.plan, vectors) for row in rows]
    names = tuple(name for name in seen[0].names if FEATURES[name].family in FAMILIES[matcher])
    picked = [seen[0].names.index(name) for name in names]
    known = [row.known_table for row in rows]
    return Pairs(
        names,
        np.concatenate([one.values[decided][:, picked] for one, decided in zip(seen, known, strict=True)]),
        np.concatenate([row.part_table[decided] for row, decided in zip(rows, known, strict=True)]),
        np.concatenate([row.match_table[decided] for row, decided in zip(rows, known, strict=True)]),
        np.repeat([fold_of(row.paper, seed) for row in rows], [int(decided.sum()) for decided in known]),
        np.concatenate([_unspecified(one)[decided] for one, decided in zip(seen, known, strict=True)]),
    )


def _unspecified(seen: Features) -> NDArray[np.bool_]:
    return np.zeros(seen.values.shape[:2], np.bool_) if seen.unspecified is None else seen.unspecified


def fit_linear(names: Sequence[str], values: Array, truth: NDArray[np.bool_], penalty: float) -> LogisticModel:
    """A ridge-penalised logistic model, its scaler folded into its weights; reasons are told from the pair half-way
    between those that do and those that do not: most would speak for any pair if told from the average, no match."""
    from sklearn.linear_model import LogisticRegression

    means, spread = values.mean(axis=0), values.std(axis=0)
    used = spread > 1e-9
    scaled = (values[:, used] - means[used]) / spread[used]
    fitted = LogisticRegression(C=penalty, solver="newton-cholesky", max_iter=50, tol=1e-6).fit(scaled, truth)
    weights = np.round(fitted.coef_[0] / spread[used], 6)
    intercept = float(fitted.intercept_[0] - weights @ means[used])
    kept = [name for name, use in zip(names, used, strict=True) if use]
    middle = np.round((values[truth].mean(axis=0) + values[~truth].mean(axis=0))[used] / 2, 6)
    return LogisticModel(
        dict(zip(kept, weights.tolist(), strict=True)),
        dict(zip(kept, middle.tolist(), strict=True)),
        round(intercept, 6),
    )


def fit(pairs: Pairs, train: NDArray[np.bool_], penalty: Mapping[str, float] = PENALTY) -> Models:
    """Both models from the pairs in `train`; the second learns from those only that share a part, and
    of which gold says what is done."""
    shared = train & pairs.part & ~pairs.unspecified
    _both_kinds(pairs.part[train], "share a part")
    _both_kinds(pairs.match[shared], "match, of those that share a part")
    seen = [at for at, name in enumerate(pairs.names) if DEEDS.match(name)]
    names, values = [pairs.names[at] for at in seen], pairs.values[:, seen]
    return Models(
        fit_linear(pairs.names, pairs.values[train], pairs.part[train], penalty["part"]),
        fit_linear(names, values[shared], pairs.match[shared], penalty["match"]),
    )


def _both_kinds(truth: NDArray[np.bool_], what: str) -> None:
    """Refuse labels that say the same of every pair: there is nothing to tell apart."""
    if len(truth) == 0 or truth.all() or not truth.any():
        raise InputError(
            f"{'all' if truth.any() else 'none'} of {len(truth)} labelled pairs {what}; a matcher is fitted to pairs "
            "that do and pairs that do not, each in several papers, because papers are held out in turn"
        )


def predict(pairs: Pairs, models: Models) -> tuple[Array, Array]:
    """The probability of a shared part and of a match for every pair, as `matching.probabilities` gives them."""
    return probability.model_probabilities(pairs.seen(), models.part, models.match)


def held_out(pairs: Pairs, penalty: Mapping[str, float] = PENALTY) -> tuple[Array, Array]:
    """Both probabilities of every pair, from models that saw no pair of its paper."""
    part, match = np.zeros(len(pairs.folds)), np.zeros(len(pairs.folds))
    for fold in np.unique(pairs.folds):
        out = pairs.folds == fold
        for kept, predicted in zip((part, match), predict(pairs, fit(pairs, ~out, penalty)), strict=True):
            kept[out] = predicted[out]
    return part, match


def calibrate(
    rows: Sequence[LabelledPlan], matcher: str, vectors: Vectors | None, fitted_on: Mapping[str, Any]
) -> Calibration:
    """The calibration of one matcher on these rows, with its own cross-validated figures."""
    papers = {row.paper for row in rows}
    if len(papers) < 2 * FOLDS:
        raise InputError(
            f"{len(papers)} papers are labelled, expected {2 * FOLDS} or more: papers are held out in {FOLDS} folds"
        )
    pairs = table_of(rows, matcher, vectors)
    part, match = held_out(pairs)
    models = fit(pairs, np.ones(len(part), dtype=bool))
    used = {*models.part.weights, *models.match.weights}
    unnamed = Calibration(
        "", matcher, thresholds_of(pairs, part, match), models.part, models.match,
        {name: FEATURES[name].version for name in pairs.names if name in used},
        {**fitted_on, "papers": len(papers), "rows": len(rows), "pairs": len(part), "penalty": PENALTY},
        {"folds": FOLDS, "part": figures(pairs, part, pairs.part), "match": figures(pairs, match, pairs.match)},
    )  # fmt: skip
    digest = hashlib.sha256(dump_calibration(unnamed).encode()).hexdigest()[:10]
    return replace(unnamed, id=f"{matcher}-{digest}")


def thresholds_of(pairs: Pairs, part: Array, match: Array) -> Thresholds:
    """The thresholds for F1 on held-out predictions, and the band around the match threshold that is doubtful."""
    limit = pair_metrics.f1_threshold(match, pairs.match)
    nearest = np.sort(match[np.argsort(np.abs(match - limit), kind="stable")[: round(DOUBT * len(match))]])
    low, high = round(float(nearest[0]), 3), round(float(nearest[-1]), 3)
    return Thresholds(pair_metrics.f1_threshold(part, pairs.part), limit, low, high)


def figures(pairs: Pairs, chances: Array, truth: NDArray[np.bool_]) -> dict[str, Any]:
    """What held-out predictions are worth; each fold is decided by the threshold that the other folds chose."""
    decided = np.zeros(len(chances), dtype=bool)
    for fold in np.unique(pairs.folds):
        out = pairs.folds == fold
        decided[out] = chances[out] >= pair_metrics.f1_threshold(chances[~out], truth[~out])
    found = pair_metrics.decisions(decided, truth) | pair_metrics.ranking(chances, truth)
    limit = pair_metrics.f1_threshold(chances, truth)
    return found | {
        "reliability": [asdict(bin_) for bin_ in pair_metrics.reliability(chances, truth)],
        "risk_coverage": pair_metrics.risk_coverage(chances, truth, limit),
    }
