"""Layouts of plans in data and in replies: find the plans in document trees.

Known layouts: a list of entries; an object with a list (`ablations`, `plan`, `predictions`, ...); a list or rows of
such objects; an object of papers; rows of entries that name their paper; AblationBench's plans.json and replies
(`<discussion>...</discussion><predictions>...</predictions>`, closed or not).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

from evalkit.formats import blocks, json, shapes
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.entries import field_of, read_entries
from evalkit.formats.metadata import Facts, read_facts
from evalkit.formats.server_replies import ARGUMENTS, choices_in, is_answer, is_reply, replies_in, reply_text
from evalkit.formats.tags import is_tagged, sections, thought_of
from evalkit.formats.tree import Members, Node, as_text, key_of, members_of, on_line
from evalkit.text import normalise, repair
from evalkit.types import Diagnostic, Plan

LISTS = frozenset(
    ("ablations", "entries", "plan", "plans", "predictions", "suggestions", "ablationplan", "ablationsuggestions",
     "ablationsinpaper", "ablationstudies", "studies", "gold", "papers")
)  # fmt: skip
PAPER = ("paper", "paperid", "id", "papertitle")
PLANNER = ("planner", "plannerid", "model")
TRACE = ("trace", "reasoningtrace", "reasoning", "discussion")
SAMPLE = ("sample", "sampleid")
# Further keys of a document that `convert` keeps; no score depends on them.
ABOUT = {
    name.replace("_", ""): name
    for name in ("title", "source", "confidence", "extracted_by", "prompt", "num_ablation_suggestions", "review_text")
}
DEEPEST = 4
DEEPEST_TEXT = 4  # texts that are themselves values, inside each other
# Keys of an object of lists that name no paper.
WRAPPERS = frozenset(
    ("experiments", "ablationexperiments", "proposedexperiments", "proposedablations", "ablationlist", "ablationplans",
     "items", "data", "results", "output", "outputs", "response", "answer", "messages")
)  # fmt: skip
OWN_FILES = "samples have files of their own: paper.1.json, paper.2.json"
_FINAL = re.compile(
    r"\b(?:final(?:ly|ized|ised)?|revised|refined|improved|corrected|updated|instead|second (?:draft|version))\b",
    re.IGNORECASE,
)
_Owner: TypeAlias = tuple[str, str, str]  # paper, planner and sample, as far as the document says
_NOBODY: _Owner = ("", "", "")


def final_lists(nodes: list[Node], text: str, first_line: int, context: ParseContext) -> list[Node]:
    """Leave out lists that a later one says anew: what stands before it calls it final, or it repeats their parts.

    Of several the last whole one counts, so one that the end of the text cut off gives way to the one before it.
    """
    whole = [node for node in nodes if (entries := _entries_of(node)) and len(entries) > 1]
    if len(whole) < 2:
        return nodes
    lines, parts = text.split("\n"), [_parts(node) for node in whole]
    last = len(whole) - 1
    ahead = " ".join(lines[max(0, whole[last].line - first_line - 6) : whole[last].line - first_line])
    again = sum(part in set().union(*parts[:last]) for part in parts[last])
    if not _FINAL.search(ahead) and 2 * again < len(parts[last]):
        return nodes
    if context.reported("truncated") and len(parts[last]) < len(parts[last - 1]):
        last -= 1
    for number, node in enumerate(whole):
        if number != last:
            message = f"expected one list, found {len(parts[number])} entries besides those of line {whole[last].line}"
            context.report("earlier-draft", f"{message}; only those were taken", node.line)
    dropped = {id(node) for number, node in enumerate(whole) if number != last}
    return [node for node in nodes if id(node) not in dropped]


def _entries_of(node: Node) -> tuple[Node, ...]:
    """Return the entries of a list, or of the list in an object, that names no paper."""
    value = node.value
    if isinstance(value, dict):
        content = None if any(key_of(label) in PAPER for label in value) else _content(value)
        value = content[1].value if content else ()
    items = value if isinstance(value, tuple) else ()
    return items if all(isinstance(item.value, dict) and _is_entry(item.value) for item in items) else ()


def _parts(node: Node) -> list[str]:
    """Return the normalised parts of a list's entries, or their names where there are none."""
    parts = []
    for entry in _entries_of(node):
        texts = {field_of(label): as_text(inner) for label, inner in entry.value.items()}  # type: ignore[union-attr]
        parts.append(normalise(texts.get("ablated_part") or texts.get("name") or ""))
    return parts


@dataclass(slots=True)
class _Group:
    """The entries of one owner, each with the name it was called from outside, and what is said of all of them."""

    line: int
    entries: list[tuple[Node, str]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    facts: Facts = (1.0, ())
    stated: bool = False  # the document says that this plan exists, even if it is empty


def read_plans(nodes: list[Node], context: ParseContext, trace: str = "") -> list[Plan]:
    """Return every plan in the values of a document, in the order of first mention."""
    grouper = _Grouper(context, several=len(nodes) > 1)
    for node in nodes:
        grouper.visit(node, _NOBODY, 0)
    grouper.report_answers()
    groups = grouper.groups
    grouper.group(next(iter(groups), _NOBODY), 1).traces.append(trace)
    # A group that only led to others is no plan: a list whose rows name their papers.
    full = {owner for owner, group in groups.items() if group.stated or group.entries or any(group.traces)}
    papers = {paper for paper, _, _ in full} | ({""} if full else set())
    groups = {owner: group for owner, group in groups.items() if owner in full or owner[0] not in papers}
    # A diagnostic belongs to the plan whose entry it follows, else to the first.
    starts = sorted((node.line, number) for number, group in enumerate(groups.values()) for node, _ in group.entries)
    shares: list[list[Diagnostic]] = [[] for _ in groups]
    for diagnostic in context.take():
        following = bisect_right(starts, (diagnostic.line or 0, len(groups)))
        shares[starts[following - 1][1] if following else 0].append(diagnostic)
    plans = []
    for ((paper, planner, sample), group), share in zip(groups.items(), shares, strict=True):
        entries = read_entries(group.entries, context, group.line)
        trace, about = "\n\n".join(text for text in group.traces if text), tuple(group.about.items())
        weight, meta = group.facts
        plan = Plan(paper, planner, entries, trace=trace, sample=sample, about=about, weight=weight, meta=meta)
        plans.append(context.finish(plan, share))
    return plans


class _Grouper:
    """Walks down to the entries and groups them by paper, planner and sample."""

    def __init__(self, context: ParseContext, several: bool) -> None:
        self.context = context
        self.several = several  # values in the document
        self.groups: dict[_Owner, _Group] = {}
        self.answers: dict[_Owner, list[int]] = {}  # the lines of servers' answers
        self.opened = 0  # texts that are being read, each a value of the one before

    def report_answers(self) -> None:
        """Report entries of several answers that became one plan."""
        for owner, lines in self.answers.items():
            if len(lines) > 1 and owner in self.groups and self.groups[owner].entries:
                message = f"expected one answer, found {len(lines)}; their entries were read as one plan"
                self.context.report("several-answers", f"{message}; {OWN_FILES}", lines[1])

    def group(self, owner: _Owner, line: int) -> _Group:
        return self.groups.setdefault(owner, _Group(line))

    def visit(self, node: Node, owner: _Owner, depth: int, name: str = "") -> None:
        """Put an entry, or what stands where one belongs, into its group, and open everything else."""
        value = node.value
        if isinstance(value, tuple) and is_answer(value):
            self._reply({}, replies_in({"content": node}), owner, node.line, depth)
        elif isinstance(value, dict) and depth < DEEPEST and (call := _arguments(value)):
            self._reply(value, [call], owner, node.line, depth)
        elif isinstance(value, tuple) and depth < DEEPEST:
            self.group(owner, node.line)
            for item in value:
                self.visit(item, owner, depth + 1)
        elif isinstance(value, str) and depth:
            self._embedded(node, value, owner, depth)
        elif isinstance(value, dict) and depth < DEEPEST and not _is_entry(value):
            self._object(node, value, owner, depth)
        elif isinstance(value, dict):
            self.group(self._owner(value, owner, PAPER[:2]), node.line).entries.append((node, name))
        else:
            self.group(owner, node.line).entries.append((node, ""))

    def _embedded(self, node: Node, text: str, owner: _Owner, depth: int) -> None:
        """Open a text that was itself a value (a kept reply, JSONL in a string), all of it on its line."""
        if self.opened == DEEPEST_TEXT:
            message = f"expected at most {DEEPEST_TEXT} texts inside each other, found more"
            self.context.report("too-deep", message, node.line)
            return
        self.opened += 1
        group, values = self.group(owner, node.line), list[Node]()
        if is_tagged(text) or json.has_data(text) or "\n" in text.strip():
            inner = ParseContext(self.context.document, self.context.strict, self.context.gold)
            thought, begin = thought_of(text) or ("", 0)
            trace, body, _ = sections(text[begin:], inner)
            group.traces += [inner.clean(thought, 1, lines=True), trace]
            body = blocks.below_plan(body)
            _, values = shapes.best(body, inner, 1, ("data", "blocks", "table", "list"))
            values = final_lists(values, body, 1, inner)
            for diagnostic in inner.take():
                self.context.report(diagnostic.code, diagnostic.message, node.line)
        for value in values:
            self.visit(on_line(value, node.line), owner, min(depth + 1, DEEPEST - 1))
        if not values and text.strip():
            group.entries.append((node, ""))
        self.opened -= 1

    def _object(self, node: Node, value: Members, owner: _Owner, depth: int) -> None:
        """Open an object that is no entry: a plan, a kept reply, or a table of papers or of entries."""
        counts = (inner.value for label, inner in value.items() if key_of(label) == "numablationsuggestions")
        count = text if isinstance(text := next(counts, ""), str) else ""
        if is_reply(value):
            self._reply(value, replies_in(value), owner, node.line, depth)
        elif (content := _content(value, gold=self.context.gold)) is not None:
            self._plan_object(node.line, value, *content, owner, depth)
        elif count.isdecimal() and len(count) < 4:  # AblationBench's reviewer data has a number in place of a list
            group = self.group(self._owner(value, owner, PAPER), node.line)
            message = f"expected entries, found that there are {int(count)}; only judgements can score them"
            self.context.report("only-counted", message, node.line)
            group.about["num_ablation_suggestions"] = str(int(count))
            for number in range(1, int(count) + 1):
                name = Node(node.line, f"suggestion {number}")
                group.entries.append((Node(node.line, {"name": name, "ablated_part": name}), ""))
        elif any(key_of(label) == "reviewtext" for label in value):
            self.group(self._owner(value, owner, PAPER), node.line).stated = True
            message = "expected entries, found the text of a review; `evalkit gold extract` makes a draft of it"
            self.context.report("review-text", message, node.line)
        elif (reply := reply_text(value)) is not None:
            self._reply(value, [reply], owner, node.line, depth)
        elif value and all(isinstance(inner.value, dict | tuple) for inner in value.values()):
            self._members(value, owner, depth)
        else:
            self.group(owner, node.line).entries.append((node, ""))

    def _reply(self, value: Members, replies: list[Node], owner: _Owner, line: int, depth: int) -> None:
        """Read a model's reply, texts or arguments of a tool, that a file keeps and that may name its paper."""
        named = {**members_of(value.get("vars")), **value}  # promptfoo keeps a test's variables with the reply
        keys = (*PAPER[:2], *(("customid",) if self.several else ()))  # a batch's answers, each under its request's id
        owner = self._owner({key: node for key, node in named.items() if key != "model"}, owner, keys)
        self.group(owner, line).stated = True
        if (choices := choices_in(value)) and replies:
            self.answers.setdefault(owner, []).append(line)
        if choices > 1:
            message = f"expected one answer, found {choices} to choose from; the first was read"
            self.context.report("several-answers", f"{message}; {OWN_FILES}", line)
        for reply in replies:
            if isinstance(reply.value, str):
                self._embedded(reply, reply.value, owner, depth + 1)
            else:
                self.visit(reply, owner, min(depth + 1, DEEPEST - 1))

    def _plan_object(self, line: int, value: Members, label: str, inner: Node, owner: _Owner, depth: int) -> None:
        """Open an object that describes a plan (or several), with the list `inner` below `label`."""
        owner = self._owner(value, owner, PAPER)
        if key_of(label) not in ("plans", "papers"):
            group = self.group(owner, line)
            group.stated = True
            group.traces.append(_first(value, TRACE, self.context))
            if (facts := read_facts(value, self.context)) != (1.0, ()):
                group.facts = facts
            # No score rests on what is said beside the list, so repairs of it are not reported.
            texts = ((ABOUT.get(key_of(label)), node.value) for label, node in value.items())
            group.about |= {
                name: repair(text)[0].strip() for name, text in texts if name and isinstance(text, str) and text.strip()
            }
        if isinstance(inner.value, dict) and _content(inner.value) is None and not _is_entry(inner.value):
            self._members(inner.value, owner, depth)
        elif inner.value is not None:
            self.visit(inner, owner, depth + 1)

    def _members(self, table: Members, owner: _Owner, depth: int) -> None:
        """Visit values under keys that name them: an entry under its name, anything else under its paper."""
        for label, node in table.items():
            if isinstance(node.value, dict) and (_is_entry(node.value) or depth + 1 >= DEEPEST):
                if not any(field_of(key) == "name" for key in node.value):
                    message = f"expected a name in the entry, found the key {label[:40]!r}"
                    self.context.report("name-from-key", message, node.line)
                self.visit(node, owner, depth + 1, self.context.clean(label, node.line))
            elif key_of(label) in WRAPPERS:
                self.visit(node, owner, depth + 1)
            else:
                paper_owner = (self.context.clean(label, node.line), *owner[1:])
                self.group(paper_owner, node.line)
                self.visit(node, paper_owner, depth + 1)

    def _owner(self, value: Members, outer: _Owner, paper_keys: tuple[str, ...]) -> _Owner:
        paper, planner, sample = (_first(value, keys, self.context) for keys in (paper_keys, PLANNER, SAMPLE))
        return paper or outer[0], planner or outer[1], sample or outer[2]


def _first(value: Members, keys: tuple[str, ...], context: ParseContext) -> str:
    """Return the text under the first of these keys that has one."""
    by_key = {key_of(label): node for label, node in value.items()}
    for key in keys:
        node = by_key.get(key)
        if node is not None and isinstance(node.value, str) and node.value.strip():
            return context.clean(node.value, node.line)
    return ""


def _is_entry(value: Members) -> bool:
    """Has an object a field of an entry, and no list of entries?"""
    return any(field_of(label) for label in value) and _content(value) is None


def _content(value: Members, *, gold: bool = False) -> tuple[str, Node] | None:
    """Return the list of entries in an object that describes a plan: by its key, else by what it holds."""
    lists = [(label, node) for label, node in value.items() if key_of(label) in LISTS]
    if lists:
        return min(lists, key=lambda item: (key_of(item[0]) == "gold") != gold)
    fields = {field_of(label) for label in value}
    if fields & {"ablated_part", "action"} or all(isinstance(node.value, dict | tuple) for node in value.values()):
        return None
    for label, node in value.items():
        items = node.value if isinstance(node.value, tuple) and not field_of(label) else ()
        if items and all(isinstance(item.value, dict) for item in items):
            return label, node
    return None


def _arguments(value: Members) -> Node | None:
    """Return the arguments of a tool's call, in which entries stand; None where it is no such call."""
    if "name" not in value or {field_of(label) for label in value} & {"ablated_part", "action"}:
        return None
    for key in ARGUMENTS:
        inner = value[key].value if key in value else None
        if (isinstance(inner, str) and json.has_data(inner)) or (
            isinstance(inner, dict) and (_content(inner) is not None or _is_entry(inner))
        ):
            return value[key]
    return None
