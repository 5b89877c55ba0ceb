"""One annotator at work on pairs: show what is next, keep answers on disk, write the labels they make."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import InputError, OutputError
from evalkit.labels.page.journal import ANSWERS, Journal, open_journal, read_journal
from evalkit.labels.page.tasks import LabelTask, Queue, Screen
from evalkit.metrics.agreement import cohen_kappa
from evalkit.storage.files import is_there, write_text
from evalkit.storage.folders import locked
from evalkit.storage.label_files import LabelledPlan, read_labels, write_labels
from evalkit.text import normalise_id
from evalkit.types import entry_tree

PlanKey = tuple[str, str, str]  # normalised paper, planner, sample


class LabelSession:
    """Pairs to label, the answers so far, and the label file that they become."""

    def __init__(self, tasks: Sequence[LabelTask], queue: Queue, journal: Journal, out: Path) -> None:
        self.tasks, self.queue, self.journal, self.out = tuple(tasks), queue, journal, out
        # (task, gold entry, plan entry) -> what names the pair in the journal
        self._keys = {(screen.task, screen.gold, p): self.tasks[screen.task].key((screen.gold, p))
                      for screen in queue.screens for p in screen.candidates}  # fmt: skip
        self._known = frozenset(self._keys.values())
        self._asked: dict[int, set[str]] = {}
        for (task, _, _), key in self._keys.items():
            self._asked.setdefault(task, set()).add(key)
        self._problem = ""  # why the label file could not be written

    def view(self) -> dict[str, Any]:
        """Return everything the page needs to show what is to be answered now."""
        self.journal.reload()
        answers = self.journal.answers
        agreement, damaged = self._agreement()
        head = {
            "annotator": self.journal.annotator,
            "sampling": self.queue.sampling,
            "answered": sum(key in answers for key in self._known),
            "total": len(self._known),
            "can_undo": bool(self.journal.undoable),
            "agreement": agreement,
            "out": str(self.out),
            "problem": "; ".join([self._problem] * bool(self._problem) + damaged),
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
        self.journal.reload()
        finished = self._finished()
        self.journal.add(keys, answer)
        if self._finished() > finished:
            try:
                self.export()
                self._problem = ""
            except (InputError, OutputError) as error:  # the answer is in the journal all the same
                self._problem = f"answers are kept in {self.journal.path}, labels cannot be written: {error}"

    def undo(self) -> None:
        """Take the last answer back."""
        self.journal.undo()

    def _agreement(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return how far others agree on what both answered, and which journals beside this one are damaged."""
        own = {key: answer for key, answer in self.journal.answers.items() if answer != "skip"}
        annotator = self.journal.annotator
        stem = self.out.name.removesuffix(".jsonl")
        stem = stem.removesuffix(f".{annotator}") if annotator else stem
        result, damaged = [], []
        for path in sorted(self.out.parent.glob(f"{glob.escape(stem)}*.answers.jsonl")):
            if path == self.journal.path:
                continue
            try:
                other = read_journal(path)
            except InputError as error:
                damaged.append(f"no agreement with {error}")
                continue
            shared = [(own[key], answer) for key, answer in other.answers.items() if key in own and answer != "skip"]
            if shared:
                kappa = cohen_kappa(*zip(*shared, strict=True))
                same = sum(a == b for a, b in shared)
                result.append({"annotator": other.annotator, "pairs": len(shared), "same": same, "kappa": kappa})
        return result, damaged

    def export(self) -> int:
        """Write the labels that the answers amount to beside those of other plans; return how many plans have any."""
        with locked(self.out.parent):
            self.journal.reload()
            answers, rows = self.journal.answers, dict[PlanKey, LabelledPlan | None]()
            for index, task in enumerate(self.tasks):
                row = self._labels(index, answers)
                if row is not None or self._asked.get(index, set()) & self.journal.touched:
                    rows[normalise_id(task.paper), task.planner, task.sample] = row
            made = [row for row in rows.values() if row is not None]
            write_text(self.out, write_labels([*made, *self._others(rows)]))
        return len(made)

    def _others(self, rows: Mapping[PlanKey, LabelledPlan | None]) -> Iterator[LabelledPlan]:
        """Yield what the label file says of plans that these rows are not about."""
        for old in read_labels([self.out]) if is_there(self.out) else []:
            key = normalise_id(old.paper), old.planner, old.sample
            new = rows.get(key)
            if key not in rows:
                yield old
            elif new is not None and (old.gold, old.plan) != (new.gold, new.plan):
                message = f"{self.out}: has labels of other entries of {old.planner!r} on {old.paper!r}"
                raise InputError(f"{message}; choose another --out")

    def _labels(self, index: int, answers: dict[str, str]) -> LabelledPlan | None:
        """Return the labels of one task; None while no pair of it is decided."""
        task = self.tasks[index]
        elsewhere = not answers.keys() <= self._known  # pairs that another page asked about
        keys = {pair: self._keys.get((index, *pair)) or (task.key(pair) if elsewhere else "") for pair in task.pairs}
        given = {pair: answers.get(key, "skip") for pair, key in keys.items()}
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
