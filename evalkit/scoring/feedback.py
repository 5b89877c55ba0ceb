"""What a reward says in words, so that whoever improves a prompt or a model knows what to change."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.text import amount
from evalkit.types import Ablation, ScoredPlan


def feedback(scored: ScoredPlan, problems: str, *, reveal: bool = True) -> str:
    """Return lines about a scored plan: what was missed, wrong, spurious, unreadable.

    Without `reveal` no word of gold is in them, so that an optimiser cannot copy the answer into its prompt.
    """
    counts = scored.score.counts
    lines = [
        f"{counts.match_gold:g} of {amount(counts.gold_entries, 'expected entry', 'expected entries')} matched,"
        f" by {counts.match_plan:g} of"
        f" {counts.plan_entries:g} proposed ones.",
        *_pairs(scored, reveal),
        *_alone(scored, reveal),
    ]
    return "\n".join([*lines, f"Could not be read: {problems}"] if problems else lines)


def _pairs(scored: ScoredPlan, reveal: bool) -> Iterator[str]:
    """Yield what is wrong with entries that share a part and do not match."""
    for pair in scored.alignment.pairs:
        if pair.matched:
            continue
        gold, plan = scored.gold.ablations[pair.gold], scored.plan.ablations[pair.plan]
        if gold.action and plan.action and gold.action != plan.action:
            expected = f"expected {gold.action}" if reveal else "another one is expected"
            yield f"Wrong action: {plan.name!r} says {plan.action}; {expected}."
        else:
            nearest = f" beside {_entry(gold)}" if reveal else ""
            yield f"Right part, but no match: {plan.name!r}{nearest}."


def _alone(scored: ScoredPlan, reveal: bool) -> Iterator[str]:
    """Yield what was missed, with its nearest miss, and what is not expected."""
    gold, plan, alignment = scored.gold.ablations, scored.plan.ablations, scored.alignment
    nearest = {pair.gold: pair for pair in sorted(alignment.candidates, key=lambda pair: pair.match_probability)}
    if alignment.missed and not reveal:
        yield f"Missed: {amount(len(alignment.missed), 'expected entry', 'expected entries')}."
    for index in alignment.missed if reveal else ():
        near = f"; nearest of yours: {plan[nearest[index].plan].name!r}" if index in nearest else ""
        yield f"Missed: {_entry(gold[index])}{near}."
    for index in alignment.spurious:
        yield f"Not expected: {plan[index].name!r}."


def _entry(entry: Ablation) -> str:
    """Return an entry of gold in one line: name, part, action, options."""
    part = "" if entry.part == entry.name else f", part {entry.part!r}"
    options = f": {'; '.join(entry.replacements)}" if entry.replacements else ""
    return f"{entry.name!r}{part}{f' ({entry.action}{options})' if entry.action else ''}"
