"""Parsing under fuzz: damaged plans, inputs that fuzzing found, and bounds on time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import WRITABLE, damaged
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalkit.formats import CODES, FORMATS, parse_document, write_plans
from evalkit.types import Ablation, Action, Document, Plan

FUZZED = Path(__file__).parent / "data" / "fuzz"


def read(text: str, *, gold: bool = False, name: str | None = None) -> tuple[Plan, ...]:
    return parse_document(Document("plan", text, "team/model", "paper"), gold=gold, format_name=name)


def check(plans: tuple[Plan, ...]) -> None:
    """Hold what is true of any document: a plan at least, whole entries, diagnostics that are explained."""
    assert plans
    assert all(entry.name and entry.part for plan in plans for entry in plan.ablations)
    assert all(diagnostic.code in CODES for plan in plans for diagnostic in plan.diagnostics)


def content(plan: Plan) -> tuple[object, ...]:
    return plan.paper, plan.planner, plan.ablations, plan.trace, plan.sample


def check_round_trip(plans: tuple[Plan, ...]) -> None:
    """Write what came out of a document in every format; it is read again as it was."""
    if len({(plan.paper, plan.planner, plan.sample) for plan in plans}) < len(plans):
        return
    for name in WRITABLE:
        again = parse_document(Document("plan", write_plans(plans, name)))
        assert [content(plan) for plan in again] == [content(plan) for plan in plans], name


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged(), st.booleans())
def test_damaged_plans_are_read_without_an_exception(text: str, gold: bool) -> None:
    check(read(text, gold=gold))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged(), st.sampled_from(sorted(FORMATS)))
def test_a_forced_format_reads_without_an_exception(text: str, name: str) -> None:
    check(read(text, name=name))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
@example('{"paper": "gate", "planner": "\xa0\x80ß", "trace": "gate", "ablations": []}\n')
def test_a_damaged_plan_survives_a_round_trip(text: str) -> None:
    check_round_trip(read(text))


@pytest.mark.parametrize("name", [None, *FORMATS])
@pytest.mark.parametrize("path", sorted(FUZZED.iterdir()), ids=lambda path: path.name)
def test_what_fuzzing_found_stays_mended(path: Path, name: str | None) -> None:
    plans = read(path.read_bytes().decode("utf-8", "surrogateescape"), name=name)
    check(plans)
    check_round_trip(plans)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Gate", "ablated_part": "gate"}',
        "{ablated_part: gate, name: Gate, action: REMOVE}",
        "{'ablations': [{'ablated_part': 'gate'}]}",
        '{\\"ablated_part\\": \\"gate\\", \\"name\\": \\"Gate\\"}',
        'a {"x": {"ablated_part": "gate"}} b',
    ],
)
def test_an_object_in_every_text_survives_a_round_trip(text: str) -> None:
    entry = Ablation(text, text, Action.REPLACE, (text, f"{text} twice"), (text,))
    plan = Plan("paper", "team/model", (entry,), trace=f"{text}\n{text}")
    for name in WRITABLE:
        (again,) = parse_document(Document("plan", write_plans([plan], name)))
        assert (again.ablations, again.trace) == (plan.ablations, plan.trace), name


def test_a_deeper_yaml_item_takes_nothing_along() -> None:
    """Broken YAML is read piece by piece; of the first two items only the field that is broken is lost."""
    (plan,) = read((FUZZED / "yaml-items-deeper-than-what-follows.yaml").read_text(encoding="utf-8"), name="yaml")
    assert [(entry.name, entry.part) for entry in plan.ablations] == [("A", "x: y #"), ("B", "q")]
    assert ("entry-unreadable", 3) in {(diagnostic.code, diagnostic.line) for diagnostic in plan.diagnostics}
