"""Raw model replies: read the plans in prose, tags, fences and data as a model sent them."""

from __future__ import annotations

import re
from dataclasses import replace

from evalkit.formats import json_parser, markdown, yaml
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.layouts import read_plans
from evalkit.formats.reply_tags import is_tagged, sections
from evalkit.types import Plan

_KEYS = "name|ablated[_ ]part|part|component|action|paper|planner|ablations|entries|plans?"
_YAML = re.compile(rf"^(?:- )?(?:{_KEYS})[ \t]*+:(?:[ \t]|$)|^- \{{", re.IGNORECASE | re.MULTILINE)


def recognises(text: str) -> bool:
    """Is this prose with the tags, or with JSON or YAML in it?"""
    return is_tagged(text) or json_parser.has_data(text) or _YAML.search(text) is not None


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return every plan of a reply: the data between the tags, the discussion as its trace."""
    trace, body, line = sections(text, context)
    if json_parser.has_data(body):
        return read_plans(json_parser.read_values(body, context.report, line), context, trace)
    if markdown.has_plan(body):
        plans = markdown.read("\n" * (line - 1) + body, context)
        return [replace(plan, trace=plan.trace or trace) for plan in plans]
    body, line = _yaml_in(body, line, context)
    return read_plans(yaml.read_values(body, context.report, line), context, trace)


def _yaml_in(body: str, line: int, context: ParseContext) -> tuple[str, int]:
    """Return the YAML in a body, from its first key to the end of its fence, and its line."""
    match = _YAML.search(body)
    if match is None:
        return "", line
    before = body[: match.start()]
    data, fence, _ = body[match.start() :].partition("\n```")
    if fence:
        context.report("code-fence", "expected data alone, found it in a code fence", line)
    elif before.strip():
        context.report("text-around-data", f"expected data alone, found {before.strip()[:40]!r}", line)
    return data, line + before.count("\n")
