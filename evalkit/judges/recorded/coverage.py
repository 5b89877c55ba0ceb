"""Say what judgements leave open: plans without any, names that neither list has, judgements of no plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from evalkit.errors import InputError
from evalkit.judges.recorded.records import Judgement, names_in
from evalkit.text import normalise_id
from evalkit.types import Diagnostic, Plan

if TYPE_CHECKING:
    from evalkit.judges.recorded.voting import Judgements

    JudgedPlans = list[tuple[Plan, Plan, list[Judgement | None]]]


def problems(judgements: Judgements, gold: Iterable[Plan], plans: Iterable[Plan]) -> list[Diagnostic]:
    """Return everything that a reader of the score must know about the judgements it rests on."""
    plans = list(plans)
    everything = [one for judge in judgements.judges for one in judge.judgements]
    _check_planners(everything, {plan.planner for plan in plans})
    judged = _judged_plans(judgements, gold, plans)
    unjudged = _without_judgement(judged)
    result = [item for judge in judgements.judges for item in judge.diagnostics]
    for one in judgements.duplicates:
        message = f"this judge has another judgement of {one.paper!r}; this one is not used"
        result.append(Diagnostic("error", "duplicate-judgement", message, one.path))
    for planner in sorted(unjudged):
        message = (
            f"no plan of {planner!r} was judged; the planner is left out, since a score would say nothing about it"
        )
        result.append(Diagnostic("error", "planner-not-judged", message))
    used: set[tuple[object, ...]] = set()
    for reference, plan, of_plan in judged:
        used |= {_identity(one) for one in of_plan if one}
        if plan.planner not in unjudged:
            result += _abstentions(judgements.names, plan, of_plan)
        result += [item for one in of_plan if one for item in _unknown_names(one, reference, plan)]
    return result + [_unused(one) for one in everything if _identity(one) not in used and _has_content(one)]


def unjudged_planners(judgements: Judgements, gold: Iterable[Plan], plans: Iterable[Plan]) -> set[str]:
    """Return the planners none of whose plans was judged: their score would say nothing about them."""
    return _without_judgement(_judged_plans(judgements, gold, plans))


def _judged_plans(judgements: Judgements, gold: Iterable[Plan], plans: Iterable[Plan]) -> JudgedPlans:
    """Return every plan with entries, its gold list, and what each judge has about it."""
    lists = {normalise_id(plan.paper): plan for plan in gold}
    pairs = [(lists[key], plan) for plan in plans if plan.ablations and (key := normalise_id(plan.paper)) in lists]
    return [(reference, plan, judgements.of_plan(reference, plan)) for reference, plan in pairs]


def _without_judgement(judged: JudgedPlans) -> set[str]:
    """Return the planners for whom no judge has any judgement."""
    return {plan.planner or "" for _, plan, _ in judged} - {plan.planner or "" for _, plan, ones in judged if any(ones)}


def _has_content(judgement: Judgement) -> bool:
    """Whether anything is lost when a judgement is not used."""
    return bool(judgement.author or judgement.reviewer or judgement.marks or judgement.sides)


def _identity(judgement: Judgement) -> tuple[object, ...]:
    """Return what tells a judgement from the others, whichever way round it was read."""
    return tuple(getattr(judgement, name) for name in ("path", "planner", "paper", "sample", "lists", "marks"))


def _check_planners(judgements: Iterable[Judgement], planners: set[str | None]) -> None:
    """Refuse judgements that could be about any of several planners."""
    loose = next((one for one in judgements if one.planner is None), None)
    if len(planners) > 1 and loose:
        raise InputError(
            f"{loose.path}: does not say which of {len(planners)} planners it judges; expected <planner>/<paper>"
        )


def _unused(judgement: Judgement) -> Diagnostic:
    """Say that a judgement belongs to no plan that is scored."""
    planner = f"of {judgement.planner!r} " if judgement.planner else ""
    what = "with the entries that were judged" if judgement.lists else "that is scored"
    message = f"there is no plan {planner}for {judgement.paper!r} {what}; its judgement is not used"
    return Diagnostic("warning", "unused-judgement", message, judgement.path)


def _abstentions(names: Sequence[str], plan: Plan, of_plan: Sequence[Judgement | None]) -> Iterator[Diagnostic]:
    """Say which judges have nothing about a plan; when it is all of them, the score has a hole."""
    absent = [name for name, one in zip(names, of_plan, strict=True) if one is None]
    what = f"the plan of {plan.planner!r} for {plan.paper!r}"
    if len(absent) == len(of_plan):
        message = f"no judgement of {what}; every entry counts as unmatched, which says nothing about the plan"
        yield Diagnostic("error", "no-judgement", message, plan.path)
    elif absent:
        message = f"{what} was not judged by {', '.join(absent)}; they count as abstaining"
        yield Diagnostic("warning", "judge-abstained", message, plan.path)


def _unknown_names(judgement: Judgement, gold: Plan, plan: Plan) -> Iterator[Diagnostic]:
    """Say which names in a judgement neither list has, and how many gold entries no row is about."""
    golds, plans = {entry.name for entry in gold.ablations}, {entry.name for entry in plan.ablations}
    unknown = [("gold", row.gold) for row in judgement.author if row.gold not in golds]
    named = [name for row in judgement.author for name in names_in(row.plan)]
    named += [row.plan for row in judgement.reviewer]
    unknown += [("the plan", name) for name in named if name not in plans]
    if judgement.marks is not None:
        marks = judgement.marks
        unknown += [("gold", mark.gold.name) for mark in marks if mark.gold.find(gold.ablations) is None]
        unknown += [("the plan", mark.plan.name) for mark in marks if mark.plan.find(plan.ablations) is None]
    for side, name in dict.fromkeys(unknown):
        message = f"{side} has no entry called {name!r} for {judgement.paper!r}; the judgement about it is not used"
        yield Diagnostic("error", "unknown-name", message, judgement.path)
    if judgement.marks is None and judgement.task == "author" and (rest := golds - {r.gold for r in judgement.author}):
        message = (
            f"{len(rest)} of {len(golds)} gold entries of {judgement.paper!r} are in no row; they count as unmatched"
        )
        yield Diagnostic("warning", "entry-not-judged", message, judgement.path)
