"""Estimate tokens and money before anything is sent, and count what was spent against a limit."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from evalkit.settings import JudgeSettings

CHARACTERS = 4  # a token, roughly: no tokenizer is the same for every model
REPLY_TOKENS = 60  # of one verdict with its reason
OVERHEAD = 30  # tokens of the schema and of the message's frame
MILLION = 1_000_000


class NoReply(Exception):
    """No usable reply: every attempt failed, nothing is left to spend, or all was stopped; the message says which."""


def tokens_of(text: str) -> int:
    """Estimate the tokens of a text."""
    return ceil(len(text.encode("utf-8", "replace")) / CHARACTERS)


def tokens_in(messages: Sequence[Mapping[str, str]]) -> int:
    """Estimate the tokens of messages."""
    return OVERHEAD + sum(tokens_of(message["content"]) for message in messages)


def tokens_out(pairs: int) -> int:
    """Estimate the tokens of the reply on so many pairs."""
    return OVERHEAD + REPLY_TOKENS * pairs


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
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, amount: float) -> None:
        """Permit one call that may cost so much, or refuse it."""
        most_calls, most_money = self.settings.budget_calls, self.settings.budget_money
        with self._lock:
            if self.stopped.is_set():
                raise NoReply("stopped")
            if most_calls is not None and self.calls >= most_calls:
                raise NoReply("budget")
            if most_money is not None and self.money + self._reserved + amount > most_money:
                raise NoReply("budget")
            self.calls += 1
            self._reserved += amount

    def settle(self, amount: float, model: str, used: tuple[int, int]) -> None:
        """Replace a reservation by what the call did use; a call that failed used nothing."""
        with self._lock:
            self._reserved -= amount
            self.tokens_in += used[0]
            self.tokens_out += used[1]
            self.money += cost(self.settings, model, *used)

    def spent(self) -> str:
        """Return one phrase for progress and summary."""
        price = f", {self.money:.4f} {self.settings.currency}" if self.settings.prices else ""
        return f"{self.calls} calls, {self.tokens_in + self.tokens_out} tokens{price}"
