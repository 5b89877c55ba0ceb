"""Labelling by a person: order, journal, what a kill leaves, labels written, agreement; who may talk to the page."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
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
from evalkit.labels.page.journal import read_journal
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


# --- two pages on one file ---


def two_pages(run: Run, out: Path) -> tuple[LabelSession, LabelSession]:
    tasks = tasks_of_run(run)
    first, second = (open_session(tasks, sampled(tasks, 2, 1), out) for _ in range(2))
    return first, second


def answered(path: Path) -> int:
    """Count the pairs that a label file decides."""
    rows = read_labels([path])
    return sum(len(row.gold) * len(row.plan) - len(row.undecided) for row in rows)


def test_two_pages_on_one_file_lose_no_answer(run: Run, tmp_path: Path) -> None:
    """24 pairs, answered in turn by two pages; whichever writes the labels last writes all of them."""
    pages = two_pages(run, tmp_path / "labels.jsonl")
    asked: list[str] = []
    while not (view := pages[len(asked) % 2].view())["done"]:
        asked.append(next(one["key"] for one in view["candidates"] if not one["answer"]))
        pages[len(asked) % 2].answer(asked[-1:], "different")  # the other page answers
    assert (len(asked), len(set(asked))) == (24, 24)
    for page in pages:
        page.export()
        assert answered(tmp_path / "labels.jsonl") == 24


def test_undo_takes_back_what_the_page_itself_answered(run: Run, tmp_path: Path) -> None:
    first, second = two_pages(run, tmp_path / "labels.jsonl")
    keys = [one["key"] for one in first.view()["candidates"]]
    first.answer(keys[:1], "match")
    second.answer(keys[1:2], "part")
    first.undo()
    for page in (first, second):
        assert page.view()["answered"] == 1
        assert page.journal.answers == {keys[1]: "part"}
    assert not first.view()["can_undo"]
    first.undo()
    assert second.view()["answered"] == 1


def test_the_journal_of_an_earlier_version_is_read(run: Run, tmp_path: Path) -> None:
    first, _ = two_pages(run, tmp_path / "labels.jsonl")
    keys = [one["key"] for one in first.view()["candidates"]]
    lines = [{"keys": keys[:1], "answer": "match"}, {"keys": keys[1:2], "answer": "part"}, {"undo": True}]
    with first.journal.path.open("a") as stream:
        stream.writelines(f"{json.dumps(line)}\n" for line in lines)
    again, _ = two_pages(run, tmp_path / "labels.jsonl")
    assert again.journal.answers == {keys[0]: "match"}
    again.undo()
    assert again.view()["answered"] == 0


def test_pages_on_different_runs_keep_each_others_labels(run: Run, tmp_path: Path) -> None:
    out, tasks = tmp_path / "labels.jsonl", tasks_of_run(run)
    left, right = ([task for task in tasks if task.planner == name] for name in "ab")
    pages = [open_session(half, nearest(half, 0.5), out) for half in (left, right)]
    for page in pages:
        answer_all(page)
    for page in pages:
        page.export()
        assert {row.planner for row in read_labels([out])} == {"a", "b"}


def test_labels_of_other_entries_of_the_same_plan_are_not_written_over(run: Run, tmp_path: Path) -> None:
    out, tasks = tmp_path / "labels.jsonl", tasks_of_run(run)[:1]
    answer_all(open_session(tasks, sampled(tasks, 1, 1), out))
    before = out.read_bytes()
    changed = [replace(tasks[0], plan=(entry("another"),))]
    page = open_session(changed, sampled(changed, 1, 1), out)
    answer_all(page)
    assert "has labels of other entries of 'a' on 'p0'" in page.view()["problem"]
    assert out.read_bytes() == before


@pytest.mark.slow
def test_processes_that_answer_at_once_lose_no_answer(run: Run, tmp_path: Path) -> None:
    out, tasks = tmp_path / "labels.jsonl", tasks_of_run(run)
    keys = [key for screen in sampled(tasks, 4, 1).screens for key in keys_of(tasks, screen)]
    run.save(tmp_path / "run")
    code = """
        import sys
        from pathlib import Path
        from evalkit.labels.page import open_session, sampled, tasks_of_run
        from evalkit.storage.runs import load_run
        tasks = tasks_of_run(load_run(sys.argv[1]))
        session = open_session(tasks, sampled(tasks, 4, 1), sys.argv[2])
        for key in sys.argv[3:]:
            session.answer([key], "match")
        session.export()
    """
    halves = [[sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "run"), str(out), *keys[at::3]]
              for at in range(3)]  # fmt: skip
    started = [subprocess.Popen(words) for words in halves]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert answered(out) == len(keys) == 48


def keys_of(tasks: Sequence[LabelTask], screen: Any) -> list[str]:
    return [tasks[screen.task].key((screen.gold, p)) for p in screen.candidates]


def garbage(path: Path) -> None:
    path.write_bytes(b'{"evalkit_labels": 1}\n{"keys"}\n')


@pytest.mark.parametrize(
    "damage",
    [garbage, lambda path: path.write_bytes(b"\xff\xfe\0"), os.mkfifo, Path.mkdir,
     lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("nowhere"),
     lambda path: path.write_text("[" * 5000 + "}")],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_damaged_file_beside_it_is_told_and_stops_nobody(
    run: Run, tmp_path: Path, damage: Callable[[Path], object], when: str
) -> None:
    other, tasks = tmp_path / "labels.bob.answers.jsonl", tasks_of_run(run)
    if when == "before":
        damage(other)
    session = open_session(tasks, sampled(tasks, 2, 1), tmp_path / "labels.jsonl", "ann")
    if when == "meanwhile":
        damage(other)
    answer_all(session)
    assert session.view()["done"]
    assert "no agreement with" in session.view()["problem"]
    assert str(other) in session.view()["problem"]
    session.export()
    assert answered(tmp_path / "labels.ann.jsonl") == 24


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.answers.jsonl"])
@pytest.mark.parametrize("damage", [garbage, os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_its_own_files_when_damaged_are_refused_by_name(
    run: Run, tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    damage(tmp_path / name)
    tasks = tasks_of_run(run)
    with pytest.raises(InputError, match=name):
        open_session(tasks, sampled(tasks, 2, 1), tmp_path / "labels.jsonl")


def test_labels_that_are_there_without_a_journal_are_kept(run: Run, tmp_path: Path) -> None:
    tasks = tasks_of_run(run)
    source = write(run, tmp_path)
    before = read_labels([source])
    source.with_name("first.answers.jsonl").unlink()
    session = open_session(tasks, sampled(tasks, 1, 0), source)
    kept = read_labels([source])
    assert [(row.planner, row.match, row.undecided) for row in kept] == [
        (row.planner, row.match, row.undecided) for row in before
    ]
    answer_all(session, "match", at_most=1)
    session.export()
    assert len(read_labels([source])) == len(before)
