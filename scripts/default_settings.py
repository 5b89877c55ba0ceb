"""Print configs/default.toml from the fields of Settings: every setting with its note and its default.

.venv/bin/python scripts/default_settings.py > configs/default.toml
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from evalkit.settings import JudgeSettings, Settings

HEAD = """\
#:schema schemas/settings.json
# Every setting with its default. Use it with `evalkit score --config FILE`; an option on the command line wins.
# All of them enter the signature: numbers from different settings are not comparable.
"""


def toml() -> str:
    """Return the file: scalars first, then tables, as TOML wants it."""
    lines = [HEAD.rstrip()]
    for item in sorted(fields(Settings), key=is_table):
        if note := item.metadata.get("note", item.metadata["help"]):
            lines += ["", f"# {note}"]
        elif is_table(item):
            lines.append("")
        lines += table(item) if is_table(item) else [scalar(item)]
    return "\n".join(lines) + "\n"


def is_table(item: Field[Any]) -> bool:
    return callable(item.default_factory)


def scalar(item: Field[Any]) -> str:
    """Return a setting with its default; commented out where an example says more."""
    example = item.metadata.get("example")
    return f"# {item.name} = {json.dumps(example)}" if example else f"{item.name} = {json.dumps(item.default)}"


def table(item: Field[Any]) -> list[str]:
    if item.name == "judge":
        return ["[judge]", *(f"  {line}".rstrip() for line in judge_lines())]
    return [f"[{item.name}]", *(f"# {key} = {value}" for key, value in item.metadata["example"].items())]


def judge_lines() -> Iterator[str]:
    """Yield the lines of [judge], all commented out: without a model nobody is asked."""
    for item in fields(JudgeSettings):
        if is_table(item):
            yield ""
        if note := item.metadata.get("note"):
            yield f"# {note}"
        if is_table(item):
            yield f"# [judge.{item.name}]"
            yield from (f"# {key} = {value}" for key, value in item.metadata["example"].items())
        else:
            yield f"# {item.name} = {json.dumps(item.metadata.get('example', item.default))}"


if __name__ == "__main__":
    print(toml(), end="")
