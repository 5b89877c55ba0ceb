"""An earlier run as a judge: takes its pairs.csv or pairs.parquet, gives its decisions as marks by place."""

from __future__ import annotations

import math
from pathlib import Path

from evalkit.errors import InputError
from evalkit.judges.recorded.sheets import Judge, Mark, Ref, Sheet


def from_pairs(path: Path) -> Judge:
    """The alignment of an earlier run, as its pairs.csv or pairs.parquet tells it."""
    from evalkit.storage.files import read_bytes, read_text
    from evalkit.storage.frames import from_csv, from_parquet

    parquet = path.suffix.lower() == ".parquet"
    frame = from_parquet(read_bytes(path), str(path)) if parquet else from_csv(read_text(path), str(path))
    needed = {"planner", "paper", "status", "gold_entry", "plan_entry", "gold_name", "plan_name"}
    if missing := needed - set(frame.columns):
        raise InputError(f"{path}: not the pairs table of a run; there is no column {', '.join(sorted(missing))}")
    if "sample" not in frame:
        frame["sample"] = None
    frame = frame.astype(object).where(frame.notna(), None)
    marks: dict[tuple[str, str, str], list[Mark]] = {}
    for row in frame.to_dict("records"):
        planner, paper, sample = (str(row[name] or "") for name in ("planner", "paper", "sample"))
        of_plan = marks.setdefault((planner, paper, sample), [])
        if row["status"] in ("match", "part"):
            gold, plan = (Ref(str(row[f"{side}_name"] or ""), _at(row[f"{side}_entry"])) for side in ("gold", "plan"))
            of_plan.append(Mark(gold, plan, row["status"] == "match"))
    sheets = (
        Sheet(paper, planner, str(path), marks=tuple(found), sample=sample)
        for (planner, paper, sample), found in marks.items()
    )
    return Judge(path.resolve().parent.name, tuple(sheets), {})


def _at(cell: object) -> int | None:
    """A place counted from 0, from a cell that counts from 1; None where there is no such number."""
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return int(number) - 1 if math.isfinite(number) and 1 <= number < 1e9 else None
