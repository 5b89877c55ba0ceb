"""The table of formats (FORMATS): find the format of a document by what it holds, read its plans, and write plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.errors import InputError
from evalkit.formats import json, markdown, reply, yaml
from evalkit.formats.diagnostics import ParseContext
from evalkit.text import repair_document
from evalkit.types import Document, Plan


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of document is recognised, read, and, if it can be, written."""

    name: str
    description: str
    suffixes: tuple[str, ...]
    recognises: Callable[[str], bool]
    read: Callable[[str, ParseContext], list[Plan]]
    write: Callable[[Sequence[Plan]], str] | None = None


# The first that recognises a text reads it, so the strictest signs come first.
FORMATS: Mapping[str, Format] = {
    format_.name: format_
    for format_ in (
        Format("jsonl", "one JSON object a line: entries, or plans", (".jsonl", ".ndjson"),
               json.is_jsonl, json.read, json.write_jsonl),
        Format("json", "a list of entries, an object with one, or an object of papers (AblationBench's plans.json)",
               (".json",), json.is_json, json.read, json.write),
        Format("yaml", "the same as YAML; read as data only", (".yaml", ".yml"),
               yaml.recognises, yaml.read, yaml.write),
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
    context.report_repairs(repairs)
    if not text.strip():
        context.report("empty-document", "expected a plan, found an empty document")
        return (context.finish(Plan("", None, ())),)
    format_ = FORMATS[format_name] if format_name else recognise(text)
    if format_ is None:
        message = f"expected one of {', '.join(FORMATS)}, found text that begins {text.strip()[:40]!r}"
        context.report("not-recognised", message, 1)
        return (context.finish(Plan("", None, ())),)
    return tuple(format_.read(text, context))


def recognise(text: str) -> Format | None:
    """Return the first format that takes a text for one of its own."""
    return next((format_ for format_ in FORMATS.values() if format_.recognises(text)), None)


def write_plans(plans: Sequence[Plan], format_name: str) -> str:
    """Write plans in a format that can be written."""
    writers = {name: format_.write for name, format_ in FORMATS.items() if format_.write}
    if format_name not in writers:
        raise InputError(f"{format_name}: cannot be written; choose one of {', '.join(writers)}")
    return writers[format_name](plans)
