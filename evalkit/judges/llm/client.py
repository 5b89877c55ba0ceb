"""Ask one model on an OpenAI-compatible server, again when that can help, never for ever and within a budget."""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.errors import JudgeError, install_command
from evalkit.judges.llm.http import Connection
from evalkit.judges.llm.prompts import InvalidReply, Messages
from evalkit.settings import JudgeSettings

if TYPE_CHECKING:
    import openai

LONGEST_WAIT = 60.0
TEMPORARY = (408, 409, 425, 429)  # and everything from 500 on
CHARACTERS = 4  # a token, roughly: no tokenizer is the same for every model
REPLY_TOKENS = 60  # of one verdict with its reason
OVERHEAD = 30  # tokens of the schema and of the message's frame
MILLION = 1_000_000
MOST_TOKENS = 100 * MILLION  # of one call; more is no count
THINKING = 4096  # tokens that a reply may have beside its verdicts
LONGEST_REASON = 300  # characters of what a server says
# The forms of a reply, from the strictest on; a server that refuses one is asked for the next.
FORMS = ("json_schema", "json_object", "text")
_REFUSES_FORM = re.compile(r"response.?format|json.?(schema|object|mode)|structured.?output|grammar", re.IGNORECASE)
_REFUSES_LENGTH = re.compile(r"max.?(completion.?)?tokens|maximum context|context.?(length|window)", re.IGNORECASE)

Parsed = TypeVar("Parsed")


def require() -> None:
    """Refuse with the way out when the extra is not installed."""
    if find_spec("openai") is None:
        raise JudgeError(f"a judge needs the openai client, which is not installed: {install_command('judge')}")


def key_from(settings: JudgeSettings, environment: Mapping[str, str]) -> str:
    """Return the key in the variable that the settings name; a server of one's own may do without."""
    key = environment.get(settings.key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise JudgeError(f"the key in the environment variable {settings.key_env} has characters that no key has")
    if not key and settings.url == JudgeSettings().url:
        raise JudgeError(f"no key in the environment variable {settings.key_env}; --judge-key-env names another one")
    return key or "none"


class NoReply(Exception):
    """No usable reply: every attempt failed, nothing is left to spend, or all was stopped; the message says which.

    `detail` is what the server said, or what was wrong with its reply.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


def tokens_of(text: str) -> int:
    """Estimate the tokens of a text."""
    return math.ceil(len(text.encode("utf-8", "replace")) / CHARACTERS)


def tokens_in(messages: Sequence[Mapping[str, str]]) -> int:
    """Estimate the tokens of messages."""
    return OVERHEAD + sum(tokens_of(message["content"]) for message in messages)


def tokens_out(pairs: int) -> int:
    """Estimate the tokens of the reply on so many pairs."""
    return OVERHEAD + REPLY_TOKENS * pairs


def most_tokens(pairs: int) -> int:
    """Return how many tokens a reply on so many pairs may have: twice the estimate, and room to think."""
    return THINKING + 2 * tokens_out(pairs)


def cost(settings: JudgeSettings, model: str, used_in: int, used_out: int) -> float:
    """Return the money by the settings' prices per million tokens; 0 for a model without a price."""
    price_in, price_out = settings.prices.get(model, (0.0, 0.0))
    return (used_in * price_in + used_out * price_out) / MILLION


@dataclass(slots=True)
class Budget:
    """Calls, tokens and money over all threads; refuses a call when the settings' limit is reached."""

    settings: JudgeSettings
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    _reserved: float = 0.0
    _out: int = 0
    _settled: threading.Condition = field(default_factory=threading.Condition)

    def reserve(self, amount: float) -> None:
        """Permit one call that may cost so much, or refuse it; wait while calls that are out may use less."""
        most_calls, most_money = self.settings.budget_calls, self.settings.budget_money
        with self._settled:
            while True:
                if self.stopped.is_set():
                    raise NoReply("stopped")
                if most_calls is not None and self.calls >= most_calls:
                    raise NoReply("budget")
                if most_money is None or self.money + self._reserved + amount <= most_money:
                    break
                if not self._out or self.money + amount > most_money:
                    raise NoReply("budget")
                self._settled.wait(0.1)  # and look whether all was stopped
            self.calls += 1
            self._out += 1
            self._reserved += amount

    def settle(self, amount: float, model: str, used: tuple[int, int]) -> None:
        """Replace a reservation by what the call did use; a call that failed used nothing."""
        with self._settled:
            self._out -= 1
            self._reserved = self._reserved - amount if self._out else 0.0
            self.tokens_in += used[0]
            self.tokens_out += used[1]
            self.money += cost(self.settings, model, *used)
            self._settled.notify_all()

    def spent(self) -> str:
        """Return one phrase for progress and summary."""
        price = f", {self.money:.4f} {self.settings.currency}" if self.settings.prices else ""
        return f"{self.calls} calls, {self.tokens_in + self.tokens_out} tokens{price}"


class Client:
    """One model on one server. Errors never carry the key."""

    def __init__(self, settings: JudgeSettings, model: str, key: str, budget: Budget) -> None:
        require()
        import openai

        self.settings, self.model, self.budget = settings, model, budget
        self._key = key
        self.form = FORMS[0 if settings.structured else -1]  # that the server accepted so far
        self._limited = not {"max_tokens", "max_completion_tokens"} & set(settings.request)
        self._connection = Connection(settings)
        # No retries of the client's own: they would not be counted.
        self._openai = openai.OpenAI(
            api_key=key, base_url=settings.url, max_retries=0, timeout=settings.timeout,
            http_client=self._connection.client,
        )  # fmt: skip

    def ask(self, messages: Messages, schema: Mapping[str, Any], items: int, parse: Callable[[str], Parsed]) -> Parsed:
        """Return the parsed reply on so many items; one that does not fit is asked for once more."""
        reserve = cost(self.settings, self.model, tokens_in(messages), tokens_out(items))
        wrong = ""
        for _ in range(2):
            text, complete = self._reply(messages, schema, items, reserve)
            try:
                if complete:
                    return parse(text)
                wrong = "the reply is cut off; `max_tokens` in [judge.request] permits a longer one"
            except InvalidReply as error:
                wrong = str(error)
        raise NoReply("unfit", wrong)

    def _reply(self, messages: Messages, schema: Mapping[str, Any], items: int, reserve: float) -> tuple[str, bool]:
        """Return a reply and whether it came to its own end; wait and ask again on what may pass.

        What a server refuses to know is left out, of this request and of all later ones.
        """
        import openai

        asked_to_wait: str | None = None
        attempt, detail = 0, ""
        while attempt < self.settings.attempts:
            if attempt and self.budget.stopped.wait(self._wait(attempt, asked_to_wait)):
                raise NoReply("stopped")
            self.budget.reserve(reserve)
            used, asked_to_wait, form, limited = (0, 0), None, self.form, self._limited
            try:
                text, complete, used = self._once(messages, schema, form, most_tokens(items) if limited else None)
                return text, complete
            except openai.APIStatusError as error:
                detail = reason = self._reason(error)
                if self._lays_aside(error, form, limited):
                    continue
                if error.status_code < 500 and error.status_code not in TEMPORARY:
                    if 300 <= error.status_code < 400:
                        reason = "it sends us to another address; name that one, as redirects are not followed"
                    raise JudgeError(
                        f"{self.settings.url}: the judge {self.model!r} refused the request: {reason}"
                    ) from None
                asked_to_wait = error.response.headers.get("retry-after")
            except (openai.APIConnectionError, openai.APIResponseValidationError, ValueError) as error:
                detail = self._reason(error)  # timeouts, broken connections and replies that are cut in the middle
            finally:
                self.budget.settle(reserve, self.model, used)
            attempt += 1
        raise NoReply("failed", detail)

    def _reason(self, error: Exception) -> str:
        """Return what an error says, on one line, without the key."""
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        text = str(getattr(error, "message", "") or error or type(error).__name__) + cause
        return " ".join(text[:5000].replace(self._key, "***").split())[:LONGEST_REASON]

    def _lays_aside(self, error: openai.APIStatusError, form: str, limited: bool) -> bool:
        """Leave out of all later requests what a refusal of this one names; return whether it names anything."""
        if error.status_code in (401, 403, *TEMPORARY) or error.status_code < 400:
            return False
        text = str(error.message)[:5000]
        if form != FORMS[-1] and _REFUSES_FORM.search(text):
            # Another thread may have been refused meanwhile, and even the next form.
            self.form = max(self.form, FORMS[FORMS.index(form) + 1], key=FORMS.index)
            return True
        if limited and _REFUSES_LENGTH.search(text):
            self._limited = False
            return True
        return False

    def _once(
        self, messages: Sequence[Any], schema: Mapping[str, Any], form: str, limit: int | None
    ) -> tuple[str, bool, tuple[int, int]]:
        """Send one request; return the text, whether it is complete, and the tokens used."""
        request: dict[str, Any] = {"temperature": 0, **self.settings.request}
        if limit is not None:
            request["max_tokens"] = limit
        if form != "text":
            request["response_format"] = {"type": form}
        if form == "json_schema":
            request["response_format"]["json_schema"] = {"name": "reply", "strict": True, "schema": schema}
        with self._connection.exchange():
            response = self._openai.chat.completions.with_raw_response.create(
                model=self.model, messages=list(messages), extra_body=request
            )
            body = response.http_response.content
        text, complete, (used_in, used_out) = read_completion(body)
        # A server that does not count, or not in numbers, is counted for, so that a budget holds there too.
        return text, complete, (used_in or tokens_in(messages), used_out or tokens_of(text))

    def _wait(self, attempt: int, asked: str | None) -> float:
        """Return the seconds to wait: what the server asked for, else twice as long each time, spread a little."""
        try:
            seconds = float(asked or "nan")
        except ValueError:
            seconds = math.nan
        if math.isnan(seconds):
            seconds = self.settings.wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        return min(max(seconds, 0.0), LONGEST_WAIT)


def read_completion(body: bytes) -> tuple[str, bool, tuple[int, int]]:
    """Return a chat completion's text, whether it came to its end, and the tokens in and out; 0 where not counted.

    Raise ValueError for what is no chat completion.
    """
    try:
        tree = json.loads(body)
    except RecursionError as error:
        raise ValueError("a reply that is nested too deep") from error
    choices = tree.get("choices") if isinstance(tree, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise ValueError("a reply without choices")
    message, usage = choice.get("message"), tree.get("usage")
    content = message.get("content") if isinstance(message, dict) else None
    text = content.encode("utf-8", "replace").decode() if isinstance(content, str) else ""
    counted = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    used_in, used_out = (n if type(n) is int and 0 < n < MOST_TOKENS else 0 for n in counted)
    return text, choice.get("finish_reason") in ("stop", None), (used_in, used_out)
