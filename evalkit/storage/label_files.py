"""Read and write labels: JSONL of gold lists and plans with the pairs that belong together.

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

Pairs = frozenset[tuple[int, int]]  # (gold, plan)
Table = NDArray[np.float64]  # [gold, plan]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelledPlan:
    """One gold list against one plan, and how somebody labelled their pairs."""

    paper: str
    planner: str
    gold: tuple[Ablation, ...]
    plan: tuple[Ablation, ...]
    match: Pairs
    same_part: Pairs
    undecided: Pairs = frozenset()
    sample: str = ""
    annotator: str = ""
    sampling: str = ""
    path: str = ""
    task: str = ""

    @property
    def match_table(self) -> Flags:
        """Return [gold, plan]: whether each pair matches."""
        return self._table(self.match)

    @property
    def part_table(self) -> Flags:
        """Return [gold, plan]: whether each pair shares its part."""
        return self._table(self.match | self.same_part)

    @property
    def known_table(self) -> Flags:
        """Return [gold, plan]: whether somebody has decided each pair."""
        return ~self._table(self.undecided)

    def _table(self, pairs: Pairs) -> Flags:
        table = np.zeros((len(self.gold), len(self.plan)), dtype=np.bool_)
        for pair in pairs:
            table[pair] = True
        return table


class Labels:
    """Labelled plans, looked up by paper, planner and what the entries say."""

    def __init__(self, rows: Iterable[LabelledPlan]) -> None:
        self.rows = tuple(rows)
        self._by_plan: dict[tuple[str, str, str], LabelledPlan] = {}
        for row in self.rows:
            key = (normalise_id(row.paper), row.planner, row.sample)
            if key in self._by_plan:
                message = f"{row.path}: {row.planner!r} on {row.paper!r} is labelled twice; give one file of each"
                raise InputError(message)
            self._by_plan[key] = row
        self.papers = frozenset(key[0] for key in self._by_plan)

    def tables(self, gold: Plan, plan: Plan) -> tuple[Table, Table] | None:
        """Return part and match as [gold, plan] of 0 and 1; None where the labels do not cover just these entries."""
        if normalise_id(gold.paper) not in self.papers:
            return None
        shape = (len(gold.ablations), len(plan.ablations))
        row = self._by_plan.get((normalise_id(gold.paper), plan.planner or "", plan.sample))
        if not plan.ablations:
            return np.zeros(shape), np.zeros(shape)
        if row is None or row.undecided:
            return None
        rows, columns = _indices(gold.ablations, row.gold), _indices(plan.ablations, row.plan)
        if rows is None or columns is None:
            return None
        return _table(row.same_part | row.match, rows, columns), _table(row.match, rows, columns)

    @property
    def digest(self) -> str:
        """Return twelve hex digits that stand for everything that was labelled."""
        return fingerprint(sorted(json.dumps(_tree(row), sort_keys=True) for row in self.rows))[:12]

    def doubts(self, plans: Iterable[Plan]) -> list[str]:
        """Say why figures that rest on these labels may be wrong: not random, not whole papers, not these plans."""
        doubts = []
        loose = sorted({row.paper for row in self.rows if not row.sampling.startswith("papers")})
        if loose:
            doubts.append(f"labels of {len(loose)} papers are not marked as a random sample of papers ({loose[0]}, …)")
        open_rows = sum(bool(row.undecided) for row in self.rows)
        if open_rows:
            doubts.append(f"{open_rows} labelled plans have pairs that nobody decided; they are not used")
        known = {(normalise_id(plan.paper), plan.planner or "", plan.sample) for plan in plans if plan.ablations}
        if idle := len(self._by_plan.keys() - known):
            doubts.append(f"{idle} labelled plans are not among the plans that are scored")
        if gaps := [key for key in sorted(known - self._by_plan.keys()) if key[0] in self.papers]:
            doubts.append(f"not whole papers: {len(gaps)} plans of labelled papers have no labels ({gaps[0][1]}, …)")
        return doubts


def _indices(entries: Sequence[Ablation], labelled: Sequence[Ablation]) -> list[int] | None:
    """Return where each entry stands in a labelled list; entries that say the same are taken in their order."""
    free: dict[tuple[str, ...], list[int]] = {}
    for index, entry in enumerate(labelled):
        free.setdefault(_identity(entry), []).append(index)
    try:
        return [free[_identity(entry)].pop(0) for entry in entries]
    except (KeyError, IndexError):
        return None


def _identity(entry: Ablation) -> tuple[str, ...]:
    """Return what tells one entry of a list from another."""
    return (normalise(entry.name), normalise(entry.part), entry.action or "")


def _table(pairs: Pairs, rows: Sequence[int], columns: Sequence[int]) -> Table:
    return np.array([[float((g, p) in pairs) for p in columns] for g in rows]).reshape(len(rows), len(columns))


def read_labels(paths: Iterable[str | Path]) -> list[LabelledPlan]:
    """Return the rows of label files. Figures rest on them, so a line that cannot be read is an error."""
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
    paper, planner = _text(tree["paper"]), _text(tree.get("planner") or "")
    return LabelledPlan(
        paper, planner, gold, plan, match, part, undecided, sample, annotator, sampling, str(path),
        str(tree.get("task") or ""),
    )  # fmt: skip


def _pairs(listed: Iterable[Sequence[int]], rows: int, columns: int) -> Pairs:
    pairs = frozenset((g, p) for g, p in listed)
    if any(not (type(g) is type(p) is int and 0 <= g < rows and 0 <= p < columns) for g, p in pairs):
        raise ValueError("a pair names an entry that is not there")
    return pairs


def _entry(tree: Mapping[str, Any]) -> Ablation:
    action = Action(tree["action"]) if tree.get("action") else None
    options, metrics = (tuple(map(_text, tree.get(field) or ())) for field in ("replacement", "metrics"))
    name, part = _text(tree["name"]), _text(tree.get("ablated_part") or tree["name"])
    return Ablation(name, part, action, options, metrics)


def _text(value: object) -> str:
    """Return a text; refuse everything else."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    return value


def write_labels(rows: Iterable[LabelledPlan]) -> str:
    """Return rows as JSONL."""
    return "".join(json.dumps(_tree(row), ensure_ascii=False) + "\n" for row in rows)


def _tree(row: LabelledPlan) -> dict[str, Any]:
    texts = {name: getattr(row, name) for name in ("task", "sample", "annotator", "sampling") if getattr(row, name)}
    tree: dict[str, Any] = {"paper": row.paper, "planner": row.planner, **texts, "annotators": 1}
    tree |= {side: [entry_tree(entry) for entry in getattr(row, side)] for side in ("gold", "plan")}
    tree |= {name: sorted(map(list, getattr(row, name))) for name in ("match", "same_part")}
    return tree | ({"undecided": sorted(map(list, row.undecided))} if row.undecided else {})
