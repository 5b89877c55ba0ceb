"""Any text made harmless in Markdown, LaTeX, HTML, a link or a script: it shows as it is and does nothing."""

from __future__ import annotations

import json
import re
import unicodedata
from html import escape
from urllib.parse import quote

from evalkit.text import safe_terminal

# Signs of markup, line ends of JavaScript, and what would steer a terminal or the direction of a line.
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
    """Return text for a cell of a table: no pipe ends the cell, and no mark, link, image or element comes to be."""
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~$:@-])", r"\\\1", escape(plain(text), quote=False))
    return shown.replace(r"\-", "-")


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


def utf8(text: str) -> str:
    """Return text that UTF-8 can hold: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
