"""Score pairs of plan and gold that are awaited: in their order, with few of them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import TypeAlias

from evalkit.types import Plan, ScoredPlan

Pair: TypeAlias = tuple[Plan, Plan]  # a plan and its gold list


async def in_order(
    score: Callable[[Iterable[Pair]], Iterable[ScoredPlan]],
    work: Iterable[Pair] | AsyncIterable[Pair],
    most: int,
) -> AsyncIterator[ScoredPlan]:
    """Score pairs as they come, in a thread and together with those that came meanwhile; yield them in their order.

    `most`: how many wait at once, and how many are scored together.
    """
    waiting: asyncio.Queue[Pair | Exception | None] = asyncio.Queue(most)
    feeder = asyncio.create_task(_feed(work, waiting))
    try:
        while True:
            items = [await waiting.get()]
            while not waiting.empty() and len(items) < most:
                items.append(waiting.get_nowait())
            pairs = [item for item in items if isinstance(item, tuple)]
            for scored in await asyncio.to_thread(list, score(pairs)):
                yield scored
            if isinstance(items[-1], Exception):
                raise items[-1]
            if items[-1] is None:
                return
    finally:
        feeder.cancel()
        with suppress(asyncio.CancelledError):
            await feeder


async def _feed(work: Iterable[Pair] | AsyncIterable[Pair], waiting: asyncio.Queue[Pair | Exception | None]) -> None:
    """Put pairs into a queue that holds only so many; at the end None, or what went wrong."""
    try:
        if isinstance(work, AsyncIterable):
            async for pair in work:
                await waiting.put(pair)
        else:
            for pair in work:
                await waiting.put(pair)
    except Exception as error:
        await waiting.put(error)
    else:
        await waiting.put(None)
