"""Parsing under fuzz: damaged plans, inputs that fuzzing found, and bounds on time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import WRITABLE, damaged
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalkit.formats import CODES, FORMATS, parse_document, write_plans
from evalkit.types import Document, Plan

FOUND = Path(__file__).parent / "data" / "fuzz"


def read(text: str, *, gold: bool = False, name: str | None = None) -> tuple[Plan, ...]:
    return parse_document(Document("plan", text, "team/model", "paper"), gold=gold, format_name=name)


def check(plans: tuple[Plan, ...]) -> None:
    """What holds of any document: a plan at least, whole entries, findings that are explained."""
    assert plans
    assert all(entry.name and entry.part for plan in plans for entry in plan.ablations)
    assert all(finding.code in CODES for plan in plans for finding in plan.diagnostics)


def content(plan: Plan) -> tuple[object, ...]:
    return plan.paper, plan.planner, plan.ablations, plan.trace, plan.sample


def check_round_trip(plans: tuple[Plan, ...]) -> None:
    """Whatever came out of a document is written in every format and read again as it was."""
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
def test_a_format_that_is_forced_upon_a_text_reads_it_without_an_exception(text: str, name: str) -> None:
    check(read(text, name=name))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
@example('{"paper": "gate", "planner": "\xa0\x80ß", "trace": "gate", "ablations": []}\n')
def test_what_is_read_from_a_damaged_plan_can_be_written_and_read_again(text: str) -> None:
    check_round_trip(read(text))


@pytest.mark.parametrize("name", [None, *FORMATS])
@pytest.mark.parametrize("path", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_what_fuzzing_found_stays_mended(path: Path, name: str | None) -> None:
    plans = read(path.read_bytes().decode("utf-8", "surrogateescape"), name=name)
    check(plans)
    check_round_trip(plans)


def test_an_item_that_stands_deeper_than_what_follows_takes_nothing_along() -> None:
    """Broken YAML is read piece by piece; of the first two items only the field that is broken is lost."""
    (plan,) = read((FOUND / "yaml-items-deeper-than-what-follows.yaml").read_text(encoding="utf-8"), name="yaml")
    assert [(entry.name, entry.part) for entry in plan.ablations] == [("A", "x: y #"), ("B", "q")]
    assert ("entry-unreadable", 3) in {(finding.code, finding.line) for finding in plan.diagnostics}
