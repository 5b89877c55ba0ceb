"""What gaming the score gains on real plans, as `scripts/attacks.py` prints it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
from conftest import SHARED, requires_shared_data

ROOT = Path(__file__).parent.parent


@requires_shared_data
@pytest.mark.slow
def test_nothing_is_gained_by_leaving_out_and_little_by_hedging() -> None:
    words = [str(SHARED / "data" / "trajectories"), str(SHARED / "data" / "gold"), "--json"]
    message = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "attacks.py"), *words], capture_output=True, text=True, check=True
    )
    rows = json.loads(message.stdout)
    for row in rows:
        gains = row["match_f1"].values()
        if row["kind"] == "deletion":
            # A name is evidence, and now and then one that misled is better gone; nothing else may ever rise.
            assert (mean(gains) if row["attack"] == "no name" else row["largest"]) <= 1e-9, row
            assert row["rose_of_100"] <= 2, row
        elif row["kind"] == "hedge":
            assert mean(gains) <= 0.01, row
            assert row["reward"] <= 0.01, row
        else:
            assert row["largest"] <= 0.01, row
    assert {row["kind"] for row in rows} == {"deletion", "hedge", "other"}
