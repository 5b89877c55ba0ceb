"""Plans as text, and what can happen to a text on its way: strategies that make the first and do the second."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import strategies as st

from evalkit.formats import FORMATS, write_plans
from evalkit.types import Ablation, Action, Plan

WRITABLE = tuple(name for name, format_ in FORMATS.items() if format_.write)
WORDS = (
    "gate", "learning rate λ", "top-1 (%)", "a, b (c)", "none", "0.10", "it's", 'say "x"', "\\beta", "δ 🧠", "x: y #z",
    "- x", "## Ablation Plan", "{", "]", "name", "",
)  # fmt: skip
CONTROLS = (
    "\0", "\x07", "\x1b[31m", "\x1b]0;x\x07", "\x9b2J", "\x7f", "\ufeff", "\u202e", "\u2028", "\r", "\r\n", "\t",
    "\ud800",
)  # fmt: skip
NESTS = (("[", "]"), ("{", "}"), ('{"a":', "}"), ("- ", ""), ("(", ")"), ("<div>", "</div>"), ("> ", ""), ("`", "`"))
QUOTES = ('"', "'", "“", "”", "`", '\\"', '""')
ENCODINGS = ("latin-1", "cp1252", "mac-roman", "cp437")

words = st.sampled_from(WORDS) | st.text(max_size=5)
entries = st.builds(
    Ablation,
    name=words,
    part=words,
    action=st.none() | st.sampled_from(Action),
    replacements=st.lists(words, max_size=3).map(tuple),
    metrics=st.lists(words, max_size=3).map(tuple),
)
plans = st.builds(
    Plan,
    paper=words,
    planner=st.none() | words,
    ablations=st.lists(entries, max_size=4).map(tuple),
    trace=words,
    sample=st.sampled_from(["", "2"]),
)


def _reply(text: str) -> str:
    return f"<discussion>why</discussion>\n<predictions>\n{text}</predictions>\n"


def _completion(text: str) -> str:
    return json.dumps({"choices": [{"message": {"content": text}}]})


def _fenced(text: str) -> str:
    return f"Here it is:\n```json\n{text}\n```\nBye."


WRAPPERS: tuple[Callable[[str], str], ...] = (str, _reply, _fenced, _completion)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """One to three plans in any format, bare or as a model would send them."""
    written = draw(st.lists(plans, min_size=1, max_size=3))
    return draw(st.sampled_from(WRAPPERS))(write_plans(written, draw(st.sampled_from(WRITABLE))))


def truncate(draw: st.DrawFn, text: str) -> str:
    """The beginning, or the end."""
    index = draw(st.integers(0, len(text)))
    return text[:index] if draw(st.booleans()) else text[index:]


def duplicate(draw: st.DrawFn, text: str) -> str:
    """A piece stands there several times."""
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:end] + text[start:end] * draw(st.integers(1, 40)) + text[end:]


def splice(draw: st.DrawFn, text: str) -> str:
    """A piece of another document."""
    index, other = draw(st.integers(0, len(text))), draw(texts())
    start = draw(st.integers(0, len(other)))
    return text[:index] + other[start : start + draw(st.integers(0, 80))] + text[index:]


def reencode(draw: st.DrawFn, text: str) -> str:
    """Written in one encoding and read in another, once or twice."""
    for _ in range(draw(st.integers(1, 2))):
        text = text.encode("utf-8", "surrogatepass").decode(draw(st.sampled_from(ENCODINGS)), "replace")
    return text


def nest(draw: st.DrawFn, text: str) -> str:
    """Something opened many times, at a place or around everything, and closed or not."""
    opening, closing = draw(st.sampled_from(NESTS))
    times, index = draw(st.integers(1, 60)), draw(st.integers(0, len(text)))
    closing = closing * times if draw(st.booleans()) else ""
    return text[:index] + opening * times + text[index:] + closing


def swap_quotes(draw: st.DrawFn, text: str) -> str:
    """Some quotation marks become others."""
    for _ in range(draw(st.integers(1, 4))):
        text = text.replace(draw(st.sampled_from(QUOTES[:4])), draw(st.sampled_from(QUOTES)), draw(st.integers(1, 5)))
    return text


def insert_controls(draw: st.DrawFn, text: str) -> str:
    """Characters that nobody meant to write."""
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(text)))
        text = text[:index] + draw(st.sampled_from(CONTROLS)) + text[index:]
    return text


def delete(draw: st.DrawFn, text: str) -> str:
    """A few characters are lost."""
    index = draw(st.integers(0, len(text)))
    return text[:index] + text[index + draw(st.integers(1, 8)) :]


DAMAGES = (truncate, duplicate, splice, reencode, nest, swap_quotes, insert_controls, delete)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A text that has met up to four mishaps, one after the other."""
    text = draw(texts())
    for damage in draw(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=4)):
        text = damage(draw, text)
    return text
