"""Which questions go together in one call to a judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from evalkit.types import Question

Owners = Mapping[Question, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Call:
    """Questions of one paper and the same planners that go to one model in one call."""

    model: str
    questions: tuple[Question, ...]


def owners_of(questions: Iterable[Question]) -> Owners:
    """Return whose entries each question is about; equal questions of several planners are one."""
    owners: dict[Question, set[str]] = {}
    for question in questions:
        owners.setdefault(question, set()).add(question.planner)
    return {question: tuple(sorted(planners)) for question, planners in owners.items()}


def calls_of(model: str, questions: Sequence[Question], owners: Owners, size: int) -> Iterator[Call]:
    """Yield calls of at most `size` questions, each of one paper and one set of planners.

    So no text of one planner stands in a call that decides about an entry of another.
    """

    def place(question: Question) -> tuple[str, tuple[str, ...]]:
        return question.paper, owners[question]

    for _, group in groupby(sorted(questions, key=place), key=place):
        items = tuple(group)
        yield from (Call(model, items[start : start + size]) for start in range(0, len(items), size))
