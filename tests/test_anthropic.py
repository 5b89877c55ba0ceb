"""Judges by Anthropic's protocol: the official client against a server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry
from hostile_server import REFUSED, hostile
from judge_server import JudgeServer, pairs_in, serving

from evalkit.cli import group
from evalkit.cli.options import pairs_prompt
from evalkit.errors import JudgeError, SettingsError
from evalkit.judges.llm import Panel, ReplyCache, key_from
from evalkit.judges.llm.prompts import SCHEMA
from evalkit.settings import JudgeSettings, Settings
from evalkit.types import Question

WORDS = ["gate", "loss", "norm"]
QUESTIONS = [Question("p", entry(one), entry(other)) for one in WORDS for other in WORDS]


@contextmanager
def panel(folder: Path, url: str, **changes: Any) -> Iterator[Panel]:
    settings = JudgeSettings(**{"models": ("anthropic:m",), "url": url, "wait": 0.01, "pairs_per_call": 3, **changes})
    with ReplyCache(folder / "cache") as cache:
        yield Panel(settings, pairs_prompt(settings), cache, seed=0, key=lambda _: "secret-key")


def speaker(script: Sequence[str] = (), *, always: str = "ok") -> JudgeServer:
    judge = JudgeServer(script, always=always)
    judge.forms = ("tool", "text", "json_schema")
    return judge


def key_in(headers: dict[str, str]) -> str:
    """The key of a request: newer clients send it as a token."""
    return headers.get("x-api-key") or headers["authorization"].removeprefix("Bearer ")


def test_what_is_sent_is_the_same_question(tmp_path: Path) -> None:
    judge, other = speaker(), JudgeServer()
    with serving(judge) as url, panel(tmp_path, url, request={"top_k": 7}) as judges:
        opinions = judges.ask(QUESTIONS)
    with serving(other) as url, panel(tmp_path, url, models=("m",)) as judges:
        assert {q: (o.part, o.match) for q, o in judges.ask(QUESTIONS).items()} == {
            q: (o.part, o.match) for q, o in opinions.items()
        }  # fmt: skip
    asked = sorted((body["system"], body["messages"][0]["content"]) for body in judge.log)
    assert asked == sorted(tuple(message["content"] for message in body["messages"]) for body in other.log)
    body, headers = judge.log[0], judge.headers[0]
    assert (body["model"], body["top_k"]) == ("m", 7)
    assert "temperature" not in body  # the protocol's present version has none
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert body["tool_choice"] == {"type": "tool", "name": "reply", "disable_parallel_tool_use": True}
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["max_tokens"] == 4096 + 2 * (30 + 3 * 60)
    assert key_in(headers) == "secret-key"
    assert headers["anthropic-version"]
    assert "secret-key" not in json.dumps(judge.log)


def test_the_server_of_these_tests_speaks_the_protocol_of_the_official_client(tmp_path: Path) -> None:
    from anthropic.types import Message

    judge = speaker()
    with serving(judge) as url, panel(tmp_path, url) as judges:
        judges.ask(QUESTIONS)
    for form in ("tool", "text"):
        body = judge.log[0] if form == "tool" else {**judge.log[0], "tools": []}
        status, message = judge.message(body, "ok")
        assert status == 200
        Message.model_validate_json(json.dumps(message), strict=True)


def test_usage_is_counted_and_paid(tmp_path: Path) -> None:
    judge, prices = speaker(), {"anthropic:m": (2, 30)}
    with serving(judge) as url, panel(tmp_path, url, prices=prices, budget_money=1.0) as judges:
        judges.ask(QUESTIONS)
        assert judges.spent() == "3 calls, 330 tokens, 0.0015 USD"
        assert judges.signature.startswith("anthropic:m@")
    with serving(speaker(always="uncounted")) as url, panel(tmp_path / "other", url) as judges:
        judges.ask(QUESTIONS)
        assert judges.budget.tokens_in > 1000


@pytest.mark.parametrize(
    ("script", "calls"),
    [(["429", "529"], 5), (["500", "broken"], 5), (["cut"], 4), (["schema"], 4), (["ids"], 4), (["twice"], 4)],
)
def test_rude_servers_end_in_a_complete_run(script: Sequence[str], calls: int, tmp_path: Path) -> None:
    """Retries are ours: as many calls come as are counted."""
    judge = speaker(script)
    with serving(judge) as url, panel(tmp_path, url, concurrency=2) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
        assert judges.budget.calls == calls == len(judge.log)


def test_a_model_that_refuses_is_said_to(tmp_path: Path) -> None:
    judge = speaker(["refused", "refused"])
    with serving(judge) as url, panel(tmp_path, url, concurrency=1) as judges:
        judges.ask(QUESTIONS)
        assert "refuses to answer: I cannot." in judges.trouble()


@pytest.mark.parametrize("wrapped", ["ok", "fenced", "prose", "think"])
def test_a_model_that_may_not_be_made_to_use_a_tool_is_asked_for_text(wrapped: str, tmp_path: Path) -> None:
    judge = speaker(always=wrapped)
    judge.forms = ("text",)
    with serving(judge) as url, panel(tmp_path, url, concurrency=1, wait=30) as judges:
        assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
        assert judges.spent().endswith(", replies as text")
    assert ["tools" in body for body in judge.log] == [True, False, False, False]


def test_a_refusal_ends_it_without_showing_the_key(tmp_path: Path) -> None:
    judge = speaker(always="401")
    with serving(judge) as url, panel(tmp_path, url) as judges:
        with pytest.raises(JudgeError, match=r"the judge 'anthropic:m' refused .*\*\*\*") as caught:
            judges.ask(QUESTIONS)
        assert "secret-key" not in str(caught.value)


HOSTILE = [
    "empty body", "null", "a list", "500 kB of [", "not UTF-8", "HTML", "an endless stream", "endless error", "silence",
    "a gzip bomb", "brotli", "closed at once", "not HTTP", "status 999", "status 204", "deep error",
]  # fmt: skip


@pytest.mark.parametrize("mode", [*HOSTILE, *REFUSED])
def test_a_hostile_server_ends_in_one_clear_error(mode: str, tmp_path: Path) -> None:
    other = JudgeServer()
    with (
        serving(other) as elsewhere,
        hostile(mode, elsewhere) as (url, server),
        panel(tmp_path, url, timeout=0.6, attempts=2, wait=0.0) as judges,
    ):
        with pytest.raises(JudgeError) as caught:
            judges.ask(QUESTIONS[:3])
        assert 1 <= len(server.seen) <= 4
    assert other.log == []
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, 1, "text", [1], [{}], [{"type": "tool_use"}], [{"type": "text", "text": 1}],
                                     [{"type": "tool_use", "input": {"answers": []}}]])  # fmt: skip
def test_content_of_another_kind_is_no_answer(content: Any, tmp_path: Path) -> None:
    class Odd(JudgeServer):
        def message(self, body: dict[str, Any], how: str) -> tuple[int, dict[str, Any]]:
            return 200, {"type": "message", "content": content, "usage": {"input_tokens": "1"}, "stop_reason": [1]}

    with serving(Odd()) as url, panel(tmp_path, url, attempts=2) as judges, pytest.raises(JudgeError, match="none of"):
        judges.ask(QUESTIONS[:3])


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_the_environment_leads_nowhere_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, judge = speaker(), speaker()
    with serving(proxy) as there, serving(judge) as url:
        monkeypatch.setenv(name, there.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", there)
        monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "other-secret")
        monkeypatch.setenv("ANTHROPIC_PROFILE", "nobody")
        with panel(tmp_path, url) as judges:
            assert len(judges.ask(QUESTIONS)) == len(QUESTIONS)
    assert (len(judge.log), proxy.log) == (3, [])
    assert "other-secret" not in json.dumps(judge.headers)


def test_addresses_and_keys_are_those_of_the_protocol() -> None:
    both = JudgeSettings(models=("gpt", "anthropic:claude"))
    assert [both.url_of(model) for model in both.models] == ["https://api.openai.com/v1", "https://api.anthropic.com"]
    environment = {"OPENAI_API_KEY": "one", "ANTHROPIC_API_KEY": "two"}
    assert [key_from(both, environment, model) for model in both.models] == ["one", "two"]
    with pytest.raises(JudgeError, match="no key in the environment variable ANTHROPIC_API_KEY"):
        key_from(both, {"OPENAI_API_KEY": "one"}, "anthropic:claude")
    own = JudgeSettings(models=("anthropic:claude",), url="http://127.0.0.1:1/v1", key_env="MINE")
    assert (own.url_of("anthropic:claude"), key_from(own, {"MINE": "k"}, "anthropic:claude")) == (own.url, "k")
    assert key_from(own, {}, "anthropic:claude") == "none"
    with pytest.raises(SettingsError, match="names of models"):
        JudgeSettings(models=("anthropic:",))
    with pytest.raises(SettingsError, match=r"offline: the judge at https://api.anthropic.com is on the network"):
        Settings(offline=True, judge=JudgeSettings(models=("anthropic:claude",)))
    assert Settings(offline=True, judge=own).offline


def test_judges_of_both_protocols_vote(tmp_path: Path) -> None:
    judge = speaker()
    with serving(judge) as url, panel(tmp_path, url, models=("a", "anthropic:b", "c")) as judges:
        assert {opinion.by for opinion in judges.ask(QUESTIONS).values()} == {"3 of 3 judges"}
    assert sorted({body["model"] for body in judge.log}) == ["a", "b", "c"]


def test_the_command_asks_and_keeps_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("plans/a/p.json", "gold/p.json"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(json.dumps([{"name": "n", "ablated_part": "p", "action": "REMOVE"}]))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    judge = speaker()
    with serving(judge) as url:
        words = ["score", "--pred", str(tmp_path / "plans"), "--gold", str(tmp_path / "gold"), "--matcher", "lexical",
                 "--judge", "anthropic:m", "--judge-all", "--resamples", "0", "--cache", str(tmp_path / "cache"),
                 "--offline", "--out", str(tmp_path / "run"), "--judge-url", url]  # fmt: skip
        done = CliRunner().invoke(group, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert key_in(judge.headers[0]) == "sk-ant-secret"
    assert [len(pairs_in(body["messages"][0]["content"])) for body in judge.log] == [1]
    written = [path.read_bytes() for path in (*(tmp_path / "run").iterdir(), *(tmp_path / "cache").iterdir())]
    assert not [content for content in written if b"secret" in content]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["judge"]["judges"] == ["anthropic:m"]


WITHOUT_OPENAI = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "openai":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, "tests")
from pathlib import Path
from judge_server import serving
from test_anthropic import QUESTIONS, panel, speaker
with serving(speaker()) as url, panel(Path(sys.argv[1]), url) as judges:
    assert len(judges.ask(QUESTIONS)) == 9
assert "openai" not in sys.modules
"""


@pytest.mark.slow
def test_the_other_client_is_not_needed(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENAI, str(tmp_path)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
