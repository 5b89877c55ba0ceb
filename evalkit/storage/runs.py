"""A Run, in memory and on disk: frames and the facts about how they came to be, in a folder that is written whole."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.errors import InputError
from evalkit.storage.csv import TEXTS, TableFormat, from_csv, to_csv
from evalkit.storage.files import read_bytes, read_text
from evalkit.storage.folders import Building, building
from evalkit.storage.parquet import ParquetFile, content, from_parquet
from evalkit.storage.signature import Signature
from evalkit.text import normalise_id

SCHEMA_VERSION = 1
TABLES = ("leaderboard", "papers", "pairs", "plans", "diagnostics")
LONG = ("papers", "pairs", "plans")
# Columns that every reader of a table counts on.
KEYS = {
    "leaderboard": ("planner", "match_f1", "signature"),
    "papers": ("planner", "paper", "status", "samples", "signature"),
    "pairs": ("planner", "paper", "sample", "status", "gold_entry", "plan_entry", "borderline", "decided_by",
              *(name for name in TEXTS if name.startswith(("gold_", "plan_"))), "signature"),
    "plans": ("planner", "paper", "sample", "status", "path", "trace", "signature"),
    "diagnostics": ("severity", "code", "path", "line", "message", "signature"),
}  # fmt: skip


class Run:
    """What a scoring gave: five frames, and `meta` as it stands in run.json.

    A run that was written to `folder` as it came has no pairs and plans in memory: they are read when asked for.
    """

    def __init__(
        self, leaderboard: pd.DataFrame, papers: pd.DataFrame, pairs: pd.DataFrame | None, plans: pd.DataFrame | None,
        diagnostics: pd.DataFrame, meta: Mapping[str, Any], folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.leaderboard, self.papers, self.diagnostics = leaderboard, papers, diagnostics
        self.meta, self.folder = meta, folder
        self._pairs, self._plans = pairs, plans

    @property
    def pairs(self) -> pd.DataFrame:
        """Every aligned pair, missed and spurious entry, and other pair worth a look, with the evidence."""
        if self._pairs is None:
            self._pairs = self._written_table("pairs")
        return self._pairs

    @property
    def plans(self) -> pd.DataFrame:
        """Every plan, missing ones too: where it came from and how it was read."""
        if self._plans is None:
            self._plans = self._written_table("plans")
        return self._plans

    def _written_table(self, name: str) -> pd.DataFrame:
        if self.folder is None:
            raise ValueError(f"a run in memory needs its {name}")
        return _table(self.folder, name)

    def replace(self, **changes: Any) -> Run:
        """Return the same run with other frames or facts; nothing is read for it."""
        values = {name: getattr(self, name) for name in ("leaderboard", "papers", "diagnostics", "meta", "folder")}
        return Run(**{**values, "pairs": self._pairs, "plans": self._plans, **changes})

    @property
    def signature(self) -> Signature:
        """What pins this run's numbers."""
        return Signature(**self.meta["signature"])

    def plans_of(self, paper: str, planner: str | None = None) -> list[tuple[str, str]]:
        """The (paper, planner) keys of one paper, whichever way its id is written; unknown names are refused."""
        known = {normalise_id(name): name for name in self.papers["paper"].unique()}
        if (name := known.get(normalise_id(paper))) is None:
            raise InputError(f"no paper {paper!r} in this run{_nearest(paper, known.values())}")
        planners = self.papers.loc[self.papers["paper"] == name, "planner"].unique().tolist()
        if planner is not None and planner not in planners:
            raise InputError(f"no planner {planner!r} for {name!r} in this run{_nearest(planner, planners)}")
        return [(name, found) for found in planners if planner in (None, found)]

    def save(self, folder: str | Path, *, force: bool = False, form: str = "csv") -> Path:
        """Write the run folder whole or not at all; an existing run is replaced only by `force`."""
        with run_folder(folder, force=force, form=form) as written:
            written.finish(self)
        return Path(folder)

    def chart(self, kind: str) -> Any:
        """One of the charts of `evalkit plot`, as an altair chart; needs the extra `report`."""
        return shown("notebook", "run_chart")(self, kind)

    def _repr_html_(self) -> str:
        """What a notebook shows: the leaderboard with its intervals, and the signature."""
        return str(shown("notebook", "run_html")(self))


class RunFolder:
    """A run folder that is being written: long tables as their rows come, the others at the end."""

    def __init__(self, folder: Building, place: Path, form: str) -> None:
        self.place, self.form = place, form
        self._folder = folder
        self._parquet: dict[str, ParquetFile] = {}
        self._begun: set[str] = set()

    def table_format(self, signature: Signature) -> TableFormat:
        """Return how a worker is to encode rows of the long tables."""
        return TableFormat(signature.digest, self.form)

    def add(self, name: str, content: bytes, head: Iterable[str]) -> None:
        """Rows of a long table, as a worker or `parquet.content` gave them."""
        if self.form == "parquet":
            if name not in self._parquet:
                self._parquet[name] = ParquetFile(self._folder.path(f"{name}.parquet"))
            self._parquet[name].add(content)
        elif name not in self._begun:
            self._folder.append(f"{name}.csv", f"{','.join([*head, 'signature'])}\n".encode() + content)
        else:
            self._folder.append(f"{name}.csv", content)
        self._begun.add(name)

    def finish(self, run: Run) -> None:
        """The tables that were not written as they came, and run.json."""
        table_format = self.table_format(run.signature)
        for name in TABLES:
            if name in self._begun:
                continue
            table: pd.DataFrame = getattr(run, name)
            if name in LONG:
                self.add(name, content(table, table_format), table.columns)
            else:
                said = str(run.signature) if name == "leaderboard" else table_format.signature
                self._folder.append(f"{name}.csv", to_csv(table.copy().assign(signature=said)).encode())
        for file in self._parquet.values():
            file.close()
        self._folder.append("run.json", f"{json.dumps(run.meta, indent=1, ensure_ascii=False)}\n".encode())


@contextmanager
def run_folder(folder: str | Path, *, force: bool = False, form: str = "csv") -> Iterator[RunFolder]:
    """A run folder to write to; it is there when the block ends well, and leaves nothing when it does not."""
    with building(folder, force=force) as written:
        yield RunFolder(written, Path(folder), form)


def shown(module: str, name: str) -> Any:
    """A function of the reporting room, which stands above this one: loaded by name when somebody looks at a run."""
    return getattr(import_module(f"evalkit.report.{module}"), name)


def load_run(folder: str | Path) -> Run:
    """A run as it was saved."""
    path = Path(folder) / "run.json"
    try:
        meta = json.loads(read_text(path))
        version = meta["schema_version"]
        if version == SCHEMA_VERSION:
            Signature(**meta["signature"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the run.json of an evalkit run") from error
    if version != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version {version!r}; this version of evalkit reads {SCHEMA_VERSION}")
    tables: dict[str, Any] = {name: _table(Path(folder), name) for name in TABLES}
    return Run(**tables, meta=meta)


def _table(folder: Path, name: str) -> pd.DataFrame:
    """One table of a saved run, in whichever form it was written."""
    path = folder / f"{name}.parquet"
    if name in LONG and path.is_file():
        frame = from_parquet(read_bytes(path), str(path))
    else:
        path = folder / f"{name}.csv"
        frame = from_csv(read_text(path), str(path))
    return _checked(frame, path).drop(columns="signature")


def _checked(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A table of a run, refused when it lacks a column that its readers count on, or says of nothing whose it is."""
    needed = KEYS[path.stem]
    if absent := [name for name in needed if name not in frame]:
        raise InputError(f"{path}: expected a column {absent[0]!r}, found none; score again")
    owners = [name for name in needed if name in ("planner", "paper")]
    if frame[owners].isna().any(axis=None):
        raise InputError(f"{path}: a row does not say its {' and '.join(owners)}; was the file cut short?")
    return frame


def load_runs(folders: Sequence[str]) -> dict[str, Run]:
    """Several runs under the names of their folders, or where those are the same under their paths."""
    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(folders)
    told = [name if name not in names[:at] else f"{name} ({at + 1})" for at, name in enumerate(names)]
    return {name: load_run(folder) for name, folder in zip(told, folders, strict=True)}


def _nearest(name: str, known: Iterable[str]) -> str:
    """The names most like one that is not known."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"; did you mean {' or '.join(repr(item) for item in near)}?" if near else ""
