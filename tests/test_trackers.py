"""`evalkit log`: a real MLflow store, W&B offline and a real Trackio store have what the run says, once."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.report.trackers import (
    LONGEST_NAME,
    TRACKERS,
    entry_of,
    log_run,
    tracker_name,
    trackio_name,
    wandb_id,
    wandb_name,
)
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import load_run

GOLD = gold(entry("encoder"), entry("gate"))
ODD = "50% & more/$x=#1 🚀"
QUICK = Settings(matcher="lexical", resamples=0)
MADE = {"note": "first <b>try</b>", "tags": {"prompt=v": "v3"}, "git": {"commit": "ab12", "dirty": None}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A new MLflow store in a local database, which the environment names."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.chdir(folder)  # where artifacts go
        from mlflow import MlflowClient  # seconds, so not while other tests are collected

        yield MlflowClient()


def saved(folder: Path, *planners: str) -> Path:
    run = score_run([plan(entry("encoder"), planner=name) for name in planners], [GOLD], QUICK)
    run.meta["provenance"] = MADE
    return run.save(folder)


def log(run: Path, project: str, tracker: str = "mlflow") -> str:
    done = CliRunner().invoke(group, ["log", str(run), "--to", tracker, "--project", project])
    assert done.exit_code == 0, done.exception
    return done.output


def logged(store: Any, project: str) -> list[Any]:
    return list(store.search_runs([store.get_experiment_by_name(project).experiment_id]))


def test_mlflow_has_what_the_run_says(store: Any, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "lab/good", ODD)
    (run / "report.html").write_text("<p>report")
    (run / "notes.txt").write_text("of no concern")
    assert "sent to" in log(run, "whole")
    (found,) = logged(store, "whole")
    assert found.info.status == "FINISHED"
    # One of two gold entries and the only plan entry match: P = 1, R = 1/2, F1 = 2/3.
    assert found.data.metrics["lab/good/match_f1"] == pytest.approx(2 / 3)
    assert found.data.metrics[f"{tracker_name(ODD)}/match_recall"] == 1 / 2
    assert len(found.data.metrics) == len(entry_of(run).figures) > 50
    signature = load_run(run).signature
    assert found.data.params["settings.matcher"] == "lexical"
    assert found.data.params["signature.gold"] == signature.gold
    tags = found.data.tags
    assert (tags["note"], tags["commit"], tags[tracker_name("prompt=v")]) == ("first <b>try</b>", "ab12", "v3")
    assert {file.path for file in store.list_artifacts(found.info.run_id)} == {
        "leaderboard.csv", "papers.csv", "pairs.csv", "plans.csv", "diagnostics.csv", "run.json", "report.html"
    }  # fmt: skip


def test_a_run_is_sent_once(store: Any, tmp_path: Path) -> None:
    run, other = saved(tmp_path / "run", "a"), saved(tmp_path / "other", "b")
    assert "sent to" in log(run, "once")
    assert "is already in" in log(run, "once")
    assert "sent to" in log(other, "once")
    assert len(logged(store, "once")) == 2


def test_what_broke_off_is_completed(store: Any, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "a")
    told = entry_of(run)
    place = store.create_experiment("broken")
    begun = store.create_run(place, tags={"evalkit.run": told.key})
    store.log_param(begun.info.run_id, "settings.matcher", "lexical")
    assert "sent to" in log(run, "broken")
    (found,) = logged(store, "broken")
    assert (found.info.run_id, found.info.status) == (begun.info.run_id, "FINISHED")
    assert found.data.metrics.keys() == told.named(tracker_name).keys()


def test_what_mlflow_refuses_is_a_user_error(store: Any, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "a")
    store.delete_experiment(store.create_experiment("gone"))
    done = CliRunner().invoke(group, ["log", str(run), "--to", "mlflow", "--project", "gone"])
    assert type(done.exception).__name__ == "InputError"
    assert "experiment 'gone'" in str(done.exception)


def test_links_are_not_sent(tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "a")
    (tmp_path / "secret").write_text("secret")
    (run / "report.html").symlink_to(tmp_path / "secret")
    assert "report.html" not in {path.name for path in entry_of(run).files}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lab/gpt-4o", "lab/gpt-4o"),
        ("ünï", "ünï"),
        ("a=b", r"a_b-[0-9a-f]{6}"),
        ("../x//y", r"_/x/_/y-[0-9a-f]{6}"),
        ("", r"_-[0-9a-f]{6}"),
        ("x" * 400, "x" * LONGEST_NAME + "-[0-9a-f]{6}"),
    ],
)
def test_names_become_what_trackers_take(name: str, expected: str) -> None:
    assert re.fullmatch(expected, tracker_name(name))


@given(st.text())
def test_mlflow_takes_every_name(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(f"{tracker_name(name)}/match_f1")


def test_names_stay_apart() -> None:
    for named in (tracker_name, trackio_name, wandb_name):
        assert len({named(name) for name in ("a=b", "a#b", "a_b", "a&b", "__a", "_a")}) == 6


def have(tracker: str) -> None:
    """Skip where a client is not installed; it is not imported, as it keeps what its variables say then."""
    if find_spec(tracker) is None:
        pytest.skip(f"needs {tracker}")


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of W&B's offline runs."""
    have("wandb")
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
            patch.setenv(f"WANDB_{name}", str(folder))
        import wandb

        yield folder / "wandb"
        wandb.teardown()


def wandb_records(folder: Path) -> Iterator[Any]:
    """Yield the records of an offline run, as W&B's own messages.

    The file is a log of LevelDB's: blocks of 32 KiB with chunks of a checksum, a length and a kind (1: whole; 2, 3, 4:
    the first, a middle, the last part of a record), behind 7 bytes of W&B's.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("run-*.wandb")
    data, place, parts = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


def wandb_says(folder: Path) -> tuple[Any, dict[str, Any], dict[str, Any], list[Any]]:
    """Return what an offline run holds: the run, its settings, its figures, and its artifacts."""
    records = list(wandb_records(folder))
    (run,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    steps = [record.history for record in records if record.WhichOneof("record_type") == "history"]
    assert len(steps) == 1
    figures = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in steps[0].item}
    artifacts = [record.artifact for record in records if record.WhichOneof("record_type") == "artifact"]
    assert any(record.WhichOneof("record_type") == "exit" for record in records)
    return run, config, figures, artifacts


def offline_runs(place: Path, run: Path, project: str) -> list[Path]:
    return sorted(place.glob(f"offline-run-*-{wandb_id(entry_of(run), project)}"))


def test_wandb_has_what_the_run_says(offline: Path, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "lab/good", ODD)
    (run / "report.html").write_text("<p>report")
    assert "sent to" in log(run, "whole", "wandb")
    (folder,) = offline_runs(offline, run, "whole")
    told, config, figures, artifacts = wandb_says(folder)
    entry = entry_of(run)
    assert (told.run_id, told.project, told.display_name) == (wandb_id(entry, "whole"), "whole", entry.name)
    assert told.notes == "first <b>try</b>"
    assert config["settings"]["matcher"] == "lexical"
    assert config["signature"]["gold"] == load_run(run).signature.gold
    assert config["tags"] == {"note": "first <b>try</b>", "commit": "ab12", "prompt=v": "v3"}
    # One of two gold entries and the only plan entry match: P = 1, R = 1/2, F1 = 2/3.
    assert figures["lab/good/match_f1"] == pytest.approx(2 / 3)
    assert figures[f"{wandb_name(ODD)}/match_recall"] == 1 / 2
    own = {name: value for name, value in figures.items() if name in entry.named(wandb_name)}
    assert len(own) == len(entry.figures) > 50
    table = json.loads((folder / "files" / figures["leaderboard.path"]).read_text())
    first = dict(zip(table["columns"], table["data"][0], strict=True))
    assert {row[0] for row in table["data"]} == {"lab/good", ODD}
    assert (first["match_precision"], first["match_recall"]) == (1, 1 / 2)
    (artifact,) = (item for item in artifacts if item.type == "evalkit-run")
    assert {item.path for item in artifact.manifest.contents} == {
        "leaderboard.csv", "papers.csv", "pairs.csv", "plans.csv", "diagnostics.csv", "run.json", "report.html"
    }  # fmt: skip


@pytest.mark.slow
def test_wandb_has_a_run_once(offline: Path, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "a")
    assert "sent to" in log(run, "once", "wandb")
    assert "is already in" in log(run, "once", "wandb")
    assert "sent to" in log(run, "elsewhere", "wandb")
    for project in ("once", "elsewhere"):
        (folder,) = offline_runs(offline, run, project)
        assert wandb_says(folder)[0].project == project


def test_a_run_that_broke_off_in_wandb_is_sent_under_the_same_id(offline: Path, tmp_path: Path) -> None:
    """W&B makes one run of what is synced under one id."""
    run = saved(tmp_path / "run", "broken")
    own = wandb_id(entry_of(run), "broken")
    (offline / f"offline-run-20250101_000000-{own}").mkdir(parents=True)
    assert "sent to" in log(run, "broken", "wandb")
    begun, whole = offline_runs(offline, run, "broken")
    assert not list(begun.iterdir())
    assert wandb_says(whole)[0].run_id == own


def test_wandb_is_told_nothing_of_this_machine(offline: Path, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "quiet")
    log(run, "quiet", "wandb")
    (folder,) = offline_runs(offline, run, "quiet")
    files = {path.name for path in (folder / "files").rglob("*") if path.is_file()}
    assert all(name.endswith(".table.json") for name in files)
    kinds = {record.WhichOneof("record_type") for record in wandb_records(folder)}
    assert not kinds & {"stats", "output", "output_raw"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "said"),
    [({"WANDB_MODE": "disabled"}, "is disabled"), ({"WANDB_MODE": "online", "WANDB_API_KEY": ""}, "No API key")],
)
def test_what_wandb_refuses_is_a_user_error(tmp_path: Path, more: dict[str, str], said: str) -> None:
    have("wandb")
    code, error, _ = outside(saved(tmp_path / "run", "a"), "wandb", tmp_path, more)
    assert (code, said in error, error.count("\n")) == (2, True, 1)


def outside(run: Path, tracker: str, home: Path, more: dict[str, str]) -> tuple[int, str, list[str]]:
    """Log a run in a process of its own, whose only way out leads to a proxy that says what it was asked."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def listen() -> None:
            while True:
                try:
                    caller, _ = proxy.accept()
                except OSError:
                    return
                asked.append(caller.recv(200).decode("latin-1"))
                caller.close()

        threading.Thread(target=listen, daemon=True).start()
        way = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), way)
        places = {"HOME": str(home), "NETRC": str(home / "netrc"), "TRACKIO_DIR": str(home / "trackio")}
        around = {**os.environ, **places, **proxies, "NO_PROXY": "", "no_proxy": "", "WANDB_DIR": str(home), **more}
        done = subprocess.run(
            [sys.executable, "-m", "evalkit", "log", str(run), "--to", tracker],
            env=around, cwd=home, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        proxy.shutdown(socket.SHUT_RDWR)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr, asked


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_nobody_is_asked(tmp_path: Path, tracker: str) -> None:
    have(tracker)
    run = saved(tmp_path / "run", "a")
    assert outside(run, tracker, tmp_path, {"WANDB_MODE": "offline"}) == (0, "", [])


@pytest.mark.slow
def test_the_proxy_would_see_who_asks(tmp_path: Path) -> None:
    """The test above fails where a client goes out: here one does."""
    have("trackio")
    away = {"TRACKIO_SERVER_URL": "http://tracker.invalid/?write_token=secret"}
    code, error, asked = outside(saved(tmp_path / "run", "a"), "trackio", tmp_path, away)
    assert code == 2
    assert "tracker.invalid" in error
    assert "secret" not in error
    assert any("tracker.invalid" in line for line in asked)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A new Trackio store, read by what Trackio reads it with."""
    have("trackio")
    folder = tmp_path_factory.mktemp("trackio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")  # it asks the hub for the name of who is logged in there
        import trackio

        assert folder == trackio.TRACKIO_DIR
        yield trackio


def trackio_runs(trackio: Any, project: str) -> list[Any]:
    return list(trackio.Api().runs(project))


def test_trackio_has_what_the_run_says(kept: Any, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "lab/good", ODD)
    (run / "report.html").write_text("<p>report")
    assert "sent to" in log(run, "whole", "trackio")
    (found,) = trackio_runs(kept, "whole")
    entry = entry_of(run)
    assert found.name == f"{entry.name} {entry.key}"
    assert found.config["settings"]["matcher"] == "lexical"
    assert found.config["signature"]["gold"] == load_run(run).signature.gold
    assert found.config["tags"] == {"note": "first <b>try</b>", "commit": "ab12", "prompt=v": "v3"}
    (step,) = kept.SQLiteStorage.get_logs("whole", found.name, run_id=found.id)
    # One of two gold entries and the only plan entry match: P = 1, R = 1/2, F1 = 2/3.
    assert step["lab/good/match_f1"] == pytest.approx(2 / 3)
    assert step[f"{trackio_name(ODD)}/match_recall"] == 1 / 2
    assert entry.named(trackio_name).items() <= step.items()
    rows = {row["planner"]: row for row in step["leaderboard"]["_value"]}
    assert (rows[ODD]["match_precision"], rows["lab/good"]["match_recall"]) == (1, 1 / 2)
    kept.init("whole", name="reader", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    try:
        files = Path(kept.use_artifact(f"evalkit-{entry.key}:latest").download(tmp_path / "files"))
    finally:
        kept.finish()
    assert {path.name for path in files.iterdir()} == {
        "leaderboard.csv", "papers.csv", "pairs.csv", "plans.csv", "diagnostics.csv", "run.json", "report.html"
    }  # fmt: skip
    assert (files / "run.json").read_bytes() == (run / "run.json").read_bytes()


def test_trackio_has_a_run_once(kept: Any, tmp_path: Path) -> None:
    run, other = saved(tmp_path / "run", "a"), saved(tmp_path / "other", "b")
    assert "sent to" in log(run, "once", "trackio")
    assert "is already in" in log(run, "once", "trackio")
    assert "sent to" in log(other, "once", "trackio")
    assert sorted(found.name for found in trackio_runs(kept, "once")) == sorted(
        f"{entry_of(one).name} {entry_of(one).key}" for one in (run, other)
    )


def test_what_broke_off_in_trackio_is_completed(kept: Any, tmp_path: Path) -> None:
    """The files were there, and figures were not."""
    run = saved(tmp_path / "run", "a")
    entry = entry_of(run)
    kept.init("broken", name=f"{entry.name} {entry.key}", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    begun = kept.Artifact(f"evalkit-{entry.key}", type="evalkit-run")
    begun.add_file(run / "run.json")
    kept.log_artifact(begun)
    kept.finish()
    assert "sent to" in log(run, "broken", "trackio")
    assert "is already in" in log(run, "broken", "trackio")
    (found,) = trackio_runs(kept, "broken")
    (step,) = kept.SQLiteStorage.get_logs("broken", found.name, run_id=found.id)
    assert step["a/match_recall"] == 1 / 2


SERVER = """
import time, trackio
print(trackio.show(open_browser=False, block_thread=False)[3], flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_trackio_server_has_a_run_once(kept: Any, tmp_path: Path) -> None:
    run, home = saved(tmp_path / "run", "lab/good"), tmp_path / "server"
    around = {**os.environ, "TRACKIO_DIR": str(home), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen([sys.executable, "-c", SERVER], env=around, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = next(line.strip() for line in server.stdout if line.startswith("http"))
            more = {"TRACKIO_SERVER_URL": url, "TRACKIO_DIR": str(tmp_path / "own"), "HF_HUB_OFFLINE": "1"}
            words = [sys.executable, "-m", "evalkit", "log", str(run), "--to", "trackio"]
            said = [
                subprocess.run(words, env={**os.environ, **more}, capture_output=True, text=True, check=True).stdout
                for _ in range(2)
            ]
        finally:
            server.kill()
    assert ["sent to" in said[0], "is already in" in said[1]] == [True, True]
    command = [Path(sys.executable).with_name("trackio"), "get", "run", "--project", "evalkit", "--json"]
    entry = entry_of(run)
    told = subprocess.run(
        [*command, "--run", f"{entry.name} {entry.key}"], env=around, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout)["num_logs"] == 1


def test_what_trackio_refuses_is_a_user_error(kept: Any, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "a")
    done = CliRunner().invoke(group, ["log", str(run), "--to", "trackio", "--project", "registry-x"])
    assert type(done.exception).__name__ == "InputError"
    assert "project 'registry-x'" in str(done.exception)


@given(st.text())
def test_wandb_sorts_and_filters_by_every_name(name: str) -> None:
    """W&B's documents: letters, digits and underscores, a letter or underscore first; steps make its sections.

    What begins with an underscore is W&B's own.
    """
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", step) for step in f"{wandb_name(name)}/match_f1".split("/"))


@given(st.text())
def test_trackio_renames_no_figure(kept: Any, name: str) -> None:
    figure = f"{trackio_name(name)}/match_f1"
    assert figure not in kept.utils.RESERVED_KEYS
    assert not figure.startswith("__")


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_client_that_is_missing_is_told_with_its_extra(
    tmp_path: Path, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of its name, as W&B makes one where it is used, is no client."""
    (tmp_path / tracker).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if "editable" not in repr(one)])
    monkeypatch.delitem(sys.modules, tracker, raising=False)
    with pytest.raises(InputError, match=rf"^--to {tracker} needs its client.*\[{tracker}\]'$"):
        log_run(tmp_path, tracker, "evalkit")


def test_a_tracker_that_is_mistyped_is_guessed() -> None:
    done = CliRunner().invoke(group, ["log", "run", "--to", "wanbd"])
    assert done.exit_code == 2
    assert "'wanbd' is not one of 'mlflow', 'wandb', 'trackio'. Did you mean 'wandb'?" in done.output
