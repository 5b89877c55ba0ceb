"""Data before it has a meaning: text, lists and objects, each with the line it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = "str | tuple[Node, ...] | dict[str, Node] | None"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its line. Scalars stay text: 001 is "001", 0.10 is "0.10"; only null is not text."""

    line: int
    value: Value

    @property
    def kind(self) -> str:
        """What the value is, in the words of a message."""
        if isinstance(self.value, str):
            shown = self.value if len(self.value) <= 40 else self.value[:39] + "…"
            return f"the text {shown!r}"
        return {type(None): "nothing", tuple: "a list", dict: "an object"}[type(self.value)]


def plain(node: Node, *, depth: int = 3) -> str:
    """A nested value as one text: items by commas, keys before their values; bounded in depth."""
    if node.value is None:
        return ""
    if isinstance(node.value, str):
        return node.value
    if depth == 0:
        return "…"
    if isinstance(node.value, dict):
        return ", ".join(f"{key}: {plain(value, depth=depth - 1)}" for key, value in node.value.items())
    return ", ".join(plain(item, depth=depth - 1) for item in node.value)
