"""A run for experiment trackers: settings as parameters, figures as metrics, the run's files as artifacts.

A run that a tracker has, by its signature and figures, is not sent again; one whose sending broke off is completed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.errors import InputError, install_command
from evalkit.report.exports import figures_by_planner
from evalkit.scoring.load import batched
from evalkit.settings import fingerprint, shown
from evalkit.storage.runs import TABLES, Run, load_run

KEY = "evalkit.run"  # the tag by which a tracker's run is found again
FILES = (*(f"{name}.{form}" for name in TABLES for form in ("csv", "parquet")), "run.json", "report.html")
LONGEST_NAME, LONGEST_VALUE = 150, 5000  # characters; MLflow takes 250 of a metric's name and 6000 of a parameter
AT_ONCE = 100  # parameters that MLflow takes in one request


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tracker is told of a run; `key` stands for its signature and figures."""

    key: str
    name: str
    parameters: dict[str, str]
    tags: dict[str, str]
    figures: dict[str, float]
    files: tuple[Path, ...]


def entry_of(folder: Path) -> Entry:
    """Return what a tracker is told of the run in this folder; links in it are not followed."""
    run = load_run(folder)
    figures = {f"{tracker_name(planner)}/{name}": value for planner, name, value in figures_by_planner(run)}
    parts = {"settings": run.meta["settings"], "signature": asdict(run.signature)}
    parameters = {tracker_name(name): str(value)[:LONGEST_VALUE] for name, value in _flat(parts)}
    key = fingerprint([asdict(run.signature), figures])[:12]
    files = tuple(path for path in (folder / name for name in FILES) if path.is_file() and not path.is_symlink())
    return Entry(key, f"evalkit {run.signature.digest}", parameters, _tags(run) | {KEY: key}, figures, files)


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables with their dotted names; what is unset or empty is left out."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{above}{name}.")
        elif item not in (None, "", [], ()):
            yield f"{above}{name}", item


def _tags(run: Run) -> dict[str, str]:
    """Return the run's tags and note, and the commit of its plans."""
    made = run.meta.get("provenance", {})
    said = {"note": made.get("note", ""), "commit": (made.get("git") or {}).get("commit", "")} | made.get("tags", {})
    return {tracker_name(name): value[:LONGEST_VALUE] for name, value in said.items() if value}


def tracker_name(name: str) -> str:
    """Return a name of letters, digits, spaces and `_.-/`, which trackers take; one that had others ends in a hash."""
    steps = (re.sub(r"[^\w. -]|^\.+$", "_", step) or "_" for step in name.split("/"))
    safe = "/".join(steps)[:LONGEST_NAME]
    return safe if safe == name else f"{safe}-{fingerprint(name)[:6]}"


def _mlflow(entry: Entry, project: str) -> bool:
    """Send a run to the MLflow server or store that its own variables name; return whether it was new there."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient()
        known = client.get_experiment_by_name(project)
        place = known.experiment_id if known else client.create_experiment(project)
        runs = client.search_runs([place], f"tags.`{KEY}` = '{entry.key}'")
        if any(run.info.status == "FINISHED" for run in runs):
            return False
        run = runs[0] if runs else client.create_run(place, tags={KEY: entry.key}, run_name=entry.name)
        own = run.info.run_id
        for part in batched(entry.parameters.items(), AT_ONCE):
            client.log_batch(own, params=[Param(*item) for item in part])
        for part in batched(entry.tags.items(), AT_ONCE):
            client.log_batch(own, tags=[RunTag(*item) for item in part])
        for figures in batched(entry.figures.items(), AT_ONCE):
            client.log_batch(own, metrics=[Metric(*item, run.info.start_time, 0) for item in figures])
        for path in entry.files:
            client.log_artifact(own, str(path))
        client.set_terminated(own)
    except MlflowException as error:
        raise InputError(f"MLflow, experiment {shown(project)}: {error}") from error
    return True


TRACKERS: dict[str, Callable[[Entry, str], bool]] = {"mlflow": _mlflow}


def log_run(folder: Path, tracker: str, project: str) -> bool:
    """Send the run in a folder to a tracker; return False where it has the run already."""
    if find_spec(tracker) is None:
        raise InputError(f"--to {tracker} needs its client, which is not installed: {install_command(tracker)}")
    return TRACKERS[tracker](entry_of(folder), project)
