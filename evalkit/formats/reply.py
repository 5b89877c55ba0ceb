"""Raw model replies: read the plans in prose, tags, fences and data as a model sent them."""

from __future__ import annotations

import re
from dataclasses import replace

from evalkit.formats import json, markdown, yaml
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.layouts import is_tagged, read_plans, sections
from evalkit.types import Plan

_KEYS = "name|ablated[_ ]part|part|component|action|paper|planner|ablations|entries|plans?"
_YAML = re.compile(rf"^(?:- )?(?:{_KEYS})[ \t]*+:(?:[ \t]|$)|^- \{{", re.IGNORECASE | re.MULTILINE)


def recognises(text: str) -> bool:
    """Is this prose with the tags, or with JSON or YAML in it?"""
    return is_tagged(text) or json.has_data(text) or _YAML.search(text) is not None


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return every plan of a reply: the data between the tags, the discussion as its trace."""
    trace, body, line = sections(text, context)
    if json.has_data(body):
        return read_plans(json.read_values(body, context.report, line), context, trace)
    if markdown.has_plan(body):
        plans = markdown.read("\n" * (line - 1) + body, context)
        return [replace(plan, trace=plan.trace or trace) for plan in plans]
    # YAML goes from its first key to the end of its fence.
    match = _YAML.search(body)
    start = match.start() if match else len(body)
    before, (data, fence, _) = body[:start], body[start:].partition("\n```")
    if fence:
        context.report("code-fence", "expected data alone, found it in a code fence", line)
    elif match and before.strip():
        context.report("text-around-data", f"expected data alone, found {before.strip()[:40]!r}", line)
    return read_plans(yaml.read_values(data, context.report, line + before.count("\n")), context, trace)
