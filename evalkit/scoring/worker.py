"""One worker: takes plans with their gold lists, gives what is known about each, in this process or in another.

What decides (calibration, encoder, settings) comes along as Orders. A plan that was scored before, by the same code
with the same model against the same gold, is not scored again: its decisions are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from evalkit.matching.assign import (
    add_evidence,
    align,
    align_extremes,
    apply_opinions,
    credit_opinions,
    expected_matches,
)
from evalkit.matching.calibration import Calibration, load_calibration
from evalkit.matching.explain import explain
from evalkit.matching.features import features, needs
from evalkit.matching.probability import probabilities
from evalkit.matching.vector_cache import CachedEncoder
from evalkit.metrics import ablationbench
from evalkit.metrics.counts import plan_status, score_paper
from evalkit.scoring.pair import Slip, opened
from evalkit.scoring.rows import Outcome, Row, marks_of, pair_rows, plan_row
from evalkit.scoring.score_codec import recalled, remembered
from evalkit.settings import Settings
from evalkit.storage.cache import Store, dependencies
from evalkit.storage.csv import Tables
from evalkit.storage.csv import signed as signed_rows
from evalkit.storage.files import read_text, shipped
from evalkit.types import Opinion, Plan, Portable, Question, ScoredPlan, Thresholds

if TYPE_CHECKING:
    from evalkit.matching.features.vectors import TextVectors

    Vectors = Mapping[str, TextVectors]

# The rooms whose code moves a decision or a count: when one changes, nothing that was kept is used any more.
DECIDING = ("types", "text", "matching", "metrics", "scoring/worker", "scoring/score_codec")
# The libraries whose results do; Python's tables of characters are among them.
LIBRARIES = ("python", "ftfy", "numpy", "rapidfuzz", "scipy")


@dataclass(frozen=True)
class Orders:
    """What a worker goes by, the same for every batch of a run. It can be sent to another process."""

    settings: Settings
    calibration: Calibration
    encoder: CachedEncoder | None
    store: Store | None = None
    tables: Tables | None = None

    @cached_property
    def key(self) -> str:
        """What stands for everything that decides besides gold and plan."""
        said = (
            dependencies(DECIDING, LIBRARIES), repr(self.calibration), thresholds(self.calibration, self.settings),
            self.settings.matcher, self.settings.alignment, self.encoder.fingerprint if self.encoder else "",
        )  # fmt: skip
        return hashlib.sha256(repr(said).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Task(Portable):
    """One plan to score: gold and plan as bytes, and the hashes of what their entries say."""

    gold: bytes
    gold_said: str
    plan: bytes | None
    slip: Slip

    def plans(self, settings: Settings) -> tuple[Plan, Plan]:
        """Gold and the plan, under the names that pairing gave it and cut to the entries that are scored."""
        gold, slip = _gold(self.gold), self.slip
        if self.plan is None:
            return gold, Plan(slip.paper, slip.planner, (), slip.diagnostics)
        plan = opened(self.plan)
        entries = plan.ablations[: settings.top_k]
        return gold, replace(plan, paper=slip.paper, sample=slip.sample, ablations=entries)


@lru_cache(maxsize=1024)
def _gold(content: bytes) -> Plan:
    return opened(content)


def score_batch(tasks: Sequence[Task], orders: Orders) -> Outcome:
    """A worker's share: what each plan of a batch scores, as the rows of the tables."""
    work = [task.plans(orders.settings) for task in tasks]
    keys = kept_under([(task.gold_said, task.slip.said) for task in tasks], orders)
    known = orders.store.get(keys) if orders.store is not None and keys else {}
    found: dict[int, ScoredPlan] = {}
    for at, key in enumerate(keys):
        if key in known:
            gold, plan = work[at]
            found[at] = recalled(known[key], gold, plan, plan_status(plan))
    rest = [at for at in range(len(work)) if at not in found]
    found |= dict(zip(rest, score_plans([work[at] for at in rest], orders), strict=True))
    if orders.store is not None and keys:
        orders.store.put({keys[at]: remembered(found[at]) for at in rest})
    return outcome_of([found[at] for at in range(len(work))], orders.tables)


def outcome_of(scored: Sequence[ScoredPlan], tables: Tables | None) -> Outcome:
    """What is needed of scored plans: counts, and the rows of the long tables, as bytes where they are written."""
    pairs = [row for item in scored for row in pair_rows(item)]
    plans = [plan_row(item) for item in scored]
    return Outcome(
        marks=marks_of([item.score for item in scored]),
        pairs=WRITERS[tables.form]("pair_frame", pairs, tables) if tables else pairs,
        plans=WRITERS[tables.form]("plan_frame", plans, tables) if tables else plans,
        compat=[(item.score, item.compat) for item in scored if item.compat is not None],
    )


def _as_csv(frame: str, rows: Sequence[Row], tables: Tables) -> bytes:
    """Rows of a long table in CSV; frames would cost more than all else that is done for a plan that is known."""
    return signed_rows(rows, tables.signature)


def _as_parquet(frame: str, rows: Sequence[Row], tables: Tables) -> bytes:
    """Rows of a long table as Arrow, by way of the frame that they are."""
    from evalkit.scoring import aggregate
    from evalkit.storage import parquet

    return parquet.content(getattr(aggregate, frame)(rows), tables)


WRITERS = {"csv": _as_csv, "parquet": _as_parquet}


def kept_under(said: Iterable[tuple[str, str]], orders: Orders) -> list[bytes]:
    """What the decisions on gold and plan of these contents are kept under; nothing where none are kept."""
    if orders.store is None or orders.settings.compat != "none":
        return []
    start = hashlib.sha256(f"decisions\0{orders.key}".encode())
    keys = []
    for gold, plan in said:
        one = start.copy()
        one.update(f"\0{gold}\0{plan}".encode())
        keys.append(one.digest())
    return keys


def undecided(said: Sequence[tuple[str, str]], orders: Orders) -> list[int]:
    """A worker's share of looking what is kept: the places of the plans that have to be decided; none is empty."""
    keys = kept_under(said, orders)
    known = orders.store.known(keys) if orders.store is not None else set()
    return [at for at, (_, plan) in enumerate(said) if plan and not (keys and keys[at] in known)]


def fill_batch(texts: Sequence[str], encoder: CachedEncoder) -> int:
    """A worker's share of the encoding: see to it that these texts are known; gives how many there were."""
    encoder.fill(texts)
    return len(texts)


def score_plans(work: Sequence[tuple[Plan, Plan]], orders: Orders) -> list[ScoredPlan]:
    """Each plan scored against its gold."""
    vectors = vectors_of(work, orders.encoder)
    with one_thread():
        return [score_plan(gold, plan, orders.calibration, orders.settings, vectors) for gold, plan in work]


@contextmanager
def one_thread() -> Iterator[None]:
    """Numpy's products in one thread for the length of a block: they are so small that threads only wait for another.

    On two cores that waiting made scoring a plan six times as long.
    """
    pools = _pools()
    before = [pool.num_threads for pool in pools]
    for pool in pools:
        pool.set_num_threads(1)
    try:
        yield
    finally:
        for pool, threads in zip(pools, before, strict=True):
            pool.set_num_threads(threads)


@cache
def _pools() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def vectors_of(work: Iterable[tuple[Plan, Plan]], encoder: CachedEncoder | None) -> Vectors | None:
    """The vectors of every text that the work needs; None where nothing is encoded at all."""
    return encoder.encode(texts_of(work)) if encoder is not None else None


def texts_of(work: Iterable[tuple[Plan, Plan]]) -> list[str]:
    """The texts whose vectors the work needs, each once."""
    return sorted({text for gold, plan in work if plan.ablations for text in needs(gold.ablations, plan.ablations)})


def score_plan(
    gold: Plan,
    plan: Plan,
    calibration: Calibration,
    settings: Settings,
    vectors: Vectors | None,
    opinions: Mapping[Question, Opinion] | None = None,
) -> ScoredPlan:
    """One plan against one gold list: features, probabilities, alignment, counts; opinions overrule the matcher."""
    lists = (gold.ablations, plan.ablations)
    seen = features(*lists, vectors)
    part_guess, match_guess = probabilities(seen, calibration)
    said = _said(gold, plan, opinions or {})
    part, match = apply_opinions(part_guess, match_guess, said) if said else (part_guess, match_guess)
    limits = thresholds(calibration, settings)
    alignment = align(part, match, lists, limits, settings.alignment)
    unsure = any(pair.borderline for pair in (*alignment.pairs, *alignment.candidates))
    ends = align_extremes(part, match, lists, limits, settings.alignment) if unsure else (alignment, alignment)
    alignment = credit_opinions(alignment, part_guess, match_guess, said) if said else alignment
    score = score_paper(gold, plan, alignment, ends, expected_matches(match, settings.alignment))
    compat = None
    if settings.compat == "ablationbench":
        rows = ablationbench.rows_of(gold, plan, align(part, match, lists, limits, "group"))
        compat = ablationbench.score_author(gold, plan, rows)
    return ScoredPlan(gold, plan, add_evidence(alignment, partial(explain, seen, calibration)), score, compat)


def _said(gold: Plan, plan: Plan, opinions: Mapping[Question, Opinion]) -> dict[tuple[int, int], Opinion]:
    """The places of a plan's pairs that there are opinions on."""
    if not opinions:
        return {}
    asked = {
        (g, p): Question(gold.paper, one, other)
        for g, one in enumerate(gold.ablations)
        for p, other in enumerate(plan.ablations)
    }
    return {place: opinions[question] for place, question in asked.items() if question in opinions}


def thresholds(calibration: Calibration, settings: Settings) -> Thresholds:
    """The calibration's thresholds, or those that the settings put in their place."""
    own = calibration.thresholds
    if settings.part_threshold is settings.match_threshold is None:
        return own
    return replace(own, part=settings.part_threshold or own.part, match=settings.match_threshold or own.match)


def calibration_for(settings: Settings) -> Calibration:
    """The calibration that the settings name, else the one shipped for their matcher."""
    path = settings.calibration or shipped(f"configs/calibration/{settings.matcher}.json")
    return load_calibration(read_text(path), str(path))
