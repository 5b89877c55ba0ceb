"""A snapshot of one run: the sums, the matched gold entries and the failures that a comparison looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.metrics.figures import MACRO, WEIGHT_COUNTS, WEIGHTED, figures, sums_of
from evalkit.scoring.correction import CORRECTED, HITS, LABELLED, is_labelled
from evalkit.scoring.gold_facts import entry_fields
from evalkit.scoring.leaderboard import COUNTED
from evalkit.scoring.rows import TEXT_COLUMNS
from evalkit.settings import fingerprint
from evalkit.storage.runs import Run, Signature
from evalkit.text import normalise_id
from evalkit.types import COUNT_NAMES

GOLD_TEXTS = list(TEXT_COLUMNS["gold"])
HEAD = ["planner", "paper", "status", "samples"]
STATUSES = ("match", "part", "missed")
# Figures that are their own sums: no ratio of the counts in papers.csv.
SUMMED_FIGURES = [name for name in COUNT_NAMES if name not in ("papers", *COUNTED)]
# Settings that move no number, or that the signature pins by their contents: a model, a calibration or a judge is what
# it is and not where it lies. None of them belongs in a baseline that a team commits.
LOCAL_SETTINGS = ("model", "calibration", "baseline", "compat", "offline", "judge")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One run, as a comparison sees it. `key` is a paper's id as ids are compared.

    `papers`: one row a planner and paper: planner, key, paper, status, samples, every count, every macro figure.
    `gold`: one row a gold entry, by (key, id): paper, texts (a baseline knows the names only), and `fields`, a table of
    its metadata with that of its paper.
    `matches`: one row a planner and gold entry: planner, key, id, the share of samples that matched it, status, entry.
    `errors`: (planner, key) -> what was left out on reading; key "" is documents of many papers, planner "" the rest.
    `doubts`: why figures that its labels correct may be wrong; only a run scored with labels has `labelled` papers.
    """

    name: str
    signature: Signature
    settings: Mapping[str, Any]
    papers: pd.DataFrame
    gold: pd.DataFrame
    matches: pd.DataFrame
    errors: Mapping[tuple[str, str], int]
    doubts: tuple[str, ...] = ()

    @property
    def planners(self) -> list[str]:
        """Return the planners by name."""
        return sorted(self.papers["planner"].unique())


def snapshot_of(run: Run, name: str) -> Snapshot:
    """Take the snapshot of a run, loaded from its folder or still in memory."""
    entries = _gold_rows(run.pairs)
    gold = entries.drop_duplicates(["key", "id"]).set_index(["key", "id"]).sort_index()
    settings = {key: value for key, value in run.meta.get("settings", {}).items() if key not in LOCAL_SETTINGS}
    try:
        papers = paper_sums(run.papers)
    except ValueError as error:
        raise InputError(f"{name}: papers.csv holds something else where a number belongs: {error}") from error
    facts = run.meta.get("gold", {})
    places = zip(gold["paper"], gold["gold_entry"], strict=True)
    fields = pd.Series([entry_fields(facts, paper, int(n)) for paper, n in places], index=gold.index, dtype=object)
    gold = gold[["paper", *GOLD_TEXTS]].assign(fields=fields)
    matches, doubts = _matches(entries, papers), tuple(run.meta.get("labels", {}).get("doubts", ()))
    return Snapshot(name, run.signature, settings, papers, gold, matches, _errors(run), doubts)


def paper_sums(table: pd.DataFrame, figure: str = "") -> pd.DataFrame:
    """Return the rows of papers.csv with every count and every macro figure, or with those of one figure.

    Figures follow from the counts; only those of averaged samples, which do not, are taken as they stand. All are
    rounded as files hold them, so that a run in memory, its folder and its baseline are the same to the last digit.
    """
    sums = counts_of(figure) if figure else [*COUNTED, *SUMMED_FIGURES]
    weighted = "gold_weight" in table
    chosen = [name for name in MACRO if figure in ("", name) and (weighted or name not in WEIGHTED)]
    _require(table, {*sums, *HEAD} - (set() if figure else set(WEIGHT_COUNTS)))
    columns = {name: rounded(table[name]) for name in sums if name in table} | {"papers": np.ones(len(table))}
    derived = figures(columns, chosen)
    single = table["samples"].to_numpy() == 1
    for name in derived:
        if name in table and not single.all():
            derived[name] = np.where(single, derived[name], rounded(table[name]))
    values = columns | {name: value for name, value in derived.items() if name not in SUMMED_FIGURES}
    values |= _label_sums(table, columns, single)
    keys = {"key": [normalise_id(name) for name in table["paper"]]}
    frame = pd.concat([table[HEAD].reset_index(drop=True), pd.DataFrame(keys | values)], axis=1)
    return frame.sort_values(["planner", "key"], ignore_index=True)


def counts_of(figure: str) -> list[str]:
    """Return the columns of papers.csv that one figure of many papers follows from."""
    sums = [name for name in sums_of(figure) if name != "papers"]  # which each row is one of
    return [*sums, "paper_weight"] if figure in WEIGHTED and "paper_weight" not in sums else sums


def _require(table: pd.DataFrame, columns: Iterable[str]) -> None:
    if absent := sorted(set(columns) - set(table.columns)):
        raise InputError(f"papers.csv has no column {', '.join(absent)}; score again with this version of evalkit")


def _label_sums(
    table: pd.DataFrame, columns: Mapping[str, NDArray[np.float64]], single: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Return what labels say of each paper, if anything; figures of a single plan follow from the hits, as above."""
    if "labelled" not in table:
        return {}
    _require(table, sorted(set(LABELLED) - set(table.columns))[:1])
    hits = {name: rounded(table[f"label_{name}"]) for name in HITS}
    labelled = is_labelled(table) & ~np.isnan(np.stack(list(hits.values()))).any(axis=0)
    derived = figures({**columns, **hits}, CORRECTED)
    stated = {name: np.where(single, value, rounded(table[f"label_{name}"])) for name, value in derived.items()}
    values = {f"label_{name}": np.where(labelled, value, np.nan) for name, value in (stated | hits).items()}
    return {"labelled": labelled, **values}


def rounded(values: Iterable[Any]) -> NDArray[np.float64]:
    """Round numbers to ten digits, which is what tables and baselines hold."""
    return np.array([float(f"{float(value):.10g}") for value in values], dtype=np.float64)


def _gold_rows(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of pairs that have a gold entry, each with its paper's key and the entry's id."""
    rows = pairs[pairs["status"].isin(STATUSES) & pairs["gold_entry"].notna()]
    rows = rows.assign(sample=rows["sample"].astype(object).where(rows["sample"].notna(), ""))
    rows = rows.assign(key=rows["paper"].map(normalise_id), state=rows["status"].map(STATUSES.index).astype(int))
    for name in GOLD_TEXTS:
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "").map(str)
    entries = rows.drop_duplicates(["key", "gold_entry"]).sort_values(["key", "gold_entry"])
    # An id stands for what an entry says, wherever in its list it stands; one that is repeated gets a number.
    ids = [fingerprint(list(texts))[:10] for texts in entries[GOLD_TEXTS].itertuples(index=False)]
    entries = entries.assign(id=ids)[["key", "gold_entry", "id"]]
    again = entries.groupby(["key", "id"]).cumcount()
    entries["id"] += [f"-{count + 1}" if count else "" for count in again]
    return rows.merge(entries, on=["key", "gold_entry"], how="left")


def _matches(rows: pd.DataFrame, papers: pd.DataFrame) -> pd.DataFrame:
    """Return how often each planner matched each gold entry, its best status, and the plan entry that had it."""
    place = ["planner", "key", "id"]
    hits = (rows.groupby([*place, "sample"])["state"].min() == 0).groupby(place).sum()
    best = rows.sort_values([*place, "state", "plan_entry"], kind="stable").drop_duplicates(place).set_index(place)
    owners = pd.MultiIndex.from_arrays([best.index.get_level_values(level) for level in ("planner", "key")])
    samples = papers.set_index(["planner", "key"])["samples"].reindex(owners).to_numpy()
    names = best["plan_name"].astype(object).where(best["plan_name"].notna(), "")
    shares = rounded(hits.reindex(best.index) / samples)
    return pd.DataFrame({"share": shares, "status": best["status"], "entry": names}).reset_index()


def _errors(run: Run) -> dict[tuple[str, str], int]:
    """Count what was left out on reading, by the planner and paper that the document belongs to."""
    plans = run.plans[run.plans["path"].notna() & (run.plans["path"] != "")]
    owners: dict[str, set[tuple[str, str]]] = {}
    for planner, paper, path in zip(plans["planner"], plans["paper"], plans["path"], strict=True):
        owners.setdefault(path, set()).add((planner, normalise_id(paper)))
        owners.setdefault(str(PurePath(path).parent), set()).add((planner, ""))
    known = sorted(map(str, run.papers["planner"].unique()), key=len, reverse=True)
    counts: Counter[tuple[str, str]] = Counter()
    for path in run.diagnostics.loc[run.diagnostics["severity"] == "error", "path"].fillna("").map(str):
        places = path, str(PurePath(path).parent)
        owned = owners.get(places[0]) or owners.get(places[1]) or _named_by(places, known)
        planners = {planner for planner, _ in owned}
        one_planner = (next(iter(planners)), "") if len(planners) == 1 else ("", "")
        counts[next(iter(owned)) if len(owned) == 1 else one_planner] += 1
    return dict(sorted(counts.items()))


def _named_by(places: Iterable[str], planners: Iterable[str]) -> set[tuple[str, str]]:
    """Return the planner, the first of these, that the end of a place is called after, if there is one."""
    named = (one for one in planners if any(f"/{place}/".endswith(f"/{one}/") for place in places))
    return {(one, "") for one in islice(named, 1)}
