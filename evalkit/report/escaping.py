"""Any text made harmless where it is written, one function a sink: it shows as it is and does nothing.

`plain` a terminal's line, `markdown` and `code` Markdown, `latex`, `html`, `address` a link, `script_json` a script,
`xml` JUnit's XML, `command` a workflow command. Cells of CSV are `storage.tables.cell`'s, JSON is `json_output.dump`'s,
and lines that CI systems would take for commands are broken by the streams (`cli.streams`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from html import escape
from urllib.parse import quote

from evalkit.text import safe_terminal

_MENTIONS = re.compile(r"\\[@#]|www(?=\.)|\bgh(?=-\d)", re.IGNORECASE)
# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LONGEST_ANNOTATION = 4000  # signs; GitHub shows no more of an annotation
# Signs of markup, line ends of JavaScript, and what would steer a terminal or the direction of a line.
_CONTROLS = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_ESCAPED_IN_SCRIPTS = re.compile("[<>&\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho sigma tau upsilon phi chi psi "
    "omega"
)
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "–": r"\textendash{}", "—": r"\textemdash{}",
    "…": r"\ldots{}", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\rightarrow$", "†": r"$\dagger$",
    "±": r"$\pm$", "−": "$-$", "·": r"$\cdot$", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    "[": "{[}", "*": "{*}",
}  # fmt: skip


# Greek small letters, without the second sigma.
for _code, _name in zip((code for code in range(0x3B1, 0x3CA) if code != 0x3C2), _GREEK.split(), strict=True):
    _LATEX[chr(_code)] = "o" if _name == "o" else rf"$\{_name}$"


def plain(text: str) -> str:
    """Return one line without control characters."""
    return " ".join(safe_terminal(text).split())


def latex(text: str) -> str:
    """Return text that any pdfLaTeX sets: commands are shown, not obeyed; unknown letters become a question mark."""
    shown = "".join(_LATEX.get(c) or _known(c) for c in plain(text))
    # Without {} between them, two signs may melt into another one.
    return re.sub(r"(?<=[-`'<>!?,])(?=[-`'])", "{}", shown)


def _known(c: str) -> str:
    """Return a letter that every LaTeX can set: itself, else the nearest one, else a question mark."""
    if c.isascii() or (c.isalpha() and ord(c) < 0x180):
        return c
    bare = "".join(part for part in unicodedata.normalize("NFKD", c) if part.isascii() and part.isalnum())
    return bare or "?"


def markdown(text: str) -> str:
    """Return text for a cell of a table: no pipe ends the cell, and no mark, link, image or element comes to be.

    A comment stands inside what sites take for a mention of a person or an issue, or for an address. A colon before a
    space, and a sign before a digit, do nothing and stay as they are, so that the text can be read where it is not
    rendered.
    """
    shown = re.sub(r"([\\`*_{}\[\]()#!|~$@]|:(?=\S))", r"\\\1", escape(plain(text), quote=False))
    # Of a list or a line, where a block begins with it.
    shown = re.sub(r"^(\d*)(?=[-+.](?:\s|$)|[-=]+\s*$)", r"\1\\", shown)
    return _MENTIONS.sub(r"\g<0><!-- -->", shown)


def code(text: str) -> str:
    """Return a code span of Markdown, in which nothing but a backtick acts."""
    return f"`{plain(text).replace('`', ' ')}`"


def html(text: str) -> str:
    """Return text for an element."""
    return escape(plain(text))


def address(name: str) -> str:
    """Return a name as it stands in the links of a page."""
    return quote(name.encode("utf-8", "replace"), safe="")


def script_json(content: object) -> str:
    """Return JSON that can stand inside a script element: no `<`, so that no text can close it or open a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return utf8(_ESCAPED_IN_SCRIPTS.sub(lambda sign: f"\\u{ord(sign.group()):04x}", text))


def json_text(text: str) -> str:
    """Return JSON in which no character steers a terminal and no text is a command to a CI system; it says the same."""
    escaped = _CONTROLS.sub(lambda sign: json.dumps(sign.group())[1:-1], text)
    return escaped.replace("##", r"#\u0023")


def xml(text: str) -> str:
    """Return text without what XML cannot hold, and without what steers a terminal that prints it."""
    return _NOT_XML.sub("\ufffd", safe_terminal(text))


def command(kind: str, title: str, message: str) -> str:
    """Return a workflow command, with the signs escaped that would end a field or the command."""
    title = _in_command(title[:200]).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_in_command(message[:LONGEST_ANNOTATION])}"


def _in_command(text: str) -> str:
    return safe_terminal(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def utf8(text: str) -> str:
    """Return text that UTF-8 can hold: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
