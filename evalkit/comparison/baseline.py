"""A baseline: a snapshot as a small text for git, sorted and one fact a line; and how it is read back.

Scores stand in it for people; the sums are what counts, and a file whose scores do not follow from them is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.comparison.snapshot import GOLD_TEXTS, SUMMED_FIGURES, Snapshot, paper_sums, snapshot_of
from evalkit.errors import InputError, OutputError, SettingsError
from evalkit.metrics.figures import MACRO, WEIGHT_COUNTS, WEIGHTED, shown_in
from evalkit.scoring.correction import HITS, LABELLED
from evalkit.scoring.leaderboard import COUNTED, macro_means
from evalkit.settings import check_known, shown
from evalkit.storage.files import names_device, read_text, write_text
from evalkit.storage.runs import FROM, Run, Signature, load_run
from evalkit.storage.schema import (
    ANYTHING,
    COUNT,
    FLAG,
    LINE,
    NOTHING,
    RATIO,
    STATE,
    TEXT,
    Misfit,
    check_shape,
    numbers,
    unrepeated,
)
from evalkit.storage.tables import table_of

BASELINE_VERSION = 1
BASELINES = "baselines"
SCORES = shown_in("compare")
LABEL_HITS = [f"label_{name}" for name in HITS]
NUMBER = (numbers(-1, 1e15), NOTHING)
FACTS = {"status": STATE, "samples?": numbers(1, 1e15, whole=True), "labelled?": FLAG,
         **{f"{name}?": NUMBER for name in (*COUNTED, *SUMMED_FIGURES, *MACRO, *LABELLED)}}  # fmt: skip
BASELINE = {
    "name": LINE,
    "signature": {f"{item.name}?" if item.name in FROM else item.name: LINE for item in fields(Signature)},
    "settings": {str: ANYTHING},
    "scores": {str: {str: (RATIO, NOTHING)}},
    "gold": {str: {str: TEXT}},
    "papers": {str: {str: FACTS}},
    "matched": {str: {str: {object: numbers(0, 1)}}},
    "errors": {str: {str: COUNT}},
    "doubts?": {str: TEXT},
    "fields?": {str: {str: {str: LINE}}},
}


def baseline_text(snapshot: Snapshot, name: str) -> str:
    """Return the file: signature, settings, scores, gold entries, then each planner's papers, matches and errors."""
    content = {
        "evalkit_baseline": BASELINE_VERSION,
        "name": name,
        "signature": snapshot.signature.table,
        "settings": dict(sorted(snapshot.settings.items())),
        "scores": scores(snapshot),
        "gold": _gold(snapshot.gold),
        "papers": {planner: _papers(rows) for planner, rows in snapshot.papers.groupby("planner", sort=True)},
        "matched": _matched(snapshot),
        "errors": _nested((planner, key, count) for (planner, key), count in sorted(snapshot.errors.items())),
        **({"fields": about} if (about := _fields(snapshot.gold)) else {}),
        **({"doubts": {str(n): doubt for n, doubt in enumerate(snapshot.doubts, start=1)}} if snapshot.doubts else {}),
    }
    return _json(content) + "\n"


def scores(snapshot: Snapshot) -> dict[str, dict[str, float | None]]:
    """Return each planner's headline figures, macro, with ten digits."""
    papers = snapshot.papers.rename(columns={"paper_weight": "sum paper_weight"})
    means = macro_means(table_of(papers))
    names = [name for name in SCORES if name in papers]
    return {
        str(planner): {name: _number(float(means[name][place])) for name in names}
        for place, planner in enumerate(sorted(set(papers["planner"])))
    }


def _number(value: float) -> float | None:
    """Return a number as files hold it: ten digits, whole ones without a point, undefined as null."""
    if math.isnan(value):
        return None
    short = float(f"{value:.10g}")
    return int(short) if short.is_integer() else short


def _gold(gold: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return paper -> id -> name."""
    return _nested(sorted(zip(gold["paper"], gold.index.get_level_values("id"), gold["gold_name"], strict=True)))


def _fields(gold: pd.DataFrame) -> dict[str, dict[str, dict[str, str]]]:
    """Return paper -> id -> the entry's metadata; below "*" where all entries of a paper have the same."""
    papers: dict[str, dict[str, dict[str, str]]] = {}
    for paper, rows in gold.groupby("paper", sort=True):
        own = dict(zip(rows.index.get_level_values("id"), rows["fields"], strict=True))
        same = all(fields == rows["fields"].iloc[0] for fields in own.values())
        if any(own.values()):
            papers[str(paper)] = {"*": rows["fields"].iloc[0]} if same else own
    return papers


def _papers(rows: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Return paper -> its status and the counts that are not 0; figures only where counts do not give them."""
    papers: dict[str, dict[str, object]] = {}
    for row in rows.to_dict("records"):
        facts: dict[str, object] = {"status": row["status"]}
        facts |= {name: _number(row[name]) for name in (*COUNTED, *SUMMED_FIGURES) if row.get(name)}
        if row["samples"] > 1:
            facts |= {"samples": int(row["samples"])}
            facts |= {name: _number(row[name]) for name in MACRO if name in row and name not in SUMMED_FIGURES}
        if row.get("labelled"):
            names = LABEL_HITS if row["samples"] == 1 else LABELLED
            facts |= {"labelled": True} | {name: _number(row[name]) for name in names if row[name]}
        papers[row["paper"]] = facts
    return papers


def _matched(snapshot: Snapshot) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return planner -> paper -> "id name" -> the share of samples that matched it, without entries never matched."""
    rows = snapshot.matches[snapshot.matches["share"] > 0].sort_values(["planner", "key", "id"])
    matched: dict[str, dict[str, dict[str, float | None]]] = {}
    for planner, key, entry, share in rows[["planner", "key", "id", "share"]].itertuples(index=False):
        gold = snapshot.gold.loc[(key, entry)]
        matched.setdefault(planner, {}).setdefault(gold["paper"], {})[f"{entry} {gold['gold_name']}"] = _number(share)
    return matched


def _nested(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rows of three as a table of tables."""
    table: dict[str, dict[str, Any]] = {}
    for first, second, value in rows:
        table.setdefault(first, {})[second] = value
    return table


def _json(value: object, depth: int = 0, inside: str = "") -> str:
    """Return JSON with one fact a line; a paper's counts are one fact."""
    flat = inside == "papers" and depth == 3
    if not isinstance(value, Mapping) or not value or flat:
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    lines = [f"{pad}{json.dumps(key, ensure_ascii=False)}: {_json(item, depth + 1, inside or key)}"
             for key, item in value.items()]  # fmt: skip
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def set_baseline(side: Snapshot, name: str, folder: str | Path = BASELINES, *, force: bool = False) -> str:
    """Write a snapshot as the baseline of that name; return a line that says where, and what it replaced.

    An earlier baseline that says the same stays as it is; any other is replaced with `force` alone.
    """
    path = baseline_path(name, folder)
    if not path.is_file():
        write_text(path, baseline_text(side, name))
        return f"written to {path}; commit it"
    try:
        earlier = read_snapshot(path)
    except InputError:
        holds = "what cannot be read as a baseline"
    else:
        if _says_the_same(earlier, side):
            return f"unchanged: {path} says the same already"
        holds = f"another run ({_summary(earlier)})"
    if not force:
        raise OutputError(f"{path}: holds {holds}; --name keeps both, --force replaces it")
    write_text(path, baseline_text(side, name))
    return f"written to {path} in place of {holds}; commit it"


def _says_the_same(earlier: Snapshot, side: Snapshot) -> bool:
    """Tell whether two snapshots are of the same plans, gold and settings, with the same scores and matches."""
    same = not earlier.signature.differences(side.signature) and earlier.signature.plans == side.signature.plans
    return same and _matched(earlier) == _matched(side) and _same_scores(scores(earlier), scores(side))


def _summary(side: Snapshot) -> str:
    """Say in a few words what a baseline holds: its signature and its best planner."""
    rows = scores(side)
    best = max(rows, key=lambda planner: (rows[planner]["match_f1"] or 0.0, planner))
    figure = rows[best]["match_f1"]
    shown_figure = "undefined" if figure is None else f"{figure:.3f}"
    return f"signature {side.signature.digest}, best planner {best} with match F1 {shown_figure}"


def read_snapshot(place: str | Path, folder: str | Path = BASELINES) -> Snapshot:
    """Read what a path names: a run's folder, a baseline's file, or the name of a baseline in `folder`."""
    path, baseline = Path(place), Path(folder) / f"{place}.json"
    if path.is_dir():
        return snapshot_of(load_run(path), str(place))
    if not path.exists() and baseline.is_file():
        path = baseline
    return replace(parse_baseline(read_text(path), str(path)), name=str(place))


def as_snapshot(source: Snapshot | Run | str | Path, name: str) -> Snapshot:
    """Return the snapshot of a run in memory, a run's folder or a baseline; a snapshot as it is."""
    if isinstance(source, Run):
        return snapshot_of(source, name)
    return source if isinstance(source, Snapshot) else read_snapshot(source)


def baseline_path(name: str, folder: str | Path = BASELINES) -> Path:
    """Return the file of a baseline of that name; names are file names on every system."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or names_device(name):
        raise InputError(f"{name!r}: expected a name of letters, digits, dots, dashes and underscores")
    return Path(folder) / f"{name}.json"


def read_baselines(folder: str | Path = BASELINES) -> dict[str, Snapshot]:
    """Read every baseline of a folder by its path, sorted."""
    return {str(path): read_snapshot(path) for path in sorted(Path(folder).glob("*.json"))}


def parse_baseline(text: str, path: str) -> Snapshot:
    """Return the snapshot that was written as a baseline, under the name it carries."""
    try:
        content = json.loads(text, object_pairs_hook=unrepeated)
        version = content["evalkit_baseline"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: neither a run folder nor a baseline that evalkit wrote") from error
    if version != BASELINE_VERSION:
        raise InputError(f"{path}: baseline version {shown(version)}; this version of evalkit reads {BASELINE_VERSION}")
    try:
        check_shape(content, BASELINE, "baseline")
        check_known(content["settings"])
        snapshot = _snapshot(content)
    except (Misfit, SettingsError) as error:
        raise InputError(f"{path}: a baseline with something missing or misplaced: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: a baseline with something missing or misplaced: {error!r}") from error
    stated = content["scores"]
    if not _same_scores(stated, scores(snapshot)):
        raise InputError(f"{path}: its scores do not follow from its own counts; set the baseline again, with --force")
    return snapshot


def _same_scores(stated: Mapping[str, Mapping[str, Any]], derived: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether two tables of scores agree, machines' last digits left aside."""
    if stated.keys() != derived.keys() or any(stated[name].keys() != derived[name].keys() for name in derived):
        return False
    pairs = [(stated[planner][name], derived[planner][name]) for planner in derived for name in derived[planner]]
    return all(a is b is None if None in (a, b) else abs(a - b) < 1e-6 for a, b in pairs)


def _snapshot(content: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that a baseline's content stands for."""
    stated = content["signature"]
    signature = Signature(**{item.name: stated.get(item.name, item.default) for item in fields(Signature)})
    papers = _paper_frame(content["papers"])
    if (again := papers.duplicated(["planner", "key"])).any():
        raise Misfit(f"baseline.papers: two papers of one id, {papers['paper'][again].iloc[0]!r}")
    keys = dict(zip(papers["paper"], papers["key"], strict=True))
    about = content.get("fields", {})
    gold = [
        {
            "key": keys[paper],
            "id": entry,
            "paper": paper,
            **dict.fromkeys(GOLD_TEXTS, ""),
            "gold_name": name,
            "fields": about.get(paper, {}).get("*") or about.get(paper, {}).get(entry, {}),
        }
        for paper, names in content["gold"].items()
        for entry, name in names.items()
    ]
    frame = pd.DataFrame(gold).set_index(["key", "id"]).sort_index()
    errors = {(p, key): n for p, rows in content["errors"].items() for key, n in rows.items()}
    matches, doubts = _matches(content["matched"], papers, frame), tuple(content.get("doubts", {}).values())
    return Snapshot(content["name"], signature, content["settings"], papers, frame, matches, errors, doubts)


def _paper_frame(planners: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Return the rows of papers.csv that a baseline holds; what is not written is 0, or an undefined figure."""
    blank: dict[str, Any] = {"status": "planned", "samples": 1} | dict.fromkeys(MACRO, math.nan)
    blank |= dict.fromkeys((*COUNTED, *SUMMED_FIGURES), 0.0)
    given = {name for papers in planners.values() for facts in papers.values() for name in facts}
    if "gold_weight" not in given:
        blank = {name: value for name, value in blank.items() if name not in (*WEIGHTED, *WEIGHT_COUNTS)}
    if "labelled" in given:
        blank |= {"labelled": False, **dict.fromkeys(LABELLED, math.nan)}
    rows = [
        blank | (dict.fromkeys(LABELLED, 0.0) if facts.get("labelled") else {})
        | {name: math.nan if value is None else value for name, value in facts.items()}
        | {"planner": planner, "paper": paper}
        for planner, papers in planners.items()
        for paper, facts in papers.items()
    ]  # fmt: skip
    return paper_sums(pd.DataFrame(rows))


def _matches(matched: Mapping[str, Any], papers: pd.DataFrame, gold: pd.DataFrame) -> pd.DataFrame:
    """Return every planner's share of every gold entry of the papers it has."""
    shares = {
        (planner, paper, words.split(" ", 1)[0]): share
        for planner, rows in matched.items()
        for paper, entries in rows.items()
        for words, share in entries.items()
    }
    pairs = papers[["planner", "key", "paper"]].merge(gold.reset_index()[["key", "id"]], on="key")
    places = list(zip(pairs["planner"], pairs["paper"], pairs["id"], strict=True))
    if unknown := shares.keys() - set(places):
        raise Misfit(f"baseline.matched: no gold entry {min(unknown)!r}")
    pairs["share"] = [float(shares.get(place, 0)) for place in places]
    pairs["status"] = ["match" if share else "" for share in pairs["share"]]
    return pairs.assign(entry="")[["planner", "key", "id", "share", "status", "entry"]]
