"""What judges wrote down, as records: one judgement for each plan that a judge looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from evalkit.metrics.ablationbench import AuthorRow, Names, ReviewerRow
from evalkit.types import Ablation, Diagnostic, Plan

Figures = Mapping[str, float]


class EntryRef(NamedTuple):
    """An entry by its name, and by its position where that is known."""

    name: str
    position: int | None = None

    def find(self, entries: Sequence[Ablation]) -> int | None:
        """Return the entry's index if it has this name there, else that of the first entry with the name."""
        if self.position is not None and self.position < len(entries) and entries[self.position].name == self.name:
            return self.position
        return next((index for index, entry in enumerate(entries) if entry.name == self.name), None)


class MarkedPair(NamedTuple):
    """Two entries that match, fully or by their part alone."""

    gold: EntryRef
    plan: EntryRef
    full: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one judge wrote about one plan: rows by name, or marked pairs. None stands for any planner or sample.

    `lists` are the names of the gold and plan entries that the judge was shown, where that is known. `sides` are the
    rows of a reply in which gold and plan are called A and B or B and A.
    """

    paper: str
    planner: str | None
    path: str
    task: Literal["author", "reviewer"] = "author"
    author: tuple[AuthorRow, ...] = ()
    reviewer: tuple[ReviewerRow, ...] = ()
    marks: tuple[MarkedPair, ...] | None = None
    sample: str | None = None
    lists: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    sides: tuple[tuple[Names, Names], ...] = ()

    def oriented(self, gold: Plan, plan: Plan) -> Judgement:
        """Turn `sides` into author rows: gold is the side on which more of its names stand."""
        if not self.sides:
            return self
        golds, plans = {entry.name for entry in gold.ablations}, {entry.name for entry in plan.ablations}

        def known(first: set[str], second: set[str]) -> int:
            return sum(len(first & {*names_in(a)}) + len(second & {*names_in(b)}) for a, b in self.sides)

        swapped = known(plans, golds) > known(golds, plans)
        sides = [(b, a) for a, b in self.sides] if swapped else self.sides
        return replace(self, author=tuple(AuthorRow(name, b) for a, b in sides for name in names_in(a)), sides=())


@dataclass(frozen=True, slots=True)
class RecordedJudge:
    """A judge's judgements, the figures it published itself (by planner and paper), and what could not be read."""

    name: str
    judgements: tuple[Judgement, ...]
    published: Mapping[tuple[str | None, str], Figures]
    diagnostics: tuple[Diagnostic, ...] = ()


def names_in(names: Names) -> tuple[str, ...]:
    """Return the names in a value, none for null."""
    return () if names is None else (names,) if isinstance(names, str) else names
