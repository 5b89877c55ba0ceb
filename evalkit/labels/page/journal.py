"""The journal of a label page: every answer of one annotator, on disk before the next is asked.

A journal has one JSON object a line and is only ever added to. The first says whose it is and how pairs were chosen;
then each has the `keys` of the pairs that were answered alike and an `id`, or `undo` with the id of what it takes back.
A line that a crash cut off is no answer. Several pages may share a journal and a label file: each reads what the others
have added, and takes back only what was there when it was opened or what it added itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.storage.files import append_line, is_there, read_lines

ANSWERS = ("match", "part", "different", "skip")
VERSION = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One answer to one or several pairs."""

    id: str
    keys: tuple[str, ...]
    answer: str


@dataclass(slots=True)
class Journal:
    """The answers of one annotator, oldest first; `own` are the ids of those that this page may take back."""

    path: Path
    annotator: str
    sampling: str
    steps: list[Step] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)  # the keys that ever had an answer
    own: list[str] = field(default_factory=list)

    def add(self, keys: Sequence[str], answer: str) -> None:
        """Keep one answer to one or several pairs; it is on disk when this returns."""
        name = secrets.token_hex(6)
        append_line(self.path, json.dumps({"id": name, "keys": list(keys), "answer": answer}))
        self.own.append(name)
        self.reload()

    def undo(self) -> None:
        """Take the last answer of this page back, if there is one."""
        if own := self.undoable:
            append_line(self.path, json.dumps({"undo": own[-1]}))
            self.reload()

    def reload(self) -> None:
        """Read what this page and others have added."""
        found = read_journal(self.path)
        self.steps, self.touched = found.steps, found.touched

    @property
    def undoable(self) -> list[str]:
        """Return the ids that this page may take back, the last answer last."""
        there = {step.id for step in self.steps}
        return [name for name in self.own if name in there]

    @property
    def answers(self) -> dict[str, str]:
        """Return the answer of every pair that has one."""
        return {key: step.answer for step in self.steps for key in step.keys}


def open_journal(path: Path, annotator: str, sampling: str) -> Journal:
    """Open the journal at a path, or begin it; one that was begun for another sampling is refused."""
    if not is_there(path):
        head = {"evalkit_labels": VERSION, "annotator": annotator, "sampling": sampling}
        append_line(path, json.dumps(head, ensure_ascii=False))
    journal = read_journal(path)
    journal.own = [step.id for step in journal.steps]
    if journal.sampling != sampling:
        raise InputError(
            f"{path}: holds answers on {journal.sampling!r}, not on {sampling!r}; choose another --out for those"
        )
    return journal


def read_journal(path: Path) -> Journal:
    """Read a journal as it stands."""
    trees: list[tuple[int, dict[str, Any]]] = []
    for _, number, line in read_lines([path]):
        try:  # a line cut off was never confirmed
            trees += [(number, dict(json.loads(line)))] if line.endswith("}") else []
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not an answer that evalkit label wrote") from error
    head = trees[0][1] if trees else {}
    if head.get("evalkit_labels") != VERSION:
        raise InputError(f"{path}: not a journal of evalkit label")
    journal = Journal(path, str(head.get("annotator", "")), str(head.get("sampling", "")))
    steps = dict[str, Step]()
    for number, tree in trees[1:]:
        if tree.get("undo") is True and steps:  # journals once took back what came last
            steps.popitem()
        elif tree.get("undo"):
            steps.pop(str(tree["undo"]), None)
        elif tree.get("answer") in ANSWERS and isinstance(tree.get("keys"), list):
            name, keys = str(tree.get("id") or f"line {number}"), tuple(map(str, tree["keys"]))
            steps[name] = Step(name, keys, tree["answer"])
            journal.touched.update(keys)
    journal.steps = list(steps.values())
    return journal
