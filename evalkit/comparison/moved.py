"""What moved between two runs of the same plans, a save apart: no tests, and what could no longer be read."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from evalkit.comparison.changes import entry_changes, new_failures, paper_changes
from evalkit.comparison.comparable import shared_papers
from evalkit.comparison.snapshot import Snapshot
from evalkit.storage.runs import Run

# What a file looks like that was read while it was being saved; a plan that is gone was taken away on purpose.
FAILED_READS = ("unreadable", "empty", "entries-left-out")


@dataclass(frozen=True, slots=True)
class Moved:
    """What moved since the last good run.

    `planners`: planner, base and new match F1, undefined where only one run has the planner; those that moved come
    first. `entries`: gold entries gained or lost, as a comparison has them. `failures`: plans that were read before.
    """

    planners: pd.DataFrame
    entries: pd.DataFrame
    failures: pd.DataFrame

    @property
    def failed(self) -> bool:
        """Tell whether a plan that could be read before cannot be now."""
        return bool(self.failures["kind"].isin(FAILED_READS).any())


def moved(base: Run, new: Run, before: Snapshot, after: Snapshot) -> Moved:
    """Return what moved between two runs, which are given with their snapshots."""
    known = set(after.planners)
    pairs = [(name, name) for name in before.planners if name in known]
    shared = {pair: shared_papers(before, after, pair) for pair in pairs}
    values = [run.leaderboard.set_index("planner")["match_f1"] for run in (base, new)]
    planners = pd.DataFrame(dict(zip(("base", "new"), values, strict=True)))
    planners = planners.assign(difference=planners["new"] - planners["base"]).rename_axis("planner").reset_index()
    order = planners.assign(same=planners["difference"] == 0).sort_values(["same", "planner"], ignore_index=True)
    papers = paper_changes(shared, lambda rows: rows["match_f1"]) if shared else pd.DataFrame()
    entries = entry_changes(before, after, pairs, papers) if shared else pd.DataFrame(columns=["change"])
    return Moved(order.drop(columns="same"), entries, new_failures(before, after, pairs))
