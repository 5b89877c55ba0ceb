"""A Run, in memory and on disk: frames and the facts about how they came to be, in a folder that is written whole."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import DISTRIBUTION, InputError
from evalkit.settings import Settings, fingerprint, shown
from evalkit.storage.files import encoded, nearby, read_bytes, read_text, reading
from evalkit.storage.folders import Building, building
from evalkit.storage.schema import NEEDED, UNIQUE, check_meta, check_table, check_tables, unrepeated
from evalkit.storage.tables import (
    TEXTS,
    ParquetFile,
    Table,
    TableFormat,
    frame_of,
    from_csv,
    from_parquet,
    signed,
    table_content,
    table_of,
    to_csv,
)
from evalkit.text import amount, normalise_id

if TYPE_CHECKING:
    import pandas as pd  # loaded with the first frame

PlanContent = tuple[str | None, str, str, str]  # planner, paper, sample, and the hash of the entries
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


FROM = ("gold_from", "plans_from")  # items of a signature that came later, and that most have not
SCORING_VERSION = "3"  # raised when a score of the same plans, gold, settings and calibration can move


@dataclass(frozen=True, slots=True)
class Signature:
    """Everything that the numbers of a run depend on. Two runs are comparable when nothing but `plans` differs."""

    version: str
    settings: str
    matcher: str
    calibration: str
    model: str
    alignment: str
    thresholds: str
    missing: str
    top_k: str
    seed: str
    gold: str
    plans: str
    judge: str = "none"
    scoring: str = "1"  # of runs that were written before it was signed
    gold_from: str = ""  # a data set of the hub at a commit
    plans_from: str = ""

    def __str__(self) -> str:
        return "|".join(f"{name}:{value}" for name, value in self.table.items())

    @property
    def table(self) -> dict[str, str]:
        """Its items by name; what is from no data set of the hub does not say so."""
        return {name: value for name, value in asdict(self).items() if value or name not in FROM}

    @property
    def digest(self) -> str:
        """Return twelve hex digits that stand for the whole line where it would be too long."""
        return fingerprint(self.table)[:12]

    def differences(self, other: Signature) -> dict[str, tuple[str, str]]:
        """Return the items in which two signatures differ; plans and the package's version are left aside.

        A release that moves no score leaves `scoring` as it is, and breaks no comparison. Gold is what it says,
        wherever it comes from.
        """
        ours, theirs = asdict(self), asdict(other)
        names = [name for name in ours if name not in ("plans", "version", *FROM)]
        return {name: (ours[name], theirs[name]) for name in names if ours[name] != theirs[name]}


def sign(
    settings: Settings, pins: Mapping[str, str], gold: Iterable[PlanContent], plans: Iterable[PlanContent],
    **sources: str,
) -> Signature:  # fmt: skip
    """Return the signature of a run; `pins` say who decides which entries match, `sources` where from on the hub."""
    return Signature(
        version=version(DISTRIBUTION), settings=settings.digest, alignment=settings.alignment, **pins,
        missing=settings.missing, top_k=str(settings.top_k or "all"), seed=str(settings.seed),
        gold=content_hash(gold), plans=content_hash(plans), scoring=SCORING_VERSION,
        **sources,
    )  # fmt: skip


def content_hash(plans: Iterable[PlanContent]) -> str:
    """Return twelve hex digits that stand for what plans say, whatever their files and order."""
    return fingerprint(sorted([planner or "", paper, sample, digest] for planner, paper, sample, digest in plans))[:12]


class Run:
    """The result of a scoring: five frames, and `meta` as in run.json.

    The pairs and plans of a run that was written to `folder` while it was scored are read when they are asked for.
    Tables of a scoring become frames, for which pandas is loaded, when they are asked for.
    """

    def __init__(
        self, leaderboard: pd.DataFrame | Table, papers: pd.DataFrame | Table, pairs: pd.DataFrame | Table | None,
        plans: pd.DataFrame | Table | None, diagnostics: pd.DataFrame | Table, meta: Mapping[str, Any],
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.meta, self.folder = meta, folder
        self._tables = {
            "leaderboard": leaderboard, "papers": papers, "pairs": pairs, "plans": plans, "diagnostics": diagnostics
        }  # fmt: skip

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row a planner, best macro match F1 first: every figure, with its interval, and the counts behind it."""
        return self._frame("leaderboard")

    @property
    def papers(self) -> pd.DataFrame:
        """One row a planner and paper: how the plan was read, counts and figures."""
        return self._frame("papers")

    @property
    def pairs(self) -> pd.DataFrame:
        """Every aligned pair, missed and spurious entry, and other pair worth a look, with the evidence."""
        return self._frame("pairs")

    @property
    def plans(self) -> pd.DataFrame:
        """Every plan, missing ones too: where it came from and how it was read."""
        return self._frame("plans")

    @property
    def diagnostics(self) -> pd.DataFrame:
        """What was repaired, doubtful or left out, by path and line."""
        return self._frame("diagnostics")

    def _frame(self, name: str) -> pd.DataFrame:
        table = self._tables[name]
        if table is None:
            if self.folder is None:
                raise ValueError(f"a run in memory needs its {name}")
            table = _table(self.folder, name, self.signature)
        frame = self._tables[name] = frame_of(table) if isinstance(table, Mapping) else table
        return frame

    def columns(self, name: str) -> Table:
        """Return a table as columns, column -> cells, for which no pandas is loaded.

        name: "leaderboard", "papers", "pairs", "plans" or "diagnostics".
        """
        table = self._tables[name]
        return table if isinstance(table, Mapping) else table_of(self._frame(name))

    def replace(self, **changes: Any) -> Run:
        """Return the same run with other frames or facts; nothing is read for it.

        changes: `leaderboard`, `papers`, `pairs`, `plans`, `diagnostics` or `meta`, by name.
        """
        return Run(**{**self._tables, "meta": self.meta, "folder": self.folder, **changes})

    @property
    def signature(self) -> Signature:
        """The signature of this run."""
        return Signature(**self.meta["signature"])

    def by(self, field: str) -> pd.DataFrame:
        """Return the figures by what gold says of papers or entries: one row a slice and planner.

        field: a field of gold's metadata, such as "venue".
        """
        table: pd.DataFrame = import_module("evalkit.scoring.slices").by_field(self, field)
        return table

    def plans_of(self, paper: str, planner: str | None = None) -> list[tuple[str, str]]:
        """Return the (paper, planner) keys of one paper, whichever way its id is written; refuse unknown names.

        paper: the paper's id, in any case and with any separators.
        planner: only this planner's plan.
        """
        known = {normalise_id(name): name for name in self.papers["paper"].unique()}
        without = {key.replace("-", ""): name for key, name in known.items()}
        name = known.get(normalise_id(paper)) or without.get(normalise_id(paper).replace("-", ""))
        if name is None:
            raise InputError(f"no paper {paper!r} in this run{_nearest(paper, known.values())}")
        planners = self.papers.loc[self.papers["paper"] == name, "planner"].unique().tolist()
        if planner is not None and planner not in planners:
            raise InputError(f"no planner {planner!r} for {name!r} in this run{_nearest(planner, planners)}")
        return [(name, item) for item in planners if planner in (None, item)]

    def worst_plans(self, planner: str | None = None) -> list[tuple[str, str]]:
        """Return the (paper, planner) keys of all plans, or those of one planner, the lowest match F1 first.

        planner: only this planner's plans.
        """
        papers = self.papers
        planners = papers["planner"].unique().tolist()
        if planner is not None and planner not in planners:
            raise InputError(f"no planner {planner!r} in this run{_nearest(planner, planners)}")
        chosen = papers if planner is None else papers[papers["planner"] == planner]
        ordered = chosen.sort_values(["match_f1", "paper", "planner"], na_position="first", kind="stable")
        return list(ordered[["paper", "planner"]].itertuples(index=False, name=None))

    def save(self, folder: str | Path, *, force: bool = False, form: str = "csv") -> Path:
        """Write the run folder whole or not at all.

        folder: where to.
        force: whether an earlier run there may be replaced.
        form: how the long tables are written, "csv" or "parquet".
        """
        with run_folder(folder, force=force, form=form) as written:
            written.finish(self)
        return Path(folder)

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the run as one HTML page, and return its path; needs the extra `report`.

        path: the page's file; an older page there is replaced.
        """
        return Path(reporting("run_page", "write_report")(self, path)[0])

    def table(self, form: str = "markdown") -> str:
        """Return the leaderboard as `evalkit table` prints it.

        form: "markdown", "latex", "csv", "html" or "json".
        """
        return str(reporting("notebook", "run_table")(self, form))

    def show(self, paper: str | None = None, planner: str | None = None) -> None:
        """Print gold and plan of a paper side by side.

        paper: the paper's id; without it the plan with the lowest match F1 is shown.
        planner: only this planner's plan; without it all of the paper.
        """
        plans = self.plans_of(paper, planner) if paper else self.worst_plans(planner)[:1]
        reporting("console", "show")([reporting("console", "paper")(self, *plan) for plan in plans])

    def compare(self, other: Any, **choices: Any) -> Any:
        """Return what changed from this run to another one.

        other: a run, its folder, or a baseline's file or name.
        choices: what `evalkit.compare` takes by name.
        """
        return import_module("evalkit.comparison").compare(self, other, **choices)

    def __repr__(self) -> str:
        """Return a few lines: what was scored, and the best planners."""
        totals, board = self.meta["totals"], self.leaderboard
        best = [f"  {row.planner}: match F1 {row.match_f1:.3f}" for row in board.head(5).itertuples()]
        more = [f"  … and {len(board) - 5} more"] if len(board) > 5 else []
        size = f"{amount(totals['planners'], 'planner')} on {amount(totals['papers'], 'paper')}"
        return "\n".join([f"Run of {size}", *best, *more])

    def chart(self, kind: str) -> Any:
        """Return one of the charts of `evalkit plot` as an altair chart; needs the extra `report`.

        kind: which one: "planners", "papers", ...
        """
        return reporting("notebook", "run_chart")(self, kind)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the leaderboard with its intervals, and the signature."""
        return str(reporting("notebook", "run_html")(self))


class RunFolder:
    """A run folder that is being written: long tables while their rows come, the others at the end."""

    def __init__(self, folder: Building, place: Path, form: str) -> None:
        self.place, self.form, self._folder = place, form, folder
        self._parquet: dict[str, ParquetFile] = {}
        self._begun: set[str] = set()

    def table_format(self, signature: Signature) -> TableFormat:
        """Return how a worker is to encode rows of the long tables."""
        return TableFormat(signature.digest, self.form)

    def add(self, name: str, content: bytes, head: Iterable[str]) -> None:
        """Append rows of a long table that `table_content` or a worker encoded."""
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
        """Write the tables that are not there yet, and run.json."""
        table_format = self.table_format(run.signature)
        for name in TABLES:
            if name in self._begun:
                continue
            table = run.columns(name)
            if name in LONG:
                self.add(name, table_content(table, table_format), table)
            else:
                signature = str(run.signature) if name == "leaderboard" else table_format.signature
                self._folder.append(f"{name}.csv", encoded(to_csv(signed(table, signature))))
        for file in self._parquet.values():
            file.close()
        meta = f"{json.dumps(run.meta, indent=1, ensure_ascii=False)}\n"
        self._folder.append("run.json", encoded(meta))


@contextmanager
def run_folder(folder: str | Path, *, force: bool = False, form: str = "csv") -> Iterator[RunFolder]:
    """Open a run folder to write to; it is there when the block ends well, and leaves nothing when it does not."""
    with building(folder, force=force) as written:
        yield RunFolder(written, Path(folder), form)


def reporting(module: str, name: str) -> Any:
    """Return a function of report/, a package above this one, when somebody looks at a run."""
    return getattr(import_module(f"evalkit.report.{module}"), name)


def load_run(folder: str | Path) -> Run:
    """Return a run as it was saved; refuse by name what does not fit together.

    folder: the folder that `evalkit score` or `Run.save` wrote.
    """
    meta = read_meta(folder)
    signature = Signature(**meta["signature"])
    tables: dict[str, Any] = {name: _table(Path(folder), name, signature) for name in TABLES}
    check_tables(tables, {name: str(_place(Path(folder), name)) for name in TABLES})
    return Run(**tables, meta=meta)


def read_meta(folder: str | Path) -> dict[str, Any]:
    """Return the facts of a saved run, its run.json; refuse what is none."""
    path = Path(folder) / "run.json"
    with reading(folder):
        absent = not Path(folder).exists()
    if absent or (Path(folder).is_dir() and not path.exists()):
        hint = nearby(folder) if absent else ""
        raise InputError(f"{folder}: no run there (a folder with a run.json, as `evalkit score --out` writes it){hint}")
    try:
        meta: dict[str, Any] = json.loads(read_text(path), object_pairs_hook=unrepeated)
        schema = meta["schema_version"]
        if schema == SCHEMA_VERSION:
            Signature(**meta["signature"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the run.json of an evalkit run") from error
    if schema != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version {shown(schema)}; this version of evalkit reads {SCHEMA_VERSION}")
    check_meta(meta, str(path))
    return meta


def _place(folder: Path, name: str) -> Path:
    """Return the file of a table, in whichever form it was written."""
    path = folder / f"{name}.parquet"
    return path if name in LONG and path.is_file() else folder / f"{name}.csv"


def read_columns(
    folder: str | Path, name: str, signature: Signature, columns: Sequence[str], optional: Sequence[str] = ()
) -> pd.DataFrame:
    """Return some columns of one table of a saved run, besides those that say what its rows are about."""
    about = (*NEEDED[name], *UNIQUE.get(name, ()), "signature")
    return _table(Path(folder), name, signature, (*columns, *optional, *about), columns)


def _table(
    folder: Path, name: str, signature: Signature, columns: Sequence[str] = (), needed: Sequence[str] = ()
) -> pd.DataFrame:
    """Return one table of a saved run, or some of its columns; refuse it where readers would stumble."""
    path = _place(folder, name)
    if path.suffix == ".parquet":
        frame = from_parquet(read_bytes(path), str(path), columns)
    else:
        frame = from_csv(read_text(path), str(path), columns)
    if absent := [column for column in needed or KEYS[name] if column not in frame]:
        raise InputError(f"{path}: expected a column {absent[0]!r}, found none; score again")
    digest = str(signature) if name == "leaderboard" else signature.digest
    check_table(name, frame, str(path), digest, whole=not needed)
    return frame.drop(columns="signature")


def load_runs(folders: Sequence[str]) -> dict[str, Run]:
    """Return several runs under the names of their folders, or where those are the same under their paths."""
    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(folders)
    unique = [name if name not in names[:index] else f"{name} ({index + 1})" for index, name in enumerate(names)]
    return {name: load_run(folder) for name, folder in zip(unique, folders, strict=True)}


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"; did you mean {' or '.join(repr(item) for item in near)}?" if near else ""
