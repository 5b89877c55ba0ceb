"""One annotator at work on pairs: show what is next, keep answers on disk, write the labels they make.

A journal has one JSON object a line and is only ever added to. The first says whose it is and how pairs were chosen;
then each has the `keys` of the pairs that were answered alike, or `undo`. A line that a crash cut off is no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.labels.page.tasks import LabelTask, Queue, Screen
from evalkit.metrics.agreement import cohen_kappa
from evalkit.storage.files import append_line, read_lines, write_text
from evalkit.storage.label_files import LabelledPlan, write_labels
from evalkit.types import entry_tree

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


class LabelSession:
    """Pairs to label, the answers so far, and the label file that they become."""

    def __init__(self, tasks: Sequence[LabelTask], queue: Queue, journal: Journal, out: Path) -> None:
        self.tasks, self.queue, self.journal, self.out = tuple(tasks), queue, journal, out
        # (task, gold entry, plan entry) -> what names the pair in the journal
        self._keys = {(screen.task, screen.gold, p): self.tasks[screen.task].key((screen.gold, p))
                      for screen in queue.screens for p in screen.candidates}  # fmt: skip
        self._known = frozenset(self._keys.values())

    def view(self) -> dict[str, Any]:
        """Return everything the page needs to show what is to be answered now."""
        answers = self.journal.answers
        head = {
            "annotator": self.journal.annotator,
            "sampling": self.queue.sampling,
            "answered": sum(key in answers for key in self._known),
            "total": len(self._known),
            "can_undo": bool(self.journal.steps),
            "agreement": self.agreement(),
            "out": str(self.out),
        }
        screen = next((screen for screen in self.queue.screens if not self._is_finished(screen, answers)), None)
        return head | ({"done": True} if screen is None else {"done": False, **self._shown(screen, answers)})

    def _shown(self, screen: Screen, answers: dict[str, str]) -> dict[str, Any]:
        task = self.tasks[screen.task]
        keys = {p: self._keys[screen.task, screen.gold, p] for p in screen.candidates}
        return {
            "paper": task.paper,
            "planner": task.planner,
            "gold": entry_tree(task.gold[screen.gold]),
            "candidates": [
                {"key": key, "entry": entry_tree(task.plan[p]), "answer": answers.get(key)} for p, key in keys.items()
            ],
            "other_plan": [entry_tree(entry) for p, entry in enumerate(task.plan) if p not in keys],
            "other_gold": [entry_tree(entry) for g, entry in enumerate(task.gold) if g != screen.gold],
            "trace": task.trace,
        }

    def answer(self, keys: Sequence[str], answer: str) -> None:
        """Keep one answer; unknown pairs and answers are refused."""
        if answer not in ANSWERS or not keys or not set(keys) <= self._known:
            raise InputError("no such pair, or no such answer")
        finished = self._finished()
        self.journal.add(keys, answer)
        if self._finished() > finished:
            self.export()

    def undo(self) -> None:
        """Take the last answer back."""
        self.journal.undo()

    def agreement(self) -> list[dict[str, Any]]:
        """Return how far the other annotators of the same file agree, over the pairs that both answered."""
        own = {key: answer for key, answer in self.journal.answers.items() if answer != "skip"}
        annotator = self.journal.annotator
        stem = self.out.name.removesuffix(".jsonl")
        stem = stem.removesuffix(f".{annotator}") if annotator else stem
        result = []
        for path in sorted(self.out.parent.glob(f"{stem}*.answers.jsonl")):
            if path == self.journal.path:
                continue
            other = read_journal(path)
            shared = [(own[key], answer) for key, answer in other.answers.items() if key in own and answer != "skip"]
            if shared:
                kappa = cohen_kappa(*zip(*shared, strict=True))
                same = sum(a == b for a, b in shared)
                result.append({"annotator": other.annotator, "pairs": len(shared), "same": same, "kappa": kappa})
        return result

    def export(self) -> int:
        """Write the labels that the answers amount to; return how many plans have any."""
        answers = self.journal.answers
        rows = [row for index in range(len(self.tasks)) if (row := self._labels(index, answers)) is not None]
        write_text(self.out, write_labels(rows))
        return len(rows)

    def _labels(self, index: int, answers: dict[str, str]) -> LabelledPlan | None:
        """Return the labels of one task; None while no pair of it is decided."""
        task = self.tasks[index]
        given = {pair: answers.get(self._keys.get((index, *pair), ""), "skip") for pair in task.pairs}
        if all(answer == "skip" for answer in given.values()):
            return None
        match, part, undecided = (
            frozenset(pair for pair, answer in given.items() if answer in wanted)
            for wanted in (("match",), ("match", "part"), ("skip",))
        )
        who, how = self.journal.annotator, self.queue.sampling
        return LabelledPlan(
            task.paper, task.planner, task.gold, task.plan, match, part, undecided, task.sample, who, how
        )

    def _is_finished(self, screen: Screen, answers: dict[str, str]) -> bool:
        return all(self._keys[screen.task, screen.gold, p] in answers for p in screen.candidates)

    def _finished(self) -> int:
        answers = self.journal.answers
        return sum(self._is_finished(screen, answers) for screen in self.queue.screens)


def open_session(tasks: Sequence[LabelTask], queue: Queue, out: str | Path, annotator: str = "") -> LabelSession:
    """Open a session on a label file; each annotator has a file and a journal of their own beside it."""
    if not queue.screens:
        raise InputError("there is nothing to label: no pair of a gold entry and a plan entry")
    if annotator and not re.fullmatch(r"[\w-]{1,40}", annotator):
        raise InputError(
            f"--annotator {annotator!r}: expected letters, digits, - and _ (it becomes part of a file's name)"
        )
    path = Path(out)
    stem = path.name.removesuffix(".jsonl") + (f".{annotator}" if annotator else "")
    journal = open_journal(path.with_name(f"{stem}.answers.jsonl"), annotator, queue.sampling)
    session = LabelSession(tasks, queue, journal, path.with_name(f"{stem}.jsonl"))
    session.export()
    return session


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
    trees: list[dict[str, Any]] = []
    for _, number, line in read_lines([path]):
        try:
            trees += [dict(json.loads(line))] if line.endswith("}") else []  # a line cut off was never confirmed
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not an answer that evalkit label wrote") from error
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
