"""Keep judges' replies in one SQLite file: a question is never paid twice.

A key is the hash of everything that could change the answer: the pair, the wording, the model, the request. Failures
are not kept. This is not the cache of `storage`: what that holds can be made again, so it sets a damaged file aside and
goes on without a disk; replies cost money, so here both are errors, before anything is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import InputError, OutputError
from evalkit.judges.llm.prompts import Verdict
from evalkit.settings import shown

TABLES = (
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, part INTEGER NOT NULL, match INTEGER NOT NULL,"
    " reason TEXT NOT NULL, CHECK (part IN (0, 1) AND match IN (0, 1))) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
)


class ReplyCache:
    """Verdicts and replies under their keys; whatever is put is on disk when the call returns."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "judge.sqlite"
        with self._errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One thread asks the database: workers hand their verdicts over.
            self._base = sqlite3.connect(self.path, timeout=30)
            for statement in ("PRAGMA journal_mode=WAL", *TABLES):
                self._base.execute(statement)

    def verdicts(self, keys: Iterable[str]) -> dict[str, Verdict]:
        """Return the verdicts under these keys, as far as there are any."""
        rows = self._select("SELECT part, match, reason FROM verdicts WHERE key = ?", keys)
        return {key: self._verdict(*row) for key, row in rows.items()}

    def _verdict(self, part: object, match: object, reason: object) -> Verdict:
        """Return a row as a verdict; refuse one that no judge can have given."""
        if part not in (0, 1) or match not in (0, 1) or (match and not part) or not isinstance(reason, str):
            raise InputError(
                f"{self.path}: a verdict of part {shown(part)}, match {shown(match)}: expected 0 or 1, and no match"
                " without its part; move the file away or use --cache"
            )
        return Verdict(bool(part), bool(match), reason)

    def put_verdicts(self, verdicts: Mapping[str, Verdict]) -> None:
        """Keep verdicts under their keys."""
        rows = [(key, verdict.part, verdict.match, verdict.reason) for key, verdict in verdicts.items()]
        with self._errors(), self._base:
            self._base.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", rows)

    def replies(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the texts of replies under these keys, as far as there are any."""
        rows = self._select("SELECT text FROM replies WHERE key = ?", keys)
        return {key: row[0] for key, row in rows.items() if isinstance(row[0], str)}

    def put_reply(self, key: str, text: str) -> None:
        """Keep a reply's text under its key."""
        with self._errors(), self._base:
            self._base.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, text))

    def _select(self, statement: str, keys: Iterable[str]) -> dict[str, tuple[Any, ...]]:
        with self._errors():
            rows = {key: self._base.execute(statement, (key,)).fetchone() for key in keys}
        return {key: row for key, row in rows.items() if row is not None}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"{self.path}: cannot keep a judge's replies there ({error}); move it away or use --cache"
            ) from error

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()
