"""Reading plans as they really are: every format, every repair with its line, and no input that stops a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import InputError
from evalkit.formats import CODES, FORMATS, parse_document, recognise, write_plans
from evalkit.formats.json import read_values
from evalkit.formats.json_strings import unambiguous
from evalkit.formats.layouts import ABOUT
from evalkit.formats.tree import Node
from evalkit.storage.discovery import documents
from evalkit.text import repair
from evalkit.types import Ablation, Action, Document, Plan

FIXTURES = Path(__file__).parent / "data" / "parsing"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="requires shared data")

A = '{"name": "A", "ablated_part": "p", "action": "REMOVE", "metrics": ["m"]}'
B = '{"name": "B", "ablated_part": "q", "action": "REPLACE", "replacement": ["x", "y"], "metrics": ["m"]}'
ENTRY_A = Ablation("A", "p", Action.REMOVE, (), ("m",))
ENTRY_B = Ablation("B", "q", Action.REPLACE, ("x", "y"), ("m",))


TOPS = "accuracy (top-1, top-5)"


def read(text: str, *, strict: bool = False, gold: bool = False) -> tuple[Plan, ...]:
    return parse_document(Document("plan", text, "team/model", "paper"), strict=strict, gold=gold)


def read_one(text: str, *, strict: bool = False, gold: bool = False) -> Plan:
    (plan,) = read(text, strict=strict, gold=gold)
    return plan


def reports(*plans: Plan) -> set[tuple[str, int | None]]:
    return {(diagnostic.code, diagnostic.line) for plan in plans for diagnostic in plan.diagnostics}


def markdown(entries: str) -> str:
    return f"# a/b/c\n\n## Ablation Plan\n\n{entries}"


# Fixtures: one document a format, with what is in it and what is reported about it.


def test_the_trajectory_fixture() -> None:
    """A boxed trajectory whose trace holds a plan of its own; entries and repairs are those of the real plan."""
    text = (FIXTURES / "trajectory.md").read_text(encoding="utf-8")
    plan = read_one(text)
    assert (plan.planner, plan.paper) == ("some-planner/model-1", "A_Paper__On_Gates")
    assert plan.trace.startswith("The gate is what carries")
    assert plan.trace.endswith("### nor this\n```")
    metrics = ("accuracy (top-1, top-5)", "F1", "speed at 1,000 steps")
    options = ("0.10", "001", "a schedule that runs over two lines")
    assert plan.ablations == (
        Ablation("Gate", "gating of the residual (δ)", Action.REMOVE, (), metrics),
        Ablation("Learning rate", "learning rate λ", Action.REPLACE, options, ("accuracy",)),
    )
    assert reports(plan) == {("mojibake", 8), ("mojibake", 22), ("mojibake", 25), ("mojibake", 30)}


def test_the_json_fixture() -> None:
    """AblationBench's plans.json: JSONL inside a string, and a planner that gave up."""
    first, second = read((FIXTURES / "json-plans.json").read_text(encoding="utf-8"))
    assert (first.paper, second.paper) == ("paper-1", "paper-2")
    assert first.ablations[1] == Ablation("Rate", "rate", Action.REPLACE, ("0.10",), ("F1",))
    assert not first.diagnostics
    assert reports(second) == {("no-entries", 6)}


def test_the_jsonl_fixture() -> None:
    """A row that closes neither its string nor its list costs its neighbours nothing; its repairs are its plan's."""
    first, second = read((FIXTURES / "jsonl-rows.jsonl").read_text(encoding="utf-8"))
    assert [entry.name for entry in first.ablations] == ["Gate", "Rate"]
    assert not first.diagnostics
    assert second.ablations == (Ablation("Broken", "gate", Action.REMOVE, (), ("F1",)),)
    assert reports(second) == {("unclosed-string", 2), ("unclosed-bracket", 2)}


def test_the_yaml_fixture() -> None:
    """A value with a colon is read; a broken one is reported with its line; what follows is there."""
    plan = read_one((FIXTURES / "yaml-plan.yaml").read_text(encoding="utf-8"))
    assert (plan.planner, plan.paper) == ("a/b", "paper-1")
    assert [entry.name for entry in plan.ablations] == ["Gate", "Rate: how fast", "part", "Last"]
    assert plan.ablations[1].replacements == ("0.10", "001")
    assert {("yaml-requoted", 8), ("entry-unreadable", 13)} <= reports(plan)


def test_the_reply_fixture() -> None:
    """Prose, tags, a fence, one strict row and one in another style altogether."""
    plan = read_one((FIXTURES / "reply.txt").read_text(encoding="utf-8"))
    assert plan.trace == 'The gate matters; so does {"the rate"}.'
    assert plan.ablations == (
        Ablation("Gate", "gate", Action.REMOVE, (), ("F1",)),
        Ablation(
            "Rate", 'the model\'s "learning rate"', Action.REPLACE, ("0.1", "0.2"), ("F1", "accuracy (top-1, top-5)")
        ),
    )
    assert {("code-fence", 8), ("action-synonym", 9), ("inner-quotes", 12), ("trailing-comma", 14)} <= reports(plan)
    assert {diagnostic.severity for diagnostic in plan.diagnostics} == {"note"}


# One repair at a time.

REPAIRED = [
    (f"\ufeff[{A}]", "byte-order-mark", 1),
    (f"[\r\n{A}]", "line-endings", 1),
    (f"[\n{A}\0]", "control-characters", 2),
    (f"[\n{A},\n]", "trailing-comma", 3),
    (f"[{A},,\n{B}]", "trailing-comma", 1),
    (A.replace('"', "'"), "other-quotes", 1),
    (A.replace("{", "{ // why\n"), "json-comment", 1),
    (A.replace(", ", "\n", 1), "missing-comma", 2),
    (A.replace('"name"', "name"), "bare-word", 1),
    (A.replace("REMOVE", "drop it"), "action-synonym", 1),
    (A.replace("REMOVE", "remove"), "action-synonym", 1),
    (A.replace("ablated_part", "component"), "field-synonym", 1),
    (A.replace('["m"]', '"m"'), "text-for-list", 1),
    (A.replace('["m"]', '[["m"]]'), "nested-item", 1),
    (A.replace('"p"', '["p"]'), "list-for-text", 1),
    (f"Look:\n{A}", "text-around-data", 1),
    (f"```json\n{A}\n```", "code-fence", 1),
    (f"<predictions>\n{A}", "tag-unclosed", 1),
    (f"[{A}", "truncated", 1),
    (A.replace('["m"]}', '["m"'), "truncated", 1),
    (f"<discussion>x</discussion>\n{A}", "tag-missing", 1),
]


@pytest.mark.parametrize(("text", "code", "line"), REPAIRED)
def test_a_repair_costs_nothing_and_is_reported(text: str, code: str, line: int) -> None:
    """The entry comes out as if nothing had been wrong, with one diagnostic where it was."""
    plan = read_one(text)
    assert plan.ablations[0] == ENTRY_A
    assert (code, line) in reports(plan)
    assert all(diagnostic.path == "plan" and "expected" in diagnostic.message for diagnostic in plan.diagnostics)
    assert "error" not in {diagnostic.severity for diagnostic in plan.diagnostics}


def test_strict_turns_repairs_into_errors() -> None:
    """The entries stay, warnings stay warnings."""
    plan = read_one(f"[{A.replace('REMOVE', 'removed')},{A.replace('REMOVE', 'not removed')}]", strict=True)
    assert len(plan.ablations) == 2
    severities = {diagnostic.code: diagnostic.severity for diagnostic in plan.diagnostics}
    assert (severities["action-synonym"], severities["action-ambiguous"]) == ("error", "warning")


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        (r"\beta", r"\beta"),
        (r"\theta and \nu", r"\theta and \nu"),
        (r"\lambda", r"\lambda"),
        (r"\\beta", r"\beta"),
        (r"two\nlines", "two\nlines"),
        (r"a \"b\" c", 'a "b" c'),
        (r"\u03b4 \ud83e\udde0", "δ 🧠"),
    ],
)
def test_escapes_and_latex(value: str, read_as: str) -> None:
    """A command of LaTeX in JSON would silently become a control character; it stays what it is."""
    assert read_one(A.replace('"p"', f'"{value}"')).ablations[0].part == read_as


@pytest.mark.parametrize(
    ("field", "value", "items"),
    [
        ("replacement", '["001", 1, 0.10, 1e5, true, null]', ("001", "1", "0.10", "1e5", "true")),
        ("replacement", '"one option, with a comma"', ("one option, with a comma",)),
        ("replacement", '"one; two (a; b)"', ("one", "two (a; b)")),
        ("replacement", r'"- one\n- two"', ("one", "two")),
        ("replacement", '{"rate": [0.1, 0.2], "size": 3}', ("rate: 0.1", "rate: 0.2", "size: 3")),
        ("options", '["x"]', ("x",)),
        ("replacements", '["x"]', ("x",)),
        ("replacement", "null", ()),
        ("metrics", '"acc, F1 (a, b)"', ("acc", "F1 (a, b)")),
    ],
)
def test_lists(field: str, value: str, items: tuple[str, ...]) -> None:
    """Numbers stay as they were written; texts become lists where they are lists."""
    entry = read_one(f'{{"name": "A", "ablated_part": "p", "action": "ADD", "{field}": {value}}}').ablations[0]
    assert (entry.metrics if field == "metrics" else entry.replacements) == items


@pytest.mark.parametrize("gold", [False, True])
def test_an_unknown_action_is_an_error_of_its_entry(gold: bool) -> None:
    """The entry stays, and the message names the nearest action, in plans and in gold."""
    plan = read_one(f"[{A},\n{A.replace('REMOVE', 'Repalce')}]", gold=gold)
    assert [entry.action for entry in plan.ablations] == [Action.REMOVE, None]
    (found,) = [item for item in plan.diagnostics if item.code == "unknown-action"]
    assert (found.severity, found.path, found.line) == ("error", "plan", 2)
    assert found.message == "expected REMOVE, REPLACE or ADD, found 'Repalce'; did you mean REPLACE?"


def test_no_entries_says_what_was_seen_and_what_is_read() -> None:
    plan = read_one("## Ablation Plan\n\nWe would look into the gate.\n\n## Notes\n")
    (found,) = [item for item in plan.diagnostics if item.severity == "error"]
    assert "seen: markdown headings of 11 words" in found.message
    assert "read are JSON or YAML lists" in found.message


@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "date: 2024\nauthor: me\n",
            "[entry-without-content] expected a name and an ablated part, found 'date', 'author'",
        ),
        ('{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}', "found 'a', 'b', 'c', 'd' and 2 more"),
        ('[{"action": "REMOVE"}]', "found 'action'"),
        ("[{}]", "found neither"),
        ('{"name": "", "ablated_part": " "}', "found neither"),
        ('{"ablations": [7]}', "[not-an-entry] expected an entry with a name"),
        ("a: b\n- c\n", "[entry-unreadable] expected a YAML entry"),
    ],
)
def test_one_thing_that_is_no_entry_is_one_finding(text: str, found: str, gold: bool) -> None:
    """Its error names what stands there, and says what was seen and what is read; no second one says it again."""
    (item,) = read_one(text, gold=gold).diagnostics
    assert found in f"[{item.code}] {item.message}"
    assert ("; seen: " in item.message, item.severity) == (True, "error")


def test_several_things_that_are_no_entries_are_an_error_each() -> None:
    """And one more of the plan, which says what was seen."""
    plan = read_one('[{"a": 1},\n{"b": 2}]')
    assert reports(plan) == {("entry-without-content", 1), ("entry-without-content", 2), ("no-entries", 1)}
    assert ["; seen: " in item.message for item in plan.diagnostics if item.code != "no-entries"] == [False, False]


def test_two_shapes_in_one_document_say_which_was_read() -> None:
    """One block of fields and two objects: the objects are more, and the document says so."""
    plan = read_one(markdown(f"### C\n- **Part**: r\n- **Action**: REMOVE\n\n[{A},\n{B}]"))
    assert plan.ablations == (ENTRY_A, ENTRY_B)
    (found,) = [item for item in plan.diagnostics if item.code == "several-shapes"]
    assert found.message.endswith("found 2 as JSON and 1 as blocks of fields; read the JSON")


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        (["移除门控机制", "替换学习率调度", "gate"], "the script of '移'"),
        (["удалить механизм внимания"], "the script of 'у'"),
        (["der Mechanismus der Aufmerksamkeit", "die Lernrate ohne Aufwärmen"], "German"),
        (["le mécanisme de l'attention", "sans les couches du décodeur"], "French"),
        (["λ and β of the loss", "γ"], None),
        (["les Miserables data set", "El Niño index"], None),
        (["Swin-T on COCO", "LayerNorm", "ε-greedy"], None),
    ],
)
def test_entries_that_are_not_in_english_get_a_warning(parts: list[str], shown: str | None) -> None:
    plan = read_one(json.dumps([{"name": part, "part": part, "action": "REMOVE"} for part in parts]))
    found = [item.message for item in plan.diagnostics if item.code == "other-language"]
    assert found == ([f"expected entries in English, found {shown}; they hardly match English ones"] if shown else [])


# One bad entry.


@pytest.mark.parametrize(
    "bad",
    [
        '{"name": "C", "ablated_part": "z',
        '{"name": "C", "ablated_part": "z, "action": "REMOVE"}',
        '{"name": "C", "metrics": ["a", "b"',
        '{"name": "C", "metrics": ["a", "b',
        '{"name": "C" "ablated_part" "z"}',
        '{"name": "C", "ablated_part"',
        "{'name': 'C",
        '{"name": C}}}]',
        '{"name": {"name": {"name": "C"',
        '"name": "C", "ablated_part": "z"}',
        "{}",
        '{"colour": "red"}',
        '{"a":' * 100,
        "not JSON at all",
    ],
)
def test_a_bad_row_keeps_to_itself(bad: str) -> None:
    """Whatever a row does wrong, the rows before and after it are read whole, and it is reported."""
    plan = read_one(f"{A}\n{bad}\n{B}\n")
    assert plan.ablations[0] == ENTRY_A
    assert plan.ablations[-1] == ENTRY_B
    assert plan.diagnostics
    assert {diagnostic.line for diagnostic in plan.diagnostics} <= {2}


@pytest.mark.parametrize("bad", ['"text"', "5", "null", "{}", "[1]", '{"colour": "red"}'])
def test_what_is_no_entry_is_an_error(bad: str) -> None:
    """Left out is an error with a line, in a list as well."""
    plan = read_one(f"[{A},\n{bad},\n{B}]")
    assert plan.ablations == (ENTRY_A, ENTRY_B)
    assert [diagnostic.line for diagnostic in plan.diagnostics if diagnostic.severity == "error"] == [2]


# Arrangements of data.

CHOICES = {"choices": [{"message": {"content": f"<predictions>\n{A}\n</predictions>"}}]}
TINY = "[{name: A, ablated_part: p}]"
ARRANGEMENTS = {
    "list": (f"[{A}, {B}]", [("paper", 2)]),
    "rows": (f"{A}\n{B}", [("paper", 2)]),
    "one entry": (A, [("paper", 1)]),
    "object with a list": (f'{{"paper": "x", "title": "T", "ablations": [{A}]}}', [("x", 1)]),
    "object of entries": (f'{{"ablations": {{"A": {A}}}}}', [("paper", 1)]),
    "papers": (f'{{"x": [{A}], "y": {{"ablations": [{B}], "cost": 1}}, "z": []}}', [("x", 1), ("y", 1), ("z", 0)]),
    "list of plans": (f'[{{"paper": "x", "plan": [{A}]}},\n {{"paper": "y", "entries": [{B}]}}]', [("x", 1), ("y", 1)]),
    "rows of papers": ("\n".join(f'{{"paper": "{x}", {A[1:]}' for x in "xyx"), [("x", 2), ("y", 1)]),
    "plans": (f'{{"plans": [{{"paper": "x", "ablations": [{A}]}}]}}', [("x", 1)]),
    "kept completion": (json.dumps(CHOICES), [("paper", 1)]),
    "kept completions of papers": (
        "\n".join(json.dumps({"paper": x, "model": "m", **CHOICES}) for x in "xyx"), [("x", 2), ("y", 1)]
    ),
    "results of a batch": (
        "\n".join(json.dumps({"id": f"batch_{x}", "custom_id": x, "response": {"body": CHOICES}}) for x in "xy"),
        [("x", 1), ("y", 1)],
    ),
    "results of promptfoo": (
        json.dumps({"results": {"results": [{"vars": {"paper": x}, "response": {"output": f"[{A}]"}} for x in "xy"]}}),
        [("x", 1), ("y", 1)],
    ),
    "records of outputs": (
        "\n".join(json.dumps({"paper": x, "output": out}) for x, out in (("x", f"[{A}, {B}]"), ("y", ""))),
        [("x", 2), ("y", 0)],
    ),
    "yaml papers": ("x:\n- name: A\n  ablated_part: p\ny:\n- name: B\n  ablated_part: p\n", [("x", 1), ("y", 1)]),
    "yaml stream": (f"paper: x\nablations: {TINY}\n---\npaper: y\nablations: {TINY}\n", [("x", 1), ("y", 1)]),
    "trajectories": (
        markdown("### A\n- **Part**: p\n") + "\n# d/e/f\n## Ablation Plan\n### B\n- **Part**: q\n", [("c", 1), ("f", 1)]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ARRANGEMENTS.values(), ids=ARRANGEMENTS.keys())
def test_one_document_one_plan_or_many(text: str, expected: list[tuple[str, int]]) -> None:
    """Papers come from the data, else from the path; nothing is lost between arrangements."""
    assert [(plan.paper, len(plan.ablations)) for plan in read(text)] == expected


def completion(*texts: str | None, **more: object) -> dict[str, object]:
    choices = [{"index": i, "message": {"role": "assistant", "content": text}} for i, text in enumerate(texts)]
    return {"object": "chat.completion", "choices": choices, **more}


SEVERAL_ANSWERS = {
    "choices": (json.dumps(completion(f"[{A}]", f"[{B}]")), [ENTRY_A], "found 2 to choose from; the first was read"),
    "rows": ("\n".join(json.dumps(completion(f"[{x}]")) for x in (A, B)), [ENTRY_A, ENTRY_B], "found 2; their entries"),
    "a list": (json.dumps([completion(f"[{x}]") for x in (A, B)]), [ENTRY_A, ENTRY_B], "found 2; their entries"),
    "Gemini": (
        json.dumps({"candidates": [{"content": {"parts": [{"text": f"[{x}]"}], "role": "model"}} for x in (A, B)]}),
        [ENTRY_A], "found 2 to choose from",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "entries", "message"), SEVERAL_ANSWERS.values(), ids=SEVERAL_ANSWERS.keys())
def test_several_answers_are_a_warning(text: str, entries: list[Ablation], message: str) -> None:
    plan = read_one(text)
    assert list(plan.ablations) == entries
    (finding,) = (item for item in plan.diagnostics if item.code == "several-answers")
    assert finding.severity == "warning"
    assert message in finding.message
    assert "samples have files of their own" in finding.message


@pytest.mark.parametrize("text", [
    json.dumps(completion(f"[{A}]")),
    json.dumps([{"role": "user", "content": "Plan."}, {"role": "assistant", "content": f"[{A}]"}]),
    "\n".join(json.dumps(completion(f"[{A}]", paper=paper)) for paper in "xy"),
    "\n".join(json.dumps(completion(json.dumps({"paper": paper, "ablations": [json.loads(A)]}))) for paper in "xy"),
])  # fmt: skip
def test_one_answer_a_paper_is_no_warning(text: str) -> None:
    plans = read(text)
    assert not [item for plan in plans for item in plan.diagnostics if item.code == "several-answers"]


def test_planner_sample_and_trace_are_kept() -> None:
    """What belongs to a plan as a whole stays with it; the document goes before its path."""
    plan = read_one(f'{{"planner": "x/y", "sample": 3, "discussion": "why", "ablations": [{A}]}}')
    assert (plan.planner, plan.paper, plan.sample, plan.trace) == ("x/y", "paper", "3", "why")


def test_nobody_knows_whose_plan_it_is() -> None:
    """Without a paper it can not be scored, without a planner it is anonymous."""
    (plan,) = parse_document(Document("-", f"[{A}]"))
    assert {(d.code, d.severity) for d in plan.diagnostics} == {("no-paper", "error"), ("no-planner", "warning")}


def test_gold_may_leave_things_out() -> None:
    """Gold has no planner, and only a name or a part is asked of its entries."""
    text = '[{"name": "A", "ablated_part": "p"}, {"ablated_part": "q", "action": null}]'
    plan = read_one(text, gold=True)
    assert plan.planner is None
    assert plan.ablations == (Ablation("A", "p"), Ablation("q", "q"))
    assert {diagnostic.code for diagnostic in plan.diagnostics} == {"name-missing"}
    assert {"action-missing", "metrics-missing"} <= {diagnostic.code for diagnostic in read_one(text).diagnostics}


def test_repetitions_are_named() -> None:
    """A repeated entry, and two entries of one name, on one line or on several."""
    other = A.replace('"p"', '"another"')
    assert reports(read_one(f"[{A},\n{A},\n{other}]")) == {("duplicate-entry", 2), ("duplicate-name", 3)}
    assert reports(read_one(f"[{A}, {A}]", gold=True)) == {("duplicate-entry", 1)}


@pytest.mark.parametrize(("gold", "severity"), [(False, "error"), (True, "warning")])
def test_no_entries(gold: bool, severity: str) -> None:
    """An empty plan is an error, a gold paper without entries a warning."""
    plan = read_one("[]", gold=gold)
    assert [(d.code, d.severity) for d in plan.diagnostics] == [("no-entries", severity)]


@pytest.mark.parametrize(
    ("text", "code"), [("", "empty-document"), (" \n\t", "empty-document"), ("Dear sir or madam", "not-recognised")]
)
def test_what_is_no_plan(text: str, code: str) -> None:
    """There is always a plan to hang the reason on."""
    plan = read_one(text)
    assert (plan.paper, plan.planner, plan.ablations) == ("paper", "team/model", ())
    assert [(d.code, d.severity) for d in plan.diagnostics] == [(code, "error")]


# Actions and markdown.


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("REMOVE", Action.REMOVE), ("Removed", Action.REMOVE), ("drop", Action.REMOVE), ("without", Action.REMOVE),
        ("turn off", Action.REMOVE), ("REPLACE", Action.REPLACE), ("Substitute with", Action.REPLACE),
        ("vary", Action.REPLACE), ("swap", Action.REPLACE), ("add", Action.ADD), ("Insert", Action.ADD),
        ("remove or replace", None), ("not removed", None),
    ],
)  # fmt: skip
def test_actions(word: str, action: Action | None) -> None:
    """Synonyms are read, the doubtful stays unspecified with a warning."""
    plan = read_one(A.replace("REMOVE", word))
    assert plan.ablations[0].action is action
    severities = {d.severity for d in plan.diagnostics if d.code.startswith("action")}
    assert severities == (set() if word in Action.__members__ else {"note"} if action else {"warning"})


# Fields of ENTRY_A and ENTRY_B in other hands: "|" ends a line.
MARKDOWN = {
    "colon inside": ("### A|* **Ablated Part:** p|* **Action:** REMOVE|* **Metrics:** m", ENTRY_A),
    "numbered": ("### A|1. **Ablated Part**: p|2. **Action**: `REMOVE`|3. **Metrics**:|   - m", ENTRY_A),
    "no bullets": ("### **A**|**Component**: p|**Action**: REMOVE|**Metrics**: m", ENTRY_A),
    "no bold": ("### A|- Ablated Part: p|- Action: REMOVE|- Metrics: m", ENTRY_A),
    "level four": ("#### A|- **Part**: p|- **Action**: REMOVE|- **Metrics**: m", ENTRY_A),
    "name as field": ("- **Name**: A|- **Part**: p|- **Action**: REMOVE|- **Metrics**: m", ENTRY_A),
    "grouped": ("### Group|#### A|- **Part**: p|- **Action**: REMOVE|- **Metrics**: m", ENTRY_A),
    "inline options": ("### B|- **Part**: q|- **Action**: REPLACE|- **Replacement**: x, y|- **Metrics**: m", ENTRY_B),
    "semicolons": ("### B|- **Part**: q|- **Action**: REPLACE|- **Replacement**: x; y|- **Metrics**: m", ENTRY_B),
    "flat options": ("### B|- **Part**: q|- **Action**: REPLACE|- **Options**:|- x|- y|- **Metrics**: m", ENTRY_B),
    "stars and gaps": (
        "### B|- **Part**: q|- **Action**: REPLACE|- **Options**:|    * x||    * y|- **Metrics**: m",
        ENTRY_B,
    ),
    "a sentence is one option": (
        "### C|- **Part**: q|- **Action**: REPLACE|- **Options**: a very long sentence on one thing, and its reason",
        Ablation("C", "q", Action.REPLACE, ("a very long sentence on one thing, and its reason",)),
    ),
    "options that look like fields": (
        "### C|- **Part**: q|- **Action**: ADD|- **Replacement**:|  - Action: none|  - **Metrics**: as before",
        Ablation("C", "q", Action.ADD, ("Action: none", "**Metrics**: as before")),
    ),
    "entities": ("### C|- **Part**: a &lt; b &amp; c|- **Action**: REMOVE", Ablation("C", "a < b & c", Action.REMOVE)),
    "a part over lines": ("### C|- **Part**: one|  two|- **Action**: REMOVE", Ablation("C", "one two", Action.REMOVE)),
}


@pytest.mark.parametrize(("entries", "expected"), MARKDOWN.values(), ids=MARKDOWN.keys())
def test_markdown_in_many_hands(entries: str, expected: Ablation) -> None:
    """A dozen ways to write down the same entry."""
    plan = read_one(markdown(entries.replace("|", "\n") + "\n"))
    assert (plan.planner, plan.paper) == ("a/b", "c")
    assert plan.ablations == (expected,)
    assert "error" not in {diagnostic.severity for diagnostic in plan.diagnostics}


def test_a_heading_without_fields_is_left_out() -> None:
    """Prose where an entry belongs is an error with its line; the entries around it are read."""
    entry = "### {}\n- **Ablated Part**: p\n- **Action**: REMOVE\n- **Metrics**: m\n\n"
    plan = read_one(markdown(entry.format("A") + "### Prose\nJust words.\n\n" + entry.format("A2")))
    assert [entry.name for entry in plan.ablations] == ["A", "A2"]
    assert {("entry-unreadable", 10), ("unread-line", 11)} == reports(plan)


@pytest.mark.parametrize("second", ["2. **Second**", "**Second**", "", "- **Name**: Second"])
def test_entries_without_headings(second: str) -> None:
    """Numbered, bold or bare: where a second part begins, a second entry begins."""
    fields = "   - **Ablated Part**: {}\n   - **Action**: REMOVE\n   - **Metrics**: m\n"
    plan = read_one(markdown("1. **First**\n" + fields.format("p") + f"{second}\n" + fields.format("q")))
    assert [entry.name for entry in plan.ablations] == ["First", "Second" if second else "q"]
    assert [entry.part for entry in plan.ablations] == ["p", "q"]


def test_a_title_with_a_slash_is_no_name() -> None:
    """Only one word with a slash names planner and paper."""
    plan = read_one("# Input/output ablations\n\n## Ablation Plan\n\n### A\n- **Part**: p\n")
    assert (plan.planner, plan.paper) == ("team/model", "paper")


def test_a_reply_in_markdown_or_yaml() -> None:
    """Predictions need not be JSON."""
    entry = "### A\n- **Ablated Part**: p\n- **Action**: REMOVE\n- **Metrics**: m\n"
    tagged = read_one(f"<discussion>why</discussion>\n<predictions>\n{entry}</predictions>")
    assert (tagged.ablations, tagged.trace) == ((ENTRY_A,), "why")
    fenced = "Here it is:\n\n```yaml\n- name: A\n  ablated_part: p\n  action: REMOVE\n  metrics: [m]\n```\nBye."
    assert read_one(fenced).ablations == (ENTRY_A,)


# Formats: recognising, writing, and back.


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_recognises_its_fixture(name: str) -> None:
    """By content: nobody says what the file is called."""
    (path,) = FIXTURES.glob(f"{name}[-.]*")
    recognised = recognise(path.read_text(encoding="utf-8"))
    assert recognised is not None
    assert recognised.name == name


def test_files_of_every_format_are_discovered(tmp_path: Path) -> None:
    """A format's row names its suffixes, and nothing else has to know them."""
    suffixes = {suffix for format_ in FORMATS.values() for suffix in format_.suffixes}
    for suffix in suffixes:
        (tmp_path / f"x{suffix}").write_text(A, encoding="utf-8")
    assert {Path(item.path).suffix for item in documents(tmp_path, planners=True)} == suffixes


def test_unknown_formats_are_the_callers_mistake() -> None:
    """The message names what there is."""
    with pytest.raises(InputError, match="trajectory"):
        write_plans([], "toml")
    with pytest.raises(InputError, match="cannot be written"):
        write_plans([], "reply")
    with pytest.raises(InputError, match="no such format"):
        parse_document(Document("x", A), format_name="toml")


NASTY = st.sampled_from(
    ["### Forged", "## Ablation Plan", "- **Action**: ADD", "**bold**", "# a/b", "</div>", "<h2>Ablation Plan</h2>",
     "&lt;", "&amp;", "a, b (c)", "(", "]", "\n", "\nu x", "\tau", "\\beta", "|", "`", "```", "'", '"', "“", '": "',
     "{", "null", "~", "001", "- ", "* ", "1. ", ": ", " #", "<predictions>", "δ", "🧠", "\u2028", "name: x", "//",
     "<!-- sample: x -->", "Metrics:"]
)  # fmt: skip


def _is_clean(text: str) -> bool:
    return bool(text) and text == text.strip() and repair(text) == (text, ())


texts = st.lists(NASTY | st.text(max_size=6), min_size=1, max_size=4).map(lambda p: repair("".join(p))[0].strip())
clean = texts.filter(_is_clean)
lists = st.lists(clean, max_size=3).map(tuple)
entries = st.builds(
    Ablation, name=clean, part=clean, action=st.none() | st.sampled_from(Action), replacements=lists, metrics=lists,
    draft=st.booleans(), source=st.just("") | clean,
)  # fmt: skip
plans = st.builds(
    Plan,
    paper=clean,
    planner=st.none() | clean,
    ablations=st.lists(entries, max_size=3).map(tuple),
    trace=st.just("") | clean,
    sample=st.just("") | clean,
    about=st.dictionaries(st.sampled_from(sorted(ABOUT.values())), clean, max_size=3).map(
        lambda about: (*about.items(),)
    ),
)
several = st.lists(plans, min_size=1, max_size=3, unique_by=lambda plan: (plan.paper, plan.planner, plan.sample))


def content(plan: Plan, form: str) -> tuple[object, ...]:
    # Entries are equal whether they are drafts or not, and wherever they were taken from.
    fields = (
        plan.paper,
        plan.planner,
        plan.ablations,
        [entry.draft for entry in plan.ablations],
        plan.trace,
        plan.sample,
    )
    beside = [entry.source for entry in plan.ablations], dict(plan.about)
    return fields if form == "trajectory" else (*fields, *beside)  # markdown has no place for that


@pytest.mark.parametrize("name", [name for name, format_ in FORMATS.items() if format_.write])
@given(written=several)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(name: str, written: list[Plan]) -> None:
    """Every clean text (repaired, stripped, not empty) comes back character by character, and forges no structure."""
    document = Document("-", write_plans(written, name))
    again = parse_document(document)
    assert [content(plan, name) for plan in again] == [content(plan, name) for plan in written]
    assert not [d for plan in again for d in plan.diagnostics if d.severity == "note"]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | clean
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(clean, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(st.sampled_from("abc"), trees, max_size=3), st.sampled_from([None, 1]), st.booleans())
@settings(deadline=None)
def test_strict_json_is_read_to_the_letter(tree: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    """What is valid JSON gives the standard library's values, numbers as text, and not a word about it."""
    text = unambiguous(json.dumps(tree, indent=indent, ensure_ascii=ascii_only))
    reported: list[object] = []
    nodes = read_values(text, lambda *diagnostic: reported.append(diagnostic))
    assert [_plain(node) for node in nodes] == [_as_text(json.loads(text, parse_int=str, parse_float=str))]
    assert not reported


def _plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: _plain(value) for key, value in node.value.items()}
    return [_plain(item) for item in node.value] if isinstance(node.value, tuple) else node.value


def _as_text(value: object) -> object:
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


# Hostile input.

FRAGMENTS = [
    "{", "}", "[", "]", '"', "'", ",", ":", "\\", "\n", "- ", "  ", "### x", "**Action**: ", "name: ", "```", "#", "*a",
    "|", "&a", "<predictions>", '"name": "x"', A, "Î´", "\t", "/*", "---", "&#0;", "\ud800", "## Ablation Plan\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=30).map("".join), st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_content_raises(text: str, gold: bool) -> None:
    """Whatever a document holds, there is at least one plan, and every diagnostic has a code that is explained."""
    read_plans = read(text, gold=gold)
    assert read_plans
    assert all(diagnostic.code in CODES for plan in read_plans for diagnostic in plan.diagnostics)
    assert all(entry.name and entry.part for plan in read_plans for entry in plan.ablations)


BOMB = 'a: &a ["x","x","x","x","x","x","x","x","x"]\n' + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
HOSTILE = {
    "deep list": ("[" * 100_000, "too-deep"),
    "deep object": ('{"a":' * 100_000, "too-deep"),
    "deep yaml": ("name: " + "[" * 100_000, "too-deep"),
    "deep yaml items": ("name: x\nablations:\n " + "- " * 100_000, "too-deep"),
    "yaml bomb": ("name: x\n" + BOMB, "yaml-aliases"),
    "yaml eats itself": ("name: &a [*a]\n", "yaml-aliases"),
    "quadratic quotes": ('["' + 'a"b" ' * 20_000, "inner-quotes"),
    "backslashes": ('{"name": "' + "\\" * 100_000, "truncated"),
    "open comments": ("[" + "/* " * 30_000, "json-comment"),
    "open objects": ("[" + "{" * 20_000, "more-of-the-kind"),
    "open brackets": (markdown("### A\n- **Metrics**: " + "(a, " * 25_000), "part-missing"),
    "a field that never ends": (markdown("### A\n- **Part**: x\n" + "a:\n" * 30_000), "action-missing"),
    "many entries": (f"[{','.join([A] * 1500)}]", "duplicate-entry"),
}


@pytest.mark.parametrize(("text", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_input_is_reported(text: str, code: str) -> None:
    """A hundred thousand characters of anything end in a diagnostic; test_fuzz_bounds.py bounds what they cost."""
    plan = read_one(text)
    assert code in {diagnostic.code for diagnostic in plan.diagnostics}
    assert len(plan.diagnostics) < 2500


def test_yaml_builds_nothing_but_data() -> None:
    """A tag is no order to build an object."""
    plan = read_one('- name: !!python/object/apply:os.system ["true"]\n  ablated_part: p\n', gold=True)
    assert plan.ablations == (Ablation("true", "p"),)


def test_small_aliases_are_read() -> None:
    """Ordinary anchors, aliases and merge keys are data like any other."""
    text = (
        "- &a\n  name: A\n  ablated_part: p\n  action: REMOVE\n  metrics: &m [m]\n- <<: *a\n  name: C\n  metrics: *m\n"
    )
    assert read_one(text).ablations == (ENTRY_A, Ablation("C", "p", Action.REMOVE, (), ("m",)))


def test_importing_is_light() -> None:
    """The formats' libraries load when a document needs them."""
    heavy = "{'ftfy', 'yaml', 'json_repair', 'markdown_it', 'pandas', 'numpy', 'torch'}"
    code = f"import sys, evalkit.formats; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_codes_explain_themselves() -> None:
    """One sentence each, for the documentation."""
    assert all(code.meaning.endswith(".") and "\n" not in code.meaning for code in CODES.values())


# The real thing.


def _documents(pattern: str) -> list[Document]:
    paths = sorted(SHARED.glob(pattern))
    return [Document(str(path), path.read_bytes().decode("utf-8"), "from/path", path.stem) for path in paths]


@shared
def test_the_seeds() -> None:
    """Five documents, ten entries, Greek letters repaired, names from the headings, no error."""
    read_plans = [plan for document in _documents("seeds/*.txt") for plan in parse_document(document)]
    assert [len(plan.ablations) for plan in read_plans] == [2, 2, 2, 2, 2]
    assert Counter(plan.planner for plan in read_plans) == {"lm-planner/gpt-4o": 3, "lm-planner/claude-3.5-sonnet": 2}
    assert read_plans[0].paper == "Cross_Task_Gradient_Harmonization_for_Meta_Learning"
    assert all(plan.trace for plan in read_plans)
    parts = [entry.part for plan in read_plans for entry in plan.ablations]
    assert "margin threshold (δ) in intra-class contrastive learning" in parts
    assert "balance parameter (λ) in the loss function" in parts
    assert {(d.severity, d.code) for plan in read_plans for d in plan.diagnostics} == {("note", "mojibake")}


@shared
def test_all_trajectories() -> None:
    """Every `###` line of 1,776 documents is an entry, without an error or a repair."""
    documents = _documents("trajectories/**/*.md")
    headings = sum(line.startswith("### ") for document in documents for line in document.text.split("\n"))
    read_plans = [plan for document in documents for plan in parse_document(document)]
    assert len(read_plans) == len(documents) == 1776
    assert sum(len(plan.ablations) for plan in read_plans) == headings == 4027
    assert {d.severity for plan in read_plans for d in plan.diagnostics} <= {"warning"}
    assert all(plan.paper == document.paper for plan, document in zip(read_plans, documents, strict=True))
