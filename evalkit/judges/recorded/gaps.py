"""What judgements leave open: takes Votes, gold and plans, gives diagnostics; no gap is silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evalkit.errors import InputError
from evalkit.judges.recorded.sheets import Sheet, names_in
from evalkit.judges.recorded.votes import Votes, place
from evalkit.text import normalise_id
from evalkit.types import Diagnostic, Plan

Judged = list[tuple[Plan, Plan, list[Sheet | None]]]


def problems(judgements: Votes, gold: Iterable[Plan], plans: Iterable[Plan]) -> list[Diagnostic]:
    """Everything that a reader of the score must know about the judgements it rests on."""
    given = list(plans)
    _check_planners(judgements, {plan.planner for plan in given})
    judged = _judged(judgements, gold, given)
    silent = _silent(judged)
    found = [item for judge in judgements.judges for item in judge.diagnostics]
    found += [_twin(sheet) for sheet in judgements.twins]
    found += [_left_out(planner) for planner in sorted(silent)]
    used: set[tuple[object, ...]] = set()
    for reference, plan, sheets in judged:
        used |= {_which(sheet) for sheet in sheets if sheet}
        if plan.planner not in silent:
            found += _gaps(judgements.names, plan, sheets)
        found += [item for sheet in sheets if sheet for item in _unknown_names(sheet, reference, plan)]
    everything = (sheet for judge in judgements.judges for sheet in judge.sheets)
    return found + [_idle(sheet) for sheet in everything if _which(sheet) not in used and _says_something(sheet)]


def silent_planners(judgements: Votes, gold: Iterable[Plan], plans: Iterable[Plan]) -> set[str]:
    """The planners with plans of whom not one was judged: their score would say nothing about them."""
    return _silent(_judged(judgements, gold, plans))


def _judged(judgements: Votes, gold: Iterable[Plan], plans: Iterable[Plan]) -> Judged:
    """Every plan with entries, its gold list, and what the judges have about it."""
    lists = {normalise_id(plan.paper): plan for plan in gold}
    pairs = [(lists[key], plan) for plan in plans if plan.ablations and (key := normalise_id(plan.paper)) in lists]
    return [(reference, plan, judgements.sheets(reference, plan)) for reference, plan in pairs]


def _silent(judged: Judged) -> set[str]:
    """Planners for whom no judge has any sheet."""
    heard = {plan.planner or "" for _, plan, sheets in judged if any(sheets)}
    return {plan.planner or "" for _, plan, _ in judged} - heard


def _says_something(sheet: Sheet) -> bool:
    """Whether anything is lost when a sheet is not used."""
    return bool(sheet.author or sheet.reviewer or sheet.marks or sheet.sides)


def _which(sheet: Sheet) -> tuple[object, ...]:
    """What tells a sheet from the others, whichever way round it was read."""
    return sheet.path, sheet.planner, sheet.paper, sheet.sample, sheet.lists, sheet.marks


def _check_planners(judgements: Votes, planners: set[str | None]) -> None:
    """Refuse judgements that could be about any of several planners."""
    loose = (sheet for judge in judgements.judges for sheet in judge.sheets if sheet.planner is None)
    if len(planners) > 1 and (sheet := next(loose, None)):
        said = f"{sheet.path}: does not say which of {len(planners)} planners it judges; expected <planner>/<paper>"
        raise InputError(said)


def _left_out(planner: str) -> Diagnostic:
    """Says that a planner was not judged."""
    said = f"no plan of {planner!r} was judged; the planner is left out, since a score would say nothing about it"
    return Diagnostic("error", "planner-not-judged", said)


def _twin(sheet: Sheet) -> Diagnostic:
    """Says that a plan was judged twice by one judge."""
    said = f"this judge has another judgement of {sheet.paper!r}; this one is not used"
    return Diagnostic("error", "duplicate-judgement", said, sheet.path)


def _idle(sheet: Sheet) -> Diagnostic:
    """Says that a judgement belongs to no plan that is scored."""
    whose = f"of {sheet.planner!r} " if sheet.planner else ""
    what = "with the entries that were judged" if sheet.lists else "that is scored"
    said = f"there is no plan {whose}for {sheet.paper!r} {what}; its judgement is not used"
    return Diagnostic("warning", "unused-judgement", said, sheet.path)


def _gaps(names: Sequence[str], plan: Plan, sheets: Sequence[Sheet | None]) -> Iterator[Diagnostic]:
    """Says which judges have nothing about a plan; when it is all of them, the score has a hole."""
    silent = [name for name, sheet in zip(names, sheets, strict=True) if sheet is None]
    what = f"the plan of {plan.planner!r} for {plan.paper!r}"
    if len(silent) == len(sheets):
        said = f"no judgement of {what}; every entry counts as unmatched, which says nothing about the plan"
        yield Diagnostic("error", "no-judgement", said, plan.path)
    elif silent:
        said = f"{what} was not judged by {', '.join(silent)}; they count as abstaining"
        yield Diagnostic("warning", "judge-abstained", said, plan.path)


def _unknown_names(sheet: Sheet, gold: Plan, plan: Plan) -> Iterator[Diagnostic]:
    """The names in a sheet that neither list has, and the gold entries that no row is about."""
    golds, plans = {entry.name for entry in gold.ablations}, {entry.name for entry in plan.ablations}
    found = [("gold", row.gold) for row in sheet.author if row.gold not in golds]
    named = [name for row in sheet.author for name in names_in(row.plan)]
    found += [("the plan", name) for name in (*named, *(row.plan for row in sheet.reviewer)) if name not in plans]
    if sheet.marks is not None:
        found += [("gold", mark.gold.name) for mark in sheet.marks if place(mark.gold, gold.ablations) is None]
        found += [("the plan", mark.plan.name) for mark in sheet.marks if place(mark.plan, plan.ablations) is None]
    for side, name in dict.fromkeys(found):
        said = f"{side} has no entry called {name!r} for {sheet.paper!r}; the judgement about it is not used"
        yield Diagnostic("error", "unknown-name", said, sheet.path)
    silent = golds - {row.gold for row in sheet.author} if sheet.marks is None and sheet.task == "author" else ()
    if silent:
        said = f"{len(silent)} of {len(golds)} gold entries of {sheet.paper!r} are in no row; they count as unmatched"
        yield Diagnostic("warning", "entry-not-judged", said, sheet.path)
