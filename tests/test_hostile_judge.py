"""A hostile judge's server: no mode of it ends a run in a traceback, takes memory or time, or leads elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import entry
from forked import evalkit_command
from hostile_server import HARMLESS, MODES, REFUSED, UNFIT, hostile
from judge_server import JudgeServer, serving

from evalkit.cli.options import pairs_prompt
from evalkit.errors import JudgeError
from evalkit.judges.llm import Panel, ReplyCache, client, key_from
from evalkit.settings import JudgeSettings
from evalkit.types import Question

QUESTIONS = [Question("p", entry("gate"), entry(word)) for word in ("gate", "loss")]
MEGABYTES = 100


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some modes ask for a pause of years; what is waited at most is a minute, and less here."""
    assert client.LONGEST_WAIT == 60
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.1)


@contextmanager
def panel(folder: Path, url: str, **changes: Any) -> Iterator[Panel]:
    settings = JudgeSettings(
        **{"models": ("m",), "url": url, "wait": 0.0, "attempts": 2, "timeout": 0.6, "prices": {"m": (1, 1)}, **changes}
    )
    with ReplyCache(folder) as cache:
        yield Panel(settings, pairs_prompt(settings), cache, seed=0, key=lambda _: "sk-secret")


def test_there_are_sixty_modes() -> None:
    assert len(MODES) == len(HARMLESS) + len(UNFIT) + len(REFUSED) >= 60


@pytest.mark.parametrize("mode", HARMLESS)
def test_what_is_odd_beside_the_answer_is_passed_over(mode: str, tmp_path: Path) -> None:
    with hostile(mode) as (url, server), panel(tmp_path, url) as judges:
        assert {opinion.match for opinion in judges.ask(QUESTIONS).values()} == {True}
        assert len(server.seen) == 1
        assert judges.budget.tokens_in > 0
        assert 0 < judges.budget.money < 1
    with panel(tmp_path, url) as judges:  # the server is gone, and the answer was kept
        assert len(judges.ask(QUESTIONS)) == 2


@pytest.mark.parametrize("mode", UNFIT)
def test_what_is_no_answer_leaves_the_pairs_to_the_matcher(mode: str, tmp_path: Path) -> None:
    with hostile(mode) as (url, server), panel(tmp_path, url) as judges:
        tracemalloc.start()
        try:
            with pytest.raises(JudgeError, match="none of 2 pairs was answered"):
                judges.ask(QUESTIONS)
            assert tracemalloc.get_traced_memory()[1] < MEGABYTES << 20
        finally:
            tracemalloc.stop()
        assert sum(judges.failures.values()) == 2
        assert set(judges.failures) <= {"failed", "unfit"}
        assert 1 <= len(server.seen) <= 4
        assert judges.budget.money >= 0


@pytest.mark.parametrize("mode", REFUSED)
def test_a_refusal_is_one_clear_error_and_leads_nowhere(mode: str, tmp_path: Path) -> None:
    other = JudgeServer()
    with serving(other) as elsewhere, hostile(mode, elsewhere) as (url, server), panel(tmp_path, url) as judges:
        with pytest.raises(JudgeError, match="the judge 'm' refused the request") as caught:
            judges.ask(QUESTIONS)
        assert len(server.seen) == 1
    assert other.log == []
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 600


BATCH_WORDS = ("id", "ids", "batch", "results", "failure", "failures", "bomb", "silence", "deep", "stream", "error")
BATCH_MODES = [
    *(mode for mode in UNFIT if set(mode.split()) & set(BATCH_WORDS)),
    "empty body", "500 kB of [", "not UTF-8", "closed at once", "status 999", *REFUSED,
]  # fmt: skip


@pytest.mark.parametrize("mode", BATCH_MODES)
def test_a_batch_at_a_hostile_server_ends_in_one_clear_error(mode: str, tmp_path: Path) -> None:
    """Two requests after another have to come through before there is a batch, which then says nothing that fits."""
    other, batch = JudgeServer(), {"batch": True, "batch_hours": 0}
    with (
        serving(other) as elsewhere,
        hostile(mode, elsewhere) as (url, server),
        panel(tmp_path, url, **batch) as judges,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(JudgeError) as caught:
                judges.ask(QUESTIONS)
            assert tracemalloc.get_traced_memory()[1] < MEGABYTES << 20
        finally:
            tracemalloc.stop()
        paths = {request.split(b" ")[1] for request in server.seen}
    assert (other.log, other.batches.log) == ([], [])
    own = {b"/v1/files", b"/v1/batches", b"/v1/batches?limit=100", b"/v1/batches/x", b"/v1/files/x/content"}
    assert paths - {b"/v1/chat/completions"} <= own
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_budget_of_money_waits_for_calls_that_are_out(tmp_path: Path) -> None:
    """A call costs 0.00011; what one may cost, ten times as much, is reserved while it is out."""
    judge = JudgeServer()
    many = [Question(f"p{at}", entry("gate"), entry("gate")) for at in range(60)]
    budget = {"budget_money": 60 * 0.00011 + 0.0012, "prices": {"model": (1.0, 1.0)}, "models": ("model",)}
    with serving(judge) as url, panel(tmp_path, url, concurrency=8, timeout=20, **budget) as judges:
        assert len(judges.ask(many)) == 60
        assert judges.budget.money == pytest.approx(60 * 0.00011)


def test_negative_counts_beat_no_budget(tmp_path: Path) -> None:
    many = [Question(f"p{at}", entry("gate"), entry("gate")) for at in range(30)]
    with hostile("usage negative") as (url, server), panel(tmp_path, url, budget_money=0.003) as judges:
        judges.ask(many)
        assert judges.budget.money <= 0.003
        assert len(server.seen) < 30


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, judge = JudgeServer(), JudgeServer()
    with serving(proxy) as there, serving(judge) as url:
        monkeypatch.setenv(name, there.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        with panel(tmp_path, url, timeout=20) as judges:
            assert len(judges.ask(QUESTIONS)) == 2
    assert (len(judge.log), proxy.log) == (1, [])


@pytest.mark.parametrize("proxy", ["gopher://x", "http://[::1"])
def test_a_proxy_that_is_none_is_a_clear_error(proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with (
        panel(tmp_path, "https://judge.invalid/v1") as judges,
        pytest.raises(JudgeError, match="no server can be asked"),
    ):
        judges.ask(QUESTIONS)


@pytest.mark.parametrize("key", ["a\nb", "sk-\u2019x", "\x1b[31m"])
def test_a_key_that_no_header_can_hold_is_named(key: str) -> None:
    settings = JudgeSettings(models=("m",), url="http://127.0.0.1:1/v1")
    with pytest.raises(JudgeError, match="OPENAI_API_KEY has characters"):
        key_from(settings, {"OPENAI_API_KEY": key}, "m")


def test_no_secret_reaches_the_run(tmp_path: Path) -> None:
    for place in ("plans/a/p.json", "gold/p.json"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(json.dumps([{"name": "n", "ablated_part": "p", "action": "REMOVE"}]))
    with serving(JudgeServer()) as url:
        words = ["score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--judge", "m", "--judge-all",
                 "--resamples", "0", "--cache", "cache", "--offline", "--out", "run", "--judge-url"]  # fmt: skip

        def run(address: str) -> subprocess.CompletedProcess[str]:
            return evalkit_command([*words, address], tmp_path, {**os.environ, "OPENAI_API_KEY": "sk-secret"})

        for address in (url.replace("//", "//me:sk-secret@"), f"{url}?key=sk-secret"):
            done = run(address)
            assert (done.returncode, "sk-secret" in done.stdout + done.stderr) == (2, False)
        assert run(url).returncode == 0
    written = [path.read_bytes() for path in (tmp_path / "run").iterdir()]
    written += [path.read_bytes() for path in (tmp_path / "cache").iterdir()]
    assert not [content for content in written if b"sk-secret" in content]
