"""JSON and JSONL: recognise, parse and write; JSON as models write it becomes a document tree like any other.

One pass for strict and broken text alike, linear in its length, that reports every departure from the standard: a
general repair library was measured at 184 s for 100 kB of badly quoted text. Where JSON is ambiguous, what starts on a
new line as an object is the next entry, so that one broken entry does not swallow its neighbours.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence, Sized
from typing import Any

from evalkit.formats.diagnostics import Report
from evalkit.formats.entries import plan_tree, plan_trees
from evalkit.formats.tree import Node
from evalkit.types import Plan

DEEPEST = 32
CLOSING = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}

_NEWLINE = re.compile("\n")
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

_STRICT_STRING = re.compile(r'"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)"')
_STRING_SPACE = re.compile(r"[ \t\n\xa0]*+")
_NEXT_VALUE = re.compile(
    r"[ \t\n\xa0]*+(?:[\"'“‘`{\[\d.+-]|true|false|null|None|True|False|[}\]]|//|/\*|#|[A-Za-z_]\w{0,40}+[ \t]*+:|\Z)"
)
# What the line after an unclosed string looks like: an end, the next object, the next key.
_NEXT_LINE = re.compile(r"\n[ \t]*+(?:[}\]]|\{[ \t]*+[\"'}]|[\"'“]?[A-Za-z_][\w ]{0,40}[\"'”]?[ \t]*+:|```|</|\Z)")
# What tells how deep a value goes: its strings, its brackets, and the next object at a line's start, where it ends.
_DEPTH = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[{\[]|[}\]]|\n(?=\{)')
_KEY = re.compile(r"[\"'“][A-Za-z_][\w ]{0,40}+[\"'”][ \t]*+:")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'", "\n": "\n"}
# Commands of LaTeX whose first letter JSON takes for an escape; nobody writes \b or \f on purpose.
_LATEX = re.compile(
    r"\\(?:[bf][A-Za-z]|(?:n(?:u|eq|abla)|r(?:ho|angle|ightarrow)|"
    r"t(?:o|au|op|an|anh|heta|imes|ilde|ext|extbf|extit|extrm|extsc|extsubscript))(?![A-Za-z]))"
)
_SPELLED = {"\\n": "\\u000a", "\\t": "\\u0009"}


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


def unambiguous(text: str) -> str:
    """Spell out every newline or tab of a JSON text that could be taken for the beginning of a LaTeX command."""
    return _ESCAPE.sub(lambda m: _SPELLED.get(m[0], m[0]) if _LATEX.match(text, m.start()) else m[0], text)


class _TooDeep(Exception):
    """Nesting beyond DEEPEST that is not closed again; caught at the value it began in."""


class _Parser:
    """A cursor over the text; `lists` and `objects` count what is open around it."""

    def __init__(self, text: str, report: Report, first_line: int) -> None:
        self.text, self.report_to, self.first_line = text, report, first_line
        self.pos = self.lists = self.objects = 0
        self.before = self.after = 0  # the white space last passed
        self.newlines = [newline.start() for newline in _NEWLINE.finditer(text)]
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
        c = self.peek()
        if depth > DEEPEST and c in "{[":
            return self._pass_over()
        if c in CLOSING:
            return self._string()
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
        opens_line = not self.text[self.text.rfind("\n", 0, self.pos) + 1 : self.pos].strip()
        if opens_line:
            self.report("unclosed-bracket", "expected ']', found the next object", self.before)
        return opens_line

    def _member(self, items: dict[str, Node], depth: int) -> None:
        start = self.pos
        if self.peek() in CLOSING:
            key = str(self._string(key=True).value)
        elif match := _BARE_KEY.match(self.text, self.pos):
            self.report("bare-word", f"expected a key in quotes, found {match.group()!r}")
            self.pos, key = match.end(), match.group().strip()
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
        if key in items:
            self.report("duplicate-key", f"expected one {key[:40]!r}, found another", start)
        items[key] = value

    def _report_end(self) -> None:
        self.report("truncated", "expected the data to be closed, found the end of the text", len(self.text))

    def _ahead(self) -> str:
        return repr(self.text[self.pos : self.pos + 20].split("\n")[0])

    def _string(self, *, key: bool = False) -> Node:
        """Return a string: a strict one by one pattern, any other in one scan from quotation mark to mark."""
        start, cut = self.pos, False
        strict = _STRICT_STRING.match(self.text, start)
        if strict and self._ends_string(strict.end() - 1, key):
            body, self.pos = strict.group(1), strict.end()
        else:
            body, self.pos, cut = self._scan(start, key)
        value = self._unescaped(body, start) if "\\" in body else body
        if cut:
            self._report_end()
        return Node(self.line(start), value)

    def _scan(self, start: int, key: bool) -> tuple[str, int, bool]:
        """Return the body of a string that departs from the standard, its end, and whether the text ended inside it."""
        text, close = self.text, CLOSING[self.text[start]]
        if text[start] != '"':
            self.report("other-quotes", f"expected double quotes, found {text[start]}", start)
        stops = re.compile(rf"[{re.escape(close)}\\\n]")
        inside: dict[str, str] = {}
        pos = start + 1
        while stop := stops.search(text, pos):
            index, pos = stop.span()
            if stop.group() == "\\":
                pos += 1
                continue
            if stop.group() == "\n":
                unclosed = _NEXT_LINE.match(text, index) is not None
            else:  # the mark that opens the next key
                ahead = not key and _KEY.match(text, index) is not None
                unclosed = ahead and text[start + 1 : index].rstrip().endswith(",")
            if unclosed:
                self.report("unclosed-string", f"expected {close}, found what follows the string", start)
                return text[start + 1 : index].rstrip().removesuffix(","), index, False
            if stop.group() == "\n":
                inside["raw-newline"] = "expected a string on one line, found one that runs on"
            elif self._ends_string(index, key):
                break
            else:
                inside["inner-quotes"] = f"expected \\{close} inside a string, found {close}"
        for code, message in sorted(inside.items()):
            self.report(code, message, start)
        return (text[start + 1 : index], pos, False) if stop else (text[start + 1 :], len(text), True)

    def _ends_string(self, index: int, key: bool) -> bool:
        """Does the quotation mark at this place end its string? What follows tells; always true of strict JSON."""
        text, after = self.text, _STRING_SPACE.match(self.text, index + 1)
        pos = after.end() if after else index + 1
        following = text[pos : pos + 1]
        if following == ",":
            return _NEXT_VALUE.match(text, pos + 1) is not None
        if following in "}]":  # also true at the end of the text
            return True
        if following == ":":
            return key
        if following in "#/":
            return text.startswith(("//", "/*", " #"), pos if following == "/" else pos - 1)
        return _KEY.match(text, pos) is not None or ("\n" in text[index:pos] and following in "\"'“{[")

    def _unescaped(self, body: str, start: int) -> str:
        """Resolve escapes; a backslash that escapes nothing, or begins a LaTeX command, stays a backslash."""
        codes: set[str] = set()

        def resolve(match: re.Match[str]) -> str:
            escape = match.group(1)
            if _LATEX.match(body, match.start()):
                codes.add("latex-escape")
                return match.group()
            if len(escape) == 5:
                return chr(int(escape[1:], 16))
            if escape not in _ESCAPED:
                codes.add("bad-escape")
            return _ESCAPED.get(escape, match.group())

        value = _ESCAPE.sub(resolve, body)
        for code in sorted(codes):
            self.report(code, f"expected a doubled backslash, found one in {body[:40]!r}", start)
        if any("\ud800" <= c <= "\udfff" for c in value):
            value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return value
