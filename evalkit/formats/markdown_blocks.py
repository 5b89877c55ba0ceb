"""The lines of a plan in markdown: takes them one by one, gives Blocks, one an entry, with fields and options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.entities import html5

from evalkit.formats.entries import field_of
from evalkit.formats.findings import Reading
from evalkit.formats.tree import Node
from evalkit.text import split_outside_brackets

LISTS = ("replacement", "metrics")
LONGEST_OPTION = 6  # words; inline options are split at commas only where every piece is this short

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_BULLET = re.compile(r"([ \t]*+)(?:[-*+•]|\d{1,3}[.)])[ \t]+(.*)")
_LABEL = re.compile(r"(?:\*\*|__)([^*_:\s][^*:]{0,40}?)[ \t]*(?:(?:\*\*|__)[ \t]*:|:[ \t]*(?:\*\*|__))[ \t]*(.*)")
_PLAIN_LABEL = re.compile(r"([A-Za-z][A-Za-z _-]{2,30}):[ \t]*(.*)")
_BOX = re.compile(r"[ \t]*+(?:</?div[^<>]*+>[ \t]*+)++", re.IGNORECASE)
_BOLD_TITLE = re.compile(
    r"\*\*[^*]{1,200}\*\*[ \t]*:?[ \t]*|\*\*[^*]{1,200}:\*\*[ \t]*"
)  # a line that is bold as a whole
_ENTITY = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPLITTERS = {ord(c): f"&#{ord(c)};" for c in ",()[]{}"}


@dataclass(slots=True)
class Value:
    """A field as it is being read: its label, what stands beside the label, and its bullets."""

    label: str
    line: int
    indent: int
    inline: list[str]
    items: list[tuple[int, list[str]]] = field(default_factory=list)
    item_indent: int | None = None

    def extend(self, text: str) -> None:
        """The value runs on: in its last bullet, else beside its label."""
        (self.items[-1][1] if self.items else self.inline).append(text)

    def texts(self) -> list[tuple[int, str]]:
        """What stands beside the label, then the bullets, each with its line."""
        parts = [(self.line, self.inline), *self.items]
        return [(line, " ".join(part for part in texts if part)) for line, texts in parts]


@dataclass(slots=True)
class Block:
    """An entry as it is being read; level 0 where it has no heading."""

    name: str
    line: int
    level: int
    fields: list[Value] = field(default_factory=list)


def heading_of(line: str) -> tuple[int, str] | None:
    """Level and title of a markdown heading."""
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


def decoded(text: str) -> str:
    """HTML entities as the characters they stand for."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    name = match.group(1)
    if not name.startswith("#"):
        return html5.get(f"{name};", match.group())
    number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else match.group()


def escaped_entities(text: str) -> str:
    """What reads as an entity and is none, so that decoding gives it back."""
    return _ENTITY.sub(lambda match: f"&amp;{match.group()[1:]}", text) if "&" in text else text


def escaped(text: str) -> str:
    """A value for one line of markdown: `decoded` gives it back, and nothing in it can open a tag or a line."""
    text = escaped_entities(text).replace("<", "&lt;")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"&#{ord(c)};" for c in text)


def joined(items: Sequence[str]) -> str:
    """Metrics on one line; where commas or brackets would split them otherwise, these become entities."""
    texts = [escaped(item) for item in items]
    line = ", ".join(texts)
    if split_outside_brackets(line) == tuple(texts):
        return line
    return ", ".join(text.translate(_SPLITTERS) for text in texts)


def _split(line: str) -> tuple[int, bool, str]:
    """Indentation, whether there is a bullet, and the text behind it."""
    match = _BULLET.fullmatch(line)
    rest = match.group(2) if match else line.lstrip(" \t")
    indent = match.group(1) if match else line[: len(line) - len(rest)]
    return len(indent.expandtabs(4)), match is not None, rest.strip()


def _unwrapped(text: str) -> str:
    """A title without the bold marks around all of it."""
    inner = text[2:-2]
    return inner.strip() if text[:2] == text[-2:] == "**" and inner.strip() and "**" not in inner else text


class Scanner:
    """Goes over the lines of a plan and gathers blocks; what it cannot place is reported once a block, unless quiet."""

    def __init__(self, reading: Reading, *, quiet: bool) -> None:
        self.reading = reading
        self.blocks: list[Block] = []
        self.open: Value | None = None
        self.told_at = 0 if quiet else -1
        self.quiet = quiet

    def scan(self, lines: list[str], start: int, end: int) -> list[Block]:
        """The blocks between two lines."""
        fenced = blank = False
        for number, line in enumerate(lines[start:end], start + 1):
            if not line.strip() or is_box(line):
                blank = True
                continue
            if line.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            elif fenced or not (self._heading(line, number) or self._field(line, number)):
                self._other(line, number, blank)
            blank = False
        return self.blocks

    def _heading(self, line: str, number: int) -> bool:
        heading = heading_of(line)
        if heading is None:
            return False
        self._begin(heading[1], number, heading[0])
        return True

    def _begin(self, name: str, number: int, level: int) -> None:
        self.blocks.append(Block(_unwrapped(name), number, level))
        self.open = None

    def _field(self, line: str, number: int) -> bool:
        """A line `- **Label**: value`, also without bullet or bold where the label is a known one."""
        indent, bullet, rest = _split(line)
        if self.open is not None and self.open.label in LISTS and indent > self.open.indent + 1:
            return False
        if self._is_title(line, indent, bullet, rest):
            self._begin(rest.rstrip(": ").replace(":**", "**"), number, 0)
            return True
        bold = _LABEL.fullmatch(rest)
        match = bold or _PLAIN_LABEL.fullmatch(rest)
        label = field_of(match.group(1)) if match else None
        if match is None or (label is None and not (bold and bullet and self.blocks)):
            return False
        again = label == "ablated_part" and self.blocks and any(f.label == label for f in self.blocks[-1].fields)
        if label == "name" and (not self.blocks or self.blocks[-1].fields):
            self._begin(match.group(2), number, 0)
            return True
        if again or not self.blocks:
            self._begin("", number, 0)
        self.open = Value(label or match.group(1), number, indent, [match.group(2).strip()])
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
        """An option, the rest of a value, or something that belongs nowhere."""
        value = self.open
        indent, bullet, rest = _split(line)
        if value is not None and value.label in LISTS and bullet and indent >= value.indent:
            self._option(value, indent, rest, number)
        elif value is not None and (not blank or indent > value.indent):
            value.extend(rest if value.items else line.strip())
        elif not self.quiet and self.told_at != (told := self.blocks[-1].line if self.blocks else 0):
            self.told_at = told
            self.reading.add("unread-line", f"expected a field or an option, found {line.strip()[:40]!r}", number)

    def _option(self, value: Value, indent: int, text: str, number: int) -> None:
        if value.item_indent is None:
            value.item_indent = indent
            if indent <= value.indent:
                message = f"expected options below their field, found {text[:40]!r} beside it"
                self.reading.add("flat-options", message, number)
        if indent > value.item_indent + 1 and value.items:
            self.reading.add("nested-option", f"expected a flat list, found {text[:40]!r} below an option", number)
            value.extend(text)
        else:
            value.items.append((number, [text]))


def node_of(value: Value, reading: Reading) -> Node:
    """A field's value: metrics are split at commas, options are bullets or stand on one line."""
    beside, *items = value.texts()
    if value.label not in LISTS:
        text = " ".join(text for _, text in (beside, *items)).strip()
        return Node(value.line, text.strip("*_`. ") if value.label == "action" else decoded(text))
    inline = [(value.line, text) for text in _inline_items(value, beside[1], reading)]
    return Node(value.line, tuple(Node(line, decoded(text)) for line, text in (*inline, *items)))


def _inline_items(value: Value, text: str, reading: Reading) -> tuple[str, ...]:
    """What stands beside a list's label: metrics by commas; options by semicolons, or by commas where all are short."""
    if value.label == "metrics":
        return split_outside_brackets(text)
    items = split_outside_brackets(text, ";")
    if len(items) == 1:
        pieces = split_outside_brackets(text)
        items = pieces if all(len(piece.split()) <= LONGEST_OPTION for piece in pieces) else items
    if len(items) > 1:
        reading.add("inline-options", f"expected options as bullets, found {len(items)} on one line", value.line)
    return items
