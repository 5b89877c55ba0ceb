"""Compute all-MiniLM-L6-v2 by numpy alone: it starts at once where torch takes seconds, with the same vectors.

Only the weights of the known hash are computed this way. A row of a matrix product does not depend on the rows beside
it where as many are multiplied each time, so that neither batches nor threads change a bit: libraries round otherwise
in products of a few rows. Many rows at a time are faster, and are taken where this machine's library adds them up as it
adds few.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError, install_command
from evalkit.storage.files import read_bytes, read_text

WEIGHTS = "model.safetensors"
LONGEST = 256  # tokens of a text that are read
States = NDArray[np.float32]
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: |error| below 1.5e-7, as float32 has it.
ERF = tuple(map(np.float32, (0.3275911, 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)))
BLOCK = 32768  # numbers: 128 kB
FEW = 16  # rows of one matrix product, in the dimension that kernels take as vectors: all of its rows are added alike
MANY, MOST = 64, 1024  # rows of a product where the library adds up many as it adds up few: a multiple, and the most


class MiniLM:
    """The tokenizer and the six layers of the model, from its folder."""

    def __init__(self, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            message = f"the model's tokenizer needs an extra: {install_command('minilm')}"
            raise ModelError(f"{folder}: {message}; leave --model out: the default needs none") from error
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        shape = json.loads(read_text(folder / "config.json"))
        self._heads, self._layers = int(shape["num_attention_heads"]), int(shape["num_hidden_layers"])
        self._smallest = np.float32(shape["layer_norm_eps"])
        self._weights = _read_weights(folder / WEIGHTS)
        for number in range(self._layers):
            name = f"encoder.layer.{number}.attention.self."
            for part in ("weight", "bias"):
                roles = [self._weights.pop(f"{name}{role}.{part}") for role in ("query", "key", "value")]
                self._weights[f"{name}all.{part}"] = np.concatenate(roles)
        self._alike = _adds_alike(self._weights)

    def tokens(self, texts: Sequence[str]) -> list[tuple[Sequence[int], Sequence[tuple[int, int]]]]:
        """Return the tokens of each text and where each of them stands in it."""
        return [(item.ids, item.offsets) for item in self._tokenizer.encode_batch(list(texts))]

    def states(self, tokens: Sequence[Sequence[int]]) -> States:
        """Return the last layer's states `[text, token, axis]` of texts with the same number of tokens."""
        ids, weights = np.array(tokens), self._weights
        places = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kinds = weights["embeddings.token_type_embeddings.weight"][0]
        states = weights["embeddings.word_embeddings.weight"][ids] + places + kinds
        states = self._normed(states, "embeddings.LayerNorm")
        for number in range(self._layers):
            states = self._layer(states, f"encoder.layer.{number}.")
        return states

    def _layer(self, states: States, name: str) -> States:
        attended = self._dense(self._attention(states, f"{name}attention.self."), f"{name}attention.output.dense")
        states = self._normed(attended + states, f"{name}attention.output.LayerNorm")
        wide = _gelu(self._dense(states, f"{name}intermediate.dense"))
        return self._normed(self._dense(wide, f"{name}output.dense") + states, f"{name}output.LayerNorm")

    def _attention(self, states: States, name: str) -> States:
        """Return what each token takes from the others of its text, all heads side by side."""
        texts, length, width = states.shape
        roles = self._dense(states, f"{name}all").reshape(texts, length, 3, self._heads, -1)
        query, key, value = roles.transpose(2, 0, 3, 1, 4)
        scores = query @ key.swapaxes(2, 3) * np.float32(1 / math.sqrt(width // self._heads))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        taken: States = (scores @ value).swapaxes(1, 2).reshape(texts, length, width)
        return taken

    def _dense(self, states: States, name: str) -> States:
        rows = states.reshape(-1, states.shape[-1])
        result = _product(rows, self._weights[f"{name}.weight"], alike=self._alike)
        result += self._weights[f"{name}.bias"]
        return result.reshape(*states.shape[:-1], -1)

    def _normed(self, states: States, name: str) -> States:
        states = states - states.mean(axis=-1, keepdims=True)
        states /= np.sqrt((states * states).mean(axis=-1, keepdims=True) + self._smallest)
        states *= self._weights[f"{name}.weight"]
        states += self._weights[f"{name}.bias"]
        return states


def _product(rows: States, weight: States, *, alike: bool) -> States:
    """Return `rows @ weight.T`, many rows at a time where they are added up alike, the rest a few at a time."""
    result = np.empty((len(rows), len(weight)), np.float32)
    whole = len(rows) // MANY * MANY if alike else 0
    for start in range(0, whole, MOST):
        end = min(start + MOST, whole)
        np.matmul(rows[start:end], weight.T, out=result[start:end])
    for start in range(whole, len(rows), FEW):
        some = rows[start : start + FEW]
        filled = np.concatenate([some, np.zeros((FEW - len(some), rows.shape[1]), np.float32)])
        result[start : start + FEW] = (weight @ filled.T).T[: len(some)]
    return result


def _adds_alike(weights: dict[str, States]) -> bool:
    """Return whether this machine's library adds up many rows as few, to the last bit: not all kernels do."""
    numbers = weights["embeddings.word_embeddings.weight"].reshape(-1)
    for name in ("attention.self.all", "attention.output.dense", "intermediate.dense", "output.dense"):
        weight = weights[f"encoder.layer.0.{name}.weight"]
        rows = numbers[: MOST * weight.shape[1]].reshape(MOST, -1)
        few = _product(rows, weight, alike=False)
        for size in (MANY, MOST):
            if not np.array_equal(_product(rows[:size], weight, alike=True), few[:size]):
                return False
    return True


def _gelu(values: States) -> States:
    """Multiply values by the normal distribution's share below them, in blocks that a processor's cache holds."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        size = np.abs(block) * np.float32(math.sqrt(0.5))
        step = np.reciprocal(size * ERF[0] + 1)
        tail = np.full_like(step, ERF[-1])
        for factor in (*ERF[-2:0:-1], np.float32(0)):
            tail *= step
            tail += factor
        size *= size
        tail *= np.exp(np.negative(size, out=size), out=size)
        np.copysign(np.subtract(1, tail, out=tail), block, out=tail)
        tail += 1
        tail *= np.float32(0.5)
        block *= tail
    return values


def _read_weights(path: Path) -> dict[str, States]:
    """Return the arrays of a safetensors file."""
    content = read_bytes(path)
    start = 8 + int.from_bytes(content[:8], "little")
    weights = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            array = np.frombuffer(content[start + begin : start + end], "<f4").reshape(entry["shape"])
            weights[name] = array
    return weights
