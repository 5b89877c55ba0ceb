"""Takes runs and readings, gives the one JSON document that `--json` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from evalkit.scoring.load import Reading
from evalkit.storage.runs import SCHEMA_VERSION, Run


def dump(content: Mapping[str, Any]) -> str:
    """JSON with its schema version first; undefined numbers are null."""
    return json.dumps({"schema_version": SCHEMA_VERSION} | _plain(content), indent=1, ensure_ascii=False)


def run(found: Run) -> str:
    """A run's facts, leaderboard and errors; papers and pairs stay in the run folder."""
    errors = found.diagnostics[found.diagnostics["severity"] == "error"]
    return dump({**found.meta, "leaderboard": records(found.leaderboard), "errors": records(errors)})


def readings(found: Sequence[Reading]) -> str:
    """What was read and every diagnostic."""
    plans = [plan for reading in found for plan in reading.plans]
    return dump(
        {
            "plans": len(plans),
            "entries": sum(len(plan.ablations) for plan in plans),
            "errors": sum(reading.errors for reading in found),
            "diagnostics": [asdict(item) for reading in found for item in reading.diagnostics],
        }
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows; missing cells are None."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """A value that JSON can hold: numpy's numbers become Python's, NaN and NA become None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value
