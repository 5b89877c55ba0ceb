"""Who may speak beside the matcher or in its place: what the corridor asks of them, and nothing of who they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from evalkit.types import Alignment, CompatScore, Diagnostic, Opinion, Plan, Question


class Decider(Protocol):
    """Whoever decides in the matcher's place which entries belong together: judges, people, an earlier run."""

    digest: str
    """The hash of everything it will say."""

    def under(self, former: Mapping[tuple[str, str], Sequence[str]]) -> Decider:
        """The same, for plans that had other planners' names where they lie: (path, planner) -> those names."""

    def problems(self, gold: Iterable[Plan], plans: Iterable[Plan]) -> list[Diagnostic]:
        """What it lacks or cannot place, seen against all gold and all plans."""

    def planners(self, gold: Iterable[Plan], plans: Iterable[Plan]) -> set[str]:
        """The planners it has anything to say about; the others are left out."""

    def align(self, gold: Plan, plan: Plan, kind: str) -> Alignment:
        """Which entries belong together."""

    def compat(self, gold: Plan, plan: Plan, top_k: int | None) -> CompatScore:
        """AblationBench's counts of what it said."""

    def report(self, work: Sequence[tuple[Plan, Plan]], top_k: int | None) -> Mapping[str, Any]:
        """What a reader of the run must know about it."""


class SecondOpinion(Protocol):
    """Whoever is asked about the pairs that the matcher is unsure of, all of a run's at once."""

    @property
    def signature(self) -> str:
        """Who was asked, how, and how much was left to the matcher; known once it was asked."""

    def ask(self, questions: Iterable[Question]) -> Mapping[Question, Opinion]:
        """The opinions; what has none is left to the matcher."""

    def report(self) -> Mapping[str, Any]:
        """What a reader of the run must know about it."""
