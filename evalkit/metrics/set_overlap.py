"""Overlap of two lists of short names (metrics, or replacement options): how many belong together, one to one.

When two metrics are one is for `metric_names` to say. Two options are the same when they read the same after
normalising, when one is the other with something added, or when they differ by a slip of spelling. Numbers never bend:
"top-1" is not "top-5". All of it is lexical, so these figures do not depend on a model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, TypeVar

from evalkit.metrics.metric_names import metric_name, same_metric

FILLER = frozenset(("a", "an", "the", "of", "on", "in", "for", "with", "score", "value", "metric", "using", "use"))
BRACKETS = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")
WORDS = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")
NEGATIONS = frozenset(("no", "non", "none", "not", "without", "w", "remove", "removed", "disable", "disabled"))
SLIP = 90.0

STEM, SHARE = 4, 0.65
LONG = 64

Words = tuple[str, ...]
Name = tuple[Words, ...]
Item = TypeVar("Item")


def metrics_in_common(gold: Sequence[str], plan: Sequence[str]) -> int:
    """Return how many metrics the two lists share, matched one to one."""
    return _metrics(tuple(gold), tuple(plan))


def options_in_common(gold: Sequence[str], plan: Sequence[str]) -> int:
    """Return how many replacement options the two lists share, matched one to one."""
    return _options(tuple(gold), tuple(plan))


@lru_cache(maxsize=16384)
def _metrics(gold: tuple[str, ...], plan: tuple[str, ...]) -> int:
    return _in_common([metric_name(name) for name in gold], [metric_name(name) for name in plan], same_metric)


@lru_cache(maxsize=16384)
def _options(gold: tuple[str, ...], plan: tuple[str, ...]) -> int:
    return _in_common([option_name(name) for name in gold], [option_name(name) for name in plan], _same_options)


def _in_common(gold: Sequence[Item], plan: Sequence[Item], same: Callable[[Item, Item], bool]) -> int:
    """Return the size of the largest one-to-one matching of names that are the same."""
    partners = [[index for index, name in enumerate(plan) if same(own, name)] for own in gold]
    if all(len(found) < 2 for found in partners):
        return len({index for found in partners for index in found})
    if len(gold) > LONG:
        return _in_long_lists(partners, len(plan))
    matched: dict[int, int] = {}

    def place(own: int, tried: set[int]) -> bool:
        """Find a name a partner, if need be by sending one that is taken to another (Kuhn's algorithm)."""
        for index in partners[own]:
            if index not in tried:
                tried.add(index)
                if index not in matched or place(matched[index], tried):
                    matched[index] = own
                    return True
        return False

    return sum(place(own, set()) for own in range(len(gold)))


@lru_cache(maxsize=65536)
def _same_options(one: Name, other: Name) -> bool:
    """Return whether any readings of two options are the same."""
    return any(_same_option(x, y) for x in one for y in other)


def _in_long_lists(partners: Sequence[Sequence[int]], width: int) -> int:
    """Do the same for lists so long that looking for partners would go too deep."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    ends = [0, *accumulate(map(len, partners))]
    flat = [index for own in partners for index in own]
    table = csr_matrix(([True] * len(flat), flat, ends), shape=(len(partners), width))
    return int((maximum_bipartite_matching(table, perm_type="column") >= 0).sum())


@lru_cache(maxsize=65536)
def option_name(text: str) -> Name:
    """Return the readings of a replacement option: with its brackets' content and without, and what they say alone.

    An option that begins by taking away ("no gating", "w/o gate", "none") also reads as plain removal: next to another
    option for the same part, that is what it means.
    """
    words = _words(text)
    removal = [("none",)] if words and words[0] in NEGATIONS else []
    return tuple(dict.fromkeys((words, *_readings(text), *removal)))


def _readings(text: str) -> list[tuple[str, ...]]:
    """Return the words outside brackets, then those of each bracket; units and arrows are no words."""
    parts = [BRACKETS.sub(" ", text), *(a or b for a, b in BRACKETS.findall(text))]
    readings = [tuple(_words(part)) for part in parts]
    return [words for words in readings if words] or [tuple(_words(text))]


@lru_cache(maxsize=65536)
def _words(text: str) -> tuple[str, ...]:
    """Lower-case words without accents and fillers; "top1" and "BLEU4" become two words."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(char for char in plain if not unicodedata.combining(char)).replace("_", " ")
    plain = re.sub(r"\b(top|bleu|rouge|recall|precision|hits|pass)[\s@-]*(\d+)", r"\1 \2", plain)
    words = [word for word in WORDS.findall(plain) if word not in FILLER]
    return tuple(words or WORDS.findall(plain))


class _Compared(NamedTuple):
    """What is compared of a reading: its words, those with digits, those that negate, their first letters, a line."""

    words: frozenset[str]
    numbers: frozenset[str]
    negations: frozenset[str]
    starts: frozenset[str]
    line: str


@lru_cache(maxsize=65536)
def _compared(words: Words) -> _Compared:
    own = frozenset(words)
    numbers = frozenset(word for word in own if any(map(str.isdigit, word)))
    return _Compared(own, numbers, own & NEGATIONS, frozenset(word[:STEM] for word in own), " ".join(sorted(own)))


@lru_cache(maxsize=262144)
def _same_option(a: Words, b: Words) -> bool:
    """As metrics are, or two thirds of the words in common by their first letters: "positional" is "position"."""
    if _same_words(a, b):
        return True
    left, right = _compared(a), _compared(b)
    if left.numbers != right.numbers or left.negations != right.negations:
        return False
    return 2 * len(left.starts & right.starts) >= SHARE * (len(left.starts) + len(right.starts))


@lru_cache(maxsize=262144)
def _same_words(a: Words, b: Words) -> bool:
    """Equal, one within the other under one head word, or a slip of spelling apart; never with other numbers."""
    if a == b:
        return bool(a)
    short, long = sorted((_compared(a), _compared(b)), key=lambda side: len(side.words))
    if not short.words or short.negations != long.negations:
        return False
    same = short.numbers == long.numbers
    if short.words <= long.words and a[-1] == b[-1] and (same or not short.numbers):
        return True
    from rapidfuzz.fuzz import ratio

    return same and ratio(short.line, long.line, score_cutoff=SLIP) > 0
