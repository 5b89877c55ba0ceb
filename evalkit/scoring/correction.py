"""Correct figures of the matcher by labels of a random sample of papers, with intervals.

Prediction-powered: the labels say how far the matcher is off, its figures of all papers say the rest. Of matches, the
figure to be expected by its probabilities is taken: it follows the labels more closely than the one of its decisions. A
macro figure corrects per-paper ratios, a micro figure per-paper sums; denominators are known everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit import stats
from evalkit.matching.assign import align
from evalkit.metrics.counts import score_paper
from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.scoring.leaderboard import papers_of
from evalkit.scoring.reference_labels import SAMPLING
from evalkit.scoring.rows import score_columns
from evalkit.settings import Settings
from evalkit.stats import Measure
from evalkit.storage.label_files import Labels
from evalkit.storage.runs import Run
from evalkit.storage.tables import Table
from evalkit.types import PaperScore, Plan, Thresholds

if TYPE_CHECKING:
    import pandas as pd

CORRECTED = shown_in("corrected")
HITS = ("match_gold", "match_plan", "part_gold", "part_plan")
SIZES = ("gold_entries", "plan_entries")
LABELLED = [f"label_{name}" for name in (*CORRECTED, *HITS)]
Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def corrected(run: Run, work: Sequence[tuple[Plan, Plan]], labels: Labels, settings: Settings) -> Run:
    """Return the run with figures that labels of some of its papers correct, and what makes that doubtful."""
    truth = [score for gold, plan in work if (score := label_score(gold, plan, labels, settings)) is not None]
    papers = label_columns(run.columns("papers"), papers_of(score_columns(truth)))
    board = with_correction(run.columns("leaderboard"), papers, resamples=settings.resamples)
    labelled = len({paper for paper, known in zip(papers["paper"], papers["labelled"], strict=True) if known})
    doubts = labels.doubts([plan for _, plan in work])
    if labelled < stats.FEW_PAPERS:
        papers_are = "1 paper is" if labelled == 1 else f"{labelled} papers are"
        doubts.append(f"only {papers_are} labelled: the corrected intervals say little")
    facts = {
        "digest": labels.digest, "papers": labelled, "plans": int(papers["labelled"].sum()), "doubts": doubts,
        "ship_with_references": all(row.sampling == SAMPLING for row in labels.rows),
    }  # fmt: skip
    meta = {**run.meta, "labels": facts, "warnings": [*run.meta["warnings"], *doubts]}
    return run.replace(leaderboard=board, papers=papers, meta=meta)


def label_score(gold: Plan, plan: Plan, labels: Labels, settings: Settings) -> PaperScore | None:
    """Return the counts if the matcher decided as the labels do; None for a plan without labels."""
    tables = labels.tables(gold, plan)
    if tables is None:
        return None
    certain = Thresholds(0.5, 0.5, 2.0, 2.0)
    alignment = align(*tables, (gold.ablations, plan.ablations), certain, settings.alignment)
    return score_paper(gold, plan, alignment, (alignment, alignment))


def label_columns(papers: Table, truth: Table) -> dict[str, Any]:
    """Return the papers table with what labels say beside what the matcher said; empty where there are none."""
    rows = {key: row for row, key in enumerate(zip(truth["planner"], truth["paper"], strict=True))}
    found = [rows.get(key, -1) for key in zip(papers["planner"], papers["paper"], strict=True)]
    samples = np.append(truth["samples"], 0)[found]
    complete = samples == np.asarray(papers["samples"])
    names = {f"sum {name}": f"label_{name}" for name in HITS} | {name: f"label_{name}" for name in CORRECTED}
    columns = {new: np.where(complete, np.append(truth[name], np.nan)[found], np.nan) for name, new in names.items()}
    return {**papers, "labelled": complete, **columns}


def with_correction(board: Table, papers: Table, *, resamples: int) -> dict[str, Any]:
    """Return the leaderboard with corrected figures behind their own, for planners with two labelled plans or more."""
    places = {planner: list[int]() for planner in board["planner"]}
    for row in sorted(range(len(papers["paper"])), key=lambda row: str(papers["paper"][row])):
        places[papers["planner"][row]].append(row)
    numbers = {name: np.asarray(column) for name, column in papers.items()}
    rows = [
        _corrected({name: column[own] for name, column in numbers.items()}, resamples=resamples)
        for own in places.values()
    ]
    new = {name: np.array([row.get(name, np.nan) for row in rows]) for name in dict.fromkeys(chain(*rows))}
    names, order = list(board), list[str]()  # each figure's correction stands behind it and its interval
    for name, following in zip(names, [*names[1:], ""], strict=True):
        order.append(name)
        figure = name.removesuffix("_high")
        if figure != name or following != f"{name}_low":
            order += [one for end in ("", "_low", "_high") if (one := f"{figure}_corrected{end}") in new]
    wide = {**board, **new}
    return {name: wide[name] for name in (*order, *(name for name in new if name not in order))}


def _corrected(own: Table, *, resamples: int) -> dict[str, Any]:
    labelled = np.asarray(own["labelled"], dtype=np.bool_)
    figures: dict[str, Any] = {"labelled_papers": int(labelled.sum())}
    if not _enough([own], labelled):
        return figures
    measures = {
        f"{name}_micro" if micro else name: measure([own], name, labelled, micro=micro)
        for name in CORRECTED
        for micro in (False, True)
    }
    intervals = stats.intervals(list(measures.values()), labelled=labelled)
    for name, interval in zip(measures, intervals, strict=True):
        value, low, high = (float(np.clip(end[0], 0, 1)) for end in (interval.value, interval.low, interval.high))
        figures[f"{name}_corrected"] = value
        if resamples:
            figures |= {f"{name}_corrected_low": low, f"{name}_corrected_high": high}
    return figures


def measure(tables: Sequence[Any], name: str, labelled: Flags, *, micro: bool) -> Measure:
    """Return a corrected figure of one planner or several on the same papers, in the same order."""
    if micro:  # the ratio of corrected sums of hits to the known sums of entries
        hits = np.stack([_predicted(tables, hit) for hit in HITS], axis=2)
        truth = np.stack([_zero(_stack(tables, f"label_{hit}")) for hit in HITS], axis=2)
        sums, _ = stats.corrected_sums(hits, truth, labelled, doubtful(tables))
        columns = {hit: sums[:, :, index] for index, hit in enumerate(HITS)}
        return stats.formula_measure(columns | {size: _stack(tables, size) for size in SIZES}, FIGURES[name].formula)
    # The mean over papers of a ratio; whether it is defined depends on the lists alone, so it is known everywhere.
    predicted, truth = _zero(_predicted(tables, name)), _zero(_stack(tables, f"label_{name}"))
    sums, _ = stats.corrected_sums(predicted[:, :, None], truth[:, :, None], labelled, doubtful(tables))
    defined = ~np.isnan(_stack(tables, name))[:, :, None]
    return stats.micro(np.concatenate([sums, defined], axis=2), lambda sums: stats.divide(sums[..., 0], sums[..., 1]))


def _predicted(tables: Sequence[Any], name: str) -> Array:
    """Return what the matcher says of a figure or sum [paper, planner]: by its probabilities, where they are kept."""
    known = all(f"{hits}_expected" in table for table in tables for hits in HITS[:2])
    if not name.startswith("match_") or not known:
        return _stack(tables, name)
    columns = {hits: _stack(tables, f"{hits}_expected") for hits in HITS[:2]}
    columns |= {size: _stack(tables, size) for size in SIZES}
    return columns[name] if name in columns else FIGURES[name].formula(columns)


def doubtful(tables: Sequence[Any]) -> Flags:
    """Return where labels have anything to say [paper, planner]: a missing or empty plan surely has no hits."""
    return np.logical_and(*(_stack(tables, size) > 0 for size in SIZES))


def _enough(tables: Sequence[Any], labelled: Flags) -> bool:
    """Return whether two papers or more of each planner say how far the matcher is off."""
    return bool((doubtful(tables) & labelled[:, None]).sum(axis=0).min() >= 2)


def _stack(tables: Sequence[Any], name: str) -> Array:
    return np.stack([np.asarray(table[name], dtype=np.float64) for table in tables], axis=1)


def _zero(values: Array) -> Array:
    return np.nan_to_num(values, nan=0.0)


def shared_measure(
    base: pd.DataFrame, new: pd.DataFrame, name: str, *, micro: bool = False
) -> tuple[Measure, Flags] | None:
    """Return a corrected figure of base and new on the papers of both, and which of them both have labels of.

    None with fewer than two such plans: nothing could be said of their spread.
    """
    if "labelled" not in base or "labelled" not in new:
        return None
    common = sorted(set(base["paper"]) & set(new["paper"]))
    tables = [table.set_index("paper").loc[common] for table in (base, new)]
    labelled = np.logical_and(*(is_labelled(table) for table in tables))
    return (measure(tables, name, labelled, micro=micro), labelled) if _enough(tables, labelled) else None


def is_labelled(papers: pd.DataFrame) -> Flags:
    """Return which rows of papers.csv have labels, whether it was read from a file or not."""
    return np.asarray(papers["labelled"].astype(str).eq("True"), dtype=np.bool_)
