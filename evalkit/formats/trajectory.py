"""Trajectories: takes markdown, with or without HTML boxes, gives the Plans in it and can write them.

A line scanner rather than a markdown parser: a trace may hold anything (headings, fences, half-open tags), models write
fields in a dozen ways, and every finding needs its line. Values are what the line says; only HTML entities are decoded,
and by entities the writer keeps a text from looking like structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.formats.checks import check_entries
from evalkit.formats.entries import read_entry
from evalkit.formats.findings import Reading
from evalkit.formats.markdown_blocks import (
    Block,
    Scanner,
    decoded,
    escaped,
    escaped_entities,
    has_field,
    heading_of,
    is_box,
    joined,
    node_of,
)
from evalkit.formats.tree import Node
from evalkit.text import repair
from evalkit.types import Ablation, Plan

_NO_LETTERS = re.compile(r"[^A-Za-z]+")
_TITLE = re.compile(r"[ \t]*<h[1-6][^<>]*>(.*)</h[1-6]>[ \t]*", re.IGNORECASE)
_SAMPLE = re.compile(r"[ \t]*<!-- sample: (.*) -->[ \t]*")


def recognises(text: str) -> bool:
    """Markdown with a plan's heading, or with a field of an entry in bold."""
    return any(_section(line) == "plan" for line in text.split("\n")) or has_field(text)


def is_named(text: str) -> bool:
    """Does the text hold a heading `# planner/paper`?"""
    return any(_id_of(line) for line in text.split("\n") if line.startswith("#"))


def read(text: str, reading: Reading) -> list[Plan]:
    """Every plan of a document; a new one begins with the next `# planner/paper` after a plan."""
    lines = text.split("\n")
    parts = [_Part(*bounds, lines) for bounds in _parts(lines)]
    return [_read_part(part, reading) for part in parts]


@dataclass(frozen=True, slots=True)
class _Part:
    """One plan's lines: from its heading (or the top) to the next one's; line numbers count from 0."""

    start: int
    end: int
    lines: list[str]

    def first(self, section: str) -> int | None:
        return next((i for i in range(self.start, self.end) if _section(self.lines[i]) == section), None)

    def plan_heading(self) -> int | None:
        """The last heading of a plan; one in a box goes before those that a trace may hold."""
        found = [i for i in range(self.start, self.end) if _section(self.lines[i]) == "plan"]
        boxed = [i for i in found if _TITLE.fullmatch(self.lines[i])]
        return next(reversed(boxed or found), None)


def _parts(lines: list[str]) -> Iterator[tuple[int, int]]:
    start, planned = 0, False
    for i, line in enumerate(lines):
        if planned and _id_of(line):
            yield start, i
            start, planned = i, False
        planned = planned or _section(line) == "plan"
    yield start, len(lines)


def _section(line: str) -> str | None:
    """Which section a line opens, if it opens one: trace or plan."""
    lowered = line.lower()
    if "plan" not in lowered and "trace" not in lowered:
        return None
    if "<" not in line and "#" not in line and not line.lstrip().startswith("**"):
        return None
    boxed, heading, title = _TITLE.fullmatch(line), heading_of(line), line.strip()
    if boxed or heading:
        title = boxed.group(1) if boxed else heading[1] if heading else ""
    elif not (title.startswith("**") and title.rstrip(":").endswith("**")):
        return None
    if len(title) > 80:
        return None
    words = _NO_LETTERS.sub(" ", title).lower().split()
    if words[-2:] in (["ablation", "plan"], ["ablations", "plan"]) and len(words) <= 4:
        return "plan"
    return "trace" if words[-2:] == ["reasoning", "trace"] and len(words) <= 4 else None


def _id_of(line: str) -> tuple[str, str] | None:
    """Planner and paper of a heading `# planner/paper`; the planner is all before the last slash."""
    level, name = heading_of(line) or (0, "")
    if level != 1 or "/" not in name or len(name.split()) != 1:
        return None
    planner, _, paper = name.rpartition("/")
    return decoded(planner), decoded(paper)


def _read_part(part: _Part, reading: Reading) -> Plan:
    planner, paper = _names(part, reading)
    heading = part.plan_heading()
    if heading is None:
        reading.add("plan-heading-missing", "expected a heading 'Ablation Plan', found none", part.start + 1)
    else:
        reading.report(repair(part.lines[heading])[1], heading + 1)
    trace = _trace(part, heading, reading)
    first = part.start if heading is None else heading + 1
    blocks = Scanner(reading, quiet=heading is None).scan(part.lines, first, part.end)
    entries, lines = _entries(blocks, reading, told=heading is not None)
    check_entries(entries, lines, reading, first or 1)
    samples = (_SAMPLE.fullmatch(line) for line in part.lines[part.start : heading])
    sample = reading.clean(next((decoded(match.group(1)) for match in samples if match), ""), part.start + 1)
    return reading.plan(entries, paper=paper, planner=planner, trace=trace, sample=sample)


def _names(part: _Part, reading: Reading) -> tuple[str, str]:
    for i in range(part.start, part.end):
        if names := _id_of(part.lines[i]):
            planner, paper = (reading.clean(name, i + 1) for name in names)
            return planner, paper
        if _section(part.lines[i]):
            break
    return "", ""


def _trace(part: _Part, heading: int | None, reading: Reading) -> str:
    """What stands between the trace's heading and the plan's, without the boxes around it."""
    start = part.first("trace")
    if start is None or (heading is not None and start > heading):
        return ""
    end = heading if heading is not None else part.end
    while end > start + 1 and (not part.lines[end - 1].strip() or is_box(part.lines[end - 1])):
        end -= 1
    reading.report(repair(part.lines[start])[1], start + 1)
    trace, repairs = repair(decoded("\n".join(part.lines[start + 1 : end])))
    reading.report(repairs, start + 2)
    return trace.strip()


def _entries(blocks: list[Block], reading: Reading, *, told: bool) -> tuple[list[Ablation], list[int]]:
    """The entries among the blocks; headings above or below the entries' own level are no entries."""
    entries, lines = [], []
    levels = [block.level for block in blocks if block.fields and block.level]
    usual = max(set(levels), key=levels.count, default=None)
    for block in blocks:
        if block.fields:
            if (entry := read_entry(_entry_node(block, reading), reading)) is not None:
                entries.append(entry)
                lines.append(block.line)
        elif told and (usual is None or block.level == usual):
            found = f"expected fields below the heading {block.name[:40]!r}, found none"
            reading.add("entry-unreadable", found, block.line)
        elif told:
            reading.add("unread-line", f"expected an entry, found the heading {block.name[:40]!r}", block.line)
    return entries, lines


def _entry_node(block: Block, reading: Reading) -> Node:
    known: dict[str, Node] = {}
    for value in block.fields:
        if value.label in known:
            reading.add("field-twice", f"expected {value.label!r} once, found it again", value.line)
        else:
            known[value.label] = node_of(value, reading)
    return Node(block.line, {"name": Node(block.line, decoded(block.name)), **known})


def write(plans: Sequence[Plan]) -> str:
    """Plans as markdown, one after the other."""
    return "\n".join(_plan_text(plan) for plan in plans)


def _plan_text(plan: Plan) -> str:
    names = (escaped(name).replace(" ", "&#32;") for name in (plan.planner or "", plan.paper.replace("/", "\0")))
    lines = [f"# {'/'.join(names)}".replace("&#0;", "&#47;"), ""]
    if plan.sample:
        lines += [f"<!-- sample: {escaped(plan.sample).replace('>', '&gt;')} -->", ""]
    if plan.trace:
        lines += ["## Reasoning Trace", "", *(_trace_line(line) for line in plan.trace.split("\n")), ""]
    lines += ["## Ablation Plan", ""]
    for entry in plan.ablations:
        lines += [*_entry_lines(entry), ""]
    return "\n".join(lines)


def _entry_lines(entry: Ablation) -> list[str]:
    name = escaped(entry.name)
    if name.startswith("**"):
        name = f"&#42;{name[1:]}"
    if _section(f"### {name}"):
        name = "".join(f"&#{ord(c)};" for c in entry.name)  # an entry may be called "Ablation Plan"
    lines = [f"### {name}", f"- **Ablated Part**: {escaped(entry.part)}"]
    if entry.action:
        lines.append(f"- **Action**: {entry.action}")
    if entry.replacements:
        lines += ["- **Replacement**:", *(f"  - {escaped(option)}" for option in entry.replacements)]
    if entry.metrics:
        lines.append(f"- **Metrics**: {joined(entry.metrics)}")
    if entry.draft:
        lines.append("- **Draft**: true")
    return lines


def _trace_line(line: str) -> str:
    """A line of prose; one that would open a section, a box or a plan loses its first character to an entity."""
    text = escaped_entities(line)
    if _section(line) or _id_of(line) or is_box(line) or _SAMPLE.fullmatch(line):
        at = len(text) - len(text.lstrip())
        text = f"{text[:at]}&#{ord(text[at])};{text[at + 1 :]}"
    return text
