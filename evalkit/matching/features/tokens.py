"""Analyse a text: the stems of its words with their places, its head, how runs of words can be abbreviated.

A word is a run of letters, a number or a Greek letter. Everything here sees one text alone and is kept by text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip

_PIECE = re.compile(r"\d+(?:[.,]\d+)*(?:e-?\d+)?|[\u0370-\u03ff]|(?:(?![\u0370-\u03ff])[^\W\d_])+")

# Words that say how an ablation is told, not what is ablated: they never count.
STOP = frozenset(
    """a an the of in on for to and or with by from as at into onto over under between across via per its their
    this that these those is are be was were been being it which where when while than then such e g i ie eg etc
    vs versus using used use uses based both each all any other others only our we study studies ablation
    ablations ablate ablated ablating impact effect effects influence analysis evaluation evaluating evaluate
    test testing investigation assessment importance role contribution comparison compare comparing removal
    remove removing removed replace replacing replacement replaced add adding varying vary variation variations
    currently proposed specific different various without no not w o wo""".split()  # noqa: SIM905
)

# After one of these the phrase no longer names its part; it says where the part is or what it is for.
_TURN = re.compile(
    r"\b(?:in|within|inside|for|used|using|uses|that|which|whose|during|from|via|with|where|when|by|to|based|across|between"
    r"|among|after|before|under|at|as|on|into|through|including|such|while|over|upon)\b|[{:;,]| - | – ",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"[(\[][^)\]]*[)\]]?")

_SUFFIXES = (
    ("izations", "iz"), ("ization", "iz"), ("isations", "iz"), ("isation", "iz"), ("izers", "iz"),
    ("izer", "iz"), ("izing", "iz"), ("ized", "iz"), ("izes", "iz"), ("ize", "iz"), ("isers", "iz"),
    ("iser", "iz"), ("ising", "iz"), ("ised", "iz"), ("ise", "iz"), ("ations", ""), ("ation", ""),
    ("ators", ""), ("ator", ""), ("ating", ""), ("ated", ""), ("ates", ""), ("ate", ""), ("ational", ""),
    ("ative", ""), ("ively", ""), ("ive", ""), ("ings", ""), ("ing", ""), ("edly", ""), ("ed", ""),
    ("ional", ""), ("ions", ""), ("ion", ""), ("ities", ""), ("ity", ""), ("ments", ""), ("ment", ""),
    ("ally", ""), ("al", ""), ("ies", ""), ("es", ""), ("s", ""), ("ly", ""), ("e", ""), ("y", ""), ("ic", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text: its stem, where it stands, whether it names the part, and whether it is an acronym."""

    stem: str
    start: int
    end: int
    head: bool
    acronym: bool


@dataclass(frozen=True, slots=True)
class Text:
    """The words of one text, and the runs of words that could be written shorter elsewhere.

    `initials` maps first letters to the places of the words that have them ("kd" of knowledge distillation);
    `compounds` maps two words written as one ("finetun" of fine-tuning).
    """

    words: tuple[Word, ...]
    initials: dict[str, tuple[int, ...]]
    compounds: dict[str, tuple[int, int]]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Strip inflection: "normalization", "normalized" and "normalizing" are one; four letters stay."""
    for suffix, instead in _SUFFIXES:
        if word.endswith(suffix) and not word.endswith("ss") and len(word) - len(suffix) + len(instead) >= 4:
            return _undouble(word[: len(word) - len(suffix)] + instead)
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _undouble(text: str) -> str:
    return text[:-1] if len(text) > 4 and text[-1] == text[-2] and text[-1] not in "aeiouls" else text


def _plain(raw: str) -> str:
    """Return a word in lower case, Greek letters by name, no accents."""
    if raw.isascii():
        return raw.lower()
    low = "".join(GREEK.get(letter, letter) for letter in unicodedata.normalize("NFKC", raw).lower())
    return "".join(letter for letter in unicodedata.normalize("NFKD", low) if not unicodedata.combining(letter)) or low


@lru_cache(maxsize=65536)
def analyse(text: str) -> Text:
    """Return every word of the text in order, stop words left out, with the ways to abbreviate runs of them."""
    words: list[Word] = []
    pieces: list[tuple[str, int]] = []  # every word as written, and its place among those that count, or -1
    turn = _turning_point(text)
    asides = [span.span() for span in _ASIDE.finditer(text)]
    for piece in _PIECE.finditer(text):
        raw, low = piece.group(), _plain(piece.group())
        capitals = sum(letter.isupper() for letter in raw)
        acronym = capitals >= 2 and len(raw) <= 8
        counts = acronym or low not in STOP
        pieces.append((raw, len(words) if counts else -1))
        if not counts:
            continue
        if acronym and raw.endswith("s") and capitals == len(raw) - 1:
            low = low[:-1]
        aside = any(start < piece.start() < end for start, end in asides) and bool(words)
        head = piece.start() < turn and (acronym or not aside)
        bare = acronym or raw[0].isdigit()
        words.append(Word(low if bare else stem(low), piece.start(), piece.end(), head, acronym))
    return Text(tuple(words), _initials(pieces), _compounds(pieces))


def _turning_point(text: str) -> int:
    """Return where the phrase stops naming its part: the first turn after a word that counts; brackets are no turn."""
    blank = _ASIDE.sub(lambda span: " " * len(span.group()), text)
    first = next((p.start() for p in _PIECE.finditer(blank) if _plain(p.group()) not in STOP), len(text))
    turn = _TURN.search(blank, first)
    return turn.start() if turn else len(text)


def _initials(pieces: list[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    """Return the first letters of every run of two to seven words, with and without its stop words."""
    initials: dict[str, tuple[int, ...]] = {}
    for begin, (_, place) in enumerate(pieces):
        if place < 0:
            continue
        letters, short, places = "", "", []
        for raw, index in pieces[begin : begin + 8]:
            if len(raw) > 1 and raw.isupper():
                break
            letters += raw[0].lower()
            if index >= 0:
                short += raw[0].lower()
                places.append(index)
                if len(places) > 1:
                    initials.setdefault(letters, tuple(places))
                    initials.setdefault(short, tuple(places))
    return initials


def _compounds(pieces: list[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    """Return every two words in a row written as one, where that is long enough to mean something."""
    rows = pairwise(pieces)
    pairs = [(a + b, i, j) for (a, i), (b, j) in rows if i >= 0 and j >= 0 and len(a + b) >= 6]
    return {stem(_plain(joined)): (i, j) for joined, i, j in reversed(pairs)}
