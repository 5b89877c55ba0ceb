"""Measure a language model that judges pairs on labels: sensitivity, specificity, answers that the order changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.errors import InputError
from evalkit.labels.from_files import labelled_inputs
from evalkit.matching.calibration import probabilities
from evalkit.matching.features import features
from evalkit.matching.plugged import find_plugin, is_plugin
from evalkit.scoring.matcher import calibration_for
from evalkit.scoring.pipeline import Progress
from evalkit.settings import Settings
from evalkit.stats import Share, corrected_rate, design_effect_of, wilson
from evalkit.storage.cache import Store
from evalkit.storage.runs import read_meta
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
    progress: Progress | None = None, run: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Ask a panel about every labelled pair of these files, once in each order of the sides.

    With a `run` that this panel decided, correct how often it found a match there.
    """
    judged = _judged_run(run, settings, panel) if run else None
    rows, vectors, model = labelled_inputs(paths, settings, store, progress)
    pairs = [pair for row in rows for pair in _pairs(row, settings, vectors)]
    swapped = panel.swapped()
    questions = [pair.question for pair in pairs]
    swapped.submit(questions)  # batches of both orders are out at the same time
    first, second = panel.ask(questions), swapped.ask(questions)
    answered = [pair for pair in pairs if pair.question in first]
    agreed = {kind: _agreement([p for p in answered if p.borderline or kind == "all"], first) for kind in KINDS}
    corrected = {"run": corrected_run(judged, agreed)} if judged else {}
    return {
        "schema_version": SCHEMA_VERSION, "judge": panel.signature, "judges": list(panel.settings.models),
        "model": model, "rows": len(rows), "papers": len({row.paper for row in rows}), "pairs": len(pairs),
        "answered": len(answered), "spent": swapped.spent(),
        "trouble": "; ".join(filter(None, (panel.trouble(), swapped.trouble()))),
        "agreement": agreed, "position": position(pairs, first, second, panel.seed), **corrected,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run that a panel decided: what it was asked about, and what it decided."""

    path: str
    kind: str
    facts: Mapping[str, Any]


def _judged_run(path: str, settings: Settings, panel: Panel) -> JudgedRun:
    """Read a run; refuse one of another judge, or whose pairs another matcher chose."""
    meta = read_meta(path)
    facts, signature = meta.get("judge"), meta["signature"]
    if facts is None:
        raise InputError(f"{path}: no judge decided anything in this run; score it with --judge")
    if "planners" not in facts:
        raise InputError(f"{path}: it lacks what its judge decided of whom; score it again, the answers are kept")
    own = {panel.named(everything=kind == "all"): kind for kind in KINDS}
    name, _, _ = signature["judge"].partition(" (")
    if name not in own:
        raise InputError(f"{path}: the judge of this run is {name}, and here it is {panel.signature}")
    if not is_plugin(settings.matcher) and signature["calibration"] != (ours := calibration_for(settings).id):
        raise InputError(
            f"{path}: the calibration {signature['calibration']} chose the pairs of this run, and here it is {ours};"
            " name the matcher, calibration and model of the run"
        )
    return JudgedRun(path, own[name], facts)


def corrected_run(run: JudgedRun, agreed: Mapping[str, Any]) -> dict[str, Any]:
    """Return how often the judge of a run found a match, of each planner and in all, corrected by what it errs."""
    found = agreed[run.kind]["match"]
    known = [found[name]["value"] is not None for name in ("sensitivity", "specificity")]
    shares = [Share(found[name]["value"], found[name]["effective_pairs"])
              for name, is_known in zip(("sensitivity", "specificity"), known, strict=True) if is_known]  # fmt: skip
    total = {name: run.facts.get(name) for name in ("decided", "matches", "design_effect")}
    rows = [{"planner": planner, **_corrected(own, shares)} for planner, own in run.facts["planners"].items()]
    reason = ""
    if not all(known):
        reason = "the labels have no match, or nothing but matches, among such pairs"
    elif shares[0].value + shares[1].value <= 1:
        reason = "sensitivity and specificity add up to no more than 1: the judge cannot tell a match from another pair"
    return {"path": run.path, "pairs": run.kind, "all": _corrected(total, shares), "planners": rows, "reason": reason}


def _corrected(own: Mapping[str, Any], shares: Sequence[Share]) -> dict[str, Any]:
    """Return a planner's share of judged pairs that are matches: what the judge says, and what that means."""
    decided, matches = own["decided"], own["matches"]
    rate = Share(matches / decided, decided / own["design_effect"]) if decided else None
    true = corrected_rate(rate, shares[0], shares[1]) if rate and len(shares) == 2 else None
    value, low, high = true or (None, None, None)
    return {"decided": decided, "matches": matches, "rate": rate and rate.value,
            "corrected": value, "low": low, "high": high}  # fmt: skip


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
        return {"pairs": 0, "effective_pairs": 0.0, "value": None, "low": None, "high": None}
    papers: dict[str, tuple[int, int]] = {}
    for paper, yes in agreed:
        hits, total = papers.get(paper, (0, 0))
        papers[paper] = (hits + yes, total + 1)
    n = len(agreed) / design_effect_of(papers)
    low, high = wilson(value := sum(yes for _, yes in agreed) / len(agreed), n)
    return {"pairs": len(agreed), "effective_pairs": n, "value": value, "low": low, "high": high}


def position(
    pairs: Sequence[LabelledPair], first: Mapping[Question, Opinion], second: Mapping[Question, Opinion], seed: int
) -> dict[str, Any]:
    """Return how many matches depend on the order of the sides, with McNemar's exact test that no order is favoured."""
    from scipy.stats import binomtest  # a second of loading, which other work on labels has no need of

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
