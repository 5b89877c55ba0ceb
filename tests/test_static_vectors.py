"""Vectors from a table of words: worked by hand on a small table, and what the shipped one must hold."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import ModelError
from evalkit.matching.embeddings import CachedEncoder, StaticEncoder, find_encoder, find_encoder_here, is_stored
from evalkit.matching.tokens import analyse

WORDS = ["[UNK]", "the", "gate", "soft", "##max", "##m", ".", "5", "0"]
VECTORS = [(0, 0, 1), (0, 3, 0), (3, 4, 0), (2, 0, 0), (1, 4, 0), (9, 9, 9), (0, 0, 2), (0, 5, 0), (5, 0, 0)]
COUNTS = [0, 3, 97, 0, 0, 0, 0, 0, 0]


def table(words: Sequence[str] = WORDS, vectors: object = VECTORS, kind: type = np.int8) -> bytes:
    stream = io.BytesIO()
    text = np.frombuffer("\n".join(words).encode(), np.uint8)
    np.savez(stream, words=text, vectors=np.array(vectors, kind), counts=np.array(COUNTS, np.int32))
    return stream.getvalue()


def grid(*numbers: float) -> list[float]:
    """What a vector of length 1 is on the grid of 1/2048."""
    return [int(number * 2048) / 2048 for number in numbers]


def sentence(text: str) -> list[float]:
    return StaticEncoder(table(), "small").encode([text])[text].sentence.tolist()


def test_a_word_of_the_table_is_its_own_vector() -> None:
    found = StaticEncoder(table(), "small").encode(["the Gates", "the GATE"])
    assert found["the GATE"].words.tolist() == [grid(0.6, 0.8, 0)]  # (3, 4, 0) at length 1; "the" does not count


def test_another_word_is_the_sum_of_its_longest_pieces() -> None:
    assert sentence("softmax") == grid(0.6, 0.8, 0)  # soft + ##max, not ##m
    assert sentence("soft") == [1, 0, 0]
    assert sentence("0.5") == grid(*np.array([5, 5, 2]) / 54**0.5)
    assert sentence("gateß") == grid(0.6, 0.8, 0)  # no piece has ß: it is left out
    assert sentence("中文") == [0, 0, 1]  # no piece at all


def test_a_text_is_the_sum_of_its_words_weighted_by_rarity() -> None:
    """3 of 100 words are "the": weight .01/.04 = 64/256; 97 are "gate": .01/.98 = 3/256; "soft" was never counted."""
    whole = 64 * np.array([0, 3, 0]) + 3 * np.array([3, 4, 0]) + 256 * np.array([2, 0, 0])
    assert sentence("the gate soft") == sentence("Soft gate: the") == grid(*whole / np.linalg.norm(whole))
    assert sentence("") == [0, 0, 0]


def test_tables_are_data_and_are_checked(tmp_path: Path) -> None:
    for content in (b"no zip", table(WORDS[:-1]), table(["x", *WORDS[1:]]), table(kind=float)):
        with pytest.raises(ModelError, match="small: no table of words"):
            StaticEncoder(content, "small")
    with pytest.raises(ModelError, match="Object arrays cannot be loaded"):
        StaticEncoder(table(vectors=[[text] for text in WORDS], kind=object), "small")
    (tmp_path / "own.npz").write_bytes(table())
    own = find_encoder(f"static:{tmp_path / 'own.npz'}")
    assert own.fingerprint.startswith("static:own.npz@")
    assert own.encode(["gate"])["gate"].sentence.tolist() == grid(0.6, 0.8, 0)


TEXTS = [
    "temporal attention in consistent-sparse attention", "λ of the KD loss (0.1)", "", "中文", "Swin-T backbone",
    "knowledge distillation", "  ", "gate", "naïve Bayes", "1e-3", "w/o self-attention", "x" * 500,
]  # fmt: skip


def test_no_text_changes_another() -> None:
    encoder = find_encoder_here("static")
    together = encoder.encode(TEXTS)
    assert list(together) == TEXTS
    for text in TEXTS:
        alone = encoder.encode([text])[text]
        assert np.array_equal(alone.sentence, together[text].sentence)
        assert np.array_equal(alone.words, together[text].words)
        assert alone.words.shape == (len(analyse(text).words), 128)
        steps = np.vstack([alone.sentence[None], alone.words]) * 2048
        assert np.array_equal(steps, np.trunc(steps))
        assert (np.linalg.norm(steps, axis=1) <= 2048).all()


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("learning rate", "step size of the optimizer", "image encoder"),
        ("positional encoding", "position embeddings", "dropout"),
        ("residual connections", "skip connection", "batch size"),
    ],
)
def test_the_shipped_table_knows_the_field(text: str, near: str, far: str) -> None:
    found = {one: vectors.sentence for one, vectors in find_encoder_here("static").encode([text, near, far]).items()}
    assert found[text] @ found[near] > found[text] @ found[far]


def test_vectors_of_a_table_are_not_stored() -> None:
    assert not is_stored("static")
    assert is_stored("all-MiniLM-L6-v2")
    cached = CachedEncoder("static", None, find_encoder_here)
    assert cached.missing(["gate"]) == []
    assert np.array_equal(cached.encode(["gate"])["gate"].sentence, cached.encode(["gate"])["gate"].sentence)
    assert cached.encoded == 1


SCORE = """
import sys
from evalkit import Plan, Ablation, Scorer, Settings
entry = Ablation("gate", "gate")
scored = Scorer(Settings(model="static")).score(Plan("x", "p", (entry,)), Plan("x", None, (entry,)))
print(scored.score.counts.match_gold)
print([name for name in ("torch", "transformers", "sklearn", "pandas", "scipy") if name in sys.modules])
"""


def test_scoring_loads_no_model() -> None:
    ran = subprocess.run([sys.executable, "-c", SCORE], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["1", "[]"]


RUN = """
import sys
from evalkit.cli import main
from evalkit.storage.files import sample_project, write_texts

write_texts(sample_project("sample"))
sys.argv = ["evalkit", "score", "--pred", "sample/plans", "--gold", "sample/gold", "--out", "run", "--cache", "kept"]
try:
    main()
finally:
    heavy = {"torch", "transformers", "sentence_transformers", "sklearn", "scipy", "pandas", "pyarrow", "joblib"}
    print("LOADED", sorted(heavy & set(sys.modules)))
"""


def test_a_run_loads_nothing_that_is_slow_to_load(tmp_path: Path) -> None:
    """A whole `evalkit score` of the sample, labels and all: two planners on ten papers."""
    ran = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "LOADED []"
    assert (tmp_path / "run" / "leaderboard.csv").is_file()
