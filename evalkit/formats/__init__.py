"""Documents to plans and back: a table of formats (FORMATS), known by content, with diagnostics (CODES) of repairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from evalkit.errors import InputError
from evalkit.formats import json, markdown, reply, shapes, yaml
from evalkit.formats.diagnostics import CODES, ParseContext, Report
from evalkit.formats.layouts import final_lists, read_plans
from evalkit.formats.tree import Node
from evalkit.text import repair_document
from evalkit.types import Diagnostic, Document, Plan

__all__ = ["CODES", "FORMATS", "Format", "parse_document", "recognise", "write_plans"]


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of document is recognised, read, and, if it can be, written."""

    name: str
    description: str
    suffixes: tuple[str, ...]
    recognises: Callable[[str], bool]
    read: Callable[[str, ParseContext], list[Plan]]
    write: Callable[[Sequence[Plan]], str] | None = None


def _data(parse: Callable[[str, Report], list[Node]]) -> Callable[[str, ParseContext], list[Plan]]:
    """Read plans from the document trees of a format of data."""
    return lambda text, context: read_plans(final_lists(parse(text, context.report), text, 1, context), context)


# A reading without entries that reports one of these has taken something else for its format; others say: no entries.
DOUBTS = frozenset(
    ("text-around-data", "text-between-data", "bare-word", "not-an-entry", "entry-unreadable", "entry-without-content",
     "unread-line", "plan-heading-missing", "missing-comma", "code-fence", "yaml-requoted")
)  # fmt: skip
HOSTILE = frozenset(("too-deep", "yaml-aliases", "more-of-the-kind"))  # what reports one of these is read once
READ = "read are JSON or YAML lists, headings with '- **Action**: ...', '1. **Name** - Action: ...', and tables"
# The first that recognises a text and finds entries in it reads it, so the strictest signs come first.
FORMATS: Mapping[str, Format] = {
    format_.name: format_
    for format_ in (
        Format("jsonl", "one JSON object a line: entries, or plans", (".jsonl", ".ndjson"),
               json.is_jsonl, _data(json.read_values), json.write_jsonl),
        Format("json", "a list of entries, an object with one, or an object of papers (AblationBench's plans.json)",
               (".json",), json.is_json, _data(json.read_values), json.write),
        Format("yaml", "the same as YAML; read as data only", (".yaml", ".yml"),
               yaml.recognises, _data(yaml.read_values), yaml.write),
        Format("trajectory", "markdown with an 'Ablation Plan', an entry a heading, with or without HTML boxes",
               (".md", ".markdown", ".txt"), markdown.recognises, markdown.read, markdown.write),
        Format("reply", "a raw model reply: <discussion> and <predictions>, fenced code, or prose around data",
               (".txt", ".md", ".log"), reply.recognises, reply.read),
    )
}  # fmt: skip


def parse_document(
    document: Document, *, strict: bool = False, gold: bool = False, format_name: str | None = None
) -> tuple[Plan, ...]:
    """Return every plan in a document, at least one, with diagnostics of what was repaired, doubtful or left out.

    Content never raises. `gold` reads reference lists: no planner, and nothing but name or part is asked of an entry.
    `strict` turns repairs into errors; the entries stay. `format_name` overrules what the text looks like.
    """
    if format_name is not None and format_name not in FORMATS:
        raise InputError(f"{format_name}: no such format; there are {', '.join(FORMATS)}")
    context = ParseContext(document, strict, gold)
    text, repairs = repair_document(document.text)
    for repair in repairs:
        context.report(*repair)
    if not text.strip():
        context.report("empty-document", "expected a plan, found an empty document")
        return (context.finish(Plan("", None, ())),)
    readers = iter([FORMATS[format_name]]) if format_name else _readers(text)
    if strictest := next(readers, None):
        return tuple(_read(text, context, chain([strictest], readers)))
    message = f"expected one of {', '.join(FORMATS)}, found text that begins {text.strip()[:40]!r}"
    context.report("not-recognised", f"{message}; seen: {shapes.seen(text)}; {READ}", 1)
    return (context.finish(Plan("", None, ())),)


def _readers(text: str) -> Iterator[Format]:
    """Yield the formats that take a text for one of their own, strictest signs first."""
    return (format_ for format_ in FORMATS.values() if format_.recognises(text))


def recognise(text: str) -> Format | None:
    """Return the first format that takes a text for one of its own."""
    return next(_readers(text), None)


def _read(text: str, context: ParseContext, readers: Iterable[Format]) -> list[Plan]:
    """Return the plans of the first format that finds entries, and of the first format where none does."""
    repairs, first = context.take(), list[Plan]()
    for format_ in readers:
        inner = ParseContext(context.document, context.strict, context.gold)
        for item in repairs:
            inner.report(item.code, item.message, item.line)
        plans = format_.read(text, inner)
        codes = {item.code for plan in plans for item in plan.diagnostics}
        if any(plan.ablations for plan in plans) or not codes & DOUBTS or codes & HOSTILE:
            return plans
        first = first or plans
    shapes_seen = f"; seen: {shapes.seen(text)}; {READ}"
    return [replace(plan, diagnostics=tuple(_with_shapes(plan.diagnostics, shapes_seen))) for plan in first]


def _with_shapes(items: Iterable[Diagnostic], shapes_seen: str) -> Iterator[Diagnostic]:
    """Yield diagnostics, `no-entries` with what was seen and what would have been read."""
    return (replace(one, message=one.message + shapes_seen) if one.code == "no-entries" else one for one in items)


def write_plans(plans: Sequence[Plan], format_name: str) -> str:
    """Write plans in a format that can be written."""
    writers = {name: format_.write for name, format_ in FORMATS.items() if format_.write}
    if format_name not in writers:
        raise InputError(f"{format_name}: cannot be written; choose one of {', '.join(writers)}")
    return writers[format_name](plans)
