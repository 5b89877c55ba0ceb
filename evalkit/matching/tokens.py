"""Analyse texts: the stems of their words, their heads, what abbreviations stand for, how rare a stem is in the field.

A word is a run of letters, a number or a Greek letter.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from evalkit.storage.files import read_text, shipped

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip

_PIECE = re.compile(r"\d+(?:[.,]\d+)*(?:e-?\d+)?|[\u0370-\u03ff]|[^\W\d_\u0370-\u03ff]+")
LONGEST_RUN = 8  # words, stop words too, that an abbreviation may stand for
_BREAK = "\n"  # in place of a first letter: no abbreviation reaches over this word

# Words that say how an ablation is described, not what is ablated: they never count.
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
    r"(?<![\w-])(?:in|within|inside|for|used|using|uses|that|which|whose|during|from|via|with|where|when|by|to|based|across|between"
    r"|among|after|before|under|at|as|on|into|through|including|such|while|over|upon)(?![\w-])|[{:;,]| - | – ",
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


class Text(NamedTuple):
    """The words of one text that count, and what shows which runs of them could be written shorter elsewhere.

    Of each word that counts there is its stem, its first and last letter's place (`spans`), whether it names the part
    (`heads`) and whether it is an acronym. `spelled` are all words, stop words too, in lower case, and `places` their
    places among those that count, -1 for a stop word. `letters` are the first letters of all words, `short` those of
    the words that count ("kd" of knowledge distillation, see `initials_of`). `compounds` maps two words written as one
    to their places ("finetun" of fine-tuning).
    """

    stems: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    heads: tuple[bool, ...]
    acronyms: tuple[bool, ...]
    spelled: tuple[str, ...]
    places: tuple[int, ...]
    letters: str
    short: str
    compounds: dict[str, tuple[int, int]]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Strip inflection: "normalization", "normalized" and "normalizing" are one; four letters stay."""
    for suffix, instead in _SUFFIXES:
        if word.endswith(suffix) and not word.endswith("ss") and len(word) - len(suffix) + len(instead) >= 4:
            text = word[: len(word) - len(suffix)] + instead
            return text[:-1] if len(text) > 4 and text[-1] == text[-2] and text[-1] not in "aeiouls" else text
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _plain(raw: str) -> str:
    """Return a word in lower case, Greek letters by name, no accents."""
    if raw.isascii():
        return raw.lower()
    low = "".join(GREEK.get(letter, letter) for letter in unicodedata.normalize("NFKC", raw).lower())
    return "".join(letter for letter in unicodedata.normalize("NFKD", low) if not unicodedata.combining(letter)) or low


@lru_cache(maxsize=65536)
def _spelling(raw: str) -> tuple[str, str, bool, bool, str]:
    """Return of a word as written: itself plain, its stem, whether it counts, whether it is an acronym, and the letter
    that stands for it in an abbreviation."""
    low = stemmed = _plain(raw)
    capitals = sum(letter.isupper() for letter in raw)
    acronym = capitals >= 2 and len(raw) <= 8
    if acronym and raw.endswith("s") and capitals == len(raw) - 1:
        stemmed = low[:-1]
    elif not acronym and not raw[0].isdigit():
        stemmed = stem(low)
    letter = raw[0].lower()
    if len(letter) > 1 or (len(raw) > 1 and raw.isupper()):
        letter = _BREAK
    return low, stemmed, acronym or low not in STOP, acronym, letter


@lru_cache(maxsize=65536)
def analyse(text: str) -> Text:
    """Return every word of the text in order, stop words left out, with what shows how to abbreviate runs of them."""
    stems: list[str] = []
    spans: list[tuple[int, int]] = []
    heads: list[bool] = []
    acronyms: list[bool] = []
    spelled: list[str] = []
    places: list[int] = []
    letters: list[str] = []
    compounds: dict[str, tuple[int, int]] = {}
    asides = [span.span() for span in _ASIDE.finditer(text)] if "(" in text or "[" in text else []
    turn = _turning_point(text, asides)
    before = ""  # the word before, if it counts
    for piece in _PIECE.finditer(text):
        raw = piece.group()
        low, stemmed, counts, acronym, letter = _spelling(raw)
        letters.append(letter)
        spelled.append(low)
        if not counts:
            places.append(-1)
            before = ""
            continue
        place = len(stems)
        if before and len(before) + len(raw) >= 6:
            # Two words in a row written as one, where that is long enough to mean something.
            compounds.setdefault(stem(_plain(before + raw)), (place - 1, place))
        span = start, _ = piece.span()
        aside = place > 0 and asides and any(begin < start < close for begin, close in asides)
        places.append(place)
        stems.append(stemmed)
        spans.append(span)
        heads.append(start < turn and (acronym or not aside))
        acronyms.append(acronym)
        before = raw
    short = "".join([letter for letter, place in zip(letters, places, strict=True) if place >= 0])
    return Text(
        tuple(stems), tuple(spans), tuple(heads), tuple(acronyms), tuple(spelled), tuple(places), "".join(letters),
        short, compounds,
    )  # fmt: skip


def _turning_point(text: str, asides: Sequence[tuple[int, int]]) -> int:
    """Return where the phrase stops naming its part: the first turn after a word that counts; brackets are no turn."""
    for start, end in asides:
        text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    turn = _TURN.search(text)
    if turn is None:
        return len(text)
    first = next(
        (piece.start() for piece in _PIECE.finditer(text) if _spelling(piece.group())[0] not in STOP), len(text)
    )
    turn = _TURN.search(text, first)
    return turn.start() if turn else len(text)


def initials_of(short: str, text: Text) -> tuple[int, ...]:
    """Return the places of the first run of words whose first letters these are, with or without stop words' letters.

    It is at most LONGEST_RUN words long and has a word that counts at both ends; where there is none, nothing.
    """
    if short not in text.letters and short not in text.short:
        return ()
    for begin, place in enumerate(text.places):
        if place < 0:
            continue
        run = text.places[begin : begin + len(short)]
        if text.letters.startswith(short, begin) and run[-1] >= 0:
            return tuple(index for index in run if index >= 0)
        if text.short.startswith(short, place):
            end = text.places.index(place + len(short) - 1) + 1
            if end - begin <= LONGEST_RUN and _BREAK not in text.letters[begin:end]:
                return tuple(range(place, place + len(short)))
    return ()


Place = tuple[str, int]  # a word by the text it stands in and its place among the words of that text

# A hand-written glossary of the field. One abbreviation may stand for several things, the first that is found counts.
GLOSSARY: dict[str, tuple[tuple[str, ...], ...]] = {
    short: tuple(analyse(text).stems for text in meanings)
    for short, meanings in json.loads(read_text(shipped("matching/features/glossary.json"))).items()
}


@lru_cache(maxsize=65536)
def _forms(texts: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str], str, frozenset[str]]:
    """Return an entry's stems, those that could be abbreviations, the first letters of its words, and its compounds."""
    analysed = [analyse(text) for text in texts]
    stems = [stem for text in analysed for stem in text.stems]
    acronyms = [is_one for text in analysed for is_one in text.acronyms]
    return (
        frozenset(stems),
        frozenset([stem for stem, is_one in zip(stems, acronyms, strict=True) if is_one and 2 <= len(stem) <= 6]),
        _BREAK.join([letters for text in analysed for letters in (text.letters, text.short)]),
        frozenset().union(*[text.compounds for text in analysed]),
    )


def expansions(entries: Iterable[tuple[str, ...]]) -> dict[str, tuple[Place, ...]]:
    """Return what every abbreviation of one paper's lists stands for: stem -> the words, each by where it can be read.

    Three sources, in this order: words of the lists whose first letters spell it ("evolvable-basis binarizer" and
    "EBB"), two words that another entry writes as one ("fine-tuning" and "finetuning"), and the glossary where the
    words it gives stand together in some entry of the lists. The order of the entries plays no part.
    """
    forms = {entry: _forms(entry) for entry in sorted(set(entries))}
    stems = frozenset().union(*(own for own, *_ in forms.values()))
    short = frozenset().union(*(own for _, own, *_ in forms.values()))
    spelled_out = [
        entry for entry, (_, _, letters, compounds) in forms.items()
        if not stems.isdisjoint(compounds) or any(stem in letters for stem in short)
    ]  # fmt: skip
    places: dict[str, tuple[Place, ...]] = {}
    for text in sorted({text for entry in spelled_out for text in entry}):
        one = analyse(text)
        compounds = one.compounds
        runs = {stem: run for stem in short if (run := initials_of(stem, one))}
        for stem in sorted(runs) + sorted(stems & compounds.keys()):
            long = runs.get(stem) or compounds[stem]
            if stem not in places and stem not in {one.stems[index] for index in long}:
                places[stem] = tuple((text, index) for index in long)
    for entry, (own, *_) in forms.items() if (rest := sorted((stems & GLOSSARY.keys()) - places.keys())) else ():
        for stem in rest:
            for meaning in GLOSSARY[stem]:
                if stem not in places and own.issuperset(meaning):
                    places[stem] = tuple(_first(word, entry) for word in meaning)
    return places


def _first(stem: str, texts: Iterable[str]) -> Place:
    return next((text, stems.index(stem)) for text in texts if stem in (stems := analyse(text).stems))


@cache
def _counts() -> tuple[int, dict[str, int]]:
    """Return how many labelled papers there are, and in how many a stem stands; the file says where that is from."""
    table = json.loads(read_text(shipped("matching/features/rarity.json")))
    return table["papers"], table["stems"]


@lru_cache(maxsize=65536)
def rarity(stem: str) -> float:
    """Return the logarithm of the papers for one that has the stem; 0 for the empty row of a segment.

    A multiple of 1/64, so that sums of products are exact in any order.
    """
    if not stem:
        return 0.0
    papers, counts = _counts()
    return round(math.log((papers + 1) / (counts.get(stem, 0) + 1)) * 64) / 64
