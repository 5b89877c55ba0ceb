"""One JSON string: takes a text and where a quotation mark stands, gives its value, its end and what was wrong.

Strict strings are taken by one pattern; the rest is scanned once, from quotation mark to quotation mark.
"""

from __future__ import annotations

import re

CLOSING = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
Departures = list[tuple[str, str]]

_STRICT = re.compile(r'"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)"')
_SPACE = re.compile(r"[ \t\n\xa0]*+")
_STARTS_VALUE = re.compile(
    r"[\"'“‘`{\[\d.+-]|true|false|null|None|True|False|[}\]]|//|/\*|#|[A-Za-z_]\w{0,40}+[ \t]*+:|\Z"
)
# What the line after an unclosed string looks like: an end, the next object, the next key.
_NEXT_LINE = re.compile(r"\n[ \t]*+(?:[}\]]|\{[ \t]*+[\"'}]|[\"'“]?[A-Za-z_][\w ]{0,40}[\"'”]?[ \t]*+:|```|</|\Z)")
_KEY = re.compile(r"[\"'“][A-Za-z_][\w ]{0,40}+[\"'”][ \t]*+:")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PLAIN = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'", "\n": "\n"}
# Commands of LaTeX whose first letter JSON takes for an escape; \b and \f are never meant.
_LATEX = re.compile(
    r"\\(?:[bf][A-Za-z]|(?:n(?:u|eq|abla)|r(?:ho|angle|ightarrow)|"
    r"t(?:o|au|op|an|anh|heta|imes|ilde|ext|extbf|extit|extrm|extsc|extsubscript))(?![A-Za-z]))"
)
_SPELT = {"\\n": "\\u000a", "\\t": "\\u0009"}


def read_string(text: str, start: int, *, key: bool = False) -> tuple[str, int, Departures, bool]:
    """The value, where it ends, what was wrong, and whether the text ended inside it."""
    departures: Departures = []
    strict = _STRICT.match(text, start)
    if strict and _closes(text, strict.end() - 1, key):
        return _decoded(strict.group(1), departures), strict.end(), departures, False
    body, end, cut = _scan(text, start, departures, key)
    return _decoded(body, departures), end, departures, cut


def _scan(text: str, start: int, departures: Departures, key: bool) -> tuple[str, int, bool]:
    """A string that departs from the standard: where does it end?"""
    close = CLOSING[text[start]]
    if text[start] != '"':
        departures.append(("other-quotes", f"expected double quotes, found {text[start]}"))
    stops = re.compile(rf"[{re.escape(close)}\\\n]")
    told: set[str] = set()
    pos = start + 1
    while stop := stops.search(text, pos):
        at, pos = stop.start(), stop.end()
        if stop.group() == "\\":
            pos += 1
        elif stop.group() == "\n":
            if _NEXT_LINE.match(text, at):
                return _unclosed(text, start, at, departures)
            told.add("raw-newline")
        elif not key and _KEY.match(text, at) and text[start + 1 : at].rstrip().endswith(","):
            return _unclosed(text, start, at, departures)
        elif _closes(text, at, key):
            departures += _explained(told, close)
            return text[start + 1 : at], pos, False
        else:
            told.add("inner-quotes")
    departures += _explained(told, close)
    return text[start + 1 :], len(text), True


def _unclosed(text: str, start: int, end: int, departures: Departures) -> tuple[str, int, bool]:
    """A string that ends where something else begins: the next line of data, or the next key."""
    departures.append(("unclosed-string", f"expected {CLOSING[text[start]]}, found what follows the string"))
    return text[start + 1 : end].rstrip().removesuffix(","), end, False


def _explained(told: set[str], close: str) -> Departures:
    messages = {
        "inner-quotes": f"expected \\{close} inside a string, found {close}",
        "raw-newline": "expected a string on one line, found one that runs on",
    }
    return [(code, messages[code]) for code in sorted(told)]


def _closes(text: str, at: int, key: bool) -> bool:
    """Does the quotation mark at this place end its string? What follows tells; always true of strict JSON."""
    after = _SPACE.match(text, at + 1)
    pos = after.end() if after else at + 1
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
    return _KEY.match(text, pos) is not None or ("\n" in text[at:pos] and following in "\"'“{[")


def _decoded(body: str, departures: Departures) -> str:
    """Escapes resolved; a backslash that escapes nothing, or begins a LaTeX command, stays a backslash."""
    if "\\" not in body:
        return body
    told: set[str] = set()

    def resolve(match: re.Match[str]) -> str:
        escape = match.group(1)
        if _LATEX.match(body, match.start()):
            told.add("latex-escape")
            return match.group()
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _PLAIN:
            told.add("bad-escape")
        return _PLAIN.get(escape, match.group())

    value = _ESCAPE.sub(resolve, body)
    for code in sorted(told):
        departures.append((code, f"expected a doubled backslash, found one in {body[:40]!r}"))
    if any("\ud800" <= c <= "\udfff" for c in value):
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def unambiguous(json_text: str) -> str:
    """JSON in which no newline or tab can be taken for the beginning of a LaTeX command when it is read again."""
    return _ESCAPE.sub(
        lambda m: _SPELT.get(m.group(), m.group()) if _LATEX.match(json_text, m.start()) else m.group(), json_text
    )
