"""One slip in a document: no entry is made of two, and nothing is lost or changed without a word."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from evalkit.formats import parse_document
from evalkit.types import Ablation, Document, Plan

ACTIONS = ("REMOVE", "REPLACE", "ADD")
WORD = re.compile(r"e(\d)(?:name|part|option|metric)")  # says which entry a text belongs to
SEVERITIES = ("error", "warning", "note")


def made(number: int, *, more: bool = False) -> dict[str, Any]:
    """An entry whose texts all name it, with brackets and commas in them."""
    entry: dict[str, Any] = {"name": f"No e{number}name", "ablated_part": f"the e{number}part, all of it (and {{x}})",
                             "action": ACTIONS[number % 3]}  # fmt: skip
    if entry["action"] != "REMOVE":
        entry["replacement"] = [f"e{number}option (1)", f"e{number}option 2"]
    entry["metrics"] = [f"e{number}metric", f"e{number}metric 2"]
    return entry | ({"rationale": f"because of {number}, and [so on]"} if more else {})


LISTS = [[made(number, more=more) for number in range(3)] for more in (False, True)]
ONE_LINE = [
    json.dumps(tree)
    for entries in LISTS
    for tree in (entries, {"ablations": entries}, {"planner": "p", "ablations": entries[::-1], "trace": "so"},
                 [dict(reversed(entry.items())) for entry in entries])
]  # fmt: skip
SEVERAL_LINES = [
    text
    for entries in LISTS
    for text in (json.dumps(entries, indent=1), "\n".join(map(json.dumps, entries)),
                 "[\n" + ",\n".join(map(json.dumps, entries)) + "\n]")
]  # fmt: skip


def read(text: str) -> tuple[list[Ablation], set[str]]:
    plans: tuple[Plan, ...] = parse_document(Document("x", text, "me", "paper"))
    found = {item.severity for plan in plans for item in plan.diagnostics}
    return [entry for plan in plans for entry in plan.ablations], {*found}


def owners(entry: Ablation) -> set[int]:
    """Return the entries that the texts of one entry come from."""
    texts = (entry.name, entry.part, *entry.replacements, *entry.metrics)
    return {int(match.group(1)) for text in texts for match in WORD.finditer(text)}


def tree(entry: Ablation) -> tuple[object, ...]:
    return entry.name, entry.part, str(entry.action), list(entry.replacements), list(entry.metrics)


def wanted(number: int) -> tuple[object, ...]:
    one = made(number)
    return one["name"], one["ablated_part"], one["action"], one.get("replacement", []), one["metrics"]


def check(text: str) -> None:
    """Hold what a damaged document was read as against what it was."""
    entries, found = read(text)
    assert all(len(owners(entry)) <= 1 for entry in entries) or "error" in found, text
    read_of = {owner: entry for entry in entries for owner in owners(entry)}
    assert len(read_of) == 3 or "error" in found, text
    changed = [number for number, entry in read_of.items() if tree(entry) != wanted(number)]
    assert not changed or found & {"error", "warning"}, text


def without_one(text: str, characters: str) -> Iterator[str]:
    """Yield the text without one of the characters, but not without a comma or a bracket inside a string."""
    strings = [match.span() for match in re.finditer(r'"[^"]*"', text)]
    inside = {place for start, end in strings for place in range(start + 1, end - 1)}
    for place, character in enumerate(text):
        if character in characters and place not in inside:
            yield text[:place] + text[place + 1 :]


@pytest.mark.parametrize("text", ONE_LINE + SEVERAL_LINES)
def test_a_character_that_is_lost_merges_no_entries_and_is_told(text: str) -> None:
    assert [tree(entry) for entry in read(text)[0]] == [
        wanted(number) for number in ((2, 1, 0) if '"planner"' in text else (0, 1, 2))
    ]
    for damaged in without_one(text, '"[]{}:,'):
        check(damaged)


@pytest.mark.parametrize("text", ONE_LINE)
def test_nearly_every_lost_quotation_mark_costs_nothing(text: str) -> None:
    """All three entries come out whole for at least 95 of 100 marks, with a note."""
    intact = sorted(repr(wanted(number)) for number in range(3))
    right = [sorted(map(repr, map(tree, read(damaged)[0]))) == intact for damaged in without_one(text, '"')]
    assert sum(right) >= 0.95 * len(right)


@pytest.mark.parametrize("seed", range(40))
def test_entries_that_two_slips_merge_are_an_error(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        text = rng.choice(ONE_LINE)
        for _ in range(2):
            text = rng.choice(list(without_one(text, '"[]{}:,')) or [text])
        entries, found = read(text)
        assert all(len(owners(entry)) <= 1 for entry in entries) or "error" in found, text


def test_an_entry_that_is_made_of_two_is_left_out() -> None:
    text = '{"name": "the "one" gate", "ablated_part": "x", "name": "two", "ablated_part": "y"}'
    (plan,) = parse_document(Document("x", text, "me", "paper"))
    assert not plan.ablations
    assert {"entries-merged", "not-an-entry"} <= {item.code for item in plan.diagnostics if item.severity == "error"}


@pytest.mark.parametrize(
    ("cell", "metrics", "code"),
    [
        ('["accuracy" "F1"]', ("accuracy", "F1"), "missing-comma"),
        ('["accuracy""F1"]', ("accuracy", "F1"), "missing-comma"),
        ('["accuracy, "F1"]', ("accuracy", "F1"), "unclosed-string"),
        ('["accuracy", F1"]', ("accuracy", "F1"), "unclosed-string"),
        ('["accuracy", ...]', ("accuracy",), "ellipsis"),
        ('["accuracy", …]', ("accuracy",), "ellipsis"),
        ('("accuracy", "F1")', ("accuracy", "F1"), "round-brackets"),
        ('("accuracy",)', ("accuracy",), "round-brackets"),
        ('(("accuracy", "F1"),)', ("accuracy, F1",), "round-brackets"),
        ('{"accuracy", "F1"}', ("accuracy", "F1"), "text-for-list"),
        ("Null", (), "bare-word"),
        ("NONE", (), "bare-word"),
        # These are quotation marks of the text, and stay.
        ('["the "hard" set"]', ('the "hard" set',), "inner-quotes"),
        ('["say "a" and "b", too"]', ('say "a" and "b", too',), "inner-quotes"),
    ],
)
def test_lists_as_models_write_them(cell: str, metrics: tuple[str, ...], code: str) -> None:
    text = f'[{{"name": "A", "ablated_part": "p", "action": "REMOVE", "metrics": {cell}}}]'
    (plan,) = parse_document(Document("x", text, "me", "paper"))
    assert [entry.metrics for entry in plan.ablations] == [metrics]
    assert code in {item.code for item in plan.diagnostics}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('{"name":\u2003"A",\u202f"ablated_part"\u3000:\u200b"p"}', set()),
        ('{"name": A "ablated_part": "p"}', {"bare-word", "missing-comma"}),
        ('["name": "A", "ablated_part": "p"}]', {"stray-bracket"}),
        ('[{"name": "A", "ablated_part": "p", "name', {"truncated"}),
        ("name: A\nablated_part: p\n? [a, b]\n: c\n", {"unread-line"}),
        ("name: A\nablated_part: p\nmetrics:\n - F1\n - MSE\n stray\n", {"yaml-pieces"}),
    ],
)
def test_other_slips_of_public_suites(text: str, codes: set[str]) -> None:
    (plan,) = parse_document(Document("x", text, "me", "paper"))
    assert [(entry.name, entry.part) for entry in plan.ablations] == [("A", "p")]
    assert codes <= {item.code for item in plan.diagnostics}


def test_half_a_character_is_told() -> None:
    (plan,) = parse_document(Document("x", '{"name": "A\\ud800", "ablated_part": "p"}', "me", "paper"))
    assert plan.ablations[0].name == "A\ufffd"
    assert "lone-surrogate" in {item.code for item in plan.diagnostics}


def stream(entries: list[dict[str, Any]], form: str) -> list[str]:
    """Documents of a YAML stream: one entry each, as a mapping, a list, or in brackets."""
    trees = [[entry] if form == "list" else entry for entry in entries]
    return [yaml.safe_dump(tree, sort_keys=False, default_flow_style=form == "flow", width=1000) for tree in trees]


SLIPS = {
    "colon": lambda text: text.replace("No e", "No: e", 1),
    "bracket": lambda text: text.replace("metrics:", "notes: [\n  metrics:", 1),
    "quote": lambda text: text.replace("No e", "'No e", 1),
    "tab": lambda text: text.replace("action:", "\taction:", 1),
    "stray": lambda text: text.rstrip("\n") + "\nstray words\n",
    "anchor": lambda text: text.replace("No e", "*No e", 1),
    "brace": lambda text: "{" + text,
    "at": lambda text: text.replace("No e", "@No e", 1),
}


@pytest.mark.parametrize("form", ["mapping", "list", "flow"])
@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("mark", ["---\n", "--- # next\n", "...\n---\n", "%YAML 1.1\n---\n"])
def test_a_slip_in_one_document_of_a_stream_costs_the_others_nothing(form: str, slip: str, mark: str) -> None:
    documents = stream([made(number) for number in range(3)], form)
    for broken in range(3):
        texts = [SLIPS[slip](text) if number == broken else text for number, text in enumerate(documents)]
        if texts == documents:
            continue
        end = "...\n" if mark.startswith("%") else ""
        entries, found = read(mark.removeprefix("...\n") + f"{end}{mark}".join(texts))
        whole = [tree(entry) for entry in entries]
        assert all(wanted(number) in whole for number in range(3) if number != broken), texts[broken]
        assert found, texts[broken]


@pytest.mark.parametrize(
    ("text", "parts", "codes"),
    [
        ("[{name: a, ablated_part: it''s, action: REMOVE, metrics: [F1]}]", ["it''s"], set()),
        ("{name: a, ablated_part: 'it''s', action: REMOVE, metrics: [F1]} # a comment", ["it's"], set()),
        ("{name: a, ablated_part: gate # of it\n, action: REMOVE, metrics: [F1]}", ["gate"], set()),
        ("[&a {name: a, ablated_part: gate, action: REMOVE, metrics: [F1]}, {<<: *a, name: b}]", ["gate"] * 2, set()),
        ("--- {name: a, ablated_part: x y, action: REMOVE, metrics: [F1]}\n--- {name: b, ablated_part: z, "
         "action: REMOVE, metrics: [F1]}", ["x y", "z"], set()),
        # Not YAML, although its parser would take it.
        ("{name: 'a', ablated_part: 'gate', // it\n action: 'REMOVE', metrics: ['F1']}", ["gate"], {"json-comment"}),
        ("{name: 'a', ablated_part: 'a\\tb', action: 'REMOVE', metrics: ['F1']}", ["a\tb"], {"other-quotes"}),
        ('{name: "a", "ablated_part": "gate", "action": "REMOVE", "metrics": ["F1"]}', ["gate"], {"bare-word"}),
        ("- <<: &a {action: REMOVE, metrics: [F1]}\n  name: a\n  ablated_part: x\n- <<: [*a, x]\n  name: b\n"
         "  ablated_part: y", ["x", "y"], {"unread-line"}),
        ("- name: a\n  name: b\n  ablated_part: x\n  action: REMOVE\n  metrics: [F1]", ["x"], {"duplicate-key"}),
    ],
)  # fmt: skip
def test_brackets_are_read_as_the_language_they_are_in(text: str, parts: list[str], codes: set[str]) -> None:
    (plan, *more) = parse_document(Document("x", text, "me", "paper"))
    assert [entry.part for one in (plan, *more) for entry in one.ablations] == parts
    found = {item.code for item in plan.diagnostics}
    assert codes <= found if codes else not found
