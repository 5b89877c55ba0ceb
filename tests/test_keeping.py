"""What is kept between runs: found again, shared by processes, and never trusted when it is torn, foreign or full."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sqlite3
import threading
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from evalkit.cli import group
from evalkit.errors import ModelError
from evalkit.matching.embeddings import CachedEncoder, TextVectors, on_grid, pack, unpack
from evalkit.matching.tokens import analyse
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage import cache
from evalkit.storage.cache import Store
from evalkit.storage.runs import load_run


class Counting:
    """An encoder that gives every text vectors of its own, and counts what it is asked."""

    fingerprint = "model@1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], progress: Any = None) -> dict[str, TextVectors]:
        self.asked += texts
        return {text: made(text) for text in texts}


def made(text: str) -> TextVectors:
    rows = on_grid(np.random.default_rng(list(text.encode())).normal(size=(len(analyse(text).stems) + 1, 8)))
    return TextVectors(rows[0], rows[1:])


def equal(one: TextVectors, other: TextVectors) -> bool:
    return bool((one.sentence == other.sentence).all() and (one.words == other.words).all())


def kept(path: Path, warned: list[str] | None = None) -> tuple[CachedEncoder, Counting]:
    encoder = Counting()
    warn = warned.append if warned is not None else pytest.fail
    return CachedEncoder("", Store(path / "vectors.sqlite", warn), lambda _: encoder), encoder  # type: ignore


TEXTS = ["gate", "temporal attention", "λ weight of the loss", ""]


def test_vectors_come_back_to_the_last_bit() -> None:
    for text in TEXTS:
        assert equal(unpack(pack(made(text))), made(text))
    assert pack(made("a b")) == pack(unpack(pack(made("a b"))))


def test_a_known_text_is_not_encoded_again(tmp_path: Path) -> None:
    first, encoder = kept(tmp_path)
    one = first.encode(TEXTS)
    assert sorted(encoder.asked) == sorted(TEXTS)
    second, encoder = kept(tmp_path)
    two = second.encode([*TEXTS, "new"])
    assert encoder.asked == ["new"]
    assert all(equal(one[text], two[text]) for text in TEXTS)


def test_an_encoder_with_other_words_is_refused(tmp_path: Path) -> None:
    class Wrong(Counting):
        def encode(self, texts: Sequence[str], progress: Any = None) -> dict[str, TextVectors]:
            right = super().encode(texts, progress)
            return {text: TextVectors(vectors.sentence, vectors.words[:-1]) for text, vectors in right.items()}

    kept = CachedEncoder("model", Store(tmp_path / "v.sqlite"), lambda _: Wrong())
    with pytest.raises(ModelError, match="the encoder gave 1 word vectors for the 2 words of 'attention gate'"):
        kept.encode(["attention gate"])
    assert kept.store.rows() == 0


def test_other_weights_never_meet_kept_vectors(tmp_path: Path) -> None:
    kept(tmp_path)[0].encode(TEXTS)
    other, encoder = kept(tmp_path)
    encoder.fingerprint = "model@2"
    other.encode(TEXTS)
    assert len(encoder.asked) == len(TEXTS)


@pytest.mark.parametrize("library", ["python", "numpy", "sentence-transformers", "tokenizers", "torch", "transformers"])
def test_an_upgraded_library_encodes_anew(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = cache.platform.python_version()
    kept(tmp_path)[0].encode(TEXTS)
    if library != "python" and find_spec(library.replace("-", "_")) is None:
        pytest.skip(f"{library} is not installed")
    monkeypatch.setattr(cache, "version", lambda name: "999" if name == library else version(name))
    monkeypatch.setattr(cache.platform, "python_version", lambda: "999" if library == "python" else python)
    cache.dependencies.cache_clear()  # as in the process of the next run
    upgraded, encoder = kept(tmp_path)
    upgraded.encode(TEXTS)
    assert len(encoder.asked) == len(TEXTS)
    monkeypatch.undo()
    cache.dependencies.cache_clear()


def test_what_was_encoded_before_an_interruption_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.matching.embeddings.store.BATCH", 2)
    first, encoder = kept(tmp_path)

    def interrupted(texts: Sequence[str], progress: Any = None) -> dict[str, TextVectors]:
        if encoder.asked:
            raise KeyboardInterrupt
        return Counting.encode(encoder, texts)

    encoder.encode = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.encode(TEXTS)
    second, encoder = kept(tmp_path)
    assert len(second.missing(TEXTS)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database" * 500),
        lambda path: path.write_bytes(path.read_bytes()[:1500]),
        lambda path: path.write_bytes(path.read_bytes()[:100] + os.urandom(8000)),
        lambda path: path.write_bytes(os.urandom(20000)),
    ],
    ids=["text", "cut short", "noise inside", "noise"],
)
def test_a_damaged_or_foreign_file_is_set_aside(tmp_path: Path, damage: Any) -> None:
    kept(tmp_path)[0].encode(TEXTS)
    path = tmp_path / "vectors.sqlite"
    for beside in tmp_path.glob("vectors.sqlite-*"):
        beside.unlink()
    damage(path)
    warned: list[str] = []
    encoder, behind = kept(tmp_path, warned)
    found = encoder.encode(TEXTS)
    assert all(equal(found[text], made(text)) for text in TEXTS)
    assert len(warned) == 1
    assert "set aside as vectors.sqlite.aside-1" in warned[0]
    assert sorted(behind.asked) == sorted(TEXTS)
    assert (tmp_path / "vectors.sqlite.aside-1").exists()
    again, behind = kept(tmp_path)
    again.encode(TEXTS)
    assert behind.asked == []


def test_somebody_elses_database_is_left_whole(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "vectors.sqlite") as base:
        base.execute("CREATE TABLE kept (key, value, crc)")
    base.close()
    warned: list[str] = []
    kept(tmp_path, warned)[0].encode(TEXTS)
    assert "not a file of this version" in warned[0]
    with sqlite3.connect(tmp_path / "vectors.sqlite.aside-1") as base:
        assert base.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    base.close()


def test_a_row_whose_checksum_fails_is_made_again(tmp_path: Path) -> None:
    kept(tmp_path)[0].encode(TEXTS)
    with sqlite3.connect(tmp_path / "vectors.sqlite") as base:
        base.execute("UPDATE kept SET value = zeroblob(length(value)) WHERE id = 2")
    base.close()
    warned: list[str] = []
    encoder, behind = kept(tmp_path, warned)
    found = encoder.encode(TEXTS)
    assert all(equal(found[text], made(text)) for text in TEXTS)
    assert (len(behind.asked), len(warned)) == (1, 1)


def test_a_run_goes_on_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder is wanted")
    warned: list[str] = []
    encoder, _ = kept(tmp_path / "file", warned)
    assert set(encoder.encode(TEXTS)) == set(TEXTS)
    assert len(warned) == 1
    assert "nothing is kept between runs" in warned[0]


def _fill(path: Path, at: int) -> None:
    store = Store(path)
    for round in range(20):
        store.put({f"{at}-{round}-{key}".encode(): b"x" * 500 for key in range(20)})


def test_several_processes_keep_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_fill, args=(path, at)) for at in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert Store(path, pytest.fail).rows() == 4 * 20 * 20
    assert not list(tmp_path.glob("*.aside-*"))


def test_a_file_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite fails at once, whatever its timeout, when the journal's mode is set while another connection writes."""
    path = tmp_path / "vectors.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    Store(path, pytest.fail).put({b"key": b"value"})
    release.join()
    assert Store(path, pytest.fail).get([b"key"]) == {b"key": b"value"}


def test_a_store_travels_as_its_path(tmp_path: Path) -> None:
    store = Store(tmp_path / "vectors.sqlite", pytest.fail)
    store.put({b"key": b"value"})
    assert pickle.loads(pickle.dumps(store)).get([b"key", b"other"]) == {b"key": b"value"}


def test_pruning_drops_what_was_kept_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "vectors.sqlite", pytest.fail)
    for at in range(10):
        store.put({bytes([at]): bytes(1000)})
    assert store.prune(5 * 1064) == 5
    assert sorted(store.get(bytes([at]) for at in range(10))) == [bytes([at]) for at in range(5, 10)]
    assert store.prune(10**9) == 0
    store.clear()
    assert (store.rows(), store.size() < 20000) == (0, True)


# Commands that score plans themselves.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Gold and two folders of plans in the working folder, and the encoder that every command finds."""
    rows = [{"name": part, "ablated_part": part, "action": "REMOVE"} for part in ("gate", "warmup", "temporal pool")]
    for folder, kept in (("gold", rows), ("a/p", rows), ("b/p", rows[:1])):
        for paper in ("x", "y"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"{paper}.json").write_text(json.dumps(kept))
    encoder = Counting()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evalkit.scoring.matcher.find_encoder", lambda _: encoder)
    return encoder


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "--pred-base", "a", "--pred-new", "b", "--gold", "gold", "--resamples", "9"],
        ["demo", "sample", "--force"],
    ],
    ids=["compare", "demo"],
)
def test_all_scoring_commands_cache_vectors(project: Counting, words: list[str]) -> None:
    def answer(*more: str) -> tuple[str, int]:
        before = len(project.asked)
        done = CliRunner().invoke(group, [*words, "--model", "counting", *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout, len(project.asked) - before

    first, encoded = answer("--cache", "kept")
    assert encoded == len(set(project.asked)) > 0  # each text once, those that both sides share too
    assert answer("--cache", "kept") == (first, 0)
    assert answer("--no-cache")[1] >= encoded
    assert [path.name for path in Path().glob("*/vectors.sqlite")] == ["vectors.sqlite"]


def test_a_model_without_its_calibration_is_a_warning(project: Counting) -> None:
    words = ["score", "--pred", "a", "--gold", "gold", "--out", "run", "--resamples", "9", "--cache", "kept"]
    done = CliRunner().invoke(group, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "its probabilities are not to be trusted" in " ".join(load_run("run").meta["warnings"])
    assert len(load_run("run").pairs) > 0


# One gold list and one plan are two readings and one decision.
MADE_ANEW = {"python": 3, "ftfy": 3, "pyyaml": 2, "numpy": 1, "rapidfuzz": 1, "scipy": 1, "click": 0}


@pytest.mark.parametrize(("library", "anew"), MADE_ANEW.items())
def test_an_upgraded_library_makes_its_values_anew(
    library: str, anew: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gold/p.json", "plans/p.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text('[{"name": "No gate", "ablated_part": "gate", "action": "REMOVE"}]')
    store = Store(tmp_path / "kept.sqlite")

    def rows_after_a_run() -> int:
        cache.dependencies.cache_clear()  # as in the process of the next run
        score_run(tmp_path / "plans", tmp_path / "gold", Settings(matcher="lexical", resamples=0),
                  cache=store)  # fmt: skip
        return store.rows()

    assert (rows_after_a_run(), rows_after_a_run()) == (3, 3)
    python = cache.platform.python_version()
    monkeypatch.setattr(cache, "version", lambda name: "999" if name == library else version(name))
    monkeypatch.setattr(cache.platform, "python_version", lambda: "999" if library == "python" else python)
    assert rows_after_a_run() == 3 + anew
    monkeypatch.undo()
    cache.dependencies.cache_clear()


def test_an_estimate_of_judges_needs_no_cache(project: Counting) -> None:
    pytest.importorskip("openai", reason="the extra `judge` is not installed")
    words = ["score", "--pred", "a", "--gold", "gold", "--judge", "m", "--dry-run", "--cache", "kept"]
    for more, kept in ((["--no-cache"], False), ([], True)):
        done = CliRunner().invoke(group, [*words, "--model", "counting", *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert Path("kept/vectors.sqlite").exists() == kept


def test_compare_reads_the_cache_of_score(project: Counting) -> None:
    for name in "ab":
        words = ["score", "--pred", name, "--gold", "gold", "--out", f"run-{name}", "--resamples", "9"]
        assert CliRunner().invoke(group, [*words, "--cache", "kept"]).exit_code == 0
    known = len(project.asked)
    words = ["compare", "--pred-base", "a", "--pred-new", "b", "--gold", "gold", "--resamples", "9", "--cache", "kept"]
    assert CliRunner().invoke(group, words).exit_code == 0
    assert len(project.asked) == known
    for idle in (["--cache", "kept"], ["--no-cache"]):
        done = CliRunner().invoke(group, ["compare", "run-a", "run-b", *idle])
        assert (done.exit_code, f"{idle[0]}: for plans that are scored now" in done.stderr) == (2, True)
