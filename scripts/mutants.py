"""Mutation testing with mutmut of the code that decides and scores: takes rooms, gives a table and what survived.

    .venv/bin/python scripts/mutants.py [scoring alignment ...] [--show]

Works in a copy (`mutants/`, ignored by git), in one process, with the tests that are named here. What survives and
why that is so is in docs/mutation.md. mutmut switches its mutants on when a test begins; a table that is built when its
room is imported is built again then.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "mutants"
# Room -> the tests that must notice.
ROOMS: dict[str, tuple[str, ...]] = {
    "metrics/counts": ("scoring", "figures"),
    "metrics/figures": ("figures", "scoring"),
    "matching/assign": ("alignment",),
    "metrics/set_overlap": ("overlap", "scoring"),
    "metrics/metric_names": ("metric_names", "overlap"),
    "scoring/pair": ("pairing",),
    "matching/calibration": ("matching",),
    "matching/explain": ("matching",),
    "stats/measures": ("statistics",),
    "stats/resampling": ("statistics",),
    "stats/permutation": ("statistics",),
    "stats/multiplicity": ("statistics",),
    "stats/ppi": ("statistics",),
    "stats/power": ("statistics",),
}
REBUILT = """

@pytest.fixture(autouse=True)
def rebuilt():
    from evalkit.metrics import figures

    table = figures._table()
    figures.FIGURES.clear()
    figures.FIGURES.update(table)
"""
CONFIG = """
[tool.mutmut]
source_paths = ["evalkit"]
only_mutate = ["evalkit/{room}.py"]
also_copy = ["evalkit", "configs", "references", "docs", "scripts", "tests", "README.md", "pyproject.toml"]
process_isolation = "forkserver"
forkserver_warmup = "collect"
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "-k", "not statsmodels"]
pytest_add_cli_args_test_selection = {tests}
"""


def copy(room: str, tests: tuple[str, ...]) -> Path:
    """The project without what git ignores, set up for one room."""
    place = PLACE / room.replace("/", "-")
    shutil.rmtree(place, ignore_errors=True)
    for name in ("evalkit", "configs", "references", "docs", "scripts", "tests", "README.md", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place / name)
    changed = place / f"evalkit/{room}.py"
    changed.write_text(undecorated(changed.read_text(encoding="utf-8")), encoding="utf-8")
    listed = [f"tests/test_{test}.py" for test in tests if (ROOT / f"tests/test_{test}.py").exists()]
    with (place / "pyproject.toml").open("a") as stream:
        stream.write(CONFIG.format(room=room, tests=listed))
    with (place / "tests" / "conftest.py").open("a") as stream:
        stream.write(REBUILT)
    return place


def undecorated(source: str) -> str:
    """The same program with its functions decorated a line later: mutmut leaves alone what stands under a decorator."""
    lines = source.splitlines(keepends=True)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.decorator_list]
    for node in sorted(found, key=lambda node: node.lineno, reverse=True):
        made = node.name
        for decorator in reversed(node.decorator_list):
            made = f"{ast.unparse(decorator)}({made})"
        assert node.end_lineno is not None
        lines.insert(node.end_lineno, f"{' ' * node.col_offset}{node.name} = {made}\n")
        del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "".join(lines)


def mutmut(place: Path, *words: str) -> str:
    """What one of mutmut's commands says."""
    program = Path(sys.executable).with_name("mutmut")
    done = subprocess.run([program, *words], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def main() -> int:
    options = argparse.ArgumentParser(description="Mutation testing, room by room.")
    options.add_argument("rooms", nargs="*", choices=[*ROOMS, []], default=list(ROOMS))
    options.add_argument("--show", action="store_true", help="print the change of every mutant that survived")
    chosen = options.parse_args()
    print(f"{'room':<24} {'mutants':>7} {'noticed':>7} {'survived':>8} {'untested':>8}")
    for room in chosen.rooms:
        place = copy(room, ROOMS[room])
        answer = mutmut(place, "run", "--max-children", "1")
        results = mutmut(place, "results")
        left = re.findall(r"^\s*(\S+): (survived|no tests|timeout|suspicious)", results, re.MULTILINE)
        totals = re.findall(r"(\d+)/(\d+)", answer)
        if not totals:
            print(f"{room}: mutmut says:\n{answer[-2000:]}")
            return 1
        count = int(totals[-1][1])
        survived = [name for name, state in left if state == "survived"]
        untested = [name for name, state in left if state == "no tests"]
        noticed = count - len(survived) - len(untested)
        print(f"{room:<24} {count:>7} {noticed:>7} {len(survived):>8} {len(untested):>8}", flush=True)
        for name in (*survived, *untested):
            print(f"    {name}")
            if chosen.show:
                print(mutmut(place, "show", name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
