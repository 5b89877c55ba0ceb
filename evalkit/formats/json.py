"""JSON and JSONL: recognise, parse and write; JSON as models write it becomes a document tree like any other.

One pass for strict and broken text alike, linear in its length, that reports every departure from the standard: a
general repair library was measured at 184 s for 100 kB of badly quoted text. Where JSON is ambiguous, what starts on a
new line as an object is the next entry, so that one broken entry does not swallow its neighbours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence, Sized
from typing import Any

from evalkit.formats.diagnostics import Report
from evalkit.formats.entries import field_of, plan_tree, plan_trees
from evalkit.formats.json_strings import BLANK, CLOSING, KEY, UNOPENED, Strings, unambiguous
from evalkit.formats.tree import Node
from evalkit.types import Plan

DEEPEST = 32

_SPACE = re.compile(rf"[{BLANK}]*+")
_BEFORE_KEY = re.compile(r"[ \t](?=[\"“]\w[\w ]{0,40}+[\"”][ \t]*+:)")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?")
_BARE = re.compile(r"[^,}\]\n]*+")
_BARE_IN_TUPLE = re.compile(r"[^,}\])\n]*+")
_NULLS = frozenset(("", "null", "none", "nil", "undefined"))
_TUPLE = re.compile(r"\([ \t\n]*+[\"'“{\[(\d)]")
_ELLIPSIS = re.compile(r"(?:\.\.\.|…)(?=[ \t\n]*+(?:[,}\])]|\Z))")
_BARE_KEY = re.compile(r"[^\s,:{}\[\]\"'][^,:{}\[\]\n]{0,80}(?=:)")
_LITERAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false")
_LITERAL_ALONE = re.compile(rf"(?:{_LITERAL.pattern})(?=[ \t\n]++[\"'“]\w[\w ]*+[\"'”][ \t]*+:)")
# In prose, only what looks like an object, or like a list of objects, is data.
_DATA = re.compile(r"\{(?=[ \t\n]*+(?:[\"'“}]|\w{1,40}+[ \t]*+:))|\[(?=[ \t\n]*+\{)")
_LOST = re.compile(r"[\"'”][ \t]*+:")  # a key where no object is
_BEGIN = re.compile(r"\{|\[[ \t\n]*+(?:[\"'“{\[\]/#]|\Z)")  # at the very start of a text more is data
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)[\w-]*+[ \t]*+$", re.MULTILINE)

# What tells how deep a value goes: its strings, its brackets, and the next object at a line's start, where it ends.
_DEPTH = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[{\[]|[}\]]|\n(?=\{)')


def is_json(text: str) -> bool:
    """Does the text begin with an object, or with a list of something, broken or not?"""
    text = text.lstrip()
    while (comment := _COMMENT.match(text)) and not text.startswith("#"):
        text = text[comment.end() :].lstrip()
    return _BEGIN.match(text) is not None


def is_jsonl(text: str) -> bool:
    """Does the text begin with an object that ends on its line or before the next one begins?"""
    first, _, rest = text.lstrip().partition("\n")
    rows = first.startswith("{") and first.rstrip(" ,").endswith("}") and rest.lstrip().startswith("{")
    return rows and is_json(text)


def text_alone(text: str) -> str | None:
    """Return the text of a document that is one JSON string and nothing else, as `json.dump(reply, file)` writes it."""
    text = text.strip()
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    try:
        return str(json.loads(text))
    except ValueError:
        return None


def has_data(text: str) -> bool:
    """Does anything in this text look like a JSON object?"""
    return _DATA.search(text) is not None


def read_values(text: str, report: Report, first_line: int = 1) -> list[Node]:
    """Return every JSON value at the top of a text, however many and whatever stands between them."""
    return list(_Parser(text, report, first_line).values())


def write(plans: Sequence[Plan]) -> str:
    """Write one object for one plan, a list of objects for several."""
    return unambiguous(json.dumps(plan_trees(plans), ensure_ascii=False, indent=2)) + "\n"


def write_jsonl(plans: Sequence[Plan]) -> str:
    """Write one row an entry, each naming its paper; a row without entries holds what belongs to the whole plan."""
    rows: list[dict[str, Any]] = []
    for plan in plans:
        tree = plan_tree(plan)
        entries = tree.pop("ablations")
        owner: dict[str, Any] = {key: tree[key] for key in ("paper", "planner", "sample") if key in tree}
        if tree != owner or not entries:
            rows.append({**tree, "ablations": []})
        rows += ({**owner, **entry} for entry in entries)
    return "".join(unambiguous(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


class _TooDeep(Exception):
    """Nesting beyond DEEPEST that is not closed again; caught at the value it began in."""


class _Parser(Strings):
    """Reads values at the cursor, whatever brackets, commas and colons are lost or too many."""

    def values(self) -> Iterator[Node]:
        while (start := self._next_data()) is not None:
            self.pos, self.lists, self.objects, self.tuples, self.guesses = start, 0, 0, 0, 0
            try:
                yield self.value(0)
            except _TooDeep:
                following = self.text.find("\n{", self.pos)
                self.pos = len(self.text) if following < 0 else following + 1

    def _next_data(self) -> int | None:
        """Find where the next value starts; report what is passed over on the way."""
        if self.pos == 0:
            self.space(comments=self.text.lstrip().startswith("/"))
            if _BEGIN.match(self.text, self.pos):
                return self.pos
        begin, match = self.pos, _DATA.search(self.text, self.pos)
        passed = self.text[begin : match.start() if match else None]
        rest, fences = _FENCE.subn("", passed)
        if fences:
            self.report("code-fence", "expected data alone, found it in a code fence", begin)
        rest = rest.strip(" \t\n\xa0")
        if rest and not passed.isspace():
            pos = begin + (0 if fences else passed.find(rest))
            if not rest.strip(","):
                self.report("trailing-comma", "expected a value or the end, found a comma between values", pos)
            elif _LOST.search(rest):
                self.report("entry-unreadable", f"expected an object, found {rest[:40]!r}", pos)
            else:
                code = "text-between-data" if begin > 0 and match else "text-around-data"
                self.report(code, f"expected data alone, found {rest[:40]!r}", pos)
        return match.start() if match else None

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
        c = self.peek()
        if depth > DEEPEST and c in "{[":
            return self._pass_over()
        if c in CLOSING:
            return self._string()
        if c == "(" and depth <= DEEPEST and (self.lists or self.objects) and _TUPLE.match(self.text, self.pos):
            return self._tuple(depth)
        return self._object(depth) if c == "{" else self._list(depth) if c == "[" else self._bare()

    def _pass_over(self) -> Node:
        """Leave out a value that is nested too deep; what stands around it is read."""
        start, open_ = self.pos, 0
        self.report("too-deep", f"expected at most {DEEPEST} brackets inside each other, found more")
        while match := _DEPTH.search(self.text, self.pos):
            if match.group() == "\n":
                break
            self.pos = match.end()
            open_ += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match.group(), 0)
            if not open_:
                return Node(self.line(start), None)
        raise _TooDeep

    def _bare(self) -> Node:
        """Return a number, true, false, null, or words that lack their quotes."""
        start = self.pos
        if (match := UNOPENED.match(self.text, start)) and self._is_odd(match.end() - 1):
            self.pos, word = match.end(), match.group(1).strip()
            self.report("unclosed-string", f"expected a text in quotes, found {word[:40]!r} with one behind it", start)
            return Node(self.line(start), word)
        if match := _LITERAL_ALONE.match(self.text, start):
            self.pos = match.end()
            return Node(self.line(start), match.group())
        match = (_BARE_IN_TUPLE if self.tuples else _BARE).match(self.text, start)
        word, end = (match.group(), match.end()) if match else ("", start)
        if following := _BEFORE_KEY.search(word):  # a comma is missing
            word, end = word[: following.start()], start + following.start()
        word, self.pos = word.strip(), max(end, start + 1)
        if word.casefold() in _NULLS:
            if word != "null":
                message = f"expected a value, found {word or self.text[start]!r}; read as null"
                self.report("bare-word", message, start)
            return Node(self.line(start), None)
        if not _LITERAL.fullmatch(word):
            self.report("bare-word", f"expected a text in quotes, found {word[:40]!r}", start)
        return Node(self.line(start), word)

    def _tuple(self, depth: int) -> Node:
        """Return what stands in round brackets, as Python writes it, as a list."""
        self.report("round-brackets", f"expected '[', found {self._ahead()}")
        self.tuples += 1
        node = self._list(depth, ")")
        self.tuples -= 1
        return node

    def _list(self, depth: int, bracket: str = "]") -> Node:
        start, items = self.pos, list[Node]()
        self.lists += 1
        for comma in self._members(bracket, items):
            is_key = KEY.match(self.text, self.pos) is not None
            opened = is_key and all(isinstance(item.value, dict) for item in items)
            if is_key and self.objects and not opened:
                self.report("unclosed-bracket", f"expected {bracket!r}, found the key {self._ahead()}")
                break
            if not comma and self._next_entry(items):
                break
            if not comma:
                self.report("missing-comma", f"expected a comma before {self._ahead()}")
            self.listed = True
            if opened:
                self.report("stray-bracket", f"expected '{{', found the key {self._ahead()}")
                self.pos -= 1  # as if the bracket stood there
            items.append(self._object(depth + 1) if opened else self.value(depth + 1))
        self.lists -= 1
        return Node(self.line(start), tuple(items))

    def _object(self, depth: int) -> Node:
        start, items, guesses = self.pos, dict[str, Node](), self.guesses
        self.objects, self.guesses = self.objects + 1, 0
        merged = False
        for comma in self._members("}", items):
            if self.peek() in "{[":
                self.report("unclosed-bracket", f"expected a key or '}}', found {self._ahead()}", self.before)
                break
            if not comma:
                self.report("missing-comma", f"expected a comma before {self._ahead()}")
            merged |= self._member(items, depth)
        self.objects, self.guesses = self.objects - 1, guesses
        return Node(self.line(start), None if merged else items)

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
            elif dots := _ELLIPSIS.match(self.text, self.pos):
                self.report("ellipsis", f"expected what {dots.group()!r} stands for, found nothing")
                self.pos, comma = dots.end(), False
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
        opens_line = not self.text[self.text.rfind("\n", 0, self.pos) + 1 : self.pos].strip()
        if opens_line:
            self.report("unclosed-bracket", "expected ']', found the next object", self.before)
        return opens_line

    def _member(self, items: dict[str, Node], depth: int) -> bool:
        """Read one member; return whether a lost quotation mark shows to have merged two entries in this object."""
        start = self.pos
        self.listed = False
        if self.peek() in CLOSING:
            key = str(self._string(key=True).value)
        elif match := _BARE_KEY.match(self.text, self.pos):
            self.report("bare-word", f"expected a key in quotes, found {match.group()!r}")
            self.pos, key = match.end(), match.group().strip(" \t\"'”")
        else:
            key = str(self._bare().value or "")
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
        if key in items and value.value is not None and self.guesses and field_of(key):
            message = f"expected one {key[:40]!r}, found two: a quotation mark is lost, and two entries stand in one"
            self.report("entries-merged", message, start)
            return True
        if key in items:
            self.report("duplicate-key", f"expected one {key[:40]!r}, found another", start)
        if key not in items or value.value is not None:
            items[key] = value
        return False
