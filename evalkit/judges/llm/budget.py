"""What asking costs: tokens, money, and the budget that all calls of a run share."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

from evalkit.settings import JudgeSettings

CHARACTERS = 4  # a token, roughly: no tokenizer is the same for every model
REPLY_TOKENS = 60  # of one verdict with its reason
OVERHEAD = 30  # tokens of the schema and of the message's frame
MILLION = 1_000_000
THINKING = 4096  # tokens that a reply may have besides its verdicts
BATCH_PRICE = 0.5  # of a request in a batch, compared with one that is answered at once


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
    batched: int = 0  # of the calls, those in batches
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    _reserved: float = 0.0
    _reserved_by_batches: float = 0.0
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
                bound = self.money + self._reserved_by_batches + amount  # batches may be out for a day
                if most_money is None or bound + self._reserved <= most_money:
                    break
                if not self._out or bound > most_money:
                    raise NoReply("budget")
                self._settled.wait(0.1)  # and look whether all was stopped
            self.calls += 1
            self._out += 1
            self._reserved += amount

    def reserve_batch(self, amounts: Sequence[float]) -> int:
        """Reserve what the requests of a batch may cost, in their order; return how many of them the budget permits."""
        most_calls, most_money = self.settings.budget_calls, self.settings.budget_money
        with self._settled:
            left = len(amounts) if most_calls is None else max(0, most_calls - self.calls)
            taken = self.money + self._reserved + self._reserved_by_batches
            sums = accumulate(islice(amounts, left), initial=taken)
            fits = sum(1 for total in islice(sums, 1, None) if most_money is None or total <= most_money)
        self.take_batch(amounts[:fits])
        return fits

    def take_batch(self, amounts: Sequence[float]) -> None:
        """Count requests that go out in a batch, or went before and are paid for whatever the budget says now."""
        with self._settled:
            self.calls += len(amounts)
            self.batched += len(amounts)
            self._reserved_by_batches += sum(amounts)

    def settle_batch(self, amount: float, model: str, used: tuple[int, int]) -> None:
        """Replace the reservation of one request in a batch by what it did use."""
        with self._settled:
            self._reserved_by_batches = max(0.0, self._reserved_by_batches - amount)
            self._use(model, used, BATCH_PRICE)

    def settle(self, amount: float, model: str, used: tuple[int, int]) -> None:
        """Replace a reservation by what the call did use; a call that failed used nothing."""
        with self._settled:
            self._out -= 1
            self._reserved = self._reserved - amount if self._out else 0.0
            self._use(model, used, 1.0)
            self._settled.notify_all()

    def _use(self, model: str, used: tuple[int, int], price: float) -> None:
        self.tokens_in += used[0]
        self.tokens_out += used[1]
        self.money += price * cost(self.settings, model, *used)

    def spent(self) -> str:
        """Return one phrase for progress and summary."""
        batched = f" ({self.batched} in batches)" if self.batched else ""
        price = f", {self.money:.4f} {self.settings.currency}" if self.settings.prices else ""
        return f"{self.calls} calls{batched}, {self.tokens_in + self.tokens_out} tokens{price}"
