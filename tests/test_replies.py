"""Replies as models write them (tests/data/replies): what is read of each, and the table that docs print of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evalkit.formats import parse_document
from evalkit.types import Document

REPLIES = Path(__file__).parent / "data" / "replies"
EXPECTED = json.loads((REPLIES / "expected.json").read_text(encoding="utf-8"))
DOCS = Path(__file__).resolve().parents[1] / "docs" / "plans-and-gold.md"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_reply_is_read(name: str) -> None:
    """Every entry comes out with its five fields, and what had to be done for it is reported."""
    text = (REPLIES / f"{name}.txt").read_text(encoding="utf-8")
    (plan,) = parse_document(Document("plan", text, "lab/model", "paper"))
    entries = [
        [entry.name, entry.part, entry.action, list(entry.replacements), list(entry.metrics)]
        for entry in plan.ablations
    ]
    assert entries == EXPECTED[name]["entries"]
    assert (plan.planner, plan.paper) == ("lab/model", "paper")  # no key of a reply takes their places
    assert set(EXPECTED[name]["codes"]) <= {item.code for item in plan.diagnostics}


def test_every_reply_has_its_expectation() -> None:
    assert len(EXPECTED) >= 60
    assert {path.stem for path in REPLIES.glob("*.txt")} == set(EXPECTED)


def test_docs_count_the_replies_of_each_shape() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for shape, count in Counter(case["shape"] for case in EXPECTED.values()).items():
        assert f"| {shape} | {count} |" in text
