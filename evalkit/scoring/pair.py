"""Pair every gold paper with every planner's plan of it; plans are known by references and stay on disk."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from typing import Any

from evalkit.metrics.ablationbench import NO_SUGGESTION
from evalkit.metrics.counts import LOST_SAMPLE, MISSING_PLAN
from evalkit.settings import Settings, gold_digest
from evalkit.storage.cache import decode_plans, encode_plans
from evalkit.storage.discovery import paper_name
from evalkit.storage.files import Place, Spool
from evalkit.text import normalise_id
from evalkit.types import Diagnostic, Plan, Portable


@dataclass(frozen=True, slots=True)
class PlanRef(Portable):
    """A plan that lies on disk: its names, the hash of its entries and of those that are scored, and its place.

    A missing plan has no place; the hashes of a plan without entries are empty. `named_by_path` is 2 where the path
    names the planner that the document names, and 1 more where it names the paper.
    """

    paper: str
    planner: str | None
    sample: str = ""
    path: str = ""
    digest: str = ""
    scored_digest: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    place: Place | None = None
    named_by_path: int = 0


PlanTable = dict[str, dict[str, list[PlanRef]]]


@dataclass(frozen=True, slots=True)
class Task(Portable):
    """One plan to score, as it travels to a worker: gold and plan encoded, and the hash of gold's entries."""

    gold: bytes
    gold_digest: str
    plan: bytes | None
    ref: PlanRef

    def decode(self, top_k: int | None = None) -> tuple[Plan, Plan]:
        """Return gold, and the plan under the names that pairing gave it with the entries that are scored."""
        return _decode_gold(self.gold), decode_plan(self.plan, self.ref, top_k)


@lru_cache(maxsize=1024)
def _decode_gold(content: bytes) -> Plan:
    """Return one object for one gold list, which the features' caches know by identity."""
    (gold,) = decode_plans(content, "")
    return gold


def decode_plan(content: bytes | None, ref: PlanRef, top_k: int | None = None) -> Plan:
    """Return the plan of a reference; a missing plan has no content."""
    if content is None:
        return Plan(ref.paper, ref.planner, (), ref.diagnostics, ref.path, sample=ref.sample)
    (plan,) = decode_plans(content, ref.path)
    return replace(plan, paper=ref.paper, planner=ref.planner, sample=ref.sample, ablations=plan.ablations[:top_k])


class Work:
    """Pairs of gold and plan, in the order in which tables show them; the plans lie in a spool."""

    def __init__(self, pairs: Sequence[tuple[Plan, PlanRef]], spool: Spool) -> None:
        self.pairs, self._spool = pairs, spool
        papers = {id(gold): gold for gold, _ in pairs}
        self._gold = {key: (encode_plans([replace(gold, about=())]), gold_digest(gold)) for key, gold in papers.items()}

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def missing(self) -> list[Diagnostic]:
        """The diagnostics of plans that do not exist."""
        absent = (MISSING_PLAN, LOST_SAMPLE)
        return [item for _, ref in self.pairs for item in ref.diagnostics if item.code in absent]

    def digests(self) -> list[tuple[str, str]]:
        """Return the hashes of what gold and plan say, pair by pair."""
        return [(self._gold[id(gold)][1], ref.scored_digest) for gold, ref in self.pairs]

    def task(self, index: int) -> Task:
        """Return one pair as a task."""
        gold, ref = self.pairs[index]
        return Task(*self._gold[id(gold)], self._spool.get(ref.place) if ref.place else None, ref)

    def tasks(self) -> Iterator[Task]:
        """Yield every pair as a task."""
        return map(self.task, range(len(self.pairs)))

    def plans(self, top_k: int | None = None) -> Iterator[tuple[Plan, Plan]]:
        """Yield gold and plan of every pair, one plan in memory at a time."""
        for gold, ref in self.pairs:
            yield gold, decode_plan(self._spool.get(ref.place) if ref.place else None, ref, top_k)


def gold_by_paper(plans: Iterable[Plan]) -> tuple[dict[str, Plan], list[Diagnostic]]:
    """Return gold under normalised paper ids; one without entries cannot be scored.

    Of several lists of a paper, the one whose file is called after it counts, else the first.
    """
    gold: dict[str, Plan] = {}
    problems: list[Diagnostic] = []
    for plan in plans:
        key = normalise_id(plan.paper)
        if not plan.ablations:
            problems.append(_no_gold(plan))
            continue
        first = gold.setdefault(key, plan)
        if first is plan:
            continue
        if _is_file_of(plan.path, key) and not _is_file_of(first.path, key):
            gold[key], plan, first = plan, first, plan
        message = f"gold for {plan.paper!r} was read from {first.path}; this one is not used"
        problems.append(Diagnostic("error", "duplicate-gold", message, plan.path))
    return gold, problems


def _no_gold(plan: Plan) -> Diagnostic:
    """Report gold without entries: none could be read, or a review that suggests none, as AblationBench counts them."""
    if dict(plan.about).get("num_ablation_suggestions") == "0":
        message = f"the review of {plan.paper!r} suggests nothing; only AblationBench's means count the paper, as 0"
        return Diagnostic("warning", NO_SUGGESTION, message, plan.path)
    message = f"expected gold entries for {plan.paper!r}, found none; the paper is not scored"
    return Diagnostic("error", "no-gold", message, plan.path)


def _is_file_of(path: str, key: str) -> bool:
    """Return whether a file is called after the paper of this normalised id."""
    return normalise_id(paper_name(path)) == key


def plans_by_paper(refs: Iterable[PlanRef], gold: Mapping[str, Plan]) -> tuple[PlanTable, list[Diagnostic]]:
    """Return planner -> paper -> its plans (several only as different samples), and what could not be placed."""
    table: PlanTable = {}
    claims: dict[tuple[str, str, str], list[PlanRef]] = {}
    problems: list[Diagnostic] = []
    for original in refs:
        ref = as_sample(original, gold)
        if ref.paper != original.paper:
            message = f"read as sample {ref.sample!r} of {ref.paper!r}, because gold knows no paper {original.paper!r}"
            problems.append(Diagnostic("note", "sample-in-name", message, ref.path))
        key, planner = normalise_id(ref.paper), ref.planner or ""
        table.setdefault(planner, {})
        if key in gold:
            claims.setdefault((planner, key, ref.sample), []).append(ref)
        else:
            problems.append(_unknown_paper(ref, gold))
    at_home = {planner for (planner, _, _), found in claims.items() if any(map(_lies_with_planner, found))}
    for (planner, key, _), claimants in claims.items():
        if planner in at_home and not any(map(_lies_with_planner, claimants)):
            problems.extend(map(_elsewhere, claimants))
            continue
        ref, found = _settled(claimants) if len(claimants) > 1 else (claimants[0], [])
        table[planner].setdefault(key, []).append(ref)
        problems.extend(found)
    return table, problems


def _lies_with_planner(ref: PlanRef) -> bool:
    return ref.named_by_path >= 2


def _elsewhere(ref: PlanRef) -> Diagnostic:
    """Report a plan of a planner that has a folder, for a paper or sample that the folder lacks, in another place."""
    message = f"{ref.planner!r} has a folder of that name; its plan for {ref.paper!r} in another place is not used"
    hint = "; move it there, or let [planners] in the settings name the planner of this path"
    return Diagnostic("error", "plan-elsewhere", message + hint, ref.path)


def _settled(claimants: Sequence[PlanRef]) -> tuple[PlanRef, list[Diagnostic]]:
    """Return which of several plans of one planner, paper and sample counts, and what is said of the others.

    Those count whose path names the planner, before those whose path names the paper only, whatever they hold: a file
    speaks for nobody in whose place it does not lie. Several files of equal right that differ are all refused.
    """
    right = max(ref.named_by_path for ref in claimants)
    heirs = [ref for ref in claimants if ref.named_by_path == right]
    first = next((ref for ref in heirs if ref.digest), heirs[0])
    rival = next((ref for ref in heirs if ref.digest not in ("", first.digest) and ref.path != first.path), None)
    if rival is None:
        return first, [_duplicate(ref, first) for ref in claimants if ref is not first]
    others = [(ref, rival if ref.digest == first.digest else first) for ref in claimants]
    problems = [_duplicate(ref, other, neither=True) for ref, other in others]
    error = _duplicate(first, rival, neither=True)
    return PlanRef(first.paper, first.planner, first.sample, first.path, diagnostics=(error,)), problems


def _duplicate(ref: PlanRef, other: PlanRef, *, neither: bool = False) -> Diagnostic:
    """Report a second plan of a paper: only a note where both say the same, or this one nothing."""
    used = "neither is used" if neither else "this one is not used"
    message = f"a plan of {ref.planner!r} for {ref.paper!r} was read from {other.path} as well; {used}"
    if not ref.digest or (ref.digest == other.digest and not neither):
        return Diagnostic("note", "repeats", f"{message}; it says {'the same' if ref.digest else 'nothing'}", ref.path)
    same_place = PurePath(ref.path).parent == PurePath(other.path).parent
    hint = "" if same_place else (
        "; if these are plans of different prompts under one heading, --planner-from path tells them apart"
    )  # fmt: skip
    return Diagnostic("error", "duplicate-plan", message + hint, ref.path)


def as_sample(ref: PlanRef, gold: Mapping[str, Plan]) -> PlanRef:
    """Take a plan whose file is called `paper.2` as sample 2 of `paper`, if gold knows `paper`.

    A paper that is itself called `name.5` is known to gold under that name, and so is never split.
    """
    stem = paper_name(ref.path) if ref.path else ref.paper
    match = re.fullmatch(r"(.+)\.(\d+)", stem)
    key = normalise_id(ref.paper)
    if ref.sample or match is None or normalise_id(match[1]) not in gold:
        return ref
    if key == normalise_id(match[1]):
        # The document itself says its paper; its file says which sample.
        return replace(ref, sample=match[2])
    if key in gold or key != normalise_id(stem):
        return ref
    return replace(ref, paper=gold[normalise_id(match[1])].paper, sample=match[2])


def _unknown_paper(ref: PlanRef, gold: Mapping[str, Plan]) -> Diagnostic:
    """Report a paper that gold does not know, with its papers of the most similar names."""
    from rapidfuzz import fuzz, process

    near = process.extract(normalise_id(ref.paper), list(gold), scorer=fuzz.ratio, limit=3, score_cutoff=60)
    names = ", ".join(gold[key].paper for key, _, _ in near)
    message = f"gold does not know the paper {ref.paper!r}; the plan is not scored"
    return Diagnostic("warning", "unknown-paper", f"{message}; nearest: {names}" if near else message, ref.path)


def paired(gold: Mapping[str, Plan], table: PlanTable, settings: Settings) -> Iterator[tuple[Plan, PlanRef]]:
    """Yield every gold paper with every planner's plans of it, in a fixed order; gold owns the denominator."""
    for planner in sorted(table):
        expected = settings.samples or max(map(len, table[planner].values()), default=1)
        names = {ref.sample for refs in table[planner].values() for ref in refs}
        for key in sorted(gold):
            paper, found = gold[key].paper, table[planner].get(key, [])
            lost = _lost_samples(paper, planner, found, names, expected) if found else [missing_plan(paper, planner)]
            for ref in (*found, *lost):
                if ref.digest or settings.missing == "zero":
                    yield gold[key], ref


def missing_plan(paper: str, planner: str) -> PlanRef:
    """Return the reference of a plan that does not exist; it counts as an empty plan."""
    message = f"{planner!r} has no plan for {paper!r}; it counts as an empty plan"
    return PlanRef(paper, planner, diagnostics=(Diagnostic("warning", MISSING_PLAN, message),))


def _lost_samples(
    paper: str, planner: str, found: Sequence[PlanRef], names: set[str], expected: int
) -> Iterator[PlanRef]:
    """Yield the samples that a paper lacks, as empty plans: those that are there do not stand for the lost ones.

    They go by the names that the planner's samples have on other papers, where these are the same everywhere.
    """
    known = sorted(names, key=_in_order) if len(names) <= expected else []
    numbers = map(str, range(1, expected + 1))
    there = {ref.sample for ref in found}
    absent = (name for name in dict.fromkeys((*known, *numbers)) if name not in there)
    for name in islice(absent, max(expected - len(found), 0)):
        message = (
            f"{planner!r} has {len(found)} of {expected} samples for {paper!r}; sample {name!r} counts as an empty plan"
        )
        yield PlanRef(paper, planner, name, diagnostics=(Diagnostic("warning", LOST_SAMPLE, message),))


def _in_order(name: str) -> tuple[bool, int, str]:
    """Return what sorts names of samples: numbers by their value, then the others."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def lost_samples(work: Work) -> list[dict[str, Any]]:
    """Return, for each planner that lacks samples, how many of a paper were expected, and which of them are lost."""
    counts = Counter((ref.planner or "", gold.paper) for gold, ref in work.pairs)
    samples = Counter(ref.planner or "" for _, ref in work.pairs)
    lost: dict[str, dict[str, list[str]]] = {}
    for gold, ref in work.pairs:
        if any(item.code == LOST_SAMPLE for item in ref.diagnostics):
            lost.setdefault(ref.planner or "", {}).setdefault(gold.paper, []).append(ref.sample)
    return [
        {
            "planner": planner,
            "expected": max(counts[planner, paper] for paper in papers),
            "samples": samples[planner],
            "lost": papers,
        }
        for planner, papers in lost.items()
    ]
