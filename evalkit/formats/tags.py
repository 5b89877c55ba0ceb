"""Tags of replies: thinking before an answer, and AblationBench's <discussion> and <predictions>, closed or not."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial

from evalkit.formats.diagnostics import ParseContext

_TAG = re.compile(r"<(/?)(discussion|predictions)>", re.IGNORECASE)
_LINE_TAG = re.compile(r"^[ \t]*+<(?:discussion|predictions)>", re.IGNORECASE | re.MULTILINE)
_TAGS = "think|thinking|thought|reasoning"
_OPENED = rf"\s*(?:<(?:{_TAGS})>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>)"
_CLOSED = rf"(?:</(?:{_TAGS})>|\[/THINK\]|◁/think▷|<\|channel\|>final[^<]*<\|message\|>)"
_OPENS = re.compile(_OPENED, re.IGNORECASE)
# Models that think aloud open with it; some servers leave out the opening tag.
_THOUGHT = re.compile(rf"(?:{_OPENED})?(.*){_CLOSED}", re.DOTALL | re.IGNORECASE)
# Tags that prompts ask for notes in: only where a text begins with one, and something stands behind it.
_NOTES = re.compile(r"\s*<(analysis|scratchpad)>(.*?)</\1>(?=\s*\S)", re.DOTALL | re.IGNORECASE)


def is_tagged(text: str) -> bool:
    """Does a line begin with one of the two tags?"""
    return _LINE_TAG.search(text) is not None


def thought_of(text: str) -> tuple[str, int] | None:
    """Return what a model thought before its answer, and where the answer begins; None where it did not think aloud."""
    if match := _THOUGHT.match(text):
        return match.group(1), match.end()
    match = _NOTES.match(text)
    return (match.group(2), match.end()) if match else None


def opens_thought(text: str) -> bool:
    """Does a text begin with the tag in which models think aloud?"""
    return _OPENS.match(text) is not None


def sections(text: str, context: ParseContext, first_line: int = 1) -> tuple[str, str, int]:
    """Return the discussion, the predictions (all of a text without tags), and the line on which these begin.

    The predictions begin behind the discussion if that is closed, else at the last opening tag.
    """
    _line = partial(_line_of, text, first_line)
    tags = defaultdict[str, list[re.Match[str]]](list)
    for tag in _TAG.finditer(text):
        tags[tag.group(1) + tag.group(2).casefold()].append(tag)
    if not tags:
        return "", text, first_line
    closed, opened = ([tag.end() for tag in tags[name]] for name in ("/discussion", "predictions"))
    if opened:
        start = next((end for end in opened if closed and end > closed[0]), opened[-1])
        ends = [tag.start() for tag in tags["/predictions"] if tag.start() >= start]
        if not ends:
            context.report("tag-unclosed", "expected </predictions>, found the end of the text", _line(start))
    else:
        start, ends = closed[-1] if closed else 0, []
        message = "expected <predictions>, found none; looked for data in what is there"
        context.report("tag-missing", message, _line(start))
    trace, line = "", first_line
    if tags["discussion"]:
        begin = tags["discussion"][0].end()
        line = _line(begin)
        if closed:
            end = tags["/discussion"][0].start()
        else:
            context.report("tag-unclosed", "expected </discussion>, found none", line)
            end = next((tag.start() for tag in tags["predictions"] if tag.end() == start), start)
        trace = text[begin:end]
    return context.clean(trace, line, lines=True), text[start : ends[-1] if ends else len(text)], _line(start)


def _line_of(text: str, first_line: int, pos: int) -> int:
    return text.count("\n", 0, pos) + first_line
