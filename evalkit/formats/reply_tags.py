"""The tags of a model's reply: `<discussion>...</discussion><predictions>...</predictions>`, closed or not."""

from __future__ import annotations

import re

from evalkit.formats import json_parser
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.tree import Node, on_line
from evalkit.text import repair

_TAG = re.compile(r"<(/?)(discussion|predictions)>", re.IGNORECASE)
_LINE_TAG = re.compile(r"^[ \t]*+<(?:discussion|predictions)>", re.IGNORECASE | re.MULTILINE)


def is_tagged(text: str) -> bool:
    """Does a line begin with one of the two tags?"""
    return _LINE_TAG.search(text) is not None


def sections(text: str, context: ParseContext) -> tuple[str, str, int]:
    """Return the discussion, the predictions (all of a text without tags), and the line on which these begin."""
    tags: dict[str, list[re.Match[str]]] = {"discussion": [], "/discussion": [], "predictions": [], "/predictions": []}
    for tag in _TAG.finditer(text):
        tags[tag.group(1) + tag.group(2).casefold()].append(tag)
    if not any(tags.values()):
        return "", text, 1
    start, end = _predictions(text, tags, context)
    trace, line = "", 1
    if tags["discussion"]:
        opened = tags["discussion"][0].end()
        line = _line(text, opened)
        if tags["/discussion"]:
            closed = tags["/discussion"][0].start()
        else:
            context.report("tag-unclosed", "expected </discussion>, found none", line)
            closed = next((tag.start() for found in tags.values() for tag in found if tag.end() == start), start)
        trace = text[opened:closed]
    trace, repairs = repair(trace)
    context.report_repairs(repairs, line)
    return trace.strip(), text[start:end], _line(text, start)


def _predictions(text: str, tags: dict[str, list[re.Match[str]]], context: ParseContext) -> tuple[int, int]:
    """Find begin and end of the predictions: behind the discussion if that is closed, else at the last opening tag."""
    closed = [tag.end() for tag in tags["/discussion"]]
    opened = [tag.end() for tag in tags["predictions"]]
    if not opened:
        start = closed[-1] if closed else 0
        message = "expected <predictions>, found none; looked for data in what is there"
        context.report("tag-missing", message, _line(text, start))
        return start, len(text)
    start = next((end for end in opened if closed and end > closed[0]), opened[-1])
    ends = [tag.start() for tag in tags["/predictions"] if tag.start() >= start]
    if not ends:
        context.report("tag-unclosed", "expected </predictions>, found the end of the text", _line(text, start))
    return start, ends[-1] if ends else len(text)


def _line(text: str, pos: int) -> int:
    return text.count("\n", 0, pos) + 1


def read_embedded(text: str, context: ParseContext, line: int) -> tuple[list[Node], str]:
    """Return values and trace of a text that was itself a value (a kept reply, JSONL in a string), all on its line."""
    if not (is_tagged(text) or json_parser.has_data(text)):
        return [], ""
    inner = ParseContext(context.document, context.strict, context.gold)
    trace, body, _ = sections(text, inner)
    nodes = json_parser.read_values(body, inner.report)
    for diagnostic in inner.take():
        context.report(diagnostic.code, diagnostic.message, line)
    return [on_line(node, line) for node in nodes], trace
