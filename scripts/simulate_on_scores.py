"""Checks intervals, tests and the shipped gate on real, discrete scores; prints Markdown tables.

    python scripts/simulate_on_scores.py RUN [RUN ...] [--sims 4000] [--seed 1] [--only TABLE] [--papers N ...]

The per-paper counts of the planners of each run are a population of papers. A simulated run draws papers from it with
replacement, so the true figure is that of the whole population. Two equally good planners are made of two real ones by
swapping them at random on every paper; several equally good ones by shuffling all planners on every paper. A cell is
the mean over populations, with the least and the most of them in brackets where there are several.
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
TESTED = (
    "one test, macro",
    "one test, micro",
    "any of all pairs",
    "draws in which 5 or more differ",
    "macro, of those",
)
DIFFERING = (4, 5, 6, 7, 8, 9, 10, 12, 14, 20)  # papers on which two planners differ
GATED = ("alarms, one planner", "alarms, all planners", "catches -.05", "catches -.10", "could see, one test",
         "could see, one of several")  # fmt: skip
SWAPS = 999  # of a test
EXACT, EXACT_SWAPS = 17, 2047  # up to so many papers so many swaps: p is exact where ten differ, as in the product
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
    title: str,
    columns: Sequence[str],
    populations: Sequence[Population],
    measured: Callable[[Population, int], Array],
    rows: Sequence[int],
) -> None:
    """Print a table of rates in percent, a row a number of papers."""
    print(f"\n## {title}\n")
    row("papers", *columns)
    row(*["---"] * (len(columns) + 1))
    for papers in rows:
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
    for start, count in batches(sims):
        draws = [rng.integers(len(macro), size=papers) for _ in range(count)]
        levels = [
            stats.macro(np.concatenate([macro[chosen] for chosen in draws], axis=1)),
            stats.micro(np.concatenate([sums[chosen] for chosen in draws], axis=1), micro_f1),
        ]
        for kind, interval in enumerate(stats.intervals(levels)):
            true = np.tile(truth[kind], len(draws))
            inside[kind] += np.count_nonzero((interval.low <= true) & (true <= interval.high))
            shown[kind] += np.count_nonzero(~np.isnan(interval.low))
        for place, chosen in enumerate(draws):
            one, two = pairs[(start + place) % len(pairs)]
            sides = stats.macro(macro[chosen][:, [one, two]]), stats.micro(sums[chosen][:, [one, two]], micro_f1)
            for kind, found in enumerate(stats.differences(sides, 0, 1)):
                inside[2 + kind] += (
                    found.standard_error > 0 and found.low <= truth[kind][two] - truth[kind][one] <= found.high
                )
                shown[2 + kind] += found.standard_error > 0
    return np.asarray(inside / shown)


def drawn(values: Array, papers: int, count: int, rng: np.random.Generator) -> Array:
    """Return so many runs [runs, papers, planners, ...] on papers drawn with replacement."""
    return values[rng.integers(len(values), size=(count, papers))]


def nothing_changed(runs: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a base and a new run of each, every planner swapped at random with the one before it on every paper."""
    other = np.roll(runs, 1, axis=2)
    swap = rng.integers(2, size=runs.shape[:3]).astype(bool)
    swap = swap[..., None] if runs.ndim == 4 else swap
    return np.where(swap, other, runs), np.where(swap, runs, other)


def p_values(base: Array, new: Array, seed: int) -> Array:
    """Return the p [runs, k] of the means of base and of new [runs, papers, k]; all are computed together."""
    runs, papers, width = base.shape
    columns = np.concatenate([side.transpose(1, 0, 2).reshape(papers, -1) for side in (base, new)], axis=1)
    pairs = [(place, runs * width + place) for place in range(runs * width)]
    p = stats.chosen_pairs(stats.macro(columns), pairs, seed=seed, resamples=swaps(papers))
    return p.reshape(runs, width)


def micro_p(base: Array, new: Array, seed: int) -> float:
    """Return the p of the micro F1 of one planner in base and in new, sums [papers, 4]."""
    both = stats.micro(np.stack([base, new], axis=1), micro_f1)
    return stats.paired_test(both, 0, 1, seed=seed, resamples=swaps(len(base)))


def swaps(papers: int) -> int:
    return SWAPS if papers > EXACT else EXACT_SWAPS


def batches(sims: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the number of simulated runs of each batch."""
    for start in range(0, sims, BATCH):
        yield start, min(BATCH, sims - start)


def sizes(given: Population, papers: int, sims: int, seed: int) -> Array:
    """Return how often p < .05 where nothing changed (macro, micro), and any pair of several alike is told apart.

    Then in what share of draws five or more papers differ, so that p can be below .05, and how often it is in those.
    """
    macro, sums = given
    planners = macro.shape[1]
    one, two = np.triu_indices(planners, 1)
    rng, counts = np.random.default_rng([seed, papers, 1]), np.zeros(5)
    for start, count in batches(sims):
        base, new = nothing_changed(drawn(macro[:, :2], papers, count, rng), rng)
        found = p_values(base[..., :1], new[..., :1], start)[:, 0] < 0.05
        enough = np.count_nonzero(base[..., 0] != new[..., 0], axis=1) >= 5
        counts[[0, 3, 4]] += found.sum(), enough.sum(), (found & enough).sum()
        base, new = nothing_changed(drawn(sums[:, :2], papers, count, rng), rng)
        p = [micro_p(base[run, :, 0], new[run, :, 0], start + run) for run in range(count)]
        counts[1] += np.count_nonzero(np.array(p) < 0.05)
        alike = rng.permuted(drawn(macro, papers, count, rng), axis=2)
        raw = p_values(alike[..., one], alike[..., two], start)
        counts[2] += sum((stats.shaffer(pairs, planners) < 0.05).any() for pairs in raw)
    return np.concatenate([counts[:4] / sims, counts[4:] / counts[3]])


def exactness(given: Population, differing: int, sims: int, seed: int) -> Array:
    """Return how often p < .05 where nothing changed (macro, micro), on so many papers that all differ."""
    macro, sums = (values[(values[:, 0] != values[:, 1]).reshape(len(values), -1).any(axis=1), :2] for values in given)
    rng, counts = np.random.default_rng([seed, differing, 3]), np.zeros(2)
    for start, count in batches(sims):
        base, new = nothing_changed(drawn(macro, differing, count, rng), rng)
        counts[0] += np.count_nonzero(p_values(base[..., :1], new[..., :1], start) < 0.05)
        base, new = nothing_changed(drawn(sums, differing, count, rng), rng)
        p = [micro_p(base[run, :, 0], new[run, :, 0], start + run) for run in range(count)]
        counts[1] += np.count_nonzero(np.array(p) < 0.05)
    return counts / sims


def gate(given: Population, papers: int, sims: int, seed: int) -> Array:
    """Return the shipped gate's false alarms (one planner, all), its catches, and the power of "could see".

    Without any spread there is no "could see"; such draws are left out of its power.
    """
    macro, _ = given
    planners = macro.shape[1]
    rng, counts, spread = np.random.default_rng([seed, papers, 2]), np.zeros(6), 0
    for start, count in batches(sims):
        base, new = nothing_changed(drawn(macro, papers, count, rng), rng)
        gaps = new - base
        means, errors = gaps.mean(axis=1), gaps.std(axis=1, ddof=1) / np.sqrt(papers)
        drops = np.array([planned_drops(error, papers, planners) for error in errors[:, 0]])
        sides = np.repeat(base[..., :1], 4, axis=2), new[..., :1] - drops[:, None]
        unchanged, dropped = p_values(base, new, start), p_values(*sides, start)
        for run, (mean, error, p) in enumerate(zip(means, errors, unchanged, strict=True)):
            counts[0] += trips(mean[:1], error[:1], p[:1], papers).any()
            counts[1] += trips(mean, error, p, papers).any()
            for place in (0, 1):
                counts[2 + place] += trips(mean[:1] - drops[run, place], error[:1], dropped[run, [place]], papers).any()
            if error[0] > 0:
                spread += 1
                counts[4] += dropped[run, 2] < 0.05
                counts[5] += stats.holm(np.append(dropped[run, 3], p[1:]))[0] < 0.05
    return np.concatenate([counts[:4] / sims, counts[4:] / spread])


def planned_drops(error: float, papers: int, planners: int) -> list[float]:
    """Return .05, .10, and what "could see" names for one test and for as many as there are planners."""
    return [0.05, 0.1, *(stats.minimum_detectable(error, papers, tests=tests) for tests in (1, planners))]


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
        adjusted = stats.all_pairs(stats.macro(level + noise), seed=seed, resamples=SWAPS).adjusted
        seconds = time.perf_counter() - start
        half = planners // 2
        apart = 100 * float((adjusted[:half, half:] < 0.05).mean())
        yield planners, len(macro), f"{seconds:.1f}", f"{apart:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--sims", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--papers", type=int, action="append", help="rows of a table  [default: all of them]")
    parser.add_argument("--only", choices=("", "coverage", "sizes", "differing", "gate", "many"), default="")
    asked = parser.parse_args()
    sims, seed = asked.sims, asked.seed
    populations = [population(run) for run in asked.runs]
    print(f"\n{sims} draws a cell and population, in percent")
    shown = {
        "coverage": ("Coverage of nominal 95% intervals", COVERED, coverage, SIZES),
        "sizes": ("Nothing changed: share of tests with p < .05", TESTED, sizes, SIZES),
        "differing": ("Nothing changed, of papers that all differ", TESTED[:2], exactness, DIFFERING),
        "gate": ("The shipped gate, and what could be seen", GATED, gate, SIZES),
    }
    for name, (title, columns, simulate, rows) in shown.items():
        if asked.only in ("", name):
            table(title, columns, populations, partial(simulate, sims=sims, seed=seed), asked.papers or rows)
    if asked.only in ("", "many"):
        print("\n## Many planners: half of them are worse by .05 on average\n")
        row("planners", "papers", "seconds", "pairs of unlike planners told apart, percent")
        row(*["---"] * 4)
        for line in many(populations[0][0], seed):
            row(*line)


if __name__ == "__main__":
    main()
