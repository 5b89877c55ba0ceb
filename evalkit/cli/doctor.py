"""`evalkit doctor`: what is installed, what is missing, and the command that brings it."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

import click

from evalkit.cli.options import CACHE, JSON
from evalkit.errors import DISTRIBUTION, EvalkitError, install_command
from evalkit.plugins import KINDS, plugin_names, plugin_package

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)[^;]*(?:;.*extra == [\"']([a-z-]+)[\"'])?")


@click.command("doctor")
@CACHE
@JSON
def command(cache: str | None, as_json: bool) -> None:
    """Print versions, extras, the embedding model and the cache, and how to get what is missing; nothing is fetched."""
    from evalkit.report import console, json_output
    from evalkit.storage.files import cache_folder

    rows = [
        ("evalkit", version(DISTRIBUTION), ""),
        ("python", platform.python_version(), ""),
        ("system", platform.platform(), ""),
        *_packages(),
        *_models(),
        *_plugins(),
        ("cache", str(cache_folder(cache)), ""),
    ]
    if as_json:
        findings = [{"what": what, "state": state, "to_do": to_do} for what, state, to_do in rows]
        click.echo(json_output.dump({"found": findings}))
    else:
        table = console.grid(("what", "state"), [(what, state) for what, state, _ in rows])
        console.show([table, *console.missing_parts(to_do for *_, to_do in rows if to_do)])


def _packages() -> Iterator[tuple[str, str, str]]:
    """Yield what each extra needs and has, those that evalkit itself needs under its own name."""
    groups: dict[str, list[str]] = {}
    for line in requires(DISTRIBUTION) or ():
        if (match := _REQUIREMENT.match(line)) and match[1] != DISTRIBUTION and match[2] != "all":
            groups.setdefault(match[2] or "", []).append(match[1])
    for extra, names in sorted(groups.items()):
        versions = {name: _version(name) for name in names}
        missing = [name for name, text in versions.items() if not text]
        state = ", ".join(f"{name} {text or 'missing'}" for name, text in versions.items())
        bring = install_command(extra) if extra else f"pip install {DISTRIBUTION}"
        yield f"extra {extra}" if extra else "needs", state, bring if missing else ""


def _plugins() -> Iterator[tuple[str, str, str]]:
    """Yield what other packages add, without loading any of it."""
    for kind in KINDS:
        for name in plugin_names(kind):
            yield f"plug-in {kind}", f"{name} of {plugin_package(kind, name)}", ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _models() -> Iterator[tuple[str, str, str]]:
    """Yield which vectors can be had on this machine: the default's, and those of the sentence encoder."""
    from evalkit.matching.embeddings import MINILM, find_encoder_here

    for name in ("static", MINILM):
        try:
            yield f"model {name}", find_encoder_here(name).fingerprint, ""
        except EvalkitError as error:
            yield f"model {name}", str(error).partition(":")[0], install_command("minilm")
