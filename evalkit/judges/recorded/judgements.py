"""Judges in the matcher's place, whole: takes their sheets, gives what they decide, what they lack, how they agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evalkit.judges.recorded import gaps, judge_agreement
from evalkit.judges.recorded.votes import Votes
from evalkit.types import Diagnostic, Plan


class Judgements(Votes):
    """Votes with what the corridor asks of whoever decides in the matcher's place."""

    def problems(self, gold: Iterable[Plan], plans: Iterable[Plan]) -> list[Diagnostic]:
        """What is missing, unknown or unused in the judgements, seen against all of gold and all (uncut) plans."""
        return gaps.problems(self, gold, plans)

    def planners(self, gold: Iterable[Plan], plans: Iterable[Plan]) -> set[str]:
        """The planners that can be scored: at least one of their plans was judged, or they have no entries at all."""
        given = list(plans)
        return {plan.planner or "" for plan in given} - gaps.silent_planners(self, gold, given)

    def report(self, work: Sequence[tuple[Plan, Plan]], top_k: int | None) -> dict[str, Any]:
        """Who judged, how far they agree, and whether a recount gives the figures they published."""
        return {**judge_agreement.agreement(self, work), "published": judge_agreement.published(self, work, top_k)}
