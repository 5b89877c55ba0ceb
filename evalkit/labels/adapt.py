"""Move a calibration towards labels of a user's own field, if that helps.

The models stay near the base: the log-odds may be stretched and shifted, and single weights may move under a ridge
that pulls them back to the base's. How far is chosen on held-out papers, and whether it helped is measured on papers
that neither the fit nor that choice has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit import stats
from evalkit.errors import InputError
from evalkit.labels.evaluate import Vectors, decisions, ranking
from evalkit.labels.fitting import Pairs, figures, table_of, thresholds_of, with_id
from evalkit.matching.calibration import Calibration, LogisticModel, Models, log_odds, probabilities, sigmoid
from evalkit.matching.features import FEATURES, Features
from evalkit.storage.label_files import LabelledPlan

FOLDS = 5
LEAST_PAPERS = 10
# How far weights may move: not at all, only stretched and shifted together, or each under a ridge of this strength.
FREEDOM: tuple[float | None, ...] = (None, 0.0, 0.001, 0.01)
STRETCH = 1.0  # inverse strength of the pull towards no stretch and no shift
LEVEL = 0.05

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Adaptation:
    """The moved calibration, and figures of held-out papers: before, after, p, and whether the move helped."""

    calibration: Calibration
    report: Mapping[str, Any]

    @property
    def helped(self) -> bool:
        """Whether held-out papers are predicted better, and more so than chance explains."""
        return bool(self.report["helped"])


def adapt(
    rows: Sequence[LabelledPlan], base: Calibration, vectors: Vectors | None, fitted_on: Mapping[str, Any], *,
    seed: int = 0,
) -> Adaptation:  # fmt: skip
    """Move a calibration towards labels, and measure on held-out papers whether that helped."""
    papers = np.repeat([row.paper for row in rows], [int(row.known_table.sum()) for row in rows])
    if len(names := np.unique(papers)) < LEAST_PAPERS:
        raise InputError(
            f"{len(names)} papers are labelled, expected {LEAST_PAPERS} or more: whole papers are held out"
        )
    every = np.ones(len(papers), dtype=bool)
    folds = np.random.default_rng(seed).permutation(len(names))[np.searchsorted(names, papers)] % FOLDS
    pairs = replace(table_of(rows, base.matcher, vectors), folds=folds.astype(np.intp))
    before, after = probabilities(pairs.seen(every), base), _held_out(pairs, base)
    report = _report(pairs, papers, before, after, base, seed)
    freedom = _choose_freedom(pairs, base, every)
    moved = _moved(pairs, base, freedom, every)
    facts = {"papers": len(names), "rows": len(rows), "pairs": len(papers), "base": base.id, "freedom": freedom}
    # Labels of some pairs only, such as the least certain ones, say nothing about thresholds for all of them.
    limits = base.thresholds if any(row.undecided for row in rows) else thresholds_of(pairs, *after)
    return Adaptation(_named(pairs, replace(moved, thresholds=limits), after, {**fitted_on, **facts}), report)


def _held_out(pairs: Pairs, base: Calibration) -> tuple[Array, Array]:
    """Return both probabilities `[pair]`, by a move that was chosen and fitted without its paper."""
    part, match = np.zeros(len(pairs.folds)), np.zeros(len(pairs.folds))
    for fold in np.unique(pairs.folds):
        out = pairs.folds == fold
        moved = _moved(pairs, base, _choose_freedom(pairs, base, ~out), ~out)
        part[out], match[out] = probabilities(pairs.seen(out), moved)
    return part, match


def _choose_freedom(pairs: Pairs, base: Calibration, train: Flags) -> float | None:
    """Return the freedom with the least log loss on held-out folds of the training papers."""
    losses = dict.fromkeys(FREEDOM, 0.0)
    for fold in np.unique(pairs.folds[train]):
        out = train & (pairs.folds == fold)
        for freedom in FREEDOM:
            _, match = probabilities(pairs.seen(out), _moved(pairs, base, freedom, train & ~out))
            losses[freedom] += float(_loss(match, pairs.match[out]).sum())
    return min(FREEDOM, key=lambda freedom: losses[freedom])


def _moved(pairs: Pairs, base: Calibration, freedom: float | None, train: Flags) -> Calibration:
    """Return the base with its models moved towards the training pairs."""
    if freedom is None:
        return base
    models = {
        name: _fit(pairs, getattr(base.models, name), truth, train & where, freedom)
        for name, (truth, where) in pairs.targets().items()
    }
    return replace(base, models=Models(**models))


def _fit(pairs: Pairs, model: LogisticModel, truth: Flags, train: Flags, freedom: float) -> LogisticModel:
    """Stretch and shift a model's log-odds and, with some freedom, move its weights."""
    from scipy.optimize import minimize

    if not train.any():
        return model
    values, wanted = pairs.values[train], truth[train].astype(np.float64)
    means, spread = values.mean(axis=0), values.std(axis=0)
    # Only weights that the base has may move, so that what it can explain stays the same.
    used = (spread > 1e-9) & np.array([name in model.weights for name in pairs.names]) & bool(freedom)
    scaled = (values[:, used] - means[used]) / spread[used]
    odds = log_odds(Features(pairs.names, values, pairs.needs[train], pairs.unnamed[train]), model)

    def loss(move: Array) -> tuple[float, Array]:
        stretch, shift, gains = move[0], move[1], move[2:]
        total = (1 + stretch) * odds + shift + scaled @ gains
        slope = sigmoid(total) - wanted
        value = np.logaddexp(0, total).sum() - wanted @ total + (stretch**2 + shift**2) / (2 * STRETCH)
        pull = np.concatenate([[stretch / STRETCH, shift / STRETCH], gains / (freedom or 1.0)])
        value += (gains @ gains) / (2 * freedom) if freedom else 0.0
        return float(value), np.concatenate([[slope @ odds, slope.sum()], scaled.T @ slope]) + pull

    best = minimize(loss, np.zeros(2 + int(used.sum())), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    gains = np.zeros(values.shape[1])
    gains[used] = best[2:] / spread[used]
    stretch, shift = 1 + float(best[0]), float(best[1])
    weights = {name: round(stretch * weight, 6) for name, weight in model.weights.items()}
    for name, gain in zip(pairs.names, gains.tolist(), strict=True):
        if gain:
            weights[name] = round(weights[name] + gain, 6)
    intercept = stretch * model.intercept + shift - float(gains @ means)
    return LogisticModel(weights, dict(model.middle), round(intercept, 6))


def _loss(chances: Array, truth: Flags) -> Array:
    """Return the log loss of each pair; probabilities stay off 0 and 1, where one mistake would outweigh all."""
    safe = np.clip(chances, 1e-4, 1 - 1e-4)
    return -np.where(truth, np.log(safe), np.log(1 - safe))


def _report(
    pairs: Pairs, papers: NDArray[Any], before: tuple[Array, Array], after: tuple[Array, Array], base: Calibration,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Return log loss, F1 and average precision before and after the move, and the p of the difference."""
    names, place = np.unique(papers, return_inverse=True)
    count = np.bincount(place)
    losses = [np.bincount(place, _loss(match, pairs.match)) / count for _, match in (before, after)]
    p = stats.paired_test(stats.macro(np.stack(losses, axis=1)), 0, 1, seed=seed)
    figures_of = {}
    for name, (_, match) in (("before", before), ("after", after)):
        threshold = base.thresholds.match if name == "before" else thresholds_of(pairs, *after).match
        worth = decisions(match >= threshold, pairs.match) | ranking(match, pairs.match)
        figures_of[name] = worth | {"log_loss": float(_loss(match, pairs.match).mean())}
    better = float(losses[1].mean()) < float(losses[0].mean())
    return {"papers": len(names), "pairs": len(papers), **figures_of, "p": p, "helped": bool(better and p < LEVEL)}


def _named(pairs: Pairs, moved: Calibration, after: tuple[Array, Array], fitted_on: Mapping[str, Any]) -> Calibration:
    """Return the moved calibration with its own figures, feature versions and id."""
    versions = {name: FEATURES[name].version for name in sorted(moved.models.features)}
    part = figures(pairs, after[0], pairs.part, np.ones(len(after[0])))
    match = figures(pairs, after[1], pairs.match, pairs.weights)
    measured = {"folds": FOLDS, "part": part, "match": match}
    return with_id(replace(moved, versions=versions, fitted_on=dict(fitted_on), cross_validation=measured))
