"""Evaluate a comparison by a gate's rules: pass, regressed or inconclusive, check by check.

"Not significant" is not a pass: where the interval reaches beyond what a rule allows, the check is inconclusive and
says what so many papers could have shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from evalkit import stats
from evalkit.comparison.changes import PARSE_FAILURES
from evalkit.comparison.comparable import papers_of, shared_papers
from evalkit.comparison.comparison import TARGET, Comparison, compare
from evalkit.comparison.differences import SECONDARY_FIGURES, FigureChange, per_paper
from evalkit.comparison.gate_rules import Gate, Rule
from evalkit.comparison.outlook import Outlook, gate_outlooks
from evalkit.errors import InputError
from evalkit.metrics.figures import WEIGHTED
from evalkit.stats import Verdict
from evalkit.text import amount, nearest, normalise, normalise_id

LISTED = 20  # papers or entries that one check names; the rest is counted
MAJORITY = 0.5  # of a planner's samples of a paper must match an entry that must match


@dataclass(frozen=True, slots=True)
class Check:
    """One demand of one rule on one planner: its verdict, a sentence, and what it rests on."""

    rule: str
    demand: str
    planner: str
    verdict: Verdict
    message: str
    details: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return a name that is unique among a planner's checks."""
        return f"{self.rule}: {self.demand}"


@dataclass(frozen=True, slots=True)
class GateReport:
    """Every check, and what they come to. `tripped` is what the exit code follows."""

    comparison: Comparison
    checks: tuple[Check, ...]
    inconclusive_fails: bool
    outlook: tuple[Outlook, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of the checks."""
        verdicts = {check.verdict for check in self.checks}
        return next((v for v in ("regressed", "inconclusive") if v in verdicts), "pass")

    @property
    def tripped(self) -> bool:
        """Tell whether any check trips the gate."""
        return any(self.fails(check) for check in self.checks)

    def fails(self, check: Check) -> bool:
        """Tell whether this check alone would trip the gate."""
        return check.verdict == "regressed" or (check.verdict == "inconclusive" and self.inconclusive_fails)


@dataclass(frozen=True, slots=True)
class _Case:
    """One rule on one planner, in one slice where it has `by`; `required` is where gold has what must match."""

    comparison: Comparison
    rule: Rule
    planner: str
    strict: bool
    required: Mapping[str, tuple[str, str]]
    value: str = ""

    @property
    def change(self) -> FigureChange:
        """Return the change of the rule's figure."""
        if not self.rule.by:
            return self.comparison.change(self.planner, self.rule.figure)
        changes = self.comparison.slices[self.rule.by][self.value]
        return next(item for item in changes if (item.planner, item.figure) == (self.planner, self.rule.figure))

    @property
    def pair(self) -> tuple[str, str]:
        """Return the planner's name in base, and in new."""
        return next(pair for pair in self.comparison.pairs if pair[1] == self.planner)

    def check(self, demand: str, verdict: Verdict, message: str, details: Sequence[str] = ()) -> Check:
        """Return the check that came of this case, with the first of the details and how many more there are."""
        more = (f"… and {len(details) - LISTED} more",) if len(details) > LISTED else ()
        if self.rule.by:
            demand = f"{demand}, {self.rule.by} {self.value or '–'}"
            if self.change.papers < stats.FEWEST_PAPERS:
                verdict, details = "inconclusive", (f"fewer than {stats.FEWEST_PAPERS} papers say too little",)
        return Check(self.rule.name, demand, self.planner, verdict, message, (*details[:LISTED], *more))

    def papers(self) -> pd.DataFrame:
        """Return the planner's shared papers with the metric's base, new and difference."""
        base, new = shared_papers(self.comparison.base, self.comparison.new, self.pair)
        values = {"base": per_paper(base, self.rule.metric), "new": per_paper(new, self.rule.metric)}
        table = pd.DataFrame({"paper": new["paper"], **values})
        return table.assign(difference=table["new"] - table["base"])


def compare_for_gate(base: Any, new: Any, gate: Gate, **choices: Any) -> Comparison:
    """Compare what `evalkit.compare` takes, in all that a gate's rules look at."""
    return compare(
        base, new, metric=gate.metrics[0], figures=(*SECONDARY_FIGURES, *gate.metrics), tested=gate.tested,
        target=gate.target or TARGET, corrected=gate.corrected, correction=gate.correction, by=gate.by, **choices,
    )  # fmt: skip


def evaluate_gate(comparison: Comparison, gate: Gate, *, strict: bool = False) -> GateReport:
    """Check every rule on every planner that it names; refuse a rule that names none, for it would pass anything."""
    checks: list[Check] = []
    known = [name for _, name in comparison.pairs]
    for rule in gate.rules:
        planners = [name for name in known if fnmatchcase(name, rule.planner)]
        if not planners and not any(fnmatchcase(name, rule.planner) for name in comparison.only_planners[0]):
            raise InputError(f"{rule.name}: no planner is like {rule.planner!r}{nearest(rule.planner, known)}")
        required = {text: _gold_entry(comparison, rule, text) for text in rule.must_match}
        values = _slices_of(comparison, rule) if rule.by else ("",)
        cases = [_Case(comparison, rule, name, strict, required, value) for name in planners for value in values]
        if rule.figure in WEIGHTED and rule.figure not in {change.figure for change in comparison.changes}:
            raise InputError(f"{rule.name}: {rule.figure}: gold has no weights in one of the two runs")
        demanded = [demand for demand in DEMANDS if getattr(rule, demand) not in (None, ())]
        checks.extend(DEMANDS[demand](case) for demand in demanded for case in cases)
    checks.extend(_missing_planners(comparison, gate))
    outlooks = gate_outlooks(comparison, gate, strict=strict)
    return GateReport(comparison, tuple(checks), strict or gate.inconclusive == "fail", outlooks)


def _slices_of(comparison: Comparison, rule: Rule) -> Sequence[str]:
    """Return the values of a rule's field; refuse a figure that its slices do not have."""
    slices = comparison.slices[rule.by]
    known = {change.figure for changes in slices.values() for change in changes}
    if known and rule.figure not in known:
        raise InputError(
            f"{rule.name}: slices by {rule.by} are of gold entries, which have {', '.join(sorted(known))} and no"
            f" {rule.figure}"
        )
    return tuple(slices)


def _missing_planners(comparison: Comparison, gate: Gate) -> Iterator[Check]:
    """Yield a regression for each planner that only base has, or a pass where the gate's file says so."""
    verdict: Verdict = "regressed" if gate.missing_planners == "fail" else "pass"
    for name in comparison.only_planners[0]:
        if any(fnmatchcase(name, rule.planner) for rule in gate.rules):
            message = f"{comparison.base.name} has it, {comparison.new.name} has not"
            yield Check("planners", "present", name, verdict, message, ("if it was renamed: --map old=new",))


def _margin(case: _Case) -> Check:
    """Hold the interval of the difference against the margin."""
    change, margin = case.change, case.rule.margin or 0.0
    verdict: Verdict = "inconclusive"
    if change.low is not None and change.high is not None:
        verdict = stats.verdict(change.low, change.high, margin, strict=case.strict)
    details = _detectable(change, margin) if verdict == "inconclusive" else ()
    return case.check(f"{case.rule.figure} not worse by more than {margin:g}", verdict, _sentence(change), details)


def _sentence(change: FigureChange) -> str:
    """Say what a figure was, is, and how sure the difference is."""
    values = f"{change.figure} {_text(change.base)} → {_text(change.new)}"
    if change.difference is None:
        return f"{values}: no difference where one is undefined"
    ends = f"[{change.low:+.3f}, {change.high:+.3f}]" if change.low is not None and change.high is not None else "[–]"
    papers = amount(change.papers, "labelled paper" if change.is_corrected else "paper")
    papers += ", by the interval" if change.is_corrected else ""
    p = "" if change.is_corrected else f", p {'–' if change.p is None else f'{change.p:.3g}'}"
    return f"{values}: {change.difference:+.3f} {ends} over {papers}{p}"


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _detectable(change: FigureChange, target: float) -> tuple[str, ...]:
    """Say what so many papers could have shown, and how many would show the target."""
    if change.detectable is None:
        return ("too few papers with a value to say what could be seen",)
    kind = "labelled papers" if change.is_corrected else "papers"
    shown = f"with {change.papers} {kind}, a test finds differences from {change.detectable:.3f} on (80% power at 5%)"
    needed = None if change.is_corrected else stats.papers_needed(change.papers, change.detectable, target)
    return (shown, f"a run of about {needed} papers would find a difference of {target:g}") if needed else (shown,)


def _max_drop(case: _Case) -> Check:
    """Hold the drop itself against the largest one allowed; with `significant`, only one that is sure."""
    change, rule, limit = case.change, case.rule, case.rule.max_drop or 0.0
    verdict: Verdict = "pass"
    if change.difference is None:
        verdict = "inconclusive" if change.base is not None or rule.corrected else "pass"
    elif -change.difference > limit + stats.ROUNDING:
        verdict = "regressed" if change.is_significant or not rule.significant else "inconclusive"
    demand = f"{rule.figure} drops by at most {limit:g}" + (", when significant" if rule.significant else "")
    details = _detectable(change, limit) if verdict == "inconclusive" else ()
    return case.check(demand, verdict, _sentence(change), details)


def _floor(case: _Case) -> Check:
    """Hold the figure of the new run against a fixed least value."""
    value, floor = case.change.new, case.rule.floor or 0.0
    verdict: Verdict = "inconclusive" if value is None else "pass" if value >= floor - stats.ROUNDING else "regressed"
    return case.check(f"{case.rule.figure} at least {floor:g}", verdict, f"it is {_text(value)}")


def _coverage(case: _Case) -> Check:
    """Hold the share of all papers, base's and new's, for which the new run has a plan with entries."""
    least = case.rule.coverage or 0.0
    base, new = papers_of(case.comparison.base, case.pair[0]), papers_of(case.comparison.new, case.planner)
    names = base["paper"].to_dict() | new["paper"].to_dict()
    planned = set(new.index[new["planned"] > 0])
    share = len(planned) / len(names) if names else 0.0
    absent = [f"no plan: {names[key]}" for key in sorted(map(str, set(names) - planned))]
    message = f"{len(planned)} of {len(names)} papers have a plan"
    return case.check(
        f"coverage at least {least:g}", "pass" if share >= least - stats.ROUNDING else "regressed", message, absent
    )


def _paper_floor(case: _Case) -> Check:
    """Demand that no single paper of new is below a value, whether base has it or not; undefined ones do not count."""
    floor, own = case.rule.paper_floor or 0.0, papers_of(case.comparison.new, case.planner)
    rows = pd.DataFrame({"paper": own["paper"], "new": per_paper(own, case.rule.metric)})
    below = rows[rows["new"] < floor - stats.ROUNDING].sort_values(["new", "paper"])
    lines = [f"{paper}: {new:.3f}" for paper, new in zip(below["paper"], below["new"], strict=True)]
    message = f"{len(below)} of {int(rows['new'].notna().sum())} papers are below"
    demand = f"{case.rule.metric} at least {floor:g} on every paper"
    return case.check(demand, "regressed" if lines else "pass", message, lines)


def _paper_max_drop(case: _Case) -> Check:
    """Demand that no single paper lost more than a value."""
    limit, rows = case.rule.paper_max_drop or 0.0, case.papers()
    below = rows[rows["difference"] < -limit - stats.ROUNDING].sort_values(["difference", "paper"])
    columns = (below[name] for name in ("paper", "base", "new"))
    lines = [f"{paper}: {base:.3f} → {new:.3f}" for paper, base, new in zip(*columns, strict=True)]
    message = f"{len(below)} of {int(rows['difference'].notna().sum())} papers drop by more"
    demand = f"{case.rule.metric} drops by at most {limit:g} on every paper"
    return case.check(demand, "regressed" if lines else "pass", message, lines)


def _new_parse_failures(case: _Case) -> Check:
    """Limit the plans that could be read and no longer can, or that lose entries on reading which they did not."""
    failures, allowed = case.comparison.failures, case.rule.new_parse_failures or 0
    # What belongs to no planner in particular (a file that is no text at all) counts for each of them.
    rows = failures[failures["kind"].isin(PARSE_FAILURES) & failures["planner"].isin((case.planner, ""))]
    lines = [
        f"{row['paper'] or 'a document'}: {row['kind']} ({row['base']} → {row['new']})"
        for row in rows.to_dict("records")
    ]
    verdict: Verdict = "regressed" if len(rows) > allowed else "pass"
    return case.check(f"at most {allowed} new parse failures", verdict, f"{len(rows)} found", lines)


def _must_match(case: _Case) -> Check:
    """Demand gold entries that may never be lost, whatever they were in base."""
    matches = case.comparison.new.matches
    shares = matches[matches["planner"] == case.planner].set_index(["key", "id"])["share"]
    lost = [f"not matched: {text}" for text, place in case.required.items() if shares.get(place, 0.0) < MAJORITY]
    message = f"{len(case.required) - len(lost)} of {len(case.required)} are matched"
    return case.check("gold entries that must match", "regressed" if lost else "pass", message, lost)


def _gold_entry(comparison: Comparison, rule: Rule, text: str) -> tuple[str, str]:
    """Return the (paper, id) that "paper/name" or "paper/id" means; either half may hold a slash."""
    gold = comparison.new.gold
    rows = zip(gold.index, gold["gold_name"], strict=True)
    known = {(key, normalise(name)): (key, entry) for (key, entry), name in rows}
    known |= {place: place for place in gold.index}
    for cut in (index for index, character in enumerate(text) if character == "/"):
        key, name = normalise_id(text[:cut]), text[cut + 1 :].strip()
        for place in ((key, name), (key, normalise(name))):
            if place in known:
                return known[place]
    names = [f"{paper}/{name}" for paper, name in zip(gold["paper"], gold["gold_name"], strict=True)]
    raise InputError(f"{rule.name}: gold has no entry {text!r}{nearest(text, names)}")


DEMANDS: dict[str, Callable[[_Case], Check]] = {
    "margin": _margin,
    "max_drop": _max_drop,
    "floor": _floor,
    "coverage": _coverage,
    "paper_floor": _paper_floor,
    "paper_max_drop": _paper_max_drop,
    "new_parse_failures": _new_parse_failures,
    "must_match": _must_match,
}
