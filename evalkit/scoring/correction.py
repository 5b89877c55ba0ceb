"""Takes per-paper figures of the matcher and of labels, gives figures corrected by the labels, with intervals.

Prediction-powered: labels of a random sample of papers say how far the matcher is off, its figures of all papers say
the rest. A macro figure corrects per-paper ratios, a micro figure per-paper sums; denominators are known everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import stats
from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.stats import Measure

CORRECTED = shown_in("corrected")
HITS = ("match_gold", "match_plan", "part_gold", "part_plan")
SIZES = ("gold_entries", "plan_entries")
LABELLED = [f"label_{name}" for name in (*CORRECTED, *HITS)]
Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def label_columns(papers: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The papers table with what labels say beside what the matcher said; empty where there are none."""
    keys = ["planner", "paper"]
    hits = {f"sum {name}": f"label_{name}" for name in HITS} | {name: f"label_{name}" for name in CORRECTED}
    known = truth[[*keys, "samples", *hits]].rename(columns=hits | {"samples": "labelled"})
    wide = papers.merge(known, on=keys, how="left")
    whole = wide["labelled"] == wide["samples"]
    wide[LABELLED] = wide[LABELLED].where(whole, np.nan)
    return wide.assign(labelled=whole)


def with_correction(board: pd.DataFrame, papers: pd.DataFrame, *, seed: int, resamples: int) -> pd.DataFrame:
    """The leaderboard with corrected figures behind their own, for planners with at least two labelled plans."""
    rows = []
    for planner in board["planner"]:
        own = papers[papers["planner"] == planner].sort_values("paper")
        rows.append({"planner": planner, **_corrected(own, seed=seed, resamples=resamples)})
    wide = board.merge(pd.DataFrame(rows), on="planner", how="left")
    return wide.loc[:, _beside(list(board.columns), list(wide.columns))]


def _corrected(own: pd.DataFrame, *, seed: int, resamples: int) -> dict[str, Any]:
    """One planner's corrected figures."""
    labelled = own["labelled"].to_numpy(dtype=bool)
    found: dict[str, Any] = {"labelled_papers": int(labelled.sum())}
    if not _enough([own], labelled):
        return found
    measures = {
        f"{name}_micro" if micro else name: measure([own], name, labelled, micro=micro)
        for name in CORRECTED
        for micro in (False, True)
    }
    ends = stats.intervals(list(measures.values()), seed=seed, resamples=max(resamples, 1), labelled=labelled)
    for name, interval in zip(measures, ends, strict=True):
        value, low, high = (float(np.clip(end[0], 0, 1)) for end in (interval.value, interval.low, interval.high))
        found[f"{name}_corrected"] = value
        if resamples:
            found |= {f"{name}_corrected_low": low, f"{name}_corrected_high": high}
    return found


def measure(sides: Sequence[pd.DataFrame], name: str, labelled: Flags, *, micro: bool) -> Measure:
    """A corrected figure of one or several planners on the same papers, in the same order."""
    return _micro(sides, name, labelled) if micro else _macro(sides, name, labelled)


def _macro(sides: Sequence[pd.DataFrame], name: str, labelled: Flags) -> Measure:
    """The mean over papers of a ratio; whether it is defined depends on the lists alone, so it is known everywhere."""
    ratios, truth = _stack(sides, name), _stack(sides, f"label_{name}")
    defined = ~np.isnan(ratios)
    values = _zero(ratios)[:, :, None], _zero(truth)[:, :, None]
    sums, _ = stats.corrected_sums(*values, labelled, doubtful(sides))
    return stats.micro(np.concatenate([sums, defined[:, :, None]], axis=2), _mean)


def _micro(sides: Sequence[pd.DataFrame], name: str, labelled: Flags) -> Measure:
    """The ratio of corrected sums of hits to the known sums of entries."""
    hits = np.stack([_stack(sides, hit) for hit in HITS], axis=2)
    truth = np.stack([_zero(_stack(sides, f"label_{hit}")) for hit in HITS], axis=2)
    sums, _ = stats.corrected_sums(hits, truth, labelled, doubtful(sides))
    columns = {hit: sums[:, :, at] for at, hit in enumerate(HITS)} | {size: _stack(sides, size) for size in SIZES}
    return stats.formula_measure(columns, FIGURES[name].formula)


def doubtful(sides: Sequence[pd.DataFrame]) -> Flags:
    """[papers, planners] where labels have anything to say: a plan that is missing or empty has no hits, for sure."""
    return np.logical_and(*(_stack(sides, size) > 0 for size in SIZES))


def _enough(sides: Sequence[pd.DataFrame], labelled: Flags) -> bool:
    """Whether two papers or more of each planner say how far the matcher is off."""
    return bool((doubtful(sides) & labelled[:, None]).sum(axis=0).min() >= 2)


def _mean(sums: Array) -> Array:
    return stats.divide(sums[..., 0], sums[..., 1])


def _stack(sides: Sequence[pd.DataFrame], name: str) -> Array:
    return np.stack([side[name].to_numpy(dtype=np.float64) for side in sides], axis=1)


def _zero(values: Array) -> Array:
    return np.nan_to_num(values, nan=0.0)


def shared_measure(
    base: pd.DataFrame, new: pd.DataFrame, name: str, *, micro: bool = False
) -> tuple[Measure, Flags] | None:
    """A corrected figure of base and of new on the papers that both have, and which of them both have labels of.

    None with fewer than two such plans: nothing could be said of their spread.
    """
    if "labelled" not in base or "labelled" not in new:
        return None
    common = sorted(set(base["paper"]) & set(new["paper"]))
    sides = [side.set_index("paper").loc[common] for side in (base, new)]
    labelled = np.logical_and(*(is_labelled(side) for side in sides))
    return (measure(sides, name, labelled, micro=micro), labelled) if _enough(sides, labelled) else None


def is_labelled(papers: pd.DataFrame) -> Flags:
    """Which rows of papers.csv have labels, whether it was read from a file or not."""
    return np.asarray(papers["labelled"].astype(str).eq("True"), dtype=np.bool_)


def _beside(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Columns in their old order, each figure's correction behind it and its interval, labelled papers at the end."""
    order: list[str] = []
    for at, name in enumerate(before):
        order.append(name)
        figure = name.removesuffix("_high")
        if figure == name and f"{name}_low" in before[at + 1 : at + 2]:
            continue
        order += [new for end in ("", "_low", "_high") if (new := f"{figure}_corrected{end}") in after]
    return [*order, *(name for name in after if name not in order)]
