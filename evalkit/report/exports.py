"""A run in the files that other tools read: path inside the target folder -> text.

Entries come from the run's pairs, so an export needs nothing but the run folder.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evalkit.errors import InputError
from evalkit.metrics import ablationbench
from evalkit.metrics.ablationbench import COMPAT_FIGURES, AuthorRow, as_names
from evalkit.metrics.figures import shown_in
from evalkit.plugins import load_plugin
from evalkit.report.browser_data import keyed
from evalkit.report.values import text
from evalkit.settings import fingerprint
from evalkit.storage.files import names_device
from evalkit.storage.runs import Run
from evalkit.storage.tables import from_cell

Files = dict[str, str]
LONGEST = 200  # bytes of one step of a path; file systems take 255, with the ending
EPOCH = "1970-01-01T00:00:00Z"  # where a run does not say when it was made
LOGGED = (*shown_in("logs"), *COMPAT_FIGURES)
# No figures by themselves, but readers of logs have them.
ALSO_LOGGED = ("match_gold_expected", "match_plan_expected", "match_f1_if_none_micro", "match_f1_if_all_micro")
_OF_FIGURE = re.compile("(_micro)?(_corrected)?(_best|_spread)?$")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*]')


@dataclass(frozen=True, slots=True)
class Case:
    """One plan of a run with its gold list: entries in their order as plain dicts, and the pairs that match fully."""

    planner: str
    paper: str
    sample: str
    status: str
    gold: tuple[dict[str, Any], ...]
    plan: tuple[dict[str, Any], ...]
    matches: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> list[AuthorRow]:
        """The matches as a judge's rows."""
        partners = ([self.plan[p - 1]["name"] for g, p in self.matches if g == n] for n in range(1, len(self.gold) + 1))
        return [AuthorRow(entry["name"], as_names(own)) for entry, own in zip(self.gold, partners, strict=True)]


def cases(run: Run) -> Iterator[Case]:
    """Yield every plan of a run, the missing ones too."""
    pairs = dict(list(keyed(run.pairs).groupby(["planner", "paper", "sample"], sort=False)))
    for row in keyed(run.plans).to_dict("records"):
        key = (row["planner"], row["paper"], row["sample"])
        frame = pairs.get(key, run.pairs.iloc[:0])
        matched = frame[frame["status"] == "match"]
        places = zip(matched["gold_entry"].astype(int), matched["plan_entry"].astype(int), strict=True)
        yield Case(*key, row["status"], _entries(frame, "gold"), _entries(frame, "plan"), tuple(sorted(places)))


def _entries(frame: pd.DataFrame, side: str) -> tuple[dict[str, Any], ...]:
    """Return one list's entries in order, in the words of the published format."""
    rows = frame.dropna(subset=[f"{side}_entry"]).drop_duplicates(f"{side}_entry").sort_values(f"{side}_entry")
    return tuple(
        {
            "name": text(row[f"{side}_name"]),
            "ablated_part": text(row[f"{side}_part"]),
            "action": text(row[f"{side}_action"]) or None,
            "replacement": from_cell(row[f"{side}_replacements"]) or None,
            "metrics": from_cell(row[f"{side}_metrics"]),
        }
        for row in rows.to_dict("records")
    )


Export = Callable[[Run], Files]
EXPORTERS: dict[str, Export] = {}


def _exporter(name: str) -> Callable[[Export], Export]:
    """Return a decorator that puts an export into EXPORTERS."""

    def register(export: Export) -> Export:
        EXPORTERS[name] = export
        return export

    return register


def find_exporter(name: str) -> Export:
    """Return an export by its name, one of another package as well; where it writes is checked."""
    if name in EXPORTERS:
        return EXPORTERS[name]
    export = load_plugin("exporters", name)
    return lambda run: _distinct((place(path), content) for path, content in export(run).items())


def place(*parts: str) -> str:
    """Return a path in the target folder, whatever the names are: planners may be folders; nothing leads outside it."""
    steps = [step for part in parts for step in part.split("/") if step]
    return "/".join(map(_portable, steps)) or "_"


def _portable(step: str) -> str:
    """Return a step that any file system takes: of a long one its beginning and the hash of all of it."""
    safe = _UNSAFE.sub("_", step)
    if len(step.encode()) > LONGEST:
        safe = f"{safe[: LONGEST // 5]}-{fingerprint(step)[:12]}"
    end = len(safe.rstrip(". "))
    safe = safe[:end] + "_" * (len(safe) - end)  # Windows drops dots and spaces at the end
    return f"_{safe}" if names_device(safe) else safe


def _file(case: Case) -> str:
    """Return where a plan's rows stand; samples of a paper stand side by side, as `paper.2`."""
    name = f"{case.paper}.{case.sample}" if case.sample else case.paper
    return f"{place(case.planner)}/{place(name.replace('/', '_'))}.jsonl"


def _distinct(files: Iterable[tuple[str, str]]) -> Files:
    """Return files by path; no two may be one on a file system that takes upper and lower case for the same."""
    paths: set[str] = set()
    written: Files = {}
    for path, content in files:
        key = unicodedata.normalize("NFC", path).casefold()
        if key in paths:
            raise InputError(f"{path}: two papers or planners of this run would be written to this one file")
        paths.add(key)
        written[path] = content
    return written


@_exporter("ablationbench-plans")
def plans(run: Run) -> Files:
    """AblationBench's plan folders: `<planner>/<paper>.jsonl`; a plan that is missing is an empty file there."""
    files: list[tuple[str, str]] = []
    for case in cases(run):
        files.append((_file(case), "".join(_line(entry) for entry in case.plan)))
    return _distinct(files)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


@_exporter("ablationbench-judge")
def judge(run: Run) -> Files:
    """AblationBench's judge folders: `<planner>/<paper>.jsonl` from the run's matches, and evaluations.json of them."""
    files: list[tuple[str, str]] = []
    evaluations: dict[str, list[dict[str, Any]]] = {}
    for case in cases(run):
        lines = [_line({"name_in_paper": row.gold, "name_in_plan": row.plan}) for row in case.rows]
        files.append((_file(case), "".join(lines)))
        evaluations.setdefault(place(case.planner), []).append(_evaluation(case))
    for folder, rows in evaluations.items():
        files.append((f"{folder}/evaluations.json", json.dumps(rows, ensure_ascii=False, indent=4) + "\n"))
    return _distinct(files)


def _evaluation(case: Case) -> dict[str, Any]:
    """Return one paper's row of evaluations.json, by that benchmark's rules; what was judged here cost nothing."""
    tally, hits = ablationbench.author(
        [entry["name"] for entry in case.gold], [entry["name"] for entry in case.plan], case.rows
    )
    wrong = tally.plan - tally.plan_hits
    return {
        "id": f"{case.paper}.{case.sample}" if case.sample else case.paper,
        "true_labels": [True] * tally.gold + [False] * wrong,
        "pred_labels": [*hits, *[True] * wrong],
        "precision": tally.precision or 0.0,
        "recall": tally.recall or 0.0,
        "f1_score": tally.f1 or 0.0,
        "ndcg_score": ablationbench.ndcg(hits, len(case.plan)),
        "cost": 0.0,
    }


def _number(value: Any) -> float | int | None:
    """Return a cell as a Python number, or None."""
    if isinstance(value, str | bool) or value is None or pd.isna(value):
        return None
    return float(value) if float(value) % 1 else int(value)


@_exporter("inspect")
def inspect_logs(run: Run) -> Files:
    """Inspect AI logs, one a planner: papers are samples, figures are scores. Written without Inspect itself.

    Inspect lists files that are named `<time>_<task>_<model>_<id>`, and takes logs of one id for retries of one eval.
    """
    files: list[tuple[str, str]] = []
    scores = {(row["planner"], row["paper"]): row for row in keyed(run.papers).to_dict("records")}
    by_planner: dict[str, dict[str, Case]] = {}
    for case in cases(run):
        by_planner.setdefault(case.planner, {}).setdefault(case.paper, case)
    for row in keyed(run.leaderboard).to_dict("records"):
        planner = row["planner"]
        samples = [_sample(case, scores[planner, paper]) for paper, case in by_planner[planner].items()]
        log = _log(run, planner, samples, row)
        shown = place(planner.replace("/", "-")).replace("_", "-")[:30]
        name = f"{log['eval']['created']}_evalkit_{shown}_{log['eval']['eval_id']}.json".replace(":", "-")
        files.append((name, json.dumps(log, ensure_ascii=False, indent=1) + "\n"))
    return _distinct(files)


def _figures(row: Mapping[Any, Any]) -> dict[str, float]:
    """Return the figures of a row that have a value, the headline first; counts and intervals stay in the run."""
    logged = (name for name in map(str, row) if _OF_FIGURE.sub("", name) in LOGGED or name in ALSO_LOGGED)
    numbers = {name: _number(row[name]) for name in sorted(logged, key=lambda name: name != "match_f1")}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def _sample(case: Case, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return one paper: gold is the target, the first plan the answer; a figure without a value is no score."""
    answer = "\n".join(_line(entry).strip() for entry in case.plan)
    return {
        "id": case.paper,
        "epoch": 1,
        "input": f"Plan the ablations of {case.paper}.",
        "target": [_line(entry).strip() for entry in case.gold],
        "messages": [],
        "output": {
            "model": case.planner,
            "choices": [{"message": {"role": "assistant", "content": answer}, "stop_reason": "stop"}],
        },
        "scores": {name: {"value": value, "answer": answer} for name, value in _figures(row).items()},
        "metadata": {"status": case.status, "plans": row["samples"], "matches": [list(pair) for pair in case.matches]},
    }


def _log(run: Run, planner: str, samples: list[dict[str, Any]], row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a whole log: what was run, the means over papers, the samples."""
    papers = [sample["id"] for sample in samples]
    made = run.meta.get("provenance", {}).get("time", EPOCH).replace("Z", "+00:00")
    own = fingerprint([run.signature.digest, planner])[:22]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "created": made,
            "eval_id": own,
            "run_id": run.signature.digest,
            "task": "evalkit",
            "task_id": own,
            "dataset": {"name": f"gold {run.signature.gold}", "samples": len(papers), "sample_ids": papers},
            "model": planner,
            "config": {},
            "packages": {"evalkit": run.signature.version},
            "metadata": {"signature": run.signature.table},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [
                {"name": name, "scorer": "evalkit", "metrics": {"mean": {"name": "mean", "value": value}}}
                for name, value in _figures(row).items()
            ],
        },
        "stats": {"started_at": made, "completed_at": made},
        "samples": samples,
    }


@_exporter("metrics-json")
def metrics(run: Run) -> Files:
    """Export one flat object of numbers for experiment trackers: `<planner>/<figure>`, without what is undefined."""
    numbers = {f"{planner}/{name}": value for planner, name, value in figures_by_planner(run)}
    return {"metrics.json": json.dumps(numbers, ensure_ascii=False, indent=1) + "\n"}


def figures_by_planner(run: Run) -> Iterator[tuple[str, str, float | int]]:
    """Yield planner, name and value of every number in the leaderboard; what is undefined is left out."""
    for row in keyed(run.leaderboard).to_dict("records"):
        for name, value in row.items():
            if (figure := _number(value)) is not None:
                yield row["planner"], str(name), figure
