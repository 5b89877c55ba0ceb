"""Judges in the matcher's place: takes their sheets, gold and a plan, gives an Alignment and AblationBench's counts.

Several judges vote on each pair of a gold entry and a plan entry: a pair belongs together when more than half of all
judges say so. A judge who has no sheet for a plan, or no row about an entry, abstains there, and abstaining is no yes.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from evalkit.judges.recorded.sheets import Judge, Mark, Ref, Sheet, names_in, turned
from evalkit.matching.assign import align
from evalkit.metrics import ablationbench
from evalkit.metrics.ablationbench import AuthorRow, ReviewerRow
from evalkit.settings import fingerprint
from evalkit.text import normalise_id
from evalkit.types import Ablation, Alignment, CompatScore, Pair, Plan, Thresholds

Table = NDArray[np.bool_]


class Verdict(NamedTuple):
    """One judge on every pair of a plan: full matches, pairs that share at least the part, and what was rated at all.

    In the reviewer task there is one row: whether any suggestion is hit, since which one is not said.
    """

    full: Table
    part: Table
    rated: Table


class Votes:
    """What judges say belongs together; `digest` is the hash of all of it."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = tuple(judges)
        self.names = _distinct_names(judges)
        self.name = self.names[0] if len(judges) == 1 else f"majority of {', '.join(self.names)}"
        said = [sorted(fingerprint(astuple(replace(sheet, path=""))) for sheet in judge.sheets) for judge in judges]
        self.digest = fingerprint(sorted(said))[:12]
        self._sheets: tuple[dict[tuple[str | None, str, str | None], list[Sheet]], ...] = tuple({} for _ in judges)
        self.twins: list[Sheet] = []
        self._former: Mapping[tuple[str, str], Sequence[str]] = {}
        for judge, table in zip(self.judges, self._sheets, strict=True):
            for sheet in judge.sheets:
                others = table.setdefault((sheet.planner, normalise_id(sheet.paper), sheet.sample), [])
                twin = next((other for other in others if other.lists == sheet.lists), None)
                if twin is None:
                    others.append(sheet)
                elif replace(twin, path="") != replace(sheet, path=""):
                    self.twins.append(sheet)

    def under(self, former: Mapping[tuple[str, str], Sequence[str]]) -> Self:
        """The same votes, about plans whose planners judges may know by other names: (path, planner) -> those names."""
        other = copy.copy(self)
        other._former = former
        return other

    def planners_of(self, plan: Plan) -> tuple[str | None, ...]:
        """What judges may call a plan's planner: as its document did, as the run does, or not at all."""
        name = plan.planner or ""
        return (*self._former.get((plan.path, name), ()), name, None)

    def sheets(self, gold: Plan, plan: Plan) -> list[Sheet | None]:
        """Each judge's sheet for a plan against this gold list, None where it abstained from all of it."""
        paper = normalise_id(plan.paper)
        # A judge's file of the second sample is called `paper.2`, as the plan's is.
        papers = [(paper, plan.sample), (normalise_id(f"{plan.paper}.{plan.sample}"), None), (paper, None)]
        keys = [(name, *key) for name in self.planners_of(plan) for key in papers]
        fitting = (
            next((sheet for key in keys for sheet in table.get(key, ()) if _fits(sheet, gold, plan)), None)
            for table in self._sheets
        )
        return [sheet and turned(sheet, gold, plan) for sheet in fitting]

    def task(self, gold: Plan, plan: Plan) -> str:
        """Which of the benchmark's two tasks the judges of a plan were set."""
        found = [sheet for sheet in self.sheets(gold, plan) if sheet is not None]
        return found[0].task if found else next((s.task for judge in self.judges for s in judge.sheets), "author")

    def verdicts(self, gold: Plan, plan: Plan) -> list[Verdict]:
        """What each judge said about every pair."""
        task = self.task(gold, plan)
        return [_verdict(sheet, gold, plan, task) for sheet in self.sheets(gold, plan)]

    def align(self, gold: Plan, plan: Plan, kind: str) -> Alignment:
        """The alignment that the judges' majority gives; probabilities are the shares of all judges who say so."""
        verdicts, lists = self.verdicts(gold, plan), (gold.ablations, plan.ablations)
        full, part = (np.stack([v[field] for v in verdicts]).mean(axis=0, dtype=np.float64) for field in (0, 1))
        if self.task(gold, plan) == "reviewer":
            full = part = _in_order(full[0], len(gold.ablations), self.majority)
        # No pair is borderline: the band of doubt lies above certainty.
        found = align(part, full, lists, Thresholds(self.majority, self.majority, 2.0, 2.0), kind)
        return replace(
            found,
            pairs=tuple(self._signed(pair, verdicts) for pair in found.pairs),
            candidates=tuple(self._signed(pair, verdicts) for pair in found.candidates if pair.part_probability > 0),
        )

    @property
    def majority(self) -> float:
        """The least share that is more than half of all judges (between two possible shares, so that none is on it)."""
        return 0.5 + 0.25 / len(self.judges)

    def _signed(self, pair: Pair, verdicts: Sequence[Verdict]) -> Pair:
        """A pair with who decided it, and how each of several judges voted."""
        votes = []
        for name, verdict in zip(self.names, verdicts, strict=True):
            place = (pair.gold if len(verdict.full) > pair.gold else 0, pair.plan)
            said = "yes" if verdict.full[place] else "part" if verdict.part[place] else "no"
            votes.append((f"{name}: {said if verdict.rated[place] else 'abstained'}", 1.0 if said == "yes" else -1.0))
        return replace(pair, decided_by=self.name, evidence=tuple(votes) if len(votes) > 1 else ())

    def compat(self, gold: Plan, plan: Plan, top_k: int | None) -> CompatScore:
        """AblationBench's counts from the judges' rows as they were written, by its own vote for several judges."""
        sheets = [sheet for sheet in self.sheets(gold, plan) if sheet is not None]
        if self.task(gold, plan) == "reviewer":
            said = [sheet.reviewer for sheet in sheets]
            if len(self.judges) == 1:
                return ablationbench.score_reviewer(gold, plan, said[0] if said else (), top_k)
            vote = np.stack([verdict.full[0] for verdict in self.verdicts(gold, plan)]).mean(axis=0) >= self.majority
            entries = [ReviewerRow(e.name, bool(v)) for e, v in zip(plan.ablations, vote, strict=True)]
            return ablationbench.score_reviewer(gold, plan, ablationbench.reviewer_vote(said), top_k, entries)
        rows = [self._rows(sheet, gold, plan) for sheet in sheets]
        if len(self.judges) == 1:
            return ablationbench.score_author(gold, plan, rows[0] if rows else ())
        by_pairs = ablationbench.rows_of(gold, plan, self.align(gold, plan, "group"))
        return ablationbench.score_author(gold, plan, ablationbench.author_vote(rows), by_pairs)

    def _rows(self, sheet: Sheet, gold: Plan, plan: Plan) -> Sequence[AuthorRow]:
        """A sheet's rows; marks become the rows that a judge would have written."""
        if sheet.marks is None:
            return sheet.author
        verdict = _verdict(sheet, gold, plan, "author")
        table = verdict.full.astype(np.float64)
        everything = Thresholds(0.5, 0.5, 2.0, 2.0)
        return ablationbench.rows_of(
            gold, plan, align(table, table, (gold.ablations, plan.ablations), everything, "group")
        )


def _distinct_names(judges: Sequence[Judge]) -> tuple[str, ...]:
    """The judges' names; those that share one are numbered."""
    names = [judge.name for judge in judges]
    return tuple(
        f"{name} ({names[: at + 1].count(name)})" if names.count(name) > 1 else name for at, name in enumerate(names)
    )


def _fits(sheet: Sheet, gold: Plan, plan: Plan) -> bool:
    """Whether a judge who was shown known lists saw these: gold as it is, and at least the plan's (uncut) entries."""
    if sheet.lists is None:
        return True
    golds, plans = sheet.lists
    names = Counter(entry.name for entry in plan.ablations)
    return Counter(golds) == Counter(entry.name for entry in gold.ablations) and names <= Counter(plans)


def _verdict(sheet: Sheet | None, gold: Plan, plan: Plan, task: str) -> Verdict:
    """What one sheet says about every pair."""
    rows = 1 if task == "reviewer" else len(gold.ablations)
    shape = (rows, len(plan.ablations))
    verdict = Verdict(*(np.zeros(shape, dtype=np.bool_) for _ in range(3)))
    if sheet is None:
        return verdict
    if sheet.marks is not None:
        _mark(verdict, sheet.marks, gold, plan)
    elif task == "reviewer":
        _hear_reviewer(verdict, sheet.reviewer, plan)
    else:
        _hear_author(verdict, sheet.author, gold, plan)
    return verdict


def _hear_author(verdict: Verdict, rows: Iterable[AuthorRow], gold: Plan, plan: Plan) -> None:
    """Rows by name: a gold name means every entry of that name, a plan name the first; a repetition stays alone."""
    first: dict[str, int] = {}
    for at, entry in enumerate(plan.ablations):
        first.setdefault(entry.name, at)
    for row in rows:
        for g in (at for at, entry in enumerate(gold.ablations) if entry.name == row.gold):
            verdict.rated[g] = True
            for name in names_in(row.plan):
                if name in first:
                    verdict.full[g, first[name]] = verdict.part[g, first[name]] = True


def _hear_reviewer(verdict: Verdict, rows: Iterable[ReviewerRow], plan: Plan) -> None:
    """Rows by plan name; the n-th row of a name is about the n-th entry of it."""
    places: dict[str, list[int]] = {}
    for at, entry in enumerate(plan.ablations):
        places.setdefault(entry.name, []).append(at)
    for row in rows:
        if places.get(row.plan):
            at = places[row.plan].pop(0)
            verdict.rated[0, at] = True
            verdict.full[0, at] = verdict.part[0, at] = row.in_review


def _mark(verdict: Verdict, marks: Iterable[Mark], gold: Plan, plan: Plan) -> None:
    """Marks by place; whoever marked saw both lists, so every pair is rated."""
    verdict.rated[:] = True
    for mark in marks:
        g, p = place(mark.gold, gold.ablations), place(mark.plan, plan.ablations)
        if g is not None and p is not None:
            row = 0 if len(verdict.full) == 1 else g
            verdict.part[row, p] = True
            verdict.full[row, p] |= mark.full


def place(ref: Ref, entries: Sequence[Ablation]) -> int | None:
    """Where a marked entry stands: at its place if it is called so there, else at the first entry of its name."""
    if ref.at is not None and ref.at < len(entries) and entries[ref.at].name == ref.name:
        return ref.at
    return next((at for at, entry in enumerate(entries) if entry.name == ref.name), None)


def _in_order(said: NDArray[np.float64], suggestions: int, least: float) -> NDArray[np.float64]:
    """Hits of the reviewer task as pairs: which suggestion is not said, so the n-th hit takes the n-th of them.

    Hits beyond the number of suggestions stand with the last one: a group holds them, a partner of one does not.
    """
    table = np.zeros((suggestions, len(said)))
    for nth, at in enumerate(np.nonzero(said >= least)[0].tolist()):
        table[min(nth, suggestions - 1), at] = said[at]
    return table
