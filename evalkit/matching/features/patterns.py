"""Search texts for many patterns at once: a word is searched the first time that it is seen, not in every text."""

from __future__ import annotations

import re
from functools import cache, lru_cache

_SETS = re.compile(r"\[[^\]^\\\s]*(?:\\[dw][^\]^\\\s]*)*\]")
# What may match a space or knows where a text begins: such a pattern has to see all of a text.
_ACROSS = re.compile(r"\s|[\^$]|\\[sSWDAZB]|(?<!\\)\.")
_ESCAPE_OR_SET = re.compile(r"\\.|\[[^\]^\\]*(?:\\.[^\]\\]*)*\]")
_GROUP = re.compile(r"\([^()]*\)[?*+]?")
_NO_LITERAL = re.compile(r"[^A-Za-z ][?*+]?|[A-Za-z ][?*+{]")
_WITHIN: list[tuple[int, re.Pattern[str]]] = []  # no match of these reaches over a space; with the bit of the pattern
_OVER: list[tuple[int, str, re.Pattern[str]]] = []  # with letters that every match has, in lower case


class Pattern:
    """Regular expressions, in upper or lower case, of which `search` tells whether a text has one; `bit` stands for it
    in the bits of a text (see `pattern_bits`)."""

    _made = 0

    def __init__(self, *expressions: str) -> None:
        self.bit = 1 << Pattern._made
        Pattern._made += 1
        within: list[str] = []
        for expression in (part for whole in expressions for part in _alternatives(whole)):
            if _ACROSS.search(_SETS.sub("", expression)):
                _OVER.append((self.bit, _literal(expression), re.compile(expression, re.IGNORECASE)))
            else:
                within.append(expression)
        if within:
            _WITHIN.append((self.bit, re.compile("|".join(within), re.IGNORECASE)))
        for cached in (pattern_bits, _word_bits, _any_within):  # what was searched before did not look for this one
            cached.cache_clear()

    def search(self, text: str) -> bool:
        """Return whether one of the expressions stands anywhere in the text."""
        return pattern_bits(text) & self.bit > 0


def _alternatives(expression: str) -> list[str]:
    """Split an expression at the bars outside its groups and sets."""
    bare = _ESCAPE_OR_SET.sub(lambda match: "_" * len(match.group()), expression)
    parts, start, depth = [], 0, 0
    for place, character in enumerate(bare):
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            parts.append(expression[start:place])
            start = place + 1
    return [*parts, expression[start:]]


def _literal(expression: str) -> str:
    """Return the longest run of letters and spaces that an expression without alternatives demands, in lower case."""
    bare, inner = _ESCAPE_OR_SET.sub("_", expression), ""
    while bare != inner:
        bare, inner = _GROUP.sub("_", bare), bare
    return max(_NO_LITERAL.sub("_", bare).split("_"), key=len).lower()


@lru_cache(maxsize=65536)
def pattern_bits(text: str) -> int:
    """Return the bits of the patterns that the text has."""
    bits = 0
    for word in text.split():
        bits |= _word_bits(word)
    lower = text.lower() if text.isascii() else ""  # other letters may be an English one in the other case
    for bit, literal, regex in _OVER:
        if (literal in lower or not lower) and regex.search(text):
            bits |= bit
    return bits


@lru_cache(maxsize=65536)
def _word_bits(word: str) -> int:
    if not _any_within().search(word):
        return 0
    return sum(bit for bit, regex in _WITHIN if regex.search(word))


@cache
def _any_within() -> re.Pattern[str]:
    return re.compile("|".join(regex.pattern for _, regex in _WITHIN), re.IGNORECASE)
