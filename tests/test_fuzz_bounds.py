"""Bounds: the time and the memory that reading takes grow with the length of the input, whatever the input is.

The families are what an opening or a separator can be repeated to; scripts/fuzz.py looks for more of them with short
inputs. Times are CPU seconds, compared with those of a well-formed plan or of a shorter input in the same run, so that
neither a slow nor a busy machine fails here.
"""

from __future__ import annotations

import time
import tracemalloc

import pytest
from conftest import entry

from evalkit.formats import parse_document
from evalkit.matching.rules import plan_as_read
from evalkit.types import Document

TIMES_A_PLAN = 40  # measured: 23 times what a well-formed plan of the same length takes
BYTES_A_BYTE = 300  # measured: 249, for a list of half a million opened objects
MARKDOWN = "# a/b/c\n\n## Ablation Plan\n\n### A\n"
STARTS = (
    "", "[", "{", '{"a": "', '["', "name: x\n", "- name: x\n", 'name: "', MARKDOWN, MARKDOWN + "- **Metrics**: ",
    MARKDOWN + "- **Replacement**:\n", "<predictions>\n", '{"name": "x", "metrics": "', "<discussion>",
)  # fmt: skip
ENTRY = '{"name": "A", "ablated_part": "p", "action": "REMOVE", "metrics": ["m"]}'
REPEATED = (
    "{", "}", "[", "]", "[{", '"', "'", ",", ":", "\\", "\n", "- ", "  ", "### x\n", "**Action**: ", "name: ", "```\n",
    "#", "*a ", "|", "&a ", "<predictions>\n", "</discussion>", ENTRY, ENTRY + "\n", "Î´", "\t", "/*", "//", "---\n",
    "&#0;", "&amp;", "## Ablation Plan\n", "# a/b\n", '{"a":', '["a",', '{"a" ', "a: b\n", "- a: b\n", "(", "(a, ",
    "“", '"a" "b" ', "\n{", '\n"a":', "{'a',", "1,", "null", "- **Ablated Part**: x\n", "- **Metrics**: a, b (c, \n",
    "\x1b[", "\x9b", "\r", "\u2028", "e\u0301", "<div>", "&", "- [", "? ", ">\n", "**x**\n", "1. **x**\n",
    '{a: b, ', "{a: [", '"a, ', '"a": "b, ', 'x", "', "(1, ", "...,", '"a,\n"b,', "--- {a: b}\n", "%\n",
    "name: x: y\n", "}{", "<!-- sample: x -->\n", "Ã", "â€", '{"content": "{\\"name\\": ',
)  # fmt: skip
# What costs most, as measured over all families.
DEAREST_IN_TIME = [("[", "{"), ("- name: x\n", "\n{"), ('name: "', "\n{"), ("", ENTRY), ("{", "]"), ("", "[{")]
DEAREST_IN_MEMORY = [("[", "{"), ("[", "\n{"), ("", "}{")]


def family(start: str, repeated: str, size: int) -> Document:
    return Document("plan", start + repeated * (size // len(repeated)), "team/model", "paper")


def seconds(document: Document) -> float:
    started = time.process_time()
    parse_document(document)
    return time.process_time() - started


def times_a_plan(start: str, repeated: str, size: int) -> float:
    """How many times longer this takes than a well-formed plan of the same length, the least of up to three tries."""
    plan, document = family("[", ENTRY + ",", size), family(start, repeated, size)
    tries = (seconds(document) / min(seconds(plan), seconds(plan)) for _ in range(3))
    least = next(tries)
    return least if least < TIMES_A_PLAN else min(least, *tries)


def peak(document: Document) -> float:
    """Bytes that were in use at the same time for each byte of the input."""
    parse_document(Document("plan", 'name: "Î´"\nablated_part: x', "team/model", "paper"))  # loads its libraries
    tracemalloc.start()
    parse_document(document)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / len(document.text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(("start", "repeated"), DEAREST_IN_MEMORY)
def test_memory_is_a_multiple_of_the_input(start: str, repeated: str) -> None:
    assert peak(family(start, repeated, 8_000)) < BYTES_A_BYTE


@pytest.mark.parametrize(("start", "repeated"), DEAREST_IN_TIME)
def test_twice_the_input_takes_twice_the_time(start: str, repeated: str) -> None:
    """Eight times the input takes nowhere near 64 times as long."""
    limit = 24 * max(min(seconds(family(start, repeated, 4_000)) for _ in range(3)), 0.004)
    document = family(start, repeated, 32_000)
    assert seconds(document) < limit or min(seconds(document), seconds(document)) < limit


@pytest.mark.slow
@pytest.mark.parametrize(("start", "repeated"), DEAREST_IN_TIME)
def test_a_megabyte_takes_no_longer_than_its_length(start: str, repeated: str) -> None:
    assert times_a_plan(start, repeated, 10**6) < TIMES_A_PLAN


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS)
def test_no_family_grows_faster_than_its_input(start: str) -> None:
    for repeated in REPEATED:
        took = times_a_plan(start, repeated, 40_000)
        assert took < TIMES_A_PLAN, (start, repeated, took)


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS)
def test_no_family_takes_more_than_its_memory(start: str) -> None:
    for repeated in REPEATED:
        most = peak(family(start, repeated, 20_000))
        assert most < BYTES_A_BYTE, (start, repeated, most)


def test_rules_read_long_options_in_proportion() -> None:
    """A plan from a program meets no cap of reading: eight times the text takes nowhere near 64 times as long."""

    def took(size: int) -> float:
        option = "word " * (size // 5)
        entries = [entry(part, "REPLACE", [option, f"{part} {option}"]) for part in ("gate", "loss")]
        started = time.process_time()
        plan_as_read(entries)
        return time.process_time() - started

    limit = 24 * max(min(took(20_000) for _ in range(3)), 0.004)
    assert min(took(160_000) for _ in range(3)) < limit
