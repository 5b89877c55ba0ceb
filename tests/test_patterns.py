"""Patterns find what regular expressions find, though they look at every word only once."""

from __future__ import annotations

import re
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from evalkit.matching.features.patterns import Pattern
from evalkit.matching.features.removals import CONTRASTS
from evalkit.matching.features.traits import ASPECTS, CUES

EXPRESSIONS = (
    *ASPECTS.values(), *(expression for _, expression in CUES.values()), *chain.from_iterable(CONTRASTS),
    r"a b", r"a\sb", r"^a", r"a$", r"a.b", r"[ab]\W", r"a[^b]", r"a[ -]b", r"a\.b", r"(?<![\d.])0(?![.\d])",
)  # fmt: skip
PATTERNS = [(Pattern(expression), re.compile(expression, re.IGNORECASE)) for expression in EXPRESSIONS]
# Words that patterns look for, what stands between words, and letters that are others in the other case.
PARTS = (
    "how", "many", "position", "al", "enc", "number", "0", "0.0", ".", "w/o", "non-", "un", "shared", "pre", "-",
    "train", "trade", "off", "random", "init", "soft", "a", "b", "K", "\u212a", "\u017f", "tatic", "λ", "_", "NO",
    "Attention",
    " ", "  ", "\n", "\t", "\u00a0", "\u2003", "\x1c", "\u200b",
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join))
def test_a_pattern_finds_what_its_expression_finds(text: str) -> None:
    for pattern, regex in PATTERNS:
        assert pattern.search(text) is (regex.search(text) is not None), (regex.pattern, text)


def test_a_pattern_of_several_expressions_finds_any_of_them() -> None:
    pattern = Pattern("weight|rate", "number of", "^no ")
    for text, found in {
        "learning RATE": True,
        "a Number of": True,
        "no gate": True,
        "numbers of": False,
        "": False,
    }.items():
        assert pattern.search(text) is found, text


def test_a_pattern_made_later_is_looked_for_in_texts_known_before() -> None:
    assert Pattern("gat").search("the gate")
    assert Pattern("the").search("the gate")
    assert not Pattern("gates").search("the gate")
