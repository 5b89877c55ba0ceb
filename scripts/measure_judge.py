"""What a judge of borderline pairs is worth: plays labels back as the judge on held-out papers; prints F1 and money.

Every pair's probability comes from a model that saw no pair of its paper. The nearest pairs to the threshold go to the
"judge", who says what the labels say, or errs one time in ten; F1 of full matches is over pairs, before assignment, and
per planner after it. Then what a real judge would cost for 350 papers of five planners, borderline pairs against all.

    .venv/bin/python scripts/measure_judge.py ../shared/data/alignment/dev.jsonl [--errors 0.1]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.cli.options import pairs_prompt
from evalkit.judges.llm.budget import tokens_in, tokens_out
from evalkit.judges.llm.calls import calls_of
from evalkit.judges.llm.prompts import content, messages
from evalkit.labels import evaluate
from evalkit.labels.fitting import held_out, table_of
from evalkit.matching.assign import align, apply_opinions
from evalkit.matching.embeddings import find_encoder
from evalkit.matching.features import needs
from evalkit.settings import JudgeSettings
from evalkit.storage.label_files import LabelledPlan, read_labels
from evalkit.types import Opinion, Question, Thresholds

SHARES = (0.0, 0.02, 0.05, 0.07, 0.10)
PAPERS, PLANNERS, ENTRIES = 350, 5, (5, 5)
PRICES = {"small model": (0.15, 0.60), "large model": (2.50, 10.00)}

Flags = NDArray[np.bool_]
Array = NDArray[np.float64]


def probabilities_of(rows: Sequence[LabelledPlan]) -> tuple[Array, Array, Flags, Flags]:
    """Held-out probabilities and labels of all pairs, row by row."""
    encoder = find_encoder()
    texts = sorted({text for row in rows for text in needs(row.gold, row.plan)})
    pairs = table_of(rows, "hybrid", encoder.encode(texts))
    part, match = held_out(pairs)
    return part, match, pairs.part, pairs.match


def sent(match: Array, threshold: float, share: float) -> Flags:
    """Which pairs go to the judge: the nearest to the threshold."""
    nearest = np.argsort(np.abs(match - threshold), kind="stable")
    chosen = np.zeros(len(match), dtype=bool)
    chosen[nearest[: round(share * len(match))]] = True
    return chosen


def pair_f1(match: Array, truth: Flags, threshold: float, chosen: Flags, wrong: Flags) -> float:
    """F1 over pairs when the judge decides the chosen ones and errs on some."""
    decided = np.where(chosen, truth ^ wrong, match >= threshold)
    return evaluate.f1(int((decided & truth).sum()), int(decided.sum()), int(truth.sum())) or 0.0


def planner_error(
    rows: Sequence[LabelledPlan], part: Array, match: Array, limits: Thresholds, chosen: Flags, wrong: Flags
) -> float:
    """Mean absolute error of the planners' macro F1, by the corridor's own alignment with the judge's opinions."""
    found: dict[str, list[tuple[float, float]]] = {}
    start = 0
    for row in rows:
        shape = row.match_table.shape
        stop = start + shape[0] * shape[1]
        answer = {}
        for at in np.flatnonzero(chosen[start:stop]).tolist():
            place = (at // shape[1], at % shape[1])
            yes = (place in row.match) ^ bool(wrong[start + at])
            answer[place] = Opinion(yes or place in row.same_part, yes, "labels")
        guessed = apply_opinions(part[start:stop].reshape(shape), match[start:stop].reshape(shape), answer)
        tables = (guessed, (row.part_table.astype(float), row.match_table.astype(float)))
        hits = [sum(p.matched for p in align(*t, (row.gold, row.plan), limits, "one-to-one").pairs) for t in tables]
        size = len(row.gold) + len(row.plan)
        found.setdefault(row.planner, []).append((2 * hits[0] / size, 2 * hits[1] / size))
        start = stop
    return float(np.mean([abs(np.mean([a - b for a, b in pairs])) for pairs in found.values()]))


def tokens_a_pair(rows: Sequence[LabelledPlan], chosen: Flags) -> tuple[float, float]:
    """Tokens in and out for one pair, by the messages that would be sent for the chosen pairs."""
    asked, start = set(), 0
    for row in rows:
        size = len(row.gold) * len(row.plan)
        for at in np.flatnonzero(chosen[start : start + size]).tolist():
            g, p = divmod(at, len(row.plan))
            asked.add(Question(row.paper, row.gold[g], row.plan[p]))
        start += size
    settings = JudgeSettings()
    prompt, ordered = pairs_prompt(settings), sorted(asked, key=content)
    owners = {question: (question.planner,) for question in ordered}
    calls = list(calls_of("any", ordered, owners, settings.pairs_per_call))
    into = sum(tokens_in(messages(prompt, call.questions, 0)) for call in calls)
    out = sum(tokens_out(len(call.questions)) for call in calls)
    return into / len(asked), out / len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("labels")
    parser.add_argument("--errors", type=float, default=0.1)
    chosen = parser.parse_args()
    rows = read_labels([chosen.labels])
    part, match, part_truth, truth = probabilities_of(rows)
    threshold = evaluate.balanced_threshold(match, truth, np.ones(len(match)))
    limits = Thresholds(evaluate.balanced_threshold(part, part_truth, np.ones(len(part))), threshold, 2.0, 2.0)
    rng = np.random.default_rng(0)
    errs, never = rng.random(len(match)) < chosen.errors, np.zeros(len(match), dtype=bool)
    print(f"{len(truth)} pairs, {truth.sum()} full matches; threshold {threshold}")
    print(f"{'sent':>5} | {'right judge':^22} | judge wrong {chosen.errors:.0%} of the time")
    print(f"{'':>5} | {'F1':>8} {'planners off':>13} | {'F1':>8} {'planners off':>13}")
    for share in SHARES:
        band = sent(match, threshold, share)
        cells = []
        for wrong in (never, errs & band):
            off = planner_error(rows, part, match, limits, band, wrong)
            cells.append(f"{pair_f1(match, truth, threshold, band, wrong):8.3f} {off:13.4f}")
        print(f"{share:5.0%} | " + " | ".join(cells))
    costs(rows, match, threshold)


def costs(rows: Sequence[LabelledPlan], match: Array, threshold: float) -> None:
    """Money for 350 papers of five planners with five entries against five, borderline pairs against all of them."""
    total = PAPERS * PLANNERS * ENTRIES[0] * ENTRIES[1]
    band, everything = sent(match, threshold, 0.07), np.ones(len(match), dtype=bool)
    some, every = tokens_a_pair(rows, band), tokens_a_pair(rows, everything)
    print(f"\n{PAPERS} papers x {PLANNERS} planners x {ENTRIES[0]} x {ENTRIES[1]} entries: {total} pairs")
    print(f"tokens a pair (in, out): {some[0]:.0f}, {some[1]:.0f} of 7%; {every[0]:.0f}, {every[1]:.0f} of all")
    for name, (price_in, price_out) in PRICES.items():
        seven = 0.07 * total * (some[0] * price_in + some[1] * price_out) / 1e6
        full = total * (every[0] * price_in + every[1] * price_out) / 1e6
        print(f"{name} ({price_in} in, {price_out} out per million): {seven:.2f} for 7%, {full:.2f} for all")


if __name__ == "__main__":
    main()
