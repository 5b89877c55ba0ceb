"""Measure a language model that judges pairs on labels: sensitivity, specificity, answers that the order changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from evalkit.labels.from_files import labelled_inputs
from evalkit.matching.calibration import probabilities
from evalkit.matching.features import features
from evalkit.matching.plugged import find_plugin, is_plugin
from evalkit.scoring.pipeline import Progress
from evalkit.scoring.scorer import calibration_for
from evalkit.settings import Settings
from evalkit.storage.cache import Store
from evalkit.types import Opinion, Question

if TYPE_CHECKING:
    from evalkit.judges.llm import Panel
    from evalkit.labels.evaluate import Vectors
    from evalkit.storage.label_files import LabelledPlan

SCHEMA_VERSION = 1
KINDS = ("all", "borderline")


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A labelled pair as a question, and whether the matcher is unsure of it."""

    question: Question
    match: bool
    part: bool
    borderline: bool


def measure_judge(
    paths: Sequence[str], settings: Settings, panel: Panel, store: Store | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Ask a panel about every labelled pair of these files, once in each order of the sides."""
    rows, vectors, model = labelled_inputs(paths, settings, store, progress)
    pairs = [pair for row in rows for pair in _pairs(row, settings, vectors)]
    swapped = panel.swapped()
    questions = [pair.question for pair in pairs]
    swapped.submit(questions)  # batches of both orders are out at the same time
    first, second = panel.ask(questions), swapped.ask(questions)
    answered = [pair for pair in pairs if pair.question in first]
    return {
        "schema_version": SCHEMA_VERSION, "judge": panel.signature, "judges": list(panel.settings.models),
        "model": model, "rows": len(rows), "papers": len({row.paper for row in rows}), "pairs": len(pairs),
        "answered": len(answered), "spent": swapped.spent(),
        "trouble": "; ".join(filter(None, (panel.trouble(), swapped.trouble()))),
        "agreement": {kind: _agreement([p for p in answered if p.borderline or kind == "all"], first)
                      for kind in KINDS},
        "position": position(pairs, first, second, panel.seed),
    }  # fmt: skip


def _pairs(row: LabelledPlan, settings: Settings, vectors: Vectors | None) -> list[LabelledPair]:
    """Return the pairs of a plan that somebody decided."""
    if is_plugin(settings.matcher):
        plugin = find_plugin(settings.matcher)
        limits, (_, chances) = plugin.calibration.thresholds, plugin(row.gold, row.plan)
    else:
        calibration = calibration_for(settings)
        limits, (_, chances) = calibration.thresholds, probabilities(features(row.gold, row.plan, vectors), calibration)
    unsure = (limits.low <= chances) & (chances <= limits.high)
    return [
        LabelledPair(
            Question(row.paper, row.gold[g], row.plan[p], row.planner),
            bool(row.match_table[g, p]), bool(row.part_table[g, p]), bool(unsure[g, p]),
        )
        for g, p in zip(*row.known_table.nonzero(), strict=True)
    ]  # fmt: skip


def _agreement(pairs: Sequence[LabelledPair], opinions: Mapping[Question, Opinion]) -> dict[str, Any]:
    """Return sensitivity and specificity of full matches and of parts."""
    return {
        what: {
            name: share(
                [(p.question.paper, getattr(opinions[p.question], what) == truth)
                 for p in pairs if getattr(p, what) == truth]
            )
            for name, truth in (("sensitivity", True), ("specificity", False))
        }
        for what in ("match", "part")
    }  # fmt: skip


def share(agreed: Sequence[tuple[str, bool]]) -> dict[str, float | int | None]:
    """Return the share of pairs that agree, with Wilson's 95% interval; pairs of one paper count as far as they differ.

    The number of pairs is divided by the design effect: how many times the variance between papers is that of pairs
    that know nothing of each other, at least 1.
    """
    if not agreed:
        return {"pairs": 0, "value": None, "low": None, "high": None}
    papers = sorted({paper for paper, _ in agreed})
    place = {paper: at for at, paper in enumerate(papers)}
    hits, totals = np.zeros(len(papers)), np.zeros(len(papers))
    for paper, yes in agreed:
        hits[place[paper]] += yes
        totals[place[paper]] += 1
    low, high = wilson(value := float(hits.sum() / totals.sum()), len(agreed) / design_effect(hits, totals))
    return {"pairs": len(agreed), "value": value, "low": low, "high": high}


def design_effect(hits: NDArray[np.float64], totals: NDArray[np.float64]) -> float:
    """Return the variance of a share over papers beside that of independent pairs; at least 1."""
    n, papers = float(totals.sum()), len(totals)
    value = float(hits.sum() / n)
    if papers < 2 or value in (0.0, 1.0):
        return 1.0
    between = papers / (papers - 1) * float(((hits - value * totals) ** 2).sum()) / n**2
    return max(1.0, between / (value * (1 - value) / n))


def wilson(value: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share of n."""
    z = float(norm.ppf((1 + level) / 2))
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def position(
    pairs: Sequence[LabelledPair], first: Mapping[Question, Opinion], second: Mapping[Question, Opinion], seed: int
) -> dict[str, Any]:
    """Return how many matches depend on the order of the sides, with McNemar's exact test that no order is favoured."""
    from evalkit.judges.llm.prompts import gold_first

    asked = {pair.question for pair in pairs if pair.question in first and pair.question in second}
    favoured = {True: 0, False: 0}
    for question in asked:
        if first[question].match != second[question].match:
            favoured[first[question].match == gold_first(question, seed)] += 1
    changed = sum(favoured.values())
    p = float(binomtest(favoured[True], changed).pvalue) if changed else None
    return {"pairs": len(asked), "changed": changed, "gold_first_only": favoured[True],
            "gold_second_only": favoured[False], "p": p}  # fmt: skip
