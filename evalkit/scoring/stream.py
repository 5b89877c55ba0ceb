"""Plans that come as JSON lines while they are made: read and scored one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import BinaryIO, TypeAlias

from evalkit.formats import parse_document
from evalkit.formats.layouts import LISTS
from evalkit.formats.tree import key_of
from evalkit.scoring.load import Source, load_gold, plan_ref, renamed
from evalkit.scoring.matcher import Matcher, encoder_for, matcher_for
from evalkit.settings import Settings, gold_digest
from evalkit.storage.cache import CACHE_FILE, Store
from evalkit.storage.discovery import LARGEST
from evalkit.storage.files import temporary_folder
from evalkit.text import normalise_id
from evalkit.types import Diagnostic, Document, Plan, ScoredPlan

Row: TypeAlias = tuple[int, str]  # a line's number and its text
Tell = Callable[[int, ScoredPlan], None]
"""A callback with the number of a plan, from 1, and its score."""
PLACE = "standard input"


@contextmanager
def scored_stream(
    stream: BinaryIO, gold: Source, settings: Settings, cache: Store | None, tell: Tell
) -> Iterator[tuple[Iterator[Plan | Diagnostic], Store]]:
    """Open plans of JSON lines that are scored as they come, and the cache that keeps the decisions for the run.

    Gold is read first: what is wrong with it shows before any plan is waited for.
    """
    with ExitStack() as stack:
        if cache is None:
            cache = Store(f"{stack.enter_context(temporary_folder())}/{CACHE_FILE}")
            stack.callback(cache.close)
        references, _ = load_gold(gold, settings, cache)
        vectors = stack.enter_context(encoder_for(settings, cache))
        matcher = matcher_for(settings, vectors, cache)
        yield _scored(read_stream(stream, settings), references, matcher, tell), cache


def _scored(
    items: Iterable[Plan | Diagnostic], gold: dict[str, Plan], matcher: Matcher, tell: Tell
) -> Iterator[Plan | Diagnostic]:
    """Yield each plan once it is scored; of papers that gold does not know, as it is."""
    number, settings = 0, matcher.settings
    digests = {key: gold_digest(plan) for key, plan in gold.items()}
    for item in items:
        if isinstance(item, Plan):
            number += 1
            if (key := normalise_id(item.paper)) in gold:
                pair = gold[key], replace(item, ablations=item.ablations[: settings.top_k])
                (scored,) = matcher.score_cached([pair], [(digests[key], plan_ref(item, settings).scored_digest)])
                tell(number, scored)
        yield item


def read_stream(stream: BinaryIO, settings: Settings) -> Iterator[Plan | Diagnostic]:
    """Yield the plans of JSON lines as they come: a record a plan, or a record an entry, a plan's one after another.

    A line that is no record becomes a Diagnostic with its number, and the lines after it are read.
    """
    rows: list[Row] = []
    of_rows: tuple[str, ...] | None = None
    for number, line in enumerate(_lines(stream), 1):
        text = _text(line)
        if isinstance(text, str) and not text.strip():
            continue
        owner = _owner(text) if text is not None else None
        if rows and owner != of_rows:
            yield from _plans(rows, settings)
            rows = []
        if text is None:
            message = f"expected a record in UTF-8 of at most {LARGEST >> 20} MiB, found something else; passed over"
            yield Diagnostic("error", "bad-line", message, PLACE, number)
        elif owner is None:
            yield from _plans([(number, text)], settings)
        else:
            rows.append((number, text))
        of_rows = owner
    if rows:
        yield from _plans(rows, settings)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long, one byte more than is read of any."""
    while line := stream.readline(LARGEST + 1):
        yield line
        while len(line) > LARGEST and not line.endswith(b"\n"):  # the rest of it
            line = stream.readline(LARGEST + 1)
            if len(line) <= LARGEST:
                break


def _text(line: bytes) -> str | None:
    """Return the text of a line; None where it has none that can be read."""
    if len(line) > LARGEST:
        return None
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _owner(text: str) -> tuple[str, ...] | None:
    """Return whose entry a record holds, or begins to hold; None for a whole plan, and for what is no record."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or any(value for label, value in record.items() if key_of(label) in LISTS):
        return None
    names = {key_of(label): str(value) for label, value in record.items()}
    return tuple(names.get(name) or names.get(f"{name}id") or "" for name in ("planner", "paper", "sample"))


def _plans(rows: Sequence[Row], settings: Settings) -> Iterator[Plan | Diagnostic]:
    """Yield the plans of some records; one that does not say its planner and paper is a Diagnostic."""
    numbers = [number for number, _ in rows]
    document = Document(PLACE, "\n".join(text.rstrip("\r\n") for _, text in rows))
    for plan in parse_document(document, strict=settings.strict, format_name="jsonl"):
        found = tuple(
            replace(item, line=numbers[min(item.line, len(numbers)) - 1] if item.line else None)
            for item in plan.diagnostics
        )
        if plan.planner and plan.paper:
            yield renamed(replace(plan, diagnostics=found), settings)
        else:
            cause = next((f": {item.message}" for item in found if item.severity == "error"), "")
            message = f"expected a record with planner, paper and plan, found {document.text[:40]!r}{cause}"
            yield Diagnostic("error", "bad-line", message, PLACE, numbers[0])
