"""Keep judges' replies, and batches that are out, in one SQLite file: a question is never paid twice.

A key is the hash of everything that could change the answer: the pair, the wording, the model, the request. Failures
are not kept. This is not the cache of `storage`: what that holds can be made again, so it sets a damaged file aside and
goes on without a disk; replies cost money, so here both are errors, before anything is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import InputError, OutputError
from evalkit.judges.llm.prompts import Verdict
from evalkit.settings import shown

TABLES = (
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, part INTEGER NOT NULL, match INTEGER NOT NULL,"
    " reason TEXT NOT NULL, CHECK (part IN (0, 1) AND match IN (0, 1))) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
    # One row a question in a batch that is out: its key, the name of its request, and its id in that request.
    "CREATE TABLE IF NOT EXISTS batched (key TEXT NOT NULL, url TEXT NOT NULL, batch TEXT NOT NULL,"
    " request TEXT NOT NULL, name TEXT NOT NULL, tokens INTEGER NOT NULL, price REAL NOT NULL, since TEXT NOT NULL,"
    " PRIMARY KEY (key, url)) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request in a batch: the keys of its questions by their ids in it, its tokens, and what it may cost."""

    name: str
    keys: Mapping[str, str]
    tokens: int
    price: float


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch that a server has: its id there, when it was submitted, and its requests by their names."""

    url: str
    id: str
    since: str
    requests: Mapping[str, BatchRequest]


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

    def put_batch(self, batch: SubmittedBatch) -> None:
        """Keep what was submitted, until `drop_batch`."""
        rows = [(key, batch.url, batch.id, request.name, name, request.tokens, request.price, batch.since)
                for request in batch.requests.values() for name, key in request.keys.items()]  # fmt: skip
        with self._errors(), self._base:
            self._base.executemany("INSERT OR REPLACE INTO batched VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def drop_batch(self, batch: SubmittedBatch) -> None:
        """Forget a batch, of which everything is known."""
        with self._errors(), self._base:
            self._base.execute("DELETE FROM batched WHERE url = ? AND batch = ?", (batch.url, batch.id))

    def batches(self, url: str, keys: Iterable[str]) -> list[SubmittedBatch]:
        """Return the batches at a server that hold questions with these keys, each whole, the oldest first."""
        out = self._select("SELECT batch FROM batched WHERE key = ? AND url = ?", keys, url)
        return sorted((self._batch(url, name) for name in {row[0] for row in out.values()}),
                      key=lambda batch: (batch.since, batch.id))  # fmt: skip

    def _batch(self, url: str, batch: str) -> SubmittedBatch:
        statement = "SELECT request, name, key, tokens, price, since FROM batched WHERE url = ? AND batch = ?"
        with self._errors():
            rows = self._base.execute(statement, (url, batch)).fetchall()
        for row in rows:
            if [type(value) for value in row] != [str, str, str, int, float, str]:
                raise InputError(f"{self.path}: a damaged batch {shown(batch)}; move the file away or use --cache")
        keys: dict[str, dict[str, str]] = {}
        for request, name, key, *_ in rows:
            keys.setdefault(request, {})[name] = key
        facts = {request: (tokens, price) for request, _, _, tokens, price, _ in rows}
        requests = {name: BatchRequest(name, own, *facts[name]) for name, own in keys.items()}
        return SubmittedBatch(url, batch, rows[0][5], requests)

    def _select(self, statement: str, keys: Iterable[str], *more: str) -> dict[str, tuple[Any, ...]]:
        with self._errors():
            rows = {key: self._base.execute(statement, (key, *more)).fetchone() for key in keys}
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
