"""Encode texts by a table of words: no model is loaded, and a word means the same wherever it stands.

The table holds the pieces of which all-MiniLM-L6-v2 makes words, and words of the field that it would cut into pieces,
each as the model encodes it alone; `scripts/make_vectors.py` makes it. Any other word is the sum of its longest pieces.
A text is the sum of its words, stop words too, each weighted by how rare it is in plans. All sums are of whole numbers,
exact in any order, so that a text has the same vectors on every machine.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.matching.embeddings.vectors import Progress, TextVectors, on_grid
from evalkit.matching.tokens import analyse
from evalkit.storage.files import read_bytes, shipped

TABLE = "matching/embeddings/words.npz"
COMMON = 0.01  # a word that is this share of all words of plans counts half
STEPS = 256  # of a weight: whole numbers of them
BATCH = 2048
UNKNOWN = "[UNK]"  # what a word is of which no piece is known

_RUN = re.compile(r"[^\W_]+|[^\w\s]|_")

Whole = NDArray[np.float64]  # whole numbers


class StaticEncoder:
    """The words of one table with their vectors and weights."""

    def __init__(self, content: bytes, name: str) -> None:
        try:
            words, self._vectors, counts = read_table(content)
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ModelError(f"{name}: no table of words that scripts/make_vectors.py made ({error})") from error
        self.fingerprint = f"{name}@{hashlib.sha256(content).hexdigest()[:12]}"
        self._rows = {word: row for row, word in enumerate(words)}
        self._weights = np.rint(STEPS * COMMON / (COMMON + counts / max(counts.sum(), 1)))

    @classmethod
    def find(cls, model: str, *, offline: bool = False, prefix: str = "") -> StaticEncoder:
        """Return the encoder of the table in this file, or of the one that ships."""
        return cls(read_bytes(model or shipped(TABLE)), prefix + Path(model).name if model else "static")

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> dict[str, TextVectors]:
        """Return the vectors of every text, each text once."""
        wanted = list(dict.fromkeys(texts))
        result: dict[str, TextVectors] = {}
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            result |= zip(batch, self._encode(batch), strict=True)
            if progress:
                progress("Embedding texts", len(result), len(wanted))
        return result

    def _encode(self, texts: Sequence[str]) -> list[TextVectors]:
        """Return the vectors of a few texts; each word of theirs is looked up once."""
        places: dict[str, int] = {}
        read = [analyse(text) for text in texts]
        words = [[places.setdefault(word, len(places)) for word in one.spelled] for one in read]
        vectors, weights = self._words(list(places))
        sentences = on_grid(_sums(words, vectors * weights[:, None]))
        counted = [
            place for own, one in zip(words, read, strict=True)
            for place, at in zip(own, one.places, strict=True) if at >= 0
        ]  # fmt: skip
        alone = on_grid(vectors)[counted]
        ends = accumulate(len(one.stems) for one in read)
        return [
            TextVectors(sentence, alone[end - len(one.stems) : end])
            for sentence, one, end in zip(sentences, read, ends, strict=True)
        ]

    def _words(self, words: Sequence[str]) -> tuple[Whole, Whole]:
        """Return the vectors and the weights of words; one that the table has not was never counted."""
        rows = np.array([self._rows.get(word, -1) for word in words], np.intp)
        vectors, weights = self._vectors[rows].astype(np.float64), self._weights[rows]
        for place in np.flatnonzero(rows < 0).tolist():
            pieces = [row for run in _RUN.findall(words[place]) for row in self._pieces(run)] or [self._rows[UNKNOWN]]
            vectors[place], weights[place] = self._vectors[pieces].sum(axis=0, dtype=np.float64), STEPS
        return vectors, weights

    def _pieces(self, run: str) -> Iterator[int]:
        """Yield the rows of the pieces of a word, from the left the longest that the table has; others are left out."""
        start, mark = 0, ""
        while start < len(run):
            ends = range(len(run), start, -1)
            end = next((end for end in ends if mark + run[start:end] in self._rows), None)
            if end is not None:
                yield self._rows[mark + run[start:end]]
            start, mark = end or start + 1, "##"


def _sums(groups: Sequence[Sequence[int]], rows: Whole) -> Whole:
    """Return for each group of places the sum of these rows; zero where there are none."""
    sums = np.zeros((len(groups), rows.shape[1]))
    filled = [index for index, group in enumerate(groups) if group]
    if filled:
        starts = [0, *accumulate(len(groups[index]) for index in filled)][:-1]
        sums[filled] = np.add.reduceat(rows[[place for group in groups for place in group]], starts, axis=0)
    return sums


def read_table(content: bytes) -> tuple[list[str], NDArray[np.int8], NDArray[np.int64]]:
    """Return the words of a table, their vectors and how often each was counted; nothing in it is run."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text, vectors, counts = (
            np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy"))) for name in ("words", "vectors", "counts")
        )
    words = text.tobytes().decode("utf-8").split("\n")
    if not len(words) == len(vectors) == len(counts) or vectors.dtype != np.int8 or UNKNOWN not in words:
        raise ValueError(f"{len(words)} words, {len(vectors)} vectors of {vectors.dtype}")
    return words, vectors, counts.astype(np.int64)
