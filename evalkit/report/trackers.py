"""A run for experiment trackers: settings and signature, every figure, the run's files.

A run that a tracker has, by its signature and figures, is not sent again; one whose sending broke off is completed.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.errors import InputError, install_command
from evalkit.report.exports import figures_by_planner
from evalkit.scoring.load import batched
from evalkit.settings import fingerprint, shown
from evalkit.storage.files import read_text, write_text
from evalkit.storage.runs import TABLES, Run, load_run

KEY = "evalkit.run"  # the tag by which a tracker's run is found again
CONFIG_KEY = "evalkit_run"  # the same where a dot would nest
SENT = "evalkit-sent.txt"  # in the folder of an offline run of W&B: which run it is, once all of it is there
FILES = (*(f"{name}.{form}" for name in TABLES for form in ("csv", "parquet")), "run.json", "report.html")
LONGEST_NAME, LONGEST_VALUE = 150, 5000  # characters; MLflow takes 250 of a metric's name and 6000 of a parameter
AT_ONCE = 100  # parameters that MLflow takes in one request
OFFLINE = ("offline", "dryrun")  # modes of W&B in which it only writes
TRACKIO_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
QUIET: dict[str, Any] = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
Figure = tuple[str, str, float]  # planner, figure, value


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tracker gets of a run; `key` stands for its signature and figures, `made` says how it came to be."""

    key: str
    name: str
    made: dict[str, Mapping[str, Any]]
    tags: dict[str, str]
    figures: tuple[Figure, ...]
    files: tuple[Path, ...]

    @property
    def config(self) -> dict[str, Any]:
        """Settings, signature and tags as nested tables, for trackers that show such."""
        return {**self.made, "tags": self.tags, CONFIG_KEY: self.key}

    @property
    def table(self) -> tuple[list[str], list[list[Any]]]:
        """The columns and rows of the leaderboard, under the planners' own names."""
        planners: dict[str, dict[str, float]] = {}
        for planner, name, value in self.figures:
            planners.setdefault(planner, {})[name] = value
        columns = list(dict.fromkeys(name for _, name, _ in self.figures))
        rows = [[planner, *map(values.get, columns)] for planner, values in planners.items()]
        return ["planner", *columns], rows

    def named(self, name: Callable[[str], str]) -> dict[str, float]:
        """Return the figures as `planner/figure`, planners under the names that a tracker takes."""
        return {f"{name(planner)}/{figure}": value for planner, figure, value in self.figures}


def entry_of(folder: Path) -> Entry:
    """Return what a tracker gets of the run in this folder; links in it are not followed."""
    run = load_run(folder)
    figures = tuple(figures_by_planner(run))
    made = {"settings": run.meta["settings"], "signature": run.signature.table}
    named = {f"{tracker_name(planner)}/{name}": value for planner, name, value in figures}
    key = fingerprint([run.signature.table, named])[:12]
    files = tuple(path for path in (folder / name for name in FILES) if path.is_file() and not path.is_symlink())
    return Entry(key, f"evalkit {run.signature.digest}", made, _tags(run), figures, files)


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
    about = {"note": made.get("note", ""), "commit": (made.get("git") or {}).get("commit", "")} | made.get("tags", {})
    return {name: value[:LONGEST_VALUE] for name, value in about.items() if value}


def tracker_name(name: str) -> str:
    """Return a name of letters, digits, spaces and `_.-/`, which trackers take; one that had others ends in a hash."""
    steps = (re.sub(r"[^\w. -]|^\.+$", "_", step) or "_" for step in name.split("/"))
    safe = "/".join(steps)[:LONGEST_NAME]
    return safe if safe == name else f"{safe}-{fingerprint(name)[:6]}"


def trackio_name(name: str) -> str:
    """Return such a name that does not begin with two underscores, which are Trackio's own."""
    safe = tracker_name(name)
    return f"p{safe}-{fingerprint(name)[:6]}" if safe.startswith("__") else safe


def wandb_name(name: str) -> str:
    """Return a name whose steps are letters, digits and `_`, which W&B sorts and filters by; another one is hashed."""
    steps = (re.sub(r"[^A-Za-z0-9_]", "_", step) for step in name.split("/"))
    safe = "/".join(step if step[:1].isalpha() else f"p{step}" for step in steps)[:LONGEST_NAME]
    return safe if safe == name else f"{safe}_{fingerprint(name)[:6]}"


def _mlflow(entry: Entry, project: str) -> bool:
    """Send a run to the MLflow server or store that its own variables name; return whether it was new there."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    parameters = {tracker_name(name): str(value)[:LONGEST_VALUE] for name, value in _flat(entry.made)}
    tags = {tracker_name(name): value for name, value in entry.tags.items()} | {KEY: entry.key}
    try:
        client = MlflowClient()
        known = client.get_experiment_by_name(project)
        place = known.experiment_id if known else client.create_experiment(project)
        runs = client.search_runs([place], f"tags.`{KEY}` = '{entry.key}'")
        if any(run.info.status == "FINISHED" for run in runs):
            return False
        run = runs[0] if runs else client.create_run(place, tags={KEY: entry.key}, run_name=entry.name)
        own = run.info.run_id
        for part in batched(parameters.items(), AT_ONCE):
            client.log_batch(own, params=[Param(*item) for item in part])
        for part in batched(tags.items(), AT_ONCE):
            client.log_batch(own, tags=[RunTag(*item) for item in part])
        for figures in batched(entry.named(tracker_name).items(), AT_ONCE):
            client.log_batch(own, metrics=[Metric(*item, run.info.start_time, 0) for item in figures])
        for path in entry.files:
            client.log_artifact(own, str(path))
        client.set_terminated(own)
    except MlflowException as error:
        raise InputError(f"MLflow, experiment {shown(project)}: {error}") from error
    return True


def wandb_id(entry: Entry, project: str) -> str:
    """Return the id of a run in W&B, which names a run's folder too: two projects have two."""
    return fingerprint([entry.key, project])[:12]


def _wandb(entry: Entry, project: str) -> bool:
    """Send a run to W&B, or write it where W&B keeps runs while it is offline.

    What is sent again under one id is one run, also where it was written offline twice and is synced later.
    """
    import wandb

    own = wandb_id(entry, project)
    try:
        chosen = wandb.setup().settings
        whose = f"{chosen.entity or ''}/{project}\n"
        offline = chosen.mode in OFFLINE
        if offline and _kept_offline(Path(chosen.wandb_dir), own, whose):
            return False
        run = wandb.init(
            project=project, id=own, resume=None if offline else "allow", name=entry.name, notes=entry.tags.get("note"),
            job_type="evalkit", config=entry.config, settings=_discreet(wandb),
        )  # fmt: skip
        if run.disabled:
            raise InputError("W&B is disabled (WANDB_MODE): nothing would be sent")
        if new := not (run.resumed and run.summary.get(CONFIG_KEY) == entry.key):
            _fill_wandb(wandb, run, entry)
        run.finish()
    except InputError:
        raise
    except Exception as error:  # whatever its client and the libraries below raise
        raise InputError(f"W&B, project {shown(project)}: {error}") from error
    if run.offline:
        write_text(Path(run.settings.sync_dir) / SENT, whose)
    return new


def _discreet(wandb: Any) -> Any:
    """Return settings by which nothing of this machine goes along: no console, code, packages or hardware."""
    wanted = {"silent": True, "console": "off", "save_code": False, "disable_code": True, "disable_git": True}
    # Those that begin with x may go with a version of W&B.
    extra = {
        "x_disable_meta": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
        "x_disable_machine_info": True,
    }
    return wandb.Settings(
        **wanted, **{name: value for name, value in extra.items() if name in wandb.Settings.model_fields}
    )


def _kept_offline(place: Path, own: str, whose: str) -> bool:
    """Return whether the whole of a run lies in W&B's folder for offline runs, of the same project."""
    marks = [folder / SENT for folder in place.glob(f"offline-run-*-{own}")]
    return any(mark.is_file() and read_text(mark) == whose for mark in marks)


def _fill_wandb(wandb: Any, run: Any, entry: Entry) -> None:
    """Give a run of W&B its figures, its leaderboard and its files, and at the end the mark that it is whole."""
    columns, rows = entry.table
    figures = entry.named(wandb_name)
    if any(run.summary.get(name) is None for name in figures):  # else an earlier sending broke off later
        run.log({**figures, "leaderboard": wandb.Table(columns=columns, data=rows)}, step=0)
    artifact = wandb.Artifact(f"evalkit-{entry.key}", type="evalkit-run")
    for path in entry.files:
        artifact.add_file(str(path), name=path.name)
    sent = run.log_artifact(artifact)
    if not run.offline:
        sent.wait()
    run.summary[CONFIG_KEY] = entry.key


def _trackio(entry: Entry, project: str) -> bool:
    """Send a run to Trackio's local store, or to the server or space that its own variables name."""
    with _trackio_words(project) as warned:
        import trackio

        name = f"{entry.name} {entry.key}"
        known = _in_trackio(trackio, entry, project, name)
        if known or _losses(warned):
            return False
        columns, rows = entry.table
        artifact = trackio.Artifact(f"evalkit-{entry.key}", type="evalkit-run")
        for path in entry.files:
            artifact.add_file(path, name=path.name)
        trackio.init(project, name=name, resume="allow", config=entry.config, **QUIET)
        try:
            trackio.log_artifact(artifact)
            table = trackio.Table(columns=columns, data=rows)
            trackio.log({**entry.named(trackio_name), "leaderboard": table}, step=0)
        finally:
            trackio.finish()
    return True


@contextmanager
def _trackio_words(project: str) -> Iterator[list[warnings.WarningMessage]]:
    """Keep what Trackio prints off standard output; what it refuses, and what it warns is lost, is a user's error."""
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            yield warned
    except Exception as error:  # whatever its client and the libraries below raise
        raise InputError(f"Trackio, project {shown(project)}: {error}") from error
    if lost := _losses(warned):
        raise InputError(f"Trackio, project {shown(project)}: {lost[0]}")


def _losses(warned: list[warnings.WarningMessage]) -> list[str]:
    """Return what Trackio warned of: it never fails for what it cannot keep or reach, and goes on."""
    return [str(item.message) for item in warned if "rackio" in str(item.message)]


def _in_trackio(trackio: Any, entry: Entry, project: str, name: str) -> bool:
    """Return whether Trackio has the whole of a run; its figures come last, and its settings come with them."""
    try:
        trackio.init(project, name=name, resume="must", **QUIET)
    except ValueError:  # also of a project's name that it does not take: the next call says so
        return False
    trackio.finish()
    if any(os.environ.get(name) for name in TRACKIO_ELSEWHERE):
        return True
    own = [run for run in trackio.Api().runs(project) if run.name == name]
    return any((run.config or {}).get(CONFIG_KEY) == entry.key for run in own)


TRACKERS: dict[str, Callable[[Entry, str], bool]] = {"mlflow": _mlflow, "wandb": _wandb, "trackio": _trackio}


def log_run(folder: Path, tracker: str, project: str) -> bool:
    """Send the run in a folder to a tracker; return False where it has the run already."""
    # A folder of that name, such as the one that W&B writes, is no client.
    if (found := find_spec(tracker)) is None or found.origin is None:
        raise InputError(f"--to {tracker} needs its client, which is not installed: {install_command(tracker)}")
    return TRACKERS[tracker](entry_of(folder), project)
