"""Keep an annotator's answers on disk, one at a time, and read back what a killed session left.

One JSON object a line, only ever added to. The first says whose journal it is and how pairs were chosen; then each has
the `keys` of the pairs that were answered alike, or `undo`. A line that a crash cut off was never confirmed: no answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.storage.files import append_line, read_lines

ANSWERS = ("match", "part", "different", "skip")
VERSION = 1


@dataclass(slots=True)
class Journal:
    """The answers of one annotator, oldest first."""

    path: Path
    annotator: str
    sampling: str
    steps: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    def add(self, keys: Sequence[str], answer: str) -> None:
        """Keep one answer to one or several pairs; it is on disk when this returns."""
        append_line(self.path, json.dumps({"keys": list(keys), "answer": answer}))
        self.steps.append((tuple(keys), answer))

    def undo(self) -> None:
        """Take the last answer back, if there is one."""
        if self.steps:
            append_line(self.path, json.dumps({"undo": True}))
            self.steps.pop()

    @property
    def answers(self) -> dict[str, str]:
        """Return the answer of every pair that has one."""
        return {key: answer for keys, answer in self.steps for key in keys}


def open_journal(path: Path, annotator: str, sampling: str) -> Journal:
    """Open the journal at a path, or begin it; one that was begun for another sampling is refused."""
    if not path.exists():
        head = {"evalkit_labels": VERSION, "annotator": annotator, "sampling": sampling}
        append_line(path, json.dumps(head, ensure_ascii=False))
    journal = read_journal(path)
    if journal.sampling != sampling:
        raise InputError(
            f"{path}: holds answers on {journal.sampling!r}, not on {sampling!r}; choose another --out for those"
        )
    return journal


def read_journal(path: Path) -> Journal:
    """Read a journal as it stands."""
    # A line without its end was never confirmed.
    trees = [_step(path, number, line) for _, number, line in read_lines([path]) if line.endswith("}")]
    head = trees[0] if trees else {}
    if head.get("evalkit_labels") != VERSION:
        raise InputError(f"{path}: not a journal of evalkit label")
    journal = Journal(path, str(head.get("annotator", "")), str(head.get("sampling", "")))
    for tree in trees[1:]:
        if tree.get("undo"):
            journal.steps[-1:] = []
        elif tree.get("answer") in ANSWERS and isinstance(tree.get("keys"), list):
            journal.steps.append((tuple(map(str, tree["keys"])), tree["answer"]))
    return journal


def _step(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}:{number}: not an answer that evalkit label wrote") from error
