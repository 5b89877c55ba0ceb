"""Takes a gate's file in TOML, gives its rules; a key that does not exist is refused with the nearest one that does."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from evalkit.comparison.corrected import CORRECTABLE
from evalkit.comparison.differences import MARK
from evalkit.comparison.paired_papers import COMPARABLE
from evalkit.errors import SettingsError
from evalkit.text import nearest

ON_INCONCLUSIVE = ("pass", "fail")
ON_MISSING = ("fail", "pass")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule demands of every planner that its pattern names; what is None is not demanded."""

    name: str = ""
    planner: str = "*"
    metric: str = "match_f1"
    margin: float | None = None
    max_drop: float | None = None
    significant: bool = False
    corrected: bool = False
    floor: float | None = None
    coverage: float | None = None
    paper_floor: float | None = None
    paper_max_drop: float | None = None
    new_parse_failures: int | None = None
    must_match: tuple[str, ...] = ()

    @property
    def figure(self) -> str:
        """What a comparison calls the figure that this rule looks at."""
        return f"{self.metric}{MARK}" if self.corrected else self.metric


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules, and what an inconclusive verdict or a planner that is gone means for the exit code."""

    rules: tuple[Rule, ...]
    inconclusive: str = "pass"
    missing_planners: str = "fail"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every figure that a rule looks at, the one of the first rule first."""
        return tuple(dict.fromkeys(rule.metric for rule in self.rules))

    @property
    def corrected(self) -> tuple[str, ...]:
        """The figures that a rule wants corrected by labels."""
        return tuple(dict.fromkeys(rule.metric for rule in self.rules if rule.corrected))

    @property
    def target(self) -> float | None:
        """The smallest drop that a rule forbids: what a comparison has to be able to see."""
        limits = [limit for rule in self.rules for limit in (rule.margin, rule.max_drop) if limit]
        return min(limits, default=None)

    def with_margin(self, margin: float | None) -> Gate:
        """These rules with another margin, and as much of a drop allowed, for every figure but coverage."""
        if margin is None:
            return self
        if not 0 <= margin <= 1:
            raise SettingsError(f"--margin {margin}: expected a number from 0 to 1")
        return replace(self, rules=tuple(_loosened(rule, margin) for rule in self.rules))


def _loosened(rule: Rule, margin: float) -> Rule:
    """A rule with its margin and max_drop replaced, where it has them."""
    if rule.metric == "coverage":
        return rule
    limits = (margin if limit is not None else None for limit in (rule.margin, rule.max_drop))
    return replace(rule, margin=next(limits), max_drop=next(limits))


DEMANDS = (
    "margin", "max_drop", "floor", "coverage", "paper_floor", "paper_max_drop", "new_parse_failures", "must_match",
)  # fmt: skip
OF_FIGURE = ("margin", "max_drop", "floor")  # demands on a planner's figure itself, which labels can correct
# Key -> the least and the most it may be.
BOUNDS = {
    "margin": (0, 1), "max_drop": (0, 1), "floor": (-1, 1), "coverage": (0, 1), "paper_floor": (-1, 1),
    "paper_max_drop": (0, 1),
}  # fmt: skip


def parse_gate(text: str, path: str) -> Gate:
    """The gate that a TOML file describes: a table [gate] with choices, and a [[rule]] for each rule."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    _known(path, table, ("gate", "rule"), "table")
    choices, rules = table.get("gate", {}), table.get("rule", [])
    if (
        not isinstance(choices, dict)
        or not isinstance(rules, list)
        or not all(isinstance(item, dict) for item in rules)
    ):
        raise SettingsError(f"{path}: expected a table [gate] and rules that begin with [[rule]]")
    if not rules:
        raise SettingsError(f"{path}: no rule; a gate that demands nothing would pass everything")
    _known(path, choices, ("inconclusive", "missing_planners"), "choice of [gate]")
    for key, allowed in (("inconclusive", ON_INCONCLUSIVE), ("missing_planners", ON_MISSING)):
        if choices.get(key, allowed[0]) not in allowed:
            raise SettingsError(f"{path}: {key} = {choices[key]!r}: expected {' or '.join(map(repr, allowed))}")
    return Gate(_named([_rule(f"{path}: rule {n}", rule) for n, rule in enumerate(rules, start=1)]), **choices)


def _known(where: str, table: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    """Refuse a key that does not exist."""
    for key in table:
        if key not in known:
            raise SettingsError(f"{where}: no {what} is called {key!r}{nearest(key, known)}")


def _rule(where: str, table: Mapping[str, Any]) -> Rule:
    """One rule, checked."""
    _known(where, table, tuple(item.name for item in fields(Rule)), "key of a rule")
    for key, value in table.items():
        CHECKS.get(key, _check_number)(where, key, value)
    if not any(key in table for key in DEMANDS):
        raise SettingsError(f"{where}: demands nothing; give it one of {', '.join(DEMANDS)}")
    if table.get("significant") and "max_drop" not in table:
        raise SettingsError(f"{where}: significant belongs to max_drop, which is not there")
    _check_corrected(where, table)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Rule(**values)


def _check_corrected(where: str, table: Mapping[str, Any]) -> None:
    """Labels correct some figures, over all papers; other demands would quietly look at what is not corrected."""
    if not table.get("corrected"):
        return
    if (metric := table.get("metric", "match_f1")) not in CORRECTABLE:
        raise SettingsError(f"{where}: labels do not correct {metric!r}, only {', '.join(CORRECTABLE)}")
    if others := [key for key in table if key in DEMANDS and key not in OF_FIGURE]:
        raise SettingsError(f"{where}: corrected goes with {', '.join(OF_FIGURE)}; give {others[0]} a rule of its own")


def _check_number(where: str, key: str, value: object) -> None:
    least, most = BOUNDS[key]
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most:  # type: ignore[operator]
        raise SettingsError(f"{where}: {key} = {value!r}: expected a number from {least} to {most}")


def _check_count(where: str, key: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SettingsError(f"{where}: {key} = {value!r}: expected how many are allowed, 0 or more")


def _check_text(where: str, key: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{where}: {key} = {value!r}: expected text")


def _check_metric(where: str, key: str, value: object) -> None:
    _check_text(where, key, value)
    if value not in COMPARABLE:
        raise SettingsError(f"{where}: no figure is called {value!r}{nearest(str(value), COMPARABLE)}")


def _check_flag(where: str, key: str, value: object) -> None:
    if not isinstance(value, bool):
        raise SettingsError(f"{where}: {key} = {value!r}: expected true or false")


def _check_entries(where: str, key: str, value: object) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise SettingsError(f'{where}: {key} = {value!r}: expected a list of texts like "paper/name of the gold entry"')


CHECKS = {
    "name": _check_text,
    "planner": _check_text,
    "metric": _check_metric,
    "significant": _check_flag,
    "corrected": _check_flag,
    "new_parse_failures": _check_count,
    "must_match": _check_entries,
}


def _named(rules: list[Rule]) -> tuple[Rule, ...]:
    """The rules with a name each, and no name twice: reports are read by name."""
    seen: dict[str, int] = {}
    named = []
    for number, rule in enumerate(rules, start=1):
        name = rule.name or f"rule {number}"
        seen[name] = seen.get(name, 0) + 1
        named.append(replace(rule, name=name if seen[name] == 1 else f"{name} ({seen[name]})"))
    return tuple(named)
