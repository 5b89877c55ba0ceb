"""Confirm draft gold on the label page: keep or drop its entries, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.errors import InputError
from evalkit.labels.drafts import draft_files, write_draft
from evalkit.settings import fingerprint

DECISIONS = {"match": "keep", "different": "drop", "skip": "later"}
FIELDS = ("name", "ablated_part", "action", "replacement", "metrics")


@dataclass(slots=True)
class DraftEntry:
    """A draft entry, the file it is in, and what was decided of it."""

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
        rest = [
            {"name": "", "ablated_part": "", **other} for other in item.tree["ablations"] if other is not item.entry
        ]
        return head | {
            "done": False,
            "paper": str(item.tree.get("paper") or item.path),
            "planner": "its review",
            "gold": entry,
            "candidates": [{"key": item.key, "entry": sentence, "answer": None}],
            "other_plan": [],
            "other_gold": rest,
            "trace": str(item.tree.get("review_text") or ""),
        }

    def answer(self, keys: Sequence[str], answer: str) -> None:
        """Keep, drop or leave entries; the files are written when this returns."""
        known = {item.key: item for item in self.items}
        if answer not in DECISIONS or not keys or not set(keys) <= set(known):
            raise InputError("no such entry, or no such answer")
        for item in (known[key] for key in keys):
            item.decision = DECISIONS[answer]
            self._steps.append(item)
            self._write(item)

    def undo(self) -> None:
        """Take the last decision back: the entry is a draft again."""
        if self._steps:
            item = self._steps.pop()
            item.decision = ""
            self._write(item)

    def export(self) -> int:
        """Return how many entries are decided; the files are written already."""
        return sum(item.decision in ("keep", "drop") for item in self.items)

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
        write_draft(item.path, {**item.tree, "ablations": entries})
