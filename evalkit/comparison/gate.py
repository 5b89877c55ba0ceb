"""Takes a Comparison and a gate's rules, gives the verdict: pass, regressed or inconclusive, check by check.

"Not significant" is not a pass: where the interval reaches beyond what a rule allows, the check is inconclusive and
says what so many papers could have shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pandas as pd

from evalkit import stats
from evalkit.comparison.comparison import Comparison
from evalkit.comparison.differences import Change
from evalkit.comparison.gate_rules import Gate, Rule
from evalkit.comparison.moved_entries import PARSE_FAILURES
from evalkit.comparison.paired_papers import papers_of, per_paper, shared_papers
from evalkit.errors import InputError
from evalkit.stats import Verdict
from evalkit.text import nearest, normalise, normalise_id

LISTED = 20  # papers or entries that one check names; the rest is counted
MAJORITY = 0.5  # of a planner's samples of a paper must match an entry that must match


@dataclass(frozen=True, slots=True)
class Check:
    """One demand of one rule on one planner: what came of it, in a sentence, with what it rests on below."""

    rule: str
    demand: str
    planner: str
    verdict: Verdict
    said: str
    details: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Unique among a planner's checks."""
        return f"{self.rule}: {self.demand}"


@dataclass(frozen=True, slots=True)
class GateReport:
    """Every check, and what they come to. `tripped` is what the exit code follows."""

    comparison: Comparison
    checks: tuple[Check, ...]
    inconclusive_fails: bool

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        found = {check.verdict for check in self.checks}
        return next((v for v in ("regressed", "inconclusive") if v in found), "pass")

    @property
    def tripped(self) -> bool:
        """Whether the gate stops what comes through."""
        return any(self.fails(check) for check in self.checks)

    def fails(self, check: Check) -> bool:
        """Whether this check alone would trip the gate."""
        return check.verdict == "regressed" or (check.verdict == "inconclusive" and self.inconclusive_fails)


def judge(comparison: Comparison, gate: Gate, *, strict: bool = False) -> GateReport:
    """Every rule on every planner that it names; a rule that names none is refused, for it would pass anything."""
    checks: list[Check] = []
    known = [name for _, name in comparison.pairs]
    for rule in gate.rules:
        planners = [name for name in known if fnmatchcase(name, rule.planner)]
        gone = [name for name in comparison.only_planners[0] if fnmatchcase(name, rule.planner)]
        if not planners and not gone:
            raise InputError(f"{rule.name}: no planner is like {rule.planner!r}{nearest(rule.planner, known)}")
        for demand, check in DEMANDS.items():
            if getattr(rule, demand) not in (None, ()):
                checks.extend(check(comparison, rule, planners, strict))
    checks.extend(_gone(comparison, gate))
    return GateReport(comparison, tuple(checks), strict or gate.inconclusive == "fail")


def _gone(comparison: Comparison, gate: Gate) -> Iterator[Check]:
    """A planner of the base that the new run has not is a regression, unless the gate's file says otherwise."""
    verdict: Verdict = "regressed" if gate.missing_planners == "fail" else "pass"
    for name in comparison.only_planners[0]:
        if any(fnmatchcase(name, rule.planner) for rule in gate.rules):
            said = f"{comparison.base.name} has it, {comparison.new.name} has not"
            yield Check("planners", "present", name, verdict, said, ("if it was renamed: --map old=new",))


def _margin(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """The interval of the difference against the margin."""
    for planner in planners:
        change = comparison.change(planner, rule.figure)
        verdict: Verdict = "inconclusive"
        if change.low is not None and change.high is not None:
            verdict = stats.verdict(change.low, change.high, rule.margin or 0.0, strict=strict)
        demand = f"{rule.figure} not worse by more than {rule.margin:g}"
        details = _seen(change, rule.margin or 0.0) if verdict == "inconclusive" else ()
        yield Check(rule.name, demand, planner, verdict, moved(change), details)


def moved(change: Change) -> str:
    """What a figure was, is, and how sure the difference is."""
    if change.difference is None:
        return f"{change.figure} {_text(change.base)} → {_text(change.new)}: no difference where one is undefined"
    ends = f"[{change.low:+.3f}, {change.high:+.3f}]" if change.low is not None and change.high is not None else "[–]"
    papers = f"{change.papers} labelled papers, by the interval" if change.by_labels else f"{change.papers} papers"
    p = "" if change.by_labels else f", p {'–' if change.p is None else f'{change.p:.3g}'}"
    return (
        f"{change.figure} {_text(change.base)} → {_text(change.new)}: {change.difference:+.3f} {ends} over {papers}{p}"
    )


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _seen(change: Change, target: float) -> tuple[str, ...]:
    """What so many papers could have shown, and how many would show the target."""
    if change.detectable is None:
        return ("too few papers with a value to say what could be seen",)
    kind = "labelled papers" if change.by_labels else "papers"
    said = f"{change.papers} {kind} show differences from {change.detectable:.3f} on (80% power at 5%)"
    needed = None if change.by_labels else stats.papers_needed(change.papers, change.detectable, target)
    return (said, f"to see {target:g}, about {needed} papers are needed") if needed else (said,)


def _max_drop(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """The drop itself against the largest one allowed; with `significant`, only one that is sure."""
    limit = rule.max_drop or 0.0
    for planner in planners:
        change = comparison.change(planner, rule.figure)
        demand = f"{rule.figure} drops by at most {limit:g}" + (", when significant" if rule.significant else "")
        verdict: Verdict = "pass"
        if change.difference is None:
            verdict = "inconclusive" if change.base is not None or rule.corrected else "pass"
        elif -change.difference > limit + 1e-9:
            verdict = "regressed" if change.verdict == "worse" or not rule.significant else "inconclusive"
        details = _seen(change, limit) if verdict == "inconclusive" else ()
        yield Check(rule.name, demand, planner, verdict, moved(change), details)


def _floor(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """The figure of the new run against a fixed least value."""
    for planner in planners:
        value = comparison.change(planner, rule.figure).new
        verdict: Verdict = "inconclusive" if value is None else "pass" if value >= (rule.floor or 0.0) else "regressed"
        yield Check(rule.name, f"{rule.figure} at least {rule.floor:g}", planner, verdict, f"it is {_text(value)}")


def _coverage(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """The share of all papers, base's and new's, for which the new run has a plan with entries."""
    for planner in planners:
        base, new = papers_of(comparison.base, _was(comparison, planner)), papers_of(comparison.new, planner)
        names = base["paper"].to_dict() | new["paper"].to_dict()
        planned = set(new.index[new["planned"] > 0])
        share = len(planned) / len(names) if names else 0.0
        absent = [f"no plan: {names[key]}" for key in sorted(map(str, set(names) - planned))]
        verdict: Verdict = "pass" if share >= (rule.coverage or 0.0) else "regressed"
        said = f"{len(planned)} of {len(names)} papers have a plan"
        yield Check(rule.name, f"coverage at least {rule.coverage:g}", planner, verdict, said, _few(absent))


def _was(comparison: Comparison, planner: str) -> str:
    """A planner's name in base."""
    return {name: old for old, name in comparison.pairs}[planner]


def _few(lines: Sequence[str]) -> tuple[str, ...]:
    """The first lines, and how many more there are."""
    more = (f"… and {len(lines) - LISTED} more",) if len(lines) > LISTED else ()
    return (*lines[:LISTED], *more)


def _by_paper(comparison: Comparison, planner: str, metric: str) -> pd.DataFrame:
    """One planner's shared papers with any figure's base, new and difference."""
    base, new = shared_papers(comparison.base, comparison.new, (_was(comparison, planner), planner))
    table = pd.DataFrame({"paper": new["paper"], "base": per_paper(base, metric), "new": per_paper(new, metric)})
    return table.assign(difference=table["new"] - table["base"])


def _paper_floor(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """No single paper below a value; papers where the figure is undefined do not count."""
    for planner in planners:
        rows = _by_paper(comparison, planner, rule.metric)
        low = rows[rows["new"] < (rule.paper_floor or 0.0)].sort_values(["new", "paper"])
        lines = [f"{paper}: {new:.3f}" for paper, new in zip(low["paper"], low["new"], strict=True)]
        demand = f"{rule.metric} at least {rule.paper_floor:g} on every paper"
        said = f"{len(low)} of {int(rows['new'].notna().sum())} papers are below"
        yield Check(rule.name, demand, planner, "regressed" if lines else "pass", said, _few(lines))


def _paper_max_drop(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """No single paper that lost more than a value."""
    limit = rule.paper_max_drop or 0.0
    for planner in planners:
        rows = _by_paper(comparison, planner, rule.metric)
        low = rows[rows["difference"] < -limit - 1e-9].sort_values(["difference", "paper"])
        columns = (low[name] for name in ("paper", "base", "new"))
        lines = [f"{paper}: {base:.3f} → {new:.3f}" for paper, base, new in zip(*columns, strict=True)]
        demand = f"{rule.metric} drops by at most {limit:g} on every paper"
        said = f"{len(low)} of {int(rows['difference'].notna().sum())} papers drop by more"
        yield Check(rule.name, demand, planner, "regressed" if lines else "pass", said, _few(lines))


def _new_parse_failures(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """Plans that could be read and no longer can, or that lose entries on reading which they did not lose."""
    failures = comparison.failures[comparison.failures["kind"].isin(PARSE_FAILURES)]
    allowed = rule.new_parse_failures or 0
    # What belongs to no planner in particular (a file that is no text at all) counts for each of them.
    for planner in planners:
        rows = failures[failures["planner"].isin((planner, ""))]
        lines = [
            f"{row['paper'] or 'a document'}: {row['kind']} ({row['base']} → {row['new']})"
            for row in rows.to_dict("records")
        ]
        verdict: Verdict = "regressed" if len(rows) > allowed else "pass"
        demand, said = f"at most {allowed} new parse failures", f"{len(rows)} found"
        yield Check(rule.name, demand, planner, verdict, said, _few(lines))


def _must_match(comparison: Comparison, rule: Rule, planners: Sequence[str], strict: bool) -> Iterator[Check]:
    """Gold entries that may never be lost, whatever they were in base."""
    wanted = {text: _gold_entry(comparison, rule, text) for text in rule.must_match}
    found = comparison.new.found
    for planner in planners:
        shares = found[found["planner"] == planner].set_index(["key", "id"])["share"]
        lost = [f"not matched: {text}" for text, place in wanted.items() if shares.get(place, 0.0) < MAJORITY]
        said = f"{len(wanted) - len(lost)} of {len(wanted)} are matched"
        verdict: Verdict = "regressed" if lost else "pass"
        yield Check(rule.name, "gold entries that must match", planner, verdict, said, _few(lost))


def _gold_entry(comparison: Comparison, rule: Rule, text: str) -> tuple[str, str]:
    """The (paper, id) that "paper/name" or "paper/id" means; either half may hold a slash."""
    gold = comparison.new.gold
    rows = list(zip(gold.index, gold["gold_name"], strict=True))
    known = {(key, normalise(name)): (key, entry) for (key, entry), name in rows}
    known |= {place: place for place in gold.index}
    cuts = [at for at, sign in enumerate(text) if sign == "/"]
    for at in cuts:
        key, name = normalise_id(text[:at]), text[at + 1 :].strip()
        for place in ((key, name), (key, normalise(name))):
            if place in known:
                return known[place]
    names = [f"{paper}/{name}" for paper, name in zip(gold["paper"], gold["gold_name"], strict=True)]
    raise InputError(f"{rule.name}: gold has no entry {text!r}{nearest(text, names)}")


Judge = Callable[[Comparison, Rule, Sequence[str], bool], Iterator[Check]]
DEMANDS: dict[str, Judge] = {
    "margin": _margin,
    "max_drop": _max_drop,
    "floor": _floor,
    "coverage": _coverage,
    "paper_floor": _paper_floor,
    "paper_max_drop": _paper_max_drop,
    "new_parse_failures": _new_parse_failures,
    "must_match": _must_match,
}
