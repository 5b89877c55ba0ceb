"""What gold says about a paper or an entry: its weight, and its metadata (venue, year, field, difficulty, any key)."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.tree import Members, Node, as_text, key_of
from evalkit.text import readable, repair
from evalkit.types import LARGEST_WEIGHT, LEAST_WEIGHT, Ablation, Meta, Plan

FIELDS = frozenset(("venue", "year", "field", "difficulty"))  # any other field stands in an object called `meta`
OBJECTS = ("meta", "metadata")
KEYS = frozenset((*FIELDS, *OBJECTS, "weight"))
MOST_FIELDS = 40
LONGEST = 200  # characters of a field's name, or of its value
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
Facts: TypeAlias = "tuple[float, Meta]"


def read_facts(value: Members, context: ParseContext) -> Facts:
    """Return the weight and the metadata in the object of a gold paper or entry; 1 and nothing where it has none."""
    weight, meta = 1.0, dict[str, str]()
    if not context.gold:
        return weight, ()
    for label, node in value.items():
        if key_of(label) not in KEYS:
            continue
        members = _opened(node, context) if key_of(label) in OBJECTS else {label: node}
        for name, inner in members.items():
            if key_of(name) == "weight":
                weight = _weight(inner, context)
            else:
                _add(name, inner, meta, context)
    return weight, tuple(meta.items())


def _opened(node: Node, context: ParseContext) -> Members:
    """Return the fields of a `meta` object; in Markdown it is JSON in a text."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str):
        try:
            tree = json.loads(node.value)
        except (ValueError, RecursionError):
            tree = None
        if isinstance(tree, dict):
            return {name: Node(node.line, _text(item)) for name, item in tree.items()}
    if node.value is not None:
        message = f'expected an object of fields, as in {{"venue": "NeurIPS"}}, found {node.kind}'
        context.report("bad-metadata", message, node.line)
    return {}


def _text(item: Any) -> str | None:
    return item if isinstance(item, str) else None if item is None else json.dumps(item, ensure_ascii=False)


def _add(label: str, node: Node, meta: dict[str, str], context: ParseContext) -> None:
    """Add a field and its value, each one line; the first value of a field counts."""
    name, text = (_line(one) for one in (label.casefold(), as_text(node)))
    if not name or not text or name in meta:
        return
    if len(meta) == MOST_FIELDS:
        message = f"expected at most {MOST_FIELDS} fields of metadata, found more; the first ones were taken"
        context.report("bad-metadata", message, node.line)
        return
    meta[name] = text


def _line(text: str) -> str:
    return readable(" ".join(repair(text)[0].split()))[:LONGEST].strip()


def _weight(node: Node, context: ParseContext) -> float:
    """Return a weight; 1, reported, where it is none."""
    text = as_text(node).strip()
    if not text:
        return 1.0
    weight = float(text) if _NUMBER.fullmatch(text) else 0.0
    if is_weight(weight):
        return weight
    message = f"expected a weight from {LEAST_WEIGHT:f} to {LARGEST_WEIGHT:.0f}, found {text[:40]!r}; 1 was taken"
    context.report("bad-weight", message, node.line)
    return 1.0


def is_weight(value: object) -> bool:
    """Return whether a number may be the weight of a paper or an entry."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and LEAST_WEIGHT <= value <= LARGEST_WEIGHT  # type: ignore[operator]


def facts_tree(item: Ablation | Plan) -> dict[str, Any]:
    """Return the weight and the metadata of a paper or an entry as files hold them; nothing of what is usual."""
    tree: dict[str, Any] = {}
    if item.weight != 1:
        weight = float(item.weight)
        tree["weight"] = int(weight) if weight.is_integer() else weight
    if item.meta:
        tree["meta"] = dict(item.meta)
    return tree
