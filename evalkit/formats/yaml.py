"""YAML: recognise, parse and write; scalars stay text, and nothing but data is ever built.

Read as a stream of events, so that depth, aliases and size are bounded before anything exists. A document that does not
parse is read item by item, so that one broken entry does not take its neighbours along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Any

from evalkit.formats.diagnostics import Report
from evalkit.formats.entries import plan_trees
from evalkit.formats.tree import Node
from evalkit.types import Plan

DEEPEST = 32
DEEPEST_PASSED = 32  # levels below DEEPEST that are passed over; beyond, the document is left out
DEEPEST_REPAIR = 8
LONGEST_KEY = 1024  # characters, as YAML has it
MOST_PIECES = 1_000  # of a broken document that are read one by one
COPIES = 20_000  # values that aliases may stand for in one document
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_STARTS = frozenset(("SequenceStartEvent", "MappingStartEvent"))
_ENDS = frozenset(("SequenceEndEvent", "MappingEndEvent"))
_DOCUMENT = re.compile(r"---(?:[ \t]|$)|\.\.\.[ \t]*+(?:#.*)?$")
_DIRECTIVE = re.compile(r"%(?:YAML|TAG)\b")
_LOOSE = re.compile(r"^([ \t]*+(?:- +)*+)([A-Za-z_][\w -]{0,40})?(:[ \t]+)?([^\s\"'\[{|>&*#-].*)$", re.MULTILINE)
_FLOW = re.compile(r"\s*+[\[{](?:[\[{\s]|&\w{1,80}\s)*+[A-Za-z_][\w -]{0,80}:\s")
_SCRIPT = re.compile(r"(?:^|[\s,{\[])(?:/[/*]|undefined\b)|[\"'][ \t]*+:")
_START = re.compile(
    r"(?:- )*+(?:[\w.\"'/-]{1,200}+|[Aa]blated [Pp]art|<<):(?:[ \t]|$)|- \{|- &\w{1,80}(?: |$)"
    r"|---(?: +[{\[&!#-]|$)|%YAML"
)


def recognises(text: str) -> bool:
    """Does the text begin with a key or an item, and hold neither markdown headings nor JSON?"""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith(("# ", "#!"))]
    begins = bool(lines) and _START.match(lines[0].rstrip()) is not None
    foreign = ("##", "```") if begins and lines[0].startswith(("---", "%")) else ("##", "```", "{", "[")
    return (begins and not any(line.startswith(foreign) for line in lines)) or _is_flow(text)


def _is_flow(text: str) -> bool:
    """Does the text stand in brackets, with a first key that has no quotes, as YAML has it and JSON has not?

    What JavaScript and Python write in the same way and mean otherwise (comments, escapes in single quotes) is none.
    """
    return _FLOW.match(text) is not None and not _SCRIPT.search(text) and not ("\\" in text and "'" in text)


def flow_values(text: str, report: Report, first_line: int = 1) -> list[Node]:
    """Return the documents of a text in brackets that is YAML and not JSON; else nothing."""
    import yaml

    try:
        return _documents(text, first_line, report) if _is_flow(text) else []
    except yaml.YAMLError:
        return []


def write(plans: Sequence[Plan]) -> str:
    """Write the trees of JSON as YAML."""
    import yaml

    return str(yaml.dump(plan_trees(plans), Dumper=yaml.SafeDumper, allow_unicode=True, sort_keys=False, width=120))


class _Refused(Exception):
    """Something that a plan never holds: code, message and line of the diagnostic."""


def read_values(text: str, report: Report, first_line: int = 1) -> list[Node]:
    """Return every YAML document in a text; when one is broken, what can be read of it."""
    import yaml

    stream = list(_stream(text))
    try:
        return _documents(text, first_line, report, refuse=len(stream) > 1)
    except _Refused:
        error = ""
    except yaml.YAMLError as problem:
        error = _message(problem)
        if "\t" in text:
            report("yaml-tabs", "expected indentation by spaces, found tabs", first_line)
            stream = list(_stream(text.expandtabs(4)))
    single = error if len(stream) == 1 and "\t" not in text else ""  # what is known of the only document
    nodes = [_read_document(document, first_line + start, report, single) for start, document in stream]
    return [node for node in nodes if node is not None]


def _read_document(text: str, line: int, report: Report, error: str) -> Node | None:
    """Read one document of a broken stream; say so where it was broken and nothing else is reported of it."""
    reports: list[tuple[str, str, int]] = []
    node = _read_piece(text, line, 0, lambda *found: reports.append(found), error)
    for found in reports:
        report(*found)
    if not reports and (problem := error or _problem(text)):
        report("yaml-pieces", f"expected YAML, the parser says: {problem}; read piece by piece", line)
    return node


def _problem(text: str) -> str:
    """Return what the parser says of a text; nothing where it is content."""
    import yaml

    try:
        _documents(text, 1, lambda *_: None)
    except yaml.YAMLError as problem:
        return _message(problem)
    return ""


def _stream(text: str) -> Iterator[tuple[int, str]]:
    """Yield the documents of a stream, each with the number of lines before it."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if _DOCUMENT.match(line)]
    lines = [f"   {line[3:]}" if _DOCUMENT.match(line) else line for line in lines]
    for start, end in pairwise(dict.fromkeys((0, *starts, len(lines)))):
        used = ["" if _DIRECTIVE.match(line) else line for line in lines[start:end]]
        if any(line.strip() and not line.lstrip().startswith("#") for line in used):
            yield start, "\n".join(used)


def _documents(text: str, first_line: int, report: Report, *, refuse: bool = False) -> list[Node]:
    """Return the roots of a text that parses as a whole; nothing is reported of one that does not.

    What a plan never holds leaves nothing but a finding, or is a _Refused that is raised with `refuse`.
    """
    reports: list[tuple[str, str, int]] = []
    try:
        roots = list(_roots(text, first_line, lambda *found: reports.append(found)))
    except _Refused as refusal:
        if refuse:
            raise
        roots = []
        reports.append(refusal.args)
    for found in reports:
        report(*found)
    return roots


@cache
def _loader() -> Any:
    """Return PyYAML's loader, made to look at the oldest possible key only.

    Each open bracket may turn out to be a key; they are kept in the order of the text, so that the oldest is the first
    to go stale. Looking at all of them for every token takes time in the square of the depth.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def next_possible_simple_key(self) -> int | None:
            return next((key.token_number for key in self.possible_simple_keys.values()), None)

        def stale_possible_simple_keys(self) -> None:
            oldest = next(iter(self.possible_simple_keys.values()), None)
            if oldest and (oldest.line != self.line or self.index - oldest.index > LONGEST_KEY):
                super().stale_possible_simple_keys()

    return Loader


def _roots(text: str, first_line: int, report: Report) -> Iterator[Node]:
    """Yield the roots of a stream of events, built without recursion."""
    import yaml

    containers: list[tuple[int, str | None, list[Node]]] = []  # the open ones: line, anchor and what they hold so far
    anchors: dict[str, Node] = {}
    copies = deeper = 0  # values that aliases stand for; containers that are passed over
    event: Any
    # Always the loader in Python: libyaml is not everywhere, and where it is it reads some documents otherwise.
    for event in yaml.parse(text, Loader=_loader()):
        kind = type(event).__name__
        line = first_line + (event.start_mark.line if event.start_mark else 0)
        if kind in _STARTS and (deeper or len(containers) == DEEPEST):
            deeper += 1
            if deeper == 1:
                report("too-deep", f"expected at most {DEEPEST} levels inside each other, found more", line)
            if deeper > DEEPEST_PASSED:
                raise _Refused("too-deep", f"expected at most {DEEPEST} levels inside each other, found many", line)
            continue
        if kind in _STARTS:
            anchors.pop(event.anchor, None)  # known again once the container is closed
            containers.append((line, event.anchor, []))
            continue
        if deeper:
            deeper -= kind in _ENDS
            if deeper or kind not in _ENDS:
                continue
            node, anchor = Node(line, None), None
        elif kind == "ScalarEvent":
            anchor, null = event.anchor, event.implicit[0] and event.value in _NULL
            node = Node(line, None if null else event.value)
        elif kind in _ENDS:
            line, anchor, items = containers.pop()
            node = Node(line, _mapping(items, report) if kind == "MappingEndEvent" else tuple(items))
        elif kind == "AliasEvent":
            if event.anchor not in anchors:
                found = f"expected an anchor before *{event.anchor}, found none that is complete"
                raise _Refused("yaml-aliases", found, line)
            anchor, node = None, anchors[event.anchor]
            copies += _size(node, COPIES - copies)
            if copies > COPIES:
                raise _Refused("yaml-aliases", f"expected aliases for at most {COPIES} values, found more", line)
        else:
            continue
        if anchor:
            anchors[anchor] = node
        if containers:
            containers[-1][2].append(node)
        else:
            yield node
            anchors, copies = {}, 0


def _mapping(items: list[Node], report: Report) -> dict[str, Node]:
    """Make a mapping of keys and values in turn; merge keys (<<) give what it does not say, the first before others."""
    mapping: dict[str, Node] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        name = key.value if isinstance(key.value, str) else ""
        if isinstance(key.value, dict | tuple):
            report("unread-line", f"expected a text as a key, found {key.kind}", key.line)
        if name in mapping:
            report("duplicate-key", f"expected one {name[:40]!r}, found another", key.line)
        mapping[name] = value
    merged = mapping.pop("<<", None)
    sources = () if merged is None else merged.value if isinstance(merged.value, tuple) else (merged,)
    if any(not isinstance(source.value, dict) for source in sources):
        report("unread-line", "expected mappings under the merge key '<<', found something else", items[0].line)
    for source in sources:
        if isinstance(source.value, dict):
            mapping = {**source.value, **mapping}
    return mapping


def _size(node: Node, limit: int) -> int:
    """Count the values a node stands for; stop beyond the limit."""
    count, waiting = 0, [node]
    while waiting and count <= limit:
        value = waiting.pop().value
        count += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, tuple):
            waiting.extend(value)
    return count


def _message(problem: Exception) -> str:
    """Return what the parser says of a broken document."""
    return str(getattr(problem, "problem", None) or "something else")


def _read_piece(text: str, line: int, depth: int, report: Report, error: str = "") -> Node | None:
    """Read a piece of a broken document, as it is or with its values quoted, else the pieces it is made of.

    `error` is what the parser said if it has tried the piece as it is.
    """
    import yaml

    quoted = _requoted(text)
    attempts = [] if error else [text]
    for attempt in attempts if quoted == text else [*attempts, quoted]:
        try:
            roots = _documents(attempt, line, report)
        except yaml.YAMLError as problem:
            error = _message(problem)
            continue
        if attempt is not text:
            report("yaml-requoted", "expected quotes around a value that holds ': ' or '#', found none", line)
        return roots[0] if roots else None
    pieces = _split(text) if depth < DEEPEST_REPAIR else []
    if len(pieces) == 1 and (inner := _opened(pieces[0][1])):
        key, skipped, rest = inner
        node = _read_piece(rest, line + pieces[0][0] + skipped, depth + 1, report)
        return node and Node(line, (node,) if key is None else {key: node})
    if len(pieces) < 2:
        report("entry-unreadable", f"expected a YAML entry or field, the parser says: {error}", line)
        return None
    if len(pieces) > MOST_PIECES:
        message = f"expected at most {MOST_PIECES} entries or fields next to each other in broken YAML, found more"
        report("too-many", message, line + pieces[MOST_PIECES][0])
    found = [_read_piece(piece, line + offset, depth + 1, report) for offset, piece in pieces[:MOST_PIECES]]
    nodes = [node for node in found if node is not None and node.value is not None]
    listed = any(isinstance(node.value, tuple) for node in nodes)
    for node in nodes:
        if isinstance(node.value, str) or (listed and not isinstance(node.value, tuple | dict)):
            report("unread-line", f"expected an entry or a field, found {node.kind}", node.line)
    if listed:
        lists = (node.value if isinstance(node.value, tuple) else (node,) for node in nodes if node.value)
        return Node(line, tuple(chain.from_iterable(one for one in lists)))
    members: dict[str, Node] = {}
    for node in nodes:
        for key, value in node.value.items() if isinstance(node.value, dict) else ():
            if key in members:
                report("duplicate-key", f"expected one {key[:40]!r}, found another", value.line)
            members[key] = value
    return Node(line, members)


def _split(text: str) -> list[tuple[int, str]]:
    """Split a text into its outermost items or keys, each with the number of lines before it."""
    lines = [line if line.strip() not in ("---", "...") else "" for line in text.split("\n")]
    used = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip(" ").startswith("#")]
    if not used:
        return []
    base = min(len(lines[i]) - len(lines[i].lstrip(" ")) for i in used)
    lowest = [i for i in used if lines[i][base : base + 1] != " "]
    listed = lines[lowest[0]][base:].startswith("- ")
    outer = [i for i in lowest if lines[i][base:].startswith("- ") == listed]
    if outer[0] != used[0]:
        outer = [used[0], *outer]  # what stands deeper than all that follows is a piece of its own
    ends = [*outer[1:], len(lines)]
    return [(start, "\n".join(lines[start:end])) for start, end in zip(outer, ends, strict=True)]


def _opened(piece: str) -> tuple[str | None, int, str] | None:
    """Return the key of a piece (None for an item), the number of lines before what it holds, and the text of that."""
    bare = piece.lstrip(" ")
    if bare.startswith("- "):
        return None, 0, " " * (len(piece) - len(bare)) + "  " + bare[2:]
    first, newline, rest = bare.partition("\n")
    if newline and first.rstrip().endswith(":"):
        return first.rstrip()[:-1].strip(" \"'"), 1, rest
    return None


def _requoted(text: str) -> str:
    """Put every plain value in quotes: `name: Ablation: size` is what people write."""

    def quote(match: re.Match[str]) -> str:
        indent, key, colon, value = match.groups(default="")
        quoted = f"{indent}{key}{colon}{json.dumps(value.rstrip(), ensure_ascii=False)}"
        return match.group() if key and not colon else quoted

    return _LOOSE.sub(quote, text)
