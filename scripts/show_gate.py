"""What the gate says of changes whose truth is known: none, one match removed, and a fifth of all entries dropped.

    python scripts/show_gate.py --pred plans --gold references [--matcher lexical] [--cache DIR]

Plans are read once and changed in memory; every version is scored, compared with the first, and held to the rules.
Vectors and decisions are kept in the cache folder, so that what did not change is not worked out again.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import replace

from evalkit.cli.options import open_cache
from evalkit.comparison import SECONDARY_FIGURES, GateReport, Snapshot, compare, evaluate_gate, parse_gate, snapshot_of
from evalkit.report.comparison_text import gate_sentence, interval
from evalkit.report.values import p_value
from evalkit.scoring.load import read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.files import shipped
from evalkit.storage.runs import Run
from evalkit.types import Plan


def without_one_match(plans: Sequence[Plan], run: Run) -> tuple[list[Plan], str]:
    """The plans without the entry of the first full match, and what gold entry that was."""
    row = run.pairs[run.pairs["status"] == "match"].iloc[0]
    place = run.plans[(run.plans["planner"] == row["planner"]) & (run.plans["paper"] == row["paper"])].iloc[0]["path"]
    at = int(row["plan_entry"]) - 1
    changed = [
        replace(plan, ablations=plan.ablations[:at] + plan.ablations[at + 1 :]) if plan.path == place else plan
        for plan in plans
    ]
    return changed, f"{row['planner']}, {row['paper']}: {row['gold_name']}"


def thinned(plans: Sequence[Plan], share: float, seed: int) -> list[Plan]:
    """The plans with that share of their entries dropped at random."""
    luck = random.Random(seed)
    return [replace(plan, ablations=tuple(e for e in plan.ablations if luck.random() >= share)) for plan in plans]


def held(base: Snapshot, new: Snapshot, margin: float | None = None) -> GateReport:
    """The shipped rules, or the same with another margin."""
    text = shipped("configs/gate.toml").read_text(encoding="utf-8")
    rules = parse_gate(text, "gate.toml").with_margin(margin)
    return evaluate_gate(compare(base, new, figures=(*SECONDARY_FIGURES, *rules.metrics)), rules)


def tell(title: str, report: GateReport) -> None:
    """The verdict and each planner's difference."""
    print(f"\n{title}\n  {gate_sentence(report)}: exit {3 if report.tripped else 0}")
    for change in report.comparison.headline:
        tested = f"p {p_value(change.p)}, corrected {p_value(change.p_adjusted)}, {change.verdict}"
        print(f"  {change.planner}: {interval(change)}, {tested}")


def main() -> None:
    """Score, change, score again, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pred", required=True)
    parser.add_argument("--gold", required=True)
    parser.add_argument("--matcher", default="hybrid")
    parser.add_argument("--cache", help="folder of kept vectors and decisions; yours, if none is named")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    settings = Settings(matcher=wanted.matcher)
    plans, cache = read_plans(wanted.pred, settings).plans, open_cache(wanted.cache)
    start = time.perf_counter()
    run = score_run(plans, wanted.gold, settings, cache=cache)
    base = snapshot_of(run, "base")
    papers = base.papers["key"].nunique()
    print(f"{len(plans)} plans of {len(base.planners)} planners, {papers} gold papers, {len(base.gold)} gold entries; "
          f"scored in {time.perf_counter() - start:.1f} s")  # fmt: skip
    tell("the run against itself", held(base, base))
    changed, entry = without_one_match(plans, run)
    report = held(base, snapshot_of(score_run(changed, wanted.gold, settings, cache=cache), "new"))
    tell(f"without one match ({entry})", report)
    for row in report.comparison.entries.to_dict("records"):
        print(f"  {row['change']}: {row['planner']}, {row['paper']}: {row['gold_name']}")
    fewer = snapshot_of(score_run(thinned(plans, 0.2, wanted.seed), wanted.gold, settings, cache=cache), "new")
    tell("a fifth of all entries dropped, shipped rules", held(base, fewer))
    tell("a fifth of all entries dropped, margin 1", held(base, fewer, 1))


if __name__ == "__main__":
    main()
