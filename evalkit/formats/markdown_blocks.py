"""Markdown entries: scan the lines of a plan into blocks, one an entry, with fields and options; escape values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.entities import html5

from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.entries import field_of
from evalkit.formats.tree import Node
from evalkit.text import split_outside_brackets

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


@dataclass(slots=True)
class Field:
    """A field as it is being read: its label, and its texts with their lines, first the one beside the label."""

    label: str
    indent: int
    texts: list[tuple[int, list[str]]]
    item_indent: int | None = None  # of the bullets, once there is one


@dataclass(slots=True)
class Block:
    """An entry as it is being read; level 0 where it has no heading."""

    name: str
    line: int
    level: int
    fields: list[Field] = field(default_factory=list)


def heading_of(line: str) -> tuple[int, str] | None:
    """Return level and title of a markdown heading."""
    match = _HEADING.fullmatch(line)
    return (len(match.group(1)), match.group(2).strip()) if match else None


def is_box(line: str) -> bool:
    """Is the line nothing but opening or closing div tags?"""
    return _BOX.fullmatch(line) is not None


def has_field(text: str) -> bool:
    """Does any line hold a field of an entry, its label in bold?"""
    candidates = (line for line in text.split("\n") if "**" in line or "__" in line)
    labels = (_LABEL.fullmatch(_split(line)[2]) for line in candidates)
    return any(match is not None and field_of(match.group(1)) for match in labels)


def unescape(text: str) -> str:
    """Return a text with HTML entities as the characters they stand for."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    name = match.group(1)
    if not name.startswith("#"):
        return html5.get(f"{name};", match.group())
    number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else match.group()


def escape_entities(text: str) -> str:
    """Escape what reads as an entity and is none, so that `unescape` gives it back."""
    return _ENTITY.sub(lambda match: f"&amp;{match.group()[1:]}", text) if "&" in text else text


def escape(text: str) -> str:
    """Escape a value for one line: `unescape` gives it back, and nothing in it can open a tag or a line."""
    text = escape_entities(text).replace("<", "&lt;")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"&#{ord(c)};" for c in text)


def join_metrics(items: Sequence[str]) -> str:
    """Put metrics on one line; where commas or brackets would split them otherwise, these become entities."""
    texts = [escape(item) for item in items]
    line = ", ".join(texts)
    if split_outside_brackets(line) == tuple(texts):
        return line
    return ", ".join(text.translate(_SPLITTERS) for text in texts)


def _split(line: str) -> tuple[int, bool, str]:
    """Return the indentation of a line, whether it has a bullet, and the text behind that."""
    match = _BULLET.fullmatch(line)
    rest = match.group(2) if match else line.lstrip(" \t")
    indent = match.group(1) if match else line[: len(line) - len(rest)]
    return len(indent.expandtabs(4)), match is not None, rest.strip()


class Scanner:
    """Gathers blocks from the lines of a plan; reports once a block that a line belongs nowhere, unless quiet."""

    def __init__(self, context: ParseContext, *, quiet: bool) -> None:
        self.context, self.quiet = context, quiet
        self.blocks: list[Block] = []
        self.open: Field | None = None
        self.reported_block = -1  # the line of the block whose unread lines were reported last

    def scan(self, lines: list[str], start: int, end: int) -> list[Block]:
        """Return the blocks between two lines."""
        fenced = blank = False
        for number, line in enumerate(lines[start:end], start + 1):
            if not line.strip() or is_box(line):
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
        self.blocks.append(Block(name, number, level))
        self.open = None

    def _field(self, line: str, number: int) -> bool:
        """Read a line `- **Label**: value`, also without bullet or bold where the label is a known one."""
        indent, bullet, rest = _split(line)
        if self.open is not None and self.open.label in LISTS and indent > self.open.indent + 1:
            return False
        if self._is_title(line, indent, bullet, rest):
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
        if not self.blocks or (label == "ablated_part" and any(f.label == label for f in known)):
            self._begin("", number)
        self.open = Field(label or match.group(1), indent, [(number, [match.group(2).strip()])])
        self.blocks[-1].fields.append(self.open)
        return True

    def _is_title(self, line: str, indent: int, bullet: bool, rest: str) -> bool:
        """Is the line bold as a whole, no field, and not an option beside its field?"""
        if not _BOLD_TITLE.fullmatch(rest) or field_of(rest):
            return False
        if self.open is None or indent < self.open.indent:
            return True
        return indent == self.open.indent and (not bullet or line.lstrip()[:1].isdigit())

    def _other(self, line: str, number: int, blank: bool) -> None:
        """Read an option, the rest of a value, or something that belongs nowhere."""
        open_field, block_line = self.open, self.blocks[-1].line if self.blocks else 0
        indent, bullet, rest = _split(line)
        if open_field is not None and open_field.label in LISTS and bullet and indent >= open_field.indent:
            self._option(open_field, indent, rest, number)
        elif open_field is not None and (not blank or indent > open_field.indent):
            open_field.texts[-1][1].append(line.strip() if open_field.item_indent is None else rest)
        elif not self.quiet and self.reported_block != block_line:
            self.reported_block = block_line
            message = f"expected a field or an option, found {line.strip()[:40]!r}"
            self.context.report("unread-line", message, number)

    def _option(self, owner: Field, indent: int, text: str, number: int) -> None:
        if owner.item_indent is None:
            owner.item_indent = indent
            if indent <= owner.indent:
                message = f"expected options below their field, found {text[:40]!r} beside it"
                self.context.report("flat-options", message, number)
        if indent > owner.item_indent + 1:
            self.context.report("nested-option", f"expected a flat list, found {text[:40]!r} below an option", number)
            owner.texts[-1][1].append(text)
        else:
            owner.texts.append((number, [text]))


def entry_node(block: Block, context: ParseContext) -> Node:
    """Return a block as the object that JSON would have."""
    values: dict[str, Node] = {}
    for item in block.fields:
        if item.label in values:
            context.report("field-twice", f"expected {item.label!r} once, found it again", item.texts[0][0])
        else:
            values[item.label] = _field_node(item, context)
    return Node(block.line, {"name": Node(block.line, unescape(block.name)), **values})


def _field_node(item: Field, context: ParseContext) -> Node:
    """Return a field's value: metrics are split at commas, options are bullets or stand on one line."""
    texts = [(line, " ".join(part for part in parts if part)) for line, parts in item.texts]
    line, beside = texts[0]
    if item.label not in LISTS:
        text = " ".join(text for _, text in texts).strip()
        return Node(line, text.strip("*_`. ") if item.label == "action" else unescape(text))
    texts[:1] = [(line, text) for text in _inline_items(item.label, beside, line, context)]
    return Node(line, tuple(Node(line, unescape(text)) for line, text in texts))


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
