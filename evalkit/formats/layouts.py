"""Trees to plans: takes the values of a JSON, JSONL or YAML document in whatever arrangement, gives its Plans.

Known arrangements: a list of entries; an object with a list (`ablations`, `plan`, `predictions`, ...); a list or rows
of such objects; an object of papers; rows of entries that name their paper; AblationBench's plans.json and replies.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evalkit.formats.checks import check_entries
from evalkit.formats.entries import field_of, key_of, read_entry
from evalkit.formats.findings import Reading
from evalkit.formats.tree import Node
from evalkit.text import repair
from evalkit.types import Ablation, Diagnostic, Plan

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

TextReader = Callable[[str, Reading, int], "tuple[list[Node], str]"]
"""How a text inside a tree (a kept reply, JSONL in a string) becomes values and a trace."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose entries these are, as far as the document says."""

    paper: str = ""
    planner: str = ""
    sample: str = ""


@dataclass(slots=True)
class _Group:
    entries: list[tuple[Node, str]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    line: int = 1
    stated: bool = False  # the document says that this plan exists, even if it is empty

    def counts(self) -> bool:
        return self.stated or bool(self.entries) or any(self.traces)


def read_plans(nodes: list[Node], reading: Reading, read_text: TextReader, trace: str = "") -> list[Plan]:
    """Every plan in the values of a document, in the order of first mention."""
    sorter = _Sorter(reading, read_text)
    for node in nodes:
        sorter.sort(node, Owner(), 0)
    sorter.group(next(iter(sorter.groups), Owner()), 1).traces.append(trace)
    groups = sorter.settled()
    found = _shared_out(reading.take(), list(groups.values()))
    plans = []
    for number, (owner, group) in enumerate(groups.items()):
        reading.again(found[number])
        plans.append(_plan(owner, group, reading))
    return plans


def _shared_out(found: Sequence[Diagnostic], groups: list[_Group]) -> dict[int, list[Diagnostic]]:
    """What was found before there were plans, by the plan whose entry it follows; else by the first."""
    starts = sorted((node.line, number) for number, group in enumerate(groups) for node, _ in group.entries)
    shares: dict[int, list[Diagnostic]] = {number: [] for number in range(len(groups))}
    for diagnostic in found:
        at = bisect_right(starts, (diagnostic.line or 0, len(groups)))
        shares[starts[at - 1][1] if at else 0].append(diagnostic)
    return shares


def _plan(owner: Owner, group: _Group, reading: Reading) -> Plan:
    entries: list[Ablation] = []
    lines: list[int] = []
    for node, name in group.entries:
        if (entry := read_entry(node, reading, name)) is not None:
            entries.append(entry)
            lines.append(node.line)
    check_entries(entries, lines, reading, group.line)
    trace = "\n\n".join(text for text in group.traces if text)
    return reading.plan(
        entries, paper=owner.paper, planner=owner.planner, trace=trace, sample=owner.sample,
        about=tuple(group.about.items()),
    )  # fmt: skip


class _Sorter:
    """Walks down to the entries and sorts them by paper, planner and sample."""

    def __init__(self, reading: Reading, read_text: TextReader) -> None:
        self.reading, self.read_text = reading, read_text
        self.groups: dict[Owner, _Group] = {}

    def group(self, owner: Owner, line: int) -> _Group:
        return self.groups.setdefault(owner, _Group(line=line))

    def settled(self) -> dict[Owner, _Group]:
        """The groups without those that only led to others: a list whose rows name their own papers is no plan."""
        full = {owner: group for owner, group in self.groups.items() if group.counts()}
        papers = {owner.paper for owner in full} | ({""} if full else set())
        return {o: g for o, g in self.groups.items() if o in full or o.paper not in papers}

    def sort(self, node: Node, owner: Owner, depth: int, key: str = "") -> None:
        """One value: entries go to their group, everything else is opened."""
        value = node.value
        if isinstance(value, tuple) and depth < DEEPEST:
            self.group(owner, node.line)
            for item in value:
                self.sort(item, owner, depth + 1)
        elif isinstance(value, str) and depth:
            self._text(node, value, owner, depth)
        elif isinstance(value, dict) and depth < DEEPEST and not _is_entry(value):
            self._object(node, value, owner, depth)
        elif isinstance(value, dict):
            owner = self._owner(value, owner, PAPER[:2])
            self.group(owner, node.line).entries.append((node, key))
        else:
            self.group(owner, node.line).entries.append((node, ""))

    def _text(self, node: Node, value: str, owner: Owner, depth: int) -> None:
        nodes, trace = self.read_text(value, self.reading, node.line)
        group = self.group(owner, node.line)
        group.traces.append(trace)
        for inner in nodes:
            self.sort(inner, owner, min(depth + 1, DEEPEST - 1))
        if not nodes and value.strip():
            group.entries.append((node, ""))

    def _object(self, node: Node, value: dict[str, Node], owner: Owner, depth: int) -> None:
        """An object that is no entry: a plan, a kept reply, or a table of papers or of entries."""
        if (reply := _reply_text(value)) is not None:
            self._text(reply, str(reply.value), owner, depth + 1)
        elif (content := _content(value, gold=self.reading.gold)) is not None:
            self._plan_object(node, value, content, owner, depth)
        elif (count := _suggestions(value)) is not None:
            self._counted(node, value, count, owner)
        elif any(key_of(label) == "reviewtext" for label in value):
            group = self.group(self._owner(value, owner, PAPER), node.line)
            group.stated = True
            expected = "expected entries, found the text of a review; `evalkit gold extract` makes a draft of it"
            self.reading.add("review-text", expected, node.line)
        elif value and all(isinstance(inner.value, dict | tuple) for inner in value.values()):
            for label, inner in value.items():
                self._member(label, inner, owner, depth)
        else:
            self.group(owner, node.line).entries.append((node, ""))

    def _plan_object(
        self, node: Node, value: dict[str, Node], content: tuple[str, Node], owner: Owner, depth: int
    ) -> None:
        label, inner = content
        owner = self._owner(value, owner, PAPER)
        if key_of(label) not in ("plans", "papers"):
            group = self.group(owner, node.line)
            group.stated = True
            group.traces.append(_first(value, TRACE, self.reading))
            group.about |= _about(value)
        if isinstance(inner.value, dict):
            for name, member in inner.value.items():
                self._member(name, member, owner, depth)
        elif inner.value is not None:
            self.sort(inner, owner, depth + 1)

    def _counted(self, node: Node, value: dict[str, Node], count: int, owner: Owner) -> None:
        """A paper of which only the number of suggestions in its reviews is known."""
        group = self.group(self._owner(value, owner, PAPER), node.line)
        said = f"expected entries, found that there are {count}; only judgements can score them"
        self.reading.add("only-counted", said, node.line)
        for number in range(1, count + 1):
            name = Node(node.line, f"suggestion {number}")
            group.entries.append((Node(node.line, {"name": name, "ablated_part": name}), ""))

    def _member(self, label: str, node: Node, owner: Owner, depth: int) -> None:
        """A value under a key that names it: an entry under its name, anything else under its paper."""
        if isinstance(node.value, dict) and (_is_entry(node.value) or depth + 1 >= DEEPEST):
            if not any(field_of(key) == "name" for key in node.value):
                self.reading.add(
                    "name-from-key", f"expected a name in the entry, found the key {label[:40]!r}", node.line
                )
            self.sort(node, owner, depth + 1, self.reading.clean(label, node.line))
            return
        paper = Owner(self.reading.clean(label, node.line), owner.planner, owner.sample)
        self.group(paper, node.line)
        self.sort(node, paper, depth + 1)

    def _owner(self, value: dict[str, Node], outer: Owner, paper_keys: tuple[str, ...]) -> Owner:
        paper, planner, sample = (_first(value, keys, self.reading) for keys in (paper_keys, PLANNER, SAMPLE))
        return Owner(paper or outer.paper, planner or outer.planner, sample or outer.sample)


def _first(value: dict[str, Node], keys: tuple[str, ...], reading: Reading) -> str:
    """The text under the first of these keys that has one."""
    by_key = {key_of(label): node for label, node in value.items()}
    for key in keys:
        node = by_key.get(key)
        if node is not None and isinstance(node.value, str) and node.value.strip():
            return reading.clean(node.value, node.line)
    return ""


def _about(value: dict[str, Node]) -> dict[str, str]:
    """What an object says of its list beside whose it is. No score rests on it, so its repairs are not told."""
    texts = ((ABOUT.get(key_of(label)), node.value) for label, node in value.items())
    return {name: repair(text)[0].strip() for name, text in texts if name and isinstance(text, str) and text.strip()}


def _is_entry(value: dict[str, Node]) -> bool:
    """An object with a field of an entry, and no list of entries."""
    return any(field_of(label) for label in value) and _content(value) is None


def _content(value: dict[str, Node], *, gold: bool = False) -> tuple[str, Node] | None:
    """The list of entries in an object that describes a plan: by its key, else by what it holds."""
    lists = [(label, node) for label, node in value.items() if key_of(label) in LISTS]
    lists.sort(key=lambda item: (key_of(item[0]) == "gold") != gold)
    unnamed = ((label, node) for label, node in value.items() if field_of(label) is None and _objects(node))
    if (
        lists
        or all(isinstance(node.value, dict | tuple) for node in value.values())
        or {field_of(label) for label in value} & {"ablated_part", "action"}
    ):
        return lists[0] if lists else None
    return next(unnamed, None)


def _suggestions(value: dict[str, Node]) -> int | None:
    """The number of suggestions that AblationBench's reviewer data gives in place of a list."""
    node = next((inner for label, inner in value.items() if key_of(label) == "numablationsuggestions"), None)
    text = node.value if node is not None and isinstance(node.value, str) else ""
    return int(text) if text.isdecimal() and len(text) < 4 else None


def _objects(node: Node) -> bool:
    return isinstance(node.value, tuple) and bool(node.value) and all(isinstance(i.value, dict) for i in node.value)


def _reply_text(value: dict[str, Node]) -> Node | None:
    """The text of a chat completion as it was kept: choices[0].message.content."""
    node: Node | None = value.get("choices")
    if node is None or not isinstance(node.value, tuple) or not node.value:
        return None
    node = node.value[0]
    for key in ("message", "content"):
        node = node.value.get(key) if node is not None and isinstance(node.value, dict) else None
    return node if node is not None and isinstance(node.value, str) else None
