"""Options that say where work is done and what is cached between runs, and how they become arguments of `score_run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from typing import TYPE_CHECKING, Any

import click

from evalkit.scoring.executors import ENGINES, open_executor

if TYPE_CHECKING:
    from evalkit.storage.cache import Store

Decorator = Callable[[Any], Any]


def combined(*options: Decorator) -> Decorator:
    """Return one decorator that adds these options to a command, in this order."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


CACHE = click.option(
    "--cache", metavar="DIR", help="Where vectors, readings, decisions and replies are kept.  [default: yours]"
)
NO_CACHE = click.option(
    "--no-cache", is_flag=True, help="Keep no vectors, readings and decisions, and use none that are kept."
)
cache_options = combined(CACHE, NO_CACHE)
engine_options = combined(
    NO_CACHE,
    click.option("--engine", type=click.Choice(list(ENGINES)), default="local",
                 show_default=True, help="Where the work is done."),
    click.option("--workers", type=click.IntRange(min=0), default=0, help="How many.  [default: all there are]"),
    click.option("--address", default="", metavar="ADDRESS", help="The scheduler of a running Dask or Ray cluster."),
)  # fmt: skip


def take_work(options: dict[str, Any]) -> dict[str, Any]:
    """Take the choices about work out of all options and return them."""
    return {name: options.pop(name) for name in ("no_cache", "engine", "workers", "address") if name in options}


@contextmanager
def workplace(choices: dict[str, Any], cache: str | None) -> Iterator[dict[str, Any]]:
    """Open the executor and the cache of these choices for the length of a block, as arguments of `score_run`."""
    with ExitStack() as stack:
        store = None if choices.get("no_cache") else open_cache(cache)
        if store is not None:
            stack.callback(store.close)
        chosen = {name: choices[name] for name in ("workers", "address") if name in choices}
        executor = stack.enter_context(open_executor(choices.get("engine", "local"), **chosen))
        yield {"executor": executor, "cache": store}


def open_cache(cache: str | None) -> Store:
    """Open the cache of vectors, readings and decisions; what is wrong with it is a warning on standard error."""
    from evalkit.storage.cache import CACHE_FILE, Store
    from evalkit.storage.files import cache_folder
    from evalkit.text import safe_terminal

    def warn(message: str) -> None:
        click.echo(f"evalkit: warning: {safe_terminal(message)}", err=True)

    return Store(cache_folder(cache) / CACHE_FILE, warn)
