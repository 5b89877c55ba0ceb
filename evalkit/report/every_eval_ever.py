"""A run in the records of every_eval_ever, schema 0.3.0: one of figures a planner, and one line a paper beside it.

Written without that package; its own validator reads the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from evalkit.metrics.figures import FIGURES, Figure, shown_in
from evalkit.report.browser_data import keyed
from evalkit.report.exports import Case, as_number, cases, json_line, place
from evalkit.settings import fingerprint
from evalkit.storage.files import encoded
from evalkit.storage.hub import parse_address
from evalkit.storage.provenance import TIME
from evalkit.storage.runs import Run

SCHEMA = "0.3.0"
COLLECTION = "evalkit"
HEADLINE = "match_f1"  # what a line says of a paper
UNTOLD = "0"  # the time of a run that does not say when it was made
RESERVED = ("data", "unknown")  # names that its folders may not have
UNKNOWN = {"deployment_type": "unknown", "model_availability": "unknown"}
_KIND = re.compile("(f1|precision|recall|ndcg)")
_RANK = re.compile(r"_at_(\d+)$")
Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Source:
    """What all records of a run have in common: when it was made, its gold, and its papers."""

    run: Run
    time: str
    papers: list[str]

    @property
    def data(self) -> Table:
        """Where gold comes from: a data set of the hub, or files of the user's own."""
        signature = self.run.signature
        about = {"gold": signature.gold, "papers": str(len(self.papers))}
        if not signature.gold_from:
            return {"source_type": "other", "dataset_name": f"gold {signature.gold}", "additional_details": about}
        address = parse_address(signature.gold_from)
        about |= {"revision": address.revision} | ({"config": address.config} if address.config else {})
        return {
            "source_type": "hf_dataset", "dataset_name": address.repo.partition("/")[2], "hf_repo": address.repo,
            "samples_number": len(self.papers), "sample_ids": self.papers, "additional_details": about,
        }  # fmt: skip


def records(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every record: of each planner, its figures and its papers."""
    by_planner: dict[str, dict[str, list[Case]]] = {}
    for case in cases(run):
        by_planner.setdefault(case.planner, {}).setdefault(case.paper, []).append(case)
    scores = {(row["planner"], row["paper"]): as_number(row[HEADLINE]) for row in keyed(run.papers).to_dict("records")}
    for row in keyed(run.leaderboard).to_dict("records"):
        planner = str(row["planner"])
        papers = by_planner[planner]
        source = _Source(run, _time(run), list(papers))
        record = _record(source, planner, row)
        known = ((paper, own, scores[planner, paper]) for paper, own in papers.items())
        lines = [_line(record, paper, own, score) for paper, own, score in known if score is not None]
        own = uuid.UUID(hex=fingerprint([run.signature.digest, planner])[:32], version=4)
        folder = f"data/{COLLECTION}/{'/'.join(_steps(planner))}"
        if lines:
            text = "".join(lines)
            path = f"{folder}/{own}_samples.jsonl"
            record["detailed_evaluation_results"] = {
                "format": "jsonl", "file_path": path, "hash_algorithm": "sha256",
                "checksum": hashlib.sha256(encoded(text)).hexdigest(), "total_rows": len(lines),
            }  # fmt: skip
            yield path, text
        yield f"{folder}/{own}.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _time(run: Run) -> str:
    """Return when a run was made, in seconds since 1970."""
    made = run.meta.get("provenance", {}).get("time")
    return str(int(datetime.strptime(made, TIME).replace(tzinfo=UTC).timestamp())) if made else UNTOLD


def _steps(planner: str) -> tuple[str, str]:
    """Return a planner as developer and model, the names of its folders; without a slash it is a local one."""
    steps = [f"{step}_" if step.lower() in RESERVED else step for step in place(planner).split("/")]
    developer, *model = steps if len(steps) > 1 else ["local", *steps]
    return developer, place("_".join(model))


def _record(source: _Source, planner: str, row: Mapping[Any, Any]) -> Table:
    """Return a planner's record: who was scored, by what, on what, and the figures that have a value."""
    signature = source.run.signature
    name = "/".join(_steps(planner))
    made = source.run.meta.get("provenance", {})
    about = {"note": made.get("note", "")} | made.get("tags", {})
    config = {"additional_details": {name: value for name, value in about.items() if value}}
    results = [_result(source, figure, row) for figure in map(FIGURES.__getitem__, shown_in("logs"))]
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{COLLECTION}-{signature.digest}/{name}/{source.time}",
        **({"evaluation_timestamp": source.time} if source.time != UNTOLD else {}),
        "retrieved_timestamp": source.time,
        "source_metadata": {
            "source_name": COLLECTION, "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other", "additional_details": signature.table,
        },
        "eval_library": {"name": "evalkit", "version": signature.version},
        "model_info": {"name": planner, "id": name, "additional_details": UNKNOWN},
        "evaluation_results": [
            result | ({"generation_config": config} if config["additional_details"] else {})
            for result in results
            if result is not None
        ],
    }  # fmt: skip


def _result(source: _Source, figure: Figure, row: Mapping[Any, Any]) -> Table | None:
    """Return a figure with its meaning, bounds and interval; None where it is undefined."""
    score = as_number(row.get(figure.name))
    if score is None:
        return None
    signature, rank, kind = source.run.signature, _RANK.search(figure.name), _KIND.search(figure.name)
    micro = as_number(row.get(f"{figure.name}_micro"))
    metric = {
        "evaluation_description": f"{figure.meaning}, mean over papers",
        "metric_id": _metric_id(figure.name), "metric_name": figure.label or figure.words, "metric_unit": "proportion",
        "metric_kind": kind[1] if kind else figure.name,
        **({"metric_parameters": {"k": int(rank[1])}} if rank else {}),
        "lower_is_better": False, "score_type": "continuous", "min_score": 0.0, "max_score": 1.0,
        "additional_details": {"matcher": signature.matcher, "calibration": signature.calibration,
                               "alignment": signature.alignment, "judge": signature.judge},
    }  # fmt: skip
    details = {"details": {"over_all_entries": str(micro)}} if micro is not None else {}
    return {
        "evaluation_result_id": _metric_id(figure.name),
        "evaluation_name": COLLECTION,
        "source_data": source.data,
        "metric_config": metric,
        "score_details": {"score": score, **details, "uncertainty": _uncertainty(figure.name, row)},
    }


def _metric_id(name: str) -> str:
    return f"{COLLECTION}.{name}"


def _uncertainty(name: str, row: Mapping[Any, Any]) -> Table:
    """Return over how many papers a mean is, and its interval of 95% where there is one."""
    low, high, number = (as_number(row.get(f"{name}_{end}")) for end in ("low", "high", "n"))
    known: Table = {} if number is None else {"num_samples": int(number)}
    if low is None or high is None:
        return known
    method = "t over papers, on the log-odds"
    return known | {"confidence_interval": {"lower": low, "upper": high, "confidence_level": 0.95, "method": method}}


def _shown(entry: Table) -> str:
    return json_line(entry).strip()


def _line(record: Table, paper: str, own: list[Case], score: float) -> str:
    """Return a paper's line: gold as reference, the plans as output, its F1 as score; "correct" is an F1 of 1.

    Its reader takes more characters for ends of lines than a newline, so all but ASCII is escaped.
    """
    asked, reference = f"Plan the ablations of {paper}.", [_shown(entry) for entry in own[0].gold]
    answers = ["\n".join(map(_shown, case.plan)) for case in own]
    last = {"turn_idx": 0, "source": "output.raw", "extracted_value": answers[0], "extraction_method": COLLECTION}
    row = {
        "schema_version": SCHEMA,
        "evaluation_id": record["evaluation_id"],
        "model_id": record["model_info"]["id"],
        "evaluation_name": COLLECTION,
        "evaluation_result_id": _metric_id(HEADLINE),
        "sample_id": paper,
        "sample_hash": hashlib.sha256(encoded(asked + "".join(reference))).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": asked, "reference": reference},
        "output": {"raw": answers},
        "answer_attribution": [{**last, "is_terminal": True}],
        "evaluation": {"score": score, "is_correct": score == 1},
        "metadata": {"status": own[0].status, "plans": str(len(own))},
    }
    return json.dumps(row) + "\n"
