"""AAAR-1.0's ExperimentDesign: a list of experiments in prose, what experts wrote and what a model answered.

An experiment is a sentence, which stands for its name and its part; action, replacement and metrics are unspecified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evalkit.formats import json
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.tree import Members, Node, members_of, text_under

WHAT, WHY = "What experiments do you suggest doing?", "Why do you suggest these experiments?"
ANSWERED = ("predicton", "prediction")  # the first is how the benchmark's own files spell it
_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s*")


def recognises(text: str) -> bool:
    """Is this JSON with the benchmark's question as a key?"""
    return f'"{WHAT}"' in text and json.is_json(text)


def plans(row: Members, line: int, context: ParseContext) -> Iterator[Node]:
    """Yield the experts' list where gold is read, and else the model's list, if the file has one."""
    given = members_of(row.get("output"))
    answered = next((members for key in ANSWERED if (members := members_of(row.get(key)))), {})
    lists = given if context.gold else answered or given
    lists = lists or row
    items, reasons = (node.value if (node := lists.get(key)) else None for key in (WHAT, WHY))
    if not isinstance(items, tuple):
        return
    whys = dict(enumerate(reasons if isinstance(reasons, tuple) else ()))
    entries = tuple(_entry(item, whys.get(at)) for at, item in enumerate(items) if isinstance(item.value, str))
    plan = {"ablations": Node(lists[WHAT].line, entries)}
    owner = {"paper": text_under(row, "id"), "planner": text_under(row, "api_name")}
    yield Node(line, plan | {name: node for name, node in owner.items() if node is not None})


def _entry(item: Node, reason: Node | None) -> Node:
    """Return an experiment without its number, with the reason for it as its source."""
    text = _unnumbered(item)
    return Node(item.line, {"name": text, "ablated_part": text} | ({"source": _unnumbered(reason)} if reason else {}))


def _unnumbered(node: Node) -> Node:
    if not isinstance(node.value, str):
        return node
    number = _NUMBER.match(node.value)
    return Node(node.line, node.value[number.end() :] if number else node.value)
