"""Read the entries of a list in a document tree, and make trees of plans to write.

Every departure of an entry from its five fields is reported, and what is doubtful about a list of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.metadata import KEYS, facts_tree, read_facts
from evalkit.formats.tree import Members, Node, as_text, key_of
from evalkit.text import normalise, repair, split_outside_brackets, tokens
from evalkit.types import Ablation, Action, Plan, entry_tree

FIELDS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "ablationname", "title", "ablation", "experiment", "experimentname", "ablationstudy", "studyname"),
    "ablated_part": ("ablatedpart", "part", "component", "ablatedcomponent", "target", "module", "partablated",
                     "ablationtarget", "ablatedmodule", "targetcomponent", "componentname", "componentablated"),
    "action": ("action", "actiontype", "operation", "ablationaction", "ablationtype", "modification", "change"),
    "replacement": (
        "replacement", "replacements", "options", "option", "replacewith", "replacedby", "alternatives", "variants",
        "values", "replacementoptions", "possiblereplacements", "addition", "additions",
    ),
    "metrics": ("metrics", "metric", "evaluationmetrics", "measures", "reportedmetrics", "metricstoreport"),
}  # fmt: skip
# Known keys of entries that are not one of the five fields.
OTHER_KEYS = frozenset(
    ("id", "index", "rank", "number", "priority", "importance", "rationale", "reason", "reasoning", "motivation",
     "description", "details", "hypothesis", "justification", "note", "notes", "comment", "source", "confidence",
     "cost", "section", "table", "paper", "paperid", "planner", "plannerid", "sample", "expectedresult",
     "expectedoutcome", "draft", "quote")
)  # fmt: skip
_FIELD_OF = {key: field for field, keys in FIELDS.items() for key in keys}
_VERBS = {
    Action.REMOVE: """remove removes removed removing removal drop drops dropped dropping disable disables disabled
        disabling without delete deleted deleting omit omitted omitting exclude excluded excluding eliminate eliminated
        ablate ablated ablating skip skipped off""",
    Action.REPLACE: """replace replaces replaced replacing replacement substitute substituted substituting substitution
        swap swapped swapping vary varies varied varying change changed changing modify modified modifying modification
        alter altered switch switched exchange exchanged adjust adjusted tune sweep increase reduce decrease""",
    Action.ADD: """add adds added adding addition insert inserted inserting include included including introduce
        introduced introducing append appended incorporate incorporated""",
}
_ACTION_OF = {word: action for action, words in _VERBS.items() for word in words.split()}
_BULLETS = ("- ", "* ", "+ ", "• ")
_NO = ("", "false", "no", "0", "none", "null")
_COUNT = re.compile("0|[1-9][0-9]{0,3}")
# What of a plan is read at most, so that no document takes more memory than a machine has. The longest of 1,776 plans
# by language models has 5 entries, 145 words, 12 options and 26 metrics in an entry, and 338 characters in a text.
MOST_ENTRIES = 200
MOST_ITEMS = 100  # options, or metrics, of an entry
MOST_WORDS = 2_000  # in names, parts and options together
LONGEST_TEXT = 2_000  # characters
# Samples of a planner, all planners together, in one document: each costs a row on every paper of gold that lacks it.
MOST_SAMPLES = 1_000
LABELS_SHOWN = 4  # of an object that is no entry
_WORD = re.compile(r"\d+|[^\W\d_]+")  # no fewer than the matcher will see


def field_of(label: str) -> str | None:
    """Return the field that a label stands for, if it stands for one."""
    return _FIELD_OF.get(key_of(label))


def read_entries(nodes: Iterable[tuple[Node, str]], context: ParseContext, line: int) -> tuple[Ablation, ...]:
    """Return the entries of a list that begins on `line`: objects, with the names they were called from outside.

    Entries that repeat another, share its name, or are missing altogether are reported.
    """
    read = list(_read(nodes, context))
    if not read:
        context.report("no-entries", "expected at least one entry, found none", line)
    by_content: dict[object, int] = {}
    by_name: dict[str, int] = {}
    for i, (entry, entry_line) in enumerate(read):
        name = normalise(entry.name)
        options = tuple(sorted(normalise(option) for option in entry.replacements))
        earlier = by_content.setdefault((name, normalise(entry.part), entry.action, options), i)
        namesake = by_name.setdefault(name, i)
        if earlier != i:
            message = f"{entry.name!r} repeats the entry of line {read[earlier][1]}"
            context.report("duplicate-entry", message, entry_line)
        elif namesake != i:
            message = f"{entry.name!r} is also the name of the entry of line {read[namesake][1]}"
            context.report("duplicate-name", message, entry_line)
    return tuple(entry for entry, _ in read)


def _read(nodes: Iterable[tuple[Node, str]], context: ParseContext) -> Iterator[tuple[Ablation, int]]:
    """Yield entries with their lines, as many as one list may have."""
    count = words = 0
    for node, name in nodes:
        if count == MOST_ENTRIES:
            message = f"expected at most {MOST_ENTRIES} entries in a list, found more; the first ones were taken"
            context.report("too-many", message, node.line)
            return
        if entry := _entry(node, name, context):
            words += sum(len(_WORD.findall(text)) for text in (entry.name, entry.part, *entry.replacements))
            if words > MOST_WORDS:
                message = f"expected at most {MOST_WORDS} words in the names, parts and options of a list, found more"
                context.report("too-many", f"{message}; the entries before this one were taken", node.line)
                return
            count += 1
            yield entry, node.line


def _entry(node: Node, name: str, context: ParseContext) -> Ablation | None:
    if not isinstance(node.value, dict):
        expected = "expected an entry with a name, an ablated part and an action"
        context.report("not-an-entry", f"{expected}, found {node.kind}", node.line)
        return None
    if not name and not {field_of(label) for label in node.value} & {"name", "ablated_part"}:
        message = f"expected a name and an ablated part, found {_labels(node.value) or 'neither'}"
        context.report("entry-without-content", message, node.line)
        return None
    fields = _fields(node.value, context)
    name, part = _text(fields.get("name"), context) or name[:LONGEST_TEXT], _text(fields.get("ablated_part"), context)
    if not name and not part:
        context.report("entry-without-content", "expected a name and an ablated part, found neither", node.line)
        return None
    if not name:
        context.report("name-missing", f"expected a name, found none; the part {part[:40]!r} stands in", node.line)
    elif not part:
        message = f"expected an ablated part, found none; the name {name[:40]!r} stands in"
        context.report("part-missing", message, node.line)
    name, part = name or part, part or name
    action = _action(fields.get("action"), node, context)
    replacements = _items(fields.get("replacement"), "replacement", context)
    metrics = _items(fields.get("metrics"), "metrics", context)
    # No score rests on these two: no reports. A mark that says anything but no makes a draft, so that none passes.
    by_key = [(key_of(label), inner) for label, inner in node.value.items()]
    draft = any(key == "draft" and as_text(inner).strip().casefold() not in _NO for key, inner in by_key)
    sources = [inner.value for key, inner in by_key if key == "source" and isinstance(inner.value, str)]
    if context.gold and draft:
        context.report("draft", f"{name[:40]!r} is a draft that nobody has confirmed", node.line)
    if action is Action.REMOVE and replacements:
        message = f"expected no replacement where the action is REMOVE, found {len(replacements)}"
        context.report("replacement-unexpected", message, node.line)
    # Gold may leave out what a plan should say.
    if not context.gold and action in (Action.REPLACE, Action.ADD) and not replacements:
        context.report("replacement-missing", f"expected a replacement for {action}, found none", node.line)
    if not context.gold and not metrics:
        context.report("metrics-missing", "expected metrics, found none", node.line)
    source = repair(sources[-1])[0].strip() if sources else ""
    return Ablation(name, part, action, replacements, metrics, draft, source, *read_facts(node.value, context))


def _labels(value: Members) -> str:
    """Return the first labels of an object in quotes, for a message about it."""
    shown = ", ".join(repr(label[:40]) for label in list(value)[:LABELS_SHOWN])
    return f"{shown} and {len(value) - LABELS_SHOWN} more" if len(value) > LABELS_SHOWN else shown


def _fields(value: Members, context: ParseContext) -> Members:
    fields: Members = {}
    for label, node in value.items():
        field = field_of(label)
        if field is None:
            if key_of(label) not in OTHER_KEYS and not (context.gold and key_of(label) in KEYS):
                message = f"expected one of name, ablated_part, action, replacement, metrics, found {label[:40]!r}"
                context.report("unknown-field", message, node.line)
            continue
        if key_of(label) != FIELDS[field][0]:
            context.report("field-synonym", f"expected {field!r}, found {label[:40]!r}; read as {field}", node.line)
        if field in fields:
            context.report("field-twice", f"expected {field!r} once, found it again as {label[:40]!r}", node.line)
        if field not in fields or not fields[field].value or (key_of(label) == FIELDS[field][0] and node.value):
            fields[field] = node
    return fields


def _text(node: Node | None, context: ParseContext) -> str:
    if node is None or node.value is None:
        return ""
    if not isinstance(node.value, str):
        context.report("list-for-text", f"expected a text, found {node.kind}", node.line)
    return _cleaned(as_text(node), node.line, context)


def _cleaned(text: str, line: int, context: ParseContext) -> str:
    """Return a text repaired, and cut where it is longer than any of a plan."""
    if len(text) > LONGEST_TEXT:
        message = f"expected a text of at most {LONGEST_TEXT} characters, found {len(text)}; cut there"
        context.report("text-cut", message, line)
    return context.clean(text[:LONGEST_TEXT], line)


def _action(node: Node | None, entry: Node, context: ParseContext) -> Action | None:
    text = _text(node, context)
    line = node.line if node else entry.line
    if not text:
        if not context.gold:
            context.report("action-missing", "expected REMOVE, REPLACE or ADD, found no action", line)
        return None
    if text in Action.__members__:
        return Action(text)
    words = tokens(text.replace("_", " "))
    actions = {_ACTION_OF[word] for word in words if word in _ACTION_OF}
    message = f"expected REMOVE, REPLACE or ADD, found {text[:40]!r}"
    if len(actions) > 1 or (actions and "not" in words):
        context.report("action-ambiguous", message, line)
        return None
    if not actions:
        near = get_close_matches(" ".join(words), _ACTION_OF, n=1, cutoff=0.6)
        hint = f"; did you mean {_ACTION_OF[near[0]]}?" if near else ""
        context.report("unknown-action", message + hint, line)
        return None
    action = actions.pop()
    context.report("action-synonym", f"{message}; read as {action}", line)
    return action


def action_in(word: str) -> Action | None:
    """Return the action that a word stands for, if it stands for one."""
    return next((_ACTION_OF[token] for token in tokens(word)[:1] if token in _ACTION_OF), None)


def _items(node: Node | None, field: str, context: ParseContext) -> tuple[str, ...]:
    """Return a list of texts, as many as an entry may have; a single text or an object becomes one."""
    if node is None or node.value is None:
        return ()
    if isinstance(node.value, str):
        items = _split_list(context.clean(node.value, node.line), field)
        if items:
            message = f"expected a list of {field}, found {node.kind}; read as {len(items)}"
            context.report("text-for-list", message, node.line)
        values = [(item, node.line) for item in items]
    elif isinstance(node.value, dict):
        context.report("text-for-list", f"expected a list of {field}, found an object; read key by key", node.line)
        values = [  # {"rate": [0.1, 0.2]} is "rate: 0.1" and "rate: 0.2"
            (key if item.value is None else f"{key}: {as_text(item)}", item.line)  # a set has no values
            for key, inner in node.value.items()
            for item in (inner.value if isinstance(inner.value, tuple) else (inner,))
        ]
    else:
        for item in node.value:
            if not isinstance(item.value, str | None):
                context.report("nested-item", f"expected a text, found {item.kind}", item.line)
        values = [(_item_text(item), item.line) for item in node.value]
    if len(values) > MOST_ITEMS:
        message = f"expected at most {MOST_ITEMS} {field}, found {len(values)}; the first ones were taken"
        context.report("too-many", message, node.line)
    texts = [_cleaned(text, line, context) for text, line in values[:MOST_ITEMS]]
    return tuple(text for text in texts if text)


def _item_text(item: Node) -> str:
    """Return an option or a metric as a text; of an object the name alone, without its description."""
    if not isinstance(item.value, dict):
        return as_text(item)
    own = {label: inner for label, inner in item.value.items() if inner.value and key_of(label) not in OTHER_KEYS}
    if len(own) == 1 and field_of(label := next(iter(own))) in ("name", "replacement", "metrics"):
        return as_text(own[label])
    return as_text(Node(item.line, own or item.value))


def _split_list(text: str, field: str) -> tuple[str, ...]:
    """Split a text that is itself a list: by bullets or semicolons, metrics also by commas."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.startswith(_BULLETS) for line in lines):
        return tuple(line[2:].strip() for line in lines if line[2:].strip())
    items = split_outside_brackets(text, ";")
    if len(items) < 2 and field == "metrics":
        return split_outside_brackets(text, ",")
    return split_options(text) if len(items) < 2 else items


def split_options(text: str) -> tuple[str, ...]:
    """Split options in one text, "a / b" and "2, 4, 8"; a comma in prose separates nothing."""
    items = tuple(piece.strip() for piece in text.split(" / ") if piece.strip())
    if len(items) > 1:
        return items
    items = split_outside_brackets(text, ",")
    short = len(items) > 2 and all(len(item.split()) <= 2 for item in items)
    return items if short or (items and all(item[:1].isdigit() for item in items)) else (text,)


def plan_trees(plans: Sequence[Plan]) -> Any:
    """Return one plan as an object, several as a list of objects."""
    return plan_tree(plans[0]) if len(plans) == 1 else [plan_tree(plan) for plan in plans]


def plan_tree(plan: Plan) -> dict[str, Any]:
    """Return a plan as the object that formats of data read; a count is a number again."""
    owner = {"paper": plan.paper, "planner": plan.planner or "", "sample": plan.sample}
    tree: dict[str, Any] = {key: text for key, text in owner.items() if text}
    for key, text in plan.about:
        tree[key] = int(text) if key == "num_ablation_suggestions" and _COUNT.fullmatch(text) else text
    if plan.trace:
        tree["trace"] = plan.trace
    tree |= facts_tree(plan)
    tree["ablations"] = [whole_entry_tree(entry) for entry in plan.ablations]
    return tree


def whole_entry_tree(entry: Ablation) -> dict[str, Any]:
    """Return an entry as the object that formats of data read, with its source, weight and metadata."""
    return entry_tree(entry) | ({"source": entry.source} if entry.source else {}) | facts_tree(entry)
