"""Takes label files and Settings, gives a Calibration or an agreement; sees to the vectors that either needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.labels.adapt import Adapted, adapt
from evalkit.labels.evaluate import agreement
from evalkit.labels.fitting import calibrate
from evalkit.matching.calibration import Calibration
from evalkit.matching.features import needs
from evalkit.matching.features.vectors import TextVectors
from evalkit.scoring.pipeline import Progress
from evalkit.scoring.scorer import calibration_for, encoder_for
from evalkit.settings import Settings
from evalkit.storage.cache import Store
from evalkit.storage.files import file_hash
from evalkit.storage.label_files import LabelledPlan, read_labels


def calibrate_on(
    paths: Sequence[str],
    settings: Settings,
    store: Store | None = None,
    progress: Progress | None = None,
    note: str = "",
) -> Calibration:
    """A calibration of the settings' matcher on the labels of these files; `note` says what a user of it must know."""
    rows = _rows(paths)
    vectors, model = _vectors(rows, settings, store, progress)
    files = [{"name": Path(path).name, "sha256": file_hash(path)} for path in paths]
    return calibrate(rows, settings.matcher, vectors, {"labels": files, "model": model, "note": note})


def adapt_on(
    paths: Sequence[str],
    settings: Settings,
    store: Store | None = None,
    progress: Progress | None = None,
    note: str = "",
) -> Adapted:
    """The settings' calibration moved towards the labels of these files, and whether that helps on held-out papers."""
    base = calibration_for(settings)
    if base.matcher != settings.matcher:
        raise InputError(f"the base {base.id} is for --matcher {base.matcher}, not {settings.matcher}")
    rows = _rows(paths)
    vectors, model = _vectors(rows, settings, store, progress)
    files = [{"name": Path(path).name, "sha256": file_hash(path)} for path in paths]
    return adapt(rows, base, vectors, {"labels": files, "model": model, "note": note}, seed=settings.seed)


def agree_with(
    paths: Sequence[str], settings: Settings, store: Store | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """How well the settings' calibration agrees with the labels of these files."""
    rows = _rows(paths)
    calibration = calibration_for(settings)
    vectors, model = _vectors(rows, settings, store, progress)
    fitted = {file["sha256"] for file in calibration.fitted_on.get("labels", ())}
    seen_before = any(file_hash(path) in fitted for path in paths)
    return agreement(rows, calibration, vectors) | {"model": model, "fitted_on_these_labels": seen_before}


def _rows(paths: Sequence[str]) -> list[LabelledPlan]:
    """The labelled plans of all files."""
    rows = [row for row in read_labels(paths) if row.gold and row.plan]
    if not rows:
        raise InputError(f"{', '.join(paths)}: no labelled pairs")
    return rows


def _vectors(
    rows: Sequence[LabelledPlan], settings: Settings, store: Store | None, progress: Progress | None
) -> tuple[Mapping[str, TextVectors] | None, str]:
    """The vectors of every text of the rows, and the model they come from."""
    with encoder_for(settings, store) as encoder:
        if encoder is None:
            return None, "none"
        texts = {text for row in rows for text in needs(row.gold, row.plan)}
        return encoder.encode(sorted(texts), progress), encoder.fingerprint
