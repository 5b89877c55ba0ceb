"""Takes a Side, gives a small text for git, one fact a line and sorted; and reads it back.

Scores stand in it for people; the sums are what counts, and a file whose scores do not follow from them is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.comparison.snapshot import CARRIED, GOLD_TEXTS, Side, paper_sums, side_of
from evalkit.errors import InputError
from evalkit.metrics.figures import MACRO, shown_in
from evalkit.scoring.correction import HITS, LABELLED
from evalkit.scoring.run_writer import COUNTED
from evalkit.storage.files import read_text
from evalkit.storage.runs import Run, load_run
from evalkit.storage.signature import Signature

BASELINE_VERSION = 1
BASELINES = "baselines"
SCORES = shown_in("compare")
LABEL_HITS = [f"label_{name}" for name in HITS]


def baseline_text(side: Side, name: str) -> str:
    """The file: signature, settings, scores, gold entries, then each planner's papers, matches and errors."""
    content = {
        "evalkit_baseline": BASELINE_VERSION,
        "name": name,
        "signature": asdict(side.signature),
        "settings": dict(sorted(side.settings.items())),
        "scores": scores(side),
        "gold": _gold(side),
        "papers": {planner: _papers(rows) for planner, rows in side.papers.groupby("planner", sort=True)},
        "matched": _matched(side),
        "errors": _nested((planner, key, count) for (planner, key), count in sorted(side.errors.items())),
        **({"doubts": {str(n): doubt for n, doubt in enumerate(side.doubts, start=1)}} if side.doubts else {}),
    }
    return _laid_out(content) + "\n"


def scores(side: Side) -> dict[str, dict[str, float | None]]:
    """Each planner's headline figures, macro, with ten digits."""
    means = side.papers.groupby("planner", sort=True)[list(SCORES)].mean()
    return {str(planner): {name: _number(row[name]) for name in SCORES} for planner, row in means.iterrows()}


def _number(value: float) -> float | None:
    """A number as files hold it: ten digits, whole ones without a point, undefined as null."""
    if math.isnan(value):
        return None
    short = float(f"{value:.10g}")
    return int(short) if short.is_integer() else short


def _gold(side: Side) -> dict[str, dict[str, str]]:
    """Paper -> id -> name."""
    rows = zip(side.gold["paper"], side.gold.index.get_level_values("id"), side.gold["gold_name"], strict=True)
    return _nested(sorted(rows))


def _papers(rows: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Paper -> its status and the counts that are not 0; figures only where counts do not give them."""
    found: dict[str, dict[str, object]] = {}
    for row in rows.to_dict("records"):
        facts: dict[str, object] = {"status": row["status"]}
        facts |= {name: _number(row[name]) for name in (*COUNTED, *CARRIED) if row[name]}
        if row["samples"] > 1:
            facts |= {"samples": int(row["samples"])}
            facts |= {name: _number(row[name]) for name in MACRO if name not in CARRIED}
        if row.get("labelled"):
            kept = LABEL_HITS if row["samples"] == 1 else LABELLED
            facts |= {"labelled": True} | {name: _number(row[name]) for name in kept if row[name]}
        found[row["paper"]] = facts
    return found


def _matched(side: Side) -> dict[str, dict[str, dict[str, float | None]]]:
    """Planner -> paper -> "id name" -> the share of samples that matched it; entries never matched stay out."""
    rows = side.found[side.found["share"] > 0].sort_values(["planner", "key", "id"])
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for planner, key, entry, share in rows[["planner", "key", "id", "share"]].itertuples(index=False):
        gold = side.gold.loc[(key, entry)]
        found.setdefault(planner, {}).setdefault(gold["paper"], {})[f"{entry} {gold['gold_name']}"] = _number(share)
    return found


def _nested(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of three as a table of tables."""
    table: dict[str, dict[str, Any]] = {}
    for first, second, value in rows:
        table.setdefault(first, {})[second] = value
    return table


def _laid_out(value: object, depth: int = 0, inside: str = "") -> str:
    """JSON with one fact a line; a paper's counts are one fact."""
    flat = inside == "papers" and depth == 3
    if not isinstance(value, Mapping) or not value or flat:
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    lines = [f"{pad}{json.dumps(key, ensure_ascii=False)}: {_laid_out(item, depth + 1, inside or key)}"
             for key, item in value.items()]  # fmt: skip
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def read_side(place: str | Path, folder: str | Path = BASELINES) -> Side:
    """The side that a path names: a run's folder, a baseline's file, or the name of a baseline in `folder`."""
    path, kept = Path(place), Path(folder) / f"{place}.json"
    if path.is_dir():
        return side_of(load_run(path), str(place))
    if not path.exists() and kept.is_file():
        path = kept
    return replace(read_baseline(read_text(path), str(path)), name=str(place))


def as_side(given: Side | Run | str | Path, name: str) -> Side:
    """A side of whatever stands for one: itself, a run in memory, a run's folder, a baseline."""
    if isinstance(given, Run):
        return side_of(given, name)
    return given if isinstance(given, Side) else read_side(given)


def baseline_path(name: str, folder: str | Path = BASELINES) -> Path:
    """Where a baseline of that name lies; names are file names on every system."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"{name!r}: expected a name of letters, digits, dots, dashes and underscores")
    return Path(folder) / f"{name}.json"


def kept_baselines(folder: str | Path = BASELINES) -> dict[str, Side]:
    """Every baseline of a folder by its path, sorted."""
    return {str(path): read_side(path) for path in sorted(Path(folder).glob("*.json"))}


def read_baseline(text: str, path: str) -> Side:
    """A baseline as it was written, under the name it carries."""
    try:
        content = json.loads(text)
        version = content["evalkit_baseline"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: neither a run folder nor a baseline that evalkit wrote") from error
    if version != BASELINE_VERSION:
        raise InputError(f"{path}: baseline version {version!r}; this version of evalkit reads {BASELINE_VERSION}")
    try:
        side = _side(content)
        stated = {planner: dict(figures) for planner, figures in content["scores"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: a baseline with something missing or misplaced: {error!r}") from error
    if not _same_scores(stated, scores(side)):
        raise InputError(f"{path}: its scores do not follow from its own counts; set the baseline again")
    return side


def _same_scores(stated: Mapping[str, Mapping[str, Any]], derived: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether two tables of scores say the same, machines' last digits left aside."""
    if stated.keys() != derived.keys() or any(row.keys() != set(SCORES) for row in stated.values()):
        return False
    pairs = [(stated[planner][name], derived[planner][name]) for planner in stated for name in SCORES]
    return all(a is b is None if None in (a, b) else abs(a - b) < 1e-6 for a, b in pairs)


def _side(content: Mapping[str, Any]) -> Side:
    """The side that a baseline's content stands for."""
    signature = Signature(**{item.name: str(content["signature"][item.name]) for item in fields(Signature)})
    papers = _paper_frame(content["papers"])
    keys = dict(zip(papers["paper"], papers["key"], strict=True))
    gold = [
        {"key": keys[paper], "id": entry, "paper": paper, **dict.fromkeys(GOLD_TEXTS, ""), "gold_name": str(name)}
        for paper, names in content["gold"].items()
        for entry, name in names.items()
    ]
    frame = pd.DataFrame(gold).set_index(["key", "id"]).sort_index()
    errors = {(p, key): int(n) for p, rows in content["errors"].items() for key, n in rows.items()}
    found, doubts = _found(content["matched"], papers, frame), tuple(map(str, content.get("doubts", {}).values()))
    return Side(str(content["name"]), signature, content["settings"], papers, frame, found, errors, doubts)


def _paper_frame(planners: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """The rows of papers.csv that a baseline keeps; what is not written is 0, or an undefined figure."""
    blank: dict[str, Any] = {"status": "planned", "samples": 1} | dict.fromkeys(MACRO, math.nan)
    blank |= dict.fromkeys((*COUNTED, *CARRIED), 0.0)
    if any("labelled" in facts for papers in planners.values() for facts in papers.values()):
        blank |= {"labelled": False, **dict.fromkeys(LABELLED, math.nan)}
    rows = [
        blank | (dict.fromkeys(LABELLED, 0.0) if facts.get("labelled") else {})
        | {name: math.nan if value is None else value for name, value in facts.items()}
        | {"planner": planner, "paper": paper}
        for planner, papers in planners.items()
        for paper, facts in papers.items()
    ]  # fmt: skip
    return paper_sums(pd.DataFrame(rows))


def _found(matched: Mapping[str, Any], papers: pd.DataFrame, gold: pd.DataFrame) -> pd.DataFrame:
    """Every planner's share of every gold entry of the papers it has."""
    shares = {
        (planner, paper, words.split(" ", 1)[0]): float(share)
        for planner, rows in matched.items()
        for paper, entries in rows.items()
        for words, share in entries.items()
    }
    pairs = papers[["planner", "key", "paper"]].merge(gold.reset_index()[["key", "id"]], on="key")
    places = zip(pairs["planner"], pairs["paper"], pairs["id"], strict=True)
    pairs["share"] = [shares.get(place, 0.0) for place in places]
    pairs["status"] = ["match" if share else "" for share in pairs["share"]]
    return pairs.assign(entry="")[["planner", "key", "id", "share", "status", "entry"]]
