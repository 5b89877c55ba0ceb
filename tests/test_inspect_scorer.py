"""A planner that runs in Inspect is scored there as `evalkit score` scores it; no model is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from evalkit import score
from evalkit.settings import Settings

ENTRY = {"name": "Gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["accuracy"]}
PLANS = {
    "p1": json.dumps([ENTRY, {"name": "Warmup", "ablated_part": "learning rate warmup", "action": "REMOVE"}]),
    "p2": "I would rather not.",
}


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    (tmp_path / "gold").mkdir()
    for paper in PLANS:
        (tmp_path / "gold" / f"{paper}.json").write_text(json.dumps([ENTRY]))
    return tmp_path / "gold"


def evaluated(gold: Path, logs: Path, replies: dict[str, str], **metadata: str) -> Any:
    """Return the log of a task whose solver gives these texts, scored by evalkit."""
    from inspect_ai import Task, eval  # seconds, so not while other tests are collected
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import solver

    from evalkit.inspect_scorer import ablation_plan

    @solver
    def answers() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            state.output = ModelOutput.from_content("planner", replies[state.sample_id])
            return state

        return solve

    samples = [Sample(input="Plan.", id=name, metadata=metadata) for name in replies]
    task = Task(dataset=samples, solver=answers(), scorer=ablation_plan(gold=str(gold), matcher="lexical"))
    (log,) = eval(task, model="mockllm/model", log_dir=str(logs), display="none")
    return log


def test_scores_are_those_of_a_run(gold: Path, tmp_path: Path) -> None:
    log = evaluated(gold, tmp_path / "logs", PLANS)
    assert log.status == "success", log.error
    values = {sample.id: next(iter(sample.scores.values())).value for sample in log.samples}
    # One gold entry, matched by one of two entries: P = 1/2, R = 1, F1 = 2/3; a refusal is an empty plan.
    assert values["p1"]["match_f1"] == pytest.approx(2 / 3)
    assert values["p2"]["match_f1"] == 0
    assert isnan(values["p2"]["match_precision"])
    for paper, text in PLANS.items():
        (tmp_path / "plans/p").mkdir(parents=True, exist_ok=True)
        (tmp_path / "plans/p" / f"{paper}.txt").write_text(text)
    run = score(tmp_path / "plans", gold, Settings(matcher="lexical", resamples=0))
    for row in run.papers.to_dict("records"):
        shared = values[row["paper"]].keys() & row.keys()
        assert len(shared) > 10
        for name in shared:
            assert values[row["paper"]][name] == pytest.approx(row[name], nan_ok=True), name
    means = {one.name: one.metrics["mean"].value for one in log.results.scores}
    assert means["match_f1"] == pytest.approx(1 / 3)
    assert means["match_precision"] == pytest.approx(1 / 2)  # of the one paper that has a precision


def test_the_paper_may_be_in_the_metadata(gold: Path, tmp_path: Path) -> None:
    log = evaluated(gold, tmp_path / "logs", {"sample-7": PLANS["p1"]}, paper="p1")
    (sample,) = log.samples
    assert next(iter(sample.scores.values())).value["match_recall"] == 1


def test_a_paper_without_gold_is_an_error(gold: Path, tmp_path: Path) -> None:
    log = evaluated(gold, tmp_path / "logs", {"unknown": PLANS["p1"]})
    assert log.status == "error"
    assert "no gold list for 'unknown'" in log.error.message


@pytest.mark.slow
def test_inspect_finds_it_by_name(gold: Path, tmp_path: Path) -> None:
    """In a new process, which scores the log anew."""
    from inspect_ai.log import read_eval_log

    log = evaluated(gold, tmp_path / "logs", PLANS)
    words = ["score", log.location, "--scorer", "evalkit/ablation_plan", "-S", f"gold={gold}", "-S", "matcher=lexical",
             "--action", "overwrite", "--overwrite"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "inspect_ai", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = read_eval_log(log.location).results.scores
    assert {one.name: one.metrics["mean"].value for one in found}["match_f1"] == pytest.approx(1 / 3)
