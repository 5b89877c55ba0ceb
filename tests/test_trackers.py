"""`evalkit log`: a real MLflow store has what the run says, once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cli import group
from evalkit.report.trackers import LONGEST_NAME, entry_of, tracker_name
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


def log(run: Path, project: str, *more: str) -> str:
    done = CliRunner().invoke(group, ["log", str(run), "--to", "mlflow", "--project", project, *more])
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
    assert found.data.metrics.keys() == told.figures.keys()


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
    assert len({tracker_name(name) for name in ("a=b", "a#b", "a_b", "a&b")}) == 4
