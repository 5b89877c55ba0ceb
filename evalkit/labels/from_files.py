"""Fit, adapt or evaluate a calibration on label files, with the vectors that its matcher needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import InputError
from evalkit.labels.adapt import Adaptation, adapt
from evalkit.labels.evaluate import Prediction, Vectors, agreement, report
from evalkit.labels.fitting import calibrate
from evalkit.matching.calibration import Calibration
from evalkit.matching.features import needs
from evalkit.matching.plugged import find_plugin, is_plugin
from evalkit.scoring.load import Source, former_planners
from evalkit.scoring.matcher import calibration_for, encoder_for
from evalkit.scoring.pipeline import Progress, load
from evalkit.settings import Settings
from evalkit.storage.cache import Store
from evalkit.storage.files import file_hash
from evalkit.storage.label_files import LabelledPlan, read_labels
from evalkit.types import Plan

if TYPE_CHECKING:
    from evalkit.judges.recorded import Judgements


def calibrate_on(
    paths: Sequence[str], settings: Settings, store: Store | None = None, progress: Progress | None = None,
    note: str = "", guarantee: float | None = None,
) -> Calibration:  # fmt: skip
    """Fit the settings' matcher to the labels of these files; `note` says what a user of it must know."""
    if is_plugin(settings.matcher):
        raise InputError(f"the matcher {settings.matcher!r} is a plug-in, which has no calibration to fit")
    rows, vectors, model = labelled_inputs(paths, settings, store, progress)
    return calibrate(rows, settings.matcher, vectors, _fitted_on(paths, model, note), guarantee)


def adapt_on(
    paths: Sequence[str], settings: Settings, store: Store | None = None, progress: Progress | None = None,
    note: str = "",
) -> Adaptation:  # fmt: skip
    """Move the settings' calibration towards the labels of these files, and say whether that helps."""
    base = calibration_for(settings)
    if base.matcher != settings.matcher:
        raise InputError(f"the base {base.id} is for --matcher {base.matcher}, not {settings.matcher}")
    rows, vectors, model = labelled_inputs(paths, settings, store, progress)
    return adapt(rows, base, vectors, _fitted_on(paths, model, note), seed=settings.seed)


def agree_with(
    paths: Sequence[str], settings: Settings, store: Store | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Return how well the settings' calibration agrees with the labels of these files."""
    rows, vectors, model = labelled_inputs(paths, settings, store, progress)
    labels = () if is_plugin(settings.matcher) else calibration_for(settings).fitted_on.get("labels", ())
    fitted = {file["sha256"] for file in labels if isinstance(file, Mapping)}
    seen_before = any(file_hash(path) in fitted for path in paths)
    return _agreement(rows, settings, vectors) | {"model": model, "fitted_on_these_labels": seen_before}


def _agreement(rows: Sequence[LabelledPlan], settings: Settings, vectors: Vectors | None) -> dict[str, Any]:
    """Return how well the settings' matcher agrees with labels, a plug-in as well."""
    if not is_plugin(settings.matcher):
        return agreement(rows, calibration_for(settings), vectors)
    plugin = find_plugin(settings.matcher)
    limits = plugin.calibration.thresholds
    return report([Prediction(row, *plugin(row.gold, row.plan), limits) for row in rows], plugin.calibration.id)


def agree_with_judge(
    pred: Source, gold: Source, settings: Settings, judgements: Judgements, store: Store | None = None,
    progress: Progress | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """Return how well the settings' calibration agrees with a judge, people for example, about these plans.

    None where a judge was only asked whether an entry is right, and not to which gold entry it belongs.
    """
    work = load(pred, gold, settings)
    named = judgements.with_former_names(former_planners(pred, settings))
    pairs = work.judged_work(named, settings).plans(settings.top_k)
    rows = [row for own, plan in pairs if (row := _judged(named, own, plan)) is not None]
    if not rows:
        return None
    vectors, model = _vectors(rows, settings, store, progress)
    return _agreement(rows, settings, vectors) | {"model": model, "fitted_on_these_labels": False}


def _judged(judgements: Judgements, gold: Plan, plan: Plan) -> LabelledPlan | None:
    """Return the first judge's verdicts on a plan as labels; pairs that were not rated are undecided."""
    if not gold.ablations or not plan.ablations or judgements.task(gold, plan) == "reviewer":
        return None
    ratings = judgements.ratings(gold, plan)[0]
    if not ratings.rated.any():
        return None
    match, part, undecided = (
        frozenset((int(g), int(p)) for g, p in zip(*table.nonzero(), strict=True))
        for table in (ratings.full, ratings.part, ~ratings.rated)
    )
    lists = gold.ablations, plan.ablations
    names = gold.paper, plan.planner or ""
    return LabelledPlan(*names, *lists, match, part, undecided, plan.sample, judgements.name, task="author")


def _fitted_on(paths: Sequence[str], model: str, note: str) -> dict[str, Any]:
    files = [{"name": Path(path).name, "sha256": file_hash(path)} for path in paths]
    return {"labels": files, "model": model, "note": note}


def labelled_inputs(
    paths: Sequence[str], settings: Settings, store: Store | None, progress: Progress | None
) -> tuple[list[LabelledPlan], Vectors | None, str]:
    """Return the labelled plans of all files, the vectors of their texts, and the model that these come from."""
    rows = [row for row in read_labels(paths) if row.gold and row.plan]
    if not rows:
        raise InputError(f"{', '.join(paths)}: no labelled pairs")
    return rows, *_vectors(rows, settings, store, progress)


def _vectors(
    rows: Sequence[LabelledPlan], settings: Settings, store: Store | None, progress: Progress | None
) -> tuple[Vectors | None, str]:
    """Return the vectors of the texts of labelled plans, and the model that they come from."""
    with encoder_for(settings, store) as encoder:
        if encoder is None:
            return None, "none"
        texts = {text for row in rows for text in needs(row.gold, row.plan)}
        return encoder.encode(sorted(texts), progress), encoder.fingerprint
