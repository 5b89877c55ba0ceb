"""Parse JSON as models write it into a document tree, and report every departure from the standard.

One pass for strict and broken text alike, linear in its length: a general repair library was measured at 184 s for
100 kB of badly quoted text. Where JSON is ambiguous, what starts on a new line as an object is the next entry, so that
one broken entry does not swallow its neighbours.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sized
from functools import partial

from evalkit.formats.diagnostics import Report
from evalkit.formats.json_strings import CLOSING, read_string
from evalkit.formats.tree import Node

DEEPEST = 32
_SPACE = re.compile(r"[ \t\n\ufeff\xa0]*+")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?")
_BARE = re.compile(r"[^,}\]\n]*+")
_BARE_KEY = re.compile(r"[^\s,:{}\[\]\"'][^,:{}\[\]\n]{0,80}(?=:)")
_LITERAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false")
# In prose, only what looks like an object, or like a list of objects, is data.
_DATA = re.compile(r"\{(?=[ \t\n]*+(?:[\"'“}]|\w{1,40}+[ \t]*+:))|\[(?=[ \t\n]*+\{)")
_LOST = re.compile(r"[\"'”][ \t]*+:")  # a key where no object is
_BEGIN = re.compile(r"\{|\[[ \t\n]*+(?:[\"'“{\[\]/#]|\Z)")  # at the very start of a text more is data
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)[\w-]*+[ \t]*+$", re.MULTILINE)


class _TooDeep(Exception):
    """Nesting beyond DEEPEST; caught at the value it began in."""


def has_data(text: str) -> bool:
    """Does anything in this text look like a JSON object?"""
    return _DATA.search(text) is not None


def begins(text: str) -> bool:
    """Does this text begin with JSON, broken or not?"""
    while (comment := _COMMENT.match(text)) and not text.startswith("#"):
        text = text[comment.end() :].lstrip()
    return _BEGIN.match(text) is not None


def read_values(text: str, report: Report, first_line: int = 1) -> list[Node]:
    """Return every JSON value at the top of a text, however many and whatever stands between them."""
    return list(_Parser(text, report, first_line).values())


class _Parser:
    """A cursor over the text; `lists` and `objects` count what is open around it."""

    def __init__(self, text: str, report: Report, first_line: int) -> None:
        self.text, self.report_to, self.first_line = text, report, first_line
        self.pos = self.lists = self.objects = 0
        self.before = self.after = 0  # the white space last passed
        self.newlines = [i for i, c in enumerate(text) if c == "\n"]
        self.reported: dict[str, int] = {}

    def line(self, pos: int) -> int:
        return self.first_line + bisect_right(self.newlines, pos - 1)

    def report(self, code: str, message: str, pos: int | None = None) -> None:
        """Report a departure, each kind once a line."""
        line = self.line(self.pos if pos is None else pos)
        if self.reported.get(code) != line:
            self.reported[code] = line
            self.report_to(code, message, line)

    def values(self) -> Iterator[Node]:
        while (start := self._next_data()) is not None:
            self.pos, self.lists, self.objects = start, 0, 0
            try:
                yield self.value(0)
            except _TooDeep:
                self.report("too-deep", f"expected at most {DEEPEST} brackets inside each other, found more")
                following = self.text.find("\n{", self.pos)
                self.pos = len(self.text) if following < 0 else following + 1

    def _next_data(self) -> int | None:
        """Find where the next value starts; report what is passed over on the way."""
        if self.pos == 0:
            self.space(comments=self.text.lstrip().startswith("/"))
            if _BEGIN.match(self.text, self.pos):
                return self.pos
        match = _DATA.search(self.text, self.pos)
        self._report_passed(self.pos, match.start() if match else len(self.text))
        return match.start() if match else None

    def _report_passed(self, begin: int, end: int) -> None:
        passed = self.text[begin:end]
        rest, fences = _FENCE.subn("", passed)
        if fences:
            self.report("code-fence", "expected data alone, found it in a code fence", begin)
        rest = rest.strip(" \t\n\xa0")
        if not rest or passed.isspace():
            return
        pos = begin + (0 if fences else passed.find(rest))
        if not rest.strip(","):
            self.report("trailing-comma", "expected a value or the end, found a comma between values", pos)
        elif _LOST.search(rest):
            self.report("entry-unreadable", f"expected an object, found {rest[:40]!r}", pos)
        else:
            code = "text-between-data" if begin > 0 and end < len(self.text) else "text-around-data"
            self.report(code, f"expected data alone, found {rest[:40]!r}", pos)

    def peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def space(self, *, comments: bool = False) -> None:
        """Pass over white space and, inside data, comments."""
        if self.pos != self.after:
            self.before = self.pos
        while match := _SPACE.match(self.text, self.pos):
            self.pos = self.after = match.end()
            comment = _COMMENT.match(self.text, self.pos) if comments or self.lists or self.objects else None
            if comment is None:
                return
            self.report("json-comment", f"expected JSON, found the comment {comment.group()[:40]!r}")
            self.pos = comment.end()

    def value(self, depth: int) -> Node:
        """Return the value at the cursor; consumes at least one character."""
        if depth > DEEPEST:
            raise _TooDeep
        c = self.peek()
        if c == "{":
            return self._object(depth)
        if c == "[":
            return self._list(depth)
        return self._string() if c in CLOSING else self._bare()

    def _string(self, *, key: bool = False) -> Node:
        start = self.pos
        report = partial(self.report, pos=start)
        value, self.pos, cut = read_string(self.text, start, report, key=key)
        if cut:
            self._report_end()
        return Node(self.line(start), value)

    def _bare(self) -> Node:
        """Return a number, true, false, null, or words that lack their quotes."""
        start, match = self.pos, _BARE.match(self.text, self.pos)
        word = match.group().strip() if match else ""
        self.pos = match.end() if match and match.end() > start else start + 1
        if word in ("null", "None", "undefined", ""):
            if word != "null":
                message = f"expected a value, found {word or self.text[start]!r}; read as null"
                self.report("bare-word", message, start)
            return Node(self.line(start), None)
        if not _LITERAL.fullmatch(word):
            self.report("bare-word", f"expected a text in quotes, found {word[:40]!r}", start)
        return Node(self.line(start), word)

    def _list(self, depth: int) -> Node:
        start, items = self.pos, list[Node]()
        self.lists += 1
        for comma in self._members("]", items):
            if not comma and self._next_entry(items):
                break
            if not comma:
                self.report("missing-comma", f"expected a comma before {self._ahead()}")
            items.append(self.value(depth + 1))
        self.lists -= 1
        return Node(self.line(start), tuple(items))

    def _object(self, depth: int) -> Node:
        start, items = self.pos, dict[str, Node]()
        self.objects += 1
        for comma in self._members("}", items):
            if self.peek() in "{[":
                self.report("unclosed-bracket", f"expected a key or '}}', found {self._ahead()}", self.before)
                break
            if not comma:
                self.report("missing-comma", f"expected a comma before {self._ahead()}")
            self._member(items, depth)
        self.objects -= 1
        return Node(self.line(start), items)

    def _members(self, bracket: str, items: Sized) -> Iterator[bool]:
        """Stop at every member of a container that `bracket` closes, and yield whether a comma led to it."""
        self.pos += 1
        comma = True
        while not self._closed(bracket, len(items) > 0 and comma):
            if self.peek() == ",":
                if comma:
                    expected = "an item" if bracket == "]" else "a key"
                    self.report("trailing-comma", f"expected {expected}, found a comma")
                comma, self.pos = True, self.pos + 1
            elif self.peek() == ":" and bracket == "]":
                self.report("stray-bracket", "expected a comma, found a colon in a list")
                self.pos += 1
            else:
                yield comma
                comma = False

    def _closed(self, bracket: str, comma: bool) -> bool:
        """Is the container over: by its bracket, by the bracket of one around it, or by the end of the text?"""
        while True:
            self.space()
            c = self.peek()
            if not c:
                self._report_end()
                return True
            if c == bracket:
                if comma:
                    self.report("trailing-comma", f"expected {bracket!r}, found a comma before it")
                self.pos += 1
                return True
            if c not in "]}":
                return False
            if self.lists if c == "]" else self.objects:
                self.report("unclosed-bracket", f"expected {bracket!r}, found {c!r}", self.before)
                return True
            self.report("stray-bracket", f"expected {bracket!r}, found {c!r}")
            self.pos += 1

    def _next_entry(self, items: list[Node]) -> bool:
        """Does an object start a line in the middle of a list of texts? Then the list was never closed."""
        if self.peek() != "{" or not self.objects or not items or any(isinstance(i.value, dict) for i in items):
            return False
        if self.text[self.text.rfind("\n", 0, self.pos) + 1 : self.pos].strip():
            return False
        self.report("unclosed-bracket", "expected ']', found the next object", self.before)
        return True

    def _member(self, items: dict[str, Node], depth: int) -> None:
        start = self.pos
        key = self._key()
        self.space()
        key_alone = self.peek() != ":"
        if not key_alone:
            self.pos += 1
            self.space()
        elif self.peek():
            self.report("missing-colon", f"expected ':' after the key {key[:40]!r}", start)
        if self.peek() in ",}" or (self.peek() == "{" and key_alone):
            if self.peek():
                self.report("missing-colon", f"expected a value for {key[:40]!r}, found none", start)
            value = Node(self.line(start), None)
        else:
            value = self.value(depth + 1)
        if key in items:
            self.report("duplicate-key", f"expected one {key[:40]!r}, found another", start)
        items[key] = value

    def _key(self) -> str:
        if self.peek() in CLOSING:
            return str(self._string(key=True).value)
        match = _BARE_KEY.match(self.text, self.pos)
        if match is None:
            return str(self._bare().value or "")
        self.report("bare-word", f"expected a key in quotes, found {match.group()!r}")
        self.pos = match.end()
        return match.group().strip()

    def _report_end(self) -> None:
        self.report("truncated", "expected the data to be closed, found the end of the text", len(self.text))

    def _ahead(self) -> str:
        return repr(self.text[self.pos : self.pos + 20].split("\n")[0])
