"""Repair strings, normalise them for comparing, split them, and make them safe to print.

`repair_document` mends what belongs to a whole file and never moves a line; `repair` mends one value, also of what came
in through escapes.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

# Escape sequences as terminals read them; every pattern is linear (disjoint classes, no nested repeats).
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]P^_X][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?")
_C0 = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufeff]")
_C0_AND_C1 = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_ODD = re.compile(r"[^\w\s]|_")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_SUSPECT = re.compile(r"[^\x00-\x7f][^\x00-\x7f]|[\xc2-\xf4] ")  # mojibake is never one odd character alone
_OPENING = {"(": ")", "[": "]", "{": "}"}
_ROUNDS = 8  # one repair can bring another to light; few texts need a second round
_JOINERS = "\u200c\u200d"  # they shape scripts and emoji, and reorder nothing


class Repair(NamedTuple):
    """One mending: its code, a sentence with what was found, and the line (counted from 1) inside the text."""

    code: str
    message: str
    line: int = 1


_CR = Repair("line-endings", "expected lines to end in LF, found CR or CRLF; read as LF")


def repair_document(text: str) -> tuple[str, tuple[Repair, ...]]:
    """Mend the frame of a file: byte order mark, line endings, escape sequences and control characters."""
    repairs: list[Repair] = []
    if text.startswith("\ufeff"):
        text = text[1:]
        repairs.append(Repair("byte-order-mark", "expected text to start at once, found a byte order mark; left out"))
    if "\r" in text:
        repairs.append(_CR._replace(line=text.count("\n", 0, text.index("\r")) + 1))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, stripped = _strip_controls(text, _C0)  # C1 may be mojibake's bytes
    text, replaced = _replace_surrogates(text)
    return text, (*repairs, *stripped, *replaced)


def repair(text: str) -> tuple[str, tuple[Repair, ...]]:
    """Mend one value: mojibake, control characters, lone surrogates, normal form C; plain ASCII costs nothing."""
    if text.isascii() and text.isprintable():
        return text, ()
    repairs: list[Repair] = []
    for _ in range(_ROUNDS):
        if text.isascii() and not _C0.search(text):
            break
        before = len(repairs)
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            repairs.append(_CR)
        for mend in (_unmangle, partial(_strip_controls, controls=_C0_AND_C1), _replace_surrogates):
            text, repaired = mend(text)
            repairs += repaired
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
            repairs.append(Repair("not-nfc", "expected composed characters (NFC), found decomposed ones; composed"))
        if len(repairs) == before:
            break
    return text, tuple(repairs)


def _replace_surrogates(text: str) -> tuple[str, Sequence[Repair]]:
    """Make a text that can be encoded: half a pair, which only a broken source can hold, becomes U+FFFD."""
    surrogate = _SURROGATES.search(text)
    if surrogate is None:
        return text, ()
    line = text.count("\n", 0, surrogate.start()) + 1
    message = f"expected whole characters, found U+{ord(surrogate.group()):04X} alone; read as U+FFFD"
    return _SURROGATES.sub("\ufffd", text), (Repair("lone-surrogate", message, line),)


def _strip_controls(text: str, controls: re.Pattern[str]) -> tuple[str, Sequence[Repair]]:
    control = controls.search(text)
    if control is None:
        return text, ()
    line = text.count("\n", 0, control.start()) + 1
    cleaned = controls.sub("", _ESCAPES.sub("", text))
    lost = len(text) - len(cleaned)
    message = f"expected printable text, found U+{ord(control.group()):04X}; characters left out: {lost}"
    return cleaned, (Repair("control-characters", message, line),)


def _unmangle(text: str) -> tuple[str, Sequence[Repair]]:
    """Read every line whose UTF-8 was once read as another encoding again as UTF-8; curly quotes stay as they are."""
    if not _SUSPECT.search(text):
        return text, ()
    from ftfy import TextFixerConfig, fix_encoding

    # Only the encoding: losses that would have to be guessed (replace_lossy_sequences) are left as they came.
    config = TextFixerConfig(replace_lossy_sequences=False, fix_c1_controls=False)
    lines, repairs = text.split("\n"), []
    for number, line in enumerate(lines, 1):
        if _SUSPECT.search(line) and (fixed := _settled(line, partial(fix_encoding, config=config))) != line:
            lines[number - 1] = fixed.replace("\n", " ")
            repairs.append(Repair("mojibake", f"expected UTF-8, found {_difference(line, fixed)}", number))
    return "\n".join(lines), repairs


def _settled(line: str, fix: Callable[[str], str]) -> str:
    """Mend a line until nothing more is found in it, also without the space around it."""
    fixed = fix(line)
    for _ in range(4):
        bare = fixed.strip()
        if (again := fix(bare)) == bare:
            break
        fixed = again
    return fixed


def _difference(before: str, after: str) -> str:
    """Describe the first place where two texts differ: 'this', read as 'that'."""
    shorter = min(len(before), len(after))
    start = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    tail = next((i for i in range(shorter - start) if before[-1 - i] != after[-1 - i]), shorter - start)
    wrong, right = before[start : len(before) - tail], after[start : len(after) - tail]
    return f"{wrong[:12]!r}, read as {right[:12]!r}"


@lru_cache(maxsize=16384)
def normalise_id(name: str) -> str:
    """Return the form in which paper ids are matched, without case, accents, punctuation and doubled underscores."""
    letters = (c for c in unicodedata.normalize("NFKD", name).casefold() if not unicodedata.combining(c))
    words = "".join(c if c.isalnum() else " " for c in letters).split()
    return "-".join(words) or name.strip().casefold()


@lru_cache(maxsize=16384)
def normalise(text: str) -> str:
    """Return the form in which two texts are compared, without compatibility forms, case, white space and punctuation.

    What carries meaning in a value stays: the point in 0.1, the minus in -1, percent signs, Greek and mathematics.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_ODD.sub(lambda odd: odd[0] if _has_meaning(text, odd.start()) else " ", text).split())


def _has_meaning(text: str, i: int) -> bool:
    """Does a character that is neither letter, digit nor space carry meaning where it stands?"""
    c, before, after = text[i], text[i - 1] if i else " ", text[i + 1] if i + 1 < len(text) else " "
    if c == "%":
        return True
    if c in ".," and before.isdigit() and after.isdigit():
        return True
    if c in "-\u2212\u2010\u2011\u2012\u2013":
        return after.isdigit() and not before.isalnum()
    return unicodedata.category(c)[0] in "SM"


def tokens(text: str) -> tuple[str, ...]:
    """Return the words of a text in its normalised form."""
    return tuple(normalise(text).split())


def split_outside_brackets(text: str, separators: str = ",") -> tuple[str, ...]:
    """Return the pieces between separators outside (), [] and {}, stripped, without empty ones.

    A bracket counts only when it is closed again, and a comma between two digits (1,000) is part of the number.
    """
    if not any(separator in text for separator in separators):
        return (bare,) if (bare := text.strip()) else ()
    inside = _bracketed(text)
    pieces, start = [], 0
    for i, c in enumerate(text):
        in_number = c == "," and text[i - 1 : i].isdigit() and text[i + 1 : i + 2].isdigit()
        if c in separators and not inside[i] and not in_number:
            pieces.append(text[start:i])
            start = i + 1
    pieces.append(text[start:])
    return tuple(piece.strip() for piece in pieces if piece.strip())


def _bracketed(text: str) -> bytearray:
    """Return one flag a character: does it stand inside a pair of brackets?"""
    if not any(opening in text for opening in _OPENING):
        return bytearray(len(text))
    depth_change = [0] * (len(text) + 1)
    opened: list[tuple[str, int]] = []
    for i, c in enumerate(text):
        if c in _OPENING:
            opened.append((_OPENING[c], i))
        elif c in ")]}" and any(close == c for close, _ in opened[-8:]):
            while opened and opened[-1][0] != c:
                opened.pop()
            depth_change[opened.pop()[1]] += 1
            depth_change[i] -= 1
    flags, depth = bytearray(len(text)), 0
    for i in range(len(text)):
        depth += depth_change[i]
        flags[i] = depth > 0
    return flags


def safe_terminal(text: str) -> str:
    """Return a text without what steers a terminal: escapes, controls (but tab and newline), direction overrides.

    Markup of a console library (square brackets in rich) is its caller's to escape.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(c) for c in _ESCAPES.sub("", text))


def readable(name: str) -> str:
    """Return the name of a file as text, with escapes for what cannot be shown and for bytes that are no UTF-8."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(c if _printable(c) == c and c not in "\n\t" else _escape(c) for c in name)


def _escape(c: str) -> str:
    """Return the escape of a character; Python reads a byte that is no UTF-8 as half of a surrogate pair."""
    return f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c.encode("unicode_escape").decode("ascii")


def _printable(c: str) -> str:
    if c in "\n\t" or c in _JOINERS:
        return c
    category = unicodedata.category(c)
    if category in ("Cc", "Cf"):
        return ""
    if category == "Cs":
        return "\ufffd"
    return " " if category in ("Zl", "Zp") else c


def amount(count: float, noun: str, nouns: str = "") -> str:
    """Return a number with its noun: `1 plan`, `2 plans`."""
    return f"{count:g} {noun if count == 1 else nouns or f'{noun}s'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the most similar ones, or all where they are few."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    near = near or [one for one in names if len(name) > 1 and name.casefold() in one.casefold()][:3]
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    return f"; there are {', '.join(names)}" if len(names) <= 12 else ""
