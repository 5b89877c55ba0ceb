"""Writes the labels of published plans on the references that ship: indices and content hashes, no text of a plan.

    python scripts/reference_labels.py LABELS PLANS > configs/labels/references.jsonl

LABELS is a file of labelled plans (rows of the task "reference"), PLANS the folder of the plans that they are about.
"""

from __future__ import annotations

import json
import sys

from evalkit import Plan, read_plans
from evalkit.scoring.load import load_gold
from evalkit.settings import Settings, content_digest
from evalkit.storage.files import shipped
from evalkit.storage.label_files import Labels, read_labels
from evalkit.text import normalise_id


def main() -> None:
    """Print a row for each plan whose entries, and whose gold's entries, are the labelled ones."""
    labels_file, plans_folder = sys.argv[1:]
    gold, _ = load_gold(str(shipped("references")), Settings(), None)
    rows = [row for row in read_labels([labels_file]) if row.task == "reference"]
    by_paper: dict[str, list[Plan]] = {}
    for plan in read_plans(plans_folder).plans:
        by_paper.setdefault(normalise_id(plan.paper), []).append(plan)
    for row in rows:
        reference = gold.get(normalise_id(row.paper))
        if reference is None:
            continue
        for plan in by_paper.get(normalise_id(row.paper), ()):
            tables = Labels([row]).tables(reference, Plan(row.paper, row.planner, plan.ablations))
            if tables is not None and plan.ablations and len(plan.ablations) == len(row.plan):
                part, match = tables
                pairs = {"match": match, "same_part": part}
                places = {
                    name: [[int(g), int(p)] for g, p in zip(*table.nonzero(), strict=True)]
                    for name, table in pairs.items()
                }
                digests = {"gold": content_digest(reference.ablations), "plan": content_digest(plan.ablations)}
                print(json.dumps({"paper": reference.paper, **{k: v[:16] for k, v in digests.items()}, **places}))


if __name__ == "__main__":
    main()
