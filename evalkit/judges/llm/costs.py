"""Takes what would be asked, gives calls, tokens and money before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from evalkit.settings import JudgeSettings

CHARACTERS = 4  # a token, roughly: no tokenizer is the same for every model
REPLY_TOKENS = 60  # of one verdict with its reason
OVERHEAD = 30  # tokens of the schema and of the message's frame
MILLION = 1_000_000


def tokens_of(text: str) -> int:
    """About how many tokens a text is."""
    return ceil(len(text.encode("utf-8", "replace")) / CHARACTERS)


def tokens_in(messages: Sequence[Mapping[str, str]]) -> int:
    """About how many tokens messages are."""
    return OVERHEAD + sum(tokens_of(message["content"]) for message in messages)


def tokens_out(pairs: int) -> int:
    """About how many tokens the reply on so many pairs is."""
    return OVERHEAD + REPLY_TOKENS * pairs


def cost(settings: JudgeSettings, model: str, used_in: int, used_out: int) -> float:
    """Money by the settings' prices per million tokens; 0 for a model without a price."""
    price_in, price_out = settings.prices.get(model, (0.0, 0.0))
    return (used_in * price_in + used_out * price_out) / MILLION


def call_cost(settings: JudgeSettings, model: str, messages: Sequence[Mapping[str, str]], pairs: int) -> float:
    """About what one call costs."""
    return cost(settings, model, tokens_in(messages), tokens_out(pairs))
