"""Takes any text, gives text that is harmless in Markdown, LaTeX or HTML: it shows as it is and does nothing."""

from __future__ import annotations

import re
import unicodedata
from html import escape

from evalkit.text import safe_terminal

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


def _greek() -> dict[str, str]:
    """Greek small letters as LaTeX writes them."""
    letters = [chr(code) for code in range(0x3B1, 0x3CA) if code != 0x3C2]
    names = _GREEK.split()
    return {letter: "o" if name == "o" else rf"$\{name}$" for letter, name in zip(letters, names, strict=True)}


_LATEX |= _greek()


def plain(text: str) -> str:
    """One line without control characters."""
    return " ".join(safe_terminal(text).split())


def latex(text: str) -> str:
    """Text that any pdfLaTeX sets: commands are shown, not obeyed; what it does not know becomes a question mark."""
    shown = "".join(_LATEX.get(c) or _known(c) for c in plain(text))
    # Without {} between them, two signs may melt into another one.
    return re.sub(r"(?<=[-`'<>!?,])(?=[-`'])", "{}", shown)


def _known(c: str) -> str:
    """A letter itself where every LaTeX can set it, else the nearest that it can, else a question mark."""
    if c.isascii() or (c.isalpha() and ord(c) < 0x180):
        return c
    bare = "".join(part for part in unicodedata.normalize("NFKD", c) if part.isascii() and part.isalnum())
    return bare or "?"


def markdown(text: str) -> str:
    """Text for a cell of a table: no pipe ends the cell, and no mark, link, image or element comes to be."""
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~$:@-])", r"\\\1", escape(plain(text), quote=False))
    return shown.replace(r"\-", "-")


def html(text: str) -> str:
    """Text for an element."""
    return escape(plain(text))
