"""Judges asked by batches: what is sent, what comes of each line, what a break costs, and what is paid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry
from judge_server import JudgeServer, pairs_in, serving

from evalkit.cli import group
from evalkit.cli.options import pairs_prompt
from evalkit.errors import JudgeError, SettingsError
from evalkit.judges.llm import Panel, ReplyCache
from evalkit.judges.llm import batch_server as batch_api
from evalkit.judges.llm.budget import Budget, NoReply
from evalkit.settings import JudgeSettings, Settings
from evalkit.types import Question

WORDS = ["gate", "loss", "norm"]
QUESTIONS = [Question(paper, entry(one), entry(other)) for paper in ("p", "q") for one in WORDS for other in WORDS]


@contextmanager
def panel(folder: Path, url: str, said: list[str] | None = None, **changes: Any) -> Iterator[Panel]:
    settings = JudgeSettings(
        **{"models": ("m",), "url": url, "wait": 0.01, "pairs_per_call": 3, "batch": True, "attempts": 3, **changes}
    )
    with ReplyCache(folder / "cache") as cache:
        tell = (said if said is not None else []).append
        yield Panel(settings, pairs_prompt(settings), cache, seed=0, key=lambda _: "secret-key", tell=tell)


def requests(judge: JudgeServer) -> list[int]:
    """How many requests each batch had."""
    return [len(batch["lines"]) for batch in judge.batches.made.values()]


def test_all_questions_are_one_batch_at_half_the_price(tmp_path: Path) -> None:
    """Six requests of 100 tokens in at 2 and 10 out at 30 per million are 0.0005 each, in a batch 0.00025."""
    judge = JudgeServer()
    with serving(judge) as url:
        with panel(tmp_path, url, batch=False) as judges:
            alone = judges.ask(QUESTIONS)
        bodies = sorted(map(json.dumps, judge.log))
        judge.log.clear()
        with panel(tmp_path / "other", url, prices={"m": (2, 30)}) as judges:
            assert judges.ask(QUESTIONS) == alone
            assert judges.budget.money == pytest.approx(6 * 0.00025)
            assert judges.spent() == "6 calls (6 in batches), 660 tokens, 0.0015 USD"
            assert judges.trouble() == ""
    assert requests(judge) == [6]
    assert sorted(map(json.dumps, judge.log)) == bodies  # a batch asks what single calls would
    assert judge.batches.log[:2] == ["POST /v1/files", "POST /v1/batches"]
    assert set(judge.batches.keys) == {"Bearer secret-key"}
    names = [line["custom_id"] for line in judge.batches.made["batch_0"]["lines"]]
    assert len(set(names)) == 6
    assert "secret-key" not in json.dumps(judge.batches.made)


def test_answers_by_batch_and_by_call_are_the_same_answers(tmp_path: Path) -> None:
    judge = JudgeServer()
    with serving(judge) as url:
        with panel(tmp_path, url) as judges:
            first, name = judges.ask(QUESTIONS), judges.signature
        with panel(tmp_path, url, batch=False) as judges:
            assert judges.ask(QUESTIONS) == first
            assert (judges.signature, judges.spent()) == (name, "0 calls, 0 tokens")
        with panel(tmp_path, url) as judges:
            judges.ask(QUESTIONS)
    assert requests(judge) == [6]


def test_batches_are_split_where_the_protocol_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = JudgeServer()
    monkeypatch.setattr(batch_api, "MOST_REQUESTS", 4)
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert requests(judge) == [4, 2]
    size = max(len(line) for line in judge.batches.files["file-0"].splitlines())
    monkeypatch.setattr(batch_api, "MOST_BYTES", 2 * size + 2 * 200)
    judge = JudgeServer()
    with serving(judge) as url, panel(tmp_path / "other", url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert requests(judge) == [2, 2, 2]


def test_each_judge_has_a_batch_of_its_own(tmp_path: Path) -> None:
    judge = JudgeServer()
    with serving(judge) as url, panel(tmp_path, url, models=("a", "b", "c")) as judges:
        opinions = judges.ask(QUESTIONS)
    assert {opinion.by for opinion in opinions.values()} == {"3 of 3 judges"}
    models = [{line["body"]["model"] for line in batch["lines"]} for batch in judge.batches.made.values()]
    assert models == [{"a"}, {"b"}, {"c"}]
    last = max(at for at, line in enumerate(judge.batches.log) if line == "POST /v1/batches")
    assert not [
        line for line in judge.batches.log[:last] if line.startswith("GET")
    ]  # all are out before any is waited for


@pytest.mark.parametrize("word", ["500", "429", "schema", "cut", "odd", "ids"])
def test_a_line_that_failed_is_asked_again_alone(word: str, tmp_path: Path) -> None:
    judge = JudgeServer(["ok", word, "ok"])
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
        assert judges.trouble() == ""
        assert (judges.budget.calls, judges.budget.batched) == (7, 6)
    assert len(judge.log) == 7


def test_a_line_that_fails_alone_too_is_left(tmp_path: Path) -> None:
    judge = JudgeServer(["ok"] * 5 + ["schema"] * 3)
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS) - 3
        assert judges.failures == {"unfit": 3}
        assert judges.trouble().startswith("3 of 18 answers did not come, 17%: 3 unfit; the last error: an answer has")


def test_where_most_of_a_large_batch_failed_nothing_is_paid_again_in_full(tmp_path: Path) -> None:
    many = [Question(f"p{at}", entry("gate"), entry("gate")) for at in range(20)]
    judge = JudgeServer(["500"] * 11)
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(many)) == 9
        assert judges.failures == {"failed": 11}
        assert "no: ***" in judges.trouble() or "no: Bearer ***" in judges.trouble()
    assert len(judge.log) == 20


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_a_batch_did_not_come_to_is_in_the_next(end: str, tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.final, judge.batches.untouched = end, 2
    with serving(judge) as url:
        with panel(tmp_path, url) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS) - 6
            assert judges.failures == {end: 6}
            assert judges.report()["left"] == {"not answered": 6}
        judge.batches.final, judge.batches.untouched = "completed", 0
        with panel(tmp_path, url) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
            assert judges.failures == {}
    assert requests(judge) == [6, 2]


def test_a_batch_that_fails_before_it_begins_says_why_and_is_forgotten(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.final, judge.batches.errors = "failed", "The key secret-key has no batches."
    with serving(judge) as url:
        with panel(tmp_path, url) as judges, pytest.raises(JudgeError, match=r"batch_0 failed .*key \*\*\* has no"):
            judges.ask(QUESTIONS)
        judge.batches.final = "completed"
        with panel(tmp_path, url) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert requests(judge) == [6, 6]


def test_the_server_of_these_tests_speaks_the_protocol_of_the_official_client(tmp_path: Path) -> None:
    from openai import OpenAI
    from openai.types import Batch, FileObject
    from openai.types.chat import ChatCompletion

    judge = JudgeServer()
    with serving(judge) as url, panel(tmp_path, url) as judges:
        judges.ask(QUESTIONS)
        client = OpenAI(base_url=url, api_key="k", max_retries=0)
        batch = client.batches.retrieve("batch_0")
        Batch.model_validate(batch.to_dict(), strict=True)
        assert (batch.status, batch.request_counts and batch.request_counts.completed) == ("completed", 6)
        assert [item.id for item in client.batches.list()] == ["batch_0"]
        FileObject.model_validate(client.files.create(file=b"{}", purpose="batch").to_dict(), strict=True)
        for line in client.files.content(str(batch.output_file_id)).text.splitlines():
            ChatCompletion.model_validate_json(json.dumps(json.loads(line)["response"]["body"]), strict=True)


def test_what_is_out_is_not_estimated_again(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.polls = 10**9
    with serving(judge) as url:
        with panel(tmp_path, url, batch_hours=0) as judges, pytest.raises(JudgeError):
            judges.ask(QUESTIONS[:9])
        with panel(tmp_path, url) as judges:
            (row,) = judges.estimate(QUESTIONS)
            assert (row["pairs"], row["kept"], row["calls"]) == (18, 9, 3)
        with panel(tmp_path, url, batch=False) as judges:
            (row,) = judges.estimate(QUESTIONS)
            assert (row["pairs"], row["kept"], row["calls"]) == (18, 0, 6)


def test_a_second_run_waits_for_the_batch_of_the_first(tmp_path: Path) -> None:
    """Also when some of what it asks is new; only that is submitted."""
    judge, said = JudgeServer(), []
    judge.batches.polls = 10**9
    with serving(judge) as url:
        with (
            panel(tmp_path, url, batch_hours=0) as judges,
            pytest.raises(
                JudgeError, match=r"^no end after 0 hours: batch batch_0 goes on at http.* waits for it again"
            ),
        ):
            judges.ask(QUESTIONS[:9])
        judge.batches.polls = 2
        with panel(tmp_path, url, said) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
            assert judges.budget.calls == 6
    assert requests(judge) == [3, 3]
    assert said[0].startswith("batch batch_0: waiting for it; it was submitted at 20")
    assert said[1].startswith("batch batch_1: 3 requests submitted to http://127.0.0.1")


def test_a_batch_at_another_address_is_not_waited_for(tmp_path: Path) -> None:
    one, other = JudgeServer(), JudgeServer()
    one.batches.polls = 10**9
    with serving(one) as url, serving(other) as elsewhere:
        with panel(tmp_path, url, batch_hours=0) as judges, pytest.raises(JudgeError):
            judges.ask(QUESTIONS)
        with panel(tmp_path, elsewhere) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert (requests(one), requests(other)) == ([6], [6])


def test_a_batch_that_the_server_does_not_know_is_a_clear_error(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.polls = 10**9
    with serving(judge) as url:
        with panel(tmp_path, url, batch_hours=0) as judges, pytest.raises(JudgeError):
            judges.ask(QUESTIONS)
        judge.batches.made.clear()
        with (
            panel(tmp_path, url) as judges,
            pytest.raises(JudgeError, match=r"No batch found .* without --judge-batch"),
        ):
            judges.ask(QUESTIONS)
        with panel(tmp_path, url, batch=False) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
        with panel(tmp_path, url) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)


@pytest.mark.parametrize("failing", [[503], [200, 429], [200, 200, 500, 500], [200, 200, 200, 503]])
def test_a_server_that_fails_for_a_while_is_asked_again(failing: list[int], tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.failing = failing
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert requests(judge) == [6]


def test_a_batch_whose_receipt_got_lost_is_found_and_not_paid_twice(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.failing = [200, 0]
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert requests(judge) == [6]
    assert "GET /v1/batches?limit=100" in judge.batches.log


def test_a_server_that_stays_away_leaves_the_batch_to_be_waited_for(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.failing = [200, 200, 503, 503, 503]
    with serving(judge) as url:
        with (
            panel(tmp_path, url) as judges,
            pytest.raises(JudgeError, match=r"batch_0 does not answer: .*waits for it"),
        ):
            judges.ask(QUESTIONS)
        with panel(tmp_path, url) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert requests(judge) == [6]


def test_the_budget_is_checked_before_a_batch_is_submitted(tmp_path: Path) -> None:
    judge = JudgeServer()
    with serving(judge) as url:
        with panel(tmp_path, url, budget_calls=2) as judges:
            assert len(judges.ask(QUESTIONS)) == 6
            assert judges.failures == {"budget": 12}
        with panel(tmp_path / "a", url, prices={"m": (1.0, 1.0)}) as judges:
            whole = judges.estimate(QUESTIONS)[0]["money"]
        with panel(tmp_path / "a", url, prices={"m": (1.0, 1.0)}, batch=False) as judges:
            assert judges.estimate(QUESTIONS)[0]["money"] == pytest.approx(2 * whole)
        # Just enough for four of six requests that are all as long.
        with panel(tmp_path / "a", url, prices={"m": (1.0, 1.0)}, budget_money=whole * 4.5 / 6) as judges:
            assert len(judges.ask(QUESTIONS)) == 12
            assert judges.failures == {"budget": 6}
            assert judges.budget.money <= whole * 4.5 / 6
    assert requests(judge) == [2, 4]


def test_a_budget_of_nothing_submits_nothing(tmp_path: Path) -> None:
    judge = JudgeServer()
    with serving(judge) as url, panel(tmp_path, url, budget_calls=0) as judges:
        assert judges.ask(QUESTIONS) == {}
    assert judge.batches.log == []


def test_a_single_call_does_not_wait_for_money_that_a_batch_holds() -> None:
    """A batch may be out for a day; four single calls that are out may come back and leave something."""
    settings = JudgeSettings(models=("m",), prices={"m": (1.0, 1.0)}, budget_money=1.0)
    budget = Budget(settings)
    assert budget.reserve_batch([0.3, 0.3, 0.3, 0.3]) == 3
    with pytest.raises(NoReply, match="budget"):
        budget.reserve(0.2)
    budget.settle_batch(0.3, "m", (100_000, 100_000))  # at half the price, 0.1
    budget.reserve(0.2)
    assert (budget.calls, budget.batched, budget.money) == (4, 3, pytest.approx(0.1))


def results(change: Callable[[list[dict[str, Any]]], list[Any]]) -> Callable[[list[bytes]], list[bytes]]:
    """Change the lines of results as JSON."""

    def spoil(lines: list[bytes]) -> list[bytes]:
        rows = change(list(map(json.loads, lines)))
        return [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]

    return spoil


WRONG: dict[str, Callable[[list[dict[str, Any]]], list[Any]]] = {
    "wrong ids": lambda rows: [{**row, "custom_id": f"x{at}"} for at, row in enumerate(rows)],
    "ids of other kinds": lambda rows: [{**row, "custom_id": at} for at, row in enumerate(rows)],
    "each twice": lambda rows: [*rows, *rows],
    "not JSON": lambda _: [b"<html>busy</html>", b"\xff\xfe", b'{"custom_id'],
    "lists": lambda rows: [[row] for row in rows],
    "deep": lambda _: [b"[" * 100_000, b'{"custom_id": "a", "response": ' + b"[" * 100_000],
    "empty": lambda _: [],
    "no body": lambda rows: [{**row, "response": {"status_code": 200}} for row in rows],
    "a response of another kind": lambda rows: [{**row, "response": "ok"} for row in rows],
    "an error of another kind": lambda rows: [{**row, "response": None, "error": [1]} for row in rows],
    "a message of another kind": lambda rows: [{**row, "response": None, "error": {"message": [1]}} for row in rows],
    "half characters": lambda rows: [{**row, "response": None, "error": {"message": "\ud800"}} for row in rows],
    "a code of another kind": lambda rows: [{**row, "response": None, "error": {"code": ["x"]}} for row in rows],
    "too large": lambda rows: [*rows, b" " * (4 << 20)],
}


@pytest.mark.parametrize("name", WRONG)
def test_results_that_are_wrong_are_no_answers(name: str, tmp_path: Path) -> None:
    """Twenty requests, so that none of what failed is asked again alone."""
    many = [Question(f"p{at}", entry("gate"), entry("gate")) for at in range(20)]
    judge = JudgeServer()
    judge.batches.spoil = results(WRONG[name])
    with serving(judge) as url, panel(tmp_path, url) as judges:
        with pytest.raises(JudgeError, match="none of 20 pairs was answered"):
            judges.ask(many)
        assert sum(judges.failures.values()) == 20
    assert len(judge.log) == 20
    assert requests(judge) == [20]


@pytest.mark.parametrize("name", ["one twice", "one more"])
def test_one_wrong_line_costs_only_itself(name: str, tmp_path: Path) -> None:
    more = {"one twice": lambda rows: [*rows, rows[0]], "one more": lambda rows: [*rows, {**rows[0], "custom_id": "z"}]}
    judge = JudgeServer()
    judge.batches.spoil = results(more[name])
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert len(judge.log) == 6 + (name == "one twice")


def test_an_answer_counts_only_for_its_own_request(tmp_path: Path) -> None:
    """Two lines with their names exchanged answer ids that were not asked there."""

    def exchanged(rows: list[dict[str, Any]]) -> list[Any]:
        names = [row["custom_id"] for row in rows]
        return [{**row, "custom_id": name} for row, name in zip(rows, [*names[1:], names[0]], strict=True)]

    judge = JudgeServer()
    judge.batches.spoil = results(exchanged)
    with serving(judge) as url, panel(tmp_path, url) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
        assert (judges.budget.calls, judges.budget.batched) == (12, 6)


def test_batches_are_of_openais_protocol_and_offline_holds() -> None:
    with pytest.raises(SettingsError, match="offline"):
        Settings(offline=True, judge=JudgeSettings(models=("m",), batch=True))
    with pytest.raises(SettingsError, match="batches are for OpenAI's protocol"):
        JudgeSettings(models=("anthropic:claude",), batch=True)


def folders(tmp_path: Path) -> list[str]:
    """Three papers, and the words of the command that scores them with a judge."""
    for paper in "abc":
        for place in ("plans/x", "gold"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            rows = [{"name": word, "ablated_part": word, "action": "REMOVE"} for word in WORDS]
            (tmp_path / place / f"{paper}.json").write_text(json.dumps(rows))
    return ["score", "--pred", str(tmp_path / "plans"), "--gold", str(tmp_path / "gold"), "--matcher", "lexical",
            "--judge", "m", "--judge-all", "--judge-batch", "--resamples", "0", "--cache", str(tmp_path / "cache"),
            "--offline", "--out", str(tmp_path / "run")]  # fmt: skip


# The command, which hears Ctrl-C even where whoever runs the tests ignores it.
EVALKIT = (sys.executable, "-c", "import signal; from evalkit.cli import main; "
           "signal.signal(signal.SIGINT, signal.default_int_handler); main()")  # fmt: skip


def test_ctrl_c_says_how_to_come_back_and_the_same_command_goes_on(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.polls = 10**9
    words = folders(tmp_path)
    with serving(judge) as url:
        command = [*EVALKIT, *words, "--judge-url", url]
        environment = {**os.environ, "OPENAI_API_KEY": "sk-secret"}
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        while not any(line.startswith("GET") for line in judge.batches.log):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
        assert running.returncode == 130
        assert "evalkit: batch batch_0: 3 requests submitted to http://127.0.0.1" in errors
        assert f"stopped; batch batch_0 goes on at {url}, and the same command waits for it again" in errors
        assert not (tmp_path / "run").exists()
        judge.batches.polls = 1
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "evalkit: batch batch_0: waiting for it; it was submitted at" in done.stderr
    assert requests(judge) == [3]
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["judge"]["decided"], run["settings"]["judge"]["batch"]) == (27, True)
    written = [path.read_bytes() for path in (*(tmp_path / "run").iterdir(), *(tmp_path / "cache").iterdir())]
    assert not [content for content in written if b"sk-secret" in content]


@pytest.mark.slow
def test_ctrl_c_while_a_batch_is_submitted_keeps_its_id(tmp_path: Path) -> None:
    judge = JudgeServer()
    judge.batches.slowness = 2.0
    words = folders(tmp_path)
    with serving(judge) as url:
        command = [*EVALKIT, *words, "--judge-url", url]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "batch_0" not in judge.batches.made:
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
        assert running.returncode == 130
        assert f"stopped; batch batch_0 goes on at {url}" in errors
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert requests(judge) == [3]


def test_both_orders_of_a_measured_judge_are_out_at_once(tmp_path: Path) -> None:
    side = [{"name": word, "ablated_part": word, "action": "REMOVE"} for word in WORDS]
    row = {"paper": "a", "planner": "x", "gold": side, "plan": side, "match": [[0, 0]], "same_part": [[0, 0]]}
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    (tmp_path / "judge.toml").write_text("[judge]\nbatch = true\nwait = 0.01\n")
    judge = JudgeServer()
    with serving(judge) as url:
        words = ["agree", "--labels", str(tmp_path / "labels.jsonl"), "--matcher", "lexical", "--judge", "m",
                 "--judge-url", url, "--cache", str(tmp_path / "cache"), "--json"]  # fmt: skip
        words += ["--config", str(tmp_path / "judge.toml")]
        done = CliRunner().invoke(group, words, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["answered"], found["spent"]) == (9, "2 calls (2 in batches), 220 tokens")
    assert requests(judge) == [1, 1]
    log = judge.batches.log
    assert log.index("GET /v1/batches/batch_0") > max(at for at, word in enumerate(log) if word == "POST /v1/batches")
    first, second = (pairs_in(body["messages"][1]["content"]) for body in judge.log)
    assert {(pair["id"], pair["A"]["name"]) for pair in first} == {(pair["id"], pair["B"]["name"]) for pair in second}
