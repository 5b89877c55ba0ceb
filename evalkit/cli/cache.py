"""`evalkit cache`: what is kept between runs."""

from __future__ import annotations

import re

import click

from evalkit.cli.options import CACHE, JSON, open_cache, say
from evalkit.errors import SettingsError
from evalkit.settings import shown

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@click.group("cache")
def command() -> None:
    """What is kept between runs: vectors of texts, plans as they were read, decisions on them, data sets of the hub.

    All of it can be made again. Replies of judges cost money: they are listed, and never removed.
    """


@command.command("info")
@CACHE
@JSON
def info(cache: str | None, as_json: bool) -> None:
    """Say where it lies and how large it is."""
    from evalkit.report import json_output
    from evalkit.storage.files import cache_folder
    from evalkit.storage.hub import fetched

    store = open_cache(cache)
    hub, hub_bytes = fetched(cache_folder(cache))
    replies = cache_folder(cache) / "judge.sqlite"
    rows, size = store.rows(), store.size()
    reply_bytes = replies.stat().st_size if replies.exists() else 0
    if as_json:
        vectors = {"path": str(store.path), "rows": rows, "bytes": size}
        files = {"path": str(replies), "bytes": reply_bytes}, {"path": str(hub), "bytes": hub_bytes}
        click.echo(json_output.dump({"vectors": vectors, "replies": files[0], "hub": files[1]}))
        return
    say(f"{store.path}: {rows} rows, {size / 2**20:.1f} MiB")
    say(f"{replies}: replies of judges, {reply_bytes / 2**20:.1f} MiB (delete the file to forget them)")
    if hub_bytes:
        say(f"{hub}: data sets of the hub, {hub_bytes / 2**20:.1f} MiB")


@command.command("clear")
@CACHE
def clear(cache: str | None) -> None:
    """Forget vectors, readings, decisions and data sets of the hub."""
    from evalkit.storage.files import cache_folder, remove_folder
    from evalkit.storage.hub import fetched

    store = open_cache(cache)
    rows = store.rows()
    store.clear()
    say(f"{store.path}: {rows} rows forgotten")
    hub, hub_bytes = fetched(cache_folder(cache))
    if hub_bytes:
        remove_folder(hub)
        say(f"{hub}: {hub_bytes / 2**20:.1f} MiB forgotten")


@command.command("prune")
@click.option("--max-size", required=True, metavar="SIZE", help="The size it may have: 500M, 2G, or bytes.")
@CACHE
def prune(max_size: str, cache: str | None) -> None:
    """Forget what was kept first, until the rest is no larger than SIZE."""
    store = open_cache(cache)
    removed = store.prune(size_of(max_size))
    say(f"{store.path}: {removed} rows forgotten, {store.rows()} left, {store.size() / 2**20:.1f} MiB")


def size_of(text: str) -> int:
    """Return the bytes of a size such as 500M or 1.5 GB."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if match is None:
        raise SettingsError(f"--max-size {shown(text)}: expected a size, as in 500M, 2G or 1000000")
    return int(float(match[1]) * UNITS[match[2].upper()])
