"""Decide draft gold entry by entry, in the terminal or on the label page, and write each decision to its file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.errors import EvalkitError, InputError
from evalkit.settings import fingerprint
from evalkit.storage.discovery import documents
from evalkit.storage.files import write_text
from evalkit.storage.folders import locked
from evalkit.types import Document

Decision = Literal["keep", "drop", "later", "stop"]
Ask = Callable[[str, dict[str, Any]], Decision]
DECISIONS = {"match": "keep", "different": "drop", "skip": "later"}
FIELDS = ("name", "ablated_part", "action", "replacement", "metrics")


def confirm(source: str | Path, ask: Ask) -> tuple[int, int, int]:
    """Ask about every draft entry below a path; each decision is on disk before the next. Kept, dropped, left."""
    counts = {"keep": 0, "drop": 0, "later": 0}
    stopped = False
    for path, tree in list(draft_files(source)):
        before = copy.deepcopy(tree)
        for entry in [item for item in tree["ablations"] if isinstance(item, dict) and item.get("draft")]:
            decision = "later" if stopped else ask(str(tree.get("paper") or Path(path).stem), entry)
            if decision == "stop":
                stopped, decision = True, "later"
            counts[decision] += 1
            if decision == "keep":
                del entry["draft"]
            elif decision == "drop":
                tree["ablations"].remove(entry)
            if decision != "later":
                write_draft(path, tree, before)
                before = copy.deepcopy(tree)
    return counts["keep"], counts["drop"], counts["later"]


def draft_files(source: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the gold files below a path that are JSON objects with a list of entries, as `gold extract` writes them."""
    for document in documents(source, planners=False):
        if not isinstance(document, Document):
            raise InputError(f"{document.path}: {document.message}")
        try:
            tree = json.loads(document.text)
        except (ValueError, RecursionError):
            continue
        if isinstance(tree, dict) and isinstance(tree.get("ablations"), list):
            yield document.path, tree


def write_draft(path: str, tree: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Write a gold file as `gold extract` does; refuse where it is not any more what it was `before`."""
    with locked(Path(path).parent):
        if [json.dumps(found) for _, found in draft_files(path)] != [json.dumps(before)]:
            raise InputError(f"{path}: was changed by somebody else; nothing was written, start the command again")
        write_text(path, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class DraftEntry:
    """A draft entry, the file it is in, and what was decided of it on the page."""

    path: str
    tree: dict[str, Any]
    entry: dict[str, Any]
    key: str
    decision: str = ""


class DraftSession:
    """Draft entries and what was decided of them; the page shows them as it shows pairs."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.items = [
            DraftEntry(path, tree, entry, fingerprint([path, index, entry])[:16])
            for path, tree in draft_files(source)
            for index, entry in enumerate(tree["ablations"])
            if isinstance(entry, dict) and entry.get("draft")
        ]
        if not self.items:
            raise InputError(f"{source}: there is no draft entry to confirm")
        self._steps: list[DraftEntry] = []
        self._written = {item.path: item.tree for item in self.items}

    def view(self) -> dict[str, Any]:
        """Return everything the page needs to show the next draft entry."""
        head = {
            "mode": "drafts",
            "annotator": "",
            "sampling": "draft entries",
            "answered": sum(bool(item.decision) for item in self.items),
            "total": len(self.items),
            "can_undo": bool(self._steps),
            "agreement": [],
            "out": self.source,
        }
        item = next((item for item in self.items if not item.decision), None)
        if item is None:
            return head | {"done": True}
        sentence = {"name": str(item.entry.get("source") or "no sentence"), "ablated_part": ""}
        entry = {name: item.entry[name] for name in FIELDS if item.entry.get(name)}
        others = [other for other in item.tree["ablations"] if other is not item.entry]
        return head | {
            "done": False,
            "paper": str(item.tree.get("paper") or item.path),
            "planner": "its review",
            "gold": entry,
            "candidates": [{"key": item.key, "entry": sentence, "answer": None}],
            "other_plan": [],
            "other_gold": [{"name": "", "ablated_part": "", **other} for other in others],
            "trace": str(item.tree.get("review_text") or ""),
        }

    def answer(self, keys: Sequence[str], answer: str) -> None:
        """Keep, drop or leave entries; the files are written when this returns."""
        known = {item.key: item for item in self.items}
        if answer not in DECISIONS or not keys or not set(keys) <= set(known):
            raise InputError("no such entry, or no such answer")
        for item in (known[key] for key in keys):
            self._decide(item, DECISIONS[answer])
            self._steps.append(item)

    def undo(self) -> None:
        """Take the last decision back: the entry is a draft again."""
        if self._steps:
            self._decide(self._steps[-1], "")
            self._steps.pop()

    def export(self) -> int:
        """Return how many entries are decided; the files are written already."""
        return sum(item.decision in ("keep", "drop") for item in self.items)

    def _decide(self, item: DraftEntry, decision: str) -> None:
        """Write an entry's file with a decision; what cannot be written is not decided."""
        former, item.decision = item.decision, decision
        try:
            self._write(item)
        except EvalkitError:
            item.decision = former
            raise

    def _write(self, item: DraftEntry) -> None:
        """Write one file with the decisions on its entries; entries that never were drafts stay as they are."""
        own = {id(one.entry): one.decision for one in self.items if one.tree is item.tree}
        entries = []
        for entry in item.tree["ablations"]:
            decision = own.get(id(entry))
            if decision == "keep":
                entries.append({name: value for name, value in entry.items() if name != "draft"})
            elif decision != "drop":
                entries.append(entry)
        tree = {**item.tree, "ablations": entries}
        write_draft(item.path, tree, self._written[item.path])
        self._written[item.path] = tree
