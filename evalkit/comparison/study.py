"""Foresee from one run what a gate does on such papers, and how many papers and samples a difference takes.

How far a planner's score moves when nothing changed can be known only from several samples of a paper: asked again,
it gives other plans. What a change of planner does differs from paper to paper; the other planners of the run stand in
for that. What the run does not show is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.comparison.differences import figure_measure
from evalkit.comparison.gate_rules import Gate, Rule
from evalkit.comparison.outlook import DROPS, Rates, any_alarm, has_test, trip_rates
from evalkit.comparison.snapshot import snapshot_of
from evalkit.errors import InputError
from evalkit.metrics.figures import WEIGHTED
from evalkit.storage.runs import Run
from evalkit.text import nearest, normalise_id

FIGURE = "match_f1"  # the figure whose spread over the samples of a paper a run holds
SAMPLES = (1, 3, 10)  # samples of a paper whose effect is shown
TARGET = 0.03
Change = Literal["asked again", "another planner"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """How often a rule would trip for one planner: without a drop, and with one; what such papers can show.

    `change` is what the spread of the differences is taken from: the same planner asked again, or the others of the
    run in its place.
    """

    rule: str
    planner: str
    change: Change
    papers: int
    alarms: float | None = None
    catches: Rates = ()
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class SampleAdvice:
    """So many samples a paper: how far the interval of match F1 reaches to each side, by which share that is narrower
    than with one sample, and the papers that show the target by either kind of change."""

    samples: int
    reach: float | None
    narrower: float | None
    papers_again: int | None
    papers_other: int | None


@dataclass(frozen=True, slots=True)
class Design:
    """Where a planner's match F1 varies, as standard deviations between papers and between samples of a paper."""

    planner: str
    papers: int
    samples: int
    between: float | None
    within: float | None
    advice: tuple[SampleAdvice, ...]


@dataclass(frozen=True, slots=True)
class GateStudy:
    """What to expect of a gate and of designs on one run.

    `alarms`: how often each rule trips for any planner that is asked again.
    """

    run: str
    target: float
    expectations: tuple[Expectation, ...]
    alarms: Mapping[str, float | None]
    designs: tuple[Design, ...]

    @property
    def has_samples(self) -> bool:
        """Return whether samples of some planner say how far it varies when it is asked again."""
        return any(design.within is not None for design in self.designs)


@dataclass(frozen=True, slots=True)
class _Planner:
    """One planner's papers: mean match F1 of their samples, the samples' standard deviation, and their number."""

    name: str
    means: NDArray[np.float64]
    spreads: NDArray[np.float64]
    samples: NDArray[np.float64]

    @property
    def is_single(self) -> bool:
        """Return whether there is one sample of every paper."""
        return bool((self.samples == 1).all())

    @property
    def components(self) -> tuple[float, float]:
        """Return the variance between papers, and that of one sample."""
        return stats.variance_components(self.means, self.spreads, self.samples)

    @property
    def noise(self) -> float:
        """Return how much of the variance of papers' means comes from their samples."""
        return self.components[1] * float(np.mean(1 / self.samples))


def study_gate(run: Run, name: str, gate: Gate, target: float = TARGET) -> GateStudy:
    """Return what a run says of these rules, and of the papers and samples that show a difference of `target`."""
    if not 0 < target <= 1:
        raise InputError(f"--target {target:g}: expected a number above 0, and at most 1")
    rows = _rows(run, name)
    planners = {planner: _planner(planner, table) for planner, table in rows.items()}
    expectations, unsure = [], gate.inconclusive == "fail"
    for rule in filter(has_test, gate.rules):
        names = [planner for planner in rows if fnmatchcase(planner, rule.planner)]
        if not names:
            raise InputError(f"{rule.name}: no planner is like {rule.planner!r}{nearest(rule.planner, list(rows))}")
        if rule.metric in WEIGHTED and rule.metric not in run.papers:
            raise InputError(f"{rule.name}: {rule.metric}: gold of {name} has no weights")
        variances = {} if rule.corrected else _variances(rows, rule.metric)
        for planner in names:
            again = _again(planners[planner]) if rule.figure == FIGURE else math.nan
            papers, tests = len(rows[planner]), gate.tests(rule, len(rows))
            expectations.append(_expectation(rule, planner, "asked again", again, papers, tests, unsure))
            other = variances.get(planner, math.nan)
            expectations.append(_expectation(rule, planner, "another planner", other, papers, tests, unsure))
    variances = _variances(rows, FIGURE)
    designs = tuple(_design(planner, planners, variances[planner.name], target) for planner in planners.values())
    return GateStudy(name, target, tuple(expectations), _any_alarms(expectations), designs)


def _rows(run: Run, name: str) -> dict[str, pd.DataFrame]:
    """Return each planner's papers by key, with the spread of their samples."""
    papers = snapshot_of(run, name).papers
    spread = pd.to_numeric(run.papers["match_f1_spread"], errors="coerce").to_numpy(dtype=np.float64)
    keys = zip(run.papers["planner"], map(normalise_id, run.papers["paper"]), strict=True)
    known = dict(zip(keys, spread, strict=True))
    places = zip(papers["planner"], papers["key"], strict=True)
    table = papers.assign(spread=[known[place] for place in places])
    return {str(planner): rows.set_index("key") for planner, rows in table.groupby("planner", sort=True)}


def _planner(name: str, rows: pd.DataFrame) -> _Planner:
    """Return a planner's papers; one without any plan has as many samples as the others, all of them alike."""
    means, spreads, samples = (rows[column].to_numpy(dtype=np.float64) for column in (FIGURE, "spread", "samples"))
    if (most := samples.max()) > 1:
        absent = rows["planned"].to_numpy(dtype=np.float64) == 0
        spreads, samples = np.where(absent, 0.0, spreads), np.where(absent, most, samples)
    return _Planner(name, means, spreads, samples)


def _variances(rows: Mapping[str, pd.DataFrame], figure: str) -> dict[str, float]:
    """Return, for each planner, the variance over a paper of its difference to another one, the mean over the others.

    It is taken on the papers that all planners have; NaN where there is no other planner.
    """
    shared = sorted(set.intersection(*(set(table.index) for table in rows.values())))
    if len(rows) < 2 or len(shared) < 2:
        return dict.fromkeys(rows, math.nan)
    measure = figure_measure([table.loc[shared] for table in rows.values()], figure)
    n = measure.n
    squares = stats.difference_variances(measure) * np.minimum(n[:, None], n[None, :])
    means = squares.sum(axis=1) / (len(rows) - 1)
    return dict(zip(rows, map(float, means), strict=True))


def _again(planner: _Planner) -> float:
    """Return the variance over a paper of the difference between two runs of a planner with as many samples."""
    return 2 * planner.noise


def _expectation(
    rule: Rule, planner: str, change: Change, variance: float, papers: int, tests: int, unsure: bool
) -> Expectation:
    """Return how often a rule trips where the difference varies so over a paper; `unsure` as in `trip_rates`."""
    if math.isnan(variance) or papers < stats.FEWEST_PAPERS:
        return Expectation(rule.name, planner, change, papers)
    error = math.sqrt(variance / papers)
    alarms, *caught = trip_rates(rule, error, papers, tests, (0.0, *DROPS), unsure=unsure)
    catches = tuple(zip(DROPS, caught, strict=True))
    could_see = _known(stats.minimum_detectable(error, papers, tests=tests))
    return Expectation(rule.name, planner, change, papers, alarms, catches, could_see)


def _any_alarms(expectations: list[Expectation]) -> dict[str, float | None]:
    """Return how often each rule trips for any planner that is asked again; None where one of them is unknown."""
    alarms: dict[str, float | None] = {}
    for rule in dict.fromkeys(item.rule for item in expectations):
        rates = [item.alarms for item in expectations if (item.rule, item.change) == (rule, "asked again")]
        known = [rate for rate in rates if rate is not None]
        alarms[rule] = any_alarm(known) if len(known) == len(rates) else None
    return alarms


def _design(planner: _Planner, planners: Mapping[str, _Planner], other: float, target: float) -> Design:
    """Return where a planner's score varies, and what more samples a paper would do about it.

    `other`: the variance over a paper of its difference to another planner, with the samples that the run has.
    """
    between, within = planner.components
    others = [item for item in planners.values() if item is not planner]
    # Of the difference to another planner, more samples lower what comes from the samples of either.
    noise = planner.noise + _mean([item.noise for item in others])
    fixed = other - noise if math.isnan(other - noise) else max(other - noise, 0.0)
    both = within + _mean([item.components[1] for item in others])
    rows = [(n, between + within / n, fixed + both / n) for n in SAMPLES]
    papers = len(planner.means)
    # What single samples do together with papers can be seen, though not what of it is theirs.
    if planner.is_single and papers > 1:
        rows[0] = (
            1,
            float(np.var(planner.means, ddof=1)),
            other if all(item.is_single for item in others) else math.nan,
        )
    advice = tuple(
        SampleAdvice(
            n,
            _known(stats.t_reach(papers) * math.sqrt(level / papers)),
            _known(1 - math.sqrt(level / rows[0][1])) if n > 1 and rows[0][1] > 0 else None,
            stats.papers_to_see(math.sqrt(2 * within / n), target),
            stats.papers_to_see(math.sqrt(unlike), target),
        )
        for n, level, unlike in rows
    )
    spreads = _known(math.sqrt(between)), _known(math.sqrt(within))
    return Design(planner.name, papers, int(planner.samples.max()), *spreads, advice)


def _mean(values: list[float]) -> float:
    """Return the mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def _known(value: float) -> float | None:
    """Return a number, or None where it is unknown."""
    return None if math.isnan(value) else value
