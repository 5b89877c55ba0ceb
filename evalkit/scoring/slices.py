"""Figures by what gold says about papers and entries: the slices of a run by a field of its metadata.

Where the entries of each paper share one value of the field, a slice is a set of papers and has every figure. Else it
is a set of gold entries: it has recall, for a plan's entries that match nothing belong to no slice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from evalkit import stats
from evalkit.metrics.figures import MACRO, figures
from evalkit.scoring.gold_facts import Facts, check_field, entry_fields, entry_weights, in_order, known_fields
from evalkit.scoring.leaderboard import leaderboard, papers_of_table, with_intervals, without_weights
from evalkit.storage.runs import Run
from evalkit.storage.tables import frame_of, table_of
from evalkit.types import COUNT_NAMES

ENTRY_FIGURES = ("match_recall", "weighted_recall", "part_recall")  # what a slice of gold entries has
HEAD = ["slice", "planner", "papers", "small"]


def by_field(run: Run, field: str) -> pd.DataFrame:
    """Return one row a slice and planner: `slice`, `planner`, `papers`, `small`, and the leaderboard's columns.

    A slice is `small` below five papers, where no interval is given. The value of what gold leaves out is empty.
    """
    facts = run.meta.get("gold", {})
    check_field(known_fields(facts), field)
    order = {planner: place for place, planner in enumerate(run.leaderboard["planner"])}
    boards = []
    for value, papers in _slices(run, facts, field):
        table = leaderboard(table_of(papers))
        if run.meta["settings"].get("resamples"):
            table, _ = with_intervals(table, table_of(papers))
        board = frame_of(table)
        board = board.assign(slice=value, small=board["papers"] < stats.FEWEST_PAPERS)
        boards.append(board.sort_values("planner", key=lambda names: names.map(order), ignore_index=True))
    joined = pd.concat(boards, ignore_index=True)
    return joined[[*HEAD, *(name for name in joined if name not in HEAD)]]


def _slices(run: Run, facts: Facts, field: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each value of a field with its frame of papers."""
    sizes = run.papers.groupby("paper")["gold_entries"].first().round().astype(int)
    rows = [
        (paper, n, entry_fields(facts, paper, n).get(field, ""), *entry_weights(facts, paper, n))
        for paper, size in zip(sizes.index.astype(str), sizes, strict=True)
        for n in range(1, size + 1)
    ]
    entries = pd.DataFrame(rows, columns=["paper", "gold_entry", "value", "paper_weight", "gold_weight"])
    of_papers = entries.groupby("paper")["value"].nunique().max() == 1
    frame = frame_of(papers_of_table(run.columns("papers"))) if of_papers else _counted(run, entries)
    values = dict(zip(entries["paper"], entries["value"], strict=True)) if of_papers else {}
    for value in in_order(entries["value"]):
        chosen = frame["paper"].map(values) == value if of_papers else frame["value"] == value
        yield value, frame[chosen].reset_index(drop=True)


def _counted(run: Run, entries: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of papers of every slice of entries: samples averaged, what a slice has not is undefined."""
    pairs = run.pairs[run.pairs["status"].isin(("match", "part", "missed"))]
    pairs = pairs.assign(sample=pairs["sample"].fillna(""), match=pairs["status"] == "match",
                         part=pairs["status"] != "missed")  # fmt: skip
    place = ["planner", "paper", "sample", "gold_entry"]
    hits = pairs.groupby(place)[["match", "part"]].max().reset_index().merge(entries, on=["paper", "gold_entry"])
    hits = hits.assign(one=1.0, match_weight=hits["match"] * hits["gold_weight"])
    names = {"one": "gold_entries", "match": "match_gold", "part": "part_gold"}
    sums = hits.rename(columns=names).groupby(["value", "planner", "paper", "sample"])[
        ["gold_entries", "match_gold", "part_gold", "gold_weight", "match_weight"]
    ].sum()  # fmt: skip
    means = sums.groupby(["value", "planner", "paper"]).mean().reset_index()
    weights = entries.drop_duplicates("paper").set_index("paper")["paper_weight"]
    counts = {name: means.get(name, np.nan) for name in COUNT_NAMES}
    counts |= {"papers": 1.0, "paper_weight": means["paper"].map(weights)}
    columns = {name: np.broadcast_to(np.asarray(column, dtype=np.float64), len(means))
               for name, column in counts.items()}  # fmt: skip
    ratios = figures(columns, [name for name in MACRO if name in ENTRY_FIGURES])
    blank = dict.fromkeys((*MACRO, "match_f1_best", "match_f1_spread"), np.nan)
    frame = means[["value", "planner", "paper"]].assign(status="planned", samples=1, **(blank | ratios))
    frame = frame.assign(**{f"sum {name}": column for name, column in columns.items()})
    return frame if "gold_weight" in run.papers else frame_of(without_weights(table_of(frame)))
