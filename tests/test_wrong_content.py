"""Rows of a cache with a right checksum and wrong content are made again; verdicts that cannot be are refused."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import entry
from damaged_runs import json_damaged, project

import evalkit
from evalkit.errors import InputError
from evalkit.judges.llm import ReplyCache
from evalkit.judges.llm.prompts import Verdict
from evalkit.judges.recorded import read_judge
from evalkit.matching.embeddings import CachedEncoder, TextVectors
from evalkit.matching.tokens import analyse
from evalkit.scoring.pipeline import score_run
from evalkit.storage.cache import Store, _checksum, decode_plans, encode_plans
from evalkit.types import Plan

WRONG = (
    b"", b"null", b"[]", b"{}", b"0", b'"x"', b"[[]]", b"[null]", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"NaN",
    b'[["p",null,"","",[],[["n","p","REMOVE",[],[]]],[]]]', b'[["p",null,"","",[],[[1,2,null,[],[],false,""]],[]]]',
    b'[["p",null,"","",[],[],[["fatal","c","m",1]]]]', b'[[1,null,"","",[],[],[]]]', b'[["p",7,"","",[],[],[]]]',
    b'{"pairs":[],"candidates":[],"alone":[[],[]],"counts":[]}',
    b'{"pairs":[],"candidates":[],"alone":[[0],[9]],"counts":[0]}',
)  # fmt: skip


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> int:
    """Give every row of a cache another value with the checksum that belongs to it."""
    with sqlite3.connect(path) as base:
        rows = [(key, change(value)) for key, value in base.execute("SELECT key, value FROM kept").fetchall()]
        for key, value in rows:
            base.execute("UPDATE kept SET value = ?, crc = ? WHERE key = ?", (value, _checksum(key, value), key))
    return len(rows)


def board(store: Store | None) -> str:
    settings = evalkit.Settings(matcher="lexical", resamples=0)
    return str(score_run("plans", "gold", settings, cache=store).leaderboard.to_csv())


def test_rows_of_wrong_content_are_made_again(tmp_path: Path) -> None:
    path, warnings = tmp_path / "c.sqlite", list[str]()
    with project():
        whole = board(None)
        assert board(Store(path)) == whole
        for content in WRONG:
            rows = rewrite(path, lambda _, content=content: content)
            store = Store(path, warnings.append)
            assert board(store) == whole, content
            assert rows > 8
            assert warnings
            assert all("rows hold something else than they should" in warning for warning in warnings)
            warnings.clear()
            assert board(store) == whole
            assert not warnings  # they were made again


@pytest.mark.parametrize("seed", range(25))
def test_rows_that_are_damaged_in_part_stop_no_run(seed: int, tmp_path: Path) -> None:
    rng, path = random.Random(seed), tmp_path / "c.sqlite"
    with project():
        board(Store(path))
        rewrite(path, lambda value: json_damaged(rng, value, lines=False))
        score_run("plans", "gold", evalkit.Settings(matcher="lexical", resamples=0), cache=Store(path))


def test_decoding_is_exact_about_what_was_encoded() -> None:
    plan = Plan("p", "me", (entry("gate", "REPLACE", ["x"], ["m"]),), trace="t", sample="2")
    assert decode_plans(encode_plans([plan]), "") == (plan,)


def test_half_a_character_that_a_program_gives_stops_no_run() -> None:
    odd = Plan("p", "me", (entry("ga\ud800te", "REPLACE", ["\udfff"], ["\ud800"]),), trace="\ud800")
    run = evalkit.score([odd], [Plan("p", None, (entry("gate"),))], evalkit.Settings(matcher="lexical"), cache=None)
    assert set(run.pairs["plan_part"].dropna()) == {"ga?te"}


class Slow:
    """An encoder whose vectors are stored, as those of a model are."""

    fingerprint = "slow@1"

    def encode(self, texts: Any, progress: Any = None) -> dict[str, TextVectors]:
        return {text: TextVectors(np.ones(4, np.float32) / 2, np.ones((len(analyse(text).stems), 4), np.float32) / 2)
                for text in texts}  # fmt: skip


VECTORS = (b"", b"\0\0\0\0", b"\4\0\0\0", b"\4\0\0\0" + b"\1\0" * 4, b"\2\0\0\0" + b"\1\0" * 99)


@pytest.mark.parametrize("content", VECTORS)
def test_vectors_of_another_text_are_made_again(content: bytes, tmp_path: Path) -> None:
    path, warnings = tmp_path / "c.sqlite", list[str]()
    texts = ["one", "two words"]
    CachedEncoder("slow", Store(path), lambda _: Slow()).encode(texts)  # type: ignore[arg-type, return-value]
    rewrite(path, lambda _: content)
    again = CachedEncoder("slow", Store(path, warnings.append), lambda _: Slow())  # type: ignore[arg-type, return-value]
    shapes = [vectors.words.shape for vectors in again.encode(texts).values()]
    assert shapes == [(1, 4), (2, 4)]
    assert again.encoded == 2
    assert len(warnings) == 1


@pytest.mark.parametrize("row", [(0, 1, "r"), (2, 1, "r"), (1, "x", "r"), (1, 1, b"\xff"), (None, 0, "r")])
def test_a_verdict_that_cannot_be_is_refused_by_name(row: tuple[Any, ...], tmp_path: Path) -> None:
    with ReplyCache(tmp_path) as cache:
        cache.put_verdicts({"good": Verdict(True, False, "r")})
    with sqlite3.connect(tmp_path / "judge.sqlite") as base:
        base.execute("DROP TABLE verdicts")  # with what it checks
        base.execute("CREATE TABLE verdicts (key TEXT PRIMARY KEY, part, match, reason)")
        base.execute("INSERT INTO verdicts VALUES ('bad', ?, ?, ?)", row)
    with ReplyCache(tmp_path) as cache, pytest.raises(InputError, match=r"judge\.sqlite: a verdict of part"):
        cache.verdicts(["bad"])


def test_a_recorded_match_without_its_part_is_refused() -> None:
    with project() as place:
        table = (place / "csv" / "pairs.csv").read_text(encoding="utf-8").split("\n")
        head = table[0].split(",")
        row = next(index for index, line in enumerate(table) if ",match," in line)
        cells = table[row].split(",")
        cells[head.index("part_probability")], cells[head.index("match_probability")] = "0", "1"
        table[row] = ",".join(cells)
        (place / "csv" / "pairs.csv").write_text("\n".join(table), encoding="utf-8")
        with pytest.raises(InputError, match=r"pairs\.csv: row \d+, column 'match_probability'"):
            read_judge(place / "csv")
