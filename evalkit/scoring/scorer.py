"""Score plans against gold, one at a time for a program or batch by batch for a run."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError, InputError, SettingsError
from evalkit.formats import parse_document
from evalkit.matching.assign import (
    Matrix,
    add_evidence,
    align,
    align_extremes,
    apply_opinions,
    credit_opinions,
    expected_matches,
)
from evalkit.matching.calibration import Calibration, load_calibration, probabilities
from evalkit.matching.embeddings import CachedEncoder, find_encoder, find_encoder_here, is_minilm, is_stored
from evalkit.matching.explain import explain
from evalkit.matching.features import alike, batch_features, features, needs
from evalkit.matching.plugged import Decide, find_plugin, is_encoded, is_plugin
from evalkit.metrics import ablationbench
from evalkit.metrics.counts import plan_status, score_paper
from evalkit.metrics.figures import FIGURES, figures, find_figure
from evalkit.scoring.feedback import feedback
from evalkit.scoring.in_order import in_order
from evalkit.settings import Settings
from evalkit.storage.cache import CACHE_FILE, Store, decode_score, dependencies, encode_score
from evalkit.storage.files import cache_folder, read_text, shipped, temporary_folder
from evalkit.types import COUNT_NAMES, Document, Opinion, Plan, Question, ScoredPlan, Thresholds

if TYPE_CHECKING:
    from evalkit.judges.recorded import Judgements
    from evalkit.matching.embeddings import Encoder, TextVectors

    Vectors = Mapping[str, TextVectors]

BATCH = 64  # plans whose texts are encoded together
# What a decision or a count depends on besides gold and plan; Python's tables of characters are part of it.
DECIDING_CODE = ("types", "text", "plugins", "matching", "metrics", "scoring/scorer", "storage/cache")
DECIDING_PACKAGES = ("python", "ftfy", "numpy", "rapidfuzz", "scipy")


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
        self.settings, self.cache = settings or Settings(), cache
        store = None
        if _stores(self.settings):
            if cache is None:
                self._folder = temporary_folder()
            store = Store(Path(self._folder.name if cache is None else cache_folder(str(cache))) / CACHE_FILE)
        self._matcher = matcher_for(self.settings, _cached_encoder(self.settings, store))

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
        if not isinstance(gold, Plan):
            expected = "expected a Plan, as evalkit.read_plans(..., gold=True) gives it"
            raise TypeError(f"gold: {expected}, found {type(gold).__name__} {str(gold)[:60]!r}")
        if not isinstance(plan_text, str):
            given = f"{type(plan_text).__name__} {str(plan_text)[:60]!r}"
            raise TypeError(f"plan_text: expected the text of a reply, found {given}")
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


def _scorer(settings: Settings, cache: str | Path | None) -> Scorer:
    return Scorer(settings, cache=cache)


def figures_of(scored: ScoredPlan) -> dict[str, float | None]:
    """Return every figure of one plan; None is undefined."""
    return {name: _defined(value) for name, value in figures(_sums(scored)).items()}


def _sums(scored: ScoredPlan) -> dict[str, float]:
    return dict(zip(COUNT_NAMES, scored.score.counts.values(), strict=True))


def _defined(value: Any) -> float | None:
    return None if value != value else float(value)


class Matcher:
    """Decide by features and a calibration which entries match, and count; opinions of judges overrule it.

    `cache` holds decisions of earlier runs; None keeps none. `decide` is a plug-in that gives the probabilities.
    """

    def __init__(
        self,
        settings: Settings,
        calibration: Calibration,
        encoder: CachedEncoder | None,
        cache: Store | None = None,
        opinions: Mapping[Question, Opinion] | None = None,
        judge: str = "none",
        decide: Decide | None = None,
    ) -> None:
        self.settings, self.calibration, self.encoder, self.decide = settings, calibration, encoder, decide
        self.cache = cache if settings.compat == "none" and decide is None else None
        self.opinions, self.judge = opinions or {}, judge

    def with_opinions(self, opinions: Mapping[Question, Opinion], judge: str) -> Matcher:
        """Return a matcher that these opinions of a judge overrule; nothing it decides is cached."""
        return Matcher(self.settings, self.calibration, self.encoder, None, opinions, judge, self.decide)

    @property
    def thresholds(self) -> Thresholds:
        """The calibration's thresholds, or those that the settings put in their place."""
        own, settings = self.calibration.thresholds, self.settings
        if settings.part_threshold is settings.match_threshold is None:
            return own
        return replace(own, part=settings.part_threshold or own.part, match=settings.match_threshold or own.match)

    @property
    def pins(self) -> dict[str, str]:
        """What a signature says of this matcher."""
        return {
            "matcher": self.settings.matcher,
            "calibration": self.calibration.id,
            "model": self.encoder.fingerprint if self.encoder else "none",
            "thresholds": f"{self.thresholds.part:g}/{self.thresholds.match:g}",
            "judge": self.judge,
        }

    @cached_property
    def dependencies(self) -> str:
        """The hash of everything that decides besides gold and plan."""
        values = (
            dependencies(DECIDING_CODE, DECIDING_PACKAGES), repr(self.calibration), self.thresholds,
            self.settings.matcher, self.settings.alignment, self.encoder.fingerprint if self.encoder else "",
        )  # fmt: skip
        return hashlib.sha256(repr(values).encode()).hexdigest()

    def cache_keys(self, digests: Iterable[tuple[str, str]]) -> list[bytes]:
        """Return the cache keys of the decisions on gold and plan of these hashes; none where none are cached."""
        if self.cache is None:
            return []
        start = hashlib.sha256(f"decisions\0{self.dependencies}".encode())
        keys = []
        for gold, plan in digests:
            key = start.copy()
            key.update(f"\0{gold}\0{plan}".encode())
            keys.append(key.digest())
        return keys

    def uncached(self, digests: Sequence[tuple[str, str]]) -> list[int]:
        """Return the places of the plans with entries on which no decision is cached."""
        keys = self.cache_keys(digests)
        known = self.cache.known(keys) if self.cache is not None else set()
        return [index for index, (_, plan) in enumerate(digests) if plan and not (keys and keys[index] in known)]

    def score_cached(
        self, work: Sequence[tuple[Plan, Plan]], digests: Sequence[tuple[str, str]]
    ) -> Sequence[ScoredPlan]:
        """Score pairs of gold and plan of these hashes; those that an earlier run decided are taken from the cache."""
        keys = self.cache_keys(digests)
        if self.cache is None:
            return self.score(work)
        scored = self._cached(work, keys, self.cache)
        rest = [index for index in range(len(work)) if index not in scored]
        new = dict(zip(rest, self.score([work[index] for index in rest]), strict=True))
        self.cache.put({keys[index]: encode_score(result) for index, result in new.items()})
        scored |= new
        return [scored[index] for index in range(len(work))]

    def _cached(self, work: Sequence[tuple[Plan, Plan]], keys: Sequence[bytes], cache: Store) -> dict[int, ScoredPlan]:
        """Return what an earlier run decided, by places; equal plans have one key."""
        places: dict[bytes, list[int]] = {}
        for index, key in enumerate(keys):
            places.setdefault(key, []).append(index)

        def decode(content: bytes, indices: Sequence[int]) -> list[ScoredPlan]:
            return [decode_score(content, *work[index], plan_status(work[index][1])) for index in indices]

        cached = cache.read(places, decode)
        return {index: one for key, scores in cached.items() for index, one in zip(places[key], scores, strict=True)}

    def score(self, work: Sequence[tuple[Plan, Plan]]) -> list[ScoredPlan]:
        """Score pairs of gold and plan."""
        if self.decide is not None:
            return [self._aligned(gold, plan, *self.decide(gold.ablations, plan.ablations)) for gold, plan in work]
        vectors = self.vectors(work)
        scored: dict[int, ScoredPlan] = {}
        with one_blas_thread():
            for places in alike([(gold.ablations, plan.ablations) for gold, plan in work]):
                together = self._score_together([work[place] for place in places], vectors)
                scored |= zip(places, together, strict=True)
        return [scored[place] for place in range(len(work))]

    def vectors(self, work: Iterable[tuple[Plan, Plan]]) -> Vectors | None:
        """Return the vectors of every text that the work needs; None where nothing is encoded at all."""
        return self.encoder.encode(texts_of(work)) if self.encoder is not None else None

    def questions(self, work: Sequence[tuple[Plan, Plan]]) -> list[Question]:
        """Return the pairs that judges are asked about: the borderline ones, or all when the settings say so."""
        limits, vectors = self.thresholds, self.vectors(work)
        low, high = (0.0, 1.0) if self.settings.judge.everything else (limits.low, limits.high)
        result = []
        for gold, plan in work:
            if self.decide is None:
                _, match = probabilities(features(gold.ablations, plan.ablations, vectors), self.calibration)
            else:
                _, match = self.decide(gold.ablations, plan.ablations)
            for g, p in zip(*((match >= low) & (match <= high)).nonzero(), strict=True):
                result.append(Question(gold.paper, gold.ablations[g], plan.ablations[p], plan.planner or ""))
        return result

    def _score_together(self, work: Sequence[tuple[Plan, Plan]], vectors: Vectors | None) -> list[ScoredPlan]:
        """Score plans whose features may be computed together."""
        values = batch_features([(gold.ablations, plan.ablations) for gold, plan in work], vectors)
        by_matcher = probabilities(values, self.calibration)
        scored = [self._aligned(*pair, part, match) for pair, part, match in zip(work, *by_matcher, strict=True)]
        shown = [(*one.alignment.pairs, *one.alignment.candidates) for one in scored]
        places = [(index, pair.gold, pair.plan) for index, pairs in enumerate(shown) for pair in pairs]
        reasons = iter(explain(values, self.calibration, places))
        return [
            replace(one, alignment=add_evidence(one.alignment, list(islice(reasons, len(pairs)))))
            for one, pairs in zip(scored, shown, strict=True)
        ]

    def _aligned(self, gold: Plan, plan: Plan, part_by_matcher: Matrix, match_by_matcher: Matrix) -> ScoredPlan:
        """Align and count one plan by the probabilities of its pairs [gold, plan]."""
        lists, kind, limits = (gold.ablations, plan.ablations), self.settings.alignment, self.thresholds
        opinions = self._opinions_on(gold, plan)
        part, match = apply_opinions(part_by_matcher, match_by_matcher, opinions)
        alignment = align(part, match, lists, limits, kind)
        unsure = any(pair.borderline for pair in (*alignment.pairs, *alignment.candidates))
        ends = align_extremes(part, match, lists, limits, kind) if unsure else (alignment, alignment)
        if opinions:
            alignment = credit_opinions(alignment, part_by_matcher, match_by_matcher, opinions)
        score = score_paper(gold, plan, alignment, ends, expected_matches(match, kind))
        compat = None
        if self.settings.compat == "ablationbench":
            rows = ablationbench.rows_of(gold, plan, align(part, match, lists, limits, "group"))
            compat = ablationbench.score_author(gold, plan, rows)
        return ScoredPlan(gold, plan, alignment, score, compat)

    def _opinions_on(self, gold: Plan, plan: Plan) -> dict[tuple[int, int], Opinion]:
        """Return the opinions on the pairs of a plan, by their places."""
        if not self.opinions:
            return {}
        return {
            (g, p): opinion
            for g, gold_entry in enumerate(gold.ablations)
            for p, plan_entry in enumerate(plan.ablations)
            if (opinion := self.opinions.get(Question(gold.paper, gold_entry, plan_entry))) is not None
        }


class RecordedMatcher:
    """Let recorded judgements decide which entries match."""

    encoder = None

    def __init__(self, judgements: Judgements, settings: Settings) -> None:
        self.judgements, self.settings = judgements, settings

    @property
    def pins(self) -> dict[str, str]:
        """What a signature says of these judgements."""
        digest = self.judgements.digest
        return {"matcher": "judgements", "calibration": digest, "model": "none", "thresholds": "majority"}

    def score_cached(
        self, work: Sequence[tuple[Plan, Plan]], digests: Sequence[tuple[str, str]]
    ) -> Sequence[ScoredPlan]:
        """Score pairs of gold and plan; nothing is worth caching."""
        scored = []
        for gold, plan in work:
            alignment = self.judgements.align(gold, plan, self.settings.alignment)
            score = score_paper(gold, plan, alignment, (alignment, alignment))
            compat = self.judgements.compat(gold, plan, self.settings.top_k)
            scored.append(ScoredPlan(gold, plan, alignment, score, compat))
        return scored


def matcher_for(settings: Settings, encoder: CachedEncoder | None, cache: Store | None = None) -> Matcher:
    """Return the matcher of the settings: a calibration's, or a plug-in."""
    if not is_plugin(settings.matcher):
        return Matcher(settings, calibration_for(settings), encoder, cache)
    if settings.calibration:
        raise SettingsError(f"calibration: the matcher {settings.matcher!r} is a plug-in, which has none")
    plugin = find_plugin(settings.matcher)
    return Matcher(settings, plugin.calibration, None, decide=plugin)


def calibration_for(settings: Settings) -> Calibration:
    """Return the calibration that the settings name, else the one shipped for their matcher and model."""
    if is_plugin(settings.matcher):
        raise InputError(f"the matcher {settings.matcher!r} is a plug-in, which has no calibration")
    name = "hybrid-minilm" if settings.matcher == "hybrid" and is_minilm(settings.model) else settings.matcher
    path = settings.calibration or shipped(f"configs/calibration/{name}.json")
    return load_calibration(read_text(path), str(path))


@contextmanager
def encoder_for(
    settings: Settings, cache: Store | None, encoder: Encoder | None = None
) -> Iterator[CachedEncoder | None]:
    """Open the encoder of a run; without a cache, vectors are kept on disk until the block ends."""
    with ExitStack() as stack:
        if cache is None and _stores(settings, encoder):
            cache = Store(f"{stack.enter_context(temporary_folder())}/{CACHE_FILE}")
            stack.callback(cache.close)
        yield _cached_encoder(settings, cache, encoder)


def _stores(settings: Settings, encoder: Encoder | None = None) -> bool:
    """Return whether there is an encoder whose vectors go to a store; that of a caller's own encoder do."""
    return is_encoded(settings.matcher) and (encoder is not None or is_stored(settings.model))


def _cached_encoder(settings: Settings, store: Store | None, encoder: Encoder | None = None) -> CachedEncoder | None:
    """Return the encoder of the settings' model, or the one given, with its vectors kept in the store."""
    if not is_encoded(settings.matcher):
        return None
    find: Callable[[str], Encoder] = find_encoder_here if settings.offline else find_encoder
    kept = store if _stores(settings, encoder) else None
    return CachedEncoder(settings.model, kept, find if encoder is None else partial(_given, encoder))


def _given(encoder: Encoder, name: str) -> Encoder:
    """Return the encoder that the caller brought, whatever the settings name."""
    return encoder


def texts_of(work: Iterable[tuple[Plan, Plan]]) -> list[str]:
    """Return the texts whose vectors the work needs, each once."""
    return sorted({text for gold, plan in work if plan.ablations for text in needs(gold.ablations, plan.ablations)})


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Compute numpy's products in one thread for the length of a block.

    They are so small that threads only wait for one another: on two cores that made scoring a plan six times as long.
    """
    pools = _blas_pools()
    before = [pool.num_threads for pool in pools]
    for pool in pools:
        pool.set_num_threads(1)
    try:
        yield
    finally:
        for pool, threads in zip(pools, before, strict=True):
            pool.set_num_threads(threads)


@cache
def _blas_pools() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    pools: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return pools
