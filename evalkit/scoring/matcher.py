"""What decides which entries match, and counts: features and a calibration, a plug-in, or recorded judgements."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from evalkit.errors import InputError, SettingsError
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
from evalkit.settings import Settings
from evalkit.storage.cache import CACHE_FILE, Store, decode_score, dependencies, encode_score
from evalkit.storage.files import read_text, shipped, temporary_folder
from evalkit.types import Opinion, Plan, Question, ScoredPlan, Thresholds

if TYPE_CHECKING:
    from evalkit.judges.recorded import Judgements
    from evalkit.matching.embeddings import Encoder, TextVectors

    Vectors = Mapping[str, TextVectors]

# What a decision or a count depends on besides gold and plan; Python's tables of characters are part of it.
DECIDING_CODE = ("types", "text", "plugins", "matching", "metrics", "scoring/matcher", "storage/cache")
DECIDING_PACKAGES = ("python", "ftfy", "numpy", "rapidfuzz", "scipy")


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

    @property
    def warnings(self) -> list[str]:
        """A warning where the calibration was fitted to the similarities of another model."""
        calibration, model = self.calibration, self.encoder.fingerprint if self.encoder else "none"
        if (fitted := calibration.fitted_on.get("model")) in (None, "none", model) or model == "none":
            return []
        message = f"calibration {calibration.id} was fitted with the model {fitted}, not {model}"
        return [f"{message}: its probabilities are not to be trusted; fit one with `evalkit calibrate`"]

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
    warnings: Sequence[str] = ()

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
        if cache is None and stores_vectors(settings, encoder):
            cache = Store(f"{stack.enter_context(temporary_folder())}/{CACHE_FILE}")
            stack.callback(cache.close)
        yield cached_encoder(settings, cache, encoder)


def stores_vectors(settings: Settings, encoder: Encoder | None = None) -> bool:
    """Return whether there is an encoder whose vectors go to a store; that of a caller's own encoder do."""
    return is_encoded(settings.matcher) and (encoder is not None or is_stored(settings.model))


def cached_encoder(settings: Settings, store: Store | None, encoder: Encoder | None = None) -> CachedEncoder | None:
    """Return the encoder of the settings' model, or the one given, with its vectors kept in the store."""
    if not is_encoded(settings.matcher):
        return None
    find: Callable[[str], Encoder] = find_encoder_here if settings.offline else find_encoder
    kept = store if stores_vectors(settings, encoder) else None
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
