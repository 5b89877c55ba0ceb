"""Options that say where work is done and what is kept between runs, and how they become arguments of `score_run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.scoring.executors import ENGINES, open_executor

if TYPE_CHECKING:
    from evalkit.storage.cache import Store

Command = TypeVar("Command", bound=Callable[..., Any])

CACHE = click.option(
    "--cache", metavar="DIR", help="Where vectors, readings, decisions and replies are kept.  [default: yours]"
)
NO_CACHE = click.option(
    "--no-cache", is_flag=True, help="Keep no vectors, readings and decisions, and use none that are kept."
)
WORKING = (
    NO_CACHE,
    click.option("--engine", type=click.Choice(list(ENGINES)), default="local",
                 show_default=True, help="Where the work is done."),
    click.option("--workers", type=click.IntRange(min=0), default=0, help="How many.  [default: all there are]"),
    click.option("--address", default="", metavar="ADDRESS", help="The scheduler of a running Dask or Ray cluster."),
)  # fmt: skip


def keeping(command: Command) -> Command:
    """Add --cache and --no-cache to a command."""
    return CACHE(NO_CACHE(command))


def working(command: Command) -> Command:
    """Add the options about engines, and --no-cache."""
    for option in reversed(WORKING):
        command = option(command)
    return command


def taken(options: dict[str, Any]) -> dict[str, Any]:
    """The choices about work, taken out of all options."""
    return {name: options.pop(name) for name in ("no_cache", "engine", "workers", "address") if name in options}


@contextmanager
def workplace(choices: dict[str, Any], cache: str | None) -> Iterator[dict[str, Any]]:
    """Open the executor and the cache of these choices for the length of a block, as arguments of `score_run`."""
    with ExitStack() as stack:
        store = None if choices.get("no_cache") else vectors(cache)
        if store is not None:
            stack.callback(store.close)
        chosen = {name: choices[name] for name in ("workers", "address") if name in choices}
        executor = stack.enter_context(open_executor(choices.get("engine", "local"), **chosen))
        yield {"executor": executor, "cache": store}


def vectors(cache: str | None) -> Store:
    """The file of kept vectors, readings and decisions; what is wrong with it is told on standard error."""
    from evalkit.storage.cache import CACHE_FILE, Store
    from evalkit.storage.files import cache_folder
    from evalkit.text import safe_terminal

    def warn(message: str) -> None:
        click.echo(f"evalkit: warning: {safe_terminal(message)}", err=True)

    return Store(cache_folder(cache) / CACHE_FILE, warn)
