"""Find the labels that ship for published plans on the references that ship, by what both say."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from evalkit.scoring.pair import Work
from evalkit.storage.files import read_text, shipped
from evalkit.storage.label_files import LabelledPlan, Labels

DIGITS = 16  # of the hashes of gold and plan in the file
SAMPLING = "papers: all"


def reference_labels(work: Work) -> Labels | None:
    """Return labels of all this work; None unless every plan with entries is labelled on just this gold."""
    digests = work.digests()
    known = _shipped()
    verdicts = [known.get((gold[:DIGITS], plan[:DIGITS])) for gold, plan in digests]
    if not any(verdicts) or any(row is None for row, (_, plan) in zip(verdicts, digests, strict=True) if plan):
        return None
    return Labels(
        LabelledPlan(
            gold.paper, plan.planner or "", gold.ablations, plan.ablations,
            match=_pairs(row["match"]), same_part=_pairs(row["same_part"]), sample=plan.sample, sampling=SAMPLING,
        )
        for (gold, plan), row in zip(work.plans(), verdicts, strict=True)
        if row is not None
    )  # fmt: skip


def _pairs(places: list[list[int]]) -> frozenset[tuple[int, int]]:
    return frozenset((gold, plan) for gold, plan in places)


@cache
def _shipped() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows that ship, by the hashes of gold and plan."""
    lines = read_text(shipped("configs/labels/references.jsonl")).splitlines()
    rows = [json.loads(line) for line in lines]
    return {(row["gold"], row["plan"]): row for row in rows}
