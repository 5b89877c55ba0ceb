"""Kept vectors: takes texts, gives their vectors, from an earlier run where one knew the text, else from the encoder.

Vectors lie on a grid of 1/2048, so two bytes a number lose nothing. They are not compressed: the lower byte is noise,
and unpacking costs more than reading. A key holds the text, the model's weights and how the text was encoded.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import ModelError
from evalkit.matching.features.tokens import analyse
from evalkit.matching.features.vectors import GRID, TextVectors
from evalkit.storage.cache import Store, dependencies

if TYPE_CHECKING:
    from evalkit.matching.embeddings import Encoder

ENCODING = "1"  # to be raised when `embedding` gives other vectors for the same text and model
# What is a word, and how vectors are rounded: when this code changes, vectors made by it are not used any more.
READING = ("matching/features/tokens", "matching/features/vectors")
AT_ONCE = 2048  # texts encoded before they are kept: what an interruption can cost
NEAR = 16384  # texts whose vectors stay in memory: about 150 MB

Progress = Callable[[str, int, int], None]
Find = Callable[[str], "Encoder"]


class CachedEncoder:
    """An encoder that remembers: the model is looked for when it is asked about, and loaded for unknown texts only."""

    def __init__(self, name: str, store: Store, find: Find) -> None:
        self.name, self.store, self._find = name, store, find
        self._encoder: Encoder | None = None
        self._near: OrderedDict[str, TextVectors] = OrderedDict()
        self._lock = threading.RLock()
        self.encoded = 0

    def __reduce__(self) -> tuple[object, ...]:
        """Travels as what it was made of; a process has one of a kind, so that it loads the model at most once."""
        return _shared, (self.name, str(self.store.path), self._find)

    @property
    def encoder(self) -> Encoder:
        """The encoder behind this one."""
        with self._lock:
            if self._encoder is None:
                self._encoder = self._find(self.name)
            return self._encoder

    @property
    def fingerprint(self) -> str:
        """The name of the model and the hash of its weights."""
        return self.encoder.fingerprint

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> dict[str, TextVectors]:
        """The vectors of every text, each text once."""
        with self._lock:
            near = self._near
            found = {text: vectors for text in texts if (vectors := near.get(text)) is not None}
            for text in found:
                near.move_to_end(text)
            if missing := [text for text in dict.fromkeys(texts) if text not in found]:
                new = self._load(missing)
                for some in self._make([text for text in missing if text not in new], progress):
                    new |= some
                self._remember(new)
                found |= new
        return found

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts whose vectors are not kept."""
        keys = {self._key(text): text for text in texts}
        known = self.store.known(keys)
        return [text for key, text in keys.items() if key not in known]

    def fill(self, texts: Sequence[str], progress: Progress | None = None) -> None:
        """See to it that these texts are known, without holding their vectors."""
        with self._lock:
            for _ in self._make(self.missing(texts), progress):
                pass

    def _load(self, texts: Sequence[str]) -> dict[str, TextVectors]:
        """What is kept of these texts."""
        keys = {self._key(text): text for text in texts}
        return {keys[key]: unpacked(value) for key, value in self.store.get(keys).items()}

    def _make(self, texts: Sequence[str], progress: Progress | None) -> Iterator[dict[str, TextVectors]]:
        """Encode texts, shortest first so that those of one length meet, and keep each lot before the next is begun."""
        order = sorted(texts, key=lambda text: (len(text), text))
        for start in range(0, len(order), AT_ONCE):

            def told(what: str, done: int, total: int, before: int = start) -> None:
                if progress is not None:
                    progress(what, before + done, len(order))

            made = self.encoder.encode(order[start : start + AT_ONCE], told)
            _check(made)
            self.store.put({self._key(text): packed(vectors) for text, vectors in made.items()})
            self.encoded += len(made)
            yield made

    def _remember(self, new: dict[str, TextVectors]) -> None:
        self._near |= new
        while len(self._near) > NEAR:
            self._near.popitem(last=False)

    def _key(self, text: str) -> bytes:
        said = f"vectors\0{ENCODING}\0{dependencies(READING)}\0{self.fingerprint}\0{text}"
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()


def _check(made: dict[str, TextVectors]) -> None:
    """An encoder of somebody's own has to know what a word is."""
    for text, vectors in made.items():
        if len(vectors.words) != (words := len(analyse(text).words)):
            raise ModelError(
                f"the encoder gave {len(vectors.words)} word vectors for the {words} words of {text!r:.80}"
            )


@lru_cache(maxsize=4)
def _shared(name: str, path: str, find: Find) -> CachedEncoder:
    """The one encoder of its kind in this process."""
    return CachedEncoder(name, Store(path), find)


def packed(vectors: TextVectors) -> bytes:
    """Vectors as bytes: their width, then the sentence and the words in steps of the grid."""
    rows = np.vstack([vectors.sentence[None, :], vectors.words.reshape(-1, len(vectors.sentence))])
    steps: bytes = np.rint(rows * GRID).astype("<i2").tobytes()
    return len(vectors.sentence).to_bytes(4, "little") + steps


def unpacked(content: bytes) -> TextVectors:
    """The vectors that `packed` made these bytes of."""
    width = int.from_bytes(content[:4], "little")
    rows = np.frombuffer(content, "<i2", offset=4).reshape(-1, width).astype(np.float32) / np.float32(GRID)
    return TextVectors(rows[0], rows[1:])
