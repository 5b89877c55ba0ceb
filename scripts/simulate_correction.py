"""Does the corrected interval cover, and is it worth its labels? Prints coverage and width.

Draws worlds of papers of one planner, labels some at random, and asks how often the 95% interval of the corrected match
F1 (macro and micro) holds the F1 that labels of very many papers would give, and how wide it is beside the interval
from the labelled papers alone. The uncorrected interval stands beside it, and the correction by decisions, without the
matcher's probabilities. Papers are made up (a lenient, a strict and a good matcher, whose probabilities say no more
than their decisions), or with LABELS drawn from labelled plans, each judged by a matcher that saw no pair of its
paper.

    python scripts/simulate_correction.py [LABELS ...] [--worlds 1000] [--papers 200] [--labelled 10 30]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.cli.options import workplace
from evalkit.labels import fitting
from evalkit.labels.evaluate import matched_pairs
from evalkit.matching import features
from evalkit.matching.assign import expected_matches
from evalkit.scoring.correction import CORRECTED, HITS, measure
from evalkit.scoring.matcher import encoder_for
from evalkit.settings import Settings
from evalkit.storage.label_files import read_labels

World = Callable[[np.random.Generator, int], pd.DataFrame]
FIGURES = (("macro F1", "match_f1", False), ("micro F1", "match_f1", True))


@dataclass(frozen=True)
class Matcher:
    """How often a true match is found, and how often an entry without one is given one."""

    name: str
    found: float
    invented: float


MATCHERS = (Matcher("lenient", 0.97, 0.30), Matcher("strict", 0.60, 0.01), Matcher("good", 0.88, 0.05))


def made_up(matcher: Matcher) -> World:
    """Papers of one planner: entries, true hits, the matcher's hits. What is easy for a planner is easy to match."""

    def world(rng: np.random.Generator, papers: int) -> pd.DataFrame:
        gold, plan = rng.integers(2, 9, size=papers), rng.integers(3, 7, size=papers)
        skill = rng.beta(2, 3, size=papers)
        most = np.minimum(gold, plan)
        truth = rng.binomial(most, skill)
        ease = np.clip(rng.normal(1, 0.1, size=papers), 0.7, 1.2)
        kept = rng.binomial(truth, np.clip(matcher.found * ease, 0, 1))
        auto = kept + rng.binomial(most - truth, np.clip(matcher.invented / ease, 0, 1))
        return with_ratios(gold, plan, auto, auto, truth)

    return world


def with_ratios(gold: object, plan: object, auto: object, expected: object, truth: object) -> pd.DataFrame:
    """Return rows of papers.csv with these entries and hits, and with every ratio that can be corrected."""
    frame = pd.DataFrame(
        {"gold_entries": gold, "plan_entries": plan, "auto": auto, "expected": expected, "true": truth}
    )
    for name in HITS:
        frame[name], frame[f"label_{name}"] = frame["auto"], frame["true"]
    frame["match_gold_expected"] = frame["match_plan_expected"] = frame["expected"]
    size = {"recall": frame["gold_entries"], "precision": frame["plan_entries"]}
    for name in CORRECTED:
        over = size.get(name.split("_")[1], (frame["gold_entries"] + frame["plan_entries"]) / 2)
        frame[name], frame[f"label_{name}"] = frame["auto"] / over, frame["true"] / over
    return frame.astype(float)


def labelled_worlds(paths: Sequence[str]) -> dict[str, World]:
    """Return each planner's labelled plans to draw from, with what a matcher says that saw no pair of the paper."""
    rows = [row for row in read_labels(paths) if row.gold and row.plan]
    texts = sorted({text for row in rows for text in features.needs(row.gold, row.plan)})
    with workplace({}, None) as place, encoder_for(Settings(), place["cache"]) as encoder:
        assert encoder is not None
        pairs = fitting.table_of(rows, "hybrid", encoder.encode(texts))
    counts: dict[str, list[tuple[float, ...]]] = {}
    for one in fitting.predictions(rows, pairs, *fitting.held_out(pairs)):
        hits = (len(matched_pairs(one, labels=labels)) for labels in (False, True))
        sizes = len(one.row.gold), len(one.row.plan)
        counts.setdefault(one.row.planner, []).append((*sizes, *hits, expected_matches(one.match, "one-to-one")[0]))

    def drawn_from(known: NDArray[np.float64]) -> World:
        gold, plan, auto, truth, expected = known.T
        frame = with_ratios(gold, plan, auto, expected, truth)
        return lambda rng, papers: frame.iloc[rng.integers(len(frame), size=papers)].reset_index(drop=True)

    return {planner: drawn_from(np.array(known, dtype=np.float64)) for planner, known in sorted(counts.items())}


def hidden(frame: pd.DataFrame, labelled: NDArray[np.bool_]) -> pd.DataFrame:
    """The frame without the labels of papers that are not labelled."""
    columns = [name for name in frame if str(name).startswith("label_")]
    return frame.assign(**{str(name): frame[name].where(labelled) for name in columns})


def truth_of(frame: pd.DataFrame, *, micro: bool) -> float:
    """F1 by the labels of all papers."""
    if not micro:
        return float(frame["label_match_f1"].mean())
    return float(2 * frame["label_match_gold"].sum() / (frame["gold_entries"] + frame["plan_entries"]).sum())


def run(world: World, worlds: int, papers: int, some: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Per figure and kind of interval, whether it covers the truth and how wide it is, averaged over worlds."""
    rng = np.random.default_rng(seed)
    large = world(np.random.default_rng(seed + 1), 400_000)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(worlds):
        frame = world(rng, papers)
        labelled = np.zeros(papers, dtype=bool)
        labelled[rng.choice(papers, size=some, replace=False)] = True
        known = hidden(frame, labelled)
        decided = known.drop(columns=["match_gold_expected", "match_plan_expected"])
        everything = np.ones(papers, dtype=bool)
        for title, name, micro in FIGURES:
            target = truth_of(large, micro=micro)
            alone = measure([frame[labelled]], name, np.ones(some, dtype=bool), micro=micro)
            kinds = {
                "uncorrected": (measure([with_labels(frame)], name, everything, micro=micro), None),
                "labels alone": (alone, None),
                "by decisions": (measure([decided], name, labelled, micro=micro), labelled),
                "corrected": (measure([known], name, labelled, micro=micro), labelled),
            }
            for kind, (one, strata) in kinds.items():
                (ends,) = stats.intervals([one], labelled=strata)
                low, high = float(ends.low[0]), float(ends.high[0])
                found.setdefault(f"{title}|{kind}", []).append((float(low <= target <= high), high - low))
    return {name: np.nanmean(np.array(values), axis=0) for name, values in found.items()}


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose labels are what the matcher decided: nothing is corrected."""
    decided = frame.drop(columns=["match_gold_expected", "match_plan_expected"])
    for name in [*HITS, *CORRECTED]:
        decided[f"label_{name}"] = decided[name]
    return decided


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*")
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--papers", type=int, default=200)
    parser.add_argument("--labelled", type=int, nargs="+", default=[30])
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    error = 100 * 1.96 * (0.95 * 0.05 / chosen.worlds) ** 0.5
    worlds = labelled_worlds(chosen.labels) if chosen.labels else {one.name: made_up(one) for one in MATCHERS}
    print(f"{chosen.papers} papers; coverage in %, +- {error:.1f} by simulation")
    print(
        f"{'labelled':>8} {'papers of':32} {'figure':10} {'interval':13} {'coverage':>8} {'width':>7} {'of alone':>8}"
    )
    for some in chosen.labelled:
        for name, world in worlds.items():
            found = run(world, chosen.worlds, chosen.papers, some, chosen.seed)
            for key, (coverage, width) in found.items():
                title, kind = key.split("|")
                share = width / found[f"{title}|labels alone"][1]
                print(f"{some:8} {name:32} {title:10} {kind:13} {100 * coverage:8.1f} {width:7.3f} {share:8.2f}")


if __name__ == "__main__":
    main()
