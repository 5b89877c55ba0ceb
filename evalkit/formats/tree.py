"""The document tree that every format is read into: values with their lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

_NO_LETTER = re.compile(r"[\W_]+")

Value: TypeAlias = "str | tuple[Node, ...] | Members | None"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its line. Scalars stay text: 001 is "001", 0.10 is "0.10"; only null is not text."""

    line: int
    value: Value

    @property
    def kind(self) -> str:
        """Name the kind of value in the words of a message."""
        if isinstance(self.value, str):
            shown = self.value if len(self.value) <= 40 else self.value[:39] + "…"
            return f"the text {shown!r}"
        return {type(None): "nothing", tuple: "a list", dict: "an object"}[type(self.value)]


Members: TypeAlias = dict[str, Node]


def as_text(node: Node, *, depth: int = 3) -> str:
    """Return a nested value as one text: items by commas, keys before their values; bounded in depth."""
    if node.value is None:
        return ""
    if isinstance(node.value, str):
        return node.value
    if depth == 0:
        return "…"
    if isinstance(node.value, dict):
        return ", ".join(f"{key}: {as_text(value, depth=depth - 1)}" for key, value in node.value.items())
    return ", ".join(as_text(item, depth=depth - 1) for item in node.value)


def members_of(node: Node | None) -> Members:
    """Return the members of an object; none of anything else."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def text_under(members: Members, key: str) -> Node | None:
    """Return the text under a key, if there is one and it says something."""
    node = members.get(key)
    return node if node is not None and isinstance(node.value, str) and node.value.strip() else None


def on_line(node: Node, line: int) -> Node:
    """Return the same tree with every value on one line."""
    value = node.value
    if isinstance(value, dict):
        return Node(line, {key: on_line(inner, line) for key, inner in value.items()})
    return Node(line, tuple(on_line(inner, line) for inner in value) if isinstance(value, tuple) else value)


@lru_cache(maxsize=4096)
def key_of(label: str) -> str:
    """Return a label without case, blanks and punctuation: "Ablated Part" is "ablatedpart"."""
    return _NO_LETTER.sub("", label.casefold())
