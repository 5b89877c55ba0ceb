"""AblationBench's files as they lie on a disk: data sets as tables, folders in which a plan stands several times."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from evalkit.errors import InputError
from evalkit.judges.recorded import Judgements, read_judge
from evalkit.metrics.ablationbench import ReviewerRow
from evalkit.scoring.load import read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.types import Action

pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
import pyarrow.parquet as pq  # noqa: E402

ENTRIES = [
    {"name": "001", "ablated_part": "encoder", "action": "REMOVE", "replacement": None, "metrics": ["BLEU"]},
    {"name": "b", "ablated_part": "loss", "action": "REPLACE", "replacement": ["L1"], "metrics": ["BLEU"]},
]
AUTHOR = [
    {"id": "paper-a", "paper_title": "A", "paper_abstract": "long", "ablations_in_paper": json.dumps(ENTRIES)},
    {"id": "paper-b", "paper_title": "B", "paper_abstract": "long", "ablations_in_paper": json.dumps(ENTRIES[:1])},
]
REVIEWER = [{"id": "paper-a", "num_ablation_suggestions": 2, "review_text": json.dumps(["please ablate"])}]


def as_parquet(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def as_dataset(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """What `datasets.Dataset.save_to_disk` leaves: a stream of Arrow batches, and two JSON files about it."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows))
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as out,
    ):
        out.write_table(table)
    (folder / "dataset_info.json").write_text('{"features": {}}')
    (folder / "state.json").write_text('{"_data_files": []}')
    return folder


def as_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("write", [as_parquet, as_dataset, as_lines])
def test_the_author_data_is_gold(tmp_path: Path, write: object) -> None:
    assert callable(write)
    found = read_plans(
        write(tmp_path / "author.jsonl" if write is as_lines else tmp_path / "d.parquet", AUTHOR), gold=True
    )
    assert [(plan.paper, len(plan.ablations)) for plan in found.plans] == [("paper-a", 2), ("paper-b", 1)]
    first, second = found.plans[0].ablations
    assert (first.name, first.action, first.metrics) == ("001", Action.REMOVE, ("BLEU",))
    assert (second.action, second.replacements) == (Action.REPLACE, ("L1",))
    assert found.errors == 0


@pytest.mark.parametrize("write", [as_parquet, as_lines])
def test_reviewer_data_needs_judges(tmp_path: Path, write: object) -> None:
    assert callable(write)
    found = read_plans(write(tmp_path / ("r.jsonl" if write is as_lines else "r.parquet"), REVIEWER), gold=True)
    assert [entry.name for entry in found.plans[0].ablations] == ["suggestion 1", "suggestion 2"]
    assert [item.code for item in found.diagnostics] == ["only-counted"]
    assert found.errors == 0


def test_the_reviewer_task_from_its_files(tmp_path: Path) -> None:
    gold = as_parquet(tmp_path / "gold" / "test.parquet", REVIEWER)
    for folder, rows in (
        ("plans", [entry | {"name": name} for name, entry in zip("abc", [*ENTRIES, ENTRIES[0]], strict=True)]),
        ("judge", [{"name_in_plan": name, "appears_in_review": name != "c"} for name in "cab"]),
    ):
        (tmp_path / folder / "planner").mkdir(parents=True)
        as_lines(tmp_path / folder / "planner" / "paper-a.jsonl", rows)
    judges = Judgements([read_judge(tmp_path / "judge")])
    run = score_run(tmp_path / "plans", gold, Settings(resamples=0), judgements=judges)
    board = run.leaderboard.iloc[0]
    # Two hits of three for N = 2, as in the benchmark's own vector.
    assert (board["ab_precision"], board["ab_recall"], board["ab_f1"]) == (2 / 3, 1, 4 / 5)
    assert (board["match_precision"], board["match_recall"]) == (2 / 3, 1)


def test_a_review_that_suggests_nothing_is_zero_in_the_benchmarks_means_only(tmp_path: Path) -> None:
    """AblationBench's hits are at most the suggestions: of 0 suggestions it has 0 hits, and keeps the paper."""
    gold = as_lines(
        tmp_path / "gold.jsonl", [*REVIEWER, {**REVIEWER[0], "id": "paper-z", "num_ablation_suggestions": 0}]
    )
    for paper in ("paper-a", "paper-z"):
        for folder, rows in (
            ("plans", [entry | {"name": name} for name, entry in zip("abc", [*ENTRIES, ENTRIES[0]], strict=True)]),
            ("judge", [{"name_in_plan": name, "appears_in_review": name != "c"} for name in "cab"]),
        ):
            (tmp_path / folder / "planner").mkdir(parents=True, exist_ok=True)
            as_lines(tmp_path / folder / "planner" / f"{paper}.jsonl", rows)
    judges = Judgements([read_judge(tmp_path / "judge")])
    run = score_run(tmp_path / "plans", gold, Settings(resamples=0, compat="ablationbench"), judgements=judges)
    board = run.leaderboard.iloc[0]
    # Of two papers one is 2/3, 1, 4/5 and one is 0.
    assert (board["ab_precision"], board["ab_recall"], board["ab_f1"]) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (board["match_precision"], board["match_recall"], board["papers"]) == (2 / 3, 1, 1)
    assert "no-suggestion" in set(run.diagnostics["code"])
    (own,) = run.meta["compat"]
    step = {item["rule"]: item for item in own["steps"]}["no-suggestion-is-zero"]
    assert (step["precision"], step["recall"], step["f1"]) == pytest.approx((1 / 3, 1 / 2, 2 / 5))


def test_what_people_said_about_judges_plans(tmp_path: Path) -> None:
    rows = [{"name_in_plan": "a", "appears_in_review": True}, {"name_in_plan": "b", "appears_in_review": False}]
    labels = "\n".join(json.dumps(row) for row in rows)
    path = as_parquet(tmp_path / "people.parquet", [{"id": "planner/paper-a", "labels": labels}])
    (judgement,) = read_judge(path).judgements
    assert (judgement.planner, judgement.paper, judgement.task) == ("planner", "paper-a", "reviewer")
    assert judgement.reviewer == (ReviewerRow("a", True), ReviewerRow("b", False))


@pytest.mark.parametrize("name", ["broken.parquet", "broken.arrow"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"ARROW1\0\0", b"\xff" * 40, b"no table at all"])
def test_a_broken_table_is_a_diagnostic(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    as_lines(tmp_path / "whole.jsonl", AUTHOR)
    found = read_plans(tmp_path, gold=True)
    assert len(found.plans) == 2
    assert [item.code for item in found.diagnostics if item.severity == "error"] == ["not-a-table"]


def test_without_pyarrow_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_parquet(tmp_path / "author.parquet", AUTHOR)
    (tmp_path / "plans").mkdir()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"evalkit\[parquet\]"):
        score_run(tmp_path / "plans", path, Settings(resamples=0))


REPLY = {"choices": [{"message": {"content": f"<predictions>\n{json.dumps(ENTRIES[0])}\n</predictions>"}}]}


def test_benchmark_plan_folder_holds_each_plan_once(tmp_path: Path) -> None:
    folder = tmp_path / "plans" / "planner"
    folder.mkdir(parents=True)
    as_lines(folder / "paper-a.jsonl", ENTRIES)
    (folder / "paper-b.jsonl").write_text("")  # what the benchmark writes when its parser gave up
    predictions = {
        "paper-a": {"predictions": "\n".join(map(json.dumps, ENTRIES)), "cost": 0.1},
        "paper-b": {"predictions": "", "cost": 0.1},
    }
    (folder / "plans.json").write_text(json.dumps(predictions))
    for paper in ("paper-a", "paper-b"):
        (folder / f"{paper}.json.log").write_text(json.dumps(REPLY))
        (folder / f"{paper}.json.debug.log").write_text(json.dumps([{"role": "user", "content": "plan {...}"}]))
    gold = as_lines(tmp_path / "gold.jsonl", AUTHOR)
    run = score_run(tmp_path / "plans", gold, Settings(resamples=0, matcher="lexical"))
    assert run.papers["plan_entries"].tolist() == [2, 1]
    # Two prompts, the reply that was read, the empty file whose reply is better, and both plans in plans.json.
    assert run.diagnostics["code"].tolist().count("repeats") == 6
    assert "duplicate-plan" not in set(run.diagnostics["code"])


def test_a_plans_file_alone_is_read(tmp_path: Path) -> None:
    rows = "\n".join(map(json.dumps, ENTRIES))
    (tmp_path / "plans.json").write_text(json.dumps({"paper-a": {"predictions": rows, "cost": 0.1}}))
    (plan,) = read_plans(tmp_path).plans
    assert (plan.paper, [entry.name for entry in plan.ablations]) == ("paper-a", ["001", "b"])
