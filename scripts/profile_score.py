"""Where a warm `evalkit score` spends its time: makes a corpus, keeps everything of it, profiles the first process.

    python scripts/profile_score.py                                   # 22,400 plans, local
    python scripts/profile_score.py --engine processes --workers 2    # what the first process does beside its workers
    python scripts/profile_score.py --bare                            # CPU seconds only, without the profiler's own

A run on two free cores takes about S + (M + W - S) / 2 seconds of wall time, where M and W are the CPU seconds of the
first process and of all workers, and S those in which the first works alone. So workers are worth having while S, and
what is done only because there are workers, is little; making the shared work cheaper makes every engine faster, but
brings them closer together.

What it showed, over 1,400 plans of 362 papers under 16 planners' names each (22,400 plans, of five entries), everything
kept, two cores that others used a little too (AMD EPYC, Python 3.11, pandas 3.1), CPU seconds, user + system, and wall
seconds of two runs each where the machine was quiet enough to tell:

                                 9,999 resamples              no resamples
                              before      after            before      after
    local                     34.7        24.7 (24 - 26)   32.8        18.5 (18.3 - 18.6)
    processes, 2: M           10.6         6.8              6.5         4.5
    processes, 2: W           34.8        18.0 (13 - 14)   34.5        17.6 (12.0 - 12.1)
    peak of a worker          179 MiB     65 MiB

Before: (1) joblib was given windows of 64 batches, so that the first process read 4,096 documents while no worker had
any, and every window ended in waiting for its last batch. (2) Of a plan that is known, writing its rows through pandas
cost 9.9 of 18 seconds, and pandas, which only this needed, was loaded by every worker. (3) Papers were grouped and
written by pandas in the first process: 1.8 s. (4) The tests of all pairs drew the same swaps for every 64 pairs: 1.5 s.
(5) Scores travelled as objects of 48 numbers each, orders were packed and unpacked with every batch, and each batch
opened the cache anew. (6) Reading a plan looked at texts letter by letter: 5 of 15 seconds.

After: work is handed out one batch for one that came back, packed once; workers start before the first process loads
pandas and reads gold, and need no pandas; rows are written by `csv.py`, counts travel as one array, swaps are drawn
once for pairs that differ on as many papers. The first process works alone for about 2.5 s of its 6.8: 0.4 at the
start, 0.7 between reading and scoring (pairing, the signature, which decisions are kept), 1.2 for intervals and tests,
0.2 at the end. What is left is reading plans (9 s, in workers) and their rows (6 s, in workers).

100,800 plans, no resamples: local 96 s of CPU and 448 MiB, processes 20 + 92 s and 478 MiB (65 a worker): 4.5 times the
plans cost 4.5 to 5 times the time, and about 3 KB of memory each.

Once more, when what was read came to be kept: local 8.8 s for 22,400 plans and 38 s for 100,800, processes 10 + 32 s of
CPU and 23 s of wall time. What showed then, now that plans are known: the hash of the orders, made for every batch
(38 us a plan, now once a run); the search for cycles in workers (a tenth of their time, now as seldom as in the first
process); asking for kept decisions in the first process alone (23 us a plan, now in workers); several `Path`s for every
file (5 us); records packed by their fields' names (about 20 us a plan and process). What is left is CSV: half of a
worker's time.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import pstats
import resource
import tempfile
import time
from pathlib import Path

import bench_corpus


def score(top: Path, *more: str) -> None:
    """One `evalkit score` of the corpus in this process."""
    from evalkit.cli import group

    where = ["--pred", f"{top}/plans", "--gold", f"{top}/gold", "--out", f"{top}/run", "--cache", f"{top}/cache"]
    with contextlib.redirect_stdout(io.StringIO()):
        group.main(["score", *where, "--force", *more], standalone_mode=False)


def seconds(who: int) -> float:
    """CPU time of this process, or of those that it has waited for."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Corpus, a run that fills the cache, and the run that is looked at."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--plans", type=int, default=1400)
    options.add_argument("--papers", type=int, default=362)
    options.add_argument("--copies", type=int, default=16, help="planners' names for each plan")
    options.add_argument("--matcher", default="hybrid")
    options.add_argument("--engine", default="local")
    options.add_argument("--workers", type=int, default=0)
    options.add_argument("--resamples", type=int, default=9999)
    options.add_argument("--top", type=int, default=25, help="functions to print")
    options.add_argument("--bare", action="store_true", help="do not profile")
    wanted = options.parse_args()
    how = ["--matcher", wanted.matcher, "--resamples", str(wanted.resamples)]
    with tempfile.TemporaryDirectory(prefix="evalkit-profile-") as folder:
        top, once = Path(folder) / "many", Path(folder) / "once"
        bench_corpus.write(once, wanted.papers, wanted.plans)
        bench_corpus.write(top, wanted.papers, wanted.plans, copies=wanted.copies)
        (once / "cache").symlink_to(top / "cache")
        (top / "cache").mkdir()
        score(once, *how)
        score(top, *how)  # every plan names its planner: these texts are new, if not their parts
        profile = cProfile.Profile()
        before, start = [seconds(resource.RUSAGE_SELF), seconds(resource.RUSAGE_CHILDREN)], time.perf_counter()
        with contextlib.nullcontext() if wanted.bare else profile:
            score(top, *how, "--engine", wanted.engine, "--workers", str(wanted.workers))
        mine, theirs = seconds(resource.RUSAGE_SELF) - before[0], seconds(resource.RUSAGE_CHILDREN) - before[1]
        wall = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{wanted.plans * wanted.copies} plans, {wanted.engine}: {wall:.2f} s wall")
    print(f"first process {mine:.2f} s CPU, {peak:.0f} MiB at most; its workers {theirs:.2f} s CPU")
    if not wanted.bare:
        for order in ("tottime", "cumtime"):
            pstats.Stats(profile).sort_stats(order).print_stats(wanted.top)


if __name__ == "__main__":
    main()
