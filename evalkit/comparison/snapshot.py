"""Takes a Run, gives a Side: the sums, the matched gold entries and the failures that a comparison looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.metrics.figures import MACRO, figures
from evalkit.scoring.correction import CORRECTED, HITS, LABELLED, is_labelled
from evalkit.scoring.rows import TEXT_COLUMNS
from evalkit.scoring.run_writer import COUNTED
from evalkit.settings import fingerprint
from evalkit.storage.runs import Run
from evalkit.storage.signature import Signature
from evalkit.text import normalise_id
from evalkit.types import COUNT_NAMES

GOLD_TEXTS = list(TEXT_COLUMNS["gold"])
HEAD = ["planner", "paper", "status", "samples"]
STATES = ("match", "part", "missed")
# Figures that are no ratio of the counts in papers.csv, and so travel beside them.
CARRIED = [name for name in COUNT_NAMES if name not in ("papers", *COUNTED)]


@dataclass(frozen=True, slots=True)
class Side:
    """One scoring, as a comparison sees it. `key` is a paper's id as ids are compared.

    `papers`: one row a planner and paper: planner, key, paper, status, samples, every count, every macro figure.
    `gold`: one row a gold entry, by (key, id): paper and texts; a baseline knows the names only.
    `found`: one row a planner and gold entry: planner, key, id, the share of samples that matched it, status, entry.
    `errors`: (planner, key) -> what was left out on reading; key "" is documents of many papers, planner "" the rest.
    `doubts`: why figures that its labels correct may be wrong; only a side scored with labels has `labelled` papers.
    """

    name: str
    signature: Signature
    settings: Mapping[str, Any]
    papers: pd.DataFrame
    gold: pd.DataFrame
    found: pd.DataFrame
    errors: Mapping[tuple[str, str], int]
    doubts: tuple[str, ...] = ()

    @property
    def planners(self) -> list[str]:
        """The planners of this side, by name."""
        return sorted(self.papers["planner"].unique())


def side_of(run: Run, name: str) -> Side:
    """What a comparison needs of a run, however it was made: loaded from its folder or still in memory."""
    entries = _gold_rows(run.pairs)
    gold = entries.drop_duplicates(["key", "id"]).set_index(["key", "id"]).sort_index()
    settings = {key: value for key, value in run.meta.get("settings", {}).items() if key not in LOCAL}
    try:
        papers = paper_sums(run.papers)
    except ValueError as error:
        raise InputError(f"{name}: papers.csv holds something else where a number belongs: {error}") from error
    found = _found(entries, papers)
    doubts = tuple(run.meta.get("labels", {}).get("doubts", ()))
    return Side(name, run.signature, settings, papers, gold[["paper", *GOLD_TEXTS]], found, _errors(run), doubts)


# Settings that move no number, or that the signature pins by their contents: a model, a calibration or a judge is what
# it is and not where it lies. None of them belongs in a baseline that a team commits.
LOCAL = ("model", "calibration", "baseline", "compat", "offline", "judge")


def paper_sums(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of papers.csv with every count and every macro figure, ready to be put beside another side's.

    Figures follow from the counts; only those of averaged samples, which do not, are taken as they stand. All are
    rounded as files hold them, so that a run in memory, its folder and its baseline are the same to the last digit.
    """
    if absent := sorted({*COUNTED, *CARRIED, *HEAD} - set(table.columns)):
        raise InputError(f"papers.csv has no column {', '.join(absent)}; score again with this version of evalkit")
    columns = {name: rounded(table[name]) for name in COUNTED} | {"papers": np.ones(len(table))}
    columns |= {name: rounded(table[name]) for name in CARRIED}
    derived = figures(columns, tuple(MACRO))
    single = table["samples"].to_numpy() == 1
    for name in MACRO:
        if name in table and not single.all():
            derived[name] = np.where(single, derived[name], rounded(table[name]))
    # The discounted figures are their own sums, so both have one column.
    values = columns | {name: value for name, value in derived.items() if name not in CARRIED}
    values |= _label_sums(table, columns, single)
    keys = {"key": [normalise_id(name) for name in table["paper"]]}
    head = table[HEAD].reset_index(drop=True)
    frame = pd.concat([head, pd.DataFrame(keys | values)], axis=1)
    return frame.sort_values(["planner", "key"], ignore_index=True)


def _label_sums(
    table: pd.DataFrame, columns: Mapping[str, NDArray[np.float64]], single: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """What labels say of each paper, where there are some; figures of a single plan follow from the hits, as above."""
    if "labelled" not in table:
        return {}
    if absent := sorted({*LABELLED} - set(table.columns)):
        raise InputError(f"papers.csv has no column {absent[0]}; score again with this version of evalkit")
    hits = {name: rounded(table[f"label_{name}"]) for name in HITS}
    labelled = is_labelled(table) & ~np.isnan(np.stack(list(hits.values()))).any(axis=0)
    derived = figures({**columns, **hits}, CORRECTED)
    stated = {name: np.where(single, value, rounded(table[f"label_{name}"])) for name, value in derived.items()}
    values = {f"label_{name}": np.where(labelled, value, np.nan) for name, value in (stated | hits).items()}
    return {"labelled": labelled, **values}


def rounded(values: Iterable[Any]) -> NDArray[np.float64]:
    """Numbers with ten digits, which is what tables and baselines hold."""
    return np.array([float(f"{float(value):.10g}") for value in values], dtype=np.float64)


def _gold_rows(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of pairs that say what became of a gold entry, each with its paper's key and the entry's id."""
    rows = pairs[pairs["status"].isin(STATES) & pairs["gold_entry"].notna()]
    rows = rows.assign(sample=rows["sample"].astype(object).where(rows["sample"].notna(), ""))
    rows = rows.assign(key=rows["paper"].map(normalise_id), state=rows["status"].map(STATES.index).astype(int))
    for name in GOLD_TEXTS:
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "").map(str)
    entries = rows.drop_duplicates(["key", "gold_entry"]).sort_values(["key", "gold_entry"])
    ids = [entry_id(texts) for texts in entries[GOLD_TEXTS].itertuples(index=False)]
    entries = entries.assign(id=ids)[["key", "gold_entry", "id"]]
    again = entries.groupby(["key", "id"]).cumcount()
    entries["id"] += [f"-{count + 1}" if count else "" for count in again]
    return rows.merge(entries, on=["key", "gold_entry"], how="left")


def entry_id(texts: Iterable[str]) -> str:
    """Ten hex digits that stand for what a gold entry says, wherever in its list it stands."""
    return fingerprint(list(texts))[:10]


def _found(rows: pd.DataFrame, papers: pd.DataFrame) -> pd.DataFrame:
    """For each planner and gold entry: how often it was matched, its best status, and the plan entry that had it."""
    place = ["planner", "key", "id"]
    hits = (rows.groupby([*place, "sample"])["state"].min() == 0).groupby(place).sum()
    best = rows.sort_values([*place, "state", "plan_entry"], kind="stable").drop_duplicates(place)
    best = best.set_index(place)
    samples = papers.set_index(["planner", "key"])["samples"]
    each = samples.reindex(pd.MultiIndex.from_arrays([best.index.get_level_values(at) for at in range(2)])).to_numpy()
    names = best["plan_name"].astype(object).where(best["plan_name"].notna(), "")
    found = pd.DataFrame({"share": rounded(hits.reindex(best.index) / each), "status": best["status"], "entry": names})
    return found.reset_index()


def _errors(run: Run) -> dict[tuple[str, str], int]:
    """How many things were left out on reading, by the planner and paper at whose door they can be laid."""
    plans = run.plans[run.plans["path"].notna() & (run.plans["path"] != "")]
    owners: dict[str, set[tuple[str, str]]] = {}
    for planner, paper, path in zip(plans["planner"], plans["paper"], plans["path"], strict=True):
        owners.setdefault(path, set()).add((planner, normalise_id(paper)))
    counts: Counter[tuple[str, str]] = Counter()
    rows = run.diagnostics[run.diagnostics["severity"] == "error"]
    for path in rows["path"]:
        owned = owners.get(path, set())
        planners = {planner for planner, _ in owned}
        one_planner = (next(iter(planners)), "") if len(planners) == 1 else ("", "")
        counts[next(iter(owned)) if len(owned) == 1 else one_planner] += 1
    return dict(sorted(counts.items()))
