"""Score plans one at a time, many, awaited, or as a reward: what a program uses."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, InputError
from evalkit.formats import parse_document
from evalkit.metrics.figures import FIGURES, figures, find_figure
from evalkit.scoring.feedback import feedback
from evalkit.scoring.in_order import in_order
from evalkit.scoring.matcher import cached_encoder, matcher_for, stores_vectors, texts_of
from evalkit.settings import Settings, checked
from evalkit.storage.cache import CACHE_FILE, Store
from evalkit.storage.files import cache_folder, temporary_folder
from evalkit.types import COUNT_NAMES, Document, Plan, ScoredPlan

BATCH = 64  # plans whose texts are encoded together


class Reward(float):
    """A float with the reason for its value, feedback for whoever improves the planner, and the scored plan.

    value: the figure.
    reason: why it is what it is, in a few words.
    scored: the scored plan with its alignment; None where nothing could be scored.
    feedback: what was missed, wrong and not expected, a line each.
    """

    reason: str
    scored: ScoredPlan | None
    feedback: str

    def __new__(cls, value: float, reason: str, scored: ScoredPlan | None = None, feedback: str = "") -> Reward:
        """Return a reward of this value."""
        reward = super().__new__(cls, value)
        reward.reason, reward.scored, reward.feedback = reason, scored, feedback or reason
        return reward

    def __reduce__(self) -> tuple[Any, ...]:
        return Reward, (float(self), self.reason, self.scored, self.feedback)


class Scorer:
    """Score plans by one calibration and one model, which are found when the first plan comes.

    settings: how to read, match and score; the defaults of the command.
    cache: the folder in which vectors are kept; "" is the user's own, None keeps them for this process only.

    A Scorer may be used by several threads and sent to other processes; each process loads the model when it needs it.
    """

    def __init__(self, settings: Settings | None = None, *, cache: str | Path | None = "") -> None:
        self.settings, self.cache = checked(settings), cache
        store = None
        if stores_vectors(self.settings):
            if cache is None:
                self._folder = temporary_folder()
            store = Store(Path(self._folder.name if cache is None else cache_folder(str(cache))) / CACHE_FILE)
        self._matcher = matcher_for(self.settings, cached_encoder(self.settings, store))

    def __reduce__(self) -> tuple[Any, ...]:
        return _scorer, (self.settings, self.cache)

    def score(self, plan: Plan, gold: Plan) -> ScoredPlan:
        """Score one plan against one gold list: counts, alignment, evidence. See `figures_of` for its ratios.

        plan: the plan, as `read_plans` gives it or made of `Ablation`.
        gold: the gold list of the same paper.
        """
        return next(self.score_many([(plan, gold)]))

    def score_many(self, work: Iterable[tuple[Plan, Plan]], *, batch: int = BATCH) -> Iterator[ScoredPlan]:
        """Score pairs of plan and gold as they come, in their order.

        work: pairs of a plan and its gold list; an iterator is read as far as results are asked for.
        batch: how many are read ahead and scored together; 1 gives each result before the next plan is asked for.
        """
        rest = iter(work)
        while pairs := list(islice(rest, batch)):
            for plan, gold in pairs:
                _check_plan("plan", plan, "")
                _check_plan("gold", gold, ", gold=True")
            yield from self._matcher.score(
                [(gold, replace(plan, ablations=plan.ablations[: self.settings.top_k])) for plan, gold in pairs]
            )

    def ascore_many(
        self, work: Iterable[tuple[Plan, Plan]] | AsyncIterable[tuple[Plan, Plan]]
    ) -> AsyncIterator[ScoredPlan]:
        """Score pairs of plan and gold while others are awaited, in their order; some dozens are in memory at most.

        work: pairs of a plan and its gold list, from an async iterator or any other. Scoring runs in a thread, so the
            loop stays free; what comes meanwhile is scored together. What `work` raises comes after what came before.
        """
        return in_order(self.score_many, work, BATCH)

    def warm(self, plans: Iterable[Plan]) -> None:
        """Encode the texts of these plans in one pass.

        plans: gold lists, before a training run.
        """
        if self._matcher.encoder is not None:
            self._matcher.encoder.fill(texts_of((plan, plan) for plan in plans))

    def reward(self, plan_text: str, gold: Plan, figure: str = "match_f1", *, reveal: bool = True) -> Reward:
        """Return a figure of the plan in a model's reply; 0 and the reason for one that cannot be read.

        plan_text: the reply as the model sent it.
        gold: the gold list of its paper.
        figure: any figure by its name.
        reveal: whether `.feedback` may quote gold; without it an optimiser cannot copy the answer into a prompt.
        """
        _check_plan("gold", gold, ", gold=True")
        if not isinstance(plan_text, str):
            given = f"{type(plan_text).__name__} {str(plan_text)[:60]!r}"
            hint = "; of a conversation, give the `content` of its last message" if isinstance(plan_text, list) else ""
            raise TypeError(f"plan_text: expected the text of a reply, found {given}{hint}")
        if (wanted := find_figure(figure)) is None:
            raise InputError(f"no figure is called {figure!r}; there are {', '.join(FIGURES)}")
        try:
            document = Document("reply", plan_text, "reply", gold.paper)
            plans = parse_document(document, strict=self.settings.strict)
        except (EvalkitError, ValueError, RecursionError) as error:
            return Reward(0.0, f"not readable: {error}")
        plan = max(plans, key=lambda plan: len(plan.ablations), default=Plan(gold.paper, "reply", ()))
        lost = (item for item in plan.diagnostics if item.severity == "error" or item.code == "truncated")
        problems = "; ".join(item.message for item in lost)
        if not plan.ablations:
            return Reward(0.0, f"no entries: {problems or 'the text holds no plan'}")
        scored = self.score(replace(plan, paper=gold.paper), gold)
        value = _defined(wanted.formula(_sums(scored)))
        if value is None:
            return Reward(0.0, f"{figure} is undefined", scored)
        counts = scored.score.counts
        reason = f"{counts.match_gold:g} of {counts.gold_entries:g} gold entries matched by {counts.plan_entries:g}"
        reason = f"{reason}; left out: {problems}" if problems else reason
        return Reward(value, reason, scored, feedback(scored, problems, reveal=reveal))


def _check_plan(name: str, value: object, option: str) -> None:
    """Refuse what a program gives in place of a plan."""
    if not isinstance(value, Plan):
        expected = f"expected a Plan, as evalkit.read_plans(...{option}) gives it"
        raise TypeError(f"{name}: {expected}, found {type(value).__name__} {str(value)[:60]!r}")


def _scorer(settings: Settings, cache: str | Path | None) -> Scorer:
    return Scorer(settings, cache=cache)


def figures_of(scored: ScoredPlan) -> dict[str, float | None]:
    """Return every figure of one plan; None is undefined."""
    return {name: _defined(value) for name, value in figures(_sums(scored)).items()}


def _sums(scored: ScoredPlan) -> dict[str, float]:
    return dict(zip(COUNT_NAMES, scored.score.counts.values(), strict=True))


def _defined(value: Any) -> float | None:
    return None if value != value else float(value)
