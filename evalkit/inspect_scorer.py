"""evalkit as a scorer of Inspect AI tasks: `ablation_plan(gold="references")`, or by its name `evalkit/ablation_plan`.

Inspect loads this module by its entry point; nothing else imports it.
"""

from __future__ import annotations

from asyncio import to_thread
from math import nan

from inspect_ai.scorer import Score, Target, mean, scorer
from inspect_ai.scorer import Scorer as InspectScorer
from inspect_ai.solver import TaskState

from evalkit.errors import InputError
from evalkit.metrics.figures import shown_in
from evalkit.scoring.load import read_plans
from evalkit.scoring.scorer import Scorer, figures_of
from evalkit.settings import Settings, shown
from evalkit.text import normalise_id
from evalkit.types import Plan


@scorer(name="evalkit/ablation_plan", metrics={"*": [mean()]})  # type: ignore[untyped-decorator, unused-ignore]
def ablation_plan(gold: str, matcher: str = "hybrid") -> InspectScorer:
    """Score the plan in a reply against the gold list of its paper, as `evalkit score` does.

    gold: as for `evalkit score --gold`. A sample's paper is `paper` in its metadata, or else its id.
    matcher: as for `evalkit score --matcher`.

    A reply without a readable plan is an empty plan. What is undefined is NaN, which Inspect leaves out of means.
    """
    settings = Settings(matcher=matcher)
    lists = {plan.paper: plan for plan in read_plans(gold, settings, gold=True).plans}
    own = Scorer(settings)

    async def score(state: TaskState, target: Target) -> Score:
        paper = normalise_id(str(state.metadata.get("paper", state.sample_id)))
        if paper not in lists:
            raise InputError(f"{gold}: no gold list for {shown(paper)}")
        reply = state.output.completion
        reward = await to_thread(own.reward, reply, lists[paper])
        scored = reward.scored
        if scored is None:
            scored = await to_thread(own.score, Plan(paper, "reply", ()), lists[paper])
        found = figures_of(scored)
        value = {name: nan if found[name] is None else found[name] for name in shown_in("logs") if name in found}
        return Score(value=value, answer=reply, explanation=reward.feedback)

    return score
