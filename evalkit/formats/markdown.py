"""Trajectories in markdown, with or without HTML boxes: recognise, read and write plans.

A line scanner rather than a markdown parser: a trace may hold anything (headings, fences, half-open tags), models write
fields in a dozen ways, and every diagnostic needs its line. Values are what the line says; only HTML entities are
decoded, and by entities the writer keeps a text from looking like structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.entries import read_entries
from evalkit.formats.markdown_blocks import (
    Block,
    Scanner,
    entry_node,
    escape,
    escape_entities,
    has_field,
    heading_of,
    is_box,
    join_metrics,
    unescape,
)
from evalkit.formats.reply_tags import is_tagged
from evalkit.formats.tree import Node
from evalkit.text import repair
from evalkit.types import Ablation, Plan

_NO_LETTERS = re.compile(r"[^A-Za-z]+")
_BOXED_TITLE = re.compile(r"[ \t]*<h[1-6][^<>]*>(.*)</h[1-6]>[ \t]*", re.IGNORECASE)
_SAMPLE = re.compile(r"[ \t]*<!-- sample: (.*) -->[ \t]*")


def recognises(text: str) -> bool:
    """Is this markdown with a plan, and no tagged reply unless a heading `# planner/paper` says so?"""
    return has_plan(text) and (any(_names_in(line) for line in text.split("\n")) or not is_tagged(text))


def has_plan(text: str) -> bool:
    """Does the text hold a plan's heading, or a field of an entry in bold?"""
    return any(_section(line) == "plan" for line in text.split("\n")) or has_field(text)


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return every plan of a document; a new one begins with the next `# planner/paper` after a plan."""
    lines = text.split("\n")
    return [_read_plan(lines, start, end, context) for start, end in _plan_bounds(lines)]


def _plan_bounds(lines: list[str]) -> Iterator[tuple[int, int]]:
    start, planned = 0, False
    for i, line in enumerate(lines):
        if planned and _names_in(line):
            yield start, i
            start, planned = i, False
        planned = planned or _section(line) == "plan"
    yield start, len(lines)


def _section(line: str) -> str | None:
    """Return which section a line opens, if it opens one: trace or plan."""
    lowered = line.lower()
    if "plan" not in lowered and "trace" not in lowered:
        return None
    if "<" not in line and "#" not in line and not line.lstrip().startswith("**"):
        return None
    boxed, heading, title = _BOXED_TITLE.fullmatch(line), heading_of(line), line.strip()
    if boxed or heading:
        title = boxed.group(1) if boxed else heading[1] if heading else ""
    elif not (title.startswith("**") and title.rstrip(":").endswith("**")):
        return None
    words = _NO_LETTERS.sub(" ", title).lower().split() if len(title) <= 80 else []
    if len(words) > 4:
        return None
    if words[-2:] in (["ablation", "plan"], ["ablations", "plan"]):
        return "plan"
    return "trace" if words[-2:] == ["reasoning", "trace"] else None


def _names_in(line: str) -> tuple[str, str] | None:
    """Return planner and paper of a heading `# planner/paper`; the planner is all before the last slash."""
    level, name = heading_of(line) or (0, "")
    if level != 1 or "/" not in name or len(name.split()) != 1:
        return None
    planner, _, paper = name.rpartition("/")
    return unescape(planner), unescape(paper)


def _read_plan(lines: list[str], start: int, end: int, context: ParseContext) -> Plan:
    """Read the plan between two lines, which count from 0.

    Its heading is the last one; one in a box goes before those that a trace may hold.
    """
    sections = [(i, name) for i in range(start, end) if (name := _section(lines[i]))]
    headings = [i for i, name in sections if name == "plan"]
    boxed = [i for i in headings if _BOXED_TITLE.fullmatch(lines[i])]
    heading = next(reversed(boxed or headings), None)
    planner, paper = _names(lines, start, sections[0][0] + 1 if sections else end, context)
    if heading is None:
        context.report("plan-heading-missing", "expected a heading 'Ablation Plan', found none", start + 1)
    else:
        context.report_repairs(repair(lines[heading])[1], heading + 1)
    head = end if heading is None else heading
    first = start if heading is None else heading + 1
    trace = _trace(lines, next((i for i, name in sections if name == "trace" and i <= head), None), head, context)
    blocks = Scanner(context, quiet=heading is None).scan(lines, first, end)
    entries = read_entries(_entry_nodes(blocks, context, quiet=heading is None), context, first or 1)
    samples = (_SAMPLE.fullmatch(line) for line in lines[start:head])
    sample = context.clean(next((unescape(match.group(1)) for match in samples if match), ""), start + 1)
    return context.finish(Plan(paper, planner, entries, trace=trace, sample=sample))


def _names(lines: list[str], start: int, end: int, context: ParseContext) -> tuple[str, str]:
    for number, line in enumerate(lines[start:end], start + 1):
        if names := _names_in(line):
            return context.clean(names[0], number), context.clean(names[1], number)
    return "", ""


def _trace(lines: list[str], start: int | None, end: int, context: ParseContext) -> str:
    """Return what stands between the trace's heading and the plan's, without the boxes around it."""
    if start is None:
        return ""
    while end > start + 1 and (not lines[end - 1].strip() or is_box(lines[end - 1])):
        end -= 1
    context.report_repairs(repair(lines[start])[1], start + 1)
    trace, repairs = repair(unescape("\n".join(lines[start + 1 : end])))
    context.report_repairs(repairs, start + 2)
    return trace.strip()


def _entry_nodes(blocks: list[Block], context: ParseContext, *, quiet: bool) -> Iterator[tuple[Node, str]]:
    """Yield the entries among the blocks; headings above or below the entries' own level are no entries."""
    levels = [block.level for block in blocks if block.fields and block.level]
    usual = max(set(levels), key=levels.count, default=None)
    for block in blocks:
        if block.fields:
            yield entry_node(block, context), ""
        elif not quiet and (usual is None or block.level == usual):
            message = f"expected fields below the heading {block.name[:40]!r}, found none"
            context.report("entry-unreadable", message, block.line)
        elif not quiet:
            context.report("unread-line", f"expected an entry, found the heading {block.name[:40]!r}", block.line)


def write(plans: Sequence[Plan]) -> str:
    """Write plans as markdown, one after the other."""
    return "\n".join(_plan_text(plan) for plan in plans)


def _plan_text(plan: Plan) -> str:
    names = (escape(name).replace(" ", "&#32;") for name in (plan.planner or "", plan.paper.replace("/", "\0")))
    lines = [f"# {'/'.join(names)}".replace("&#0;", "&#47;"), ""]
    if plan.sample:
        lines += [f"<!-- sample: {escape(plan.sample).replace('>', '&gt;')} -->", ""]
    if plan.trace:
        lines += ["## Reasoning Trace", "", *(_trace_line(line) for line in plan.trace.split("\n")), ""]
    lines += ["## Ablation Plan", ""]
    for entry in plan.ablations:
        lines += [*_entry_lines(entry), ""]
    return "\n".join(lines)


def _entry_lines(entry: Ablation) -> list[str]:
    name = escape(entry.name)
    if name.startswith("**"):
        name = f"&#42;{name[1:]}"
    if _section(f"### {name}"):
        name = "".join(f"&#{ord(c)};" for c in entry.name)  # an entry may be called "Ablation Plan"
    lines = [f"### {name}", f"- **Ablated Part**: {escape(entry.part)}"]
    if entry.action:
        lines.append(f"- **Action**: {entry.action}")
    if entry.replacements:
        lines += ["- **Replacement**:", *(f"  - {escape(option)}" for option in entry.replacements)]
    if entry.metrics:
        lines.append(f"- **Metrics**: {join_metrics(entry.metrics)}")
    if entry.draft:
        lines.append("- **Draft**: true")
    return lines


def _trace_line(line: str) -> str:
    """Escape a line of prose; one that would open a section, a box or a plan loses its first character to an entity."""
    text = escape_entities(line)
    if _section(line) or _names_in(line) or is_box(line) or _SAMPLE.fullmatch(line):
        indent = len(text) - len(text.lstrip())
        text = f"{text[:indent]}&#{ord(text[indent])};{text[indent + 1 :]}"
    return text
