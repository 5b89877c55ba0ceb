"""The cache between runs: bytes under keys in one SQLite file that every process of a user shares, and their codec.

Whatever is cached can be made again, so nothing here ever stops a run: a file that is damaged or foreign is set aside
and a new one begun, a row whose checksum fails counts as absent, a full disk ends the caching and not the work.

The codec makes JSON of plans and scored plans, also for the spool and other processes; JSON holds a float to the last
bit. A document is encoded without its path and the names that only its path gives: one text is cached once.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar, get_args

from evalkit.types import (  # fmt: skip
    COUNT_NAMES,
    LARGEST_WEIGHT,
    LEAST_WEIGHT,
    Ablation,
    Action,
    Alignment,
    Counts,
    Diagnostic,
    Pair,
    PaperScore,
    Plan,
    PlanStatus,
    ScoredPlan,
    Severity,
)

APPLICATION = 0x45564B54  # "EVKT": says whose file it is
VERSION = 1
# SQLite's codes of errors with a file that may be intact: permission, busy, locked, memory, read-only, full, no such
# place. Any other code says that the file is not what it should be.
ENVIRONMENT_ERRORS = frozenset((3, 5, 6, 7, 8, 13, 14))
BUSY_ERRORS = frozenset((5, 6))  # another connection is at work
BUSY_SECONDS = 60
KEYS_PER_QUERY = 500
MOST = 1e15  # that a cached count may be, or a sum of weights
CACHE_FILE = "vectors.sqlite"

# What a score depends on, for those who work on one run together.
SCORING_CODE = ("errors", "formats", "judges", "matching", "metrics", "scoring", "settings", "stats", "storage", "text",
                "types")  # fmt: skip
SCORING_PACKAGES = (
    "ftfy", "numpy", "onnxruntime", "pandas", "pyyaml", "rapidfuzz", "scipy", "sentence-transformers", "tokenizers",
    "torch", "transformers",
)  # fmt: skip
_MODULE = {"pyyaml": "yaml"}

# What decoding raises for content that nobody encoded.
WRONG_CONTENT = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)

Warn = Callable[[str], None]
Given = TypeVar("Given")
Value = TypeVar("Value")


@cache
def dependencies(modules: tuple[str, ...], packages: tuple[str, ...] = ()) -> str:
    """Return what a cached value depends on besides its input: our source and the versions of libraries.

    `modules` are parts of evalkit ("formats", "scoring/rows"); `packages` are distributions, or "python".
    A key that holds this is not found again after any of them has changed.
    """
    top = Path(__file__).parent.parent
    source = hashlib.sha256()
    for module in sorted(modules):
        files = sorted(path for path in (top / module).rglob("*") if path.suffix in (".py", ".json"))
        for path in files or [top / f"{module}.py"]:
            source.update(f"{path.name}\0".encode() + path.read_bytes())
    versions = [platform.python_version() if name == "python" else version(name) for name in packages]
    return " ".join((source.hexdigest(), *versions))


@cache
def environment() -> dict[str, str]:
    """Return what a score depends on besides its input, by name: our code, Python, and the libraries that are here."""
    here = [name for name in SCORING_PACKAGES if find_spec(_MODULE.get(name, name.replace("-", "_")))]
    versions = {name: platform.python_version() if name == "python" else version(name) for name in ("python", *here)}
    return {"evalkit's code": dependencies(SCORING_CODE)[:12], **versions}


class Store:
    """Bytes under keys. Several processes and threads may use one file at the same time."""

    def __init__(self, path: str | Path, warn: Warn | None = None) -> None:
        self.path = Path(path)
        self._warn = warn or _silent
        self._lock = threading.RLock()
        self._base: sqlite3.Connection | None = None
        self._owner = 0
        self._off = False

    def __getstate__(self) -> str:
        """Pickle as the path: every process opens the file itself."""
        return str(self.path)

    def __setstate__(self, path: str) -> None:
        self.__init__(path)  # type: ignore[misc]

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the values that are cached under these keys and pass their checksum."""
        rows = list(self._select("key, value, crc", keys))
        intact = {key: value for key, value, crc in rows if _is_intact(key, value, crc)}
        if damaged := len(rows) - len(intact):
            self._warn(f"{self.path}: {damaged} damaged rows are not used; they are made again")
        return intact

    def read(self, keys: Mapping[bytes, Given], decode: Callable[[bytes, Given], Value]) -> dict[bytes, Value]:
        """Return what is cached under these keys, decoded; what cannot be is warned of, and counts as absent."""
        decoded: dict[bytes, Value] = {}
        cached = self.get(keys)
        for key, content in cached.items():
            with suppress(*WRONG_CONTENT):
                decoded[key] = decode(content, keys[key])
        if wrong := len(cached) - len(decoded):
            self.warn_of_content(wrong)
        return decoded

    def warn_of_content(self, rows: int) -> None:
        """Warn of rows that are intact and hold something else than they should."""
        self._warn(f"{self.path}: {rows} rows hold something else than they should; they are made again")

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """Return those of these keys that have a value."""
        return {row[0] for row in self._select("key", keys)}

    def _select(self, columns: str, keys: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of these keys."""
        rest = iter(dict.fromkeys(keys))
        while batch := list(islice(rest, KEYS_PER_QUERY)):
            marks = ",".join("?" * len(batch))
            yield from self._run(f"SELECT {columns} FROM kept WHERE key IN ({marks})", batch)

    def put(self, rows: Mapping[bytes, bytes]) -> None:
        """Cache these; all are on disk when this returns, unless caching is not possible at all."""
        if values := [(key, value, _checksum(key, value)) for key, value in rows.items()]:
            self._run("INSERT OR REPLACE INTO kept (key, value, crc) VALUES (?, ?, ?)", values, many=True)

    def rows(self) -> int:
        """Return the number of rows."""
        return int(next(iter(self._run("SELECT count(*) FROM kept")), (0,))[0])

    def size(self) -> int:
        """Return the bytes on disk, with what SQLite writes beside the file."""
        files = [Path(f"{self.path}{ending}") for ending in ("", "-wal")]
        return sum(path.stat().st_size for path in files if path.exists())

    def prune(self, largest: int) -> int:
        """Delete the oldest rows until the file is no larger; return how many were deleted."""
        total = self.rows()
        newest = "SELECT id, sum(length(value) + 64) OVER (ORDER BY id DESC) AS total FROM kept"
        self._run(f"DELETE FROM kept WHERE id NOT IN (SELECT id FROM ({newest}) WHERE total <= ?)", [largest])
        self._shrink()
        return total - self.rows()

    def clear(self) -> None:
        """Delete everything."""
        self._run("DELETE FROM kept")
        self._shrink()

    def _shrink(self) -> None:
        """Give the space of deleted rows back to the disk."""
        self._run("VACUUM")
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; it opens again when it is used again."""
        with self._lock:
            if self._base is not None and self._owner == os.getpid():
                self._base.close()
            self._base = None

    def _run(self, statement: str, values: Iterable[Any] = (), *, many: bool = False) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction; set a broken file aside once and try again on a new one."""
        parameters = list(values)
        with self._lock:
            for attempt in (1, 2):
                if self._off:
                    return []
                try:
                    base = self._open()
                    if not many:
                        return base.execute(statement, parameters).fetchall()
                    with base:
                        base.execute("BEGIN IMMEDIATE")
                        base.executemany(statement, parameters)
                    return []
                except (sqlite3.Error, OSError) as error:
                    if attempt == 2 or isinstance(error, OSError) or _code(error) in ENVIRONMENT_ERRORS:
                        self._give_up(error)
                    else:
                        self._set_aside(error)
        return []

    def _open(self) -> sqlite3.Connection:
        """Return the connection of this process; one that came over by fork is left alone."""
        if self._base is None or self._owner != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base, self._owner = self._connect_when_free(), os.getpid()
        return self._base

    def _connect_when_free(self) -> sqlite3.Connection:
        """Connect, and wait while other processes make or clean up the file: SQLite itself does not wait for that."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._connect()
            except sqlite3.Error as error:
                if _code(error) not in BUSY_ERRORS or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _connect(self) -> sqlite3.Connection:
        """Open the file, or make it where there is none; a file that is not ours is a DatabaseError."""
        base = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            base.execute("PRAGMA synchronous=NORMAL")
            if _stamp(base) == (0, 0, 0):
                base.execute("PRAGMA journal_mode=WAL")
                base.execute("BEGIN IMMEDIATE")
                if _stamp(base) == (0, 0, 0):  # another process may have been first
                    base.execute(
                        "CREATE TABLE kept (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL,"
                        " crc INTEGER NOT NULL)"
                    )
                    base.execute(f"PRAGMA application_id={APPLICATION}")
                    base.execute(f"PRAGMA user_version={VERSION}")
                base.execute("COMMIT")
            if _stamp(base)[:2] != (APPLICATION, VERSION):
                raise sqlite3.DatabaseError("not a file of this version of evalkit")
        except BaseException:
            base.close()
            raise
        return base

    def _set_aside(self, error: Exception) -> None:
        """Move a file that cannot be used out of the way; nothing is deleted."""
        self.close()
        place = next(path for n in count(1) if not (path := Path(f"{self.path}.aside-{n}")).exists())
        try:
            for ending in ("", "-wal", "-shm"):
                source = Path(f"{self.path}{ending}")
                if source.exists():
                    source.replace(f"{place}{ending}")
        except OSError as refusal:  # Windows moves no file that another process has open
            self._give_up(refusal)
        else:
            self._warn(f"{self.path}: set aside as {place.name} ({error}); what it held is made again")

    def _give_up(self, error: Exception) -> None:
        """Go on without a cache."""
        self._off = True
        self._warn(f"{self.path}: nothing is kept between runs ({error})")


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's code of an error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _silent(message: str) -> None:
    """Warn nobody: in a worker, the first process has warned already."""


def _stamp(base: sqlite3.Connection) -> tuple[int, int, int]:
    """Return whose file it is, its version and its number of tables; all 0 for a new one."""
    queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    application, version, tables = (int(base.execute(query).fetchone()[0]) for query in queries)
    return application, version, tables


def _checksum(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key))


def _is_intact(key: object, value: object, crc: object) -> bool:
    return isinstance(key, bytes) and isinstance(value, bytes) and _checksum(key, value) == crc


class PathName(str):
    """A planner or paper that the path gives; its type tells it from the same name in a text."""

    __slots__ = ()


def encode_plans(plans: Iterable[Plan]) -> bytes:
    """Encode the plans of one document; a PathName becomes 0."""
    rows = [
        [
            _encode_name(plan.paper), _encode_name(plan.planner), plan.trace, plan.sample, plan.about, plan.weight,
            plan.meta,
            [(entry.name, entry.part, entry.action, entry.replacements, entry.metrics, entry.draft, entry.source,
              entry.weight, entry.meta) for entry in plan.ablations],
            [(item.severity, item.code, item.message, item.line) for item in plan.diagnostics],
        ]
        for plan in plans
    ]  # fmt: skip
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode_plans(content: bytes, path: str, planner: str | None = None, paper: str | None = None) -> tuple[Plan, ...]:
    """Decode the plans of a document that lies at this path, which gives these names."""
    rows = json.loads(content.decode("utf-8", "surrogatepass"))
    if not isinstance(rows, list) or not rows:
        raise TypeError("a document has a plan")
    return tuple(
        Plan(
            (paper or "") if paper_name == 0 else _text(paper_name),
            planner if planner_name == 0 else planner_name and _text(planner_name),
            tuple([
                Ablation(_text(name), _text(part), action and Action(action), _texts(options), _texts(metrics),
                         draft is True, _text(source), _weight(entry_weight), _about(entry_meta))
                for name, part, action, options, metrics, draft, source, entry_weight, entry_meta in entries
            ]),
            tuple([
                Diagnostic(_severity(severity), _text(code), _text(message), path, line and int(line))
                for severity, code, message, line in diagnostics
            ]),
            path, _text(trace), _text(sample), _about(about), _weight(weight), _about(meta),
        )
        for paper_name, planner_name, trace, sample, about, weight, meta, entries, diagnostics in rows
    )  # fmt: skip


def _text(value: Any) -> str:
    """Return a text, halves of characters replaced, which no table can hold; refuse everything else."""
    if type(value) is not str:
        raise TypeError(f"{value!r:.40} is no text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _texts(values: Any) -> tuple[str, ...]:
    """Return a list of texts; refuse everything else."""
    if type(values) is not list:
        raise TypeError(f"{values!r:.40} is no list")
    return tuple([_text(value) for value in values])


def _about(rows: Any) -> tuple[tuple[str, str], ...]:
    return tuple([(_text(key), _text(text)) for key, text in rows])


def _weight(value: Any) -> float:
    if not LEAST_WEIGHT <= value <= LARGEST_WEIGHT:
        raise ValueError(f"{value!r:.40} is no weight")
    return float(value)


def _severity(value: Any) -> Severity:
    if value not in get_args(Severity):
        raise ValueError(f"{value!r:.40} is no severity")
    return value  # type: ignore[no-any-return]


def _encode_name(name: str | None) -> str | int | None:
    return 0 if isinstance(name, PathName) else name


def encode_score(scored: ScoredPlan) -> bytes:
    """Encode the alignment and counts of a plan, without its texts."""
    alignment = scored.alignment
    values = {
        "pairs": [_pair_values(pair) for pair in alignment.pairs],
        "candidates": [_pair_values(pair) for pair in alignment.candidates],
        "alone": [alignment.missed, alignment.spurious],
        "counts": scored.score.counts.values(),
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def decode_score(content: bytes, gold: Plan, plan: Plan, status: PlanStatus) -> ScoredPlan:
    """Decode a score; names, status and texts are those of this plan, whose entries it must be about."""
    values = json.loads(content)
    missed, spurious = values["alone"]
    alone = tuple(map(int, missed)), tuple(map(int, spurious))
    alignment = Alignment(_pairs(values["pairs"]), *alone, _pairs(values["candidates"]))
    counts = Counts(*values["counts"])
    if len(values["counts"]) != len(COUNT_NAMES) or not all(0 <= value <= MOST for value in counts.values()):
        raise ValueError("counts are numbers of entries")
    _check_entries(alignment, len(gold.ablations), len(plan.ablations))
    score = PaperScore(gold.paper, plan.planner or "", counts, status, plan.sample)
    return ScoredPlan(gold, plan, alignment, score)


def _check_entries(alignment: Alignment, gold: int, plan: int) -> None:
    """Refuse an alignment that leaves an entry out, or is about one that is not there."""
    for size, paired, alone in (
        (gold, {pair.gold for pair in alignment.pairs}, alignment.missed),
        (plan, {pair.plan for pair in alignment.pairs}, alignment.spurious),
    ):
        if sorted([*paired, *alone]) != list(range(size)):
            raise ValueError("an alignment is about every entry")
    if not all(0 <= pair.gold < gold and 0 <= pair.plan < plan for pair in alignment.candidates):
        raise ValueError("a candidate is about two entries")


def _pair_values(pair: Pair) -> Sequence[Any]:
    return (
        pair.gold, pair.plan, pair.part_probability, pair.match_probability,
        pair.matched, pair.borderline, pair.decided_by, pair.evidence,
    )  # fmt: skip


def _share(value: Any) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value!r:.40} is no probability")
    return value  # type: ignore[no-any-return]


def _pairs(rows: Sequence[Sequence[Any]]) -> tuple[Pair, ...]:
    return tuple([
        Pair(int(gold), int(plan), _share(part), _share(match), matched is True, borderline is True, _text(by),
             tuple([(_text(words), float(weight)) for words, weight in evidence]))
        for gold, plan, part, match, matched, borderline, by, evidence in rows
    ])  # fmt: skip
