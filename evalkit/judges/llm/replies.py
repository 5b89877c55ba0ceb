"""Kept replies: takes the key of a question to a judge, gives its verdict if it was ever answered. One SQLite file.

A key is the hash of everything that could change the answer: the pair, the wording, the model, the request. So the same
question is never paid twice, and a changed wording or model never meets an old answer. Failures are not kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from evalkit.errors import OutputError
from evalkit.judges.llm.prompts import Verdict


class Kept:
    """The verdicts given so far; every `keep` is on disk when it returns."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "judge.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One thread asks the database: workers hand their verdicts over.
            self._base = sqlite3.connect(self.path, timeout=30)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, part INTEGER NOT NULL,"
                " match INTEGER NOT NULL, reason TEXT NOT NULL, CHECK (part IN (0, 1) AND match IN (0, 1)))"
                " WITHOUT ROWID"
            )
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            raise self._refusal(error) from error

    def get(self, keys: Iterable[str]) -> dict[str, Verdict]:
        """The verdicts that are kept under these keys."""
        found: dict[str, Verdict] = {}
        try:
            for key in keys:
                row = self._base.execute("SELECT part, match, reason FROM verdicts WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = Verdict(bool(row[0]), bool(row[1]), row[2])
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        return found

    def keep(self, verdicts: Mapping[str, Verdict]) -> None:
        """Keep verdicts under their keys."""
        rows = [(key, verdict.part, verdict.match, verdict.reason) for key, verdict in verdicts.items()]
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def replies(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts that are kept under these keys."""
        try:
            rows = (
                (key, self._base.execute("SELECT text FROM replies WHERE key = ?", (key,)).fetchone()) for key in keys
            )
            return {key: row[0] for key, row in rows if row is not None}
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def keep_reply(self, key: str, text: str) -> None:
        """Keep a reply's text under its key."""
        try:
            with self._base:
                self._base.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, text))
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> OutputError:
        return OutputError(f"{self.path}: cannot keep a judge's replies there ({error}); move it away or use --cache")

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._base.close()
