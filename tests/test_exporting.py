"""Exports: what other tools read is what the run says, and nothing is written outside the folder that was named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.judges.recorded import Judgement, Judgements, RecordedJudge, read_judge
from evalkit.labels.page import tasks_of_run
from evalkit.metrics.ablationbench import AuthorRow
from evalkit.report.browser_data import documents
from evalkit.report.exports import EXPORTERS, cases, place
from evalkit.scoring.load import read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run, load_run
from evalkit.storage.tables import FORMS, from_cell, in_cell
from evalkit.types import Plan

GOLD = gold(
    entry("encoder", name="g1"), entry("loss", "REPLACE", ["L1", "L2"], ["FID"], "g2"), entry("gate", None, name="g3")
)
PLAN = plan(
    entry("the encoder", metrics=["accuracy", "F1"], name="p1"),
    entry("loss term", "REPLACE", ["L1", "no loss"], name="001"),
    entry("dropout", "ADD", ["0.5"], name="p3"),
    planner="lm-planner/gpt-4o",
)
ROWS = (AuthorRow("g1", "p1"), AuthorRow("g2", ("001", "p3")), AuthorRow("g3", None))
QUICK = Settings(resamples=0, alignment="group")


def run_of(*plans: Plan, rows: tuple[AuthorRow, ...] = ROWS) -> Run:
    judge = RecordedJudge("judge", (Judgement("paper", None, "", author=rows),), {})
    judges = [Judgement("paper", p.planner, "", author=rows) for p in plans] if len(plans) > 1 else judge.judgements
    return score_run(plans, [GOLD], QUICK, judgements=Judgements([RecordedJudge("judge", tuple(judges), {})]))


def written(run: Run, name: str, folder: Path) -> Path:
    for path, text in EXPORTERS[name](run).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def test_plans_come_back_as_they_were(tmp_path: Path) -> None:
    (found,) = read_plans(written(run_of(PLAN), "ablationbench-plans", tmp_path)).plans
    assert (found.planner, found.paper) == ("lm-planner/gpt-4o", "paper")
    assert found.ablations == PLAN.ablations


ODD = ("L1; then L2", '"quoted"; not', "plain", '"', ";", "a;", " b", "=1", "; ", "λ; \\", '"a"; "b"', "tab\there")


@pytest.mark.parametrize("form", ["memory", *FORMS])
def test_odd_options_and_metrics_come_back(tmp_path: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    odd = plan(entry("loss", "REPLACE", ODD, ODD[::-1]), entry("gate", "ADD", ["x"]), planner="lm/p")
    run = score_run([odd], [GOLD], Settings(matcher="lexical", resamples=0))
    run = run if form == "memory" else load_run(run.save(tmp_path / "run", form=form))
    (case,) = cases(run)
    assert [tuple(item["replacement"]) for item in case.plan] == [ODD, ("x",)]
    assert [tuple(item["metrics"]) for item in case.plan] == [ODD[::-1], ()]
    lines = EXPORTERS["ablationbench-plans"](run)["lm/p/paper.jsonl"].splitlines()
    assert tuple(json.loads(lines[0])["replacement"]) == ODD
    (log,) = EXPORTERS["inspect"](run).values()
    answer = json.loads(log)["samples"][0]["output"]["choices"][0]["message"]["content"]
    assert tuple(json.loads(answer.splitlines()[0])["replacement"]) == ODD
    (task,) = tasks_of_run(run)
    assert [item.replacements for item in task.plan] == [ODD, ("x",)]
    (paper,) = documents(run)
    assert [tuple(item[3]) for item in paper["plans"][0]["entries"]] == [ODD, ("x",)]


def test_option_that_names_two_stays_one(tmp_path: Path) -> None:
    odd = replace(PLAN, ablations=(entry("loss", "REPLACE", ["L1; then L2", '"L2"; L1'], ["F1; FID"]),))
    (found,) = read_plans(written(run_of(odd), "ablationbench-plans", tmp_path)).plans
    assert found.ablations == odd.ablations


@given(st.lists(st.text(st.sampled_from('; "\\a\n'), max_size=6), max_size=5))
def test_cells_give_back_their_texts(items: list[str]) -> None:
    assert from_cell(in_cell(items)) == items


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, []),
        ("", []),
        ("a; b", ["a", "b"]),
        ('"a" b; c', ['"a" b', "c"]),  # joined by an earlier version, which quoted nothing
        ('"a; b', ['"a', "b"]),
        ('x; "a; b"; c', ["x", "a; b", "c"]),
    ],
)
def test_cells_that_others_wrote_are_read_too(cell: str | None, expected: list[str]) -> None:
    assert from_cell(cell) == expected


def test_a_missing_plan_is_an_empty_file(tmp_path: Path) -> None:
    other = gold(entry("a"), paper="other")
    judgement = Judgement("paper", None, "", author=(AuthorRow("a", None),))
    run = score_run(
        [plan(entry("b"))],
        [gold(entry("a")), other],
        QUICK,
        judgements=Judgements([RecordedJudge("j", (judgement,), {})]),
    )
    assert EXPORTERS["ablationbench-plans"](run)["planner/other.jsonl"] == ""


def test_matches_come_back_as_a_judge(tmp_path: Path) -> None:
    run = run_of(PLAN)
    folder = written(run, "ablationbench-judge", tmp_path)
    judge = read_judge(folder)
    assert judge.judgements[0].author == ROWS
    again = score_run([PLAN], [GOLD], QUICK, judgements=Judgements([judge]))
    assert again.papers["match_f1"].tolist() == run.papers["match_f1"].tolist()
    assert again.meta["judges"]["published"] == {"compared": 1, "equal": 1, "differing": []}
    (row,) = json.loads((folder / "lm-planner" / "gpt-4o" / "evaluations.json").read_text())
    # g1 and g2 are hit, g3 is not; every plan entry is mentioned.
    assert (row["true_labels"], row["pred_labels"]) == ([True] * 3, [True, True, False])
    assert (row["precision"], row["recall"], row["f1_score"]) == (1, 2 / 3, 4 / 5)


def test_samples_come_back_as_samples(tmp_path: Path) -> None:
    plans = [plan(entry("a", name="p1"), sample="1"), plan(entry("b", name="p2"), sample="2")]
    judgements = [
        Judgement("paper", None, "", author=(AuthorRow("g1", "p2"),), sample="2"),
        Judgement("paper", None, "", sample="1"),
    ]
    run = score_run(plans, [GOLD], QUICK, judgements=Judgements([RecordedJudge("judge", tuple(judgements), {})]))
    assert (run.papers["samples"].tolist(), run.papers["match_f1"].tolist()) == ([2], [(0 + 2 / 4) / 2])
    folder = written(run, "ablationbench-plans", tmp_path / "plans")
    judge = read_judge(written(run, "ablationbench-judge", tmp_path / "judge"))
    again = score_run(folder, [GOLD], QUICK, judgements=Judgements([judge]))
    assert again.papers["match_f1"].tolist() == run.papers["match_f1"].tolist()
    assert again.meta["judges"]["published"]["equal"] == 2


def test_metrics_are_one_flat_object_of_numbers() -> None:
    numbers = json.loads(EXPORTERS["metrics-json"](run_of(PLAN))["metrics.json"])
    assert numbers["lm-planner/gpt-4o/match_recall"] == pytest.approx(2 / 3)
    assert numbers["lm-planner/gpt-4o/papers"] == 1
    assert all(isinstance(value, int | float) for value in numbers.values())


def test_the_log_has_papers_as_samples() -> None:
    run = run_of(PLAN, plan(planner="silent"))
    log, quiet = map(json.loads, EXPORTERS["inspect"](run).values())
    (sample,) = log["samples"]
    assert (sample["id"], len(sample["target"]), log["eval"]["model"]) == ("paper", 3, "lm-planner/gpt-4o")
    assert sample["scores"]["match_recall"]["value"] == pytest.approx(2 / 3)
    assert log["eval"]["metadata"]["signature"]["matcher"] == "judgements"
    assert log["results"]["scores"][0]["name"] == "match_f1"  # what `inspect view` lists
    # A plan without entries has no precision: it is not scored 0, it is not there.
    silent = quiet["samples"][0]["scores"]
    assert "match_precision" not in silent
    assert silent["match_recall"]["value"] == 0


LONG = "ü_:/" * 100
MADE = {"time": "2026-01-31T12:34:56Z"}


def test_logs_are_named_as_inspect_names_them() -> None:
    run = run_of(PLAN, plan(planner=LONG), plan(planner="a_b"), plan(planner="a/b"))
    for made, time in (({}, "1970-01-01T00-00-00"), (MADE, "2026-01-31T12-34-56")):
        run.meta["provenance"] = made
        files = EXPORTERS["inspect"](run)
        logs = [json.loads(text)["eval"] for text in files.values()]
        shown = {"lm-planner/gpt-4o": "lm-planner-gpt-4o", LONG: ("ü---" * 8)[:30], "a_b": "a-b", "a/b": "a-b"}
        assert [name.split("_") for name in files] == [
            [f"{time}+00-00", "evalkit", shown[log["model"]], f"{log['eval_id']}.json"] for log in logs
        ]
        assert {log["created"].replace(":", "-") for log in logs} == {f"{time}+00-00"}
        assert len({log["eval_id"] for log in logs}) == 4
        assert max(len(name.encode()) for name in files) < 200


@pytest.mark.slow
def test_inspect_reads_its_logs(tmp_path: Path) -> None:
    """Listing, headers and data frames, with the values of the run's own tables."""
    from inspect_ai.analysis import evals_df, samples_df  # seconds, so not while other tests are collected
    from inspect_ai.log import list_eval_logs, read_eval_log

    run = run_of(PLAN, plan(planner="silent"), plan(entry("gate", None), planner=LONG))
    run.meta["provenance"] = MADE
    folder = str(written(run, "inspect", tmp_path))
    listed = list_eval_logs(folder)
    headers = [read_eval_log(info.name, header_only=True) for info in listed]
    assert sorted(header.eval.model for header in headers) == sorted(["lm-planner/gpt-4o", "silent", LONG])
    assert [(info.task, info.task_id) for info in listed] == [("evalkit", header.eval.eval_id) for header in headers]
    whole = {log.eval.model: log for log in map(read_eval_log, listed)}
    assert all(log.status == "success" and not log.plan.steps for log in whole.values())
    expected = run.papers.set_index("planner")["match_recall"].to_dict()
    assert {model: log.samples[0].scores["match_recall"].value for model, log in whole.items()} == expected
    evals, samples = evals_df(folder, quiet=True), samples_df(folder, quiet=True)
    assert evals.set_index("model")["score_match_recall_mean"].to_dict() == expected
    by_id = evals.set_index("eval_id")["model"]
    assert dict(zip(samples["eval_id"].map(by_id), samples["score_match_recall"], strict=True)) == expected


def test_inspect_view_serves_its_logs(tmp_path: Path) -> None:
    from inspect_ai._view.fastapi_server import view_server_app
    from starlette.testclient import TestClient

    run = run_of(PLAN, plan(planner="silent"))
    client = TestClient(view_server_app(default_dir=str(written(run, "inspect", tmp_path))))
    files = [file["name"] for file in client.get("/logs").json()["files"]]
    headers = client.get("/log-headers", params={"file": files}).json()
    assert sorted(header["eval"]["model"] for header in headers) == ["lm-planner/gpt-4o", "silent"]
    (log,) = (client.get(f"/logs/{quote(name, safe='')}").json() for name in files if "silent" in name)
    assert log["samples"][0]["scores"]["match_recall"]["value"] == 0


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("lm/gpt-4o",), "lm/gpt-4o"),
        (("../../etc", "passwd"), "__/__/etc/passwd"),
        (("/etc",), "etc"),
        (("a:b\0c",), "a_b_c"),
        (("",), "_"),
        (("C:\\x",), "C__x"),
        (("NUL", "com1.json", "console"), "_NUL/_com1.json/console"),
        (("ends. ", "a.b"), "ends__/a.b"),
    ],
)
def test_no_name_leads_outside(parts: tuple[str, ...], expected: str) -> None:
    assert place(*parts) == expected


def test_two_names_for_one_file_are_refused() -> None:
    with pytest.raises(InputError, match="one file"):
        EXPORTERS["ablationbench-plans"](run_of(plan(entry("a"), planner="a:b"), plan(entry("a"), planner="a?b")))


def test_two_names_for_one_file_without_regard_to_case_are_refused() -> None:
    with pytest.raises(InputError, match="one file"):
        EXPORTERS["ablationbench-plans"](run_of(plan(entry("a"), planner="Ab"), plan(entry("a"), planner="aB")))


@pytest.mark.parametrize("name", EXPORTERS)
def test_command_exports_a_run_from_disk(tmp_path: Path, name: str) -> None:
    run = run_of(PLAN)
    run.save(tmp_path / "run")
    call = ["export", str(tmp_path / "run"), "--to", name, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(group, call, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert found == EXPORTERS[name](load_run(tmp_path / "run"))
    assert set(found) == set(EXPORTERS[name](run))
    assert CliRunner().invoke(group, call).exit_code != 0  # nothing is replaced without --force
    assert CliRunner().invoke(group, [*call, "--force"]).exit_code == 0
