"""Search texts for many patterns at once: a word is searched the first time that it is seen, not in every text."""

from __future__ import annotations

import re
from functools import cache, lru_cache

_SETS = re.compile(r"\[[^\]^\\\s]*(?:\\[dw][^\]^\\\s]*)*\]")
# What may match a space or knows where a text begins: such a pattern has to see all of a text.
_ACROSS = re.compile(r"\s|[\^$]|\\[sSWDAZB]|(?<!\\)\.")
_WITHIN: list[re.Pattern[str]] = []  # of each pattern what no match of reaches over a space


class Pattern:
    """Regular expressions, in upper or lower case, of which `search` tells whether a text has one."""

    def __init__(self, *expressions: str) -> None:
        across: list[str] = []
        within: list[str] = []
        for expression in expressions:
            (across if _ACROSS.search(_SETS.sub("", expression)) else within).append(expression)
        self._bit = 1 << len(_WITHIN) if within else 0
        self._across = re.compile("|".join(across), re.IGNORECASE) if across else None
        if within:
            _WITHIN.append(re.compile("|".join(within), re.IGNORECASE))
            for known in (_starts_in, _found_in, _any_within):  # what was searched before did not look for this one
                known.cache_clear()

    def search(self, text: str) -> bool:
        """Return whether one of the expressions stands anywhere in the text."""
        if self._bit and _starts_in(text) & self._bit:
            return True
        return self._across is not None and self._across.search(text) is not None


@lru_cache(maxsize=65536)
def _starts_in(text: str) -> int:
    """Return the bits of the patterns that some word of the text has."""
    starts = 0
    for word in text.split():
        starts |= _found_in(word)
    return starts


@lru_cache(maxsize=65536)
def _found_in(word: str) -> int:
    if not _any_within().search(word):
        return 0
    return sum(1 << place for place, regex in enumerate(_WITHIN) if regex.search(word))


@cache
def _any_within() -> re.Pattern[str]:
    return re.compile("|".join(regex.pattern for regex in _WITHIN), re.IGNORECASE)
