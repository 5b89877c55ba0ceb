"""Checks intervals, tests and the shipped gate on real, discrete scores; prints Markdown tables.

    python scripts/simulate_on_scores.py RUN [RUN ...] [--sims 4000] [--seed 1]

The per-paper counts of the planners of each run are a population of papers. A simulated run draws papers from it with
replacement, so the true figure is that of the whole population. Two equally good planners are made of two real ones by
swapping them at random on every paper; several equally good ones by shuffling all planners on every paper. A cell is
the mean over populations, with the least and the most of them in brackets where there are several. Nothing was chosen
by what this prints.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.metrics.figures import FIGURES
from evalkit.storage.runs import load_run

Array = NDArray[np.float64]
Population = tuple[Array, Array]  # match F1 [paper, planner], and its counts [paper, planner, 4]
COUNTS = ("match_gold", "match_plan", "gold_entries", "plan_entries")
SIZES = (10, 17, 30, 50, 100, 350)
MARGIN, MAX_DROP = 0.05, 0.02  # of the shipped gate's headline rule
COVERED = ("macro F1", "micro F1", "difference, macro", "difference, micro")
TESTED = ("one test, macro", "one test, micro", "any of all pairs")
GATED = ("alarms, one planner", "alarms, all planners", "catches -.05", "catches -.10", "could see, one test",
         "could see, one of several")  # fmt: skip
BATCH = 250  # simulated runs whose levels are computed together


def population(folder: str) -> Population:
    """Return match F1 and its counts of the papers of a run on which all its planners are defined."""
    papers = load_run(folder).papers
    planners = sorted(papers["planner"].unique())
    tables = [
        papers.pivot_table(index="paper", columns="planner", values=name)[planners] for name in ("match_f1", *COUNTS)
    ]
    whole = pd.concat(tables, axis=1).notna().all(axis=1)
    values = [table[whole.to_numpy()].to_numpy(dtype=np.float64) for table in tables]
    zeros = f"{100 * float((values[0] == 0).mean()):.0f}% of scores are 0"
    print(f"- {folder}: {len(planners)} planners on {len(values[0])} papers; {zeros}")
    return values[0], np.stack(values[1:], axis=2)


def micro_f1(sums: Array) -> Array:
    """Return F1 of summed counts by the leaderboard's formula."""
    return FIGURES["match_f1"].formula({name: sums[..., place] for place, name in enumerate(COUNTS)})


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def table(
    title: str, columns: Sequence[str], populations: Sequence[Population], measured: Callable[[Population, int], Array]
) -> None:
    """Print a table of rates in percent, a row a number of papers."""
    print(f"\n## {title}\n")
    row("papers", *columns)
    row(*["---"] * (len(columns) + 1))
    for papers in SIZES:
        rates = 100 * np.stack([measured(one, papers) for one in populations])
        spans = zip(rates.mean(axis=0), rates.min(axis=0), rates.max(axis=0), strict=True)
        several = len(populations) > 1
        row(
            papers,
            *(f"{mean:.1f} [{least:.1f}, {most:.1f}]" if several else f"{mean:.1f}" for mean, least, most in spans),
        )


def coverage(given: Population, papers: int, sims: int, seed: int) -> Array:
    """Return how often nominal 95% intervals hold the population's figure: levels, and differences of two planners."""
    macro, sums = given
    truth = macro.mean(axis=0), micro_f1(sums.sum(axis=0))
    planners = macro.shape[1]
    pairs = list(itertools.combinations(range(planners), 2))
    rng = np.random.default_rng([seed, papers])
    inside, shown = np.zeros(4), np.zeros(4)
    for start in range(0, sims, BATCH):
        draws = [rng.integers(len(macro), size=papers) for _ in range(start, min(start + BATCH, sims))]
        levels = [
            stats.macro(np.concatenate([macro[drawn] for drawn in draws], axis=1)),
            stats.micro(np.concatenate([sums[drawn] for drawn in draws], axis=1), micro_f1),
        ]
        for kind, interval in enumerate(stats.intervals(levels)):
            true = np.tile(truth[kind], len(draws))
            inside[kind] += np.count_nonzero((interval.low <= true) & (true <= interval.high))
            shown[kind] += np.count_nonzero(~np.isnan(interval.low))
        for place, drawn in enumerate(draws):
            one, two = pairs[(start + place) % len(pairs)]
            sides = stats.macro(macro[drawn][:, [one, two]]), stats.micro(sums[drawn][:, [one, two]], micro_f1)
            for kind, found in enumerate(stats.differences(sides, 0, 1)):
                inside[2 + kind] += (
                    found.standard_error > 0 and found.low <= truth[kind][two] - truth[kind][one] <= found.high
                )
                shown[2 + kind] += found.standard_error > 0
    return np.asarray(inside / shown)


def nothing_changed(values: Array, papers: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a base and a new run in which every planner is swapped at random with the next on every paper."""
    drawn = values[rng.integers(len(values), size=papers)]
    other = np.roll(drawn, 1, axis=1)
    swap = rng.integers(2, size=drawn.shape[:2]).astype(bool)
    swap = swap[..., None] if drawn.ndim == 3 else swap
    return np.where(swap, other, drawn), np.where(swap, drawn, other)


def p_value(base: Array, new: Array, seed: int) -> float:
    """Return the p of one planner's mean in base and in new."""
    tests = stats.against_baseline(stats.macro(np.stack([base, new], axis=1)), 0, seed=seed, resamples=999)
    return float(tests.raw[0, 1])


def sizes(given: Population, papers: int, sims: int, seed: int) -> Array:
    """Return how often p < .05 where nothing changed (macro, micro), and any pair of several alike is told apart."""
    macro, sums = given
    rng, counts = np.random.default_rng([seed, papers, 1]), np.zeros(3)
    for sim in range(sims):
        base, new = nothing_changed(macro[:, :2], papers, rng)
        counts[0] += p_value(base[:, 0], new[:, 0], sim) < 0.05
        base, new = nothing_changed(sums[:, :2], papers, rng)
        both = stats.micro(np.stack([base[:, 0], new[:, 0]], axis=1), micro_f1)
        counts[1] += stats.paired_test(both, 0, 1, seed=sim, resamples=999) < 0.05
        alike = rng.permuted(macro[rng.integers(len(macro), size=papers)], axis=1)
        counts[2] += (stats.all_pairs(stats.macro(alike), seed=sim, resamples=999).adjusted < 0.05).any()
    return counts / sims


def gate(given: Population, papers: int, sims: int, seed: int) -> Array:
    """Return the shipped gate's false alarms (one planner, all), its catches, and the power of "could see"."""
    macro, _ = given
    planners = macro.shape[1]
    rng, counts = np.random.default_rng([seed, papers, 2]), np.zeros(6)
    for sim in range(sims):
        base, new = nothing_changed(macro, papers, rng)
        gaps = new - base
        mean, error = gaps.mean(axis=0), gaps.std(axis=0, ddof=1) / np.sqrt(papers)
        p = np.array([p_value(base[:, k], new[:, k], sim) for k in range(planners)])
        counts[0] += trips(mean[:1], error[:1], p[:1], papers).any()
        counts[1] += trips(mean, error, p, papers).any()
        for place, drop in ((2, 0.05), (3, 0.1)):
            worse = p_value(base[:, 0], new[:, 0] - drop, sim)
            counts[place] += trips(mean[:1] - drop, error[:1], np.array([worse]), papers).any()
        for place, tests in ((4, 1), (5, planners)):
            drop = stats.minimum_detectable(float(error[0]), papers, tests=tests)
            p[0] = p_value(base[:, 0], new[:, 0] - drop, sim)
            counts[place] += stats.holm(p[:tests])[0] < 0.05
    return counts / sims


def trips(mean: Array, error: Array, p: Array, papers: int) -> NDArray[np.bool_]:
    """Return whether the headline rule of configs/gate.toml trips, by planner."""
    reach = np.array([stats.significant_from(float(one), papers) for one in error])
    return np.asarray((mean + reach < -MARGIN) | ((mean < -MAX_DROP) & (stats.holm(p) < 0.05)))


def many(macro: Array, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield seconds, and how many of the clearly different pairs are told apart, for many planners on all papers."""
    rng = np.random.default_rng(seed)
    for planners in (40, 100, 300):
        chosen = macro[:, rng.integers(macro.shape[1], size=planners)]
        noise = rng.normal(0, 0.05, chosen.shape) - np.where(np.arange(planners) < planners // 2, 0, 0.05)
        level = macro.mean(axis=1, keepdims=True) + 0.3 * (chosen - macro.mean(axis=1, keepdims=True))
        start = time.perf_counter()
        adjusted = stats.all_pairs(stats.macro(level + noise), seed=seed, resamples=999).adjusted
        seconds = time.perf_counter() - start
        half = planners // 2
        apart = 100 * float((adjusted[:half, half:] < 0.05).mean())
        yield planners, len(macro), f"{seconds:.1f}", f"{apart:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--sims", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("", "coverage", "sizes", "gate", "many"), default="")
    asked = parser.parse_args()
    sims, seed = asked.sims, asked.seed
    populations = [population(run) for run in asked.runs]
    print(f"\n{sims} draws a cell and population, in percent")
    shown = {
        "coverage": ("Coverage of nominal 95% intervals", COVERED, coverage),
        "sizes": ("Nothing changed: share of tests with p < .05", TESTED, sizes),
        "gate": ("The shipped gate, and what could be seen", GATED, gate),
    }
    for name, (title, columns, simulate) in shown.items():
        if asked.only in ("", name):
            table(title, columns, populations, partial(simulate, sims=sims, seed=seed))
    if asked.only in ("", "many"):
        print("\n## Many planners: half of them are worse by .05 on average\n")
        row("planners", "papers", "seconds", "pairs of unlike planners told apart, percent")
        row(*["---"] * 4)
        for line in many(populations[0][0], seed):
            row(*line)


if __name__ == "__main__":
    main()
