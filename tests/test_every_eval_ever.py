"""Records of every_eval_ever say what the run says, and its own validator takes them, whatever planners are called."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import entry, gold, plan
from test_supply import ESCAPES

from evalkit.report.exports import EXPORTERS
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.files import write_texts
from evalkit.storage.runs import Run

QUICK = Settings(matcher="lexical", resamples=0)
# The validator's command. Its package needs Python 3.12 and older libraries than evalkit's, so it has its own
# environment; `make records` makes it.
VALIDATOR = os.environ.get("EVERY_EVAL_EVER") or shutil.which("every_eval_ever")
MADE = {"time": "2026-01-31T12:00:00Z", "note": "first try", "tags": {"prompt": "v3"}}
PAPERS = [f"p{number}" for number in range(6)]


@pytest.fixture(scope="module")
def run() -> Run:
    """Six papers of two entries: a planner that finds one of each and two of the last, and one that plans nothing."""
    lists = [gold(entry("encoder"), entry("gate"), paper=paper) for paper in PAPERS]
    plans = [plan(entry("encoder"), paper=paper, planner="lab/good") for paper in PAPERS[:-1]]
    plans += [plan(entry("encoder"), entry("gate"), paper=PAPERS[-1], planner="lab/good")]
    plans += [plan(paper=PAPERS[0], planner="idle")]
    return score_run(plans, lists, QUICK, made=MADE)


def exported(run: Run) -> dict[str, str]:
    return EXPORTERS["every_eval_ever"](run)


def record(files: dict[str, str], place: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a planner's record and its lines."""
    (path,) = (name for name in files if name.startswith(f"data/evalkit/{place}/") and name.endswith(".json"))
    lines = files.get(path.replace(".json", "_samples.jsonl"), "").splitlines()
    return json.loads(files[path]), [json.loads(line) for line in lines]


def test_a_record_says_what_the_run_says(run: Run) -> None:
    files = exported(run)
    told, lines = record(files, "lab/good")
    assert (told["schema_version"], told["retrieved_timestamp"]) == (
        "0.3.0",
        "1769860800",
    )  # date -ud 2026-01-31T12:00Z
    assert told["evaluation_id"] == f"evalkit-{run.signature.digest}/lab/good/1769860800"
    assert (told["model_info"]["id"], told["model_info"]["name"]) == ("lab/good", "lab/good")
    assert told["source_metadata"]["additional_details"]["plans"] == run.signature.plans
    results = {item["evaluation_result_id"]: item for item in told["evaluation_results"]}
    headline = results["evalkit.match_f1"]
    # Five papers of P 1, R 1/2, F1 2/3 and one of F1 1: (5 * 2/3 + 1) / 6.
    assert headline["score_details"]["score"] == pytest.approx((5 * 2 / 3 + 1) / 6)
    assert headline["score_details"]["uncertainty"]["num_samples"] == 6
    assert headline["generation_config"]["additional_details"] == {"note": "first try", "prompt": "v3"}
    assert results["evalkit.recall_at_1"]["metric_config"]["metric_parameters"] == {"k": 1}
    assert results["evalkit.match_recall"]["metric_config"]["metric_kind"] == "recall"
    assert all(item["metric_config"]["min_score"] <= item["score_details"]["score"] <= 1 for item in results.values())
    # No pair has options: there is nothing to say of them.
    assert "evalkit.replacement_f1" not in results
    assert headline["source_data"]["source_type"] == "other"
    assert [line["sample_id"] for line in lines] == PAPERS
    assert [line["evaluation"]["score"] for line in lines] == pytest.approx([2 / 3] * 5 + [1])
    assert [line["evaluation"]["is_correct"] for line in lines] == [False] * 5 + [True]
    assert [json.loads(text)["ablated_part"] for text in lines[0]["input"]["reference"]] == ["encoder", "gate"]
    assert {line["evaluation_id"] for line in lines} == {told["evaluation_id"]}


def test_lines_are_told_of_by_their_record(run: Run) -> None:
    files = exported(run)
    told, lines = record(files, "lab/good")
    detail = told["detailed_evaluation_results"]
    assert detail["checksum"] == hashlib.sha256(files[detail["file_path"]].encode()).hexdigest()
    assert detail["total_rows"] == len(lines) == 6


def test_a_planner_without_a_slash_is_a_local_one(run: Run) -> None:
    told, lines = record(exported(run), "local/idle")
    assert (told["model_info"]["id"], told["model_info"]["name"]) == ("local/idle", "idle")
    assert {line["evaluation"]["score"] for line in lines} == {0}


def test_gold_of_the_hub_is_named(run: Run) -> None:
    commit = "ab" * 20
    signature = replace(run.signature, gold_from=f"hf://datasets/lab/gold/easy@{commit}")
    told, _ = record(exported(run.replace(meta={**run.meta, "signature": signature.table})), "lab/good")
    source = told["evaluation_results"][0]["source_data"]
    assert (source["source_type"], source["dataset_name"], source["hf_repo"]) == ("hf_dataset", "gold", "lab/gold")
    assert (source["samples_number"], source["sample_ids"]) == (6, PAPERS)
    assert source["additional_details"].items() >= {"revision": commit, "config": "easy"}.items()


def test_the_same_run_gives_the_same_records(run: Run) -> None:
    assert exported(run) == exported(run)


def hostile() -> Run:
    names = [*ESCAPES, "data/data", "unknown", "Unknown/unknown", "a:b/c*d", "lab/x\u2028y", "COM1/NUL.txt"]
    odd = "line\u2028one\x85two \U0001f680 ünï\ud800"
    part = replace(entry("gate"), name=odd, part=odd)
    plans = [plan(part, paper="x", planner=name) for name in names]
    return score_run(plans, [gold(part, paper="x"), gold(entry("gate"), paper=odd)], QUICK)


def validate(folder: Path, files: dict[str, str]) -> dict[str, Any]:
    """Return what the validator says of each file."""
    if VALIDATOR is None:
        pytest.skip("needs every_eval_ever in an environment of its own: make records")
    write_texts({folder / path: text for path, text in files.items()})
    done = subprocess.run(
        [VALIDATOR, "validate", "--format", "json", *files], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[:4000] + done.stderr[:4000]
    said = json.loads(done.stdout)
    return said if isinstance(said, dict) else {"reports": said}


@pytest.mark.parametrize("made", ["run", "hostile"])
def test_the_validator_takes_them(run: Run, tmp_path: Path, made: str) -> None:
    files = exported(run if made == "run" else hostile())
    said = json.dumps(validate(tmp_path, files))
    assert said.count('"valid": true') == len(files) > 3
    assert '"valid": false' not in said
    assert '"warnings": [{' not in said


def test_the_validator_would_refuse_others(run: Run, tmp_path: Path) -> None:
    files = exported(run)
    path = next(name for name in files if name.endswith(".json"))
    broken = {**files, path: files[path].replace('"score": ', '"score": 5', 1)}
    with pytest.raises(AssertionError):
        validate(tmp_path, broken)


def test_hostile_names_stay_apart_and_inside() -> None:
    files = exported(hostile())
    assert len({path.rpartition("/")[2] for path in files}) == len(files)
    assert all(len(path.split("/")) == 5 and path.startswith("data/evalkit/") for path in files)
    for path, text in files.items():
        assert path.endswith(".json") or len(text.splitlines()) == text.count("\n")
