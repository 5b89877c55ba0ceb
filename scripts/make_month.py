"""Make a month of prompts with known differences, score it, and check that history finds what is there.

    .venv/bin/python scripts/make_month.py month                    # 40 prompts on the gold that ships
    .venv/bin/python scripts/make_month.py month --trajectories ../shared/data   # among entries of published plans

Each prompt finds each gold entry by its own chance: an entry has a difficulty, a prompt a strength, and a little luck
decides the rest. The strengths are STEPS below, so that what history should say is known: where the prompts became
better, where worse, where nothing changed. Beside what is found, a plan holds entries that are not in gold: of other
papers' gold, or of the plans that somebody published. One gold entry is lost for good at LOST. One run is scored on
fewer papers, and one with other settings: they may not be compared with the others.

`month/runs` holds the runs, `month/truth.json` what is true, and the script prints both beside each other.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from evalkit import Plan, Settings, read_plans
from evalkit.comparison.entry_history import entry_histories
from evalkit.comparison.history import history
from evalkit.scoring.pipeline import score_run
from evalkit.storage.cache import Store
from evalkit.storage.files import write_text
from evalkit.storage.provenance import TIME
from evalkit.storage.run_list import list_runs
from evalkit.types import entry_tree

ROOT = Path(__file__).resolve().parent.parent
# (share of the month at which it begins, strength of the prompts from then on)
STEPS = ((0.0, 0.40), (0.3, 0.62), (0.6, 0.45), (0.7, 0.80))
LOST = 0.5
PLANNERS = {"lm/large": 0.0, "lm/small": -0.15}
LUCK = 0.06  # of a prompt and an entry, as a standard deviation
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
OTHERS = 2  # entries of a plan that are not in gold


def strengths(prompts: int) -> list[float]:
    """Return the strength of each prompt."""
    return [[strength for begin, strength in STEPS if number >= round(begin * prompts)][-1]
            for number in range(prompts)]  # fmt: skip


def gold_lists(folder: Path) -> list[Plan]:
    """Return the gold lists that are made plans of: those with three entries or more, by paper."""
    lists = [plan for plan in read_plans(folder, gold=True).plans if len(plan.ablations) > 2]
    return sorted(lists, key=lambda plan: plan.paper)


def distractors(lists: Sequence[Plan], published: Path | None) -> dict[str, list[Any]]:
    """Return for each paper entries that are not in its gold: of the next paper's gold, or of published plans."""
    own = {plan.paper: list(lists[number - 1].ablations) for number, plan in enumerate(lists)}
    if published is None:
        return own
    plans = read_plans(published).plans
    for paper in own:
        found = [entry for plan in plans if plan.paper.lower() == paper.lower() for entry in plan.ablations]
        own[paper] = found or own[paper]
    return own


def make_plans(folder: Path, lists: Sequence[Plan], others: Mapping[str, list[Any]], number: int, **truth: Any) -> None:
    """Write the plans of one prompt, a file a planner and paper."""
    for planner, bonus in PLANNERS.items():
        for plan in lists:
            # What does not depend on the prompt is drawn from the paper's name, so that runs are paired.
            own = np.random.default_rng([truth["seed"], *plan.paper.encode()])
            difficulty = own.random(len(plan.ablations))
            luck = np.random.default_rng([truth["seed"], number, *planner.encode(), *plan.paper.encode()])
            found = difficulty + luck.normal(0, LUCK, len(difficulty)) < truth["strength"] + bonus
            if plan.paper == truth["lost"][0]:
                found[truth["lost"][1]] = number < truth["lost_at"]
            entries = [entry for entry, is_found in zip(plan.ablations, found, strict=True) if is_found]
            chosen = luck.permutation(len(others[plan.paper]))[:OTHERS]
            entries += [others[plan.paper][at] for at in chosen]
            text = json.dumps([entry_tree(entry) for entry in entries], indent=1)
            write_text(folder / planner / f"{plan.paper}.json", text)


def make_month(folder: Path, prompts: int, seed: int, published: Path | None) -> dict[str, Any]:
    """Write gold, plans and runs of a month below a folder; return what is true of it."""
    lists = gold_lists(ROOT / "references" if published is None else published / "gold")
    others = distractors(lists, None if published is None else published / "trajectories")
    for plan in lists:
        tree = {"paper": plan.paper, "ablations": [entry_tree(entry) for entry in plan.ablations]}
        write_text(folder / "gold" / f"{plan.paper}.json", json.dumps(tree, indent=1))
    shutil.copytree(folder / "gold", folder / "fewer-gold")
    (folder / "fewer-gold" / f"{lists[0].paper}.json").unlink()
    levels, lost_at = strengths(prompts), round(LOST * prompts)
    truth = {"seed": seed, "lost": [lists[1].paper, 0], "lost_at": lost_at, "strengths": levels, "prompts": prompts}
    with closing(Store(folder / "cache.sqlite")) as store:
        for number, strength in enumerate(levels):
            plans = folder / "plans" / f"prompt-{number:02}"
            make_plans(plans, lists, others, number, **(truth | {"strength": strength}))
            score_prompt(folder, number, store, prompts)
        score_prompt(folder, prompts - 1, store, prompts, name="fewer-papers", gold="fewer-gold")
        score_prompt(folder, prompts - 1, store, prompts, name="other-settings", alignment="group")
    write_text(folder / "truth.json", json.dumps(truth, indent=1))
    return truth


def score_prompt(folder: Path, number: int, store: Store, prompts: int, *, name: str = "", gold: str = "gold",
                 alignment: str = "one-to-one") -> None:  # fmt: skip
    """Score the plans of one prompt into a run that says when it was made, and of which prompt."""
    made = {
        "time": (BEGIN + timedelta(days=28) * number / prompts + timedelta(minutes=len(name))).strftime(TIME),
        "note": name.replace("-", " ") or f"prompt {number}",
        "tags": {"prompt": f"v{number:02}", "style": "long" if number % 3 else "short"},
    }
    score_run(
        str(folder / "plans" / f"prompt-{number:02}"), str(folder / gold),
        Settings(matcher="lexical", resamples=1999, alignment=alignment), cache=store, made=made,
        out=folder / "runs" / (name or f"prompt-{number:02}"),
    )  # fmt: skip


def findings(folder: Path, truth: Mapping[str, Any], planner: str = "lm/large") -> dict[str, tuple[Any, Any]]:
    """Return question -> (what is true, what history says)."""
    result = history(list_runs([folder / "runs"], "match_f1").runs, planner=planner)
    main, *apart = result.groups
    levels = truth["strengths"]
    changes = [(number, line.previous) for number, line in enumerate(main.lines) if line.previous]
    verdicts = {number: change.verdict for number, change in changes if change.verdict in ("better", "worse")}
    steps = {number: "better" if levels[number] > levels[number - 1] else "worse"
             for number in range(1, len(levels)) if levels[number] != levels[number - 1]}  # fmt: skip
    top = [number for number, level in enumerate(levels) if level == max(levels)]
    lost = next(entry for entry in entry_histories(main) if [entry.paper, entry.number - 1] == truth["lost"])
    return {
        "runs that may be compared": (len(levels), len(main.lines)),
        "runs apart": (2, sum(len(group.lines) for group in apart)),
        "steps, by the corrected test against the run before": (steps, verdicts),
        "steps, by p < 0.05 without correction": (list(steps), [n for n, change in changes if (change.p or 1) < 0.05]),
        "runs that are better than the best before them": (
            [number for number in steps if levels[number] > max(levels[:number])],
            [number for number, line in enumerate(main.lines) if line.best and line.best.verdict == "better"],
        ),
        "the best run is one of": (top, main.lines.index(main.best) if main.best else None),
        "probability that one of these is best": (
            1, round(sum(main.lines[number].best_probability or 0.0 for number in top), 3)
        ),
        "the entry that is lost for good": (truth["lost_at"], lost.turns(to=False)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trajectories", type=Path, help="a folder with `gold` and `trajectories`")
    options = parser.parse_args()
    if options.folder.exists():
        sys.exit(f"{options.folder} exists already")
    start = time.perf_counter()
    truth = make_month(options.folder, options.prompts, options.seed, options.trajectories)
    print(f"{options.prompts} prompts made and scored in {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    rows = findings(options.folder, truth)
    print(f"history and entries read in {time.perf_counter() - start:.1f} s\n")
    for question, (true, said) in rows.items():
        print(f"{question}: {true}\n  found: {said}")
    write_text(options.folder / "found.json", json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
