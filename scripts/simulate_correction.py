"""Does the corrected interval cover? Simulates papers, a matcher that errs, labels of some; prints coverage and width.

For each matcher (lenient, strict, good) draws worlds of 200 papers, labels 30 at random, and asks how often the 95%
interval of the corrected match F1 (macro and micro) holds the F1 that labels of all 200 would have given, and how wide
it is beside the interval from the 30 labelled papers alone. The uncorrected interval stands beside it.

    .venv/bin/python scripts/simulate_correction.py [--worlds 1000] [--papers 200] [--labelled 30]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.scoring.correction import CORRECTED, HITS, measure

FIGURES = (("macro F1", "match_f1", False), ("micro F1", "match_f1", True))


@dataclass(frozen=True)
class Matcher:
    """How often a true match is found, and how often an entry without one is given one."""

    name: str
    found: float
    invented: float


MATCHERS = (Matcher("lenient", 0.97, 0.30), Matcher("strict", 0.60, 0.01), Matcher("good", 0.88, 0.05))


def world(rng: np.random.Generator, matcher: Matcher, papers: int) -> pd.DataFrame:
    """Papers of one planner: entries, true hits, the matcher's hits. What is easy for a planner is easy to match."""
    gold, plan = rng.integers(2, 9, size=papers), rng.integers(3, 7, size=papers)
    skill = rng.beta(2, 3, size=papers)
    most = np.minimum(gold, plan)
    truth = rng.binomial(most, skill)
    ease = np.clip(rng.normal(1, 0.1, size=papers), 0.7, 1.2)
    kept = rng.binomial(truth, np.clip(matcher.found * ease, 0, 1))
    auto = kept + rng.binomial(most - truth, np.clip(matcher.invented / ease, 0, 1))
    frame = pd.DataFrame({"gold_entries": gold, "plan_entries": plan})
    for name in HITS:
        frame[name], frame[f"label_{name}"] = auto, truth
    for name in CORRECTED:
        over = gold if name.endswith("recall") else plan if name.endswith("precision") else (gold + plan) / 2
        frame[name], frame[f"label_{name}"] = auto / over, truth / over
    return frame.astype(float)


def hidden(frame: pd.DataFrame, labelled: NDArray[np.bool_]) -> pd.DataFrame:
    """The frame without the labels of papers that are not labelled."""
    columns = [name for name in frame if str(name).startswith("label_")]
    return frame.assign(**{name: frame[name].where(labelled) for name in columns})


def truth_of(frame: pd.DataFrame, *, micro: bool) -> float:
    """F1 by the labels of all papers."""
    if not micro:
        return float(frame["label_match_f1"].mean())
    return float(2 * frame["label_match_gold"].sum() / (frame["gold_entries"] + frame["plan_entries"]).sum())


def run(matcher: Matcher, worlds: int, papers: int, some: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Per figure and kind of interval, whether it covers the truth and how wide it is, averaged over worlds.

    The target is the F1 that labels of a very large number of papers would give, which a sample of papers estimates.
    """
    rng = np.random.default_rng(seed)
    large = world(np.random.default_rng(seed + 1), matcher, 400_000)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(worlds):
        frame = world(rng, matcher, papers)
        labelled = np.zeros(papers, dtype=bool)
        labelled[rng.choice(papers, size=some, replace=False)] = True
        known = hidden(frame, labelled)
        everything = np.ones(papers, dtype=bool)
        alone = frame[labelled]
        for title, name, micro in FIGURES:
            target = truth_of(large, micro=micro)
            kinds = {
                "uncorrected": (measure([with_labels(frame)], name, everything, micro=micro), None),
                "labels alone": (measure([alone], name, np.ones(some, dtype=bool), micro=micro), None),
                "corrected": (measure([known], name, labelled, micro=micro), labelled),
            }
            for kind, (one, strata) in kinds.items():
                (ends,) = stats.intervals([one], labelled=strata)
                low, high = float(ends.low[0]), float(ends.high[0])
                found.setdefault(f"{title}|{kind}", []).append((float(low <= target <= high), high - low))
    return {name: np.array(values).mean(axis=0) for name, values in found.items()}


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose labels are what the matcher said: nothing is corrected."""
    columns = [str(name) for name in frame if str(name).startswith("label_")]
    return frame.assign(**{name: frame[name.removeprefix("label_")] for name in columns})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--papers", type=int, default=200)
    parser.add_argument("--labelled", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    error = 100 * 1.96 * (0.95 * 0.05 / chosen.worlds) ** 0.5
    print(f"{chosen.labelled} of {chosen.papers} papers labelled; coverage in %, +- {error:.1f} by simulation")
    print(f"{'matcher':9} {'figure':10} {'interval':13} {'coverage':>8} {'width':>7} {'of labels alone':>16}")
    for matcher in MATCHERS:
        found = run(matcher, chosen.worlds, chosen.papers, chosen.labelled, chosen.seed)
        for key, (coverage, width) in found.items():
            title, kind = key.split("|")
            share = width / found[f"{title}|labels alone"][1]
            print(f"{matcher.name:9} {title:10} {kind:13} {100 * coverage:8.1f} {width:7.3f} {share:16.2f}")


if __name__ == "__main__":
    main()
