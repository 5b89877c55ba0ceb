"""Make labelling tasks (a gold list against a plan) of a run or of labels, and order the screens that show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from evalkit.errors import InputError
from evalkit.scoring.rows import row_entries
from evalkit.settings import fingerprint
from evalkit.storage.label_files import LabelledPlan
from evalkit.storage.runs import Run
from evalkit.types import Ablation, entry_tree

PairIndex = tuple[int, int]  # (gold entry, plan entry)


@dataclass(frozen=True, slots=True)
class LabelTask:
    """A gold list against one plan; `chances` are the matcher's probabilities where they are known."""

    paper: str
    planner: str
    gold: tuple[Ablation, ...]
    plan: tuple[Ablation, ...]
    sample: str = ""
    trace: str = ""
    chances: Mapping[PairIndex, float] = field(default_factory=dict)
    borderline: frozenset[PairIndex] = frozenset()

    def key(self, pair: PairIndex) -> str:
        """Return a pair's name in the journal, from its texts and indices: the same pair of another run has it too."""
        sides = [entry_tree(self.gold[pair[0]]), entry_tree(self.plan[pair[1]])]
        return fingerprint([self.paper, self.planner, self.sample, pair, sides])[:16]

    @property
    def pairs(self) -> list[PairIndex]:
        """Return every pair."""
        return [(g, p) for g in range(len(self.gold)) for p in range(len(self.plan))]


@dataclass(frozen=True, slots=True)
class Screen:
    """One gold entry of a task against its candidates in the plan."""

    task: int
    gold: int
    candidates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """Screens in order, and how they were chosen, in the words that the label file holds."""

    screens: tuple[Screen, ...]
    sampling: str


def tasks_of_labels(rows: Iterable[LabelledPlan]) -> list[LabelTask]:
    """Return the lists of label files; their labels are not shown to whoever labels them again."""
    return [LabelTask(row.paper, row.planner, row.gold, row.plan, row.sample) for row in rows if row.gold and row.plan]


def tasks_of_run(run: Run) -> list[LabelTask]:
    """Return the lists of a run's plans."""
    keys = ["planner", "paper", "sample"]
    traces = {tuple(_text(row[key]) for key in keys): _text(row["trace"]) for row in run.plans.to_dict("records")}
    pairs = run.pairs.assign(sample=run.pairs["sample"].map(_text))
    tasks = [_task(rows, traces.get(tuple(map(_text, key)), "")) for key, rows in pairs.groupby(keys, sort=True)]
    return [task for task in tasks if task.gold and task.plan]


def threshold_of(run: Run) -> float:
    """Return the probability from which the run took two entries for a match."""
    try:
        return float(run.signature.thresholds.rpartition("/")[2])
    except ValueError:
        return 0.5  # a run by judgements has no threshold but a majority


def _task(rows: pd.DataFrame, trace: str) -> LabelTask:
    both = rows[rows["gold_entry"].notna() & rows["plan_entry"].notna()]
    chances: dict[PairIndex, float] = {}
    borderline: set[PairIndex] = set()
    for row in both.to_dict("records"):
        pair = (int(row["gold_entry"]) - 1, int(row["plan_entry"]) - 1)
        chances[pair] = float(row["match_probability"])
        if str(row["borderline"]) == "True":
            borderline.add(pair)
    first, gold, plan = rows.iloc[0], row_entries(rows, "gold"), row_entries(rows, "plan")
    names = str(first["paper"]), str(first["planner"])
    return LabelTask(*names, gold, plan, _text(first["sample"]), trace, chances, frozenset(borderline))


def _text(cell: object) -> str:
    return str(cell) if isinstance(cell, str) else ""


def nearest(tasks: Sequence[LabelTask], threshold: float) -> Queue:
    """Queue borderline pairs, nearest to the threshold first, by gold entry; all pairs when none is borderline."""
    some = any(task.borderline for task in tasks)
    wanted: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for index, task in enumerate(tasks):
        for g, p in sorted(task.borderline) if some else task.pairs:
            distance = abs(task.chances.get((g, p), 0.0) - threshold)
            wanted.setdefault((index, g), []).append((distance, p))
    order = sorted(wanted, key=lambda key: (min(wanted[key]), key))
    screens = tuple(Screen(*key, tuple(p for _, p in sorted(wanted[key]))) for key in order)
    return Queue(screens, "nearest to the threshold first" if some else "every pair")


def sampled(tasks: Sequence[LabelTask], papers: int, seed: int) -> Queue:
    """Queue every pair of a random sample of papers, paper by paper.

    The papers are spread over how much doubt the matcher leaves: they are sorted by it, and for 30 of 300 every tenth
    is taken, the first at random. Each paper is as likely as any other, so that the sample corrects figures like a
    plain random one. They come in random order, so that the first of them are such a sample too.
    """
    doubts = paper_doubts(tasks)
    names = sorted(doubts)
    if not 0 < papers <= len(names):
        raise InputError(f"--sample-papers {papers}: there are {len(names)} papers with plans")
    rng = np.random.default_rng(seed)
    # Papers of equal doubt stand in random order: without probabilities, the sample is a plain random one.
    ordered = sorted((names[index] for index in rng.permutation(len(names))), key=lambda name: doubts[name])
    step = len(names) / papers
    start = rng.random() * step
    chosen = [ordered[min(int(start + number * step), len(names) - 1)] for number in range(papers)]
    screens = tuple(
        Screen(index, g, tuple(range(len(task.plan))))
        for name in (chosen[place] for place in rng.permutation(papers))
        for index, task in enumerate(tasks) if task.paper == name
        for g in range(len(task.gold))
    )  # fmt: skip
    return Queue(screens, f"papers: {papers} of {len(names)} at random, spread over doubt, seed {seed}")


def paper_doubts(tasks: Iterable[LabelTask]) -> dict[str, float]:
    """Return, for each paper, how many wrong decisions an entry the matcher expects, as the mean over its plans."""
    doubts: dict[str, list[float]] = {}
    for task in tasks:
        wrong = sum(min(chance, 1 - chance) for chance in task.chances.values() if not math.isnan(chance))
        doubts.setdefault(task.paper, []).append(wrong / (len(task.gold) + len(task.plan)))
    return {paper: sum(own) / len(own) for paper, own in doubts.items()}
