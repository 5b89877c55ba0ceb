"""Labels: takes JSONL of gold lists and plans with the pairs that belong together, gives rows and tables, and JSONL.

One line is one gold list against one planner's plan: `paper`, `planner`, `gold`, `plan`, `match` (full matches) and
`same_part` (pairs that share the part, `match` among them), as [gold index, plan index]. Every pair that is not listed
is a no, unless `undecided` lists it. `sampling` says how the papers were chosen, `annotator` who answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.settings import fingerprint
from evalkit.storage.files import read_lines
from evalkit.text import normalise, normalise_id
from evalkit.types import Ablation, Action, Plan, entry_tree

Places = frozenset[tuple[int, int]]
Table = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelledPlan:
    """One gold list against one plan, and what somebody said of their pairs."""

    paper: str
    planner: str
    gold: tuple[Ablation, ...]
    plan: tuple[Ablation, ...]
    match: Places
    same_part: Places
    undecided: Places = frozenset()
    sample: str = ""
    annotator: str = ""
    sampling: str = ""
    path: str = ""
    task: str = ""

    @property
    def match_table(self) -> Flags:
        """Whether each pair matches, by gold entry and plan entry."""
        return self._table(self.match)

    @property
    def part_table(self) -> Flags:
        """Whether each pair shares its part."""
        return self._table(self.match | self.same_part)

    @property
    def known_table(self) -> Flags:
        """Whether somebody has decided each pair; the others say neither yes nor no."""
        return ~self._table(self.undecided)

    def _table(self, places: Places) -> Flags:
        table = np.zeros((len(self.gold), len(self.plan)), dtype=np.bool_)
        for place in places:
            table[place] = True
        return table


class Labels:
    """Labelled plans, found again by paper, planner and what the entries say."""

    def __init__(self, rows: Iterable[LabelledPlan]) -> None:
        self.rows = tuple(rows)
        self._by_plan: dict[tuple[str, str, str], LabelledPlan] = {}
        for row in self.rows:
            key = (normalise_id(row.paper), row.planner, row.sample)
            if key in self._by_plan:
                raise InputError(
                    f"{row.path}: {row.planner!r} on {row.paper!r} is labelled twice; give one file of each"
                )
            self._by_plan[key] = row
        self.papers = frozenset(key[0] for key in self._by_plan)

    def tables(self, gold: Plan, plan: Plan) -> tuple[Table, Table] | None:
        """Part and match of every pair as 0 and 1; None where the labels do not cover just these entries."""
        if normalise_id(gold.paper) not in self.papers:
            return None
        shape = (len(gold.ablations), len(plan.ablations))
        row = self._by_plan.get((normalise_id(gold.paper), plan.planner or "", plan.sample))
        if not plan.ablations:
            return np.zeros(shape), np.zeros(shape)
        if row is None or row.undecided:
            return None
        rows, columns = _places(gold.ablations, row.gold), _places(plan.ablations, row.plan)
        if rows is None or columns is None:
            return None
        return _table(row.same_part | row.match, rows, columns), _table(row.match, rows, columns)

    @property
    def digest(self) -> str:
        """Twelve hex digits that stand for everything that was labelled."""
        return fingerprint(sorted(json.dumps(_tree(row), sort_keys=True) for row in self.rows))[:12]

    def doubts(self, plans: Iterable[Plan]) -> list[str]:
        """Why figures that rest on these labels may be wrong: not random, not whole papers, not these plans."""
        said = []
        loose = sorted({row.paper for row in self.rows if not row.sampling.startswith("papers")})
        if loose:
            said.append(f"labels of {len(loose)} papers are not marked as a random sample of papers ({loose[0]}, …)")
        open_rows = sum(bool(row.undecided) for row in self.rows)
        if open_rows:
            said.append(f"{open_rows} labelled plans have pairs that nobody decided; they are not used")
        known = {(normalise_id(plan.paper), plan.planner or "", plan.sample) for plan in plans if plan.ablations}
        if idle := len(self._by_plan.keys() - known):
            said.append(f"{idle} labelled plans are not among the plans that are scored")
        if gaps := [key for key in sorted(known - self._by_plan.keys()) if key[0] in self.papers]:
            said.append(f"not whole papers: {len(gaps)} plans of labelled papers have no labels ({gaps[0][1]}, …)")
        return said


def _places(entries: Sequence[Ablation], labelled: Sequence[Ablation]) -> list[int] | None:
    """Where each entry stands in a labelled list; entries that say the same are taken in their order."""
    free: dict[tuple[str, ...], list[int]] = {}
    for at, entry in enumerate(labelled):
        free.setdefault(_said(entry), []).append(at)
    try:
        return [free[_said(entry)].pop(0) for entry in entries]
    except (KeyError, IndexError):
        return None


def _said(entry: Ablation) -> tuple[str, ...]:
    """What tells one entry of a list from another."""
    return (normalise(entry.name), normalise(entry.part), entry.action or "")


def _table(places: Places, rows: Sequence[int], columns: Sequence[int]) -> Table:
    return np.array([[float((g, p) in places) for p in columns] for g in rows]).reshape(len(rows), len(columns))


def read_labels(paths: Iterable[str | Path]) -> list[LabelledPlan]:
    """The rows of label files. Figures rest on them, so a line that cannot be read is an error and not passed over."""
    rows = []
    for path, number, line in read_lines(paths):
        try:
            rows.append(_row(json.loads(line), path))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            wanted = "expected an object with paper, planner, gold, plan, match and same_part"
            raise InputError(f"{path}:{number}: {wanted}: {error!r}") from error
    return rows


def _row(tree: Mapping[str, Any], path: str) -> LabelledPlan:
    gold, plan = (tuple(_entry(item) for item in tree[side]) for side in ("gold", "plan"))
    match, part, undecided = (
        _pairs(tree.get(name, []), len(gold), len(plan)) for name in ("match", "same_part", "undecided")
    )
    sample, annotator, sampling = (str(tree.get(name) or "") for name in ("sample", "annotator", "sampling"))
    planner = tree.get("planner") or ""
    return LabelledPlan(
        tree["paper"], planner, gold, plan, match, part, undecided, sample, annotator, sampling, str(path),
        str(tree.get("task") or ""),
    )  # fmt: skip


def _pairs(listed: Iterable[Sequence[int]], rows: int, columns: int) -> Places:
    pairs = frozenset((int(g), int(p)) for g, p in listed)
    if any(not (0 <= g < rows and 0 <= p < columns) for g, p in pairs):
        raise ValueError("a pair names an entry that is not there")
    return pairs


def _entry(tree: Mapping[str, Any]) -> Ablation:
    action = Action(tree["action"]) if tree.get("action") else None
    options, metrics = (tuple(map(str, tree.get(field) or ())) for field in ("replacement", "metrics"))
    return Ablation(tree["name"], tree.get("ablated_part") or tree["name"], action, options, metrics)


def write_labels(rows: Iterable[LabelledPlan]) -> str:
    """Rows as JSONL."""
    return "".join(json.dumps(_tree(row), ensure_ascii=False) + "\n" for row in rows)


def _tree(row: LabelledPlan) -> dict[str, Any]:
    texts = {name: getattr(row, name) for name in ("task", "sample", "annotator", "sampling") if getattr(row, name)}
    tree: dict[str, Any] = {"paper": row.paper, "planner": row.planner, **texts, "annotators": 1}
    tree |= {side: [entry_tree(entry) for entry in getattr(row, side)] for side in ("gold", "plan")}
    tree |= {name: sorted(map(list, getattr(row, name))) for name in ("match", "same_part")}
    return tree | ({"undecided": sorted(map(list, row.undecided))} if row.undecided else {})
