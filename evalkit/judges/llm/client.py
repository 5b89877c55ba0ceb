"""Takes messages, gives a reply: any OpenAI-compatible server, asked again when that can help and never for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from evalkit.errors import JudgeError
from evalkit.judges.llm.costs import cost, tokens_in, tokens_of
from evalkit.settings import JudgeSettings

LONGEST_WAIT = 60.0
_PATIENCE = (408, 409, 425, 429)


class GaveUp(Exception):
    """No reply after every attempt, or nothing left to spend; the message says which."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's text, and whether it came to its own end."""

    text: str
    complete: bool


@dataclass(slots=True)
class Meter:
    """Counts calls, tokens and money over all threads, and says no when the budget is spent."""

    settings: JudgeSettings
    calls: int = 0
    again: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    _reserved: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, reserve: float, *, again: bool) -> None:
        """Permission for one call that may cost `reserve`."""
        limit, most = self.settings.budget_calls, self.settings.budget_money
        with self._lock:
            if self.stopped.is_set():
                raise GaveUp("stopped")
            if limit is not None and self.calls >= limit:
                raise GaveUp("budget")
            if most is not None and self.money + self._reserved + reserve > most:
                raise GaveUp("budget")
            self.calls += 1
            self.again += again
            self._reserved += reserve

    def settle(self, reserve: float, model: str, used: tuple[int, int]) -> None:
        """What a call did cost in the end; a call that failed is settled with nothing used."""
        with self._lock:
            self._reserved -= reserve
            self.tokens_in += used[0]
            self.tokens_out += used[1]
            self.money += cost(self.settings, model, *used)

    def spent(self) -> str:
        """One phrase for progress and summary."""
        price = f", {self.money:.4f} {self.settings.currency}" if self.settings.prices else ""
        return f"{self.calls} calls, {self.tokens_in + self.tokens_out} tokens{price}"


def require() -> None:
    """Refuse with the way out when the extra is not installed."""
    if find_spec("openai") is None:
        raise JudgeError("a judge needs the openai client, which is not installed: pip install 'evalkit[judge]'")


def key_from(settings: JudgeSettings, environment: Mapping[str, str]) -> str:
    """The key in the variable that the settings name; a server of one's own may do without."""
    key = environment.get(settings.key_env, "").strip()
    if not key and settings.url == JudgeSettings().url:
        raise JudgeError(f"no key in the environment variable {settings.key_env}; --judge-key-env names another one")
    return key or "none"


class Client:
    """One model on one server. Errors never carry the key."""

    def __init__(self, settings: JudgeSettings, model: str, key: str, meter: Meter) -> None:
        require()
        import openai

        self.settings, self.model, self.meter = settings, model, meter
        self._key = key
        # No retries of the client's own: they would not be counted.
        self._openai = openai.OpenAI(api_key=key, base_url=settings.url, max_retries=0, timeout=settings.timeout)

    def ask(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], reserve: float) -> Reply:
        """One reply; waits and asks again on what may pass, gives up after the last attempt."""
        import openai

        asked_to_wait: str | None = None
        for attempt in range(self.settings.attempts):
            if attempt and self.meter.stopped.wait(self._wait(attempt, asked_to_wait)):
                raise GaveUp("stopped")
            self.meter.take(reserve, again=attempt > 0)
            used, asked_to_wait = (0, 0), None
            try:
                reply, used = self._once(messages, schema)
                return reply
            except openai.APIStatusError as error:
                if error.status_code < 500 and error.status_code not in _PATIENCE:
                    raise self._refused(error) from None
                asked_to_wait = error.response.headers.get("retry-after")
            except (openai.APIConnectionError, openai.APIResponseValidationError, ValueError):
                pass  # timeouts, broken connections and replies that are cut in the middle
            finally:
                self.meter.settle(reserve, self.model, used)
        raise GaveUp("failed")

    def _once(self, messages: Sequence[Any], schema: Mapping[str, Any]) -> tuple[Reply, tuple[int, int]]:
        request: dict[str, Any] = {"temperature": 0, **self.settings.request}
        if self.settings.structured:
            form = {"name": "reply", "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        found = self._openai.chat.completions.create(model=self.model, messages=list(messages), **request)
        if not getattr(found, "choices", None):
            raise ValueError("a reply without choices")
        text = str(getattr(found.choices[0].message, "content", None) or "")
        # A server that does not count is counted for, so that a budget holds there too.
        given = [getattr(found.usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        used = (int(given[0] or tokens_in(messages)), int(given[1] or tokens_of(text)))
        return Reply(text, found.choices[0].finish_reason in ("stop", None)), used

    def _wait(self, attempt: int, asked: str | None) -> float:
        """Seconds to wait: what the server asked for, else twice as long each time, spread a little."""
        try:
            wish = float(asked or "")
        except ValueError:
            wish = self.settings.wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        return min(max(wish, 0.0), LONGEST_WAIT)

    def _refused(self, error: Any) -> JudgeError:
        """What the server said to a request that asking again would not mend."""
        said = " ".join(str(error.message).replace(self._key, "***").split())[:300]
        return JudgeError(f"{self.settings.url}: the judge {self.model!r} refused the request: {said}")
