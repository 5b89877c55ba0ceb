"""Raw model replies: takes prose, tags, fences and data as a model sent them, gives the Plans in them.

The convention is `<discussion>...</discussion><predictions>...</predictions>` with JSONL inside; what departs from it
is read as far as it can be, and told.
"""

from __future__ import annotations

import re
from dataclasses import replace

from evalkit.formats import json_values, trajectory, yaml_values
from evalkit.formats.findings import Reading
from evalkit.formats.layouts import read_plans
from evalkit.formats.tree import Node
from evalkit.text import repair
from evalkit.types import Plan

_TAG = re.compile(r"<(/?)(discussion|predictions)>", re.IGNORECASE)
_LINE_TAG = re.compile(r"^[ \t]*+<(?:discussion|predictions)>", re.IGNORECASE | re.MULTILINE)
_KEYS = "name|ablated[_ ]part|part|component|action|paper|planner|ablations|entries|plans?"
_YAML = re.compile(rf"^(?:- )?(?:{_KEYS})[ \t]*+:(?:[ \t]|$)|^- \{{", re.IGNORECASE | re.MULTILINE)


def is_tagged(text: str) -> bool:
    """Does a line begin with one of the two tags?"""
    return _LINE_TAG.search(text) is not None


def recognises(text: str) -> bool:
    """Prose with the tags, or with JSON or YAML in it."""
    return is_tagged(text) or json_values.has_data(text) or _YAML.search(text) is not None


def read(text: str, reading: Reading) -> list[Plan]:
    """Every plan of a reply: the data between the tags, the discussion as its trace."""
    trace, body, line = _sections(text, reading)
    if json_values.has_data(body):
        return read_plans(json_values.read_values(body, reading.add, line), reading, read_text, trace)
    if trajectory.recognises(body):
        plans = trajectory.read("\n" * (line - 1) + body, reading)
        return [replace(plan, trace=plan.trace or trace) for plan in plans]
    body, line = _yaml_in(body, line, reading)
    return read_plans(yaml_values.read_values(body, reading.add, line), reading, read_text, trace)


def _yaml_in(body: str, line: int, reading: Reading) -> tuple[str, int]:
    """The YAML in a body, from its first key to the end of its fence."""
    match = _YAML.search(body)
    if match is None:
        return "", line
    before = body[: match.start()]
    data, fence, _ = body[match.start() :].partition("\n```")
    if fence:
        reading.add("code-fence", "expected data alone, found it in a code fence", line)
    elif before.strip():
        reading.add("text-around-data", f"expected data alone, found {before.strip()[:40]!r}", line)
    return data, line + before.count("\n")


def _sections(text: str, reading: Reading) -> tuple[str, str, int]:
    """The discussion, the predictions, and the line on which these begin."""
    tags = [(m.group(2).casefold(), bool(m.group(1)), m.start(), m.end()) for m in _TAG.finditer(text)]
    if not tags:
        return "", text, 1
    closed = [end for name, closing, _, end in tags if name == "discussion" and closing]
    opened = [end for name, closing, _, end in tags if name == "discussion" and not closing]
    body_at, body_end = _predictions(text, tags, closed, reading)
    trace_end = next((at for name, closing, at, _ in tags if name == "discussion" and closing), None)
    if opened and trace_end is None:
        line = text.count("\n", 0, opened[0]) + 1
        reading.add("tag-unclosed", "expected </discussion>, found none", line)
        before = [at for name, closing, at, end in tags if end == body_at]
        trace_end = before[0] if before else body_at
    trace = text[opened[0] : trace_end] if opened and trace_end is not None else ""
    at = text.count("\n", 0, opened[0]) + 1 if opened else 1
    trace, repairs = repair(trace)
    reading.report(repairs, at)
    return trace.strip(), text[body_at:body_end], text.count("\n", 0, body_at) + 1


def _predictions(
    text: str, tags: list[tuple[str, bool, int, int]], closed: list[int], reading: Reading
) -> tuple[int, int]:
    """Where the predictions begin and end: behind the discussion if that is closed, else at the last opening tag."""
    opened = [end for name, closing, _, end in tags if name == "predictions" and not closing]
    behind = [end for end in opened if closed and end > closed[0]]
    if not opened:
        start = closed[-1] if closed else 0
        line = text.count("\n", 0, start) + 1
        reading.add("tag-missing", "expected <predictions>, found none; looked for data in what is there", line)
        return start, len(text)
    start = behind[0] if behind else opened[-1]
    ends = [at for name, closing, at, _ in tags if name == "predictions" and closing and at >= start]
    if not ends:
        line = text.count("\n", 0, start) + 1
        reading.add("tag-unclosed", "expected </predictions>, found the end of the text", line)
    return start, ends[-1] if ends else len(text)


def read_text(text: str, reading: Reading, line: int) -> tuple[list[Node], str]:
    """Values and trace of a text that was itself a value: everything in it stands on that value's line."""
    if not (is_tagged(text) or json_values.has_data(text)):
        return [], ""
    inner = Reading(reading.document, reading.strict, reading.gold)
    trace, body, _ = _sections(text, inner)
    nodes = json_values.read_values(body, inner.add)
    for found in inner.take():
        reading.add(found.code, found.message, line)
    return [_moved(node, line) for node in nodes], trace


def _moved(node: Node, line: int) -> Node:
    value = node.value
    if isinstance(value, dict):
        return Node(line, {key: _moved(inner, line) for key, inner in value.items()})
    if isinstance(value, tuple):
        return Node(line, tuple(_moved(inner, line) for inner in value))
    return Node(line, value)
