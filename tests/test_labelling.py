"""Labelling by a person: order, journal, what a kill leaves, labels written, agreement; who may talk to the page."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import entry, gold, plan

from evalkit.errors import InputError
from evalkit.labels.page import (
    LabelSession,
    nearest,
    open_session,
    sampled,
    tasks_of_labels,
    tasks_of_run,
    threshold_of,
)
from evalkit.labels.page.session import read_journal
from evalkit.labels.page.tasks import LabelTask, paper_doubts
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.label_files import Labels, read_labels
from evalkit.storage.runs import Run, load_run


def made_run(papers: int = 4) -> Run:
    golds = [gold(entry("gate block"), entry("loss term", "REPLACE", ["l1", "l2"], ["F1", "accuracy"]), paper=f"p{at}")
             for at in range(papers)]  # fmt: skip
    plans = [plan(entry("gate blocks"), entry("weight of loss"), entry("warmup"), paper=g.paper, planner=name)
             for g in golds for name in "ab"]  # fmt: skip
    return score_run(plans, golds, Settings(matcher="lexical", resamples=0))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("made") / "run"
    made_run().save(folder)
    return load_run(folder)


def answer_all(session: LabelSession, answer: str = "different", at_most: int = 10**6) -> list[str]:
    """Answer pair by pair as the page asks; the keys in the order they were asked."""
    asked: list[str] = []
    while not (view := session.view())["done"] and len(asked) < at_most:
        key = next(one["key"] for one in view["candidates"] if not one["answer"])
        session.answer([key], answer)
        asked.append(key)
    return asked


def test_tasks_of_a_run_are_its_lists(run: Run) -> None:
    tasks = tasks_of_run(run)
    assert [(task.planner, task.paper) for task in tasks] == [(name, f"p{at}") for name in "ab" for at in range(4)]
    first = tasks[0]
    assert first.gold[1] == entry("loss term", "REPLACE", ["l1", "l2"], ["F1", "accuracy"])
    assert [item.part for item in first.plan] == ["gate blocks", "weight of loss", "warmup"]
    assert first.borderline <= set(first.chances) <= set(first.pairs)
    assert run.signature.thresholds.endswith(f"/{threshold_of(run):g}")


def test_the_least_sure_come_first() -> None:
    chances = {(0, 0): 0.4, (0, 1): 0.7, (1, 0): 0.49, (1, 1): 0.95}
    unsure = frozenset({(0, 0), (0, 1), (1, 0)})
    one = LabelTask("p", "a", (entry("x"), entry("y")), (entry("u"), entry("v")), chances=chances, borderline=unsure)
    queue = nearest([one], 0.5)
    assert [(screen.gold, screen.candidates) for screen in queue.screens] == [(1, (0,)), (0, (0, 1))]
    assert queue.sampling == "nearest to the threshold first"
    assert nearest([replace(one, borderline=frozenset())], 0.5).sampling == "every pair"


def test_a_sample_has_whole_papers_by_its_seed(run: Run) -> None:
    tasks = tasks_of_run(run)
    queue = sampled(tasks, 2, 1)
    papers = [tasks[screen.task].paper for screen in queue.screens]
    # Two planners and two gold entries for each of two papers, every plan entry a candidate.
    assert sorted(Counter(papers).values()) == [4, 4]
    assert papers == sorted(papers, key=papers.index)
    assert all(screen.candidates == (0, 1, 2) for screen in queue.screens)
    assert queue == sampled(tasks, 2, 1)
    assert len({tuple(sampled(tasks, 2, seed).screens) for seed in range(20)}) > 4
    with pytest.raises(InputError, match="there are 4 papers"):
        sampled(tasks, 5, 0)


def doubtful(chances: Sequence[float]) -> list[LabelTask]:
    """A paper a chance: one gold entry, one plan entry, and how probable it is that they match."""
    one = (entry("x"),)
    return [LabelTask(f"p{at:02}", "a", one, one, chances={(0, 0): chance}) for at, chance in enumerate(chances)]


def test_doubt_by_hand() -> None:
    """Wrong: 0.2 + 0.4 of 1 + 2 entries, and 0 of 2 for the other planner, whose pair has no probability."""
    gold_list, plan_list = (entry("x"),), (entry("u"), entry("v"))
    tasks = [
        LabelTask("p", "a", gold_list, plan_list, chances={(0, 0): 0.8, (0, 1): 0.4}),
        LabelTask("p", "b", gold_list, gold_list, chances={(0, 0): math.nan}),
    ]
    assert paper_doubts(tasks) == {"p": pytest.approx(0.6 / 3 / 2)}


def test_a_sample_is_spread_over_doubt_and_each_paper_is_as_likely() -> None:
    # Doubts 0, 0.05, 0.1, ... in an order that names do not show: certain both ways are the same.
    chances = [0.0, 0.9, 0.2, 0.7, 0.4, 0.5, 1.0, 0.1]
    tasks = doubtful(chances)
    drawn: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for seed in range(2000):
        queue = sampled(tasks, 3, seed)
        papers = [tasks[screen.task].paper for screen in queue.screens]
        assert len(set(papers)) == 3
        drawn.update(papers)
        first[papers[0]] += 1
        doubts = sorted(min(chances[int(name[1:])], 1 - chances[int(name[1:])]) for name in papers)
        # Of eight papers the three least doubtful have at most 0.1, the three most doubtful at least 0.3.
        assert doubts[0] <= 0.1 + 1e-9
        assert doubts[-1] >= 0.3 - 1e-9
    # 3 of 8 papers: 750 of 2000, give or take 4.5 of its standard deviation of 21.7; the first of them 250 +- 67.
    assert all(abs(drawn[task.paper] - 750) < 98 for task in tasks), drawn
    assert all(abs(first[task.paper] - 250) < 67 for task in tasks), first


def test_a_sample_becomes_labels_that_correct(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    session = open_session(tasks, sampled(tasks, 2, 1), tmp_path / "labels.jsonl", "ann")
    while not (view := session.view())["done"]:
        session.answer([view["candidates"][0]["key"]], "match")
        session.answer([one["key"] for one in view["candidates"][1:]], "different")
    rows = read_labels([tmp_path / "labels.ann.jsonl"])
    assert len(rows) == 4
    assert {row.annotator for row in rows} == {"ann"}
    assert {row.sampling for row in rows} == {"papers: 2 of 4 at random, spread over doubt, seed 1"}
    assert all(row.match == {(0, 0), (1, 0)} and not row.undecided for row in rows)
    plans = [plan(*task.plan, paper=task.paper, planner=task.planner) for task in tasks]
    assert Labels(rows).doubts(plans) == []


def test_what_was_not_asked_is_undecided(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_labels(read_labels([write(run, tmp_path)]))
    session = open_session(tasks, nearest(tasks, 0.5), tmp_path / "again.jsonl")
    first = session.view()["candidates"]
    session.answer([first[0]["key"]], "part")
    session.answer([first[1]["key"]], "skip")
    session.export()
    (row,) = read_labels([tmp_path / "again.jsonl"])
    assert (row.match, row.same_part) == (frozenset(), {(0, 0)})
    assert row.undecided == {(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}


def write(run: Run, folder: Path) -> Path:
    """Label files to label again."""
    tasks = tasks_of_run(run)
    session = open_session(tasks, sampled(tasks, 1, 0), folder / "first.jsonl")
    answer_all(session)
    return folder / "first.jsonl"


def test_undo_takes_back_answers_after_a_restart(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    queue = sampled(tasks, 2, 1)
    session = open_session(tasks, queue, tmp_path / "labels.jsonl")
    keys = answer_all(session, at_most=5)
    session.undo()
    assert session.view()["answered"] == 4
    again = open_session(tasks, queue, tmp_path / "labels.jsonl")
    assert again.journal.answers == session.journal.answers == dict.fromkeys(keys[:4], "different")
    again.undo()
    assert again.view()["answered"] == 3
    for _ in range(5):
        again.undo()
    assert not open_session(tasks, queue, tmp_path / "labels.jsonl").view()["can_undo"]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_half_a_line_is_no_answer(cut: int, run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    queue = sampled(tasks, 2, 1)
    session = open_session(tasks, queue, tmp_path / "labels.jsonl")
    keys = answer_all(session, at_most=3)
    data = session.journal.path.read_bytes()
    session.journal.path.write_bytes(data[:-cut] if cut < len(keys[-1]) + 30 else data)
    again = open_session(tasks, queue, tmp_path / "labels.jsonl")
    before = again.view()["answered"]
    assert before in (2, 3)
    answer_all(again, at_most=2)
    assert open_session(tasks, queue, tmp_path / "labels.jsonl").view()["answered"] == before + 2


def test_a_journal_of_another_purpose_is_refused(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    open_session(tasks, sampled(tasks, 2, 1), tmp_path / "labels.jsonl")
    with pytest.raises(InputError, match="holds answers on 'papers: 2 of 4 at random, spread over doubt, seed 1'"):
        open_session(tasks, sampled(tasks, 2, 2), tmp_path / "labels.jsonl")
    (tmp_path / "other.answers.jsonl").write_text('{"x": 1}\n')
    with pytest.raises(InputError, match="not a journal"):
        read_journal(tmp_path / "other.answers.jsonl")
    with pytest.raises(InputError, match="--annotator"):
        open_session(tasks, sampled(tasks, 2, 1), tmp_path / "labels.jsonl", "../x")


def test_two_annotators_have_own_files_and_an_agreement(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    queue = sampled(tasks, 1, 1)
    one, two = (open_session(tasks, queue, tmp_path / "labels.jsonl", name) for name in ("ann", "bob"))
    keys = answer_all(one)
    assert one.view()["agreement"] == []
    for number, key in enumerate(keys):
        two.answer([key], "match" if number == 0 else "different")
    two.undo()
    two.answer([keys[-1]], "skip")
    (printed,) = two.view()["agreement"]
    # All but the skipped pair are shared, all but the first of them the same; ann never varies, so chance explains it.
    assert (printed["annotator"], printed["pairs"], printed["same"]) == ("ann", len(keys) - 1, len(keys) - 2)
    assert printed["kappa"] == pytest.approx(0)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"labels.{name}{end}" for name in ("ann", "bob") for end in (".jsonl", ".answers.jsonl")
    }


def test_unknown_pairs_and_answers_are_refused(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    session = open_session(tasks, sampled(tasks, 1, 1), tmp_path / "labels.jsonl")
    key = session.view()["candidates"][0]["key"]
    for keys, printed in (([key], "maybe"), (["other"], "match"), ([], "match")):
        with pytest.raises(InputError):
            session.answer(keys, printed)
    assert session.view()["answered"] == 0


# --- the page's door ---

GOOD = {
    "x-token": "t0ken",
    "host": "127.0.0.1:4242",
    "origin": "http://127.0.0.1:4242",
    "content-type": "application/json",
}


@pytest.fixture
def door(run: Run, tmp_path: Path) -> Any:
    from starlette.testclient import TestClient

    from evalkit.labels.page.server import application

    tasks = tasks_of_run(run)
    session = open_session(tasks, sampled(tasks, 1, 1), tmp_path / "labels.jsonl")
    return TestClient(application(session, "t0ken", 4242), base_url="http://127.0.0.1:4242")


def test_the_page_and_an_answer(door: Any) -> None:
    page = door.get("/?token=t0ken")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    view = door.get("/state", headers={"x-token": "t0ken"}).json()
    done = door.post("/answer", headers=GOOD, json={"keys": [view["candidates"][0]["key"]], "answer": "match"})
    assert done.json()["answered"] == 1
    assert door.post("/undo", headers=GOOD, json={}).json()["answered"] == 0
    assert door.post("/answer", headers=GOOD, json={"keys": ["x"], "answer": "match"}).status_code == 400
    assert door.post("/answer", headers=GOOD, content=b"{").status_code == 400
    assert door.post("/answer", headers=GOOD, json=[1]).status_code == 400


@pytest.mark.parametrize(
    "change",
    [
        {"x-token": "wrong"},
        {"x-token": None},
        {"host": "evil.example"},
        {"host": "127.0.0.1:1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": None},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-length": "9999999"},
    ],
)
def test_nobody_else_may_post(door: Any, change: dict[str, str | None]) -> None:
    headers = {name: value for name, value in (GOOD | change).items() if value is not None}
    view = door.get("/state", headers={"x-token": "t0ken"}).json()
    body = json.dumps({"keys": [view["candidates"][0]["key"]], "answer": "match"})
    refused = door.post("/answer?token=t0ken", headers=headers, content=body)
    assert refused.status_code == 403
    assert door.get("/state", headers={"x-token": "t0ken"}).json()["answered"] == 0


@pytest.mark.parametrize("path", ["/", "/state", "/?token=", "/?token=wrong"])
def test_nothing_is_shown_without_the_token(door: Any, path: str) -> None:
    assert door.get(path).status_code == 403
