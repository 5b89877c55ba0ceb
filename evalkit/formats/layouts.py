"""Layouts of plans in data: find the plans in the trees of JSON or YAML, and make such trees of plans.

Known layouts: a list of entries; an object with a list (`ablations`, `plan`, `predictions`, ...); a list or rows of
such objects; an object of papers; rows of entries that name their paper; AblationBench's plans.json and replies.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.entries import field_of, key_of, read_entries
from evalkit.formats.reply_tags import read_embedded
from evalkit.formats.tree import Members, Node
from evalkit.text import repair
from evalkit.types import Diagnostic, Plan, entry_tree

LISTS = frozenset(
    ("ablations", "entries", "plan", "plans", "predictions", "suggestions", "ablationplan", "ablationsuggestions",
     "ablationsinpaper", "ablationstudies", "studies", "gold", "papers")
)  # fmt: skip
PAPER = ("paper", "paperid", "id", "papertitle")
PLANNER = ("planner", "plannerid", "model")
TRACE = ("trace", "reasoningtrace", "reasoning", "discussion")
SAMPLE = ("sample", "sampleid")
# What a list's document may say of it beside; it is kept for `convert`, and nothing rests on it.
ABOUT = {
    name.replace("_", ""): name
    for name in ("title", "source", "confidence", "extracted_by", "prompt", "num_ablation_suggestions", "review_text")
}
DEEPEST = 4
_COUNT = re.compile("0|[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose entries these are, as far as the document says."""

    paper: str = ""
    planner: str = ""
    sample: str = ""


@dataclass(slots=True)
class _Group:
    """The entries of one owner, each with the name it was called from outside, and what is said of all of them."""

    line: int
    entries: list[tuple[Node, str]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    stated: bool = False  # the document says that this plan exists, even if it is empty


def read_plans(nodes: list[Node], context: ParseContext, trace: str = "") -> list[Plan]:
    """Return every plan in the values of a document, in the order of first mention."""
    grouper = _Grouper(context)
    for node in nodes:
        grouper.visit(node, Owner(), 0)
    grouper.group(next(iter(grouper.groups), Owner()), 1).traces.append(trace)
    groups = grouper.settled()
    shares = _shares(context.take(), list(groups.values()))
    plans = []
    for (owner, group), share in zip(groups.items(), shares, strict=True):
        context.restore(share)
        entries = read_entries(group.entries, context, group.line)
        trace, about = "\n\n".join(text for text in group.traces if text), tuple(group.about.items())
        plan = Plan(owner.paper, owner.planner, entries, trace=trace, sample=owner.sample, about=about)
        plans.append(context.finish(plan))
    return plans


def _shares(diagnostics: Sequence[Diagnostic], groups: list[_Group]) -> list[list[Diagnostic]]:
    """Share diagnostics out among groups: to that whose entry they follow, else to the first."""
    starts = sorted((node.line, number) for number, group in enumerate(groups) for node, _ in group.entries)
    shares: list[list[Diagnostic]] = [[] for _ in groups]
    for diagnostic in diagnostics:
        following = bisect_right(starts, (diagnostic.line or 0, len(groups)))
        shares[starts[following - 1][1] if following else 0].append(diagnostic)
    return shares


class _Grouper:
    """Walks down to the entries and groups them by paper, planner and sample."""

    def __init__(self, context: ParseContext) -> None:
        self.context = context
        self.groups: dict[Owner, _Group] = {}

    def group(self, owner: Owner, line: int) -> _Group:
        return self.groups.setdefault(owner, _Group(line))

    def settled(self) -> dict[Owner, _Group]:
        """Return the groups without those that only led to others: a list whose rows name their papers is no plan."""
        full = {owner for owner, group in self.groups.items() if group.stated or group.entries or any(group.traces)}
        papers = {owner.paper for owner in full} | ({""} if full else set())
        return {o: g for o, g in self.groups.items() if o in full or o.paper not in papers}

    def visit(self, node: Node, owner: Owner, depth: int, name: str = "") -> None:
        """Put an entry, or what stands where one belongs, into its group, and open everything else."""
        value = node.value
        if isinstance(value, tuple) and depth < DEEPEST:
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

    def _embedded(self, node: Node, text: str, owner: Owner, depth: int) -> None:
        nodes, trace = read_embedded(text, self.context, node.line)
        group = self.group(owner, node.line)
        group.traces.append(trace)
        for inner in nodes:
            self.visit(inner, owner, min(depth + 1, DEEPEST - 1))
        if not nodes and text.strip():
            group.entries.append((node, ""))

    def _object(self, node: Node, value: Members, owner: Owner, depth: int) -> None:
        """Open an object that is no entry: a plan, a kept reply, or a table of papers or of entries."""
        if (reply := _reply_text(value)) is not None:
            self._embedded(reply, str(reply.value), owner, depth + 1)
        elif (content := _content(value, gold=self.context.gold)) is not None:
            self._plan_object(node.line, value, *content, owner, depth)
        elif (count := _suggestions(value)) is not None:
            self._suggested(node, value, count, owner)
        elif any(key_of(label) == "reviewtext" for label in value):
            self.group(self._owner(value, owner, PAPER), node.line).stated = True
            expected = "expected entries, found the text of a review; `evalkit gold extract` makes a draft of it"
            self.context.report("review-text", expected, node.line)
        elif value and all(isinstance(inner.value, dict | tuple) for inner in value.values()):
            self._members(value, owner, depth)
        else:
            self.group(owner, node.line).entries.append((node, ""))

    def _plan_object(self, line: int, value: Members, label: str, inner: Node, owner: Owner, depth: int) -> None:
        """Open an object that describes a plan (or several), with the list `inner` below `label`."""
        owner = self._owner(value, owner, PAPER)
        if key_of(label) not in ("plans", "papers"):
            group = self.group(owner, line)
            group.stated = True
            group.traces.append(_first(value, TRACE, self.context))
            group.about |= _about(value)
        if isinstance(inner.value, dict):
            self._members(inner.value, owner, depth)
        elif inner.value is not None:
            self.visit(inner, owner, depth + 1)

    def _suggested(self, node: Node, value: Members, count: int, owner: Owner) -> None:
        """Make entries for a paper of which only the number of suggestions in its reviews is known."""
        group = self.group(self._owner(value, owner, PAPER), node.line)
        message = f"expected entries, found that there are {count}; only judgements can score them"
        self.context.report("only-counted", message, node.line)
        for number in range(1, count + 1):
            name = Node(node.line, f"suggestion {number}")
            group.entries.append((Node(node.line, {"name": name, "ablated_part": name}), ""))

    def _members(self, table: Members, owner: Owner, depth: int) -> None:
        """Visit values under keys that name them: an entry under its name, anything else under its paper."""
        for label, node in table.items():
            if isinstance(node.value, dict) and (_is_entry(node.value) or depth + 1 >= DEEPEST):
                if not any(field_of(key) == "name" for key in node.value):
                    message = f"expected a name in the entry, found the key {label[:40]!r}"
                    self.context.report("name-from-key", message, node.line)
                self.visit(node, owner, depth + 1, self.context.clean(label, node.line))
            else:
                paper_owner = replace(owner, paper=self.context.clean(label, node.line))
                self.group(paper_owner, node.line)
                self.visit(node, paper_owner, depth + 1)

    def _owner(self, value: Members, outer: Owner, paper_keys: tuple[str, ...]) -> Owner:
        paper, planner, sample = (_first(value, keys, self.context) for keys in (paper_keys, PLANNER, SAMPLE))
        return Owner(paper or outer.paper, planner or outer.planner, sample or outer.sample)


def _first(value: Members, keys: tuple[str, ...], context: ParseContext) -> str:
    """Return the text under the first of these keys that has one."""
    by_key = {key_of(label): node for label, node in value.items()}
    for key in keys:
        node = by_key.get(key)
        if node is not None and isinstance(node.value, str) and node.value.strip():
            return context.clean(node.value, node.line)
    return ""


def _about(value: Members) -> dict[str, str]:
    """Return what an object says of its list beside whose it is; no score rests on it, so repairs are not reported."""
    texts = ((ABOUT.get(key_of(label)), node.value) for label, node in value.items())
    return {name: repair(text)[0].strip() for name, text in texts if name and isinstance(text, str) and text.strip()}


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


def _suggestions(value: Members) -> int | None:
    """Return the number of suggestions that AblationBench's reviewer data gives in place of a list."""
    node = next((inner for label, inner in value.items() if key_of(label) == "numablationsuggestions"), None)
    text = node.value if node is not None and isinstance(node.value, str) else ""
    return int(text) if text.isdecimal() and len(text) < 4 else None


def _reply_text(value: Members) -> Node | None:
    """Return the text of a chat completion as it was kept: choices[0].message.content."""
    node: Node | None = value.get("choices")
    if node is None or not isinstance(node.value, tuple) or not node.value:
        return None
    node = node.value[0]
    for key in ("message", "content"):
        node = node.value.get(key) if node is not None and isinstance(node.value, dict) else None
    return node if node is not None and isinstance(node.value, str) else None


def plan_tree(plan: Plan) -> dict[str, Any]:
    """Return a plan as the object that `read_plans` reads; a count is a number again."""
    owner = {"paper": plan.paper, "planner": plan.planner or "", "sample": plan.sample}
    tree: dict[str, Any] = {key: text for key, text in owner.items() if text}
    for key, text in plan.about:
        tree[key] = int(text) if key == "num_ablation_suggestions" and _COUNT.fullmatch(text) else text
    if plan.trace:
        tree["trace"] = plan.trace
    entries = plan.ablations
    tree["ablations"] = [entry_tree(entry) | ({"source": entry.source} if entry.source else {}) for entry in entries]
    return tree


def plan_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield one row an entry, each naming its paper; a row without entries holds what belongs to the whole plan."""
    tree = plan_tree(plan)
    entries = tree.pop("ablations")
    owner = {key: tree[key] for key in ("paper", "planner", "sample") if key in tree}
    if tree != owner or not entries:
        yield {**tree, "ablations": []}
    yield from ({**owner, **entry} for entry in entries)
