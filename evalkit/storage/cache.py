"""Takes keys, gives the bytes that earlier runs kept under them: one SQLite file, shared by every process of a user.

Whatever is kept can be made again, so nothing here ever stops a run: a file that is torn or foreign is set aside and a
new one begun, a row whose checksum fails counts as absent, a full disk ends the keeping and not the work. No clock is
read.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from typing import Any

APPLICATION = 0x45564B54  # "EVKT": says whose file it is
VERSION = 1
# What is refused although the file may be whole: permission, busy, locked, memory, read-only, full, no such place.
# Anything else speaks of a file that is not what it should be.
UNWILLING = frozenset((3, 5, 6, 7, 8, 13, 14))
_AT_ONCE = 500
CACHE_FILE = "vectors.sqlite"

Warn = Callable[[str], None]


def in_batches(items: Iterable[bytes], size: int = _AT_ONCE) -> Iterable[list[bytes]]:
    """Lists of at most `size` items."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


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
        """Travels as its path: every process opens the file itself."""
        return str(self.path)

    def __setstate__(self, path: str) -> None:
        self.__init__(path)  # type: ignore[misc]

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """What is kept under these keys and proves whole."""
        found: dict[bytes, bytes] = {}
        torn = 0
        for batch in in_batches(keys):
            rows = self._run(f"SELECT key, value, crc FROM kept WHERE key IN ({_marks(batch)})", batch)
            for key, value, crc in rows:
                if _whole(key, value, crc):
                    found[key] = value
                else:
                    torn += 1
        if torn:
            self._warn(f"{self.path}: {torn} damaged rows are not used; they are made again")
        return found

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """Which of these keys something is kept under."""
        found: set[bytes] = set()
        for batch in in_batches(keys):
            found.update(row[0] for row in self._run(f"SELECT key FROM kept WHERE key IN ({_marks(batch)})", batch))
        return found

    def put(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep these; they are on disk, all of them, when this returns, unless keeping is not possible at all."""
        filled = [(key, value, zlib.crc32(value, zlib.crc32(key))) for key, value in rows.items()]
        if filled:
            self._run("INSERT OR REPLACE INTO kept (key, value, crc) VALUES (?, ?, ?)", filled, many=True)

    def rows(self) -> int:
        """How many rows are kept."""
        return int(next(iter(self._run("SELECT count(*) FROM kept")), (0,))[0])

    def size(self) -> int:
        """Bytes on disk, with what SQLite keeps beside the file."""
        return sum(path.stat().st_size for path in self._files() if path.exists())

    def prune(self, largest: int) -> int:
        """Drop the rows that were kept first until the file is no larger; gives how many went."""
        (total, filled) = next(
            iter(self._run("SELECT count(*), coalesce(sum(length(value) + 64), 0) FROM kept")), (0, 0)
        )
        if filled <= largest:
            self._run("VACUUM")
            return 0
        newest = "SELECT id, sum(length(value) + 64) OVER (ORDER BY id DESC) AS total FROM kept"
        self._run(f"DELETE FROM kept WHERE id NOT IN (SELECT id FROM ({newest}) WHERE total <= ?)", [largest])
        self._run("VACUUM")
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(total) - self.rows()

    def clear(self) -> None:
        """Drop everything."""
        self._run("DELETE FROM kept")
        self._run("VACUUM")
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the file; it opens again when it is used again."""
        with self._lock:
            if self._base is not None and self._owner == os.getpid():
                self._base.close()
            self._base = None

    def _run(self, statement: str, values: Iterable[Any] = (), *, many: bool = False) -> list[tuple[Any, ...]]:
        """One statement, its own transaction; a broken file is set aside once and the statement tried on a new one."""
        given = list(values)
        with self._lock:
            for attempt in (1, 2):
                if self._off:
                    return []
                try:
                    base = self._open()
                    if not many:
                        return base.execute(statement, given).fetchall()
                    with base:
                        base.execute("BEGIN IMMEDIATE")
                        base.executemany(statement, given)
                    return []
                except (sqlite3.Error, OSError) as error:
                    if attempt == 2 or isinstance(error, OSError) or _code(error) in UNWILLING:
                        self._give_up(error)
                    else:
                        self._set_aside(str(error))
        return []

    def _open(self) -> sqlite3.Connection:
        """The connection of this process; one that came over by fork is left alone."""
        if self._base is None or self._owner != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base, self._owner = self._connect(), os.getpid()
        return self._base

    def _connect(self) -> sqlite3.Connection:
        """Open the file, making it where there is none; a file that is not ours is a DatabaseError."""
        base = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
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

    def _set_aside(self, why: str) -> None:
        """Move a file that cannot be trusted out of the way; nothing is deleted."""
        self.close()
        place = next(path for n in count(1) if not (path := Path(f"{self.path}.aside-{n}")).exists())
        for ending in ("", "-wal", "-shm"):
            source = Path(f"{self.path}{ending}")
            if source.exists():
                source.replace(f"{place}{ending}")
        self._warn(f"{self.path}: set aside as {place.name} ({why}); what it held is made again")

    def _give_up(self, error: Exception) -> None:
        """Go on without keeping anything."""
        self._off = True
        self._warn(f"{self.path}: nothing is kept between runs ({error})")

    def _files(self) -> list[Path]:
        return [Path(f"{self.path}{ending}") for ending in ("", "-wal")]


def _code(error: sqlite3.Error) -> int:
    """SQLite's own kind of an error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _silent(message: str) -> None:
    """Warns nobody: in a worker the first process has warned already."""


def _marks(values: list[bytes]) -> str:
    return ",".join("?" * len(values))


def _stamp(base: sqlite3.Connection) -> tuple[int, int, int]:
    """Whose file it is, of which version, with how many tables; all 0 for a new one."""
    questions = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    found = [int(base.execute(question).fetchone()[0]) for question in questions]
    return found[0], found[1], found[2]


def _whole(key: object, value: object, crc: object) -> bool:
    return isinstance(key, bytes) and isinstance(value, bytes) and zlib.crc32(value, zlib.crc32(key)) == crc
