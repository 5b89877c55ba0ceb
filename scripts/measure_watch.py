"""Measure how long `evalkit watch` takes from saving a plan to the new line, beside a full run of `evalkit score`.

.venv/bin/python scripts/measure_watch.py [PLANS SAVES]      # 1400 plans of 280 papers by 5 planners, 10 saves
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_corpus

EVALKIT = (sys.executable, "-m", "evalkit")
PLANNERS = 5


def full_run(folder: Path, out: str) -> float:
    """Return the seconds of one `evalkit score`, from start to end of its process."""
    began = time.perf_counter()
    command = [*EVALKIT, "score", "--pred", "plans", "--gold", "gold", "--out", out, "--cache", "cache"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def saves(folder: Path, count: int) -> list[float]:
    """Return the seconds from each save of a plan to the line that says what it moved."""
    command = [*EVALKIT, "watch", "plans", "--gold", "gold", "--cache", "cache"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seconds = []
    try:
        while "match F1" not in process.stdout.readline():
            pass
        for path in sorted((folder / "plans").rglob("*.md"))[:count]:
            time.sleep(2)  # a person saves no faster
            head, plan, entries = path.read_text(encoding="utf-8").partition("## Ablation Plan\n\n")
            shorter = "###".join(entries.split("###")[:-1])  # without the last entry
            began = time.perf_counter()
            path.write_text(head + plan + shorter, encoding="utf-8")
            while path.name not in process.stdout.readline():
                pass
            seconds.append(time.perf_counter() - began)
    finally:
        process.kill()
    return seconds


def main() -> None:
    """Print the seconds of a full run, new and cached, and of saves."""
    plans, count = (int(word) for word in (sys.argv[1:] or (1400, 10)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bench_corpus.write(folder, papers=plans // PLANNERS, plans=plans)
        print(f"{plans} plans; full run, all new: {full_run(folder, 'first'):.2f} s")
        print(f"full run, nothing changed: {full_run(folder, 'second'):.2f} s")
        taken = saves(folder, count)
        print(f"watch, save to line: median {statistics.median(taken):.2f} s, most {max(taken):.2f} s, {count} saves")


if __name__ == "__main__":
    main()
