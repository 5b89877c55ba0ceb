"""How often the rules of a gate would trip on the papers at hand, without a change and with one.

A difference is taken as Student's t about the true one, so that it is enough to know from which drop on a rule trips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from evalkit import stats
from evalkit.comparison.comparison import Comparison
from evalkit.comparison.gate_rules import Gate, Rule

DROPS = (0.02, 0.05, 0.1)  # whose chance of being caught is shown
Rates = tuple[tuple[float, float], ...]  # (drop, how often it is caught)


@dataclass(frozen=True, slots=True)
class Outlook:
    """How often a rule would trip for any planner if nothing changed, and how often for one that drops by so much."""

    rule: str
    alarms: float
    catches: Rates


def gate_outlooks(comparison: Comparison, gate: Gate, *, strict: bool = False) -> tuple[Outlook, ...]:
    """Return what the rules on figures can do on these papers, with the spread of these differences.

    Below five papers there is no interval and no p below 5%: nothing to foresee.
    """
    outlooks = []
    for rule in filter(has_test, gate.rules):
        names = [name for _, name in comparison.pairs if fnmatchcase(name, rule.planner)]
        changes = [comparison.change(name, rule.figure) for name in names]
        known = [item for item in changes if item.standard_error and item.papers >= stats.FEWEST_PAPERS]
        if not known:
            continue
        tests = gate.tests(rule, len(comparison.pairs))
        unsure = strict or gate.inconclusive == "fail"
        rates = [
            trip_rates(
                rule, item.standard_error or 0.0, item.papers, tests, (0.0, *DROPS), unsure=unsure, strict=strict
            )
            for item in known
        ]
        alarms, *caught = zip(*rates, strict=True)
        catches = tuple((drop, sum(row) / len(row)) for drop, row in zip(DROPS, caught, strict=True))
        outlooks.append(Outlook(rule.name, any_alarm(alarms), catches))
    return tuple(outlooks)


def has_test(rule: Rule) -> bool:
    """Return whether the rule trips on a figure by its interval or its test, so that its rates can be foreseen."""
    return not rule.by and (rule.margin is not None or (rule.max_drop is not None and rule.significant))


def any_alarm(alarms: Sequence[float]) -> float:
    """Return how often at least one of several planners trips."""
    return 1 - math.prod(1 - rate for rate in alarms)


def trip_rates(
    rule: Rule,
    standard_error: float,
    papers: int,
    tests: int,
    drops: Sequence[float],
    *,
    unsure: bool,
    strict: bool = False,
) -> tuple[float, ...]:
    """Return how often the rule trips for a planner, one of so many tests, when its true drop is each of `drops`.

    `unsure`: whether it trips where it is inconclusive; `strict` trips on any drop that is sure as well.
    """
    threshold = _trips_from(rule, standard_error, papers, tests, unsure=unsure, strict=strict)
    return tuple(stats.alarm_rate(drop, standard_error, papers, threshold) for drop in drops)


def _trips_from(rule: Rule, standard_error: float, papers: int, tests: int, *, unsure: bool, strict: bool) -> float:
    """Return the drop from which on the rule trips."""
    limits = []
    if rule.margin is not None:
        reach = stats.significant_from(standard_error, papers)  # of the interval, to each side
        limits += [rule.margin - reach if unsure else rule.margin + reach, *([reach] if strict else [])]
    if rule.max_drop is not None:
        sure = stats.significant_from(standard_error, papers, tests=tests)
        limits.append(max(rule.max_drop, sure) if rule.significant and not unsure else rule.max_drop)
    return min(limits)
