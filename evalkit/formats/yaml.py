"""YAML: recognise, parse and write; scalars stay text, and nothing but data is ever built.

Read as a stream of events, so that depth, aliases and size are bounded before anything exists. A document that does not
parse is read item by item, so that one broken entry does not take its neighbours along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from evalkit.formats.diagnostics import Report
from evalkit.formats.entries import Node, plan_trees
from evalkit.types import Plan

DEEPEST = 32
DEEPEST_REPAIR = 8
COPIES = 20_000  # values that aliases may stand for in one document
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_LOOSE = re.compile(r"^([ \t]*+(?:- +)*+)([A-Za-z_][\w -]{0,40})?(:[ \t]+)?([^\s\"'\[{|>&*#-].*)$", re.MULTILINE)
_START = re.compile(r"(?:- )*+(?:[\w.\"'/-]{1,200}+|[Aa]blated [Pp]art):(?:[ \t]|$)|- \{|- &\w{1,80}$|---$|%YAML")


def recognises(text: str) -> bool:
    """Does the text begin with a key or an item, and hold neither markdown headings nor JSON?"""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith(("# ", "#!"))]
    begins = bool(lines) and _START.match(lines[0].rstrip()) is not None
    return begins and not any(line.startswith(("##", "{", "[", "```")) for line in lines)


def write(plans: Sequence[Plan]) -> str:
    """Write the trees of JSON as YAML."""
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(plan_trees(plans), Dumper=dumper, allow_unicode=True, sort_keys=False, width=120))


class _Refused(Exception):
    """Something that a plan never holds: code, message and line of the diagnostic."""


def read_values(text: str, report: Report, first_line: int = 1) -> list[Node]:
    """Return every YAML document in a text; when one is broken, what can be read of it."""
    import yaml

    try:
        return list(_documents(text, first_line))
    except _Refused as refusal:
        report(*refusal.args)
        return []
    except yaml.YAMLError:
        if "\t" in text:
            report("yaml-tabs", "expected indentation by spaces, found tabs", first_line)
            text = text.expandtabs(4)
        node = _read_piece(text, first_line, 0, report)
        return [] if node is None else [node]


def _documents(text: str, first_line: int) -> Iterator[Node]:
    """Yield the roots of a stream of events, built without recursion."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    containers: list[tuple[int, str | None, list[Node]]] = []  # the open ones: line, anchor and what they hold so far
    anchors: dict[str, Node] = {}
    copies = 0
    event: Any
    for event in yaml.parse(text, Loader=loader):
        kind = type(event).__name__  # both loaders have classes of these names
        line = first_line + (event.start_mark.line if event.start_mark else 0)
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            if len(containers) >= DEEPEST:
                raise _Refused("too-deep", f"expected at most {DEEPEST} levels inside each other, found more", line)
            anchors.pop(event.anchor, None)  # known again once the container is closed
            containers.append((line, event.anchor, []))
            continue
        if kind == "ScalarEvent":
            anchor, null = event.anchor, event.implicit[0] and event.value in _NULL
            node = Node(line, None if null else event.value)
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            line, anchor, items = containers.pop()
            node = Node(line, _mapping(items) if kind == "MappingEndEvent" else tuple(items))
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


def _mapping(items: list[Node]) -> dict[str, Node]:
    """Make a mapping of keys and values in turn; a merge key (<<) gives what the mapping itself does not say."""
    keys = [key.value if isinstance(key.value, str) else "" for key in items[::2]]
    mapping = dict(zip(keys, items[1::2], strict=True))
    merged = mapping.pop("<<", None)
    return {**merged.value, **mapping} if merged and isinstance(merged.value, dict) else mapping


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


def _read_piece(text: str, line: int, depth: int, report: Report) -> Node | None:
    """Read a piece of a broken document, as it is or with its values quoted, else the pieces it is made of."""
    import yaml

    error = ""
    for attempt in (str, _requoted):
        try:
            roots = list(_documents(attempt(text), line))
        except _Refused as refusal:
            report(*refusal.args)
            return None
        except yaml.YAMLError as problem:
            error = str(getattr(problem, "problem", None) or "something else")
            continue
        if attempt is _requoted:
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
    nodes = [_read_piece(piece, line + offset, depth + 1, report) for offset, piece in pieces]
    values = [node.value for node in nodes if node is not None]
    if any(isinstance(value, tuple) for value in values):
        lists = (node.value if isinstance(node.value, tuple) else (node,) for node in nodes if node is not None)
        return Node(line, tuple(chain.from_iterable(lists)))
    return Node(line, dict(chain.from_iterable(value.items() for value in values if isinstance(value, dict))))


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
