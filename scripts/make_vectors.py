"""Make the table of words by which texts are encoded without a model (evalkit/matching/embeddings/words.npz).

.venv/bin/python scripts/make_vectors.py PLANS... [--out FILE] [--least N] [--axes N]

PLANS are folders of plans: the 1,776 published trajectories of AblationBench, and references/. The words of all that
their authors wrote are counted; no label is read. The table holds every piece of the vocabulary of all-MiniLM-L6-v2 but
those without a use, and every word that is counted at least N times and is no piece itself. Each is encoded alone by
sentence-transformers (mean of all tokens; the weights are checked by their hash), the mean of all is taken off, and the
axes along which they differ most are kept, in steps of one size that int8 holds.

The same packages on the same machine give the same bytes. Another machine or another torch may give a step more or less
here and there, and so another hash: calibrations are fitted anew after the table is made anew.
"""

from __future__ import annotations

import argparse
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.matching.embeddings import MINILM, ContextualEncoder
from evalkit.matching.tokens import analyse
from evalkit.storage.files import write_bytes

ROOT = Path(__file__).resolve().parent.parent
BATCH = 256
MARKUP = re.compile(r"<style>.*?</style>|<[^>]*>", re.DOTALL)
CLIPPED = 1e-4  # the share of numbers that lie beyond the largest step


def main() -> None:
    """Write the table and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="+")
    parser.add_argument("--out", default=str(ROOT / "evalkit/matching/embeddings/words.npz"))
    parser.add_argument("--least", type=int, default=2)
    parser.add_argument("--axes", type=int, default=128)
    chosen = parser.parse_args()
    counts = counted(chosen.plans)
    encoder = ContextualEncoder.find(MINILM)
    vocabulary = encoder.folder.joinpath("vocab.txt").read_text(encoding="utf-8").splitlines()
    pieces = [piece for piece in vocabulary if piece == "[UNK]" or not (piece[0] == "[" and piece[-1] == "]")]
    own = sorted(word for word, count in counts.items() if count >= chosen.least and word not in set(pieces))
    words = [*pieces, *own]
    content = table(words, in_steps(reduced(encoded(encoder, words), chosen.axes)), [counts[word] for word in words])
    write_bytes(chosen.out, content)
    print(f"{len(pieces)} pieces, {len(own)} words of the field, {sum(counts.values())} words counted")
    print(f"{chosen.out}: {len(content)} bytes, {encoder.fingerprint}")


def counted(folders: Sequence[str]) -> Counter[str]:
    """Return how often each word stands in the documents below these folders, what is markup left out."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*") if path.suffix in (".md", ".json"))
    texts = (MARKUP.sub(" ", path.read_text(encoding="utf-8")) for path in paths)
    return Counter(word for text in texts for word in analyse(text).spelled)


def encoded(encoder: ContextualEncoder, words: Sequence[str]) -> NDArray[np.float64]:
    """Return the mean of the states of all tokens of each word alone; a piece is encoded as the piece it is."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder.folder), device="cpu", model_kwargs={"use_safetensors": True}).eval()
    tokenizer, vectors = model.tokenizer, np.zeros((len(words), 384))
    by_length: dict[int, list[tuple[int, list[int]]]] = {}
    for place, word in enumerate(words):
        ids = [word] if word in tokenizer.vocab else tokenizer.tokenize(word)
        ids = tokenizer.convert_tokens_to_ids(["[CLS]", *ids, "[SEP]"])
        by_length.setdefault(len(ids), []).append((place, ids))
    for group in by_length.values():
        for start in range(0, len(group), BATCH):
            places, rows = zip(*group[start : start + BATCH], strict=True)
            ids = torch.tensor(rows)
            with torch.no_grad():
                states = model[0].auto_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            vectors[list(places)] = states.numpy().astype(np.float64).mean(axis=1)
    return vectors


def reduced(vectors: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """Return vectors of length 1 less their mean, along the axes on which they differ most."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    kept = directions[:, ::-1][:, :axes]
    largest = kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])]
    return vectors @ (kept * np.sign(largest))


def in_steps(vectors: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return vectors in whole steps of one size."""
    step = np.quantile(np.abs(vectors), 1 - CLIPPED) / 127
    return np.clip(np.rint(vectors / step), -127, 127).astype(np.int8)


def table(words: Sequence[str], vectors: NDArray[np.int8], counts: Sequence[int]) -> bytes:
    """Return the bytes of a table; arrays as numpy writes them, words as lines of UTF-8."""
    text = np.frombuffer("\n".join(words).encode("utf-8"), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, words=text, vectors=vectors, counts=np.array(counts, np.int32))
    return stream.getvalue()


if __name__ == "__main__":
    main()
