"""Align gold and plan entries by the probabilities of their pairs.

The outcome depends on what entries say and never on where they stand: rows and columns are put in the order of
their content before anything is assigned, so that shuffling a file changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.linear_assignment import largest_assignment
from evalkit.types import Ablation, Alignment, Opinion, Pair, Thresholds

Matrix = NDArray[np.float64]  # [gold, plan]
Places = list[tuple[int, int]]
Lists = tuple[Sequence[Ablation], Sequence[Ablation]]
Opinions = Mapping[tuple[int, int], Opinion]
Evidence = tuple[tuple[str, float], ...]


def align(
    part: Matrix, match: Matrix, lists: Lists, thresholds: Thresholds, kind: str, *, candidates: bool = True
) -> Alignment:
    """Return the aligned pairs, the entries left alone and, with `candidates`, the other pairs worth a look."""
    gold, plan = lists
    aligned = ALIGNERS[kind](part, match, gold, plan, thresholds.part)
    parts, matches = part.tolist(), match.tolist()

    def pair(g: int, p: int, is_aligned: bool) -> Pair:
        probability = matches[g][p]
        borderline = thresholds.low <= probability <= thresholds.high
        return Pair(g, p, parts[g][p], probability, is_aligned and probability >= thresholds.match, borderline)

    missed = tuple(sorted(set(range(len(gold))) - {g for g, _ in aligned}))
    spurious = tuple(sorted(set(range(len(plan))) - {p for _, p in aligned}))
    others: set[tuple[int, int]] = set()
    if candidates:
        # Borderline pairs, and the likeliest partner of every entry that stayed alone.
        others.update(_places((match >= thresholds.low) & (match <= thresholds.high)))
        if match.size:
            of_gold, of_plan = match.argmax(axis=1).tolist(), match.argmax(axis=0).tolist()
            others.update((g, of_gold[g]) for g in missed)
            others.update((of_plan[p], p) for p in spurious)
        others -= set(aligned)
    return Alignment(
        pairs=tuple(pair(g, p, True) for g, p in aligned),
        missed=missed,
        spurious=spurious,
        candidates=tuple(pair(g, p, False) for g, p in sorted(others)),
    )


def align_extremes(
    part: Matrix, match: Matrix, lists: Lists, thresholds: Thresholds, kind: str
) -> tuple[Alignment, Alignment]:
    """Return the alignments if no borderline pair were a match, and if every one were."""
    band = (match >= thresholds.low) & (match <= thresholds.high)
    none, every = ((part, np.where(band, 0.0, match)), (np.where(band, 1.0, part), np.where(band, 1.0, match)))
    return (
        align(*none, lists, thresholds, kind, candidates=False),
        align(*every, lists, thresholds, kind, candidates=False),
    )


def apply_opinions(part: Matrix, match: Matrix, opinions: Opinions) -> tuple[Matrix, Matrix]:
    """Return the probabilities with 0 or 1 for the pairs that somebody has decided."""
    part, match = part.copy(), match.copy()
    for place, opinion in opinions.items():
        part[place], match[place] = float(opinion.part), float(opinion.match)
    return part, match


def credit_opinions(alignment: Alignment, part: Matrix, match: Matrix, opinions: Opinions) -> Alignment:
    """Return an alignment by `apply_opinions` that says who decided, shows every decided pair, and restores the
    matcher's own probabilities."""

    def decided(place: tuple[int, int], matched: bool) -> Pair:
        return Pair(*place, float(part[place]), float(match[place]), matched, decided_by=opinions[place].by)

    def credited(pair: Pair) -> Pair:
        place = (pair.gold, pair.plan)
        return decided(place, pair.matched) if place in opinions else pair

    shown = {(pair.gold, pair.plan) for pair in (*alignment.pairs, *alignment.candidates)}
    others = [decided(place, False) for place in opinions if place not in shown]
    candidates = sorted((*map(credited, alignment.candidates), *others), key=lambda pair: (pair.gold, pair.plan))
    return replace(alignment, pairs=tuple(map(credited, alignment.pairs)), candidates=tuple(candidates))


def expected_matches(match: Matrix, kind: str) -> tuple[float, float]:
    """Return how many gold and plan entries match if the probabilities are right and independent.

    One-to-one alignment cannot match more entries of one list than of the other. Sorted before they are multiplied and
    added, so that the order of entries moves not even the last bit.
    """
    gold, plan = (float(np.sort(1 - np.sort(1 - match, axis=axis).prod(axis=axis)).sum()) for axis in (1, 0))
    return (min(gold, plan),) * 2 if kind == "one-to-one" else (gold, plan)


def add_evidence(alignment: Alignment, evidence: Sequence[Evidence]) -> Alignment:
    """Return the same alignment with these reasons for the pairs in it, candidates last."""
    pairs = (*alignment.pairs, *alignment.candidates)
    # Spelled out because dataclasses.replace is slow on a hot path.
    with_evidence = tuple([
        Pair(
            pair.gold, pair.plan, pair.part_probability, pair.match_probability,
            pair.matched, pair.borderline, pair.decided_by, reasons,
        )
        for pair, reasons in zip(pairs, evidence, strict=True)
    ])  # fmt: skip
    border = len(alignment.pairs)
    return Alignment(with_evidence[:border], alignment.missed, alignment.spurious, with_evidence[border:])


def _places(chosen: NDArray[np.bool_]) -> Places:
    rows, columns = np.nonzero(chosen)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def one_to_one(
    part: Matrix, match: Matrix, gold: Sequence[Ablation], plan: Sequence[Ablation], threshold: float
) -> Places:
    """Return the assignment with the largest total of the two probabilities' mean, over pairs that share a part."""
    allowed = part >= threshold
    pairs = _places(allowed)
    if not _is_assignment(pairs) or not threshold > 0:  # else all of them, each worth something, are the largest total
        rows, columns = _by_content(tuple(gold)), _by_content(tuple(plan))
        worth = np.where(allowed, (part + match) / 2, 0.0).take(rows, axis=0).take(columns, axis=1)
        chosen = [(rows[r], columns[c]) for r, c in largest_assignment(worth)]
        pairs = [(g, p) for g, p in chosen if allowed[g, p]]
    return _earliest(pairs, tuple(plan)) if pairs else []


def _is_assignment(pairs: Places) -> bool:
    """Return whether no entry stands in two of the pairs."""
    return len({g for g, _ in pairs}) == len({p for _, p in pairs}) == len(pairs)


def group(part: Matrix, match: Matrix, gold: Sequence[Ablation], plan: Sequence[Ablation], threshold: float) -> Places:
    """Return every pair that shares a part; an entry may stand in several."""
    return _places(part >= threshold)


ALIGNERS: dict[str, Callable[[Matrix, Matrix, Sequence[Ablation], Sequence[Ablation], float], Places]] = {
    "one-to-one": one_to_one,
    "group": group,
}


def _content(entry: Ablation) -> tuple[str, ...]:
    """Return what an entry says, as a key to sort and compare by."""
    return (entry.part, entry.name, entry.action or "", *sorted(entry.replacements), "\0", *sorted(entry.metrics))


@lru_cache(maxsize=4096)
def _by_content(entries: tuple[Ablation, ...]) -> tuple[int, ...]:
    """Return indices in the order of content; entries that say the same stay in their own order."""
    return tuple(sorted(range(len(entries)), key=lambda index: _content(entries[index])))


def _earliest(pairs: Places, plan: tuple[Ablation, ...]) -> Places:
    """Give the matches of plan entries that say the same to the earliest of them, so that no repetition counts."""
    partner = {p: g for g, p in pairs}
    for places in _duplicates(plan):
        golds = sorted(partner.pop(p) for p in places if p in partner)
        partner.update(zip(places, golds, strict=False))
    return sorted((g, p) for p, g in partner.items())


@lru_cache(maxsize=4096)
def _duplicates(entries: tuple[Ablation, ...]) -> tuple[list[int], ...]:
    """Return the groups of entries that say the same, by index."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, entry in enumerate(entries):
        groups.setdefault(_content(entry), []).append(index)
    return tuple(group for group in groups.values() if len(group) > 1)
