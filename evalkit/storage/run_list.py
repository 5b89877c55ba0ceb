"""Many saved runs: find them, and read of each only what a list shows, its facts and one figure of its leaderboard."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.settings import shown
from evalkit.storage.files import error_reason, read_text, write_text
from evalkit.storage.provenance import TIME, checked_note, checked_tags
from evalkit.storage.runs import Signature, read_meta
from evalkit.storage.schema import LARGEST, is_line
from evalkit.text import readable

LARGEST_LIST = 10_000  # runs of one list


@dataclass(frozen=True, slots=True)
class Scored:
    """One planner's figure on a run's leaderboard; NaN where it is undefined or has no interval."""

    value: float
    low: float
    high: float
    papers: int


@dataclass(frozen=True, slots=True)
class RunHead:
    """What a list shows of a run. `time` is when it was made, as it says itself; else that of its run.json."""

    folder: Path
    name: str
    time: str
    says_time: bool
    signature: Signature
    settings: Mapping[str, Any]
    made: Mapping[str, Any]
    board: Mapping[str, Scored]

    @property
    def note(self) -> str:
        """The note about this run."""
        return str(self.made.get("note", ""))

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of this run."""
        return dict(self.made.get("tags", {}))

    @property
    def leader(self) -> str:
        """The planner with the highest figure, which stands first on the leaderboard among equals."""
        known = [name for name, scored in self.board.items() if scored.value == scored.value]
        return max(known or self.board, key=lambda name: self.board[name].value)


@dataclass(frozen=True, slots=True)
class RunList:
    """Runs in the order of their time, and the folders that could not be read with the reason."""

    runs: tuple[RunHead, ...]
    unread: tuple[tuple[str, str], ...]


def list_runs(places: Sequence[str | Path], figure: str) -> RunList:
    """Return the runs at or below these places, which may be patterns, in the order of their time."""
    folders = find_runs(places)
    names = _names(folders)
    runs, unread = [], []
    for folder in folders:
        try:
            head = read_head(folder, figure)
        except InputError as error:
            unread.append((readable(str(folder)), str(error)))
        else:
            runs.append(replace(head, name=names[folder]))
    return RunList(tuple(sorted(runs, key=lambda run: (run.time, run.name))), tuple(unread))


def find_runs(places: Sequence[str | Path]) -> list[Path]:
    """Return the run folders at or below places or patterns, each once; a place without any is refused."""
    found: dict[Path, Path] = {}
    for place in places:
        matched = [Path(place)] if Path(place).exists() else _matching(str(place))
        runs = [run for top in matched for run in _below(top)]
        if not runs:
            raise InputError(f"{place}: no run there (a folder with a run.json)")
        for run in runs:
            found.setdefault(run.resolve(), run)
        if len(found) > LARGEST_LIST:
            raise InputError(f"{place}: expected at most {LARGEST_LIST} runs, found more")
    return list(found.values())


def _matching(pattern: str) -> list[Path]:
    """Return the places that a pattern fits, sorted."""
    path = Path(pattern)
    try:
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except (ValueError, NotImplementedError, IndexError):  # an empty pattern, or ** within a name
        return []


def _below(top: Path) -> Iterator[Path]:
    """Yield the runs at or below a folder; nothing is looked for inside a run, in hidden folders or behind links."""
    for folder, names, files in os.walk(top):
        if "run.json" in files:
            names.clear()
            yield Path(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return a name for every run: of its folder, or where two are the same its path."""
    names = [folder.resolve().name for folder in folders]
    counts = Counter(names)
    return {
        folder: readable(name if counts[name] == 1 else folder.as_posix())
        for folder, name in zip(folders, names, strict=True)
    }


def read_head(folder: Path, figure: str) -> RunHead:
    """Return what a list shows of one run; a file that did not change is not read again."""
    states = []
    for name in ("run.json", "leaderboard.csv"):
        try:
            state = (folder / name).stat()
        except OSError as error:
            raise InputError(f"{folder / name}: {error_reason(error)}") from error
        states.append((state.st_mtime_ns, state.st_size))
    return _head(folder, figure, tuple(states))


@lru_cache(maxsize=LARGEST_LIST)
def _head(folder: Path, figure: str, states: tuple[tuple[int, int], ...]) -> RunHead:
    meta = read_meta(folder)
    signature, made = Signature(**meta["signature"]), meta.get("provenance", {})
    board = _board(folder / "leaderboard.csv", figure, str(signature))
    written = datetime.fromtimestamp(states[0][0] / 1e9, UTC).strftime(TIME)
    settings = {name: meta["settings"].get(name) for name in ("seed", "resamples", "correction")}
    kept = {name: value for name, value in made.items() if name != "prompts"}
    prompts = [{name: value for name, value in prompt.items() if name != "text"} for prompt in made.get("prompts", ())]
    return RunHead(
        folder, folder.name, made.get("time", written), "time" in made, signature, settings,
        kept | {"prompts": prompts}, board,
    )  # fmt: skip


def _board(path: Path, figure: str, signature: str) -> dict[str, Scored]:
    """Return one figure of every planner of a leaderboard, without pandas: two hundred of them are one page."""
    try:
        head, *rows = [*csv.reader(io.StringIO(read_text(path), newline=""))] or [[]]
    except csv.Error as error:
        raise InputError(f"{path}: not a table as evalkit writes it: {error}") from error
    names = ("planner", figure, f"{figure}_low", f"{figure}_high", "papers", "signature")
    places = [head.index(name) if name in head else -1 for name in names]
    if absent := [names[at] for at in (0, 1, 4, 5) if places[at] < 0]:
        raise InputError(f"{path}: expected a column {absent[0]!r}, found none; score again")
    board: dict[str, Scored] = {}
    for number, row in enumerate(rows, 1):
        planner, *cells, papers, signed = (row[place] if 0 <= place < len(row) else "" for place in places)
        planner = planner.removeprefix("'")
        if signed != signature or not planner or not is_line(planner) or planner in board:
            raise InputError(f"{path}: row {number}: expected a planner of this run, found {shown(planner)}")
        value, low, high = (_number(cell, 1, path) for cell in cells)
        board[planner] = Scored(value, low, high, int(_number(papers, LARGEST, path)))
    if not board:
        raise InputError(f"{path}: expected a planner, found none")
    return board


def _number(cell: str, most: float, path: Path) -> float:
    """Return the number in a cell, NaN in an empty one; refuse what is none within bounds."""
    try:
        value = float(cell) if cell or most > 1 else math.nan
    except ValueError:
        value = math.inf
    if abs(value) > most + 1e-9:
        raise InputError(f"{path}: expected a number up to {most:g}, found {shown(cell)}")
    return value


def chosen_runs(runs: Iterable[RunHead], tags: Sequence[str] = (), since: str = "") -> Iterator[RunHead]:
    """Yield the runs that have all of these tags (KEY, or KEY=VALUE) and were made at or after a time."""
    start = _start(since)
    wanted = [text.partition("=") for text in tags]
    for run in runs:
        has = (key in run.tags and (not sign or run.tags[key] == value) for key, sign, value in wanted)
        if run.time >= start and all(has):
            yield run


def _start(since: str) -> str:
    if not since:
        return ""
    try:
        time = datetime.fromisoformat(since)
    except ValueError as error:
        raise InputError(f"--since {since!r:.80}: expected a date as in 2026-01-31, or a time") from error
    return (time if time.tzinfo is None else time.astimezone(UTC)).strftime(TIME)


def annotate(folder: Path, note: str, tags: Mapping[str, str]) -> None:
    """Write another note and other tags into a run; its other facts, its tables and its place in time stay."""
    path = folder / "run.json"
    meta = read_meta(folder)
    state = path.stat()
    made = {name: value for name, value in meta.get("provenance", {}).items() if name not in ("note", "tags")}
    given = {"note": checked_note(note), "tags": checked_tags(tags)}
    meta["provenance"] = made | {name: value for name, value in given.items() if value}
    write_text(path, f"{json.dumps(meta, indent=1, ensure_ascii=False)}\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
