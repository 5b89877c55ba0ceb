"""Takes the probabilities of all pairs of one paper, gives the Alignment: which entries belong together.

The outcome depends on what entries say and never on where they stand: rows and columns are put in the order of
their content before anything is assigned, so that shuffling a file changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalkit.types import Ablation, Alignment, Opinion, Pair, Thresholds

Matrix = NDArray[np.float64]
Places = list[tuple[int, int]]
Evidence = tuple[tuple[str, float], ...]


def align(
    part: Matrix,
    match: Matrix,
    lists: tuple[Sequence[Ablation], Sequence[Ablation]],
    thresholds: Thresholds,
    kind: str,
    *,
    look: bool = True,
) -> Alignment:
    """The aligned pairs, what stayed alone, and, with `look`, the pairs beside them that are worth one."""
    gold, plan = lists
    aligned = ALIGNERS[kind](part, match, gold, plan, thresholds.part)
    parts, matches = part.tolist(), match.tolist()

    def pair(g: int, p: int, is_aligned: bool) -> Pair:
        chance = matches[g][p]
        doubt = thresholds.low <= chance <= thresholds.high
        return Pair(g, p, parts[g][p], chance, is_aligned and chance >= thresholds.match, doubt)

    missed = tuple(sorted(set(range(len(gold))) - {g for g, _ in aligned}))
    spurious = tuple(sorted(set(range(len(plan))) - {p for _, p in aligned}))
    others = _worth_a_look(match, missed, spurious, thresholds) - set(aligned) if look else ()
    return Alignment(
        pairs=tuple(pair(g, p, True) for g, p in aligned),
        missed=missed,
        spurious=spurious,
        candidates=tuple(pair(g, p, False) for g, p in sorted(others)),
    )


def doubt(
    part: Matrix,
    match: Matrix,
    lists: tuple[Sequence[Ablation], Sequence[Ablation]],
    thresholds: Thresholds,
    kind: str,
) -> tuple[Alignment, Alignment]:
    """The pairs if no borderline pair were a match, and if every one were."""
    band = (match >= thresholds.low) & (match <= thresholds.high)
    none = align(part, np.where(band, 0.0, match), lists, thresholds, kind, look=False)
    return none, align(np.where(band, 1.0, part), np.where(band, 1.0, match), lists, thresholds, kind, look=False)


def ruled(part: Matrix, match: Matrix, said: Mapping[tuple[int, int], Opinion]) -> tuple[Matrix, Matrix]:
    """The probabilities with certainty in the places that somebody has decided."""
    part, match = part.copy(), match.copy()
    for place, opinion in said.items():
        part[place], match[place] = float(opinion.part), float(opinion.match)
    return part, match


def signed(alignment: Alignment, part: Matrix, match: Matrix, said: Mapping[tuple[int, int], Opinion]) -> Alignment:
    """An alignment by `ruled` probabilities, with the matcher's own, who decided, and every decided pair in sight."""

    def with_name(pair: Pair) -> Pair:
        place = (pair.gold, pair.plan)
        return _signed(place, part, match, said[place], pair.matched) if place in said else pair

    seen = {(pair.gold, pair.plan) for pair in (*alignment.pairs, *alignment.candidates)}
    others = [_signed(place, part, match, said[place], False) for place in said if place not in seen]
    candidates = sorted((*map(with_name, alignment.candidates), *others), key=lambda pair: (pair.gold, pair.plan))
    return replace(alignment, pairs=tuple(map(with_name, alignment.pairs)), candidates=tuple(candidates))


def _signed(place: tuple[int, int], part: Matrix, match: Matrix, opinion: Opinion, matched: bool) -> Pair:
    """A pair that somebody has decided; what is decided is no longer borderline."""
    return Pair(*place, float(part[place]), float(match[place]), matched, decided_by=opinion.by)


def expected_matches(match: Matrix, kind: str) -> tuple[float, float]:
    """How many gold and plan entries match if the probabilities are right: each does unless all of its pairs fail.

    One-to-one alignment cannot match more entries of one list than of the other. Sorted before they are multiplied and
    added, so that the order of entries moves not even the last bit.
    """
    gold, plan = (float(np.sort(1 - np.sort(1 - match, axis=axis).prod(axis=axis)).sum()) for axis in (1, 0))
    return (min(gold, plan),) * 2 if kind == "one-to-one" else (gold, plan)


def explained(alignment: Alignment, explain: Callable[[Places], Sequence[Evidence]]) -> Alignment:
    """The same alignment with the reasons for each pair in it."""
    pairs = (*alignment.pairs, *alignment.candidates)
    reasons = explain([(pair.gold, pair.plan) for pair in pairs])
    told = tuple(map(replace_evidence, pairs, reasons))
    border = len(alignment.pairs)
    return Alignment(told[:border], alignment.missed, alignment.spurious, told[border:])


def replace_evidence(pair: Pair, evidence: Evidence) -> Pair:
    """A pair with other evidence; spelled out because dataclasses.replace is slow on a hot path."""
    return Pair(
        pair.gold, pair.plan, pair.part_probability, pair.match_probability,
        pair.matched, pair.borderline, pair.decided_by, evidence,
    )  # fmt: skip


def _worth_a_look(
    match: Matrix, missed: Sequence[int], spurious: Sequence[int], thresholds: Thresholds
) -> set[tuple[int, int]]:
    """Borderline pairs, and the likeliest partner of every entry that stayed alone."""
    rows, columns = np.nonzero((match >= thresholds.low) & (match <= thresholds.high))
    found = set(zip(rows.tolist(), columns.tolist(), strict=True))
    if match.size:
        likeliest, for_plan = match.argmax(axis=1).tolist(), match.argmax(axis=0).tolist()
        found.update((g, likeliest[g]) for g in missed)
        found.update((for_plan[p], p) for p in spurious)
    return found


def one_to_one(part: Matrix, match: Matrix, gold: Sequence[Ablation], plan: Sequence[Ablation], least: float) -> Places:
    """The assignment with the largest total of the two probabilities' mean, over pairs that share a part."""
    from scipy.optimize import linear_sum_assignment

    allowed = part >= least
    if not allowed.any():
        return []
    rows, columns = _by_content(tuple(gold)), _by_content(tuple(plan))
    worth = np.where(allowed, (part + match) / 2, 0.0).take(rows, axis=0).take(columns, axis=1)
    chosen = zip(*(side.tolist() for side in linear_sum_assignment(worth, maximize=True)), strict=True)
    pairs = [(rows[r], columns[c]) for r, c in chosen]
    return _earliest([(g, p) for g, p in pairs if allowed[g, p]], tuple(plan))


def group(part: Matrix, match: Matrix, gold: Sequence[Ablation], plan: Sequence[Ablation], least: float) -> Places:
    """Every pair that shares a part; an entry may stand in several."""
    rows, columns = np.nonzero(part >= least)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


ALIGNERS: dict[str, Callable[[Matrix, Matrix, Sequence[Ablation], Sequence[Ablation], float], Places]] = {
    "one-to-one": one_to_one,
    "group": group,
}


def _content(entry: Ablation) -> tuple[str, ...]:
    """What an entry says, as a key to sort and compare by."""
    return (entry.part, entry.name, entry.action or "", *sorted(entry.replacements), "\0", *sorted(entry.metrics))


@lru_cache(maxsize=4096)
def _by_content(entries: tuple[Ablation, ...]) -> tuple[int, ...]:
    """Indices in the order of content; entries that say the same stay in their own order."""
    return tuple(sorted(range(len(entries)), key=lambda index: _content(entries[index])))


def _earliest(pairs: Places, plan: tuple[Ablation, ...]) -> Places:
    """Of plan entries that say the same, the earliest hold the matches: a repetition is never what counts."""
    partner = {p: g for g, p in pairs}
    for places in _twins(plan):
        held = sorted(partner.pop(p) for p in places if p in partner)
        partner.update(zip(places, held, strict=False))
    return sorted((g, p) for p, g in partner.items())


@lru_cache(maxsize=4096)
def _twins(entries: tuple[Ablation, ...]) -> tuple[list[int], ...]:
    """The places of entries that say the same as another, together."""
    twins: dict[tuple[str, ...], list[int]] = {}
    for index, entry in enumerate(entries):
        twins.setdefault(_content(entry), []).append(index)
    return tuple(places for places in twins.values() if len(places) > 1)
