"""Checks by simulation that the intervals cover and the tests hold their size; prints Markdown tables.

    python scripts/simulate_intervals.py [--sims 10000] [--tests 4000] [--ranks 1000] [--seed 1]

A synthetic paper has 1 to 6 gold entries; a planner's plan of it has 1 to 5. Of the min(gold, plan) entries that could
match, a binomial number does, at a rate that is Beta distributed over papers (so entries of one paper are alike) and
correlated between planners (so a hard paper is hard for all). The true figures are sums over the few list lengths.
Takes about three minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from evalkit import stats

Array = NDArray[np.float64]

GOLD = np.array([0, 0.20, 0.25, 0.20, 0.15, 0.12, 0.08])  # probability of 0, 1, 2 ... gold entries
PLAN = np.array([0, 0.10, 0.15, 0.30, 0.20, 0.25])
SHORT = np.array([0, 0.45, 0.45, 0.10, 0, 0])
SOMETIMES_EMPTY = np.array([0.20, 0.08, 0.12, 0.24, 0.16, 0.20])
RATE = 0.4
SHARED = 0.5  # correlation of the planners' latent difficulty of a paper
SIZES = (10, 20, 100)
BATCH = 200


@dataclass(frozen=True)
class Planner:
    """How one planner plans: lengths of its lists, mean match rate, and how alike the entries of a paper are."""

    lengths: Array
    rate: float = RATE
    concentration: float = 2.0  # a + b of the Beta: the intra-paper correlation is 1 / (1 + a + b)

    @property
    def macro(self) -> float:
        """E of 2 hits / (gold + plan)."""
        return self.rate * sum(p * 2 * min(g, q) / (g + q) for g, q, p in self._lists())

    @property
    def micro(self) -> float:
        """2 E(hits) / E(gold + plan)."""
        lists = list(self._lists())
        return self.rate * 2 * sum(p * min(g, q) for g, q, p in lists) / sum(p * (g + q) for g, q, p in lists)

    @property
    def precision(self) -> float:
        """E of hits / plan, over plans with entries."""
        lists = [(g, q, p) for g, q, p in self._lists() if q]
        return self.rate * sum(p * min(g, q) / q for g, q, p in lists) / sum(p for _, _, p in lists)

    def _lists(self) -> Iterator[tuple[int, int, float]]:
        for g, p in enumerate(GOLD):
            for q, r in enumerate(self.lengths):
                if p * r > 0:
                    yield g, q, float(p * r)


def draw(rng: np.random.Generator, papers: int, sims: int, planners: list[Planner]) -> Array:
    """Sums (hits, gold, plan) of each paper: [papers, sims, planners, 3]."""
    gold = rng.choice(len(GOLD), size=(papers, sims), p=GOLD)
    difficulty = rng.normal(size=(papers, sims))
    columns = []
    for planner in planners:
        plan = rng.choice(len(planner.lengths), size=(papers, sims), p=planner.lengths)
        latent = math.sqrt(SHARED) * difficulty + math.sqrt(1 - SHARED) * rng.normal(size=(papers, sims))
        a = planner.rate * planner.concentration
        rate = betaincinv(a, planner.concentration - a, ndtr(latent))
        columns.append(np.stack([rng.binomial(np.minimum(gold, plan), rate), gold, plan], axis=2))
    return np.stack(columns, axis=2).astype(np.float64)


def f1(sums: Array) -> Array:
    return stats.divide(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def error(share: float, runs: int) -> float:
    """The 95% Monte Carlo error of a share, in points."""
    return 196 * math.sqrt(share * (1 - share) / runs)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def shown(hits: Array, goal: float) -> str:
    """A share in percent, starred when it is further from the goal than the Monte Carlo error at the goal."""
    share = float(np.mean(hits))
    star = "*" if abs(100 * share - goal) > error(goal / 100, len(hits)) else ""
    return f"{100 * share:.1f}{star}"


# Coverage --------------------------------------------------------------------------------------------------------


def coverage(sims: int, resamples: int, seed: int) -> None:
    """Simulated runs stand where planners stand, so that one call gives the intervals of a batch."""
    print(f"\n## Coverage of nominal 95% intervals, {sims} runs each, {resamples} resamples, seed {seed}\n")
    print(f"95% Monte Carlo error {error(0.95, sims):.1f} points; * is further than that from 95.\n")
    row("papers", "figure", "percentile", "Wilson", "no interval", "low ends above", "high ends below")
    row(*["---"] * 7)
    usual, empty = Planner(PLAN), Planner(SOMETIMES_EMPTY)
    truths = {"macro F1": usual.macro, "micro F1": usual.micro, "macro precision, 1 plan in 5 empty": empty.precision}
    for papers in SIZES:
        found: dict[str, list[Array]] = {name: [] for name in truths}
        for batch in range(0, sims, BATCH):
            one = np.random.default_rng([seed, papers, batch])
            sums = draw(one, papers, min(BATCH, sims - batch), [usual, empty])
            precision = stats.divide(sums[:, :, 1, 0], sums[:, :, 1, 2])
            measures = [stats.macro(f1(sums[:, :, 0])), stats.micro(sums[:, :, 0], f1)]
            measures.append(stats.macro(precision))
            for (name, truth), ends in zip(truths.items(), both(measures, resamples, seed + batch), strict=True):
                found[name].append(np.stack([ends[0] <= truth, truth <= ends[1], ends[2] <= truth, truth <= ends[3]]))
        for name in truths:
            report(papers, name, np.concatenate(found[name], axis=1))


def both(measures: list[stats.Measure], resamples: int, seed: int) -> Iterator[Array]:
    """Ends [4, sims] of each measure: percentiles of the bootstrap, and of `stats.intervals`."""
    plain = stats.bootstrap(measures, seed=seed, resamples=resamples)
    for interval, replicates in zip(stats.intervals(measures), plain, strict=True):
        low, high = np.nanquantile(replicates, [0.025, 0.975], axis=0)
        yield np.stack([low, high, interval.low, interval.high])


def report(papers: int, name: str, inside: Array) -> None:
    """Runs without an interval (NaN ends compare false on both sides) are counted, and left out of the shares."""
    given = inside[2].astype(bool) | inside[3].astype(bool)
    a, b, c, d = inside[:, given].astype(bool)
    above, below = f"{100 * np.mean(~c):.1f}", f"{100 * np.mean(~d):.1f}"
    row(papers, name, shown(a & b, 95), shown(c & d, 95), int(np.sum(~given)), above, below)


# Tests -----------------------------------------------------------------------------------------------------------


def nulls() -> dict[str, tuple[Planner, Planner, Planner]]:
    """A planner, its rival with the same macro F1, and its rival with the same micro F1."""
    usual, even = Planner(PLAN), Planner(PLAN, concentration=20.0)
    short = Planner(SHORT)
    macro = Planner(SHORT, rate=RATE * usual.macro / short.macro)
    micro = Planner(SHORT, rate=RATE * usual.micro / short.micro)
    return {"alike": (usual, usual, usual), "rival steadier": (usual, even, even), "rival terse": (usual, macro, micro)}


def size(sims: int, resamples: int, seed: int) -> None:
    print(f"\n## Size of the paired test at 5%, {sims} runs each, {resamples} swaps, seed {seed}\n")
    print(f"95% Monte Carlo error {error(0.05, sims):.1f} points; * is further than that from 5.\n")
    row(
        "papers", "two planners of the same true score", "macro F1", "micro F1", "bootstrap of the difference, micro F1"
    )
    row(*["---"] * 5)
    for papers in SIZES:
        for name, (planner, *rivals) in nulls().items():
            rejected: list[list[bool]] = [[], [], []]
            for sim in range(sims):
                rng = np.random.default_rng([seed, papers, sim])
                sums = draw(rng, papers, 1, [planner, *rivals])[:, 0]
                macro, micro = stats.macro(f1(sums[:, :2])), stats.micro(sums[:, ::2], f1)
                for measure, kept in zip((macro, micro), rejected, strict=False):
                    kept.append(stats.paired_test(measure, 0, 1, seed=sim, resamples=resamples) <= 0.05)
                (drawn,) = stats.bootstrap([micro], seed=sim, resamples=resamples)
                low, high = np.quantile(drawn[:, 1] - drawn[:, 0], [0.025, 0.975])
                rejected[2].append(bool(low > 0 or high < 0))
            row(papers, name, *(shown(np.array(kept, dtype=np.float64), 5) for kept in rejected))


def ranks(sims: int, resamples: int, seed: int, planners: int = 6) -> None:
    print(f"\n## Rank intervals of {planners} tied planners, {sims} runs each, {resamples} swaps, seed {seed}\n")
    print("Every rank is a true rank of every planner, so all intervals together cover when each is 1 to 6.")
    print(f"95% Monte Carlo error {error(0.95, sims):.1f} points; * is further than that from 95.\n")
    row("papers", "macro F1: Shaffer, all pairs", "bootstrap of the ranks")
    row(*["---"] * 3)
    for papers in (20, 100):
        held, naive = [], []
        for sim in range(sims):
            rng = np.random.default_rng([seed, papers, sim])
            measure = stats.macro(f1(draw(rng, papers, 1, [Planner(PLAN)] * planners)[:, 0]))
            tests = stats.all_pairs(measure, seed=sim, resamples=resamples)
            intervals = stats.rank_intervals(measure.values, tests.adjusted)
            held.append(all(interval == (1, planners) for interval in intervals))
            (drawn,) = stats.bootstrap([measure], seed=sim, resamples=resamples)
            places = planners - drawn.argsort(axis=1).argsort(axis=1)
            low, high = np.quantile(places, [0.025, 0.975], axis=0)
            naive.append(bool((low <= 1).all() and (high >= planners).all()))
        row(papers, *(shown(np.array(kept, dtype=np.float64), 95) for kept in (held, naive)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=10_000, help="runs for coverage")
    parser.add_argument("--tests", type=int, default=4000, help="runs for the size of the test")
    parser.add_argument("--ranks", type=int, default=1000, help="runs for the rank intervals")
    parser.add_argument("--resamples", type=int, default=stats.RESAMPLES, help="resamples of an interval")
    parser.add_argument("--swaps", type=int, default=1999, help="swaps of a test")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for table, arguments in (
        (coverage, (asked.sims, asked.resamples, asked.seed)),
        (size, (asked.tests, asked.swaps, asked.seed)),
        (ranks, (asked.ranks, asked.swaps, asked.seed)),
    ):
        start = time.perf_counter()
        table(*arguments)
        print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
