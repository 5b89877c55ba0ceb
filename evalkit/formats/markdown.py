"""Trajectories in markdown, with or without HTML boxes: recognise, read and write plans.

A line scanner rather than a markdown parser: a trace may hold anything (headings, fences, half-open tags), models write
fields in a dozen ways, and every diagnostic needs its line. Values are what the line says; only HTML entities are
decoded, and by entities the writer keeps a text from looking like structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.entities import html5
from itertools import pairwise

from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.entries import Node, field_of, read_entries
from evalkit.formats.layouts import is_tagged
from evalkit.text import split_outside_brackets
from evalkit.types import Plan

LISTS = ("replacement", "metrics")
LONGEST_OPTION = 6  # words; inline options are split at commas only where every piece is this short

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_BULLET = re.compile(r"([ \t]*+)(?:[-*+•]|\d{1,3}[.)])[ \t]+(.*)")
_LABEL = re.compile(r"(?:\*\*|__)([^*_:\s][^*:]{0,40}?)[ \t]*(?:(?:\*\*|__)[ \t]*:|:[ \t]*(?:\*\*|__))[ \t]*(.*)")
_PLAIN_LABEL = re.compile(r"([A-Za-z][A-Za-z _-]{2,30}):[ \t]*(.*)")
_BOX = re.compile(r"[ \t]*+(?:</?div[^<>]*+>[ \t]*+)++", re.IGNORECASE)
# A line that is bold as a whole.
_BOLD_TITLE = re.compile(r"\*\*[^*]{1,200}\*\*[ \t]*:?[ \t]*|\*\*[^*]{1,200}:\*\*[ \t]*")
_ENTITY = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPLITTERS = {ord(c): f"&#{ord(c)};" for c in ",()[]{}"}
_NO_LETTERS = re.compile(r"[^A-Za-z]+")
_BOXED_TITLE = re.compile(r"[ \t]*<h[1-6][^<>]*>(.*)</h[1-6]>[ \t]*", re.IGNORECASE)
_SAMPLE = re.compile(r"[ \t]*<!-- sample: (.*) -->[ \t]*")


@dataclass(slots=True)
class _Block:
    """An entry as it is being read; level 0 where it has no heading."""

    name: str
    line: int
    level: int
    # Labels with their texts, each its line and parts; first the text beside the label.
    fields: list[tuple[str, list[tuple[int, list[str]]]]] = field(default_factory=list)


def recognises(text: str) -> bool:
    """Is this markdown with a plan, and no tagged reply unless a heading `# planner/paper` says so?"""
    return has_plan(text) and (any(_names_in(line) for line in text.split("\n")) or not is_tagged(text))


def has_plan(text: str) -> bool:
    """Does the text hold a plan's heading, or a field of an entry in bold?"""
    lines = text.split("\n")
    if any(_section(line) == "plan" for line in lines):
        return True
    labels = (_LABEL.fullmatch(_split(line)[2]) for line in lines if "**" in line or "__" in line)
    return any(match is not None and field_of(match.group(1)) for match in labels)


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return every plan of a document; a new one begins with the next `# planner/paper` after a plan."""
    lines = text.split("\n")
    starts, planned = [0], False
    for i, line in enumerate(lines):
        if planned and _names_in(line):
            starts.append(i)
            planned = False
        planned = planned or _section(line) == "plan"
    return [_read_plan(lines, start, end, context) for start, end in pairwise((*starts, len(lines)))]


def _section(line: str) -> str | None:
    """Return which section a line opens, if it opens one: trace or plan."""
    lowered = line.lower()
    if "plan" not in lowered and "trace" not in lowered:
        return None
    if "<" not in line and "#" not in line and not line.lstrip().startswith("**"):
        return None
    boxed, heading, title = _BOXED_TITLE.fullmatch(line), _heading(line), line.strip()
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
    level, name = _heading(line) or (0, "")
    if level != 1 or "/" not in name or len(name.split()) != 1:
        return None
    planner, _, paper = name.rpartition("/")
    return _unescape(planner), _unescape(paper)


def _read_plan(lines: list[str], start: int, end: int, context: ParseContext) -> Plan:
    """Read the plan between two lines, which count from 0.

    Its heading is the last one; one in a box goes before those that a trace may hold.
    """
    sections = [(i, name) for i in range(start, end) if (name := _section(lines[i]))]
    headings = [i for i, name in sections if name == "plan"]
    heading = next(reversed([i for i in headings if _BOXED_TITLE.fullmatch(lines[i])] or headings), None)
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
    quiet = heading is None
    blocks = _Scanner(context, quiet).scan(lines, first, end)
    entries = read_entries(_entry_nodes(blocks, context, quiet), context, first or 1)
    samples = (_SAMPLE.fullmatch(line) for line in lines[start:head])
    sample = context.clean(next((_unescape(match.group(1)) for match in samples if match), ""), start + 1)
    return context.finish(Plan(paper, planner, entries, trace=trace, sample=sample))


def _trace(lines: list[str], start: int | None, end: int, context: ParseContext) -> str:
    """Return what stands between the trace's heading and the plan's, without the boxes around it."""
    if start is None:
        return ""
    while end > start + 1 and (not lines[end - 1].strip() or _BOX.fullmatch(lines[end - 1])):
        end -= 1
    context.clean(lines[start], start + 1)
    return context.clean(_unescape("\n".join(lines[start + 1 : end])), start + 2, lines=True)


def _entry_nodes(blocks: list[_Block], context: ParseContext, quiet: bool) -> Iterator[tuple[Node, str]]:
    """Yield the entries among the blocks; headings above or below the entries' own level are no entries."""
    levels = [block.level for block in blocks if block.fields and block.level]
    usual = max(set(levels), key=levels.count, default=None)
    for block in blocks:
        if block.fields:
            yield _entry_node(block, context), ""
        elif not quiet and (usual is None or block.level == usual):
            message = f"expected fields below the heading {block.name[:40]!r}, found none"
            context.report("entry-unreadable", message, block.line)
        elif not quiet:
            context.report("unread-line", f"expected an entry, found the heading {block.name[:40]!r}", block.line)


def _heading(line: str) -> tuple[int, str] | None:
    """Return level and title of a markdown heading."""
    match = _HEADING.fullmatch(line)
    return (len(match.group(1)), match.group(2).strip()) if match else None


def _split(line: str) -> tuple[int, bool, str]:
    """Return the indentation of a line, whether it has a bullet, and the text behind that."""
    match = _BULLET.fullmatch(line)
    rest = match.group(2) if match else line.lstrip(" \t")
    indent = match.group(1) if match else line[: len(line) - len(rest)]
    return len(indent.expandtabs(4)), match is not None, rest.strip()


class _Scanner:
    """Gathers blocks from the lines of a plan; reports once a block that a line belongs nowhere, unless quiet."""

    def __init__(self, context: ParseContext, quiet: bool) -> None:
        self.context, self.quiet = context, quiet
        self.blocks: list[_Block] = []
        self.label: str | None = None  # of the open field, the last of the last block
        self.indent = 0  # of the open field
        self.item_indent: int | None = None  # of its bullets, once there is one
        self.reported_block = -1  # the line of the block whose unread lines were reported last

    def scan(self, lines: list[str], start: int, end: int) -> list[_Block]:
        """Return the blocks between two lines."""
        fenced = blank = False
        for number, line in enumerate(lines[start:end], start + 1):
            if not line.strip() or _BOX.fullmatch(line):
                blank = True
                continue
            if line.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            elif not fenced and (heading := _heading(line)):
                self._begin(heading[1], number, heading[0])
            elif fenced or not self._field(line, number):
                self._other(line, number, blank)
            blank = False
        return self.blocks

    def _begin(self, name: str, number: int, level: int = 0) -> None:
        """Begin a block, its name without bold marks around all of it."""
        bare = name[2:-2]
        if name[:2] == name[-2:] == "**" and bare.strip() and "**" not in bare:
            name = bare.strip()
        self.blocks.append(_Block(name, number, level))
        self.label = None

    def _field(self, line: str, number: int) -> bool:
        """Read a title or a line `- **Label**: value`, also without bullet or bold where the label is a known one."""
        indent, bullet, rest = _split(line)
        if self.label in LISTS and indent > self.indent + 1:
            return False
        if _BOLD_TITLE.fullmatch(rest) and not field_of(rest):
            # Beside the open field it may be an option.
            beside = indent == self.indent and (not bullet or line.lstrip()[:1].isdigit())
            if self.label is None or indent < self.indent or beside:
                self._begin(rest.rstrip(": ").replace(":**", "**"), number)
                return True
        bold = _LABEL.fullmatch(rest)
        match = bold or _PLAIN_LABEL.fullmatch(rest)
        label = field_of(match.group(1)) if match else None
        if match is None or (label is None and not (bold and bullet and self.blocks)):
            return False
        known = self.blocks[-1].fields if self.blocks else []
        if label == "name" and (known or not self.blocks):
            self._begin(match.group(2), number)
            return True
        if not self.blocks or (label == "ablated_part" and any(other == label for other, _ in known)):
            self._begin("", number)
        self.label, self.indent, self.item_indent = label or match.group(1), indent, None
        self.blocks[-1].fields.append((self.label, [(number, [match.group(2).strip()])]))
        return True

    def _other(self, line: str, number: int, blank: bool) -> None:
        """Read an option, the rest of a value, or something that belongs nowhere."""
        indent, bullet, rest = _split(line)
        texts = [] if self.label is None else self.blocks[-1].fields[-1][1]
        if self.label in LISTS and bullet and indent >= self.indent:
            if self.item_indent is None:
                self.item_indent = indent
                if indent <= self.indent:
                    message = f"expected options below their field, found {rest[:40]!r} beside it"
                    self.context.report("flat-options", message, number)
            if indent > self.item_indent + 1:
                message = f"expected a flat list, found {rest[:40]!r} below an option"
                self.context.report("nested-option", message, number)
                texts[-1][1].append(rest)
            else:
                texts.append((number, [rest]))
        elif texts and (not blank or indent > self.indent):
            texts[-1][1].append(line.strip() if self.item_indent is None else rest)
        elif not self.quiet and self.reported_block != (block_line := self.blocks[-1].line if self.blocks else 0):
            self.reported_block = block_line
            message = f"expected a field or an option, found {line.strip()[:40]!r}"
            self.context.report("unread-line", message, number)


def _entry_node(block: _Block, context: ParseContext) -> Node:
    """Return a block as the object that JSON would have."""
    values: dict[str, Node] = {}
    for label, parts in block.fields:
        if label in values:
            context.report("field-twice", f"expected {label!r} once, found it again", parts[0][0])
            continue
        texts = [(line, " ".join(filter(None, pieces))) for line, pieces in parts]
        line, beside = texts[0]
        if label in LISTS:
            texts[:1] = [(line, text) for text in _inline_items(label, beside, line, context)]
            values[label] = Node(line, tuple(Node(line, _unescape(text)) for line, text in texts))
        else:
            text = " ".join(text for _, text in texts).strip()
            values[label] = Node(line, text.strip("*_`. ") if label == "action" else _unescape(text))
    return Node(block.line, {"name": Node(block.line, _unescape(block.name)), **values})


def _inline_items(label: str, text: str, line: int, context: ParseContext) -> tuple[str, ...]:
    """Split what stands beside a list's label: metrics by commas; options by semicolons, or commas if all are short."""
    if label == "metrics":
        return split_outside_brackets(text)
    items = split_outside_brackets(text, ";")
    if len(items) == 1:
        pieces = split_outside_brackets(text)
        items = pieces if all(len(piece.split()) <= LONGEST_OPTION for piece in pieces) else items
    if len(items) > 1:
        context.report("inline-options", f"expected options as bullets, found {len(items)} on one line", line)
    return items


def write(plans: Sequence[Plan]) -> str:
    """Write plans as markdown, one after the other."""
    return "\n".join(_plan_text(plan) for plan in plans)


def _plan_text(plan: Plan) -> str:
    names = (_escape(name).replace(" ", "&#32;") for name in (plan.planner or "", plan.paper.replace("/", "\0")))
    lines = [f"# {'/'.join(names)}".replace("&#0;", "&#47;"), ""]
    if plan.sample:
        lines += [f"<!-- sample: {_escape(plan.sample).replace('>', '&gt;')} -->", ""]
    if plan.trace:
        lines += ["## Reasoning Trace", "", *(_trace_line(line) for line in plan.trace.split("\n")), ""]
    lines += ["## Ablation Plan", ""]
    for entry in plan.ablations:
        name = _escape(entry.name)
        if name.startswith("**"):
            name = f"&#42;{name[1:]}"
        if _section(f"### {name}"):
            name = "".join(f"&#{ord(c)};" for c in entry.name)  # an entry may be called "Ablation Plan"
        lines += [f"### {name}", f"- **Ablated Part**: {_escape(entry.part)}"]
        if entry.action:
            lines.append(f"- **Action**: {entry.action}")
        if entry.replacements:
            lines += ["- **Replacement**:", *(f"  - {_escape(option)}" for option in entry.replacements)]
        if entry.metrics:
            lines.append(f"- **Metrics**: {_join_metrics(entry.metrics)}")
        lines += ["- **Draft**: true", ""] if entry.draft else [""]
    return "\n".join(lines)


def _trace_line(line: str) -> str:
    """Escape a line of prose; one that would open a section, a box or a plan loses its first character to an entity."""
    text = _escape_entities(line)
    if _section(line) or _names_in(line) or _BOX.fullmatch(line) or _SAMPLE.fullmatch(line):
        indent = len(text) - len(text.lstrip())
        text = f"{text[:indent]}&#{ord(text[indent])};{text[indent + 1 :]}"
    return text


def _unescape(text: str) -> str:
    """Return a text with HTML entities as the characters they stand for."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    name = match.group(1)
    if not name.startswith("#"):
        return html5.get(f"{name};", match.group())
    number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else match.group()


def _escape_entities(text: str) -> str:
    """Escape what reads as an entity and is none, so that `_unescape` gives it back."""
    return _ENTITY.sub(lambda match: f"&amp;{match.group()[1:]}", text) if "&" in text else text


def _escape(text: str) -> str:
    """Escape a value for one line: `_unescape` gives it back, and nothing in it can open a tag or a line."""
    text = _escape_entities(text).replace("<", "&lt;")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"&#{ord(c)};" for c in text)


def _join_metrics(items: Sequence[str]) -> str:
    """Put metrics on one line; where commas or brackets would split them otherwise, these become entities."""
    texts = [_escape(item) for item in items]
    line = ", ".join(texts)
    if split_outside_brackets(line) == tuple(texts):
        return line
    return ", ".join(text.translate(_SPLITTERS) for text in texts)
