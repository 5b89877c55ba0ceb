"""The rules of a gate, read from TOML; a key that does not exist is refused with the nearest one that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from evalkit.comparison.corrected_differences import CORRECTABLE
from evalkit.comparison.differences import COMPARABLE, CORRECTED_SUFFIX, figure_named
from evalkit.errors import SettingsError
from evalkit.settings import read_toml, shown
from evalkit.text import nearest


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected value of a key: in words, as a test, and as JSON Schema."""

    words: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any]


def _number(least: int, most: int) -> Expected:
    def holds(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return Expected(f"a number from {least} to {most}", holds, {"type": "number", "minimum": least, "maximum": most})


def _one_of(*choices: str) -> Expected:
    return Expected(" or ".join(map(repr, choices)), lambda value: value in choices, {"enum": list(choices)})


def _key(default: Any, expected: Expected, note: str, *, demand: bool = False) -> Any:
    """Declare a key of the file with its default, what its value must be, and what it is for."""
    return field(default=default, metadata={"expected": expected, "note": note, "demand": demand})


def _demand(expected: Expected, note: str, default: Any = None) -> Any:
    return _key(default, expected, note, demand=True)


TEXT = Expected("text", lambda value: isinstance(value, str) and bool(value), {"type": "string", "minLength": 1})
FLAG = Expected("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
COUNT = Expected(
    "how many are allowed, 0 or more",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    {"type": "integer", "minimum": 0},
)
ENTRIES = Expected(
    'a list of texts like "paper/name of the gold entry"',
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value),
    {"type": "array", "minItems": 1, "items": {"type": "string"}},
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for every planner that its pattern names; a field that is None checks nothing."""

    name: str = _key("", TEXT, "What reports call the rule; its number when it is not set.")
    planner: str = _key("*", TEXT, "The planners that the rule is for, as a pattern: `*` is any text.")
    metric: str = _key("match_f1", TEXT, "The figure that the rule looks at, a column of leaderboard.csv.")
    significant: bool = _key(
        False, FLAG, "With max_drop: only a drop that the permutation test confirms trips; another is inconclusive."
    )
    corrected: bool = _key(False, FLAG, "Apply margin, max_drop and floor to the figure as labels correct it.")
    by: str = _key("", TEXT, "Apply margin, max_drop and floor to every slice by this field of gold's metadata.")
    margin: float | None = _demand(
        _number(0, 1),
        "How much worse the figure may be: trips where the whole interval of the difference is below -margin, and is"
        " inconclusive where the interval reaches across it.",
    )
    max_drop: float | None = _demand(_number(0, 1), "The largest drop of the figure itself that passes.")
    floor: float | None = _demand(_number(-1, 1), "The least value of the new run's figure that passes.")
    coverage: float | None = _demand(_number(0, 1), "The least share of papers with a plan that passes.")
    paper_floor: float | None = _demand(_number(-1, 1), "The least value of the figure on any single paper.")
    paper_max_drop: float | None = _demand(_number(0, 1), "The largest drop of the figure on any single paper.")
    new_parse_failures: int | None = _demand(
        COUNT, "How many plans may become unreadable, or lose entries that could be read before."
    )
    must_match: tuple[str, ...] = _demand(
        ENTRIES, 'Gold entries ("paper/name") that have to be matched, by half of the samples of a plan.', default=()
    )

    @property
    def figure(self) -> str:
        """Return what a comparison calls the figure that this rule looks at."""
        return f"{self.metric}{CORRECTED_SUFFIX}" if self.corrected else self.metric


DEMANDS = tuple(item.name for item in fields(Rule) if item.metadata["demand"])
# Demands on a planner's figure itself, which labels can correct, and which slices have.
OF_FIGURE = ("margin", "max_drop", "floor")


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules, what an inconclusive verdict or a missing planner means for the exit code, and how p is corrected."""

    rules: tuple[Rule, ...]
    inconclusive: str = _key("pass", _one_of("pass", "fail"), "Whether an inconclusive check passes or fails.")
    missing_planners: str = _key("fail", _one_of("fail", "pass"), "Whether it passes that the new run lacks a planner.")
    correction: str = _key(
        "shaffer", _one_of("shaffer", "bh"),
        "How p is corrected over planners: shaffer (no false alarm in 95% of runs) or bh (5% of alarms are false).",
    )  # fmt: skip

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return every figure that a rule looks at, the one of the first rule first."""
        return tuple(dict.fromkeys(rule.metric for rule in self.rules))

    @property
    def tested(self) -> tuple[str, ...]:
        """Return the figures that a rule tests, without that of the first rule."""
        tested = [rule.metric for rule in self.rules if rule.significant and not rule.corrected]
        return tuple(name for name in dict.fromkeys(tested) if name != self.metrics[0])

    def tests(self, rule: Rule, planners: int) -> int:
        """Return how many tests the p of a rule's figure is corrected for, with so many planners.

        One where labels correct the figure: its interval decides, planner by planner.
        """
        if rule.corrected:
            return 1
        return planners * len(self.tested) if rule.metric in self.tested else planners

    @property
    def by(self) -> tuple[str, ...]:
        """Return the fields of gold's metadata whose slices a rule looks at."""
        return tuple(dict.fromkeys(rule.by for rule in self.rules if rule.by))

    @property
    def corrected(self) -> tuple[str, ...]:
        """Return the figures that a rule wants corrected by labels."""
        return tuple(dict.fromkeys(rule.metric for rule in self.rules if rule.corrected))

    @property
    def target(self) -> float | None:
        """Return the smallest drop that a rule forbids: what a comparison has to be able to detect."""
        limits = [limit for rule in self.rules for limit in (rule.margin, rule.max_drop) if limit]
        return min(limits, default=None)

    def with_margin(self, margin: float | None) -> Gate:
        """Replace margin and max_drop, where a rule has them, for every figure but coverage."""
        if margin is None:
            return self
        if not 0 <= margin <= 1:
            raise SettingsError(f"--margin {margin}: expected a number from 0 to 1")
        rules = []
        for rule in self.rules:
            limits = () if rule.metric == "coverage" else ("margin", "max_drop")
            changed: dict[str, Any] = {name: margin for name in limits if getattr(rule, name) is not None}
            rules.append(replace(rule, **changed))
        return replace(self, rules=tuple(rules))


def parse_gate(text: str, path: str) -> Gate:
    """Read the gate that a TOML file describes: a table [gate] with choices, and a [[rule]] for each rule."""
    table = read_toml(text, path)
    _refuse_unknown(path, table, ("gate", "rule"), "table")
    choices, rules = table.get("gate", {}), table.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(item, dict) for item in (choices, *rules)):
        raise SettingsError(f"{path}: expected a table [gate] and rules that begin with [[rule]]")
    if not rules:
        raise SettingsError(f"{path}: no rule; a gate that demands nothing would pass everything")
    _check_values(path, choices, Gate, "choice of [gate]")
    return Gate(_named([_rule(f"{path}: rule {n}", rule) for n, rule in enumerate(rules, start=1)]), **choices)


def _refuse_unknown(where: str, table: Mapping[str, Any], known: tuple[str, ...], kind: str) -> None:
    for key in table:
        if key not in known:
            raise SettingsError(f"{where}: no {kind} is called {key!r}{nearest(key, known)}")


def _check_values(where: str, table: Mapping[str, Any], record: type[Rule] | type[Gate], kind: str) -> None:
    """Refuse a key that the record does not declare, and a value that is not what it expects."""
    expected = {item.name: item.metadata["expected"] for item in fields(record) if "expected" in item.metadata}
    _refuse_unknown(where, table, tuple(expected), kind)
    for key, value in table.items():
        if not expected[key].holds(value):
            raise SettingsError(f"{where}: {key} = {shown(value)}: expected {expected[key].words}")


def _rule(where: str, table: Mapping[str, Any]) -> Rule:
    """Return one rule, checked."""
    _check_values(where, table, Rule, "key of a rule")
    metric = table.get("metric", "match_f1")
    if figure_named(metric) is None:
        raise SettingsError(f"{where}: no figure is called {metric!r}{nearest(metric, COMPARABLE)}")
    demands = [key for key in table if key in DEMANDS]
    if not demands:
        raise SettingsError(f"{where}: demands nothing; give it one of {', '.join(DEMANDS)}")
    if table.get("significant") and "max_drop" not in table:
        raise SettingsError(f"{where}: significant belongs to max_drop, which is not there")
    if table.get("corrected") and metric not in CORRECTABLE:
        raise SettingsError(f"{where}: labels do not correct {metric!r}, only {', '.join(CORRECTABLE)}")
    # Other demands would look at what is not corrected, or at all papers, and nobody would notice.
    for key in ("corrected", "by"):
        if table.get(key) and (others := [demand for demand in demands if demand not in OF_FIGURE]):
            raise SettingsError(f"{where}: {key} goes with {', '.join(OF_FIGURE)}; give {others[0]} a rule of its own")
    if table.get("by") and (table.get("significant") or table.get("corrected")):
        raise SettingsError(f"{where}: by goes without significant and corrected: slices are not tested; use margin")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Rule(**values)


def _named(rules: list[Rule]) -> tuple[Rule, ...]:
    """Give each rule a name, and no name twice: reports are read by name."""
    counts: dict[str, int] = {}
    named = []
    for number, rule in enumerate(rules, start=1):
        name = rule.name or f"rule {number}"
        counts[name] = counts.get(name, 0) + 1
        named.append(replace(rule, name=name if counts[name] == 1 else f"{name} ({counts[name]})"))
    return tuple(named)
