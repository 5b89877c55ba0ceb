"""JSON strings as models write them: strict ones by one pattern, others in one scan from quotation mark to mark."""

from __future__ import annotations

import re
from collections.abc import Callable

CLOSING = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
ReportHere = Callable[[str, str], None]  # code and message of a departure from the standard

_STRICT = re.compile(r'"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)"')
_SPACE = re.compile(r"[ \t\n\xa0]*+")
_STARTS_VALUE = re.compile(
    r"[\"'“‘`{\[\d.+-]|true|false|null|None|True|False|[}\]]|//|/\*|#|[A-Za-z_]\w{0,40}+[ \t]*+:|\Z"
)
# What the line after an unclosed string looks like: an end, the next object, the next key.
_NEXT_LINE = re.compile(r"\n[ \t]*+(?:[}\]]|\{[ \t]*+[\"'}]|[\"'“]?[A-Za-z_][\w ]{0,40}[\"'”]?[ \t]*+:|```|</|\Z)")
_KEY = re.compile(r"[\"'“][A-Za-z_][\w ]{0,40}+[\"'”][ \t]*+:")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'", "\n": "\n"}
# Commands of LaTeX whose first letter JSON takes for an escape; \b and \f are never meant.
_LATEX = re.compile(
    r"\\(?:[bf][A-Za-z]|(?:n(?:u|eq|abla)|r(?:ho|angle|ightarrow)|"
    r"t(?:o|au|op|an|anh|heta|imes|ilde|ext|extbf|extit|extrm|extsc|extsubscript))(?![A-Za-z]))"
)
_SPELLED = {"\\n": "\\u000a", "\\t": "\\u0009"}


def read_string(text: str, start: int, report: ReportHere, *, key: bool = False) -> tuple[str, int, bool]:
    """Return the value at a quotation mark, its end, and whether the text ended inside it."""
    strict = _STRICT.match(text, start)
    if strict and _closes(text, strict.end() - 1, key):
        return _unescaped(strict.group(1), report), strict.end(), False
    body, end, cut = _scan(text, start, report, key)
    return _unescaped(body, report), end, cut


def _scan(text: str, start: int, report: ReportHere, key: bool) -> tuple[str, int, bool]:
    """Find where a string that departs from the standard ends."""
    close = CLOSING[text[start]]
    if text[start] != '"':
        report("other-quotes", f"expected double quotes, found {text[start]}")
    stops = re.compile(rf"[{re.escape(close)}\\\n]")
    inside: dict[str, str] = {}
    pos = start + 1
    while stop := stops.search(text, pos):
        index, pos = stop.span()
        if stop.group() == "\\":
            pos += 1
        elif _is_unclosed(text, start, index, key):
            report("unclosed-string", f"expected {close}, found what follows the string")
            return text[start + 1 : index].rstrip().removesuffix(","), index, False
        elif stop.group() == "\n":
            inside["raw-newline"] = "expected a string on one line, found one that runs on"
        elif _closes(text, index, key):
            break
        else:
            inside["inner-quotes"] = f"expected \\{close} inside a string, found {close}"
    for code, message in sorted(inside.items()):
        report(code, message)
    return (text[start + 1 : index], pos, False) if stop else (text[start + 1 :], len(text), True)


def _is_unclosed(text: str, start: int, index: int, key: bool) -> bool:
    """Does the next line of data, or the next key, begin at this place inside a string?"""
    if text[index] == "\n":
        return _NEXT_LINE.match(text, index) is not None
    return not key and _KEY.match(text, index) is not None and text[start + 1 : index].rstrip().endswith(",")


def _closes(text: str, index: int, key: bool) -> bool:
    """Does the quotation mark at this place end its string? What follows tells; always true of strict JSON."""
    after = _SPACE.match(text, index + 1)
    pos = after.end() if after else index + 1
    following = text[pos : pos + 1]
    if following == ",":
        beyond = _SPACE.match(text, pos + 1)
        return _STARTS_VALUE.match(text, beyond.end() if beyond else pos + 1) is not None
    if following in "}]":  # also true at the end of the text
        return True
    if following == ":":
        return key
    if following in "#/":
        return text.startswith(("//", "/*", " #"), pos if following == "/" else pos - 1)
    return _KEY.match(text, pos) is not None or ("\n" in text[index:pos] and following in "\"'“{[")


def _unescaped(body: str, report: ReportHere) -> str:
    """Resolve escapes; a backslash that escapes nothing, or begins a LaTeX command, stays a backslash."""
    if "\\" not in body:
        return body
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
        report(code, f"expected a doubled backslash, found one in {body[:40]!r}")
    if any("\ud800" <= c <= "\udfff" for c in value):
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def unambiguous(json_text: str) -> str:
    """Spell out every newline or tab of a JSON text that could be taken for the beginning of a LaTeX command."""
    return _ESCAPE.sub(
        lambda m: _SPELLED.get(m.group(), m.group()) if _LATEX.match(json_text, m.start()) else m.group(), json_text
    )
