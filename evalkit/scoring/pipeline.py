"""The road: read gold and plans, pair them, score the pairs, and make a Run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import InputError
from evalkit.matching.calibration import expected_error
from evalkit.scoring.correction import corrected
from evalkit.scoring.gold_facts import check_field, gold_facts, known_fields
from evalkit.scoring.inputs import (
    all_refused,
    check_sides,
    draft_warnings,
    gold_warnings,
    lost_warning,
    nothing_meets,
    share_warning,
    skipped_warning,
    swapped_error,
    swapped_warning,
)
from evalkit.scoring.load import (
    Map,
    Source,
    batched,
    first_error,
    former_planners,
    load_gold,
    no_plans_error,
    read_plan_refs,
)
from evalkit.scoring.matcher import Matcher, RecordedMatcher, encoder_for, matcher_for, texts_of
from evalkit.scoring.pair import PlanRef, PlanTable, Task, Work, decode_plan, lost_samples, paired, plans_by_paper
from evalkit.scoring.reference_labels import reference_labels
from evalkit.scoring.rows import BatchResult, batch_result
from evalkit.scoring.run_writer import RunWriter
from evalkit.settings import Settings, checked, gold_digest
from evalkit.storage.cache import CACHE_FILE, Store
from evalkit.storage.files import Spool, cache_folder
from evalkit.storage.folders import check_place
from evalkit.storage.hub import is_address, pin
from evalkit.storage.label_files import Labels
from evalkit.storage.provenance import provenance, source
from evalkit.storage.runs import Run, Signature, run_folder, sign
from evalkit.storage.tables import TableFormat
from evalkit.types import Diagnostic, Plan, Question

if TYPE_CHECKING:
    from evalkit.judges.llm import Panel
    from evalkit.judges.recorded import Judgements
    from evalkit.matching.embeddings import CachedEncoder, Encoder

Progress = Callable[[str, int, int], None]
BATCH = 128  # plans that a worker scores at a time
DIGEST_BATCH = 512  # plans whose cached decisions a worker looks for at a time
TEXT_BATCH = 1024  # texts that are encoded before they are cached: what an interruption can cost


def score(
    pred: Source,
    gold: Source,
    settings: Settings | None = None,
    *,
    cache: Store | str | Path | None = "",
    out: str | Path | None = None,
    force: bool = False,
    form: str = "csv",
    progress: Progress | None = None,
    labels: Labels | None = None,
    judgements: Judgements | None = None,
    panel: Panel | None = None,
    encoder: Encoder | None = None,
    executor: Map = map,
    note: str = "",
    tags: Mapping[str, str] | None = None,
    prompts: Sequence[str | Path] = (),
) -> Run:
    """Score plans against gold: `evalkit.score`.

    pred: a folder, a file, plans, `{planner: {paper: text or list of entries}}`, a DataFrame, or a list of dicts.
    gold: the same without planners: a folder, a file, plans, `{paper: text or list of entries}`, ...
    settings: how to read, match and score; the defaults of the command.
    cache: the folder of the disk cache; "" is the user's own, as for the command, and None keeps nothing.
    out: a folder that the run is written to as it comes; without it the run is in memory only.
    force: whether `out` may replace an earlier run.
    form: how the long tables of `out` are written, "csv" or "parquet".
    progress: called with a step's name, how much of it is done, and how much there is.
    labels: labels of a random sample of papers, which correct the figures of all.
    judgements: recorded judgements that decide in place of the matcher.
    panel: language models that are asked where the matcher is unsure.
    encoder: an embedding model of your own in place of the one that the settings name.
    executor: how work is spread: called like `map` with a function and items, in order.
    note: a line about this run, for `evalkit history`.
    tags: what tells this run from others: {"prompt": "v3", "temperature": "0.7"}.
    prompts: files of the planners' prompts; the run keeps their digests.
    """
    made = provenance(note=note, tags=tags, prompts=prompts, plans=pred)
    with ExitStack() as stack:
        if isinstance(cache, str | Path):
            cache = Store(cache_folder(str(cache) or None) / CACHE_FILE)
            stack.callback(cache.close)
        return score_run(
            pred, gold, settings, encoder=encoder, progress=progress, judgements=judgements, panel=panel,
            labels=labels, executor=executor, cache=cache, out=out, force=force, form=form, made=made,
        )  # fmt: skip


def score_run(
    pred: Source,
    gold: Source,
    settings: Settings | None = None,
    *,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
    judgements: Judgements | None = None,
    panel: Panel | None = None,
    labels: Labels | None = None,
    executor: Map = map,
    cache: Store | None = None,
    out: str | Path | None = None,
    force: bool = False,
    form: str = "csv",
    made: Mapping[str, Any] | None = None,
    by: str | None = None,
) -> Run:
    """Score every planner found in `pred` on every paper of `gold`.

    Recorded `judgements` take the matcher's place; a `panel` of language models is asked where the matcher is unsure;
    `labels` of a random sample of papers correct the figures of all. With `out` the run is written to that folder as
    it comes, its long tables in the form `csv` or `parquet`. `made` is what is known of its making (`provenance`), and
    `by` a field that gold's metadata must have.
    """
    settings = checked(settings)
    (pred, doubt), (gold, another) = (pin(side, offline=settings.offline) for side in (pred, gold))
    if judgements is not None and labels is not None:
        raise InputError(
            "labels correct the matcher's figures; with judgements in its place there is nothing to correct"
        )
    if out is not None:
        check_place(out, force=force)
    loaded = load(pred, gold, settings, executor, cache, by)
    with ExitStack() as stack:
        if judgements is not None:
            named = judgements.with_former_names(former_planners(pred, settings))
            work, matcher, facts = _recorded_matcher(loaded, named, settings)
        else:
            vectors = stack.enter_context(encoder_for(settings, cache, encoder))
            calibrated = matcher_for(settings, vectors, None if panel else cache)
            work, matcher, facts = _asked_matcher(loaded, calibrated, panel, executor, progress)
            if labels is None and panel is None and settings.compat == "none":
                labels = reference_labels(work)
        signature = _signature(settings, matcher, loaded.gold, work, pred, gold)
        folder = stack.enter_context(run_folder(out, force=force, form=form)) if out is not None else None
        weighted = any(map(_is_weighted, loaded.gold.values()))
        writer = RunWriter(folder, signature, papers_whole=labels is not None, weighted=weighted)
        for result in score_work(work, matcher, writer.table_format, executor, progress):
            writer.add(result)
        about, warnings = _about(loaded, work)
        warnings = [text for text in (doubt, another) if text] + warnings
        run = writer.finish([*loaded.problems, *work.missing], settings, warnings, {**loaded.facts, **facts, **about})
        if labels is not None:
            run = corrected(run, list(work.plans(settings.top_k)), labels, settings)
        origin = {"provenance": with_inputs(made, run.signature, pred, gold, labels)} if made is not None else {}
        run = run.replace(meta={**run.meta, "warnings": [*run.meta["warnings"], *matcher.warnings], **origin})
        if folder is not None:
            folder.finish(run)
    return run


def _about(loaded: Loaded, work: Work) -> tuple[dict[str, Any], list[str]]:
    """Return what a run says of its gold and of samples that are lost, and the warnings of all that was read."""
    lost, gold = lost_samples(work), gold_facts(loaded.gold.values())
    facts = ({"lost_samples": lost} if lost else {}) | ({"gold": gold} if gold else {})
    skipped = skipped_warning(work, len(loaded.gold))
    return facts, [*loaded.warnings, *draft_warnings(work), *map(lost_warning, lost), *skipped]


def with_inputs(
    made: Mapping[str, Any], signature: Signature, pred: Source, gold: Source, labels: Labels | None
) -> dict[str, Any]:
    """Return what is known of a run's making, with what it was made of."""
    inputs = {"plans": source(pred, signature.plans), "gold": source(gold, signature.gold)}
    return {**made, "inputs": inputs | ({"labels": source(None, labels.digest)} if labels is not None else {})}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Gold by paper, the plans of each planner, and everything that was repaired, doubtful or lost on the way."""

    gold: dict[str, Plan]
    table: PlanTable
    spool: Spool
    problems: list[Diagnostic]
    facts: dict[str, Any]
    warnings: list[str]

    def work(self, settings: Settings) -> Work:
        """Return every gold paper with every planner's plan of it."""
        return Work(list(paired(self.gold, self.table, settings)), self.spool)

    def judged_work(self, judgements: Judgements, settings: Settings) -> Work:
        """Return the work of the planners that the judgements are about; add what they lack to the problems."""
        refs = [ref for papers in self.table.values() for refs in papers.values() for ref in refs]
        plans = [decode_plan(self.spool.get(ref.place), ref) for ref in refs if ref.place]
        self.problems.extend(judgements.problems(self.gold.values(), plans))
        planners = judgements.planners(self.gold.values(), plans)
        if not planners & set(self.table):
            raise InputError(f"the judgements are about none of these plans{first_error(self.problems)}")
        table = {planner: papers for planner, papers in self.table.items() if planner in planners}
        return Work(list(paired(self.gold, table, settings)), self.spool)


def load(
    pred: Source,
    gold: Source,
    settings: Settings,
    executor: Map = map,
    cache: Store | None = None,
    by: str | None = None,
) -> Loaded:
    """Read gold, whose metadata must have the field `by`, and plans; these are put into a spool as they come."""
    check_sides(pred, gold)
    batches = read_plan_refs(pred, settings, executor, cache)
    references, problems = load_gold(gold, settings, cache)
    if by:
        check_field(known_fields(gold_facts(references.values())), by)
    refs: list[PlanRef] = []
    diagnostics: list[Diagnostic] = []
    spool = Spool()
    for batch in batches:
        for item in batch:
            if isinstance(item, Diagnostic):
                diagnostics.append(item)
                continue
            ref, content = item
            refs.append(replace(ref, diagnostics=(), place=spool.put(content)))
            diagnostics.extend(ref.diagnostics)
    table, unplaced = plans_by_paper(refs, references)
    if not table:
        raise no_plans_error(pred, diagnostics)
    if not any(table.values()):
        raise nothing_meets(pred, gold, refs, references, problems)
    if error := swapped_error(pred, gold, refs, problems):
        raise error
    if error := all_refused(table):
        raise error
    facts, warnings = share_warning(refs, unplaced)
    warnings += [*swapped_warning(pred, gold, refs, references.values()), *gold_warnings(problems)]
    return Loaded(references, table, spool, [*problems, *diagnostics, *unplaced], facts, warnings)


def _recorded_matcher(
    loaded: Loaded, judgements: Judgements, settings: Settings
) -> tuple[Work, Matcher | RecordedMatcher, dict[str, Any]]:
    """Return the work that the judgements are about, the matcher that they are, and what a reader must know of them."""
    work = loaded.judged_work(judgements, settings)
    report = judgements.report(list(work.plans(settings.top_k)), settings.top_k)
    return work, RecordedMatcher(judgements, settings), {"judges": report}


def _asked_matcher(
    loaded: Loaded, matcher: Matcher, panel: Panel | None, executor: Map, progress: Progress | None
) -> tuple[Work, Matcher | RecordedMatcher, dict[str, Any]]:
    """Return all work, encoded, and the matcher with the opinions of the panel, if there is one."""
    work = loaded.work(matcher.settings)
    encode_texts(work, matcher, executor, progress)
    if panel is None:
        papers = len({gold.paper for gold, _ in work.pairs})
        promise = matcher.calibration.cross_validation.get("guarantee")
        facts = {"matcher_error": expected_error(matcher.calibration, papers)}
        return work, matcher, facts | ({"guarantee": promise} if promise else {})
    opinions = panel.ask(_questions(work, matcher, executor))
    return work, matcher.with_opinions(opinions, panel.signature), {"judge": panel.report()}


def score_work(
    work: Work,
    matcher: Matcher | RecordedMatcher,
    table_format: TableFormat | None,
    executor: Map = map,
    progress: Progress | None = None,
) -> Iterator[BatchResult]:
    """Score every pair, batch by batch and in order; rows of the long tables come encoded where a format is given."""
    done = 0
    score = partial(score_batch, matcher=matcher, table_format=table_format)
    for result in executor(score, batched(work.tasks(), BATCH)):
        done += len(result.planners)
        if progress is not None:
            progress("Scoring plans", done, len(work))
        yield result


def score_batch(
    tasks: Sequence[Task], matcher: Matcher | RecordedMatcher, table_format: TableFormat | None
) -> BatchResult:
    """Score a batch of plans in a worker."""
    pairs = [task.decode(matcher.settings.top_k) for task in tasks]
    digests = [(task.gold_digest, task.ref.scored_digest) for task in tasks]
    return batch_result(matcher.score_cached(pairs, digests), table_format)


def encode_texts(work: Work, matcher: Matcher, executor: Map, progress: Progress | None) -> None:
    """Encode and store every text that no earlier run encoded and a plan without cached decisions needs, each once."""
    if matcher.encoder is None or matcher.encoder.store is None:
        return
    texts: set[str] = set()
    batches = list(batched(work.digests(), DIGEST_BATCH))
    for number, uncached in enumerate(executor(matcher.uncached, batches)):
        tasks = (work.task(number * DIGEST_BATCH + index) for index in uncached)
        texts.update(texts_of(task.decode(matcher.settings.top_k) for task in tasks))
    missing = matcher.encoder.missing(sorted(texts, key=lambda text: (len(text), text)))
    done = 0
    for count in executor(partial(_encode_batch, encoder=matcher.encoder), batched(missing, TEXT_BATCH)):
        done += count
        if progress is not None:
            progress("Embedding texts", done, len(missing))


def _encode_batch(texts: Sequence[str], encoder: CachedEncoder) -> int:
    encoder.fill(texts)
    return len(texts)


def _questions(work: Work, matcher: Matcher, executor: Map) -> Iterator[Question]:
    """Yield the pairs that judges are asked about."""
    for questions in executor(partial(_question_batch, matcher=matcher), batched(work.tasks(), BATCH)):
        yield from questions


def _question_batch(tasks: Sequence[Task], matcher: Matcher) -> list[Question]:
    return matcher.questions([task.decode(matcher.settings.top_k) for task in tasks])


def open_questions(
    pred: Source,
    gold: Source,
    settings: Settings,
    *,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
    executor: Map = map,
    cache: Store | None = None,
) -> list[Question]:
    """Return what `score_run` would ask a panel about; nothing is scored and nobody is asked."""
    work = load(pred, gold, settings, executor, cache).work(settings)
    with encoder_for(settings, cache, encoder) as vectors:
        matcher = matcher_for(settings, vectors)
        encode_texts(work, matcher, executor, progress)
        return list(_questions(work, matcher, executor))


def compare_judges(pred: Source, gold: Source, settings: Settings, judgements: Judgements) -> Mapping[str, Any]:
    """Return how far judges agree about these plans, and what stood in the way of comparing them."""
    loaded = load(pred, gold, settings)
    judgements = judgements.with_former_names(former_planners(pred, settings))
    plans = list(loaded.judged_work(judgements, settings).plans(settings.top_k))
    return {**judgements.report(plans, settings.top_k), "problems": [asdict(item) for item in loaded.problems]}


def _is_weighted(gold: Plan) -> bool:
    return gold.weight != 1 or any(entry.weight != 1 for entry in gold.ablations)


def _signature(
    settings: Settings, matcher: Matcher | RecordedMatcher, gold: Mapping[str, Plan], work: Work, *sources: Source
) -> Signature:
    plans_from, gold_from = (source if is_address(source) else "" for source in sources)
    return sign(
        settings,
        matcher.pins,
        ((plan.planner, plan.paper, plan.sample, gold_digest(plan)) for plan in gold.values()),
        ((ref.planner, ref.paper, ref.sample, ref.scored_digest) for _, ref in work.pairs),
        gold_from=gold_from,
        plans_from=plans_from,
    )
