"""Prints whether people's ratings of phrases help the matcher, and how well its probabilities follow them.

    .venv/bin/python scripts/phrases_experiment.py PHRASES.csv LABELS... [--sample 4000]

PHRASES.csv is Google's Patent Phrase Similarity data (columns anchor, target, score from 0 to 1); it does not ship.
First: over a sample of its pairs, the correlation of people's scores with the cosine of the shipped vectors, with how
alike the spelling is, and with the probability of a shared part that the shipped calibration gives two entries of just
these phrases. Then: a ridge regression from two vectors to people's scores, on half of the anchors, with its
correlation on the other half. Last: that regression of two parts as one more feature of the part model, beside the
model without it, on the labelled plans, papers held out in five folds.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matcher_experiment import HEAD, line
from numpy.typing import NDArray
from rapidfuzz import fuzz
from scipy.stats import pearsonr, spearmanr
from sklearn.linear_model import Ridge

from evalkit import Ablation, Action, Settings
from evalkit.labels.fitting import Pairs, held_out, table_of
from evalkit.matching.calibration import probabilities
from evalkit.matching.embeddings import TextVectors
from evalkit.matching.features import features, needs
from evalkit.scoring.matcher import calibration_for, encoder_for
from evalkit.storage.label_files import LabelledPlan, read_labels

Array = NDArray[np.float64]
Vectors = Mapping[str, TextVectors]
SEED = 0


def entry(phrase: str) -> Ablation:
    """Return an entry that removes what the phrase says, and says no more."""
    return Ablation("", phrase, Action.REMOVE)


def products(one: Array, other: Array) -> Array:
    """Return what a regression may see of two vectors: their difference and their product, axis by axis."""
    one, other = (
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9) for vectors in (one, other)
    )
    cosine = (one * other).sum(axis=1, keepdims=True)
    return np.hstack([np.abs(one - other), one * other, cosine])


def sentences(texts: Sequence[str], vectors: Vectors) -> Array:
    """Return the vectors `[text, axis]` of whole texts."""
    return np.array([vectors[text].sentence for text in texts], np.float64)


def correlations(name: str, guess: Array, score: Array) -> None:
    """Print how far a guess follows people's scores."""
    print(
        f"{name:44s} Pearson {pearsonr(guess, score).statistic:.3f}  Spearman {spearmanr(guess, score).statistic:.3f}"
    )


def ratings(rows: Sequence[Mapping[str, str]], vectors: Vectors) -> Ridge:
    """Print the correlations and return the regression that was fitted to half of the anchors."""
    score = np.array([float(row["score"]) for row in rows])
    one, other = (sentences([row[side] for row in rows], vectors) for side in ("anchor", "target"))
    seen = products(one, other)
    print(f"{len(rows)} pairs of phrases")
    correlations("cosine of the shipped vectors", seen[:, -1], score)
    spelling = np.array([fuzz.token_set_ratio(row["anchor"], row["target"]) for row in rows])
    correlations("spelling (token set ratio)", spelling, score)
    calibration = calibration_for(Settings())
    chances = [
        probabilities(features([entry(row["anchor"])], [entry(row["target"])], vectors), calibration)[0][0, 0]
        for row in rows
    ]
    correlations("probability of a shared part", np.array(chances), score)
    anchors = sorted({row["anchor"] for row in rows})
    order = np.random.default_rng(SEED).permutation(len(anchors))
    half = {anchors[index] for index in order[: len(anchors) // 2]}
    train = np.array([row["anchor"] in half for row in rows])
    ridge = Ridge(alpha=10.0).fit(seen[train], score[train])
    correlations("regression, anchors held out", ridge.predict(seen[~train]), score[~train])
    correlations("cosine, the same pairs", seen[~train, -1], score[~train])
    return ridge


def with_ratings(pairs: Pairs, rows: Sequence[LabelledPlan], vectors: Vectors, ridge: Ridge) -> Pairs:
    """Return the labelled pairs with the regression's guess for their two parts as one more feature."""
    columns = []
    for row in rows:
        gold, plan = (sentences([item.part for item in side], vectors) for side in (row.gold, row.plan))
        g, p = np.divmod(np.arange(len(gold) * len(plan)), len(plan))
        table = ridge.predict(products(gold[g], plan[p])).reshape(len(gold), len(plan))
        columns.append(table[row.known_table])
    values = np.hstack([pairs.values, np.concatenate(columns)[:, None]])
    return replace(pairs, names=(*pairs.names, "people.parts"), values=values)


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("phrases", type=Path)
    asked.add_argument("labels", nargs="+")
    asked.add_argument("--sample", type=int, default=4000, help="pairs of phrases; 0 for all")
    chosen = asked.parse_args()
    with chosen.phrases.open(encoding="utf-8", newline="") as stream:
        phrases: list[dict[str, Any]] = list(csv.DictReader(stream))
    if chosen.sample:
        some = np.random.default_rng(SEED).choice(len(phrases), min(chosen.sample, len(phrases)), replace=False)
        phrases = [phrases[index] for index in sorted(some)]
    rows = [row for row in read_labels(chosen.labels) if row.gold and row.plan]
    texts = {text for row in phrases for text in needs([entry(row["anchor"])], [entry(row["target"])])}
    texts |= {row[side] for row in phrases for side in ("anchor", "target")}
    texts |= {text for row in rows for text in needs(row.gold, row.plan)}
    texts |= {item.part for row in rows for side in (row.gold, row.plan) for item in side}
    with encoder_for(Settings(), None) as encoder:
        assert encoder is not None
        vectors = encoder.encode(sorted(texts))
    ridge = ratings(phrases, vectors)
    pairs = table_of(rows, "hybrid", vectors)
    more = with_ratings(pairs, rows, vectors, ridge)
    written = np.concatenate([np.full(int(row.known_table.sum()), row.task == "reference") for row in rows])
    print(HEAD)
    for label, table in (("as it ships", pairs), ("with people's ratings of parts", more)):
        part, match = held_out(table)
        line(label, table, part, match)
        some = Pairs(table.names, *(getattr(table, name)[written] for name in
                     ("values", "part", "match", "folds", "needs", "weights")))  # fmt: skip
        line("  written references", some, part[written], match[written])


if __name__ == "__main__":
    main()
