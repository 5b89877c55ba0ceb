"""One plan at a time, for a program: takes Settings, gives a Scorer that scores plans and rewards texts.

A Scorer may be used by several threads and sent to other processes; each process loads the model when it needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, InputError
from evalkit.formats import parse_document
from evalkit.matching.vector_cache import CachedEncoder
from evalkit.metrics.figures import FIGURES, figures
from evalkit.scoring.pipeline import VECTORS, finder
from evalkit.scoring.worker import Orders, calibration_for, score_plans, texts_of
from evalkit.settings import Settings
from evalkit.storage.cache import Store
from evalkit.storage.files import cache_folder, temporary_folder
from evalkit.types import COUNT_NAMES, Document, Plan, ScoredPlan

AT_ONCE = 64  # plans whose texts are encoded together


class Reward(float):
    """A number that says why it is what it is. It is a float in every other respect."""

    reason: str
    scored: ScoredPlan | None

    def __new__(cls, value: float, reason: str, scored: ScoredPlan | None = None) -> Reward:
        """A reward of this value."""
        made = super().__new__(cls, value)
        made.reason, made.scored = reason, scored
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Reward, (float(self), self.reason, self.scored)


class Scorer:
    """Scores plans against gold by one calibration and one model, which are found when the first plan comes.

    `cache` is the folder in which vectors are kept; "" is the user's own, None keeps them for this process only.
    """

    def __init__(self, settings: Settings | None = None, *, cache: str | Path | None = "") -> None:
        self.settings, self.cache = settings or Settings(), cache
        self._orders = self._prepared()

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.settings, self.cache)

    def _prepared(self) -> Orders:
        calibration = calibration_for(self.settings)
        if self.settings.matcher == "lexical":
            return Orders(self.settings, calibration, None)
        if self.cache is None:
            self._folder = temporary_folder()
        folder = self._folder.name if self.cache is None else cache_folder(str(self.cache))
        encoder = CachedEncoder(self.settings.model, Store(Path(folder) / VECTORS), finder(self.settings))
        return Orders(self.settings, calibration, encoder)

    def score(self, plan: Plan, gold: Plan) -> ScoredPlan:
        """One plan against one gold list: counts, alignment, evidence. See `figures_of` for its ratios."""
        return next(self.score_many([(plan, gold)]))

    def score_many(self, work: Iterable[tuple[Plan, Plan]]) -> Iterator[ScoredPlan]:
        """Pairs of plan and gold, scored as they come; no more than a few dozen are in memory at once."""
        rest = iter(work)
        top = self.settings.top_k
        while batch := list(islice(rest, AT_ONCE)):
            pairs = [(gold, replace(plan, ablations=plan.ablations[:top]) if top else plan) for plan, gold in batch]
            yield from score_plans(pairs, self._orders)

    def warm(self, plans: Iterable[Plan]) -> None:
        """See to it that the texts of these plans are encoded, all in one pass: gold lists, before a training run."""
        if self._orders.encoder is not None:
            self._orders.encoder.fill(texts_of((plan, plan) for plan in plans))

    def reward(self, plan_text: str, gold: Plan, figure: str = "match_f1") -> Reward:
        """What a model's reply is worth: a figure of its plan, 0 and the reason for one that cannot be read."""
        if figure not in FIGURES:
            raise InputError(f"no figure is called {figure!r}; there are {', '.join(FIGURES)}")
        try:
            document = Document("reply", plan_text, "reply", gold.paper)
            plans = parse_document(document, strict=self.settings.strict)
        except (EvalkitError, ValueError, TypeError, AttributeError, RecursionError) as error:
            return Reward(0.0, f"not readable: {error}")
        plan = max(plans, key=lambda one: len(one.ablations), default=Plan(gold.paper, "reply", ()))
        problems = "; ".join(item.message for item in plan.diagnostics if item.severity == "error")
        if not plan.ablations:
            return Reward(0.0, f"no entries: {problems or 'the text holds no plan'}")
        scored = self.score(replace(plan, paper=gold.paper), gold)
        value = figures_of(scored)[figure]
        counts = scored.score.counts
        told = f"{counts.match_gold:g} of {counts.gold_entries:g} gold entries matched by {counts.plan_entries:g}"
        reason = f"{told}; left out: {problems}" if problems else told
        return Reward(
            0.0 if value is None else value, reason if value is not None else f"{figure} is undefined", scored
        )


def _remade(settings: Settings, cache: str | Path | None) -> Scorer:
    return Scorer(settings, cache=cache)


def figures_of(scored: ScoredPlan) -> dict[str, float | None]:
    """Every figure of one plan; None is undefined."""
    sums = dict(zip(COUNT_NAMES, scored.score.counts.values(), strict=True))
    return {name: None if value != value else float(value) for name, value in figures(sums).items()}
