"""Trajectories in markdown, with or without HTML boxes: recognise, read and write plans.

A trace may hold anything (headings, fences, plans): a plan is what stands below its last heading, in whichever shape.
By entities the writer keeps a text from looking like structure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from evalkit.formats import blocks, shapes
from evalkit.formats.blocks import BOX, BOXED_TITLE, ENTITY, heading_of, section_of, unescape
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.entries import read_entries
from evalkit.formats.layouts import read_plans
from evalkit.formats.metadata import Facts, facts_tree, read_facts
from evalkit.formats.tags import is_tagged, opens_thought
from evalkit.formats.tree import Node
from evalkit.text import split_outside_brackets
from evalkit.types import Ablation, Plan

_OBJECT = re.compile(r"\{(?=[^{}]*:)")  # what an object of JSON opens with, which would be read in place of fields
_SPLITTERS = {ord(c): f"&#{ord(c)};" for c in ",()[]{}"}
_SAMPLE = re.compile(r"[ \t]*<!-- sample: (.*) -->[ \t]*")
_META = re.compile(r"[ \t]*<!-- meta: (.*) -->[ \t]*")  # of a gold paper, as JSON; its weight too


def recognises(text: str) -> bool:
    """Is this markdown with a plan, and no reply in tags unless a heading `# planner/paper` says so?"""
    in_tags = is_tagged(text) or opens_thought(text)
    return has_plan(text) and (not in_tags or any(_names_in(line) for line in text.split("\n")))


def has_plan(text: str) -> bool:
    """Does the text hold a plan's heading, or a field of an entry in bold?"""
    return any(section_of(line) == "plan" for line in text.split("\n")) or blocks.has_fields(text)


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return every plan of a document; a new one begins with the next `# planner/paper` after a plan."""
    lines = text.split("\n")
    starts, planned = [0], False
    for i, line in enumerate(lines):
        if planned and _names_in(line):
            starts.append(i)
            planned = False
        planned = planned or section_of(line) == "plan"
    return [plan for start, end in pairwise((*starts, len(lines))) for plan in _read_plans(lines, start, end, context)]


def _names_in(line: str) -> tuple[str, str] | None:
    """Return planner and paper of a heading `# planner/paper`; the planner is all before the last slash."""
    level, name = heading_of(line) or (0, "")
    if level != 1 or "/" not in name or len(name.split()) != 1:
        return None
    planner, _, paper = name.rpartition("/")
    return unescape(planner), unescape(paper)


def _read_plans(lines: list[str], start: int, end: int, context: ParseContext) -> list[Plan]:
    """Read the plan between two lines, which count from 0, or the plans of data that stands there.

    Its heading is the last one; one in a box goes before those that a trace may hold.
    """
    sections = [(i, name) for i in range(start, end) if (name := section_of(lines[i]))]
    headings = [i for i, name in sections if name == "plan"]
    heading = next(reversed([i for i in headings if BOXED_TITLE.fullmatch(lines[i])] or headings), None)
    planner = paper = ""
    for i in range(start, sections[0][0] + 1 if sections else end):
        if names := _names_in(lines[i]):
            planner, paper = (context.clean(name, i + 1) for name in names)
            break
    if heading is None:
        context.report("plan-heading-missing", "expected a heading 'Ablation Plan', found none", start + 1)
        head, first = end, start
    else:
        context.clean(lines[heading], heading + 1)
        head, first = heading, heading + 1
    trace = _trace(lines, next((i for i, name in sections if name == "trace" and i <= head), None), head, context)
    samples = (_SAMPLE.fullmatch(line) for line in lines[start:head])
    sample = context.clean(next((unescape(match.group(1)) for match in samples if match), ""), start + 1)
    weight, meta = _facts(lines, start, head, context)
    body = "\n".join(lines[first:end])
    shape, nodes = shapes.best(body, context, first + 1, ("blocks", *shapes.LATER), quiet=heading is None)
    if shape == "blocks":
        entries = read_entries(((node, "") for node in nodes), context, first or 1)
        plan = Plan(paper, planner, entries, trace=trace, sample=sample, weight=weight, meta=meta)
        return [context.finish(plan)]
    with context.named(planner, paper):
        plans = read_plans(nodes, context, trace)
    return [replace(plan, sample=plan.sample or sample) for plan in plans]


def _facts(lines: list[str], start: int, end: int, context: ParseContext) -> Facts:
    """Return the weight and the metadata that a comment above the plan gives a gold paper."""
    for i in range(start, end):
        if match := _META.fullmatch(lines[i]):
            return read_facts({"meta": Node(i + 1, unescape(match.group(1)))}, context)
    return 1.0, ()


def _trace(lines: list[str], start: int | None, end: int, context: ParseContext) -> str:
    """Return what stands between the trace's heading and the plan's, without the boxes around it."""
    if start is None:
        return ""
    while end > start + 1 and (not lines[end - 1].strip() or BOX.fullmatch(lines[end - 1])):
        end -= 1
    context.clean(lines[start], start + 1)
    return context.clean(unescape("\n".join(lines[start + 1 : end])), start + 2, lines=True)


def write(plans: Sequence[Plan]) -> str:
    """Write plans as markdown, one after the other."""
    return "\n".join(_plan_text(plan) for plan in plans)


def _plan_text(plan: Plan) -> str:
    names = (_escape(name).replace(" ", "&#32;") for name in (plan.planner or "", plan.paper.replace("/", "\0")))
    lines = [f"# {'/'.join(names)}".replace("&#0;", "&#47;"), ""]
    if plan.sample:
        lines += [f"<!-- sample: {_escape(plan.sample).replace('>', '&gt;')} -->", ""]
    if facts := _facts_text(plan):
        lines += [f"<!-- meta: {facts.replace('>', '&gt;')} -->", ""]
    if plan.trace:
        lines += ["## Reasoning Trace", "", *(_trace_line(line) for line in plan.trace.split("\n")), ""]
    lines += ["## Ablation Plan", ""]
    for entry in plan.ablations:
        name = _escape(entry.name)
        if name.startswith("**"):
            name = f"&#42;{name[1:]}"
        if section_of(f"### {name}"):
            name = "".join(f"&#{ord(c)};" for c in entry.name)  # an entry may be called "Ablation Plan"
        lines += [f"### {name}", f"- **Ablated Part**: {_escape(entry.part)}"]
        if entry.action:
            lines.append(f"- **Action**: {entry.action}")
        if entry.replacements:
            lines += ["- **Replacement**:", *(f"  - {_escape(option)}" for option in entry.replacements)]
        if entry.metrics:
            lines.append(f"- **Metrics**: {_join_metrics(entry.metrics)}")
        if facts := _facts_text(entry):
            lines.append(f"- **Meta**: {facts}")
        lines += ["- **Draft**: true", ""] if entry.draft else [""]
    return "\n".join(lines)


def _facts_text(item: Ablation | Plan) -> str:
    """Return the weight and the metadata of a paper or an entry in one line; empty where there is nothing to say."""
    tree = facts_tree(item)
    tree |= tree.pop("meta", {})
    return _one_line(json.dumps(tree, ensure_ascii=False)) if tree else ""


def _trace_line(line: str) -> str:
    """Escape a line of prose; one that would open a section, a box or a plan loses its first character to an entity."""
    text = _escape_entities(line)
    if section_of(line) or _names_in(line) or BOX.fullmatch(line) or _SAMPLE.fullmatch(line) or _META.fullmatch(line):
        indent = len(text) - len(text.lstrip())
        text = f"{text[:indent]}&#{ord(text[indent])};{text[indent + 1 :]}"
    return text


def _escape_entities(text: str) -> str:
    """Escape what reads as an entity and is none, so that `unescape` gives it back."""
    return ENTITY.sub(lambda match: f"&amp;{match.group()[1:]}", text) if "&" in text else text


def _escape(text: str) -> str:
    """Escape a value for one line: `unescape` gives it back, and nothing in it can open a tag, a line or an object."""
    return _OBJECT.sub("&#123;", _one_line(text))


def _one_line(text: str) -> str:
    text = _escape_entities(text).replace("<", "&lt;")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"&#{ord(c)};" for c in text)


def _join_metrics(items: Sequence[str]) -> str:
    """Put metrics on one line; where commas or brackets would split them otherwise, these become entities."""
    texts = [_escape(item) for item in items]
    line = ", ".join(texts)
    if split_outside_brackets(line) == tuple(texts):
        return line
    return ", ".join(text.translate(_SPLITTERS) for text in texts)
