"""One entry: takes the fields that a document gives it, gives an Ablation or says why there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from evalkit.formats.findings import Reading
from evalkit.formats.tree import Node, plain
from evalkit.text import repair, split_outside_brackets, tokens
from evalkit.types import Ablation, Action

FIELDS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "ablationname", "title", "ablation", "experiment", "experimentname", "ablationstudy", "studyname"),
    "ablated_part": ("ablatedpart", "part", "component", "ablatedcomponent", "target", "module", "partablated"),
    "action": ("action", "actiontype", "operation", "ablationaction", "ablationtype"),
    "replacement": (
        "replacement", "replacements", "options", "option", "replacewith", "replacedby", "alternatives", "variants",
        "values", "replacementoptions", "possiblereplacements", "addition", "additions",
    ),
    "metrics": ("metrics", "metric", "evaluationmetrics", "measures", "reportedmetrics", "metricstoreport"),
}  # fmt: skip
# What entries carry beside their five fields and evalkit has no use for.
PASSED_OVER = frozenset(
    ("id", "index", "rank", "number", "priority", "importance", "rationale", "reason", "reasoning", "motivation",
     "description", "details", "hypothesis", "justification", "note", "notes", "comment", "source", "confidence",
     "cost", "section", "table", "paper", "paperid", "planner", "plannerid", "sample", "expectedresult",
     "expectedoutcome", "draft", "quote")
)  # fmt: skip
_FIELD_OF = {key: field for field, keys in FIELDS.items() for key in keys}
_REMOVE = """remove removes removed removing removal drop drops dropped dropping disable disables disabled disabling
    without delete deleted deleting omit omitted omitting exclude excluded excluding eliminate eliminated ablate ablated
    ablating skip skipped off"""
_REPLACE = """replace replaces replaced replacing replacement substitute substituted substituting substitution swap
    swapped swapping vary varies varied varying change changed changing modify modified modifying modification alter
    altered switch switched exchange exchanged adjust adjusted tune sweep increase reduce decrease"""
_ADD = """add adds added adding addition insert inserted inserting include included including introduce introduced
    introducing append appended incorporate incorporated"""
_ACTION_OF = {
    word: action
    for action, words in ((Action.REMOVE, _REMOVE), (Action.REPLACE, _REPLACE), (Action.ADD, _ADD))
    for word in words.split()
}
_NO_LETTER = re.compile(r"[\W_]+")
_BULLETS = ("- ", "* ", "+ ", "• ")


@lru_cache(maxsize=4096)
def key_of(label: str) -> str:
    """A field's label without case, blanks and punctuation: "Ablated Part" is "ablatedpart"."""
    return _NO_LETTER.sub("", label.casefold())


def field_of(label: str) -> str | None:
    """The field a label stands for, if it stands for one."""
    return _FIELD_OF.get(key_of(label))


def read_entry(node: Node, reading: Reading, name: str = "") -> Ablation | None:
    """The entry that an object describes; `name` is what it was called from outside."""
    if not isinstance(node.value, dict):
        expected = "expected an entry with a name, an ablated part and an action"
        reading.add("not-an-entry", f"{expected}, found {node.kind}", node.line)
        return None
    fields = _fields(node.value, reading)
    title, part = (_text(fields.get(field), reading) for field in ("name", "ablated_part"))
    title, part = _completed(title or name, part, node, reading)
    if not title:
        return None
    action = _action(fields.get("action"), node, reading)
    replacements = _items(fields.get("replacement"), "replacement", reading)
    metrics = _items(fields.get("metrics"), "metrics", reading)
    draft, source = _beside(node.value)
    entry = Ablation(title, part, action, replacements, metrics, draft, source)
    if reading.gold and draft:
        reading.add("draft", f"{title[:40]!r} is a draft that nobody has confirmed", node.line)
    _doubts(entry, node, reading)
    return entry


def _beside(value: dict[str, Node]) -> tuple[bool, str]:
    """Whether an entry is a draft, and the sentence it was taken from; no score rests on that, so no repair is told."""
    draft, source = False, ""
    for label, node in value.items():
        key = key_of(label)
        if key == "draft":
            draft |= _is_yes(node)
        elif key == "source" and isinstance(node.value, str):
            source = repair(node.value)[0].strip()
    return draft, source


def _is_yes(node: Node) -> bool:
    """Whether a mark is set; one that says anything but no counts, so that no draft passes for confirmed."""
    return plain(node).strip().casefold() not in ("", "false", "no", "0", "none", "null")


def _fields(value: dict[str, Node], reading: Reading) -> dict[str, Node]:
    """The five fields among the keys of an object."""
    fields: dict[str, Node] = {}
    for label, node in value.items():
        field = field_of(label)
        if field is None:
            if key_of(label) not in PASSED_OVER:
                known = "name, ablated_part, action, replacement, metrics"
                reading.add("unknown-field", f"expected one of {known}, found {label[:40]!r}", node.line)
            continue
        if key_of(label) != FIELDS[field][0]:
            reading.add("field-synonym", f"expected {field!r}, found {label[:40]!r}", node.line)
        if field in fields:
            reading.add("field-twice", f"expected {field!r} once, found it again as {label[:40]!r}", node.line)
        if field not in fields or not fields[field].value:
            fields[field] = node
    return fields


def _text(node: Node | None, reading: Reading) -> str:
    if node is None or node.value is None:
        return ""
    if not isinstance(node.value, str):
        reading.add("list-for-text", f"expected a text, found {node.kind}", node.line)
    return reading.clean(plain(node), node.line)


def _completed(name: str, part: str, node: Node, reading: Reading) -> tuple[str, str]:
    """Name and part, where one of them stands in for the other."""
    if not name and not part:
        reading.add("entry-without-content", "expected a name and an ablated part, found neither", node.line)
    elif not name:
        reading.add("name-missing", f"expected a name, found none; the part {part[:40]!r} stands in", node.line)
    elif not part:
        reading.add(
            "part-missing", f"expected an ablated part, found none; the name {name[:40]!r} stands in", node.line
        )
    return name or part, part or name


def _action(node: Node | None, entry: Node, reading: Reading) -> Action | None:
    found = _text(node, reading)
    line = node.line if node else entry.line
    if not found:
        if not reading.gold:
            reading.add("action-missing", "expected REMOVE, REPLACE or ADD, found no action", line)
        return None
    if found in Action.__members__:
        return Action(found)
    words = tokens(found.replace("_", " "))
    meant = {_ACTION_OF[word] for word in words if word in _ACTION_OF}
    if len(meant) != 1 or "not" in words:
        code = "action-ambiguous" if len(meant) > 1 else "action-unknown"
        reading.add(code, f"expected REMOVE, REPLACE or ADD, found {found[:40]!r}", line)
        return None
    action = meant.pop()
    reading.add("action-synonym", f"expected REMOVE, REPLACE or ADD, found {found[:40]!r}; read as {action}", line)
    return action


def _items(node: Node | None, field: str, reading: Reading) -> tuple[str, ...]:
    """A list of texts; a single text or an object becomes one."""
    if node is None or node.value is None:
        return ()
    if isinstance(node.value, str):
        items = _from_text(reading.clean(node.value, node.line), field)
        if items:
            message = f"expected a list of {field}, found {node.kind}; read as {len(items)}"
            reading.add("text-for-list", message, node.line)
        return items
    if isinstance(node.value, dict):
        reading.add("text-for-list", f"expected a list of {field}, found an object; read key by key", node.line)
        return tuple(item for item in _from_object(node.value, reading) if item)
    return tuple(text for item in node.value if (text := _item(item, reading)))


def _item(node: Node, reading: Reading) -> str:
    if not isinstance(node.value, str | None):
        reading.add("nested-item", f"expected a text, found {node.kind}", node.line)
    return reading.clean(plain(node), node.line)


def _from_object(value: dict[str, Node], reading: Reading) -> list[str]:
    """A key with several values is as many items: {"rate": [0.1, 0.2]} is "rate: 0.1" and "rate: 0.2"."""
    pairs = ((key, node.value if isinstance(node.value, tuple) else (node,)) for key, node in value.items())
    return [reading.clean(f"{key}: {plain(node)}", node.line) for key, nodes in pairs for node in nodes]


def _from_text(text: str, field: str) -> tuple[str, ...]:
    """A text that is itself a list: by bullets or semicolons, metrics also by commas."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.startswith(_BULLETS) for line in lines):
        return tuple(line[2:].strip() for line in lines if line[2:].strip())
    items = split_outside_brackets(text, ";")
    if len(items) < 2 and field == "metrics":
        items = split_outside_brackets(text, ",")
    return items


def _doubts(entry: Ablation, node: Node, reading: Reading) -> None:
    """What an entry should say and does not; gold may leave all of it out."""
    if entry.action is Action.REMOVE and entry.replacements:
        found = f"expected no replacement where the action is REMOVE, found {len(entry.replacements)}"
        reading.add("replacement-unexpected", found, node.line)
    if reading.gold:
        return
    if entry.action in (Action.REPLACE, Action.ADD) and not entry.replacements:
        reading.add("replacement-missing", f"expected a replacement for {entry.action}, found none", node.line)
    if not entry.metrics:
        reading.add("metrics-missing", "expected metrics, found none", node.line)
