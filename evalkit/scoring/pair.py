"""Takes gold lists and plans in any order, gives the work to do: every gold paper with every planner's plan of it.

Plans may be given whole or as Slips, which say all that pairing must know of a plan that lies elsewhere.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.settings import Settings
from evalkit.storage.discovery import paper_name
from evalkit.text import normalise_id
from evalkit.types import Diagnostic, Plan, Portable


@dataclass(frozen=True, slots=True)
class Slip(Portable):
    """A plan put aside: `place` is where, `ablations` the hash of its entries, `said` of those that are scored."""

    paper: str
    planner: str | None
    ablations: str
    said: str
    diagnostics: tuple[Diagnostic, ...] = ()
    path: str = ""
    sample: str = ""
    place: tuple[int, int] | None = None


Given = TypeVar("Given", Plan, Slip)
Table = dict[str, dict[str, list[Given]]]


def packed(plan: Plan) -> bytes:
    """A plan as bytes, for a worker or for the spool of this run; never for a file that outlives it."""
    return pickle.dumps(replace(plan, about=()) if plan.about else plan, protocol=5)


def opened(content: bytes) -> Plan:
    """The plan that `packed` made these bytes of."""
    plan = pickle.loads(content)
    assert isinstance(plan, Plan)
    return plan


def gold_by_paper(plans: Iterable[Plan]) -> tuple[dict[str, Plan], list[Diagnostic]]:
    """Gold under normalised paper ids: the first list of a paper; one without entries cannot be scored."""
    gold: dict[str, Plan] = {}
    problems: list[Diagnostic] = []
    for plan in plans:
        key = normalise_id(plan.paper)
        if not plan.ablations:
            said = f"expected gold entries for {plan.paper!r}, found none; the paper is not scored"
            problems.append(Diagnostic("error", "no-gold", said, plan.path))
        elif key in gold:
            said = f"gold for {plan.paper!r} was given in {gold[key].path} already; this one is not used"
            problems.append(Diagnostic("error", "duplicate-gold", said, plan.path))
        else:
            gold[key] = plan
    return gold, problems


def plans_by_paper(plans: Iterable[Given], gold: Mapping[str, Plan]) -> tuple[Table[Given], list[Diagnostic]]:
    """Planner -> paper -> its plans (several only when they are different samples), and what found no place."""
    table: Table[Given] = {}
    problems: list[Diagnostic] = []
    for given in plans:
        plan = as_sample(given, gold)
        if plan.paper != given.paper:
            said = f"read as sample {plan.sample!r} of {plan.paper!r}, because gold knows no paper {given.paper!r}"
            problems.append(Diagnostic("note", "sample-in-name", said, plan.path))
        key, papers = normalise_id(plan.paper), table.setdefault(plan.planner or "", {})
        twin = next((other for other in papers.get(key, ()) if other.sample == plan.sample), None)
        if key not in gold:
            problems.append(_unknown_paper(plan, gold))
        elif twin is not None and plan.ablations and not twin.ablations:
            papers[key][papers[key].index(twin)] = plan
            problems.append(_twin(twin, plan))
        elif twin is not None:
            problems.append(_twin(plan, twin))
        else:
            papers.setdefault(key, []).append(plan)
    return table, problems


def _twin(plan: Given, first: Given) -> Diagnostic:
    """Says that a plan was read twice; no harm is done where both say the same, or this one nothing."""
    said = f"a plan of {plan.planner!r} for {plan.paper!r} was read from {first.path} already; this one is not used"
    if not plan.ablations or plan.ablations == first.ablations:
        return Diagnostic(
            "note", "repeats", f"{said}; it says {'the same' if plan.ablations else 'nothing'}", plan.path
        )
    return Diagnostic("error", "duplicate-plan", said, plan.path)


def as_sample(plan: Given, gold: Mapping[str, Plan]) -> Given:
    """A plan whose file is called `paper.2` as sample 2 of `paper`, if gold knows `paper`; others stay what they are.

    A paper that is itself called `name.5` is known to gold under that name, and so is never split.
    """
    stem = paper_name(plan.path) if plan.path else plan.paper
    match = re.fullmatch(r"(.+)\.(\d+)", stem)
    key = normalise_id(plan.paper)
    if plan.sample or match is None or normalise_id(match[1]) not in gold:
        return plan
    if key == normalise_id(match[1]):
        # The document itself says its paper; its file says which sample.
        return replace(plan, sample=match[2])
    if key in gold or key != normalise_id(stem):
        return plan
    return replace(plan, paper=gold[normalise_id(match[1])].paper, sample=match[2])


def _unknown_paper(plan: Plan | Slip, gold: Mapping[str, Plan]) -> Diagnostic:
    """Says that gold does not know a paper, and which of its papers have the most similar names."""
    from rapidfuzz import fuzz, process

    near = process.extract(normalise_id(plan.paper), list(gold), scorer=fuzz.ratio, limit=3, score_cutoff=60)
    listed = ", ".join(gold[key].paper for key, _, _ in near)
    said = f"gold does not know the paper {plan.paper!r}; the plan is not scored"
    return Diagnostic("warning", "unknown-paper", f"{said}; nearest: {listed}" if near else said, plan.path)


def jobs(gold: Mapping[str, Plan], table: Table[Plan], settings: Settings) -> Iterator[tuple[Plan, Plan]]:
    """Every gold paper with every planner's plan of it, cut to the entries that are scored."""
    for reference, plan in paired(gold, table, settings, _missing):
        yield reference, replace(plan, ablations=plan.ablations[: settings.top_k])


def paired(
    gold: Mapping[str, Plan], table: Table[Given], settings: Settings, missing: Callable[[str, str], Given]
) -> Iterator[tuple[Plan, Given]]:
    """Every gold paper with every planner's plan of it, in a fixed order; gold owns the denominator."""
    for planner in sorted(table):
        for key in sorted(gold):
            for plan in table[planner].get(key) or [missing(gold[key].paper, planner)]:
                if plan.ablations or settings.missing == "zero":
                    yield gold[key], plan


def _missing(paper: str, planner: str) -> Plan:
    """The empty plan of a planner that has none for a paper."""
    return Plan(paper, planner, (), (missing_plan(paper, planner),))


def missing_slip(paper: str, planner: str) -> Slip:
    """The slip of a planner that has no plan for a paper."""
    return Slip(paper, planner, "", "", (missing_plan(paper, planner),))


def missing_plan(paper: str, planner: str) -> Diagnostic:
    """Says that a planner has no plan for a paper."""
    said = f"{planner!r} has no plan for {paper!r}; it counts as an empty plan"
    return Diagnostic("warning", "missing-plan", said)
