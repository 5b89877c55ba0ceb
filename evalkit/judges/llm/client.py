"""Ask one model on its server, again when that can help, never for ever and within a budget."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import Any, TypeVar

from evalkit.errors import JudgeError, install_command
from evalkit.judges.llm.anthropic_protocol import AnthropicProtocol
from evalkit.judges.llm.budget import Budget, NoReply, cost, most_tokens, tokens_in, tokens_of, tokens_out
from evalkit.judges.llm.http import text_without_halves
from evalkit.judges.llm.openai_protocol import OpenAIProtocol
from evalkit.judges.llm.prompts import InvalidReply, Messages
from evalkit.settings import JudgeSettings, is_anthropic

LONGEST_WAIT = 60.0
TEMPORARY = (408, 409, 425, 429)  # and everything from 500 on
LONGEST_REASON = 300  # characters of what a server says
_REFUSES_FORM = re.compile(
    r"response.?format|json.?(schema|object|mode)|structured.?output|grammar|tool.?choice|tool.?use|\btools\b",
    re.IGNORECASE,
)
# Parameters that evalkit sets of itself, and what a refusal of each says; some models know one of them only.
_REFUSES = {
    "max_tokens": re.compile(
        r"max.?(completion.?)?tokens|maximum context|context.?(length|window)", re.IGNORECASE
    ),
    "temperature": re.compile(r"temperature", re.IGNORECASE),
}  # fmt: skip

Parsed = TypeVar("Parsed")


def seconds_asked(text: str) -> float:
    """Return the seconds that a header `Retry-After` asks to wait, a number or a date; no number where it says none."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return math.nan
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()


class Refused(JudgeError):
    """A refusal that asking again cannot change."""


def require(settings: JudgeSettings) -> None:
    """Refuse with the way out when the extra of a judge is not installed."""
    for model in settings.models:
        package, extra = ("anthropic", "anthropic") if is_anthropic(model) else ("openai", "judge")
        if find_spec(package) is None:
            raise JudgeError(f"a judge needs the {package} client, which is not installed: {install_command(extra)}")


def key_from(settings: JudgeSettings, environment: Mapping[str, str], model: str) -> str:
    """Return the key in the variable that the settings name; a server of one's own may do without."""
    name = settings.key_env_of(model)
    key = environment.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise JudgeError(f"the key in the environment variable {name} has characters that no key has")
    if not key and settings.url == JudgeSettings().url:
        raise JudgeError(f"no key in the environment variable {name}; --judge-key-env names another one")
    return key or "none"


class Client:
    """One model on one server. Errors never carry the key."""

    def __init__(self, settings: JudgeSettings, model: str, key: str, budget: Budget) -> None:
        require(settings)
        self.settings, self.model, self.budget = settings, model, budget
        self._key = key
        self.protocol: OpenAIProtocol | AnthropicProtocol
        self.protocol = (AnthropicProtocol if is_anthropic(model) else OpenAIProtocol)(settings, model, key)
        self.forms: tuple[str, ...] = self.protocol.forms
        self.form = self.forms[0 if settings.structured else -1]  # that the server accepted so far
        taken = set(settings.request) | ({"max_tokens"} if "max_completion_tokens" in settings.request else set())
        self._own = (
            set(self.protocol.takes) - taken
        )  # the parameters that evalkit sets, and that no server refused so far

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.protocol.url

    def request(self, messages: Messages, schema: Mapping[str, Any], items: int) -> Any:
        """Return the body of a request for so many items, without what the server has refused so far."""
        own = {name: value for name, value in self._parameters(items).items() if name in self._own}
        return self.protocol.request(messages, schema, self.form, own)

    def _parameters(self, items: int) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": most_tokens(items)}

    def ask(self, messages: Messages, schema: Mapping[str, Any], items: int, parse: Callable[[str], Parsed]) -> Parsed:
        """Return the parsed reply on so many items; one that does not fit is asked for once more."""
        reserve = self.price(messages, items)
        wrong = ""
        for _ in range(2):
            text, lack = self._reply(messages, schema, items, reserve)
            try:
                return self.parsed(text, lack, parse)
            except InvalidReply as error:
                wrong = str(error)
        raise NoReply("unfit", wrong)

    def price(self, messages: Messages, items: int) -> float:
        """Estimate what one request may cost."""
        return cost(self.settings, self.model, tokens_in(messages), tokens_out(items))

    def parsed(self, text: str, lack: str, parse: Callable[[str], Parsed]) -> Parsed:
        """Return what a reply says, or refuse one that does not fit."""
        if lack:
            raise InvalidReply(self.without_key(lack))
        return parse(text)

    def _reply(self, messages: Messages, schema: Mapping[str, Any], items: int, reserve: float) -> tuple[str, str]:
        """Return a reply and why it is no whole one; wait and ask again on what may pass.

        What a server refuses to know is left out, of this request and of all later ones.
        """
        asked_to_wait: str | None = None
        attempt, detail = 0, ""
        while attempt < self.settings.attempts:
            if attempt and self.budget.stopped.wait(self._wait(attempt, asked_to_wait)):
                raise NoReply("stopped")
            self.budget.reserve(reserve)
            used, form, own = (0, 0), self.form, frozenset(self._own)
            try:
                text, lack, used = self._once(messages, schema, items)
                return text, lack
            except self.failures as error:
                detail = self.reason(error)
                if self._lays_aside(error, form, own):
                    continue
                asked_to_wait = self.pause_asked(error)
            finally:
                self.budget.settle(reserve, self.model, used)
            attempt += 1
        raise NoReply("failed", detail)

    def patiently(self, send: Callable[[], Parsed]) -> Parsed:
        """Return what a request that costs nothing brings; wait and try again on what may pass, then give it up."""
        asked_to_wait, detail = None, ""
        for attempt in range(self.settings.attempts):
            if attempt and self.budget.stopped.wait(self._wait(attempt, asked_to_wait)):
                raise NoReply("stopped")
            try:
                return send()
            except self.failures as error:
                detail, asked_to_wait = self.reason(error), self.pause_asked(error)
        raise NoReply("failed", detail)

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What a request can end in: a refusal, a broken connection, a timeout, a reply that is cut or none."""
        sdk = self.protocol.sdk
        return sdk.APIStatusError, sdk.APIConnectionError, sdk.APIResponseValidationError, ValueError

    def pause_asked(self, error: Exception) -> str | None:
        """Return how long a server that failed asks to wait; refuse to go on where asking again cannot help."""
        if not isinstance(error, self.protocol.sdk.APIStatusError):
            return None
        refusal: Any = error
        if refusal.status_code < 500 and refusal.status_code not in TEMPORARY:
            reason = self.reason(error)
            if 300 <= refusal.status_code < 400:
                reason = "it sends us to another address; name that one, as redirects are not followed"
            if refusal.status_code in (404, 405) and not re.search(r"/v\d[^/]*/?$", self.url):
                reason += "; what is asked lies below the address, which ends in /v1 at most servers"
            raise Refused(f"{self.url}: the judge {self.model!r} refused the request: {reason}") from None
        asked: str | None = refusal.response.headers.get("retry-after")
        return asked

    def reason(self, error: Exception) -> str:
        """Return what an error says, on one line, without the key."""
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        return self.without_key(str(getattr(error, "message", "") or error or type(error).__name__) + cause)

    def without_key(self, text: str) -> str:
        """Return what a server says, on one line, without the key."""
        return " ".join(text_without_halves(text[:5000]).replace(self._key, "***").split())[:LONGEST_REASON]

    def _lays_aside(self, error: Exception, form: str, own: frozenset[str]) -> bool:
        """Leave out of all later requests what a refusal of this one names; return whether it names anything."""
        status = getattr(error, "status_code", 0)
        if status in (401, 403, *TEMPORARY) or status < 400:
            return False
        text = str(getattr(error, "message", ""))[:5000]
        if form != self.forms[-1] and _REFUSES_FORM.search(text):
            # Another thread may have been refused meanwhile, and even the next form.
            self.form = max(self.form, self.forms[self.forms.index(form) + 1], key=self.forms.index)
            return True
        for name, refuses in _REFUSES.items():
            needed = name == "max_tokens" and self.protocol.needs_length
            if name in own and not needed and refuses.search(text):
                self._own.discard(name)
                return True
        return False

    def _once(
        self, messages: Messages, schema: Mapping[str, Any], items: int
    ) -> tuple[str, str, tuple[int, int]]:  # fmt: skip
        """Send one request; return the text, why it is no whole one, and the tokens used."""
        text, lack, used = self.protocol.read(self.protocol.send(self.request(messages, schema, items)))
        return text, lack, self.used(messages, text, used)

    def used(self, messages: Messages, text: str, used: tuple[int, int]) -> tuple[int, int]:
        """Return the tokens in and out that count.

        A server that does not count, or not in numbers, is counted for, so that a budget holds there too.
        """
        return used[0] or tokens_in(messages), used[1] or tokens_of(text)

    def _wait(self, attempt: int, asked: str | None) -> float:
        """Return the seconds to wait: what the server asked for, else twice as long each time, spread a little."""
        seconds = seconds_asked(asked or "")
        if math.isnan(seconds):
            seconds = self.settings.wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        return min(max(seconds, 0.0), LONGEST_WAIT)
