"""A small offline check: is a list of entries in English, the only language that the matcher knows?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+")
# Words that stand in almost every sentence of a language and are no English ones.
_COMMON = {
    "German": "der das und ohne mit durch von ein eine einer entfernen ersetzen für nicht auf statt wird",
    "French": "le les des du une sans avec par pour et remplacer supprimer dans sur au aux est",
    "Spanish": "el los las una sin con por para y del reemplazar eliminar en es al",
    "Portuguese": "os uma sem com por para e da dos das substituir remover em ao na",
    "Italian": "il gli una senza con per e della dei delle sostituire rimuovere nel",
}
_LANGUAGE_OF: dict[str, set[str]] = {}
for _name, _words in _COMMON.items():
    for _word in _words.split():
        _LANGUAGE_OF.setdefault(_word, set()).add(_name)
_ENGLISH_WORDS = "the of and with without in on to for by from a an is no not as at remove replace instead"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
LEAST = 3  # common words that a verdict needs
SHARE = 0.15  # of all words, that common words of the other language need


def other_language(texts: Iterable[str]) -> str:
    """Return the script or language that texts are mostly in; empty for English, or where little can be said."""
    words = [word for text in texts for word in _WORD.findall(text.casefold())]
    letters = "".join(words)
    if not letters.isascii():
        foreign = [letter for letter in letters if not (letter.isascii() or "LATIN" in unicodedata.name(letter, ""))]
        if 2 * len(foreign) > len(letters):
            return f"the script of {foreign[0]!r}"
    english = sum(word in _ENGLISH for word in words)
    counts = dict.fromkeys(_COMMON, 0)
    for word in words:
        for language in _LANGUAGE_OF.get(word, ()):
            counts[language] += 1
    best = max(counts, key=lambda language: counts[language])
    enough = counts[best] >= LEAST and counts[best] > 2 * english and counts[best] > SHARE * len(words)
    return best if enough else ""
