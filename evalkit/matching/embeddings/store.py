"""Keep the vectors of texts: in memory, and for an encoder that is slow in a store that runs share."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import islice

import numpy as np

from evalkit.errors import ModelError
from evalkit.matching.embeddings.vectors import GRID, Encoder, Progress, TextVectors
from evalkit.matching.tokens import analyse
from evalkit.storage.cache import Store, dependencies

# What a vector depends on besides its text and the weights: what is a word, how texts are encoded and rounded.
CODE = ("matching/embeddings", "matching/tokens")
LIBRARIES = ("numpy", "sentence-transformers", "tokenizers", "torch", "transformers")
BATCH = 2048  # texts encoded before they are stored: what an interruption can cost
IN_MEMORY = 16384  # texts whose vectors stay in memory: about 150 MB

Find = Callable[[str], Encoder]


class CachedEncoder:
    """An encoder that looks for its model when it is asked about it, and loads it for unknown texts only.

    Without a store vectors stay in memory only: where encoding a text costs less than reading its vectors.
    """

    def __init__(self, name: str, store: Store | None, find: Find) -> None:
        self.name, self.store, self._find = name, store, find
        self._encoder: Encoder | None = None
        self._memory: OrderedDict[str, TextVectors] = OrderedDict()
        self._lock = threading.RLock()
        self.encoded = 0

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what it was made of; a process has one of a kind, so that it loads the model at most once."""
        return _shared, (self.name, self.store and str(self.store.path), self._find)

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
        """Return the vectors of every text, each text once."""
        with self._lock:
            memory = self._memory
            result = {text: vectors for text in texts if (vectors := memory.get(text)) is not None}
            for text in result:
                memory.move_to_end(text)
            if unknown := [text for text in dict.fromkeys(texts) if text not in result]:
                new = self._stored(unknown)
                for batch in self._encode_new([text for text in unknown if text not in new], progress):
                    new |= batch
                memory |= new
                while len(memory) > IN_MEMORY:
                    memory.popitem(last=False)
                result |= new
        return result

    def _stored(self, texts: Sequence[str]) -> dict[str, TextVectors]:
        if self.store is None:
            return {}
        keys = {self._key(text): text for text in texts}
        stored = {keys[key]: vectors for key, vectors in self.store.read(keys, _unpack_text).items()}
        # Vectors of another width than most are nobody's.
        widths = Counter(len(vectors.sentence) for vectors in (*stored.values(), *islice(self._memory.values(), 1)))
        usual = widths.most_common(1)
        own = {text: vectors for text, vectors in stored.items() if len(vectors.sentence) == usual[0][0]}
        if len(own) < len(stored):
            self.store.warn_of_content(len(stored) - len(own))
        return own

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return those of the texts whose vectors are to be stored and are not yet."""
        if self.store is None:
            return []
        keys = {self._key(text): text for text in texts}
        known = self.store.known(keys)
        return [text for key, text in keys.items() if key not in known]

    def fill(self, texts: Sequence[str], progress: Progress | None = None) -> None:
        """Store the vectors of these texts, without holding them."""
        with self._lock:
            for _ in self._encode_new(self.missing(texts), progress):
                pass

    def _encode_new(self, texts: Sequence[str], progress: Progress | None) -> Iterator[dict[str, TextVectors]]:
        """Encode texts, shortest first so that those of one length meet, and store each batch before the next."""
        order = sorted(texts, key=lambda text: (len(text), text))
        for start in range(0, len(order), BATCH):

            def report(what: str, done: int, total: int, before: int = start) -> None:
                if progress is not None:
                    progress(what, before + done, len(order))

            batch = self.encoder.encode(order[start : start + BATCH], report)
            for text, vectors in batch.items():  # an encoder may be somebody's own
                if len(vectors.words) != (words := len(analyse(text).stems)):
                    message = f"{len(vectors.words)} word vectors for the {words} words of {text!r:.80}"
                    raise ModelError(f"the encoder gave {message}")
            if self.store is not None:
                self.store.put({self._key(text): pack(vectors) for text, vectors in batch.items()})
            self.encoded += len(batch)
            yield batch

    def _key(self, text: str) -> bytes:
        parts = ("vectors", dependencies(CODE, _libraries()), self.fingerprint, text)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()


@cache
def _libraries() -> tuple[str, ...]:
    """Return those of the libraries that are installed; an encoder of somebody's own needs few of them."""
    return ("python", *(name for name in LIBRARIES if find_spec(name.replace("-", "_"))))


@lru_cache(maxsize=4)
def _shared(name: str, path: str | None, find: Find) -> CachedEncoder:
    """Return the one encoder of its kind in this process."""
    return CachedEncoder(name, None if path is None else Store(path), find)


def pack(vectors: TextVectors) -> bytes:
    """Return vectors as bytes: their width, then the sentence and the words in steps of the grid.

    Two bytes a number lose nothing. They are not compressed: the lower byte is noise, and unpacking costs more than
    reading.
    """
    rows = np.vstack([vectors.sentence[None, :], vectors.words.reshape(-1, len(vectors.sentence))])
    steps: bytes = np.rint(rows * GRID).astype("<i2").tobytes()
    return len(vectors.sentence).to_bytes(4, "little") + steps


def _unpack_text(content: bytes, text: str) -> TextVectors:
    """Return the stored vectors of a text; refuse those of another one."""
    vectors = unpack(content)
    if len(vectors.words) != len(analyse(text).stems) or not len(vectors.sentence):
        raise ValueError("a text has as many vectors as words")
    return vectors


def unpack(content: bytes) -> TextVectors:
    """Return the vectors that `pack` made these bytes of."""
    width = int.from_bytes(content[:4], "little")
    rows = np.frombuffer(content, "<i2", offset=4).reshape(-1, width).astype(np.float32) / np.float32(GRID)
    return TextVectors(rows[0], rows[1:])
