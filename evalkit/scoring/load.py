"""Takes paths, gives plans: finds documents, parses them, and applies the names that the settings give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from evalkit.formats import FORMATS, write_plans
from evalkit.scoring.pair import Slip, packed
from evalkit.scoring.plan_cache import plans_of
from evalkit.settings import Settings, content_digest
from evalkit.storage.cache import Store
from evalkit.storage.discovery import documents
from evalkit.storage.files import Spool, write_texts
from evalkit.types import Diagnostic, Document, Plan

Source = str | Path | Iterable[Plan]
Item = TypeVar("Item")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""What an engine is: like the built-in `map`, lazy and in order, wherever the work is done."""
Batch = list[Diagnostic | tuple[Slip, bytes]]
AT_ONCE = 128  # documents, or plans, that one worker takes at a time


@dataclass(frozen=True, slots=True)
class Reading:
    """The plans found somewhere, and everything that was repaired, doubtful or lost on the way."""

    plans: tuple[Plan, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> int:
        """How many things were left out."""
        return sum(item.severity == "error" for item in self.diagnostics)


def read_plans(
    source: Source, settings: Settings | None = None, *, gold: bool = False, store: Store | None = None
) -> Reading:
    """Every plan (or gold list) below a path; plans that are given already pass through.

    With a store, a text that was read before is not read again.
    """
    settings = settings or Settings()
    if not isinstance(source, str | Path):
        given = tuple(replace(plan, planner=None) if gold else plan for plan in source)
        return Reading(given, tuple(item for plan in given for item in plan.diagnostics))
    plans: list[Plan] = []
    problems: list[Diagnostic] = []
    for batch in in_batches(documents(source, planners=not gold), AT_ONCE):
        for item in _read(batch, settings, store, gold=gold):
            if isinstance(item, Diagnostic):
                problems.append(item)
            else:
                plans.append(item)
                problems.extend(item.diagnostics)
    return Reading(tuple(plans), tuple(problems))


def _read(
    items: Sequence[Document | Diagnostic], settings: Settings, store: Store | None, *, gold: bool = False
) -> Iterator[Diagnostic | Plan]:
    """What a batch of documents holds, in its order; plans under the names that the settings give."""
    found = iter(
        plans_of([item for item in items if isinstance(item, Document)], store, strict=settings.strict, gold=gold)
    )
    for item in items:
        if isinstance(item, Diagnostic):
            yield item
        else:
            yield from (_renamed(plan, settings) for plan in next(found))


@dataclass(frozen=True, slots=True)
class Shelved:
    """What was read, while the plans themselves lie on disk: memory holds a few hundred bytes of each."""

    slips: tuple[Slip, ...]
    diagnostics: tuple[Diagnostic, ...]
    spool: Spool


def read_apart(source: Source, settings: Settings, engine: Map, store: Store | None) -> Iterator[Batch]:
    """What `read_plans` reads, by an engine; one with workers has begun when this returns."""
    if not isinstance(source, str | Path):
        return engine(partial(_shelved, settings=settings), in_batches(source, AT_ONCE))
    batches = in_batches(documents(source, planners=True), AT_ONCE)
    return engine(partial(_read_batch, settings=settings, store=store), batches)


def shelve_plans(batches: Iterable[Batch]) -> Shelved:
    """What is read, with the plans put aside as they come."""
    slips: list[Slip] = []
    problems: list[Diagnostic] = []
    spool = Spool()
    for found in batches:
        for item in found:
            if isinstance(item, Diagnostic):
                problems.append(item)
                continue
            slip, content = item
            slips.append(replace(slip, diagnostics=(), place=spool.put(content)))
            problems.extend(slip.diagnostics)
    return Shelved(tuple(slips), tuple(problems), spool)


def _read_batch(items: list[Document | Diagnostic], settings: Settings, store: Store | None) -> Batch:
    """What a worker reads."""
    return _shelved(_read(items, settings, store), settings)


def _shelved(items: Iterable[Diagnostic | Plan], settings: Settings) -> Batch:
    """Every plan as its slip and its bytes, every trouble where it was met."""
    return [item if isinstance(item, Diagnostic) else (slip_of(item, settings), packed(item)) for item in items]


def slip_of(plan: Plan, settings: Settings) -> Slip:
    """What pairing must know of a plan."""
    whole, scored = content_digest(plan.ablations), ""
    if settings.top_k is not None:
        scored = content_digest(plan.ablations[: settings.top_k])
    return Slip(plan.paper, plan.planner, whole, scored or whole, plan.diagnostics, plan.path, plan.sample)


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _renamed(plan: Plan, settings: Settings) -> Plan:
    """A plan under the names that the settings give its planner and paper; the keys are names or globs on paths."""
    planner = _mapped(plan.planner, plan.path, settings.planners)
    paper = _mapped(plan.paper, plan.path, settings.papers) or plan.paper
    return plan if (planner, paper) == (plan.planner, plan.paper) else replace(plan, planner=planner, paper=paper)


def former_planners(source: Source, settings: Settings) -> dict[tuple[str, str], list[str]]:
    """What plans that the settings rename are called where they lie: (path, planner) -> names of that planner there."""
    found: dict[tuple[str, str], list[str]] = {}
    if not settings.planners or not isinstance(source, str | Path):
        return found
    for plan in read_plans(source, replace(settings, planners={}, papers={})).plans:
        now, before = _renamed(plan, settings).planner or "", plan.planner or ""
        if before not in (now, *found.get((plan.path, now), ())):
            found.setdefault((plan.path, now), []).append(before)
    return found


def _mapped(name: str | None, path: str, table: Mapping[str, str]) -> str | None:
    """The name a table gives to this name, else to the first glob that fits the path, else the name itself."""
    if name is None or not table:
        return name
    globs = (target for pattern, target in table.items() if fnmatchcase(path, f"*{pattern}"))
    return table.get(name) or next(globs, name)


def convert(source: str, target: str, name: str, *, gold: bool = False, force: bool = False) -> Reading:
    """Rewrite every document below `source` in the format `name`, one file a document, below `target`."""
    reading = read_plans(source, gold=gold)
    by_document: dict[str, list[Plan]] = {}
    for plan in reading.plans:
        by_document.setdefault(plan.path, []).append(plan)
    top = Path(source)
    texts: dict[Path, str] = {}
    for path, plans in by_document.items():
        inside = Path(path).relative_to(top) if top.is_dir() else Path(Path(path).name)
        texts[Path(target) / inside.with_suffix(FORMATS[name].suffixes[0])] = write_plans(plans, name)
    write_texts(texts, force=force)
    return reading
