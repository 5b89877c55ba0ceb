"""Strings of JSON as models write it: where each begins and ends, whatever quotation marks are lost or not escaped."""

from __future__ import annotations

import re
from bisect import bisect_right

from evalkit.formats.diagnostics import Report
from evalkit.formats.tree import Node

LOOK_BACK = 400  # characters that are looked at before a mark inside a string
BLANK = " \t\n\ufeff\xa0\u1680\u180e\u2000-\u200b\u202f\u205f\u3000"  # what may stand between values
CLOSING = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_NEWLINE = re.compile("\n")
UNOPENED = re.compile(r"[ \t\n]*+([^\":\n]{1,200}+)\"(?=[ \t\n]*+[,}\]])")
_OPENER = {")": "(", "]": "[", "}": "{"}
_MARK = re.compile(r"\\.|\"")
_STRICT_STRING = re.compile(r'"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)"')
_STRING_SPACE = re.compile(rf"[{BLANK}]*+")
_NEXT_VALUE = re.compile(
    rf"[{BLANK}]*+"
    r"(?:[\"'“‘`{\[\d.+…-]|true|false|null|None|True|False|[}\]]|//|/\*|#|[A-Za-z_]\w{0,40}+[ \t]*+:|\Z"
    r"|\([ \t]*+[\"'“]|[A-Za-z_][\w ]{0,40}+[\"'”][ \t]*+:)"
)
# What the line after an unclosed string looks like: an end, the next object, the next key.
_NEXT_LINE = re.compile(r"\n[ \t]*+(?:[}\]]|\{[ \t]*+[\"'}]|[\"'“]?[A-Za-z_][\w ]{0,40}[\"'”]?[ \t]*+:|```|</|\Z)")
# What stands between a text that was never closed and the next key: the brackets of what it is in, a comma, a bracket.
_RUN = re.compile(r"[ \t\n]*+(?:[\]})][ \t\n]*+)*+,?[ \t\n]*+(?:[{\[(][ \t\n]*+)*+$")
_ITEM = re.compile(r"[ \t\n]*+\"[^\"\n\\]{0,400}+\"[ \t\n]*+[,\])\"\d]")
_LITERAL_ITEM = re.compile(r"(?:-?\d[\d.eE+-]*+|true|false|null|None|True|False)[ \t]*+(?:[,\])]|\Z)")
_LAST_ITEM = re.compile(r"\"[^\"\n\\]{1,400}+\"[ \t]*+[,\])]")
_LABEL = re.compile(r"([A-Za-z_][\w ]{0,40}+):[ \t]*+(?:[\[{(][ \t]*+)*+")
KEY = re.compile(r"[\"'“][A-Za-z_][\w ]{0,40}+[\"'”][ \t]*+:")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'", "\n": "\n"}
# Commands of LaTeX whose first letter JSON takes for an escape; nobody writes \b or \f on purpose.
_LATEX = re.compile(
    r"\\(?:[bf][A-Za-z]|(?:n(?:u|eq|abla)|r(?:ho|angle|ightarrow)|"
    r"t(?:o|au|op|an|anh|heta|imes|ilde|ext|extbf|extit|extrm|extsc|extsubscript))(?![A-Za-z]))"
)
_SPELLED = {"\\n": "\\u000a", "\\t": "\\u0009"}


def unambiguous(text: str) -> str:
    """Spell out every newline or tab of a JSON text that could be taken for the beginning of a LaTeX command."""
    return _ESCAPE.sub(lambda m: _SPELLED.get(m[0], m[0]) if _LATEX.match(text, m.start()) else m[0], text)


class Strings:
    """A cursor over the text that reads strings; `lists`, `objects` and `tuples` count what is open around it."""

    def __init__(self, text: str, report: Report, first_line: int) -> None:
        self.text, self.report_to, self.first_line = text, report, first_line
        self.pos = self.lists = self.objects = self.tuples = 0
        self.before = self.after = 0  # the white space last passed
        self.listed = False  # whether the value at the cursor is an item of a list
        self.odd: dict[int, bool] = {}  # lines, and whether they have an odd number of quotation marks
        self.guesses = 0  # strings of the innermost object whose end is a guess
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

    def peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

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
            if key and (label := _LABEL.fullmatch(text, start + 1, index)):
                self.report("unclosed-string", f"expected {close}, found what follows the key", start)
                return label.group(1), label.end(1), False
            if stop.group() == "\n":
                unclosed = _NEXT_LINE.match(text, index) is not None or (not key and self._opens_next(start, index))
            else:  # the mark that opens the next key, or the next item
                unclosed = not key and self._opens_next(start, index)
            if unclosed:
                self.guesses += 1
                self.report("unclosed-string", f"expected {close}, found what follows the string", start)
                end = self._end_of_unclosed(start, index)
                return text[start + 1 : end].rstrip(), end, False
            if stop.group() == "\n":
                inside["raw-newline"] = "expected a string on one line, found one that runs on"
            elif self._ends_string(index, key):
                break
            else:
                inside["inner-quotes"] = f"expected \\{close} inside a string, found {close}"
                self.guesses += 1
        for code, message in sorted(inside.items()):
            self.report(code, message, start)
        if stop:
            return text[start + 1 : index], pos, False
        self.guesses += 1
        end = self._end_of_unclosed(start, len(text))
        if end < len(text):
            self.report("unclosed-string", f"expected {close}, found the end of the text", start)
        return text[start + 1 : end], end, end == len(text)

    def _opens_next(self, start: int, index: int) -> bool:
        """Does this mark inside a string open the next key or item, because the string was never closed?"""
        text = self.text
        if KEY.match(text, index) is not None:
            return self._end_of_unclosed(start, index) < index
        before = text[max(start + 1, index - LOOK_BACK) : index].rstrip()
        is_item = self.listed and before.endswith(",") and _ITEM.match(text, index) is not None
        return is_item and self._is_odd(start)

    def _is_odd(self, index: int) -> bool:
        """Has the line of this place an odd number of quotation marks? In pairs, they may be those of a text."""
        number = bisect_right(self.newlines, index - 1)
        if number not in self.odd:
            begin = self.newlines[number - 1] if number else 0
            end = self.newlines[number] if number < len(self.newlines) else len(self.text)
            marks = sum(mark == '"' for mark in _MARK.findall(self.text, begin, end))
            self.odd[number] = marks % 2 == 1
        return self.odd[number]

    def _end_of_unclosed(self, start: int, index: int) -> int:
        """Return where a string that was never closed ends: before a comma, and brackets that it does not open.

        That is `index` itself where no comma stands before it on its line.
        """
        begin = max(start + 1, index - LOOK_BACK)
        body = self.text[begin:index]
        run = _RUN.search(body)
        if run is None or (self.text[index : index + 1] not in ("", "\n") and "," not in run.group()):
            return index
        end = run.start()
        while opener := _OPENER.get(body[end : end + 1]):
            if body.count(opener, 0, end) <= body.count(body[end], 0, end):
                break
            end += 1  # this one closes a bracket of the text
        return begin + end

    def _ends_string(self, index: int, key: bool) -> bool:
        """Does the quotation mark at this place end its string? What follows tells; always true of strict JSON."""
        text, after = self.text, _STRING_SPACE.match(self.text, index + 1)
        pos = after.end() if after else index + 1
        following = text[pos : pos + 1]
        if following == ",":
            ends_tuple = self.tuples and text[pos + 1 :].lstrip().startswith(")")
            if ends_tuple or _NEXT_VALUE.match(text, pos + 1):
                return True
            unopened = UNOPENED.match(text, pos + 1) if self.listed else None
            return unopened is not None and self._is_odd(unopened.end() - 1)
        if following in "}]" or (following == ")" and self.tuples):  # also true at the end of the text
            return True
        if following == ":":
            return key
        if key and following in "\"'“{[":
            return True
        if following in "#/":
            return text.startswith(("//", "/*", " #"), pos if following == "/" else pos - 1)
        apart = pos > index + 1
        if self.listed and (_ITEM if apart else _LAST_ITEM).match(text, pos):
            return True
        if self.listed and apart and _LITERAL_ITEM.match(text, pos):
            return True
        return KEY.match(text, pos) is not None or ("\n" in text[index:pos] and following in "\"'“{[")

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
            halves, value = value, value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            if value.count("\ufffd") > halves.count("\ufffd"):
                self.report("lone-surrogate", "expected a whole surrogate pair, found half of one", start)
        return value
