"""Score a base's plans again, on the gold and with the settings of a new run, so that the two can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.comparison.snapshot import Snapshot, snapshot_of
from evalkit.errors import InputError
from evalkit.scoring.gold_facts import with_facts
from evalkit.scoring.load import Source
from evalkit.scoring.pipeline import score_run
from evalkit.scoring.rows import row_entries
from evalkit.settings import gold_digest, recorded_settings
from evalkit.storage.runs import Run, content_hash
from evalkit.types import Plan

OPTION = "--rescore-base PLANS"


def rescored_base(base: Snapshot, new: Run, new_name: str, plans: Source, **work: Any) -> tuple[Snapshot, list[str]]:
    """Return the base's plans as scored on the new run's gold with its settings, and what makes that doubtful.

    `plans` are what `base` was scored from; `work` are arguments of `score_run`. A run decided by judges is refused,
    for they were not asked about the base's plans.
    """
    pins = new.signature
    if pins.matcher == "judgements" or pins.judge != "none":
        raise InputError(
            f"{new_name} was decided by judges, who know nothing of the base's plans; {OPTION} asks nobody"
        )
    gold = _gold_of(new)
    if content_hash((None, plan.paper, "", gold_digest(plan)) for plan in gold) != pins.gold:
        raise InputError(
            f"{new_name}: its tables do not hold all of its gold (--missing skip leaves papers out); score the base's "
            "plans on it with `evalkit score`, and give that run as BASE"
        )
    run = score_run(plans, gold, recorded_settings(new.meta["settings"], f"{new_name}/run.json"), **work)
    rescored = snapshot_of(run, f"{base.name}, scored again")
    doubts = []
    if run.signature.plans != base.signature.plans:
        doubts.append(
            f"{_named(plans)}: not what {base.name} was scored from, or gold's papers, planners' names or --top-k "
            "changed; see that these are the base's plans"
        )
    return rescored, doubts


def _gold_of(run: Run) -> list[Plan]:
    """Return the gold lists of a run as its pairs hold them."""
    plans = (Plan(str(paper), None, row_entries(rows, "gold")) for paper, rows in run.pairs.groupby("paper", sort=True))
    return [with_facts(plan, run.meta.get("gold", {})) for plan in plans]


def _named(plans: Source) -> str:
    return str(plans) if isinstance(plans, str | Path) else "the plans given"
