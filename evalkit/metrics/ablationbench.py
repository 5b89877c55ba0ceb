"""AblationBench's counting from entry names and a judge's rows, and what each of its rules is worth.

The published benchmark's rules are reproduced to the letter; every one that evalkit's own figures do without is named
in RULES and can be lifted, so that its number becomes ours rule by rule. AVOIDED names accidents of running it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import log2
from typing import Any, NamedTuple, TypeVar

from evalkit.types import Alignment, CompatScore, Plan, Tally

Names = str | tuple[str, ...] | None
"""One name, several, or none: a judge may write all three, and the benchmark's vote tells "p" from ["p"]."""


class AuthorRow(NamedTuple):
    """A judge's line of the author task: a gold entry, and the plan entries that are the same ablation."""

    gold: str
    plan: Names


class ReviewerRow(NamedTuple):
    """A judge's line of the reviewer task: does a review suggest this plan entry?"""

    plan: str
    in_review: bool


Rows = Sequence[AuthorRow] | Sequence[ReviewerRow]
Judged = TypeVar("Judged", AuthorRow, ReviewerRow)

VOTE_RULE: Mapping[str, str] = {
    "vote-by-rows": "judges vote on the exact value of a row, or on a name's rows, and who says nothing has no vote",
}
AUTHOR_RULES: Mapping[str, str] = {
    "empty-list-matches": "a gold entry with an empty list of partners counts as matched",
    "one-bad-name-spoils": "a row that names one entry the plan does not have (or top-k cut off) matches nothing",
    "any-mention-shields": "a plan entry that any row mentions, a wrong one too, is no false positive",
    "plan-is-a-set": "plan entries of the same name count once",
    "precision-counts-gold": "true positives are gold entries, so one plan entry can be several and many can be one",
    **VOTE_RULE,
}
REVIEWER_RULES: Mapping[str, str] = {
    "first-k-rows": "top-k takes the judge's first k rows, which stand in random order",
    "rows-are-the-plan": "rows are counted, not plan entries: omitted entries are free, invented ones cost",
    "surplus-vanishes": "entries judged true beyond the number of suggestions are neither right nor wrong",
    **VOTE_RULE,
}
EMPTY_RULE: Mapping[str, str] = {
    "no-suggestion-is-zero": "(reviewer) a paper whose review suggests nothing is 0 in every mean; ours leave it out",
}
LAST_RULES: Mapping[str, str] = {
    "undefined-is-zero": "a ratio without a denominator (an empty plan's precision) is 0 and stays in the mean",
    "group-alignment": "every pair that was judged a match counts; evalkit's run gives each entry one partner",
}
_COUNTING = {name: reason for name, reason in {**AUTHOR_RULES, **REVIEWER_RULES}.items() if name not in VOTE_RULE}
RULES: Mapping[str, str] = {**_COUNTING, **VOTE_RULE, **EMPTY_RULE, **LAST_RULES}
COMPAT_FIGURES = ["ab_precision", "ab_recall", "ab_f1", "ab_ndcg"]
COMPAT_COUNTS = ["ab_true_positives", "ab_false_positives", "ab_false_negatives"]
NO_SUGGESTION = "no-suggestion"  # the code of gold that counts 0 suggestions
NDCG_REASON = "ab_ndcg takes gold in the order of its file; plan order and false positives do not enter it"
AVOIDED: Mapping[str, str] = {
    "stale replies": "a resumed or cached run may read a reply against the wrong sides or the wrong plan",
    "all-null judges": "a judge that finds nothing is read as one that finds everything",
    "missing files": "a missing plan or judge file aborts the run; here it is an empty plan or a named gap",
    "numeric names": 'a name such as "001" becomes the number 1; here it stays text',
    "strict replies": "one odd line or a code fence loses the whole reply; here it loses at most itself",
    "agent's gold names": "one mistyped gold name zeroes a paper; here it is reported and costs one row",
    "null votes": "a null in the reviewer vote crashes; here it is no vote",
}


def author(
    gold: Sequence[str], plan: Sequence[str], rows: Iterable[AuthorRow], rules: Collection[str] = AUTHOR_RULES
) -> tuple[Tally, tuple[bool, ...]]:
    """Return the counts of the author task, and for each gold entry whether it is hit; `plan` is its top k."""
    known, listed = set(plan), set(gold)
    hits: set[str] = set()
    partners: set[str] = set()
    mentioned: set[str] = set()
    for row in rows:
        named = _named(row.plan)
        mentioned.update(named)
        if row.gold not in listed or not _valid(row.plan, known, rules):
            continue
        hits.add(row.gold)
        partners.update(named)
    shielded = mentioned if "any-mention-shields" in rules else partners
    gold_hits = tuple(name in hits for name in gold)
    plan_hits = sum(gold_hits) if "precision-counts-gold" in rules else len(partners & known)
    spare = known - shielded
    wrong = len(spare) if "plan-is-a-set" in rules else len(plan) - len(known - spare)
    return Tally(plan_hits, plan_hits + wrong, sum(gold_hits), len(gold)), gold_hits


def _named(names: Names) -> tuple[str, ...]:
    """Return the names in a row's value, none for null."""
    return () if names is None else (names,) if isinstance(names, str) else names


def _valid(names: Names, known: set[str], rules: Collection[str]) -> bool:
    """Return whether a row's partners make it a match."""
    if names is None:
        return False
    inside = [name in known for name in _named(names)]
    if not inside:
        return "empty-list-matches" in rules
    return all(inside) if "one-bad-name-spoils" in rules else any(inside)


def ndcg(gold_hits: Sequence[bool], plan_entries: int) -> float:
    """Return the benchmark's nDCG: gold in file order, cut at the shorter list; the ideal is nothing but hits."""
    k = min(plan_entries, len(gold_hits))
    gains = [1 / log2(rank + 1) for rank in range(1, k + 1)]
    return sum(gain for gain, hit in zip(gains, gold_hits, strict=False) if hit) / sum(gains) if k else 0.0


def reviewer(
    suggestions: int,
    plan: Sequence[str],
    rows: Sequence[ReviewerRow],
    top_k: int | None = None,
    rules: Collection[str] = REVIEWER_RULES,
) -> Tally:
    """Return the counts of the reviewer task, where gold is a number of suggestions; `plan` is its top k."""
    if "first-k-rows" in rules:
        rows = rows[:top_k]
    elif top_k is not None:
        rows = [row for row in rows if row.plan in set(plan)]
    verdicts = [row.in_review for row in rows] if "rows-are-the-plan" in rules else _entry_by_entry(plan, rows)
    true = sum(verdicts)
    gold_hits = min(true, suggestions)
    plan_hits = gold_hits if "surplus-vanishes" in rules else true
    return Tally(plan_hits, plan_hits + len(verdicts) - true, gold_hits, suggestions)


def _entry_by_entry(plan: Sequence[str], rows: Sequence[ReviewerRow]) -> list[bool]:
    """Return the verdict on each plan entry: the n-th entry of a name takes the n-th row of it, and no row is no."""
    by_name: dict[str, list[bool]] = {}
    for row in rows:
        by_name.setdefault(row.plan, []).append(row.in_review)
    nth: Counter[str] = Counter()
    verdicts = []
    for name in plan:
        own = by_name.get(name, [])
        verdicts.append(nth[name] < len(own) and own[nth[name]])
        nth[name] += 1
    return verdicts


def author_vote(judges: Iterable[Iterable[AuthorRow]]) -> list[AuthorRow]:
    """Return the benchmark's majority: per gold name the most frequent value, if more than half of its rows have it."""
    votes: dict[str, list[str | frozenset[str] | None]] = {}
    for row in (row for rows in judges for row in rows if row.gold):
        votes.setdefault(row.gold, []).append(frozenset(row.plan) if isinstance(row.plan, tuple) else row.plan)
    chosen = []
    for name, values in votes.items():
        value, count = Counter(values).most_common(1)[0]
        won = value if count > len(values) // 2 else None
        chosen.append(AuthorRow(name, tuple(sorted(won)) if isinstance(won, frozenset) else won))
    return chosen


def reviewer_vote(judges: Iterable[Iterable[ReviewerRow]]) -> list[ReviewerRow]:
    """Return the benchmark's majority: per plan name, more than half of the rows that mention it."""
    votes: dict[str, list[bool]] = {}
    for row in (row for rows in judges for row in rows if row.plan):
        votes.setdefault(row.plan, []).append(row.in_review)
    return [ReviewerRow(name, sum(own) > len(own) // 2) for name, own in votes.items()]


def rows_of(gold: Plan, plan: Plan, alignment: Alignment) -> list[AuthorRow]:
    """Return an alignment's full matches as a judge writes them: one row a gold entry, null without partner."""
    partners: dict[int, list[str]] = {}
    for pair in alignment.pairs:
        if pair.matched:
            partners.setdefault(pair.gold, []).append(plan.ablations[pair.plan].name)
    return [AuthorRow(entry.name, as_names(partners.get(n, []))) for n, entry in enumerate(gold.ablations)]


def as_names(partners: Sequence[str]) -> Names:
    """Return partners as a judge writes them: several as a list, one by itself, none as null."""
    return tuple(partners) if len(partners) > 1 else partners[0] if partners else None


def score_author(
    gold: Plan, plan: Plan, rows: Sequence[AuthorRow], corrected: Sequence[AuthorRow] | None = None
) -> CompatScore:
    """Score the author task with every rule, then with one rule after another lifted.

    `corrected` are the rows of a vote taken by pairs, when `rows` are those of the benchmark's own vote.
    """
    names = [entry.name for entry in gold.ablations], [entry.name for entry in plan.ablations]
    tally, gold_hits = author(*names, rows)
    steps = _lifted(AUTHOR_RULES, rows, corrected, lambda own, rules: author(*names, own, rules)[0])
    return CompatScore("author", tally, ndcg(gold_hits, len(plan.ablations)), steps)


def score_reviewer(
    gold: Plan,
    plan: Plan,
    rows: Sequence[ReviewerRow],
    top_k: int | None,
    corrected: Sequence[ReviewerRow] | None = None,
) -> CompatScore:
    """Score the reviewer task with every rule, then with one after another lifted; only the length of gold counts."""
    suggestions, names = len(gold.ablations), [entry.name for entry in plan.ablations]
    tally = reviewer(suggestions, names, rows, top_k)
    steps = _lifted(REVIEWER_RULES, rows, corrected, lambda own, rules: reviewer(suggestions, names, own, top_k, rules))
    return CompatScore("reviewer", tally, None, steps)


def _lifted(
    rules: Iterable[str],
    rows: Sequence[Judged],
    corrected: Sequence[Judged] | None,
    count: Callable[[Sequence[Judged], Sequence[str]], Tally],
) -> tuple[tuple[str, Tally], ...]:
    """Return the tally after each rule is lifted, one by one; without its own vote, from the rows of the other."""
    names, steps = list(rules), []
    for nth, name in enumerate(names, 1):
        if name == "vote-by-rows" and corrected is not None:
            rows = corrected
        steps.append((name, count(rows, names[nth:])))
    return tuple(steps)


def differences(scores: Mapping[str, Sequence[tuple[CompatScore, Tally]]], empty: int = 0) -> dict[str, Any]:
    """From the benchmark's macro figures to ours, one lifted rule after another, over papers with their samples.

    `empty` papers have reviews that suggest nothing: whatever a plan says, its hits are 0 there.

    Each step says what lifting its rule adds to precision, recall and F1; together they are the whole difference.
    """
    tallies = {paper: [compat.tally for compat, _ in samples] for paper, samples in scores.items()}
    first = before = _macro(tallies, undefined=0.0, empty=empty)
    steps = []
    for rule, reason in RULES.items():
        if rule == "group-alignment":
            tallies = {paper: [ours for _, ours in samples] for paper, samples in scores.items()}
        elif rule in EMPTY_RULE:
            empty = 0
        elif rule != "undefined-is-zero":
            for paper, samples in scores.items():
                lifted = (dict(compat.steps).get(rule) for compat, _ in samples)
                tallies[paper] = [new or old for new, old in zip(lifted, tallies[paper], strict=True)]
        after = _macro(tallies, undefined=None if rule in LAST_RULES else 0.0, empty=empty)
        moved = {name: _difference(after[name], before[name]) for name in after}
        if any(moved.values()):
            steps.append({"rule": rule, "reason": reason, **moved})
        before = after
    return {"ablationbench": first, "corrected": before, "steps": steps}


def _difference(after: float | None, before: float | None) -> float:
    """Return what a step adds; a mean that is not defined adds nothing."""
    return 0.0 if after is None or before is None else after - before


def _macro(tallies: Mapping[str, Sequence[Tally]], undefined: float | None, empty: int) -> dict[str, float | None]:
    """Means over papers of precision, recall and F1; `undefined` stands in for what has no denominator.

    `empty` more papers are 0.
    """
    means: dict[str, float | None] = {}
    for name in ("precision", "recall", "f1"):
        papers = []
        for samples in tallies.values():
            values = [undefined if (v := getattr(tally, name)) is None else v for tally in samples]
            if defined := [value for value in values if value is not None]:
                papers.append(sum(defined) / len(defined))
        means[name] = sum(papers) / (len(papers) + empty) if papers else None
    return means
