"""Raw model replies: read the plans in prose, tags, fences, data, tables and lists as a model sent them."""

from __future__ import annotations

from dataclasses import replace

from evalkit.formats import markdown, shapes
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.layouts import final_lists, read_plans
from evalkit.formats.tags import is_tagged, opens_thought, sections, thought_of
from evalkit.types import Plan


def recognises(text: str) -> bool:
    """Is this prose with the tags, with thinking before it, or with entries in one of the known shapes?"""
    return is_tagged(text) or opens_thought(text) or any(shape.seen(text) for shape in shapes.SHAPES.values())


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return every plan of a reply: the list that holds most entries, the discussion as its trace."""
    thought, line = thought_of(text), 1
    thought_text = context.clean(thought[0], 1, lines=True) if thought else ""
    if thought:
        line, text = text.count("\n", 0, thought[1]) + 1, text[thought[1] :]
    elif opens_thought(text):
        message = "expected the end of the thinking, found none; entries were looked for in all of it"
        context.report("thought-unclosed", message, 1)
    trace, body, offset = sections(text, context, line)
    trace, line = "\n\n".join(filter(None, (thought_text, trace))), offset
    if not shapes.SHAPES["data"].seen(body) and markdown.has_plan(body):
        plans = markdown.read("\n" * (line - 1) + body, context)
        return [replace(plan, trace=plan.trace or trace) for plan in plans]
    _, nodes = shapes.best(body, context, line, ("data", "yaml", "blocks", "table", "list"))
    return read_plans(final_lists(nodes, body, line, context), context, trace)
