"""Many runs in the order of their time: how each differs from the one before and from the best so far, and how sure
that is after so many looks. Of each run only what the figure needs is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from evalkit import stats
from evalkit.comparison.comparable import unlike
from evalkit.comparison.differences import (
    LEVEL,
    MICRO,
    FigureChange,
    ResamplingOptions,
    checked_figures,
    figure_measure,
    per_paper,
    point_change,
    with_difference,
    with_verdicts,
)
from evalkit.comparison.snapshot import HEAD, counts_of, paper_sums
from evalkit.errors import InputError
from evalkit.metrics.figures import FIGURES
from evalkit.storage.run_list import RunHead, Scored
from evalkit.storage.runs import read_columns
from evalkit.text import nearest

TARGET = 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One run: the planner that is followed, its figure, and its change since the run before and the best before it.

    A change's `was` and `planner` are the names of the two runs, and its p is corrected for all changes of its kind in
    the group. `best_probability` is how often resampled papers put this run first among those of its group; None where
    that was not asked for or papers are not the same.
    """

    run: RunHead
    planner: str
    scored: Scored
    previous: FigureChange | None = None
    best: FigureChange | None = None
    best_run: str = ""
    best_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that may be compared, in order. `reason` says in what they differ from the first group; empty for that."""

    lines: tuple[Line, ...]
    reason: str = ""

    @property
    def best(self) -> Line | None:
        """Return the run with the highest figure, the first of equals; None where all are undefined."""
        known = [line for line in self.lines if not math.isnan(line.scored.value)]
        return max(known, key=lambda line: line.scored.value) if known else None

    @property
    def planners(self) -> tuple[str, ...]:
        """Return every planner of these runs: those that are followed first, then by their highest figure."""
        highest: dict[str, float] = {}
        for line in self.lines:
            for name, scored in line.run.board.items():
                highest[name] = max(highest.get(name, -1.0), -1.0 if math.isnan(scored.value) else scored.value)
        followed = list(dict.fromkeys(line.planner for line in reversed(self.lines)))
        return tuple(followed + sorted((name for name in highest if name not in followed), key=lambda n: -highest[n]))

    def trend(self, planner: str) -> list[float]:
        """Return a planner's figure in each run, NaN where it is not there."""
        boards = (line.run.board for line in self.lines)
        return [board[planner].value if planner in board else math.nan for board in boards]

    @property
    def looks(self) -> int:
        """Return how many changes since the run before were tested."""
        return sum(line.previous is not None and line.previous.p is not None for line in self.lines)


@dataclass(frozen=True, slots=True)
class History:
    """The groups of runs that may be compared, the largest first, and what could not be read."""

    metric: str
    groups: tuple[Group, ...]
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def lines(self) -> Iterator[Line]:
        """Yield the lines of all groups."""
        return (line for group in self.groups for line in group.lines)


def false_alarm(looks: int) -> float:
    """Return how likely one of so many independent tests at 5% is significant where nothing changes."""
    return 1 - (1 - LEVEL) ** looks


def history(
    runs: Sequence[RunHead], metric: str = "match_f1", *, planner: str = "", tests: bool = True,
    unread: Iterable[tuple[str, str]] = (),
) -> History:  # fmt: skip
    """Return runs in groups that may be compared, each run beside the one before it and the best so far.

    planner: a name or pattern; of several that fit, the best of each run. Without it the planner that leads in the
    newest run is followed, and in runs that lack it their own leader.
    tests: whether to read the papers of the runs for tests and probabilities; without them figures and order remain.
    """
    checked_figures((metric,))
    if MICRO.get(metric, metric) not in FIGURES:
        raise InputError(f"{metric}: a figure of another package, which the leaderboards of runs do not hold")
    kept = [run for run in runs if not planner or _fitting(run, planner)]
    if runs and not kept:
        known = list(dict.fromkeys(name for run in runs for name in run.board))
        raise InputError(f"no planner is like {planner!r}{nearest(planner, known)}")
    groups, problems = list[Group](), [*unread]
    for members in _groups(kept):
        lines = [Line(run, name, run.board[name]) for run, name in _followed(members, planner)]
        if tests:
            lines = _tested(lines, metric, problems)
        if lines:
            reason = _reason(groups[0].lines[-1].run, lines[-1].run) if groups else ""
            groups.append(Group(tuple(lines), reason))
    return History(metric, tuple(groups), tuple(problems))


def _groups(runs: Sequence[RunHead]) -> list[list[RunHead]]:
    """Return runs in groups that may be compared, the largest first, and of two as large the one with the newest."""
    groups: list[list[RunHead]] = []
    for run in runs:
        fitting = (group for group in groups if not unlike(group[0].signature, run.signature))
        group = next(fitting, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return sorted(groups, key=lambda group: (len(group), group[-1].time), reverse=True)


def _reason(first: RunHead, other: RunHead) -> str:
    """Say in what the runs of two groups differ besides their plans."""
    items = unlike(first.signature, other.signature).items()
    return "; ".join(f"{name} is {there} here and {here} above" for name, (here, there) in items)


def _fitting(run: RunHead, pattern: str) -> list[str]:
    return [name for name in run.board if fnmatchcase(name, pattern)] or [name for name in run.board if name == pattern]


def renamed_leader(base: RunHead, new: RunHead) -> dict[str, str]:
    """Return which planner of base to hold against which of new where no name is in both: their leaders."""
    return {} if base.board.keys() & new.board.keys() else {base.leader: new.leader}


def exactly(planner: str) -> str:
    """Return the pattern that fits this planner's name and no other."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in planner)


def _followed(runs: Sequence[RunHead], pattern: str) -> Iterator[tuple[RunHead, str]]:
    """Yield each run with the planner that is followed in it."""
    favourite = runs[-1].leader
    for run in runs:
        names = _fitting(run, pattern) if pattern else [favourite] if favourite in run.board else [run.leader]
        yield run, max(names, key=lambda name: (run.board[name].value == run.board[name].value, run.board[name].value))


def paper_rows(run: RunHead, metric: str) -> pd.DataFrame:
    """Return planner, key, paper, status, samples, and what the metric needs, a row a planner and paper of a run."""
    figure = MICRO.get(metric, metric)
    table = read_columns(run.folder, "papers", run.signature, [*HEAD, *counts_of(figure)], [figure])
    return paper_sums(table, figure)


def planner_rows(line: Line, metric: str) -> pd.DataFrame:
    """Return the papers of the planner that a line follows, by their keys."""
    rows = paper_rows(line.run, metric)
    return rows[rows["planner"] == line.planner].set_index("key")


def _tested(every: Sequence[Line], metric: str, problems: list[tuple[str, str]]) -> list[Line]:
    """Return the lines with their changes and their probabilities of being the best.

    Runs whose papers cannot be read are left out and join the problems.
    """
    lines, rows = [], []
    for line in every:
        try:
            rows.append(planner_rows(line, metric))
        except InputError as error:
            problems.append((str(line.run.folder), str(error)))
        else:
            lines.append(line)
    if not lines:
        return []
    best = _best_before([line.scored.value for line in lines])
    pairs = [(number - 1, number) for number in range(1, len(lines))]
    pairs += [(at, number) for number, at in enumerate(best) if at is not None and at != number - 1]
    settings = lines[-1].run.settings
    options = ResamplingOptions(
        resamples=int(settings.get("resamples") or stats.RESAMPLES), seed=int(settings.get("seed") or 0)
    )
    changes = _changes(lines, rows, pairs, metric, options)
    correction = str(settings.get("correction") or "shaffer")
    kinds = [[(number - 1, number) for number in range(1, len(lines))],
             [(at, number) for number, at in enumerate(best) if at is not None]]  # fmt: skip
    previous, leading = (
        {new: change for (_, new), change in zip(
            kind, with_verdicts([changes[pair] for pair in kind], metric, (), correction, TARGET), strict=True
        )} for kind in kinds
    )  # fmt: skip
    chances = _best_probabilities(rows, metric, options)
    names = [lines[at].run.name if at is not None else "" for at in best]
    return [
        replace(line, previous=previous.get(number), best=leading.get(number), best_run=names[number],
                best_probability=chances[number])
        for number, line in enumerate(lines)
    ]  # fmt: skip


def _best_before(values: Sequence[float]) -> list[int | None]:
    """Return for each run which of those before it has the highest figure, the first of equals."""
    best: list[int | None] = [None]
    for number, value in enumerate(values[:-1]):
        leader = best[-1]
        best.append(leader if math.isnan(value) or (leader is not None and values[leader] >= value) else number)
    return best


def _changes(
    lines: Sequence[Line], rows: Sequence[pd.DataFrame], pairs: Sequence[tuple[int, int]], metric: str,
    options: ResamplingOptions,
) -> dict[tuple[int, int], FigureChange]:  # fmt: skip
    """Return the change of each pair of lines (base, new) on the papers that both have."""
    changes: dict[tuple[int, int], FigureChange] = {}
    together = _aligned(rows)
    if together is not None and pairs:
        measure = figure_measure(together, metric)
        p_values = stats.chosen_pairs(measure, pairs, **options)
        for (base, new), p in zip(pairs, p_values.tolist(), strict=True):
            pair = stats.Measure(measure.sums[:, [base, new]], measure.metric)
            changes[base, new] = _change(pair, lines, (base, new), metric, p)
        return changes
    for base, new in pairs:
        keys = rows[base].index.intersection(rows[new].index)
        pair = figure_measure([rows[base].loc[keys], rows[new].loc[keys]], metric)
        p = stats.paired_test(pair, 0, 1, **options) if len(keys) else math.nan
        changes[base, new] = _change(pair, lines, (base, new), metric, p)
    return changes


def _change(
    pair: stats.Measure, lines: Sequence[Line], numbers: tuple[int, int], metric: str, p: float
) -> FigureChange:
    base, new = (lines[number] for number in numbers)
    change = point_change(pair, (base.run.name, new.run.name), metric)
    if change.difference is not None or not change.defined:
        return change
    return with_difference(change, stats.differences([pair], 0, 1)[0], p)


def _aligned(rows: Sequence[pd.DataFrame]) -> list[pd.DataFrame] | None:
    """Return the rows of all runs on the same papers in the same order; None where a run has other papers."""
    order = sorted(rows[0].index)
    if any(len(own) != len(order) or sorted(own.index) != order for own in rows):
        return None
    return [own.loc[order] for own in rows]


def _best_probabilities(
    rows: Sequence[pd.DataFrame], metric: str, options: ResamplingOptions
) -> Sequence[float | None]:
    together = _aligned(rows)
    if together is None or len(rows) < 2 or not len(rows[0]):
        return [None] * len(rows)
    chances = stats.top_probability(figure_measure(together, metric), **options)
    return [float(chance) for chance in chances]


def paper_square(group: Group, metric: str) -> tuple[list[str], np.ndarray]:
    """Return the papers of a group's followed planners and the metric [run, paper], NaN where there is none."""
    rows = [planner_rows(line, metric) for line in group.lines]
    titles = {str(key): str(paper) for own in rows for key, paper in own["paper"].items()}
    keys = sorted(titles)
    square = np.array([per_paper(own, metric).reindex(keys).to_numpy(dtype=np.float64) for own in rows])
    return [titles[key] for key in keys], square
