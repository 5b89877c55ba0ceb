"""Shapes in which a text holds entries: data, blocks of fields, tables, lists; the one that finds most is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from evalkit.formats import blocks, json, yaml
from evalkit.formats.diagnostics import ParseContext, Report
from evalkit.formats.entries import action_in, field_of
from evalkit.formats.tree import Node, key_of
from evalkit.text import amount

_KEYS = "name|ablated[_ ]part|part|component|action|paper|planner|ablations|entries|plans?"
_YAML = re.compile(rf"^(?:- )?(?:{_KEYS})[ \t]*+:(?:[ \t]|$)|^- \{{", re.IGNORECASE | re.MULTILINE)
_RULE = re.compile(r"[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+(?:[ \t]*:?-+:?[ \t]*)?")
_CELL = re.compile(r"(?<!\\)\|")
_BREAK = re.compile(r"[ \t]*<br ?/?>[ \t]*", re.IGNORECASE)
_ITEM = re.compile(r"([ \t]*+)(?:[-*+•]|\(?\d{1,3}[.):])[ \t]+(.*)")
# A label inside a line: "Action: REMOVE", "**Ablated part** = the gate", "(metrics: F1)".
_LABEL = re.compile(
    r"(?:^|[;,.|(\[–—-])[ \t]*[*_`]{0,3}([A-Za-z][A-Za-z _]{2,24}?)[*_`]{0,3}[ \t]*[:：=][*_`]{0,3}[ \t]*"
)
_BOLD = re.compile(r"(?:\*\*|__)(.{1,200}?)(?:\*\*|__)[ \t]*[:.–—-]?[ \t]*(.*)", re.DOTALL)
_ACTION = re.compile(r"[\[(*_`]*\b(REMOVE|REPLACE|ADD)\b[\])*_`:]*")
_MARKS = " \t*_`;,.|–—-()[]"
_NOTHING = ("", "-", "–", "—", "N/A", "n/a")
LATER = ("data", "yaml", "table", "list")


@dataclass(frozen=True, slots=True)
class Shape:
    """How a shape is seen in a text, and how its entries are read from it."""

    shown: str
    seen: Callable[[str], bool]
    read: Callable[[str, Report, int], list[Node]]


def best(
    text: str, context: ParseContext, line: int, names: Sequence[str], *, quiet: bool = True
) -> tuple[str, list[Node]]:
    """Return the shape of a text, and its nodes: the first in `names`, or a later one that holds more.

    Tables and lists are read only where nothing else finds entries with names: people sum up a plan in them.
    """
    shapes = {**SHAPES, "blocks": Shape("blocks of fields", bool, partial(_read_blocks, quiet=quiet))}
    readings: list[_Reading] = []
    for name in names:
        summary = name in ("table", "list") and any(reading.entries == reading.named > 0 for reading in readings)
        if not summary and shapes[name].seen(text):
            reports: list[tuple[str, str, int]] = []
            readings.append(_Reading(name, shapes[name].read(text, _into(reports), line), reports))
    if not readings:
        return names[0], []
    best = max(readings, key=lambda reading: (reading.entries, reading.fields))
    for report in best.reports:
        context.report(*report)
    for other in readings:
        if other.entries and {"data", "table"} & {other.shape, best.shape} and other is not best:
            shown = [f"{one.entries} as {shapes[one.shape].shown}" for one in (best, other)]
            message = f"expected one list of entries, found {' and '.join(shown)}; read the {shapes[best.shape].shown}"
            context.report("several-shapes", message, line)
    return best.shape, best.nodes


class _Reading:
    """What one shape finds in a text: how many entries of two fields at least, with how many names and fields."""

    def __init__(self, shape: str, nodes: list[Node], reports: list[tuple[str, str, int]]) -> None:
        self.shape, self.nodes, self.reports = shape, nodes, reports
        self.entries = self.named = self.fields = 0
        waiting = list(nodes)
        while waiting:
            value = waiting.pop().value
            if isinstance(value, dict):
                fields = {field_of(label) for label, node in value.items() if node.value} - {None}
                if fields - {"name"}:
                    self.entries += len(fields) > 1
                    self.named += len(fields) > 1 and "name" in fields
                    self.fields += len(fields)
                else:
                    waiting.extend(value.values())
            elif isinstance(value, tuple):
                waiting.extend(value)


def _into(reports: list[tuple[str, str, int]]) -> Report:
    """Return what keeps reports until it is known whether their shape is read."""
    return lambda code, message, line: reports.append((code, message, line))


def seen(text: str) -> str:
    """Say which shapes a text without entries shows, for the message about it."""
    marks = [shape.shown for name, shape in SHAPES.items() if name != "list" and shape.seen(text)]
    marks += ["markdown headings"] * any(blocks.heading_of(line) for line in text.split("\n"))
    marks += ["a list"] * any(_ITEM.fullmatch(line) for line in text.split("\n"))
    words = len(text.split())
    return f"{', '.join(marks) or 'prose'} of {amount(words, 'word')} without a part or an action that could be read"


def _read_blocks(text: str, report: Report, line: int, *, quiet: bool) -> list[Node]:
    """Read blocks of fields; the line numbers of a scan are those of the document."""
    lines = [*[""] * (line - 1), *text.split("\n")]
    return blocks.read_nodes(lines, line - 1, len(lines), report, quiet=quiet)


def _read_yaml(text: str, report: Report, line: int) -> list[Node]:
    """Read YAML in prose, from its first key to the end of its fence."""
    match = _YAML.search(text)
    start = match.start() if match else len(text)
    before, (data, fence, _) = text[:start], text[start:].partition("\n```")
    if fence:
        report("code-fence", "expected data alone, found it in a code fence", line)
    elif match and before.strip():
        report("text-around-data", f"expected data alone, found {before.strip()[:40]!r}", line)
    return yaml.read_values(data, report, line + before.count("\n"))


def _table_rows(text: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the rows of every table whose head has a field of an entry: line, labels, cells."""
    lines, labels = text.split("\n"), list[str]()
    for number, line in enumerate(lines):
        if "|" not in line:
            labels = []
        elif _RULE.fullmatch(line.rstrip()) and number:
            labels = _cells(lines[number - 1])
            labels = labels if any(field_of(label) for label in labels) else []
        elif labels:
            yield number, labels, _cells(line)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.replace("\\|", "|").strip(" \t*_`") for cell in _CELL.split(inner)]


def _has_table(text: str) -> bool:
    return "|" in text and next(_table_rows(text), None) is not None


def _read_table(text: str, report: Report, line: int) -> list[Node]:
    """Read every row of a table as an entry; a dash says nothing."""
    entries = []
    for number, labels, cells in _table_rows(text):
        values = {
            label: Node(
                line + number, _BREAK.sub("; ", cell) if cell not in ("", "-", "–", "—", "N/A", "n/a") else None
            )
            for label, cell in zip(labels, cells, strict=False)
            if key_of(label)
        }
        if any(node.value for label, node in values.items() if field_of(label)):
            entries.append(Node(line + number, values))
    if entries:
        report("table-row", f"expected data or headings, found a table of {len(entries)} rows", entries[0].line)
    return [Node(entries[0].line, tuple(entries))] if entries else []


def _items(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the outermost items of lists: line, and texts, the first that of the item and the others those below it."""
    open_item: tuple[int, int, list[str]] | None = None  # line, indentation, texts
    for number, line in enumerate(text.split("\n")):
        match = _ITEM.fullmatch(line)
        indent = len(match.group(1).expandtabs(4)) if match else len(line) - len(line.lstrip())
        if match and (open_item is None or indent <= open_item[1]):
            if open_item:
                yield open_item[0], open_item[2]
            open_item = number, indent, [match.group(2).strip()]
        elif open_item and line.strip() and (match or indent > open_item[1]):
            open_item[2].append(match.group(2).strip() if match else line.strip())
        elif open_item and line.strip():
            yield open_item[0], open_item[2]
            open_item = None
    if open_item:
        yield open_item[0], open_item[2]


def _has_list(text: str) -> bool:
    return any(_listed(number, texts) for number, texts in _items(text))


def _read_list(text: str, report: Report, line: int) -> list[Node]:
    """Read every item that names a field or an action as an entry."""
    entries = [entry for number, texts in _items(text) if (entry := _listed(line + number, texts))]
    if entries:
        report("listed-entry", f"expected data or headings, found a list of {len(entries)} items", entries[0].line)
    return [Node(entries[0].line, tuple(entries))] if entries else []


def _listed(line: int, texts: list[str]) -> Node | None:
    """Return an item as the object that JSON would have; None where it is only prose."""
    values: dict[str, list[str]] = {}
    free: list[str] = []
    label = ""
    for number, text in enumerate(texts):
        marks = [match for match in _LABEL.finditer(text) if field_of(match.group(1)) or number]
        ends = [*(match.start() for match in marks[1:]), len(text)] if marks else []
        begin = text[: marks[0].start()] if marks else text
        if number and not marks and label:
            values[label].append(begin.strip(_MARKS))
            continue
        if begin.strip(_MARKS):
            free.append(begin.strip(" \t;,|–—-(["))
        for match, end in zip(marks, ends, strict=True):
            label = field_of(match.group(1)) or match.group(1)
            value = text[match.end() : end].strip(" \t*_`;,|.–—-")
            value = value[:-1] if value.endswith((")", "]")) and not {"(", "["} & {*value} else value
            values.setdefault(label, []).extend([value] if value else [])
    return _item_node(line, free, values)


def _item_node(line: int, free: list[str], values: dict[str, list[str]]) -> Node | None:
    """Put what an item says without a label into the fields that it lacks: its name, its action, its part."""
    if not free and "name" not in values:
        return None
    bold = _BOLD.match(free[0]) if free else None
    name, rest = (bold.group(1), bold.group(2)) if bold else (free[0] if free else "", "")
    known = {field for field in values if field in ("ablated_part", "action", "replacement")}
    if "action" not in values:
        named = _ACTION.search(f"{name} {rest}")
        action = named.group(1) if named else action_in((rest or name).split(maxsplit=1)[0] if rest or name else "")
        if action:
            values["action"] = [str(action)]
            known.add("action")
        if named:
            name, rest = (_ACTION.sub("", text) for text in (name, rest))
    if not known:
        return None
    values.setdefault("name", [name])
    if rest.strip(_MARKS) and "ablated_part" not in values:
        values["ablated_part"] = [rest]
    lists = ("replacement", "metrics")
    nodes = {
        label: Node(line, tuple(Node(line, text) for text in texts) if label in lists and len(texts) > 1
                    else "; ".join(text.strip(_MARKS if label == "name" else " \t*`;.–—-") for text in texts))
        for label, texts in values.items()
    }  # fmt: skip
    return Node(line, nodes)


SHAPES: Mapping[str, Shape] = {
    "data": Shape("JSON", json.has_data, json.read_values),
    "yaml": Shape("YAML", lambda text: _YAML.search(text) is not None, _read_yaml),
    "table": Shape("a table", _has_table, _read_table),
    "list": Shape("a list", _has_list, _read_list),
}
