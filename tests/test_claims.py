"""No file speaks for a planner in whose place it does not lie, whatever the format and wherever it stands."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from conftest import entry

import evalkit
from evalkit.formats import FORMATS, write_plans
from evalkit.storage.runs import Run
from evalkit.types import Plan

TRUE = (entry("No gate"), entry("No loss"))
WRITABLE = sorted(name for name, format_ in FORMATS.items() if format_.write)
# A document that says it is good's plan of n, each in a place that sorts before or behind plans/good/n.
LIARS = ("aaa/n", "zzz/n", "aaa/m", "aaa/good/n", "good/aaa", "n", "good-2/n.2")


def score(folder: Path, files: dict[str, str]) -> Run:
    for name, text in {"gold/n.json": write_plans([Plan("n", None, TRUE)], "json"), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    settings = evalkit.Settings(matcher="lexical", resamples=0)
    return evalkit.score(folder / "plans", folder / "gold", settings, cache=None)


def recall(run: Run, planner: str = "good") -> float:
    return float(run.leaderboard.set_index("planner")["match_recall"][planner])


def written(form: str, *names: str, paper: str = "n", planner: str = "good", sample: str = "") -> str:
    return write_plans([Plan(paper, planner, tuple(map(entry, names)), sample=sample)], form)


@pytest.mark.parametrize(("form", "liar"), list(product(WRITABLE, LIARS)))
def test_a_file_in_another_place_never_replaces_a_plan(tmp_path: Path, form: str, liar: str) -> None:
    own = {"plans/good/n.json": write_plans([Plan("n", "good", TRUE)], "json")}
    for sample in ("", "7"):
        lie = f"plans/{liar}{FORMATS[form].suffixes[0]}"
        run = score(tmp_path, {**own, lie: written(form, "Nothing of it", sample=sample)})
        if not (sample and liar == "good/aaa"):  # good itself may add a sample in its own place
            assert recall(run) == 1.0
            found = run.diagnostics[run.diagnostics["severity"] == "error"]
            assert [Path(path).name for path in found["path"]] == [Path(lie).name], found["message"].tolist()
            assert int(run.papers["samples"].max()) == 1


@pytest.mark.parametrize(("one", "other"), list(product(WRITABLE, WRITABLE)))
def test_two_files_of_equal_right_are_both_refused_by_name(tmp_path: Path, one: str, other: str) -> None:
    places = [f"plans/{name}/n{FORMATS[form].suffixes[0]}" for name, form in (("aaa", one), ("bbb", other))]
    files = {places[0]: written(one, "No gate"), places[1]: written(other, "No loss")}
    run = score(tmp_path, files | {"plans/sound/n.json": written("json", "No gate", planner="sound")})
    assert run.papers[["planner", "status"]].to_numpy().tolist() == [["good", "unreadable"], ["sound", "planned"]]
    errors = run.diagnostics[run.diagnostics["code"] == "duplicate-plan"]
    assert [str(Path(path).relative_to(tmp_path)) for path in errors["path"]] == places
    assert all("neither is used" in text for text in errors["message"])


def test_a_planner_with_a_folder_gets_no_plan_and_no_sample_from_elsewhere(tmp_path: Path) -> None:
    """Samples of a paper that good never planned would make its other papers look as if they lacked some."""
    files = {"plans/good/n.json": write_plans([Plan("n", "good", TRUE)], "json"),
             "gold/m.json": write_plans([Plan("m", None, TRUE)], "json")}  # fmt: skip
    files |= {f"plans/aaa/m.{number}.json": written("json", "No gate", paper="m") for number in (1, 2, 3)}
    run = score(tmp_path, files)
    assert run.papers[["paper", "status", "samples"]].to_numpy().tolist() == [["m", "missing", 1], ["n", "planned", 1]]
    assert run.diagnostics["code"].tolist().count("plan-elsewhere") == 3


def test_a_folder_that_the_settings_name_is_the_planners_own(tmp_path: Path) -> None:
    files = {"plans/good/n.json": write_plans([Plan("n", "good", TRUE)], "json"),
             "gold/m.json": write_plans([Plan("m", None, TRUE)], "json"),
             "plans/again/m.json": written("json", "No gate", "No loss", paper="m")}  # fmt: skip
    score(tmp_path, files)
    settings = evalkit.Settings(matcher="lexical", resamples=0, planners={"again/*": "good"})
    run = evalkit.score(tmp_path / "plans", tmp_path / "gold", settings, cache=None)
    assert run.papers["status"].tolist() == ["planned", "planned"]


def test_an_unreadable_plan_is_not_replaced_by_a_stranger(tmp_path: Path) -> None:
    run = score(tmp_path, {"plans/good/n.json": '{"ablations": [7]}', "plans/aaa/n.json": written("json", "No gate")})
    assert run.papers[["planner", "status"]].to_numpy().tolist() == [["good", "unreadable"]]
