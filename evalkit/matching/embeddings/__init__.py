"""Give texts vectors: by a table of words, or by a sentence encoder; and find the encoder that a name means."""

from __future__ import annotations

from evalkit.matching.embeddings.contextual import BY_TORCH, MINILM, NAMES, ContextualEncoder
from evalkit.matching.embeddings.static import StaticEncoder
from evalkit.matching.embeddings.store import CachedEncoder, pack, unpack
from evalkit.matching.embeddings.vectors import Encoder, TextVectors, Vector, on_grid

__all__ = [
    "BACKENDS",
    "MINILM",
    "CachedEncoder",
    "ContextualEncoder",
    "Encoder",
    "StaticEncoder",
    "TextVectors",
    "Vector",
    "find_encoder",
    "find_encoder_here",
    "is_minilm",
    "is_stored",
    "on_grid",
    "pack",
    "unpack",
]

DEFAULT = "static"
# Backends by the word before the colon in a model's name ("static:table.npz", "sentence-transformers:folder or hub
# name"), or by that word alone; any other name is that of a folder or of a model on the hub.
BACKENDS: dict[str, type[ContextualEncoder] | type[StaticEncoder]] = {
    "static": StaticEncoder,
    "sentence-transformers": ContextualEncoder,
}


def find_encoder(name: str = "", *, offline: bool = False) -> Encoder:
    """Return the encoder of that name; without one the default."""
    backend, prefix, model = _parts(name)
    return backend.find(model, offline=offline, prefix=prefix)


def find_encoder_here(name: str = "") -> Encoder:
    """Return the encoder that is on this machine; the hub is not asked."""
    return find_encoder(name, offline=True)


def is_stored(name: str) -> bool:
    """Return whether runs share the vectors of this model: whether to read one costs less than to make it."""
    return not issubclass(_parts(name)[0], StaticEncoder)


def is_minilm(name: str) -> bool:
    """Return whether this name means all-MiniLM-L6-v2, for which a calibration of its own ships."""
    return name.removeprefix(BY_TORCH) in NAMES


def _parts(name: str) -> tuple[type[ContextualEncoder] | type[StaticEncoder], str, str]:
    """Return the backend that a name means, what goes before the model's name in signatures, and the model."""
    word, colon, model = (name or DEFAULT).partition(":")
    if word not in BACKENDS or not (colon or word == "static"):
        return ContextualEncoder, "", name or DEFAULT
    return BACKENDS[word], f"{word}:", model
