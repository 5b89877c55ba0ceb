"""Checks intervals, tests and the shipped gate on real, discrete scores; prints Markdown tables.

    python scripts/simulate_on_scores.py RUN [--sims 2000] [--seed 1]

RUN is the folder of a run; the per-paper counts of its planners are the population. A simulated run draws papers from
it with replacement, so the true figure is that of the whole population. Two equally good planners are made of two real
ones by swapping them at random on every paper. Nothing was chosen by what this prints.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.storage.runs import load_run

Array = NDArray[np.float64]
COUNTS = ("match_gold", "match_plan", "gold_entries", "plan_entries")
SIZES = (10, 17, 30, 50, 100, 350)
MARGIN, MAX_DROP = 0.05, 0.02  # of the shipped gate's headline rule


def population(folder: str) -> tuple[list[str], Array, Array]:
    """Return planners, match F1 [paper, planner] and counts [paper, planner, 4] of a run."""
    papers = load_run(folder).papers
    planners = sorted(papers["planner"].unique())
    tables = [
        papers.pivot_table(index="paper", columns="planner", values=name)[planners] for name in ("match_f1", *COUNTS)
    ]
    whole = pd.concat(tables, axis=1).notna().all(axis=1)
    values = [table[whole.to_numpy()].to_numpy(dtype=np.float64) for table in tables]
    return planners, values[0], np.stack(values[1:], axis=2)


def micro_f1(sums: Array) -> Array:
    """Return F1 of summed counts, as the leaderboard has it."""
    precision, recall = stats.divide(sums[..., 1], sums[..., 3]), stats.divide(sums[..., 0], sums[..., 2])
    return stats.divide(2 * precision * recall, precision + recall)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def coverage(macro: Array, sums: Array, sims: int, seed: int) -> None:
    """Print how often nominal 95% intervals hold the population's figure."""
    print(
        f"\n## Coverage of nominal 95% intervals, in percent, least to most of planners and pairs, {sims} runs each\n"
    )
    row("papers", "macro F1", "micro F1", "difference, macro", "difference, micro")
    row(*["---"] * 5)
    truth = macro.mean(axis=0), micro_f1(sums.sum(axis=0))
    pairs = list(itertools.combinations(range(macro.shape[1]), 2))
    for papers in SIZES:
        rng = np.random.default_rng([seed, papers])
        level, apart = np.zeros((2, macro.shape[1])), np.zeros((2, len(pairs)))
        given = np.zeros((2, macro.shape[1]))
        for _ in range(sims):
            drawn = rng.integers(len(macro), size=papers)
            measures = [stats.macro(macro[drawn]), stats.micro(sums[drawn], micro_f1)]
            for kind, interval in enumerate(stats.intervals(measures)):
                level[kind] += (interval.low <= truth[kind]) & (truth[kind] <= interval.high)
                given[kind] += ~np.isnan(interval.low)
            for place, (one, two) in enumerate(pairs):
                for kind, found in enumerate(stats.differences(measures, one, two)):
                    gap = truth[kind][two] - truth[kind][one]
                    apart[kind, place] += found.low <= gap <= found.high
        row(papers, *(f"{100 * s.min():.1f} to {100 * s.max():.1f}" for s in (*(level / given), *(apart / sims))))


def nothing_changed(macro: Array, papers: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a base and a new run in which every planner is swapped at random with the next on every paper."""
    drawn = macro[rng.integers(len(macro), size=papers)]
    other = np.roll(drawn, 1, axis=1)
    swap = rng.integers(2, size=drawn.shape).astype(bool)
    return np.where(swap, other, drawn), np.where(swap, drawn, other)


def tests(macro: Array, sims: int, seed: int) -> None:
    """Print the size of the paired test, and what the shipped gate does when nothing changed and when F1 falls."""
    planners = macro.shape[1]
    print(f"\n## Nothing changed: share of runs, in percent, {sims} runs each\n")
    row("papers", "p < .05, one planner", "gate alarms, one planner", f"gate alarms, {planners} planners",
        "catches -.05", "catches -.10", "could see, found")  # fmt: skip
    row(*["---"] * 7)
    for papers in SIZES:
        rng = np.random.default_rng([seed, papers, 1])
        counts = np.zeros(6)
        for sim in range(sims):
            base, new = nothing_changed(macro, papers, rng)
            p = np.array([
                stats.paired_test(stats.macro(np.stack([base[:, k], new[:, k]], axis=1)), 0, 1, seed=sim, resamples=499)
                for k in range(planners)
            ])  # fmt: skip
            gaps = new - base
            mean, error = gaps.mean(axis=0), gaps.std(axis=0, ddof=1) / np.sqrt(papers)
            counts[0] += p[0] < 0.05
            counts[1] += trips(mean[0], error[0], p[:1], papers)[0]
            counts[2] += trips(mean, error, p, papers).any()
            for place, drop in ((3, 0.05), (4, 0.1), (5, stats.minimum_detectable(float(error[0]), papers))):
                fallen = np.stack([base[:, 0], new[:, 0] - drop], axis=1)
                worse = stats.paired_test(stats.macro(fallen), 0, 1, seed=sim, resamples=499)
                caught = trips(mean[0] - drop, error[0], np.array([worse]), papers)[0] if place < 5 else worse < 0.05
                counts[place] += caught
        row(papers, *(f"{100 * count / sims:.1f}" for count in counts))


def trips(mean: Array, error: Array, p: Array, papers: int) -> NDArray[np.bool_]:
    """Return whether the headline rule of configs/gate.toml trips, by planner."""
    margin = np.array([stats.significant_from(float(one), papers) for one in np.atleast_1d(error)])
    below = np.atleast_1d(mean) + margin < -MARGIN
    return np.asarray(below | ((np.atleast_1d(mean) < -MAX_DROP) & (stats.holm(p) < 0.05)))


def many(macro: Array, seed: int) -> None:
    """Print seconds, and how many of the clearly different pairs are told apart, for many planners on all papers."""
    print("\n## Many planners: half of them are worse by .05 on average\n")
    row("planners", "papers", "seconds", "pairs of unlike planners told apart, percent")
    row(*["---"] * 4)
    rng = np.random.default_rng(seed)
    for planners in (40, 100, 300):
        chosen = macro[:, rng.integers(macro.shape[1], size=planners)]
        noise = rng.normal(0, 0.05, chosen.shape) - np.where(np.arange(planners) < planners // 2, 0, 0.05)
        level = macro.mean(axis=1, keepdims=True) + 0.3 * (chosen - macro.mean(axis=1, keepdims=True))
        start = time.perf_counter()
        adjusted = stats.all_pairs(stats.macro(level + noise), seed=seed, resamples=999).adjusted
        seconds = time.perf_counter() - start
        half = planners // 2
        row(planners, len(macro), f"{seconds:.1f}", f"{100 * float((adjusted[:half, half:] < 0.05).mean()):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--sims", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    planners, macro, sums = population(asked.run)
    print(f"{len(planners)} planners on {len(macro)} papers; zeros {100 * float((macro == 0).mean()):.0f}%")
    coverage(macro, sums, asked.sims, asked.seed)
    tests(macro, asked.sims, asked.seed)
    many(macro, asked.seed)


if __name__ == "__main__":
    main()
