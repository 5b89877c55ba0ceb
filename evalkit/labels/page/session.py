"""Takes tasks, an order and a journal, gives what the page shows; keeps answers, and writes the labels they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.labels.page.journal import ANSWERS, Journal, open_journal, read_journal
from evalkit.labels.page.tasks import Queue, Screen, Task
from evalkit.metrics.agreement import cohen_kappa
from evalkit.storage.files import write_text
from evalkit.storage.label_files import LabelledPlan, write_labels
from evalkit.types import entry_tree


class Session:
    """One annotator at work."""

    def __init__(self, tasks: Sequence[Task], queue: Queue, journal: Journal, out: Path) -> None:
        self.tasks, self.queue, self.journal, self.out = tuple(tasks), queue, journal, out
        self._keys = {(screen.task, place): self.tasks[screen.task].key(place)
                      for screen in queue.screens for place in _places(screen)}  # fmt: skip
        self._known = frozenset(self._keys.values())

    def view(self) -> dict[str, Any]:
        """Everything the page needs to show what is to be answered now."""
        answers = self.journal.answers
        answered = sum(key in answers for key in self._known)
        head = {
            "annotator": self.journal.annotator,
            "sampling": self.queue.sampling,
            "answered": answered,
            "total": len(self._known),
            "can_undo": bool(self.journal.steps),
            "agreement": self.agreement(),
            "out": str(self.out),
        }
        screen = next(
            (s for s in self.queue.screens if any(self._key(s, p) not in answers for p in s.candidates)), None
        )
        return head | ({"done": True} if screen is None else {"done": False, **self._shown(screen, answers)})

    def _shown(self, screen: Screen, answers: dict[str, str]) -> dict[str, Any]:
        task = self.tasks[screen.task]
        candidates = [
            {"key": (key := self._key(screen, p)), "entry": entry_tree(task.plan[p]), "answer": answers.get(key)}
            for p in screen.candidates
        ]
        others = [entry_tree(entry) for p, entry in enumerate(task.plan) if p not in screen.candidates]
        rest = [entry_tree(entry) for g, entry in enumerate(task.gold) if g != screen.gold]
        return {"paper": task.paper, "planner": task.planner, "gold": entry_tree(task.gold[screen.gold]),
                "candidates": candidates, "other_plan": others, "other_gold": rest, "trace": task.trace}  # fmt: skip

    def answer(self, keys: Sequence[str], answer: str) -> None:
        """Keep one answer; unknown pairs and answers are refused."""
        if answer not in ANSWERS or not keys or not set(keys) <= self._known:
            raise InputError("no such pair, or no such answer")
        screens = len(self._finished())
        self.journal.add(keys, answer)
        if len(self._finished()) > screens:
            self.export()

    def undo(self) -> None:
        """Take the last answer back."""
        self.journal.undo()

    def agreement(self) -> list[dict[str, Any]]:
        """How far the other annotators of the same file say the same, over the pairs that both answered."""
        own = {key: answer for key, answer in self.journal.answers.items() if answer != "skip"}
        found = []
        for path in sorted(self.out.parent.glob(f"{_stem(self.out, self.journal.annotator)}*.answers.jsonl")):
            if path == self.journal.path:
                continue
            other = read_journal(path)
            shared = [(own[key], said) for key, said in other.answers.items() if key in own and said != "skip"]
            if shared:
                kappa = cohen_kappa(*zip(*shared, strict=True))
                same = sum(a == b for a, b in shared)
                found.append({"annotator": other.annotator, "pairs": len(shared), "same": same, "kappa": kappa})
        return found

    def export(self) -> int:
        """Write the labels that the answers amount to; how many plans have any."""
        answers = self.journal.answers
        rows = [row for at in range(len(self.tasks)) if (row := self._row(at, answers)) is not None]
        write_text(self.out, write_labels(rows))
        return len(rows)

    def _row(self, at: int, answers: dict[str, str]) -> LabelledPlan | None:
        task = self.tasks[at]
        said = {place: answers.get(self._keys[at, place], "skip") if (at, place) in self._keys else "skip"
                for place in task.places}  # fmt: skip
        if all(answer == "skip" for answer in said.values()):
            return None
        match, part, undecided = (
            frozenset(place for place, answer in said.items() if answer in wanted)
            for wanted in (("match",), ("match", "part"), ("skip",))
        )
        who, how = self.journal.annotator, self.queue.sampling
        return LabelledPlan(
            task.paper, task.planner, task.gold, task.plan, match, part, undecided, task.sample, who, how
        )

    def _key(self, screen: Screen, candidate: int) -> str:
        return self._keys[screen.task, (screen.gold, candidate)]

    def _finished(self) -> list[Screen]:
        answers = self.journal.answers
        return [s for s in self.queue.screens if all(self._key(s, p) in answers for p in s.candidates)]


def _places(screen: Screen) -> list[tuple[int, int]]:
    return [(screen.gold, p) for p in screen.candidates]


def _stem(out: Path, annotator: str) -> str:
    """What the files of all annotators of one purpose begin with."""
    stem = out.name.removesuffix(".jsonl")
    return stem.removesuffix(f".{annotator}") if annotator else stem


def open_session(tasks: Sequence[Task], queue: Queue, out: str | Path, annotator: str = "") -> Session:
    """A session on a label file; each annotator has a file and a journal of their own beside it."""
    if not queue.screens:
        raise InputError("there is nothing to label: no pair of a gold entry and a plan entry")
    if annotator and not re.fullmatch(r"[\w-]{1,40}", annotator):
        raise InputError(
            f"--annotator {annotator!r}: expected letters, digits, - and _ (it becomes part of a file's name)"
        )
    place = Path(out)
    stem = place.name.removesuffix(".jsonl") + (f".{annotator}" if annotator else "")
    journal = open_journal(place.with_name(f"{stem}.answers.jsonl"), annotator, queue.sampling)
    session = Session(tasks, queue, journal, place.with_name(f"{stem}.jsonl"))
    session.export()
    return session
