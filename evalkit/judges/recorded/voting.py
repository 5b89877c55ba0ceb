"""Decide pairs by what recorded judges said.

Several judges vote on each pair of a gold entry and a plan entry: it matches when more than half of all judges say so.
A judge without a judgement of a plan, or without a row about an entry, abstains there, and abstaining is no yes.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from evalkit.judges.recorded import judge_report
from evalkit.judges.recorded.judgement_files import Judgement, RecordedJudge, names_in
from evalkit.matching.assign import align
from evalkit.metrics import ablationbench
from evalkit.metrics.ablationbench import AuthorRow, ReviewerRow
from evalkit.settings import fingerprint
from evalkit.text import normalise_id
from evalkit.types import Alignment, CompatScore, Diagnostic, Pair, Plan, Thresholds

Flags = NDArray[np.bool_]


class Ratings(NamedTuple):
    """One judge on every pair `[gold, plan]`: full matches, pairs that share at least the part, and what was rated.

    In the reviewer task there is one row: whether any suggestion is hit, since which one is not said.
    """

    full: Flags
    part: Flags
    rated: Flags


class Judgements:
    """Recorded judges in the matcher's place; `digest` is the hash of everything they said."""

    def __init__(self, judges: Sequence[RecordedJudge]) -> None:
        self.judges = tuple(judges)
        names = [judge.name for judge in judges]
        self.names = tuple(
            f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name
            for index, name in enumerate(names)
        )
        self.name = self.names[0] if len(judges) == 1 else f"majority of {', '.join(self.names)}"
        contents = [sorted(fingerprint(astuple(replace(one, path=""))) for one in judge.judgements) for judge in judges]
        self.digest = fingerprint(sorted(contents))[:12]
        self.duplicates: list[Judgement] = []
        self._former_names: Mapping[tuple[str, str], Sequence[str]] = {}
        self._by_plan: tuple[dict[tuple[str | None, str, str | None], list[Judgement]], ...] = tuple({} for _ in judges)
        for judge, table in zip(self.judges, self._by_plan, strict=True):
            for one in judge.judgements:
                others = table.setdefault((one.planner, normalise_id(one.paper), one.sample), [])
                twin = next((other for other in others if other.lists == one.lists), None)
                if twin is None:
                    others.append(one)
                elif replace(twin, path="") != replace(one, path=""):
                    self.duplicates.append(one)

    def with_former_names(self, former: Mapping[tuple[str, str], Sequence[str]]) -> Self:
        """Return the same judgements for renamed planners: (path, planner) -> the names that judges may know."""
        other = copy.copy(self)
        other._former_names = former
        return other

    def planner_names(self, plan: Plan) -> tuple[str | None, ...]:
        """Return what judges may call a plan's planner: as its document did, as the run does, or not at all."""
        name = plan.planner or ""
        return (*self._former_names.get((plan.path, name), ()), name, None)

    def of_plan(self, gold: Plan, plan: Plan) -> list[Judgement | None]:
        """Return each judge's judgement of a plan against this gold list, None where there is none."""
        paper = normalise_id(plan.paper)
        # A judge's file of the second sample is called `paper.2`, as the plan's is.
        papers = [(paper, plan.sample), (normalise_id(f"{plan.paper}.{plan.sample}"), None), (paper, None)]
        keys = [(name, *key) for name in self.planner_names(plan) for key in papers]
        fitting = (
            next((one for key in keys for one in table.get(key, ()) if _fits(one, gold, plan)), None)
            for table in self._by_plan
        )
        return [one and one.oriented(gold, plan) for one in fitting]

    def task(self, gold: Plan, plan: Plan) -> str:
        """Return which of the benchmark's two tasks the judges of a plan were set."""
        judged = next(filter(None, self.of_plan(gold, plan)), None)
        return judged.task if judged else next((one.task for j in self.judges for one in j.judgements), "author")

    def ratings(self, gold: Plan, plan: Plan) -> list[Ratings]:
        """Return what each judge said about every pair."""
        task = self.task(gold, plan)
        return [_ratings(one, gold, plan, task) for one in self.of_plan(gold, plan)]

    def align(self, gold: Plan, plan: Plan, kind: str) -> Alignment:
        """Return the majority's alignment; probabilities are the shares of all judges who say so."""
        ratings, lists = self.ratings(gold, plan), (gold.ablations, plan.ablations)
        full, part = (np.stack([r[field] for r in ratings]).mean(axis=0, dtype=np.float64) for field in (0, 1))
        if self.task(gold, plan) == "reviewer":
            full = part = _hits_in_order(full[0], len(gold.ablations), self.majority)
        # No pair is borderline: the band of doubt lies above certainty.
        result = align(part, full, lists, Thresholds(self.majority, self.majority, 2.0, 2.0), kind)
        return replace(
            result,
            pairs=tuple(self._signed(pair, ratings) for pair in result.pairs),
            candidates=tuple(self._signed(pair, ratings) for pair in result.candidates if pair.part_probability > 0),
        )

    @property
    def majority(self) -> float:
        """The least share that is more than half of all judges (between two possible shares, so that none is on it)."""
        return 0.5 + 0.25 / len(self.judges)

    def _signed(self, pair: Pair, ratings: Sequence[Ratings]) -> Pair:
        """Return a pair with who decided it, and how each of several judges voted."""
        votes = []
        for name, one in zip(self.names, ratings, strict=True):
            cell = (pair.gold if len(one.full) > pair.gold else 0, pair.plan)
            vote = "yes" if one.full[cell] else "part" if one.part[cell] else "no"
            votes.append((f"{name}: {vote if one.rated[cell] else 'abstained'}", 1.0 if vote == "yes" else -1.0))
        return replace(pair, decided_by=self.name, evidence=tuple(votes) if len(votes) > 1 else ())

    def compat(self, gold: Plan, plan: Plan, top_k: int | None) -> CompatScore:
        """Return AblationBench's counts of the judges' rows as they were written, by its own vote for several."""
        judged = [one for one in self.of_plan(gold, plan) if one is not None]
        if self.task(gold, plan) == "reviewer":
            answers = [one.reviewer for one in judged]
            if len(self.judges) == 1:
                return ablationbench.score_reviewer(gold, plan, answers[0] if answers else (), top_k)
            vote = np.stack([one.full[0] for one in self.ratings(gold, plan)]).mean(axis=0) >= self.majority
            entries = [ReviewerRow(e.name, bool(v)) for e, v in zip(plan.ablations, vote, strict=True)]
            return ablationbench.score_reviewer(gold, plan, ablationbench.reviewer_vote(answers), top_k, entries)
        rows = [_author_rows(one, gold, plan) for one in judged]
        if len(self.judges) == 1:
            return ablationbench.score_author(gold, plan, rows[0] if rows else ())
        by_pairs = ablationbench.rows_of(gold, plan, self.align(gold, plan, "group"))
        return ablationbench.score_author(gold, plan, ablationbench.author_vote(rows), by_pairs)

    def problems(self, gold: Iterable[Plan], plans: Iterable[Plan]) -> list[Diagnostic]:
        """Return what is missing, unknown or unused, seen against all of gold and all (uncut) plans."""
        return judge_report.problems(self, gold, plans)

    def planners(self, gold: Iterable[Plan], plans: Iterable[Plan]) -> set[str]:
        """Return the planners that can be scored: one of their plans was judged, or they have no entries at all."""
        plans = list(plans)
        judged = judge_report.judged_plans(self, gold, plans)
        return {plan.planner or "" for plan in plans} - judge_report.unjudged_planners(judged)

    def report(self, work: Sequence[tuple[Plan, Plan]], top_k: int | None) -> dict[str, Any]:
        """Return who judged, how far they agree, and whether a recount gives the figures they published."""
        return {**judge_report.agreement(self, work), "published": judge_report.published(self, work, top_k)}


def _fits(judgement: Judgement, gold: Plan, plan: Plan) -> bool:
    """Return whether a judge who was shown known lists saw these: this gold, and at least the plan's uncut entries."""
    if judgement.lists is None:
        return True
    golds, plans = judgement.lists
    names = Counter(entry.name for entry in plan.ablations)
    return Counter(golds) == Counter(entry.name for entry in gold.ablations) and names <= Counter(plans)


def _ratings(judgement: Judgement | None, gold: Plan, plan: Plan, task: str) -> Ratings:
    """Return what one judgement says about every pair."""
    shape = (1 if task == "reviewer" else len(gold.ablations), len(plan.ablations))
    ratings = Ratings(*(np.zeros(shape, dtype=np.bool_) for _ in range(3)))
    if judgement is None:
        return ratings
    if judgement.marks is not None:
        ratings.rated[:] = True  # whoever marked pairs saw both lists
        for mark in judgement.marks:
            g, p = mark.gold.find(gold.ablations), mark.plan.find(plan.ablations)
            if g is not None and p is not None:
                row = 0 if task == "reviewer" else g
                ratings.part[row, p] = True
                ratings.full[row, p] |= mark.full
        return ratings
    indices: dict[str, list[int]] = {}
    for index, entry in enumerate(plan.ablations):
        indices.setdefault(entry.name, []).append(index)
    if task == "reviewer":
        # The n-th row of a name is about the n-th entry of it.
        for suggested in judgement.reviewer:
            if indices.get(suggested.plan):
                index = indices[suggested.plan].pop(0)
                ratings.rated[0, index] = True
                ratings.full[0, index] = ratings.part[0, index] = suggested.in_review
        return ratings
    # A gold name means every entry of that name, a plan name the first; a repetition stays alone.
    for listed in judgement.author:
        matched = [indices[name][0] for name in names_in(listed.plan) if name in indices]
        for g in (index for index, entry in enumerate(gold.ablations) if entry.name == listed.gold):
            ratings.rated[g] = True
            ratings.full[g, matched] = ratings.part[g, matched] = True
    return ratings


def _author_rows(judgement: Judgement, gold: Plan, plan: Plan) -> Sequence[AuthorRow]:
    """Return a judgement's rows; marked pairs become the rows that a judge would have written."""
    if judgement.marks is None:
        return judgement.author
    full = _ratings(judgement, gold, plan, "author").full.astype(np.float64)
    alignment = align(full, full, (gold.ablations, plan.ablations), Thresholds(0.5, 0.5, 2.0, 2.0), "group")
    return ablationbench.rows_of(gold, plan, alignment)


def _hits_in_order(shares: NDArray[np.float64], suggestions: int, least: float) -> NDArray[np.float64]:
    """Return the reviewer task's hits `[plan]` as pairs `[gold, plan]`: the n-th hit takes the n-th suggestion.

    Hits beyond the number of suggestions stand with the last one: a group holds them, a partner of one does not.
    """
    table = np.zeros((suggestions, len(shares)))
    for nth, index in enumerate(np.nonzero(shares >= least)[0].tolist()):
        table[min(nth, suggestions - 1), index] = shares[index]
    return table
