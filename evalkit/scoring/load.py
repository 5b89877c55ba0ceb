"""Read plans and gold: find documents, parse them or take them from the cache, apply the names of the settings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeVar

from evalkit.errors import InputError
from evalkit.formats import find_format, parse_document, write_plans
from evalkit.formats.exp_bench import FACTORS
from evalkit.plugins import plugin_names, plugin_package
from evalkit.scoring.given import plans_given
from evalkit.scoring.pair import PlanRef, gold_by_paper
from evalkit.settings import Settings, checked, content_digest
from evalkit.storage.cache import WRONG_CONTENT, PathName, Store, decode_plans, dependencies, encode_plans
from evalkit.storage.discovery import documents, paper_name
from evalkit.storage.files import write_texts
from evalkit.storage.hub import is_address
from evalkit.text import normalise_id, readable
from evalkit.types import Diagnostic, Document, Plan, Unread

Source = Any
"""A path, plans, or what `plans_given` reads."""
Item = TypeVar("Item")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""An executor: lazy and in order like the built-in `map`, wherever the work is done."""
ReadItem = Diagnostic | tuple[PlanRef, bytes]
BATCH = 256  # documents, or plans that are given, that a worker takes at a time
LARGEST_CACHED = 10_000_000  # characters of a document

# What a parsed plan depends on: our code, the libraries, and Python's tables of characters.
PARSING_CODE = ("formats", "plugins", "storage/cache", "text", "types")
PARSING_PACKAGES = ("python", "ftfy", "pyyaml")
_SAMPLE = re.compile(r"\.\d+$")
_PLANNER, _PAPER = PathName("planner"), PathName("paper")


@dataclass(frozen=True, slots=True)
class LoadedPlans:
    """The plans below a path, and everything that was repaired, doubtful or lost while reading them."""

    plans: tuple[Plan, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> int:
        """The number of things that were left out."""
        return sum(item.severity == "error" for item in self.diagnostics)


def read_plans(
    source: Source, settings: Settings | None = None, *, gold: bool = False, cache: Store | None = None
) -> LoadedPlans:
    """Read every plan (or gold list) below a path; plans that are given already pass through.

    source: a folder, a file, or what a program has at hand, as for `evalkit.score`.
    settings: how to read; the defaults of the command.
    gold: whether these are gold lists, which have no planner.
    cache: where parsed texts are kept; a text that was parsed before is not parsed again.
    """
    settings = checked(settings)
    if not isinstance(source, str | Path):
        given = plans_given(source, gold=gold, strict=settings.strict)
        plans = [_named(item, None if gold else item.planner, item.paper) for item in given if isinstance(item, Plan)]
        return LoadedPlans(tuple(plans), tuple(item for plan in plans for item in plan.diagnostics))
    plans, diagnostics = [], []
    for batch in batched(_documents(source, settings, cache, planners=not gold), BATCH):
        for item in _parsed(batch, settings, cache, gold=gold):
            if isinstance(item, Diagnostic):
                diagnostics.append(item)
            else:
                of_document, _, _ = item
                plans.extend(of_document)
                diagnostics.extend(problem for plan in of_document for problem in plan.diagnostics)
    return LoadedPlans(tuple(plans), tuple(diagnostics))


def load_gold(source: Source, settings: Settings, cache: Store | None) -> tuple[dict[str, Plan], list[Diagnostic]]:
    """Return gold by normalised paper id, and what was wrong with it; gold without a single paper is an error."""
    loaded = read_plans(source, settings, gold=True, cache=cache)
    gold, problems = gold_by_paper(loaded.plans)
    problems = [*loaded.diagnostics, *problems]
    if not settings.allow_drafts:
        message = "is a draft and not scored: `evalkit gold confirm` decides it, --allow-drafts takes it as it is"
        drafts = [plan for plan in gold.values() if is_draft(plan)]
        problems += [Diagnostic("error", "draft-gold", f"gold for {one.paper!r} {message}", one.path) for one in drafts]
        gold = {key: plan for key, plan in gold.items() if not is_draft(plan)}
    if not gold:
        raise InputError(f"{_source_name(source)}: no gold paper with entries{first_error(problems)}")
    return gold, problems


def is_draft(gold: Plan) -> bool:
    """Return whether nobody has confirmed an entry of a gold list."""
    return any(item.code == "draft" for item in gold.diagnostics)


def read_plan_refs(source: Source, settings: Settings, executor: Map, cache: Store | None) -> Iterator[list[ReadItem]]:
    """Read plans as `read_plans` does, as references with encoded plans; an executor with workers starts at once."""
    if not isinstance(source, str | Path):
        given = plans_given(source, strict=settings.strict)
        return executor(partial(_given_batch, settings=settings), batched(given, BATCH))
    batches = batched(_documents(source, settings, cache, planners=True), BATCH)
    return executor(partial(_read_batch, settings=settings, cache=cache), batches)


def _documents(
    source: str | Path, settings: Settings, cache: Store | None, *, planners: bool
) -> Iterator[Document | Diagnostic]:
    """Yield the documents of a path or an address; what is fetched is kept beside the cache."""
    kept = cache.path.parent if cache is not None else None
    return documents(source, planners=planners, strict=settings.strict, offline=settings.offline, cache=kept)


def no_plans_error(source: Source, diagnostics: Sequence[Diagnostic]) -> InputError:
    """Return the error of a source without a plan, with the first thing that went wrong there."""
    return InputError(f"{_source_name(source)}: no plans{first_error(diagnostics)}")


def _given_batch(items: list[Plan | Diagnostic], settings: Settings) -> list[ReadItem]:
    named = (_named(item, item.planner, item.paper) if isinstance(item, Plan) else item for item in items)
    return [(plan_ref(item, settings), _encode(item)) if isinstance(item, Plan) else item for item in named]


def _read_batch(items: list[Document | Diagnostic], settings: Settings, cache: Store | None) -> list[ReadItem]:
    """Read a batch of documents in a worker."""
    result: list[ReadItem] = []
    for item in _parsed(items, settings, cache):
        if isinstance(item, Unread):
            plan = _unread_plan(item, settings)
            result.append((plan_ref(plan, settings, plan.planner), _encode(plan)))
        elif isinstance(item, Diagnostic):
            result.append(item)
        else:
            plans, content, of_path = item
            # A document of many plans is cut up, so that a worker decodes only the plan that it scores.
            contents = [content] if content is not None and len(plans) == 1 else map(_encode, plans)
            result.extend((plan_ref(plan, settings, of_path), one) for plan, one in zip(plans, contents, strict=True))
    return result


def _unread_plan(item: Unread, settings: Settings) -> Plan:
    """Return the plan that a document would have held, so that it counts as unreadable and not as missing."""
    problem = Diagnostic(item.severity, item.code, item.message, item.path)
    return renamed(Plan(item.paper, item.planner, (), (problem,), item.path), settings, item.planner)


def _encode(plan: Plan) -> bytes:
    return encode_plans([replace(plan, about=()) if plan.about else plan])


def plan_ref(plan: Plan, settings: Settings, of_path: str | None = None) -> PlanRef:
    """Return what pairing must know of a plan, whose path names the planner `of_path`."""
    digest = content_digest(plan.ablations)
    scored = digest if settings.top_k is None else content_digest(plan.ablations[: settings.top_k])
    stem = paper_name(plan.path)
    of_paper = normalise_id(plan.paper) in (normalise_id(stem), normalise_id(_SAMPLE.sub("", stem)))
    named = 2 * (of_path is not None and of_path == plan.planner) + of_paper
    return PlanRef(plan.paper, plan.planner, plan.sample, plan.path, digest, scored, plan.diagnostics, None, named)


def _parsed(
    items: Sequence[Document | Diagnostic], settings: Settings, cache: Store | None, *, gold: bool = False
) -> Iterator[Diagnostic | tuple[list[Plan], bytes | None, str | None]]:
    """Yield diagnostics, and the plans of each document under the names of the settings.

    With them come their cached encoding and the planner that the path names.
    """
    texts = [item for item in items if isinstance(item, Document)]
    contents = (
        iter(parse_documents(texts, cache, strict=settings.strict, gold=gold)) if cache is not None else repeat(None)
    )
    for item in items:
        if isinstance(item, Diagnostic):
            yield item
            continue
        content = next(contents)
        if content is None:
            plans = parse_document(item, strict=settings.strict, gold=gold)
        else:
            plans, content = _decoded(content, item, settings, cache, gold=gold)
        planner = _mapped(item.planner, item.path, settings.planners)
        yield [renamed(plan, settings, item.planner) for plan in plans], content, planner and readable(planner)


def _decoded(
    content: bytes, document: Document, settings: Settings, cache: Store | None, *, gold: bool
) -> tuple[tuple[Plan, ...], bytes]:
    """Return the plans that are encoded, with their encoding; what is none is parsed anew, and warned of."""
    try:
        return decode_plans(content, document.path, document.planner, document.paper), content
    except WRONG_CONTENT:
        unnamed = _without_path(document)
        content = encode_plans(parse_document(unnamed, strict=settings.strict, gold=gold))
        if cache is not None:
            cache.warn_of_content(1)
            cache.put({_cache_key(unnamed, settings.strict, gold): content})
        return decode_plans(content, document.path, document.planner, document.paper), content


def parse_documents(
    texts: Sequence[Document], cache: Store, *, strict: bool = False, gold: bool = False
) -> list[bytes]:
    """Return the encoded plans of each document: cached, or parsed now and then cached."""
    unnamed = [_without_path(document) for document in texts]
    keys = [_cache_key(document, strict, gold) for document in unnamed]
    contents = cache.get(keys)
    new: dict[bytes, bytes] = {}
    for document, key in zip(unnamed, keys, strict=True):
        if key not in contents:
            contents[key] = encode_plans(parse_document(document, strict=strict, gold=gold))
            if len(document.text) <= LARGEST_CACHED:
                new[key] = contents[key]
    cache.put(new)
    return [contents[key] for key in keys]


def _without_path(document: Document) -> Document:
    """Put marks in the place of the names that the path gives; a name that it does not give stays unset."""
    planner = _PLANNER if document.planner else document.planner
    # EXP-Bench's tasks are named after the file with a number.
    given = not document.paper or FACTORS in document.text
    return Document("", document.text, planner, document.paper if given else _PAPER)


def _parsers() -> str:
    """Return what reading depends on: our code, the libraries, and the packages that add formats."""
    added = [f"{name} {plugin_package('formats', name)}" for name in plugin_names("formats")]
    return " ".join((dependencies(PARSING_CODE, PARSING_PACKAGES), *added))


def _cache_key(document: Document, strict: bool, gold: bool) -> bytes:
    """Hash a text and everything besides its path that decides what it is read as."""
    how = (strict, gold, document.planner, document.paper)
    digest = hashlib.sha256(f"plans\0{_parsers()}\0{how}\0".encode())
    digest.update(document.text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def renamed(plan: Plan, settings: Settings, of_path: str | None = None) -> Plan:
    """Apply the settings' names of planners and papers; their keys are names, or globs on paths."""
    first = of_path if settings.planner_from == "path" and plan.planner else None
    planner = _mapped(first or plan.planner, plan.path, settings.planners)
    paper = _mapped(plan.paper, plan.path, settings.papers) or plan.paper
    return _named(plan, planner, paper)


def _mapped(name: str | None, path: str, table: Mapping[str, str]) -> str | None:
    if name is None or not table:
        return name
    globs = (target for pattern, target in table.items() if fnmatchcase(path, f"*{pattern}"))
    return table.get(name) or next(globs, name)


def _named(plan: Plan, planner: str | None, paper: str) -> Plan:
    """Return a plan under these names; all its names are one line of readable text from here on."""
    names = (planner and readable(planner), readable(paper), readable(plan.sample), readable(plan.path))
    if names == (plan.planner, plan.paper, plan.sample, plan.path):
        return plan
    return replace(plan, planner=names[0], paper=names[1] or paper, sample=names[2] or "", path=names[3] or "")


def former_planners(source: Source, settings: Settings) -> dict[tuple[str, str], list[str]]:
    """Return the names that renamed planners have in their documents: (path, planner) -> those names."""
    former: dict[tuple[str, str], list[str]] = {}
    if not settings.planners or not isinstance(source, str | Path):
        return former
    for plan in read_plans(source, replace(settings, planners={}, papers={})).plans:
        now, before = renamed(plan, settings).planner or "", plan.planner or ""
        if before not in (now, *former.get((plan.path, now), ())):
            former.setdefault((plan.path, now), []).append(before)
    return former


def _source_name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "the plans given"


def first_error(problems: Sequence[Diagnostic]) -> str:
    """Return the first error, behind a colon."""
    errors = [item for item in problems if item.severity == "error"]
    place = f"{errors[0].path}: " if errors and errors[0].path else ""
    return f"; first error: {place}{errors[0].message}" if errors else ""


def convert(source: str, target: str, name: str, *, gold: bool = False, force: bool = False) -> LoadedPlans:
    """Rewrite every document below `source` in the format `name`, one file a document, below `target`."""
    loaded = read_plans(source, gold=gold)
    by_document: dict[str, list[Plan]] = {}
    for plan in loaded.plans:
        by_document.setdefault(plan.path, []).append(plan)
    top, is_folder = Path(readable(source)), Path(source).is_dir() or is_address(source)
    texts: dict[Path, str] = {}
    sources: dict[Path, str] = {}
    for path, plans in by_document.items():
        inside = Path(path).relative_to(top) if is_folder else Path(Path(path).name)
        place = Path(target) / inside.with_suffix(find_format(name).suffixes[0])
        if place in sources:
            raise InputError(f"{sources[place]} and {path}: both would be written to {place}; rename one of them")
        sources[place], texts[place] = path, write_plans(plans, name)
    write_texts(texts, force=force)
    return loaded
