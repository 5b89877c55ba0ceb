"""Prints the experiment behind the shipped calibrations: what each group of features is worth, and what was tried.

    .venv/bin/python scripts/matcher_experiment.py LABELS... [--model NAME] [--quick | --errors 40 | --cost]

LABELS are ../shared/data/alignment/dev.jsonl and references.jsonl for what docs/matcher.md quotes.

Every figure is for papers held out in five folds, F1 at thresholds that the other folds chose. Features were chosen by
looking at such figures on these papers; `nested` therefore uses other folds and chooses the penalty inside the training
folds alone. --quick leaves out what takes minutes, --errors prints that many held-out mistakes instead of all this,
--cost what the features of known texts cost.

Line by line, a profiler showed of `Scorer.score`, 5 x 5 entries, that of 2.66 ms a plan 1.89 went into features: about
130 calls of numpy over small arrays, of which `maximum.reduceat` was the dearest; rows for segments without words, a
quarter of all; and, for every plan anew, what the gold list alone decides. Rows without words are gone, the best word
of a segment is taken by place, one list's share is made once and kept, and reasons are told from one array: 1.35 ms,
of which features are 0.88 (least of twelve runs over 100 pairs of lists, before and after in turn on one machine).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.cli.options import workplace
from evalkit.labels import evaluate, fitting
from evalkit.labels.fitting import FAMILIES, FOLDS, PENALTY, Pairs, figures, fit, fold_of, held_out, predict
from evalkit.matching import features
from evalkit.matching.calibration import log_odds, probabilities, sigmoid
from evalkit.matching.embeddings import TextVectors
from evalkit.matching.features import coverage, options, semantic, traits, words
from evalkit.matching.rules import Need
from evalkit.scoring.matcher import calibration_for, encoder_for
from evalkit.settings import Settings
from evalkit.storage.label_files import LabelledPlan, read_labels

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Vectors = Mapping[str, TextVectors]

GROUPS: dict[str, Callable[[str], bool]] = {
    "words by spelling": lambda name: name.startswith("word."),
    "words by meaning": lambda name: name.startswith("meaning."),
    "parts and names as texts": lambda name: name.startswith("phrase."),
    "contrast (alternatives)": lambda name: name.endswith((".first", ".second", ".own")),
    "heaviest missing word": lambda name: name.endswith((".miss", ".least")),
    "head against modifiers": lambda name: ".head>" in name or ".tail>" in name,
    "overlap of options": lambda name: name.startswith("options."),
    "actions": lambda name: name.startswith("act."),
    "what amounts to removing": lambda name: name.startswith(("removal.", "part.weighed")),
    "weighted means of words": lambda name: name.startswith("whole."),
    "aspects": lambda name: name.startswith("aspect."),
    "sweeps and kinds of options": lambda name: name.startswith(("sweep.", "option.")),
    "outward form": lambda name: name.startswith(("part.", "name.", "list.")),
}
# Who makes which features: the functions whose time is taken, by the names under which `features` calls them.
CLOCKED: dict[str, tuple[Any, str]] = {
    "abbreviations": (features, "expansions"),
    "each list's tables": (features, "list_tables"),
    "each list's vectors": (features, "list_vectors"),
    "spelling of words": (words, "spelling_similarity"),
    "meaning of words": (semantic, "word_similarity"),
    "word.* and meaning.*": (coverage, "coverage"),
    "options.*: words": (options, "_by_spelling"),
    "options.*: meaning": (options, "_by_meaning"),
    "options.*: counterparts": (options, "_counterparts"),
    "options.*": (options.OptionPairs, "__init__"),
    "act, sweep, option, part, name, list, aspect": (traits.TRAIT_FEATURES, "compute"),
    "phrase.*": (semantic, "phrase_features"),
}
FIVE = (5, 5)
HEAD = f"{'':34s}    n  | match F1 AP ECE    | part F1 AP ECE"


def without(pairs: Pairs, dropped: Callable[[str], bool]) -> Pairs:
    """The pairs without some features."""
    kept = [at for at, name in enumerate(pairs.names) if not dropped(name)]
    return replace(pairs, names=tuple(pairs.names[at] for at in kept), values=pairs.values[:, kept])


def line(label: str, pairs: Pairs, part: Array, match: Array) -> None:
    """One row of the table: figures of full matches and of parts."""
    cells = []
    for chances, truth in ((match, pairs.match), (part, pairs.part)):
        found = figures(pairs, chances, truth, pairs.weights)
        cells.append(f"{found['f1']:.3f} {found['average_precision']:.3f} {found['ece']:.3f}")
    print(f"{label:34s} {len(pairs.names):4d}  | {cells[0]} | {cells[1]}", flush=True)


def by_fold(pairs: Pairs, guess: Callable[[Flags], tuple[Array, Array]]) -> tuple[Array, Array]:
    """Both probabilities of every pair, each by a guess that was made from the other folds."""
    part, match = np.zeros(len(pairs.folds)), np.zeros(len(pairs.folds))
    for fold in np.unique(pairs.folds):
        out = pairs.folds == fold
        part[out], match[out] = (chances[out] for chances in guess(~out))
    return part, match


def scaled(factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in PENALTY.items()}


def direct(pairs: Pairs, train: Flags) -> tuple[Array, Array]:
    """Full matches by a model of their own instead of by part times match-given-part."""
    part, _ = predict(pairs, fit(pairs, train))
    model = fitting.fit_linear(pairs.names, pairs.values[train], pairs.match[train], PENALTY["part"])
    return part, sigmoid(log_odds(pairs.seen(), model))


def everything(pairs: Pairs, train: Flags) -> tuple[Array, Array]:
    """The models of options on all features instead of on actions and options."""
    with seeing(dict.fromkeys(PENALTY, lambda _: True)):
        return predict(pairs, fit(pairs, train))


def one_for_both(pairs: Pairs, train: Flags) -> tuple[Array, Array]:
    """One model for removals and shared options instead of one for each; rules as they are."""
    models = fit(pairs, train)
    shared = train & pairs.part & (pairs.needs >= Need.REMOVAL)
    columns = [at for at, name in enumerate(pairs.names) if fitting.OPTION_FEATURES.match(name)]
    names, values = [pairs.names[at] for at in columns], pairs.values[:, columns][shared]
    both = fitting.fit_linear(names, values, pairs.match[shared], PENALTY["overlap"])
    return predict(pairs, replace(models, removal=both, overlap=both))


@contextmanager
def seeing(features_of: Mapping[str, Callable[[str], object]]) -> Iterator[None]:
    """Let the models see other features within the block."""
    kept, fitting.SEEN_BY = fitting.SEEN_BY, features_of
    try:
        yield
    finally:
        fitting.SEEN_BY = kept


def trees(pairs: Pairs, train: Flags) -> tuple[Array, Array]:
    """Gradient-boosted trees for all three models."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    part, match = np.zeros(len(pairs.part)), np.where(pairs.needs == Need.NOTHING, 1.0, 0.0)
    for name, (truth, where) in pairs.targets().items():
        seen = [at for at, feature in enumerate(pairs.names) if fitting.SEEN_BY[name](feature)]
        model = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=200, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=5, random_state=0
        )
        rows = train & where
        chances = model.fit(pairs.values[rows][:, seen], truth[rows]).predict_proba(pairs.values[:, seen])[:, 1]
        if name == "part":
            part = chances
        else:
            needed = pairs.needs == Need[name.upper()]
            match[needed] = chances[needed]
    return part, part * match


def between(one: Array, other: Array) -> Array:
    """Two probabilities averaged in log-odds."""
    odds = [np.log(p / (1 - p)) for p in (np.clip(chances, 1e-9, 1 - 1e-9) for chances in (one, other))]
    return sigmoid((odds[0] + odds[1]) / 2)


def models(pairs: Pairs, *, quick: bool) -> None:
    """Other models on the same features, and another threshold."""
    shipped = held_out(pairs)
    line("the chain (shipped)", pairs, *shipped)
    line("one model for matches", pairs, *by_fold(pairs, lambda train: direct(pairs, train)))
    line("one model of options for both needs", pairs, *by_fold(pairs, lambda train: one_for_both(pairs, train)))
    line("models of options see all", pairs, *by_fold(pairs, lambda train: everything(pairs, train)))
    for factor in (1 / 3, 3):
        line(f"penalty x {1 / factor:.2g}", pairs, *held_out(pairs, scaled(factor)))
    if not quick:
        boosted = by_fold(pairs, lambda train: trees(pairs, train))
        line("boosted trees", pairs, *boosted)
        line("trees and chain averaged", pairs, *(between(a, b) for a, b in zip(shipped, boosted, strict=True)))
    for name, choose in (("as many as are true", balanced), ("half of F1", half_of_f1), ("best F1", best_threshold)):
        decided = np.zeros(len(pairs.folds), dtype=bool)
        limits = []
        for fold in range(FOLDS):
            out = pairs.folds == fold
            limits.append(choose(shipped[1][~out], pairs.match[~out]))
            decided[out] = shipped[1][out] >= limits[-1]
        found = evaluate.decisions(decided, pairs.match)
        print(f"threshold by {name}: {min(limits):.3f} to {max(limits):.3f}, match F1 {found['f1']:.4f}", flush=True)


def balanced(chances: Array, truth: Flags) -> float:
    """The threshold that decides as many pairs as are true."""
    return evaluate.balanced_threshold(chances, truth, np.ones(len(chances)))


def half_of_f1(chances: Array, truth: Flags) -> float:
    """The threshold that is half of the F1 it gives: for calibrated probabilities, the best."""
    threshold = 0.4
    for _ in range(50):
        reached = evaluate.decisions(chances >= threshold, truth)["f1"] or 0.0
        threshold = 0.9 * threshold + 0.1 * reached / 2
    return threshold


def best_threshold(chances: Array, truth: Flags) -> float:
    """The threshold with the highest F1 on these pairs."""
    order = np.argsort(-chances, kind="stable")
    hits = np.cumsum(truth[order])
    return float(chances[order][np.argmax(2 * hits / (np.arange(1, len(order) + 1) + truth.sum()))])


def learning_curve(pairs: Pairs, papers: Sequence[str]) -> None:
    """Average precision on each fold from growing numbers of training papers, drawn three times."""
    for size in (20, 40, 80, 160, len(set(papers))):
        found = []
        for seed in range(3 if size < len(set(papers)) else 1):
            order = np.random.default_rng(seed).permutation(sorted(set(papers)))
            for fold in range(FOLDS):
                chosen = [paper for paper in order if fold_of(paper) != fold][:size]
                part, match = predict(pairs, fit(pairs, np.isin(papers, chosen)))
                out = pairs.folds == fold
                pairs_of = ((match, pairs.match), (part, pairs.part))
                found.append(
                    [evaluate.ranking(chances[out], truth[out])["average_precision"] for chances, truth in pairs_of]
                )
        match_ap, part_ap = np.mean(found, axis=0)
        most = max(len({paper for paper in papers if fold_of(paper) != fold}) for fold in range(FOLDS))
        print(f"  {min(size, most):4d} papers  match AP {match_ap:.3f}  part AP {part_ap:.3f}", flush=True)


def nested(rows: Sequence[LabelledPlan], vectors: Vectors) -> None:
    """Figures with the penalty chosen inside the training folds, on folds that nothing was chosen by."""
    pairs = fitting.table_of(rows, "hybrid", vectors, seed="nested")
    inside = np.array([fold_of(paper, "inside") for paper in papers_of(rows)])

    def chosen(train: Flags) -> tuple[Array, Array]:
        columns = (pairs.values, pairs.part, pairs.match, inside, pairs.needs, pairs.weights)
        some = Pairs(pairs.names, *(column[train] for column in columns))
        losses = {factor: loss(held_out(some, scaled(factor))[1], some.match) for factor in (1 / 3, 1.0, 3.0)}
        best = min(losses, key=lambda factor: losses[factor])
        print(f"  penalty x {1 / best:.2g}", flush=True)
        return predict(pairs, fit(pairs, train, scaled(best)))

    part, match = by_fold(pairs, chosen)
    for name, chances, truth in (("match", match, pairs.match), ("part", part, pairs.part)):
        found = figures(pairs, chances, truth, pairs.weights)
        curve = ", ".join(f"{point['share']:.0%} {point['f1']:.3f}" for point in found["risk_coverage"])
        print(f"  {name}: F1 {found['f1']:.3f} AP {found['average_precision']:.3f} ECE {found['ece']:.4f}; {curve}")


def loss(chances: Array, truth: Flags) -> float:
    sure = np.clip(chances, 1e-9, 1 - 1e-9)
    return float(-np.where(truth, np.log(sure), np.log(1 - sure)).mean())


def papers_of(rows: Sequence[LabelledPlan]) -> list[str]:
    """The paper of every decided pair."""
    return [row.paper for row in rows for _ in range(int(row.known_table.sum()))]


def judged(rows: Sequence[LabelledPlan], pairs: Pairs) -> dict[str, Any]:
    """The report of `evalkit agree` on held-out probabilities."""
    return evaluate.report(fitting.predictions(rows, pairs, *held_out(pairs)), "held out")


def planners(errors: Mapping[str, Any]) -> None:
    """Each planner's F1 by labels and by the matcher; tasks; what assignment makes of the decisions."""
    for one in errors["per_planner"]:
        print(f"  {one['planner']:40s} labels {one['f1_labels']:.3f} matcher {one['f1_matcher']:.3f}")
    print(
        f"  mean absolute error {errors['mean_absolute_error']:.4f}, rank correlation {errors['rank_correlation']:.2f}"
    )
    print(
        "  after assignment " + ", ".join(f"{name} {value:.4f}" for name, value in errors["after_assignment"].items())
    )
    for task, found in errors["by_task"].items():
        errors = found["planners"]
        signed = ", ".join(f"{one['planner'].rpartition('/')[2]} {one['error']:+.3f}" for one in errors["per_planner"])
        print(
            f"  {task:10s} match F1 {found['match']['f1']:.3f} AP {found['match']['average_precision']:.3f} "
            f"ECE {found['match']['ece']:.3f} part F1 {found['part']['f1']:.3f}; planners {signed}; "
            f"rank {errors['rank_correlation']:.2f} p {errors['p_planner_dependent'] or 1:.2f}"
        )


def errors(rows: Sequence[LabelledPlan], pairs: Pairs, count: int) -> None:
    """Held-out mistakes drawn by chance, with their texts."""
    part, match = held_out(pairs)
    limit = fitting.thresholds_of(pairs, part, match).match
    wrong = np.flatnonzero((match >= limit) != pairs.match)
    places = [(row, g, p) for row in rows for g, p in np.argwhere(row.known_table)]
    print(f"{len(wrong)} mistakes, {int(pairs.match[wrong].sum())} of them matches that were not found")
    for at in np.random.default_rng(0).permutation(wrong)[:count]:
        row, g, p = places[at]
        answer = "match" if pairs.match[at] else "same part" if pairs.part[at] else "different"
        print(f"\n{row.paper} ({row.task}): labels {answer}, match {match[at]:.2f}, part {part[at]:.2f}")
        for side, entry in (("gold", row.gold[g]), ("plan", row.plan[p])):
            print(f"  {side}: {entry.name} | {entry.part} | {entry.action} {'; '.join(entry.replacements)}")


@contextmanager
def clocks() -> Iterator[dict[str, float]]:
    """Times of the functions that make features, summed while the block runs."""
    spent = dict.fromkeys(CLOCKED, 0.0)
    before = {label: getattr(module, name) for label, (module, name) in CLOCKED.items()}

    def timed(label: str) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            begin = time.perf_counter()
            try:
                return before[label](*given)
            finally:
                spent[label] += time.perf_counter() - begin

        return call

    for label, (module, name) in CLOCKED.items():
        setattr(module, name, timed(label))
    try:
        yield spent
    finally:
        for label, (module, name) in CLOCKED.items():
            setattr(module, name, before[label])


def cost(rows: Sequence[LabelledPlan], vectors: Vectors, repeats: int = 5) -> None:
    """Microseconds a pair of five entries against five, by the function that makes the features; plans a second."""
    big = [row for row in rows if row.match_table.shape == FIVE]
    pairs = 25 * len(big)
    for row in big:  # texts are analysed once and kept; what is measured is a pair of known entries
        features.features(row.gold, row.plan, vectors)
    measured: list[dict[str, float]] = []
    for _ in range(repeats):
        with clocks() as spent:
            begin = time.perf_counter()
            seen = [features.features(row.gold, row.plan, vectors) for row in big]
            spent["all features"] = time.perf_counter() - begin
        calibration, begin = calibration_for(Settings()), time.perf_counter()
        for one in seen:
            probabilities(one, calibration)
        measured.append({**spent, "probabilities": time.perf_counter() - begin})
    for label in measured[0]:
        print(f"  {label:48s} {median(one[label] for one in measured) / pairs * 1e6:6.1f} us a pair")
    for name, given in (("hybrid", vectors), ("lexical", None)):
        taken = []
        for _ in range(repeats):
            begin = time.process_time()
            for row in big:
                features.features(row.gold, row.plan, given)
            taken.append(time.process_time() - begin)
        print(f"  {name}: {len(big) / median(taken):.0f} plans of five entries a second of processor time")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("labels", nargs="+")
    asked.add_argument("--model", default="static", help='what encodes texts; "" is the contextual one that ships')
    asked.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    asked.add_argument("--errors", type=int, default=0, metavar="N", help="print N held-out mistakes instead")
    asked.add_argument("--cost", action="store_true", help="only what features cost")
    asked.add_argument("--cache", metavar="DIR", help="where vectors are kept")
    chosen = asked.parse_args()
    rows = read_labels(chosen.labels)
    if chosen.cost:
        rows = [row for row in rows if row.match_table.shape == FIVE]
    texts = sorted({text for row in rows for text in features.needs(row.gold, row.plan)})
    with workplace({}, chosen.cache) as place, encoder_for(Settings(model=chosen.model), place["cache"]) as encoder:
        assert encoder is not None
        vectors = encoder.encode(texts)
    if chosen.cost:
        cost(rows, vectors)
        return
    rows = [row for row in rows if row.gold and row.plan]
    pairs = fitting.table_of(rows, "hybrid", vectors)
    if chosen.errors:
        errors(rows, pairs, chosen.errors)
    else:
        experiment(rows, pairs, vectors, quick=chosen.quick)


def experiment(rows: Sequence[LabelledPlan], pairs: Pairs, vectors: Vectors, *, quick: bool) -> None:
    """Everything, in the order of docs/matcher.md."""
    print(f"matchers\n{HEAD}")
    for matcher in FAMILIES:
        some = fitting.table_of(rows, matcher, vectors)
        line(matcher, some, *held_out(some))
    print("nested: penalty chosen inside the training folds, other folds")
    nested(rows, vectors)
    print("planners and tasks, held out")
    planners(judged(rows, pairs))
    if not quick:
        print(f"without a group of features\n{HEAD}")
        for group, dropped in GROUPS.items():
            some = without(pairs, dropped)
            line(f"- {group}", some, *held_out(some))
        print("learning curve, held out")
        learning_curve(pairs, papers_of(rows))
    print(f"models\n{HEAD}")
    models(pairs, quick=quick)
    print("cost of known texts")
    cost(rows, vectors)


if __name__ == "__main__":
    main()
