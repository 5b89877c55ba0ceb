"""The corridor: takes folders of documents and Settings, leads every plan through the rooms, gives a Run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import stats
from evalkit.errors import InputError
from evalkit.matching.assign import align
from evalkit.matching.calibration import Calibration
from evalkit.matching.embeddings import find_encoder, find_encoder_here
from evalkit.matching.features import features
from evalkit.matching.probability import probabilities
from evalkit.matching.vector_cache import CachedEncoder
from evalkit.metrics.counts import score_paper
from evalkit.scoring.drafts import is_draft, without_drafts
from evalkit.scoring.load import AT_ONCE, Map, Source, former_planners, in_batches, read_apart, read_plans, shelve_plans
from evalkit.scoring.pair import Slip, Table, gold_by_paper, jobs, missing_slip, packed, paired, plans_by_paper
from evalkit.scoring.rows import marks_of
from evalkit.scoring.signing import matcher_pins, sign
from evalkit.scoring.worker import (
    Orders,
    Task,
    calibration_for,
    fill_batch,
    one_thread,
    outcome_of,
    score_batch,
    score_plan,
    texts_of,
    thresholds,
    undecided,
)
from evalkit.settings import Settings, content_digest
from evalkit.storage.cache import Store
from evalkit.storage.files import Spool, temporary_folder
from evalkit.storage.label_files import Labels
from evalkit.storage.signature import Signature
from evalkit.types import (
    Diagnostic,
    Opinion,
    PaperScore,
    Plan,
    Question,
    ScoredPlan,
    Thresholds,
)

if TYPE_CHECKING:
    from evalkit.judges.llm import Panel
    from evalkit.judges.recorded import Judgements
    from evalkit.matching.embeddings import Encoder
    from evalkit.matching.features.vectors import TextVectors
    from evalkit.storage.runs import Run, RunFolder

    Vectors = Mapping[str, TextVectors]

Progress = Callable[[str, int, int], None]
VECTORS = "vectors.sqlite"
ASKED_AT_ONCE = 512  # plans whose kept decisions a worker looks for at a time
TEXTS_AT_ONCE = 512  # texts that are encoded before they are kept: what an interruption can cost


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a run's work is done, what it may take from earlier runs, and the folder it is written to as it comes."""

    engine: Map = map
    store: Store | None = None
    folder: RunFolder | None = None


def judge_plan(gold: Plan, plan: Plan, decider: Judgements, settings: Settings) -> ScoredPlan:
    """One plan against one gold list, when somebody else has decided what belongs together."""
    alignment = decider.align(gold, plan, settings.alignment)
    score = score_paper(gold, plan, alignment, (alignment, alignment))
    return ScoredPlan(gold, plan, alignment, score, decider.compat(gold, plan, settings.top_k))


def score_run(
    pred: Source,
    gold: Source,
    settings: Settings | None = None,
    *,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
    decider: Judgements | None = None,
    second_opinion: Panel | None = None,
    labels: Labels | None = None,
    place: Workplace | None = None,
) -> Run:
    """Score every planner found in `pred` on every paper of `gold`.

    A `decider` takes the matcher's place; a `second_opinion` is asked where the matcher is unsure; `labels` of a random
    sample of papers correct the figures of all; `place` says where the work is done and what is kept.
    """
    settings, place = settings or Settings(), place or Workplace()
    if decider is not None and labels is not None:
        raise InputError(
            "labels correct the matcher's figures; with judgements in its place there is nothing to correct"
        )
    if decider is not None:
        return score_judged(pred, gold, settings, decider)
    calibration = calibration_for(settings)
    with encoder_for(settings, place.store, encoder) as found:
        orders = Orders(settings, calibration, found, place.store)
        if second_opinion is None and labels is None:
            return _stale(score_shelved(pred, gold, orders, place, progress), orders)
        return _stale(score_whole(pred, gold, orders, second_opinion, labels, progress), orders)


def _stale(run: Run, orders: Orders) -> Run:
    """The run, with a warning when its calibration was fitted to another model's similarities."""
    fitted = orders.calibration.fitted_on.get("model")
    if orders.encoder is None or fitted in (None, "none", orders.encoder.fingerprint):
        return run
    said = f"calibration {orders.calibration.id} was fitted with the model {fitted}, not {orders.encoder.fingerprint}"
    told = [*run.meta["warnings"], f"{said}: its probabilities are not to be trusted; fit one with `evalkit calibrate`"]
    return run.with_meta(warnings=told)


@contextlib.contextmanager
def encoder_for(
    settings: Settings, store: Store | None, given: Encoder | None = None
) -> Iterator[CachedEncoder | None]:
    """The encoder of a run; where nothing is kept between runs, vectors are kept on disk until this one ends."""
    if settings.matcher == "lexical":
        yield None
        return
    find = finder(settings) if given is None else partial(_given, given)
    with contextlib.ExitStack() as stack:
        if store is None:
            store = Store(f"{stack.enter_context(temporary_folder())}/{VECTORS}")
            stack.callback(store.close)
        yield CachedEncoder(settings.model, store, find)


def finder(settings: Settings) -> Callable[[str], Encoder]:
    """How a model is found: a function that other processes know by its name."""
    return find_encoder_here if settings.offline else find_encoder


def _given(encoder: Encoder, name: str) -> Encoder:
    """The encoder that the caller brought, whatever the settings name."""
    return encoder


def score_shelved(
    pred: Source, gold: Source, orders: Orders, place: Workplace, progress: Progress | None = None
) -> Run:
    """Score plans that lie on disk while they wait: memory holds counts and an index, whatever the number of plans."""
    settings, engine = orders.settings, place.engine
    # Workers read plans while gold is read and pandas loaded here.
    batches = read_apart(pred, settings, engine, place.store)
    from evalkit.scoring.assembling import Ledger

    known, problems = _gold(gold, settings, place.store)
    shelved = shelve_plans(batches)
    table, plan_problems = plans_by_paper(shelved.slips, known)
    if not table:
        raise InputError(f"{_name(pred)}: no plans{_first(shelved.diagnostics)}")
    work = list(paired(known, table, settings, missing_slip))
    missing = [item for _, slip in work if slip.place is None for item in slip.diagnostics]
    signature = _matcher_signature(orders, known.values(), [slip for _, slip in work])
    desk = Desk(work, shelved.spool, orders)
    desk.encode(engine, progress)
    ledger = Ledger(place.folder, signature)
    orders = replace(orders, tables=place.folder.tables(signature) if place.folder else None)
    done = 0
    for outcome in engine(partial(score_batch, orders=orders), in_batches(desk.tasks(), AT_ONCE)):
        ledger.add(outcome)
        done += len(outcome.marks.planners)
        if progress is not None:
            progress("Scoring plans", done, len(work))
    return ledger.run([*problems, *shelved.diagnostics, *plan_problems, *missing], settings, _doubts(work))


class Desk:
    """The work of a run, on slips: what has to be encoded for it, and the tasks that workers take."""

    def __init__(self, work: Sequence[tuple[Plan, Slip]], spool: Spool, orders: Orders) -> None:
        self._work, self._spool, self._orders = work, spool, orders
        papers = {id(gold): gold for gold, _ in work}
        self._gold = {key: (packed(gold), content_digest(gold.ablations)) for key, gold in papers.items()}

    def task(self, gold: Plan, slip: Slip) -> Task:
        """One plan to score."""
        content, said = self._gold[id(gold)]
        return Task(content, said, self._spool.get(slip.place) if slip.place else None, slip)

    def tasks(self) -> Iterator[Task]:
        """All of it, in the order in which tables show it."""
        return (self.task(gold, slip) for gold, slip in self._work)

    def encode(self, engine: Map, progress: Progress | None) -> None:
        """Have every text encoded that no earlier run knows and a plan without kept decisions needs, each once."""
        encoder = self._orders.encoder
        if encoder is None:
            return
        texts: set[str] = set()
        for batch in self._undecided(engine):
            texts.update(texts_of(batch))
        missing = encoder.missing(sorted(texts, key=lambda text: (len(text), text)))
        done = 0
        for count in engine(partial(fill_batch, encoder=encoder), in_batches(missing, TEXTS_AT_ONCE)):
            done += count
            if progress is not None:
                progress("Embedding texts", done, len(missing))

    def _undecided(self, engine: Map) -> Iterator[list[tuple[Plan, Plan]]]:
        """The plans whose decisions are not kept, batch by batch."""
        batches = list(in_batches(self._work, ASKED_AT_ONCE))
        said = ([(self._gold[id(gold)][1], slip.said) for gold, slip in batch] for batch in batches)
        rest = engine(partial(undecided, orders=self._orders), said)
        settings = self._orders.settings
        for batch, places in zip(batches, rest, strict=True):
            yield [self.task(*batch[at]).plans(settings) for at in places]


def score_whole(
    pred: Source,
    gold: Source,
    orders: Orders,
    second_opinion: Panel | None,
    labels: Labels | None,
    progress: Progress | None,
) -> Run:
    """Score with all plans in memory, as a second opinion and labels need them."""
    settings, calibration = orders.settings, orders.calibration
    known, table, problems = read_sides(pred, gold, settings)
    work = list(jobs(known, table, settings))
    vectors = encode(work, orders.encoder, progress) if orders.encoder else None
    opinions: Mapping[Question, Opinion] = {}
    if second_opinion is not None:
        opinions = second_opinion.ask(questions(work, calibration, settings, vectors))
    with one_thread():
        scored = [score_plan(g, p, calibration, settings, vectors, opinions) for g, p in work]
    signature = _matcher_signature(orders, known.values(), [p for _, p in work])
    facts: dict[str, Any] = {}
    if second_opinion is not None:
        signature = replace(signature, judge=second_opinion.signature)
        facts["judge"] = second_opinion.report()
    run = assemble(scored, problems, settings, signature, facts)
    return run if labels is None else corrected(run, work, labels, settings)


def corrected(run: Run, work: Sequence[tuple[Plan, Plan]], labels: Labels, settings: Settings) -> Run:
    """The run with figures that labels of some of its papers correct, and with what makes that correction doubtful."""
    from evalkit.scoring import aggregate, correction

    truth = [score for gold, plan in work if (score := label_score(gold, plan, labels, settings)) is not None]
    papers = correction.label_columns(run.papers, aggregate.paper_frame(marks_of(truth)))
    board = correction.with_correction(run.leaderboard, papers, seed=settings.seed, resamples=settings.resamples)
    labelled = int(papers.loc[papers["labelled"], "paper"].nunique())
    doubts = labels.doubts([plan for _, plan in work])
    if labelled < stats.FEW_PAPERS:
        doubts.append(f"only {labelled} papers are labelled: the corrected intervals say little")
    plans = int(papers["labelled"].sum())
    facts = {"digest": labels.digest, "papers": labelled, "plans": plans, "doubts": doubts}
    meta = {**run.meta, "labels": facts, "warnings": [*run.meta["warnings"], *doubts]}
    return replace(run, leaderboard=board, papers=papers, meta=meta)


def label_score(gold: Plan, plan: Plan, labels: Labels, settings: Settings) -> PaperScore | None:
    """What the matcher's counts would be if it decided as the labels do; None for a plan without labels."""
    tables = labels.tables(gold, plan)
    if tables is None:
        return None
    sure = Thresholds(0.5, 0.5, 2.0, 2.0)
    alignment = align(*tables, (gold.ablations, plan.ablations), sure, settings.alignment)
    return score_paper(gold, plan, alignment, (alignment, alignment))


def questions(
    work: Iterable[tuple[Plan, Plan]], calibration: Calibration, settings: Settings, vectors: Vectors | None
) -> Iterator[Question]:
    """The pairs that a second opinion is asked about: the borderline ones, or all when the settings say so."""
    limits = thresholds(calibration, settings)
    low, high = (0.0, 1.0) if settings.judge.everything else (limits.low, limits.high)
    for gold, plan in work:
        _, match = probabilities(features(gold.ablations, plan.ablations, vectors), calibration)
        for g, p in zip(*((match >= low) & (match <= high)).nonzero(), strict=True):
            yield Question(gold.paper, gold.ablations[g], plan.ablations[p])


def open_questions(
    pred: Source,
    gold: Source,
    settings: Settings,
    *,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
    place: Workplace | None = None,
) -> list[Question]:
    """What `score_run` would ask a second opinion about; nothing is scored and nobody is asked."""
    calibration = calibration_for(settings)
    known, table, _ = read_sides(pred, gold, settings)
    work = list(jobs(known, table, settings))
    with encoder_for(settings, place.store if place else None, encoder) as found:
        return list(questions(work, calibration, settings, encode(work, found, progress) if found else None))


def score_judged(pred: Source, gold: Source, settings: Settings, decider: Judgements) -> Run:
    """Score from what a decider says; no similarity is computed and no model is needed."""
    decider = decider.with_former_names(former_planners(pred, settings))
    known, work, problems = decided_work(pred, gold, settings, decider)
    scored = [judge_plan(g, p, decider, settings) for g, p in work]
    pins = {"matcher": "judgements", "calibration": decider.digest, "model": "none", "thresholds": "majority"}
    signature = sign(settings, pins, known.values(), [p for _, p in work])
    return assemble(scored, problems, settings, signature, {"judges": decider.report(work, settings.top_k)})


def compare_judges(pred: Source, gold: Source, settings: Settings, decider: Judgements) -> Mapping[str, Any]:
    """How far judges agree about these plans, and what stood in the way of comparing them; nothing is scored."""
    decider = decider.with_former_names(former_planners(pred, settings))
    _, work, problems = decided_work(pred, gold, settings, decider)
    return {**decider.report(work, settings.top_k), "problems": [asdict(item) for item in problems]}


def decided_work(
    pred: Source, gold: Source, settings: Settings, decider: Judgements
) -> tuple[dict[str, Plan], list[tuple[Plan, Plan]], list[Diagnostic]]:
    """Gold, the plans that the decider can say something about, and everything that was missing or unknown."""
    known, table, problems = read_sides(pred, gold, settings)
    given = [plan for papers in table.values() for plans in papers.values() for plan in plans]
    problems += decider.problems(known.values(), given)
    decided = decider.planners(known.values(), given)
    if not decided & set(table):
        raise InputError(f"the judgements are about none of these plans{_first(problems)}")
    kept = {name: papers for name, papers in table.items() if name in decided}
    return known, list(jobs(known, kept, settings)), problems


def read_sides(pred: Source, gold: Source, settings: Settings) -> tuple[dict[str, Plan], Table[Plan], list[Diagnostic]]:
    """Gold by paper, plans by planner and paper, and everything that was repaired, doubtful or lost on the way."""
    known, problems = _gold(gold, settings)
    found = read_plans(pred, settings)
    table, plan_problems = plans_by_paper(found.plans, known)
    if not table:
        raise InputError(f"{_name(pred)}: no plans{_first(found.diagnostics)}")
    return known, table, [*problems, *found.diagnostics, *plan_problems]


def _gold(gold: Source, settings: Settings, store: Store | None = None) -> tuple[dict[str, Plan], list[Diagnostic]]:
    """Gold by paper, and what was wrong with it."""
    references = read_plans(gold, settings, gold=True, store=store)
    known, gold_problems = gold_by_paper(references.plans)
    problems = [*references.diagnostics, *gold_problems]
    if not settings.allow_drafts:
        known, drafts = without_drafts(known)
        problems += drafts
    if not known:
        raise InputError(f"{_name(gold)}: no gold paper with entries{_first(problems)}")
    return known, problems


def _name(source: Source) -> str:
    """How to call a source in a message."""
    return str(source) if isinstance(source, str | Path) else "the plans given"


def _first(problems: Sequence[Diagnostic]) -> str:
    """The first error, behind a colon."""
    errors = [item for item in problems if item.severity == "error"]
    place = f"{errors[0].path}: " if errors and errors[0].path else ""
    return f"; first error: {place}{errors[0].message}" if errors else ""


def encode(work: Iterable[tuple[Plan, Plan]], encoder: Encoder | CachedEncoder, progress: Progress | None) -> Vectors:
    """The vectors of every text that the work needs, each text once."""
    return encoder.encode(texts_of(work), progress)


def _matcher_signature(orders: Orders, gold: Iterable[Plan], plans: Iterable[Plan | Slip]) -> Signature:
    """The signature of a run that the matcher decides."""
    model = orders.encoder.fingerprint if orders.encoder else "none"
    limits = thresholds(orders.calibration, orders.settings)
    return sign(orders.settings, matcher_pins(orders.settings, orders.calibration, limits, model), gold, plans)


def assemble(
    scored: Sequence[ScoredPlan],
    problems: Iterable[Diagnostic],
    settings: Settings,
    signature: Signature,
    facts: Mapping[str, Any] | None = None,
) -> Run:
    """The run of plans that are all in memory."""
    from evalkit.scoring.assembling import Ledger

    missing = [item for one in scored for item in one.plan.diagnostics if item.code == "missing-plan"]
    ledger = Ledger(None, signature)
    ledger.add(outcome_of(scored, None))
    return ledger.run([*problems, *missing], settings, _doubts([(one.gold, one.plan) for one in scored]), facts)


def _doubts(work: Iterable[tuple[Plan, Plan | Slip]]) -> list[str]:
    """Says how much of gold is a draft, when drafts were allowed."""
    papers = {gold.paper: is_draft(gold) for gold, _ in work}
    drafts = sum(papers.values())
    return [f"gold of {drafts} of {len(papers)} papers is a draft that nobody has confirmed"] if drafts else []
