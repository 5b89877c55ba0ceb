"""What judges wrote down, as records: a Judge has Sheets, one for each plan that it judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from evalkit.metrics.ablationbench import AuthorRow, Names, ReviewerRow
from evalkit.types import Diagnostic, Plan

Figures = Mapping[str, float]


class Ref(NamedTuple):
    """An entry by its name, and by its place where that is known."""

    name: str
    at: int | None = None


class Mark(NamedTuple):
    """Two entries that belong together, fully or by their part alone."""

    gold: Ref
    plan: Ref
    full: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one judge said about one plan: rows by name, or marks by place. None stands for any planner or sample.

    `lists` are the names of the gold and plan entries that the judge was shown, where that is known. `sides` are the
    rows of a kept reply, in which gold and plan are called A and B or B and A.
    """

    paper: str
    planner: str | None
    path: str
    task: Literal["author", "reviewer"] = "author"
    author: tuple[AuthorRow, ...] = ()
    reviewer: tuple[ReviewerRow, ...] = ()
    marks: tuple[Mark, ...] | None = None
    sample: str | None = None
    lists: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    sides: tuple[tuple[Names, Names], ...] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """One judge's sheets, the figures it published itself (by planner and paper), and what could not be read."""

    name: str
    sheets: tuple[Sheet, ...]
    published: Mapping[tuple[str | None, str], Figures]
    diagnostics: tuple[Diagnostic, ...] = ()


def turned(sheet: Sheet, gold: Plan, plan: Plan) -> Sheet:
    """A kept reply's sheet as author rows: gold is the side on which more of its names stand."""
    if not sheet.sides:
        return sheet
    golds, plans = {entry.name for entry in gold.ablations}, {entry.name for entry in plan.ablations}

    def known(first: set[str], second: set[str]) -> int:
        return sum(len(first & {*names_in(a)}) + len(second & {*names_in(b)}) for a, b in sheet.sides)

    swapped = known(plans, golds) > known(golds, plans)
    sides = [(b, a) for a, b in sheet.sides] if swapped else sheet.sides
    return replace(sheet, author=tuple(AuthorRow(name, b) for a, b in sides for name in names_in(a)), sides=())


def names_in(names: Names) -> tuple[str, ...]:
    """The names in a value, none for null."""
    return () if names is None else (names,) if isinstance(names, str) else names
