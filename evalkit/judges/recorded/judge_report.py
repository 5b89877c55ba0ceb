"""Say what a score by judgements rests on: what they leave open or get wrong, and how far the judges agree.

Agreement is by pairs of a gold entry and a plan entry (in the reviewer task, by plan entries), so it matters *which*
entry was matched. A unit is counted once however often a judge repeats itself, and what it did not rate is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evalkit.errors import InputError
from evalkit.judges.recorded.judgement_files import Judgement, names_in
from evalkit.metrics.agreement import cohen_kappa, krippendorff_alpha
from evalkit.text import normalise_id
from evalkit.types import Diagnostic, Plan

if TYPE_CHECKING:
    from evalkit.judges.recorded.voting import Judgements

JudgedPlans = list[tuple[Plan, Plan, list[Judgement | None]]]
UnitRatings = list[bool | None]
LISTED = 20


def judged_plans(judgements: Judgements, gold: Iterable[Plan], plans: Iterable[Plan]) -> JudgedPlans:
    """Return every plan with entries, its gold list, and what each judge has about it."""
    lists = {normalise_id(plan.paper): plan for plan in gold}
    pairs = [(lists[key], plan) for plan in plans if plan.ablations and (key := normalise_id(plan.paper)) in lists]
    return [(reference, plan, judgements.of_plan(reference, plan)) for reference, plan in pairs]


def unjudged_planners(judged: JudgedPlans) -> set[str]:
    """Return the planners none of whose plans was judged: their score would say nothing about them."""
    return {plan.planner or "" for _, plan, _ in judged} - {plan.planner or "" for _, plan, ones in judged if any(ones)}


def problems(judgements: Judgements, gold: Iterable[Plan], plans: Iterable[Plan]) -> list[Diagnostic]:
    """Return everything that a reader of the score must know about the judgements it rests on."""
    plans = list(plans)
    every = [one for judge in judgements.judges for one in judge.judgements]
    loose, planners = next((one for one in every if one.planner is None), None), {plan.planner for plan in plans}
    if len(planners) > 1 and loose:
        raise InputError(
            f"{loose.path}: does not say which of {len(planners)} planners it judges; expected <planner>/<paper>"
        )
    judged = judged_plans(judgements, gold, plans)
    unjudged = unjudged_planners(judged)
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
    for one in every:
        # Nothing is lost when an empty judgement is not used.
        if _identity(one) not in used and (one.author or one.reviewer or one.marks or one.sides):
            planner = f"of {one.planner!r} " if one.planner else ""
            what = "with the entries that were judged" if one.lists else "that is scored"
            message = f"there is no plan {planner}for {one.paper!r} {what}; its judgement is not used"
            result.append(Diagnostic("warning", "unused-judgement", message, one.path))
    return result


def _identity(judgement: Judgement) -> tuple[object, ...]:
    """Return what tells a judgement from the others, whichever way round it was read."""
    return tuple(getattr(judgement, name) for name in ("path", "planner", "paper", "sample", "lists", "marks"))


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


def agreement(judgements: Judgements, work: Iterable[tuple[Plan, Plan]]) -> dict[str, Any]:
    """Return per judge what it said, per two judges how they compare, over all of them Krippendorff's alpha."""
    columns: list[UnitRatings] = [[] for _ in judgements.judges]
    plans = unjudged = 0
    for gold, plan in work:
        plans += bool(plan.ablations)
        unjudged += bool(plan.ablations) and not any(judgements.of_plan(gold, plan))
        for column, ratings in zip(columns, judgements.ratings(gold, plan), strict=True):
            units = zip(ratings.full.flat, ratings.rated.flat, strict=True)
            column.extend(bool(full) if rated else None for full, rated in units)
    named = dict(zip(judgements.names, columns, strict=True))
    return {
        "plans": plans,
        "unjudged": unjudged,
        "pairs": len(columns[0]),
        "judges": {
            name: {"rated": len(column) - column.count(None), "matched": column.count(True)}
            for name, column in named.items()
        },
        "compared": [{"judge": a, "against": b, **compare(named[a], named[b])} for a, b in combinations(named, 2)],
        "krippendorff_alpha": krippendorff_alpha(zip(*columns, strict=True)) if len(columns) > 1 else None,
    }


def published(judgements: Judgements, work: Iterable[tuple[Plan, Plan]], top_k: int | None) -> dict[str, Any] | None:
    """Compare a judge's own `evaluations.json` with a recount of its rows; None where there is nothing to compare."""
    if len(judgements.judges) > 1:
        return None
    figures = {(name, normalise_id(paper)): own for (name, paper), own in judgements.judges[0].published.items()}
    compared, differing = 0, []
    for gold, plan in work:
        key = normalise_id(f"{plan.paper}.{plan.sample}" if plan.sample else plan.paper)
        own = next(filter(None, (figures.get((name, key)) for name in judgements.planner_names(plan))), None)
        if own is None:
            continue
        compat = judgements.compat(gold, plan, top_k)
        counted = {"precision": compat.tally.precision, "recall": compat.tally.recall, "f1_score": compat.tally.f1}
        counted["ndcg_score"] = compat.ndcg
        compared += 1
        differing += [
            {"planner": plan.planner, "paper": plan.paper, "figure": name, "published": value, "counted": counted[name]}
            for name, value in own.items()
            if abs((counted[name] or 0.0) - value) > 1e-9
        ]
    papers = {(item["planner"], item["paper"]) for item in differing}
    result = {"compared": compared, "equal": compared - len(papers), "differing": differing[:LISTED]}
    return result if compared else None


def compare(judge: UnitRatings, against: UnitRatings) -> dict[str, float | int | None]:
    """Compare one judge with another (or with people), over the units that both rated."""
    both = [(a, b) for a, b in zip(judge, against, strict=True) if a is not None and b is not None]
    hits, judged, wanted = both.count((True, True)), sum(a for a, _ in both), sum(b for _, b in both)
    return {
        "pairs": len(both),
        "both": hits,
        "judge_only": judged - hits,
        "against_only": wanted - hits,
        "precision": hits / judged if judged else None,
        "recall": hits / wanted if wanted else None,
        "f1": 2 * hits / (judged + wanted) if judged + wanted else None,
        "kappa": cohen_kappa(*zip(*both, strict=True)) if both else None,
    }
