"""Documents to plans and back: a table of formats (FORMATS), known by content, with diagnostics (CODES) of repairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from types import MappingProxyType

from evalkit.errors import InputError
from evalkit.formats import aaar, abgen, exp_bench, json, markdown, reply, shapes, yaml
from evalkit.formats.diagnostics import CODES, ParseContext, Report
from evalkit.formats.entries import MOST_SAMPLES
from evalkit.formats.layouts import final_lists, read_plans
from evalkit.formats.tree import Members, Node, members_of
from evalkit.plugins import load_plugin, plugin_names, plugin_package
from evalkit.text import Repair, repair_document
from evalkit.types import Diagnostic, Document, Plan

__all__ = [
    "CODES",
    "FORMATS",
    "Format",
    "added_formats",
    "find_format",
    "parse_document",
    "recognise",
    "write_plans",
]


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


def _benchmark(
    plans: Callable[[Members, int, ParseContext], Iterator[Node]],
) -> Callable[[str, ParseContext], list[Plan]]:
    """Read plans from the rows of another benchmark's JSON, each translated; JSON without such rows is read as JSON."""

    def read(text: str, context: ParseContext) -> list[Plan]:
        nodes = json.read_values(text, context.report)
        rows = [row for node in nodes for row in (node.value if isinstance(node.value, tuple) else (node,))]
        found = [plan for row in rows for plan in plans(members_of(row), row.line, context)]
        return read_plans(found or final_lists(nodes, text, 1, context), context)

    return read


def _json_values(text: str, report: Report) -> list[Node]:
    """Return the values of a text in brackets: of YAML where it is that, else of JSON."""
    return yaml.flow_values(text, report) or json.read_values(text, report)


# A reading without entries that reports one of these has taken something else for its format; others say: no entries.
DOUBTS = frozenset(
    ("text-around-data", "text-between-data", "bare-word", "not-an-entry", "entry-unreadable", "entry-without-content",
     "unread-line", "plan-heading-missing", "missing-comma", "code-fence", "yaml-requoted", "yaml-pieces")
)  # fmt: skip
REFUSED = frozenset(("not-an-entry", "entry-unreadable", "entry-without-content"))  # what was taken for an entry
HOSTILE = frozenset(("too-deep", "yaml-aliases", "more-of-the-kind"))  # what reports one of these is read once
READ = "read are JSON or YAML lists, headings with '- **Action**: ...', '1. **Name** - Action: ...', and tables"
# The first that recognises a text and finds entries in it reads it, so the strictest signs come first.
FORMATS: Mapping[str, Format] = {
    format_.name: format_
    for format_ in (
        Format("abgen", "AbGen's examples: a module each, with the objective of its study", (".json", ".jsonl"),
               abgen.recognises, _benchmark(abgen.plans)),
        Format("aaar", "AAAR-1.0's ExperimentDesign: lists of experiments in prose, experts' and a model's", (".json",),
               aaar.recognises, _benchmark(aaar.plans)),
        Format("exp-bench", "EXP-Bench's designs: each factor a REPLACE by its options", (".json", ".jsonl"),
               exp_bench.recognises, _benchmark(exp_bench.plans)),
        Format("jsonl", "one JSON object a line: entries, or plans", (".jsonl", ".ndjson"),
               json.is_jsonl, _data(json.read_values), json.write_jsonl),
        Format("json", "a list of entries, an object with one, or an object of papers (AblationBench's plans.json)",
               (".json",), json.is_json, _data(_json_values), json.write),
        Format("yaml", "the same as YAML; read as data only", (".yaml", ".yml"),
               yaml.recognises, _data(yaml.read_values), yaml.write),
        Format("trajectory", "markdown with an 'Ablation Plan', an entry a heading, with or without HTML boxes",
               (".md", ".markdown", ".txt"), markdown.recognises, markdown.read, markdown.write),
        Format("reply", "a raw model reply: <discussion> and <predictions>, fenced code, or prose around data",
               (".txt", ".md", ".log"), reply.recognises, reply.read),
    )
}  # fmt: skip


@lru_cache(maxsize=1)
def added_formats() -> Mapping[str, Format]:
    """Return the formats of other packages, which are loaded for it."""
    added = {name: load_plugin("formats", name) for name in plugin_names("formats") if name not in FORMATS}
    for name, format_ in added.items():
        if not isinstance(format_, Format) or format_.name != name:
            raise InputError(f"{name!r} of {plugin_package('formats', name)}: expected a Format of that name")
    return MappingProxyType(added)


def find_format(name: str) -> Format:
    """Return a format by its name, one of another package as well."""
    if name in FORMATS:
        return FORMATS[name]
    if name not in plugin_names("formats"):
        raise InputError(f"{name}: no such format; there are {', '.join((*FORMATS, *plugin_names('formats')))}")
    return added_formats()[name]


def parse_document(
    document: Document, *, strict: bool = False, gold: bool = False, format_name: str | None = None
) -> tuple[Plan, ...]:
    """Return every plan in a document, at least one, with diagnostics of what was repaired, doubtful or left out.

    Content never raises. `gold` reads reference lists: no planner, and nothing but name or part is asked of an entry.
    `strict` turns repairs into errors; the entries stay. `format_name` overrules what the text looks like.
    """
    named = None if format_name is None else find_format(format_name)
    context = ParseContext(document, strict, gold)
    text, repairs = repair_document(document.text)
    if (reply := json.text_alone(text)) is not None:
        text, further = repair_document(reply)
        repairs = (*repairs, Repair("kept-reply", "expected a plan, found a reply kept as one JSON string"), *further)
    for repair in repairs:
        context.report(*repair)
    if not text.strip():
        context.report("empty-document", "expected a plan, found an empty document")
        return (context.finish(Plan("", None, ())),)
    readers = iter([named]) if named else _readers(text)
    if strictest := next(readers, None):
        return tuple(_bounded(_read(text, context, chain([strictest], readers)), document))
    message = f"expected one of {', '.join(FORMATS)}, found text that begins {text.strip()[:40]!r}"
    context.report("not-recognised", f"{message}; seen: {shapes.seen(text)}; {READ}", 1)
    return (context.finish(Plan("", None, ())),)


def _readers(text: str) -> Iterator[Format]:
    """Yield the formats that take a text for one of their own, strictest signs first, those of other packages last."""
    yield from (format_ for format_ in FORMATS.values() if format_.recognises(text))
    yield from (format_ for format_ in added_formats().values() if format_.recognises(text))


def recognise(text: str) -> Format | None:
    """Return the first format that takes a text for one of its own."""
    return next(_readers(text), None)


def _read(text: str, context: ParseContext, readers: Iterable[Format]) -> list[Plan]:
    """Return the plans of the first format that finds entries, and of the first format where none does."""
    repairs, first, settled = context.take(), list[Plan](), list[Plan]()
    for format_ in readers:
        if settled and format_.name in FORMATS:
            continue  # only another package's format may know better
        inner = ParseContext(context.document, context.strict, context.gold)
        for item in repairs:
            inner.report(item.code, item.message, item.line)
        plans = format_.read(text, inner)
        codes = {item.code for plan in plans for item in plan.diagnostics}
        if any(plan.ablations for plan in plans) or codes & HOSTILE:
            return plans
        if not codes & DOUBTS:
            settled = settled or plans
            if not plugin_names("formats"):
                break
        first = first or plans
    if settled:
        return settled
    shapes_seen = f"; seen: {shapes.seen(text)}; {READ}"
    return [replace(plan, diagnostics=tuple(_with_shapes(plan.diagnostics, shapes_seen))) for plan in first]


def _bounded(plans: list[Plan], document: Document) -> list[Plan]:
    """Leave out samples and planners beyond what one document may have; the last plan that stays says so."""
    known: set[tuple[str | None, str]] = set()
    kept = []
    for plan in plans:
        sample = (None if plan.planner == document.planner else plan.planner, plan.sample)
        if sample in known or len(known) < MOST_SAMPLES:
            known.add(sample)
            kept.append(plan)
    if len(kept) == len(plans):
        return plans
    message = f"expected at most {MOST_SAMPLES} samples of all planners together, found more; the rest is left out"
    found = Diagnostic("error", "too-many", message, document.path, None)
    return [*kept[:-1], replace(kept[-1], diagnostics=(*kept[-1].diagnostics, found))]


def _with_shapes(items: Sequence[Diagnostic], shapes_seen: str) -> Iterator[Diagnostic]:
    """Yield diagnostics, that of no entries with what was seen and what would have been read.

    Where one thing was taken for an entry and left out, its error says that there are none as well.
    """
    refused = [item for item in items if item.code in REFUSED]
    only = refused[0] if len(refused) == 1 and any(item.code == "no-entries" for item in items) else None
    for item in items:
        if item is only or (item.code == "no-entries" and only is None):
            yield replace(item, message=item.message + shapes_seen)
        elif item.code != "no-entries":
            yield item


def write_plans(plans: Sequence[Plan], format_name: str) -> str:
    """Write plans in a format that can be written."""
    write = find_format(format_name).write if format_name in (*FORMATS, *plugin_names("formats")) else None
    if write is None:
        writers = [name for name, format_ in FORMATS.items() if format_.write]
        raise InputError(f"{format_name}: cannot be written; choose one of {', '.join(writers)}")
    return write(plans)
