"""Blocks of fields in markdown: a heading or a bold title, and the lines `- **Label**: value` below it.

A line scanner rather than a markdown parser: a text may hold anything (half-open tags, fences), models write fields in
a dozen ways, and every diagnostic needs its line. Values are what the line says; only HTML entities are decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5

from evalkit.formats.diagnostics import Report
from evalkit.formats.entries import field_of
from evalkit.formats.tree import Node
from evalkit.text import split_outside_brackets

LISTS = ("replacement", "metrics")
LONGEST_OPTION = 6  # words; inline options are split at commas only where every piece is this short

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
BULLET = re.compile(r"([ \t]*+)(?:[-*+•]|\d{1,3}[.)])[ \t]+(.*)")
LABEL = re.compile(
    r"(?:\*\*|__)([^*_:：\s][^*:：]{0,40}?)[ \t]*(?:(?:\*\*|__)[ \t]*[:：]|[:：][ \t]*(?:\*\*|__))[ \t]*(.*)"
)
_PLAIN_LABEL = re.compile(r"([A-Za-z][A-Za-z _-]{2,30})[:：][ \t]*(.*)")
BOX = re.compile(r"[ \t]*+(?:</?div[^<>]*+>[ \t]*+)++", re.IGNORECASE)
# A line that is bold as a whole.
_BOLD_TITLE = re.compile(r"\*\*[^*]{1,200}\*\*[ \t]*:?[ \t]*|\*\*[^*]{1,200}:\*\*[ \t]*")
ENTITY = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NO_LETTERS = re.compile(r"[^A-Za-z]+")
BOXED_TITLE = re.compile(r"[ \t]*<h[1-6][^<>]*>(.*)</h[1-6]>[ \t]*", re.IGNORECASE)


@dataclass(slots=True)
class _Block:
    """An entry as it is being read; level 0 where it has no heading."""

    name: str
    line: int
    level: int
    # Labels with their texts, each its line and parts; first the text beside the label.
    fields: list[tuple[str, list[tuple[int, list[str]]]]] = field(default_factory=list)


def has_fields(text: str) -> bool:
    """Does a line of the text hold a field of an entry in bold?"""
    lines = (line for line in text.split("\n") if "**" in line or "__" in line)
    labels = (LABEL.fullmatch(split_bullet(line)[2]) for line in lines)
    return any(match is not None and field_of(match.group(1)) for match in labels)


def read_nodes(lines: list[str], start: int, end: int, report: Report, *, quiet: bool) -> list[Node]:
    """Return the entries between two lines, which count from 0; lines that belong nowhere are reported unless quiet."""
    return list(_entry_nodes(_Scanner(report, quiet).scan(lines, start, end), report, quiet))


def _entry_nodes(blocks: list[_Block], report: Report, quiet: bool) -> Iterator[Node]:
    """Yield the entries among the blocks; headings above or below the entries' own level are no entries."""
    levels = [block.level for block in blocks if block.fields and block.level]
    usual = max(set(levels), key=levels.count, default=None)
    for block in blocks:
        if block.fields:
            yield _entry_node(block, report)
        elif not quiet and (usual is None or block.level == usual):
            message = f"expected fields below the heading {block.name[:40]!r}, found none"
            report("entry-unreadable", message, block.line)
        elif not quiet:
            report("unread-line", f"expected an entry, found the heading {block.name[:40]!r}", block.line)


def section_of(line: str) -> str | None:
    """Return which section a line opens, if it opens one: trace or plan."""
    lowered = line.lower()
    if "plan" not in lowered and "trace" not in lowered:
        return None
    if "<" not in line and "#" not in line and not line.lstrip().startswith("**"):
        return None
    boxed, heading, title = BOXED_TITLE.fullmatch(line), heading_of(line), line.strip()
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


def below_plan(text: str) -> str:
    """Return what stands below the last heading of a plan; the whole text where there is none."""
    lines = text.split("\n")
    headings = [number for number, line in enumerate(lines) if section_of(line) == "plan"]
    return "\n".join(lines[headings[-1] + 1 :]) if headings else text


def heading_of(line: str) -> tuple[int, str] | None:
    """Return level and title of a markdown heading."""
    match = _HEADING.fullmatch(line) if "#" in line else None
    return (len(match.group(1)), match.group(2).strip()) if match else None


def split_bullet(line: str) -> tuple[int, bool, str]:
    """Return the indentation of a line, whether it has a bullet, and the text behind that."""
    match = BULLET.fullmatch(line)
    rest = match.group(2) if match else line.lstrip(" \t")
    indent = match.group(1) if match else line[: len(line) - len(rest)]
    return len(indent.expandtabs(4)), match is not None, rest.strip()


class _Scanner:
    """Gathers blocks from the lines of a plan; reports once a block that a line belongs nowhere, unless quiet."""

    def __init__(self, report: Report, quiet: bool) -> None:
        self.report, self.quiet = report, quiet
        self.blocks: list[_Block] = []
        self.label: str | None = None  # of the open field, the last of the last block
        self.indent = 0  # of the open field
        self.item_indent: int | None = None  # of its bullets, once there is one
        self.reported_block = -1  # the line of the block whose unread lines were reported last

    def scan(self, lines: list[str], start: int, end: int) -> list[_Block]:
        """Return the blocks between two lines."""
        fenced = blank = False
        for number, line in enumerate(lines[start:end], start + 1):
            if not line.strip() or ("<" in line and BOX.fullmatch(line)):
                blank = True
                continue
            if line.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            elif not fenced and (heading := heading_of(line)):
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
        indent, bullet, rest = split_bullet(line)
        if self.label in LISTS and indent > self.indent + 1:
            return False
        if rest.startswith("**") and _BOLD_TITLE.fullmatch(rest) and not field_of(rest):
            # Beside the open field it may be an option.
            is_sibling = indent == self.indent and (not bullet or line.lstrip()[:1].isdigit())
            if self.label is None or indent < self.indent or is_sibling:
                self._begin(rest.rstrip(": ").replace(":**", "**"), number)
                return True
        bold = LABEL.fullmatch(rest)
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
        indent, bullet, rest = split_bullet(line)
        texts = [] if self.label is None else self.blocks[-1].fields[-1][1]
        if self.label in LISTS and bullet and indent >= self.indent:
            if self.item_indent is None:
                self.item_indent = indent
                if indent <= self.indent:
                    message = f"expected options below their field, found {rest[:40]!r} beside it"
                    self.report("flat-options", message, number)
            if indent > self.item_indent + 1:
                message = f"expected a flat list, found {rest[:40]!r} below an option"
                self.report("nested-option", message, number)
                texts[-1][1].append(rest)
            else:
                texts.append((number, [rest]))
        elif texts and (not blank or indent > self.indent):
            texts[-1][1].append(line.strip() if self.item_indent is None else rest)
        elif not self.quiet and self.reported_block != (block_line := self.blocks[-1].line if self.blocks else 0):
            self.reported_block = block_line
            message = f"expected a field or an option, found {line.strip()[:40]!r}"
            self.report("unread-line", message, number)


def _entry_node(block: _Block, report: Report) -> Node:
    """Return a block as the object that JSON would have."""
    values: dict[str, Node] = {}
    for label, parts in block.fields:
        if label in values:
            report("field-twice", f"expected {label!r} once, found it again", parts[0][0])
            continue
        texts = [(line, " ".join(filter(None, pieces))) for line, pieces in parts]
        line, inline = texts[0]
        if label in LISTS:
            texts[:1] = [(line, text) for text in _inline_items(label, inline, line, report)]
            values[label] = Node(line, tuple(Node(line, unescape(text)) for line, text in texts))
        else:
            text = " ".join(text for _, text in texts).strip()
            values[label] = Node(line, text.strip("*_`. ") if label == "action" else unescape(text))
    return Node(block.line, {"name": Node(block.line, unescape(block.name)), **values})


def _inline_items(label: str, text: str, line: int, report: Report) -> tuple[str, ...]:
    """Split what stands beside a list's label: metrics by commas; options by semicolons, or commas if all are short."""
    if label == "metrics":
        return split_outside_brackets(text)
    items = split_outside_brackets(text, ";")
    if len(items) == 1:
        pieces = split_outside_brackets(text)
        items = pieces if all(len(piece.split()) <= LONGEST_OPTION for piece in pieces) else items
    if len(items) > 1:
        report("inline-options", f"expected options as bullets, found {len(items)} on one line", line)
    return items


def unescape(text: str) -> str:
    """Return a text with HTML entities as the characters they stand for."""
    return ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    name = match.group(1)
    if not name.startswith("#"):
        return html5.get(f"{name};", match.group())
    number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else match.group()
