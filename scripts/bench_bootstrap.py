"""How long the intervals of a whole leaderboard take, and how much memory: every headline figure of every planner.

    python scripts/bench_bootstrap.py --planners 5 --papers 350 --resamples 9999

The sums are made up and shaped as real ones are. Memory is the peak of the process above what it held before, and what
tracemalloc saw of it (in a second, slower run).
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import tracemalloc

import numpy as np

from evalkit import stats
from evalkit.metrics.figures import FIGURES, HEADLINES
from evalkit.types import COUNT_NAMES


def made_up(papers: int, planners: int) -> dict[str, stats.measures.Array]:
    """Counts [papers, planners]: three to eight gold entries, plans about as long, half of them matched."""
    rng = np.random.default_rng(0)
    gold = np.repeat(rng.integers(3, 9, size=(papers, 1)), planners, axis=1)
    plan = rng.integers(3, 9, size=(papers, planners))
    part = rng.binomial(np.minimum(gold, plan), 0.6)
    match = rng.binomial(part, 0.7)
    columns = {name: rng.integers(0, 4, size=(papers, planners)).astype(np.float64) for name in COUNT_NAMES}
    whole = {"gold_entries": gold, "plan_entries": plan, "part_gold": part, "part_plan": part, "match_gold": match}
    whole |= {"match_plan": match, "papers": np.ones_like(gold), "action_pairs": part, "action_agreed": match}
    return columns | {name: values.astype(np.float64) for name, values in whole.items()}


def measures(columns: dict[str, stats.measures.Array]) -> list[stats.Measure]:
    """Every headline figure, as a mean over papers and as a ratio of sums where it has one."""
    macro = [stats.macro(FIGURES[name].formula(columns)) for name in HEADLINES]
    micro = [stats.formula_measure(columns, FIGURES[name].formula) for name in HEADLINES if FIGURES[name].micro]
    return macro + micro


def main() -> None:
    """Run it once for the clock and once for the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("planners", 5), ("papers", 350), ("resamples", 9999)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    columns = made_up(wanted.papers, wanted.planners)
    every = measures(columns)
    macro = every[: len(HEADLINES)]
    before = peak()
    for answer, chosen in (("macro", macro), ("macro and micro", every)):
        start, busy = time.perf_counter(), time.process_time()
        stats.bootstrap(chosen, seed=0, resamples=wanted.resamples)
        spent, worked = time.perf_counter() - start, time.process_time() - busy
        print(f"{len(chosen)} figures ({answer}) x {wanted.planners} planners x {wanted.papers} papers x "
              f"{wanted.resamples} resamples: {spent:.2f} s, {worked:.2f} s of processor")  # fmt: skip
    start = time.perf_counter()
    stats.all_pairs(macro[0], seed=0, resamples=wanted.resamples)
    print(f"all pairs of planners, {HEADLINES[0]}: {time.perf_counter() - start:.2f} s")
    print(f"peak of the process: {peak():.0f} MiB, {peak() - before:.0f} MiB more than before")
    tracemalloc.start()
    stats.intervals(every)
    print(f"arrays at their peak: {tracemalloc.get_traced_memory()[1] / 2**20:.0f} MiB")


def peak() -> float:
    """The most memory this process has held, in MiB."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
