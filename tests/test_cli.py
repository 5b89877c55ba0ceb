"""The command line: what is written, what is printed where, and the exit code that every kind of mistake ends in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from forked import evalkit_command

from evalkit.cli import group
from evalkit.errors import EvalkitError

GATE = {"name": "Gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["accuracy"]}
GOLD = {"paper": "001", "ablations": [GATE]}
PLAN = [
    {"name": "No gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["acc."]},
    {"name": "Warmup", "ablated_part": "learning rate warmup", "action": "REPLACE", "replacement": ["none", "long"]},
]


def evalkit(*arguments: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return evalkit_command([*map(str, arguments)], cwd, {**os.environ, **env})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Gold for one paper and the plans of two planners, one of them unreadable."""
    for name, content in {
        "gold/001.json": json.dumps(GOLD),
        "plans/lab/good/001.json": json.dumps(PLAN),
        "plans/bad/001.json": "this is no plan at all",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


SCORE = ("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--resamples", "99")


def test_score_writes_a_run_and_prints_the_leaderboard(project: Path) -> None:
    done = evalkit(*SCORE, "--out", "run", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Leaderboard" in done.stdout
    assert "written to run" in done.stdout
    files = {path.name for path in (project / "run").iterdir()}
    assert {"leaderboard.csv", "papers.csv", "pairs.csv", "plans.csv", "diagnostics.csv", "run.json"} <= files
    board = pd.read_csv(project / "run" / "leaderboard.csv")
    assert board["planner"].tolist() == ["lab/good", "bad"]
    # One of one gold entry and one of two plan entries match: P = 1/2, R = 1, F1 = 2/3.
    assert board["match_f1"].tolist() == [pytest.approx(2 / 3), 0]
    assert board["coverage"].tolist() == [1, 0]
    assert board["unreadable_plans"].tolist() == [0, 1]


def test_a_folder_with_a_blank_is_quoted_in_what_to_try_next(project: Path) -> None:
    done = evalkit(*SCORE, "--out", "my run", cwd=project)
    assert "written to my run\ntry next:\n  evalkit show 'my run'\n  evalkit report 'my run' --out" in done.stdout
    printed = evalkit("table", "my run", cwd=project)
    assert evalkit("table", "my run", "--out", "-", cwd=project).stdout == printed.stdout
    assert evalkit("table", "my run", "--out", "/dev/stdout", cwd=project).stdout == printed.stdout
    assert not (project / "-").exists()


def test_json_is_one_document_on_standard_output(project: Path) -> None:
    done = evalkit(*SCORE, "--out", "run", "--json", cwd=project)
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert [row["planner"] for row in document["leaderboard"]] == ["lab/good", "bad"]
    assert document["leaderboard"][1]["match_precision"] is None
    assert document["errors"][0]["path"] == "plans/bad/001.json"


def test_plans_that_meet_no_gold_end_in_2_with_both_sides(project: Path) -> None:
    (project / "plans/lab/good/001.json").rename(project / "plans/lab/good/paper-001x.json")
    (project / "plans/bad/001.json").unlink()
    done = evalkit(*SCORE, "--out", "run", cwd=project)
    assert done.returncode == 2
    assert "papers of the plans (1): paper-001x\n  papers of gold (1): 001\n" in done.stderr
    assert "nearest: paper-001x ~ 001" in done.stderr
    assert not (project / "run").exists()


def test_the_share_that_was_not_scored_is_said(project: Path) -> None:
    (project / "plans/lab/good/else.json").write_text(json.dumps(PLAN))
    done = evalkit(*SCORE, "--out", "run", cwd=project)
    answer = "2 of 3 plans scored: 1 is of a paper that gold does not know (else)"
    assert f"warning: {answer}" in done.stdout
    meta = json.loads((project / "run/run.json").read_text())
    assert meta["not_scored"] == {"plans": 1, "of": 3, "papers": ["else"]}
    assert answer in meta["warnings"]


@pytest.mark.parametrize(
    ("pred", "gold", "message"),
    [
        ("gold", "many", "look swapped"),
        ("all", "all/gold", "evalkit score --pred all/plans --gold all/gold"),
        ("gold", "gold", "are the same folder"),
    ],
)
def test_sides_that_are_not_meant_end_in_2(project: Path, pred: str, gold: str, message: str) -> None:
    for name in ("many/a/001.json", "many/b/001.json", "all/plans/a/001.json", "all/gold/001.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(json.dumps(PLAN[0]))
    done = evalkit("score", "--pred", pred, "--gold", gold, "--matcher", "lexical", cwd=project)
    assert done.returncode == 2
    assert message in done.stderr


def test_runs_among_plans_are_passed_over_and_unread_files_named(project: Path) -> None:
    assert evalkit(*SCORE, "--out", "plans/earlier", cwd=project).returncode == 0
    (project / "plans/lab/table.csv").write_text("a,b")
    done = evalkit(*SCORE, "--out", "run", "--json", cwd=project)
    assert [row["planner"] for row in json.loads(done.stdout)["leaderboard"]] == ["lab/good", "bad"]
    message = pd.read_csv(project / "run/diagnostics.csv").set_index("code")["message"]
    assert message["run-folder"] == "expected plans, found a run that evalkit wrote; passed over"
    assert message["unread-files"] == "not read, in no known format: 1 .csv (lab/table.csv)"


def test_strict_ends_in_2_when_something_had_to_be_repaired(project: Path) -> None:
    (project / "plans/bad/001.json").write_text(json.dumps(PLAN[:1]))
    strict = (*SCORE, "--strict", "--out")
    assert evalkit(*strict, "clean", cwd=project).returncode == 0
    (project / "plans/bad/001.json").write_text(f"```json\n{json.dumps(PLAN[:1])}\n```")
    done = evalkit(*strict, "repaired", cwd=project)
    assert done.returncode == 2
    assert "code-fence" in done.stdout
    assert (project / "repaired/run.json").exists()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_planners_and_match_f1_are_whole_at_every_width(project: Path, width: int) -> None:
    """Twenty planners below one long folder: names without it, the figure with its interval, and the rest counted."""
    lab = project / "prompts/a-laboratory-with-a-name/and-a-department/of-it"
    for number in range(20):
        (lab / f"planner-{number:02}").mkdir(parents=True)
        (lab / f"planner-{number:02}/001.json").write_text(json.dumps(PLAN))
    for paper in ("002", "003", "004", "005"):
        (project / f"gold/{paper}.json").write_text(json.dumps({"paper": paper, "ablations": [GATE]}))
    done = evalkit(*SCORE, "--pred", "prompts", "--out", "run", cwd=project, COLUMNS=str(width))
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert "planners below a-laboratory-with-a-name/and-a-department/of-it/" in " ".join(map(str.strip, lines[:3]))
    rows = [line.split("│") for line in lines if line.startswith("│ planner-")]
    # Four of five papers have no plan: the mean of 2/3 and four times 0, as of a share in 6.5 draws with t for z:
    # t^2 / 6.5 is 1.185947, and the ends are (0.133333 + 0.592973 +- 0.699043) / 2.185947.
    assert [row[1].strip() for row in rows[:15]] == [f"planner-{number:02}" for number in range(15)]
    assert all(row[2].strip().startswith("0.133 [0.01, 0.65]") for row in rows)
    assert "… and 5 more planners, down to match F1 0.133; --wide shows all" in done.stdout
    wide = evalkit(*SCORE, "--pred", "prompts", "--out", "wide", "--wide", cwd=project, COLUMNS=str(width)).stdout
    assert sum(line.startswith("│") for line in wide.splitlines()) == 20


def test_show_without_a_paper_begins_with_the_worst(project: Path) -> None:
    assert evalkit(*SCORE, "--out", "run", cwd=project).returncode == 0
    done = evalkit("show", "run", "--limit", "1", cwd=project)
    assert done.stdout.startswith("001 · bad · unreadable")
    assert "… and 1 more plans" in done.stdout
    (plan,) = json.loads(evalkit("show", "run", "--planner", "lab/good", "--json", cwd=project).stdout)["plans"]
    assert plan["scores"]["match_f1"] == pytest.approx(2 / 3)
    assert "match" in [row["status"] for row in plan["entries"]]


def test_planners_named_by_their_folders(project: Path) -> None:
    """Two prompts of one model carry one heading: the message says what tells them apart, and that does."""
    text = "# lab/model/001\n\n## Ablation Plan\n\n### Gate\n- **Part**: gate\n- **Action**: REMOVE\n"
    for prompt, more in (("short", ""), ("long", "- **Metrics**: F1\n")):
        (project / "prompts" / prompt).mkdir(parents=True)
        (project / "prompts" / prompt / "001.md").write_text(text + more)
    arguments = (*SCORE, "--pred", "prompts", "--json")
    refused = evalkit(*arguments, "--out", "one", cwd=project)
    assert refused.returncode == 2
    assert "not one plan can be scored" in refused.stderr
    assert "--planner-from path tells them apart" in refused.stderr
    board = json.loads(evalkit(*arguments, "--planner-from", "path", "--out", "two", cwd=project).stdout)
    assert sorted(row["planner"] for row in board["leaderboard"]) == ["long", "short"]


def test_two_runs_of_the_same_are_identical(project: Path) -> None:
    for name in ("one", "two"):
        assert evalkit(*SCORE, "--out", name, cwd=project).returncode == 0
    for path in (project / "one").glob("*.csv"):
        assert path.read_bytes() == (project / "two" / path.name).read_bytes(), path.name
    one, two = (json.loads((project / name / "run.json").read_text()) for name in ("one", "two"))
    for meta in (one, two):  # when and by which command they were made differs
        assert {"time", "command"} <= meta["provenance"].keys()
        del meta["provenance"]["time"], meta["provenance"]["command"]
    assert one == two


def test_an_existing_run_is_kept_unless_forced(project: Path) -> None:
    assert evalkit(*SCORE, "--out", "run", cwd=project).returncode == 0
    again = evalkit(*SCORE, "--out", "run", cwd=project)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "evalkit: error: run: exists already; choose another --out, or --force to replace it\n"
    assert evalkit(*SCORE, "--out", "run", "--force", cwd=project).returncode == 0


def test_without_out_a_fresh_folder_is_made(project: Path) -> None:
    assert evalkit(*SCORE, cwd=project).returncode == 0
    assert len(list((project / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pred", "nowhere", "--gold", "gold"), "nowhere: no such file or folder"),
        (("--pred", "plans", "--gold", "empty"), "empty: holds no documents"),
        (("--pred", "plans", "--gold", "gold", "--config", "typo.toml"), "did you mean 'matcher'?"),
        (("--pred", "plans", "--gold", "gold", "--config", "gold"), "gold: is a directory"),
        (("--pred", "plans", "--gold", "gold", "--calibration", "none.json"), "none.json: no such file"),
        (("--pred", "plans", "--gold", "gold", "--top-k", "0"), "top_k = 0: expected 1 or more"),
        (("--pred", "plans", "--gold", "gold", "--matcher", "magic"), "'magic' is not one of"),
        (("--pred", "plans"), "Missing option '--gold'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(project: Path, arguments: tuple[str, ...], message: str) -> None:
    (project / "empty").mkdir()
    (project / "typo.toml").write_text('mather = "lexical"\n')
    if "--matcher" not in arguments:
        arguments = (*arguments, "--matcher", "lexical")
    done = evalkit("score", *arguments, "--out", "run", cwd=project)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "run").exists()


def test_a_crash_exits_1_with_its_traceback(project: Path) -> None:
    code = "import evalkit.cli, evalkit.scoring.pipeline as p\np.score_run = lambda *a, **k: 1 / 0\nevalkit.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *SCORE, "--out", "run"], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


# A scoring whose encoder takes its time, keeps two texts at once, and writes down what it was asked.
SLOW = """
import json, signal, time
import numpy as np
from evalkit import cli
from evalkit.scoring import matcher, pipeline
from evalkit.matching.tokens import analyse
from evalkit.matching.embeddings import TextVectors, on_grid

class Slow:
    fingerprint = "slow@1"

    def encode(self, texts, progress=None):
        for text in texts:
            time.sleep(0.05)
            with open("asked.jsonl", "a") as file:
                file.write(json.dumps(text) + chr(10))
        rows = {text: on_grid(np.full((len(analyse(text).stems) + 1, 8), 8**-0.5)) for text in texts}
        return {text: TextVectors(row[0], row[1:]) for text, row in rows.items()}

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
pipeline.TEXT_BATCH = 2
matcher.find_encoder = lambda name: Slow()
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_ctrl_c_exits_130_and_keeps_encoded_vectors(project: Path) -> None:
    rows = [{"name": f"Part {at}", "ablated_part": f"part number {at}", "action": "REMOVE"} for at in range(12)]
    (project / "gold/001.json").write_text(json.dumps({"paper": "001", "ablations": rows}))
    words = ("score", "--pred", "plans", "--gold", "gold", "--resamples", "9", "--cache", "kept", "--out", "out/run",
             "--model", "slow")  # fmt: skip
    command, asked = [sys.executable, "-c", SLOW, *words], project / "asked.jsonl"
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and (not asked.exists() or len(asked.read_text().splitlines()) < 7):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "evalkit: error: stopped; nothing is left half-written, and what was kept is kept\n"
    assert not list((project / "out").glob("*"))  # nothing out of sight either
    before = asked.read_text().splitlines()
    again = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    after = asked.read_text().splitlines()[len(before) :]
    assert len(before) - 2 <= len(set(before) - set(after))  # at most the two texts under way are encoded again
    assert len(after) == len(set(after)) >= 6
    assert (project / "out/run/run.json").is_file()


def test_ctrl_c_at_a_question_is_130_too(project: Path) -> None:
    (project / "drafts").mkdir()
    draft = {"paper": "001", "ablations": [GATE | {"draft": True}]}
    (project / "drafts/001.json").write_text(json.dumps(draft))
    code = "import click\ndef stop(*a, **k): raise KeyboardInterrupt\nclick.termui.visible_prompt_func = stop\n"
    command = [sys.executable, "-c", f"{code}import evalkit.cli; evalkit.cli.main()", "gold", "confirm", "drafts"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Aborted" in done.stderr, "error: stopped;" in done.stderr) == (130, False, True)
    assert json.loads((project / "drafts/001.json").read_text()) == draft


def test_show_says_why(project: Path) -> None:
    evalkit(*SCORE, "--out", "run", cwd=project)
    done = evalkit("show", "run", "--paper", "001", "--planner", "lab/good", cwd=project)
    assert done.returncode == 0
    assert all(text in done.stdout for text in ("match", "spurious", "No gate", "nearest: gold 1. Gate"))
    wrong = evalkit("show", "run", "--paper", "002", cwd=project)
    assert (wrong.returncode, wrong.stderr) == (
        2, "evalkit: error: no paper '002' in this run; did you mean '001'?\n"
    )  # fmt: skip


def test_show_escapes_terminal_codes_of_a_plan(project: Path) -> None:
    evil = [{"name": "\x1b[2Jgate\u202e", "ablated_part": "[red]gate[/red]", "action": "REMOVE"}]
    (project / "plans/lab/good/001.json").write_text(json.dumps(evil))
    evalkit(*SCORE, "--out", "run", cwd=project)
    done = evalkit("show", "run", "--paper", "001", "--planner", "lab/good", cwd=project)
    assert "\x1b[2J" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "[red]gate[/red]" in done.stdout


def test_validate_exits_2_when_something_is_left_out(project: Path) -> None:
    assert evalkit("validate", "gold", "--gold", cwd=project).returncode == 0
    done = evalkit("validate", "plans", cwd=project)
    assert done.returncode == 2
    assert "plans/bad/001.json:1: error [" in done.stdout
    document = json.loads(evalkit("validate", "plans", "--json", cwd=project).stdout)
    assert (document["plans"], document["entries"], document["errors"]) == (2, 2, 1)


@pytest.mark.parametrize("name", ["json", "jsonl", "yaml", "trajectory"])
def test_converted_plans_score_the_same(project: Path, name: str) -> None:
    (project / "plans/bad/001.json").unlink()
    assert evalkit("convert", "plans", "other", "--to", name, cwd=project).returncode == 0
    before = evalkit(*SCORE, "--out", "one", "--json", cwd=project)
    changed = [text if text != "plans" else "other" for text in SCORE]
    after = evalkit(*changed, "--out", "two", "--json", cwd=project)
    assert json.loads(after.stdout)["signature"] == json.loads(before.stdout)["signature"]


def test_convert_keeps_what_is_there(project: Path) -> None:
    done = evalkit("convert", "plans", "plans", "--to", "json", cwd=project)
    assert (done.returncode, "exists already; --force replaces it" in done.stderr) == (2, True)
    assert json.loads((project / "plans/lab/good/001.json").read_text()) == PLAN


def test_formats_are_listed(tmp_path: Path) -> None:
    document = json.loads(evalkit("formats", "--json", cwd=tmp_path).stdout)
    assert {"trajectory", "json", "jsonl", "yaml"} <= {row["format"] for row in document["formats"]}


def test_no_model_exits_2_with_three_ways_out(project: Path) -> None:
    done = evalkit("score", "--pred", "plans", "--gold", "gold", "--model", "no/such-model", "--out", "run",
                   cwd=project, HF_HUB_OFFLINE="1")  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert all(way in done.stderr for way in ("ablation-evalkit[embedding]", "--model PATH", "leave --model out"))
    assert not (project / "run").exists()


def test_a_demo_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub/tokenizers.py").write_text("raise ImportError('not here')")
    words = ("demo", "sample", "--no-cache", "--model", "all-MiniLM-L6-v2")
    done = evalkit_command(words, tmp_path, path=[str(tmp_path / "stub")])
    assert done.returncode == 2, done.stderr
    assert "ablation-evalkit[minilm]" in done.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["stub"]


def test_a_demo_again_is_the_same_and_changes_no_file_of_yours(tmp_path: Path) -> None:
    assert evalkit("demo", "sample", "--matcher", "lexical", cwd=tmp_path).returncode == 0
    plan = tmp_path / "sample/plans/sample-planner/careful/dit.md"
    text = plan.read_text(encoding="utf-8")
    plan.unlink()
    done = evalkit("demo", "sample", "--matcher", "lexical", cwd=tmp_path)
    assert (done.returncode, plan.read_text(encoding="utf-8")) == (0, text), done.stderr
    plan.write_text("mine", encoding="utf-8")
    done = evalkit("demo", "sample", "--matcher", "lexical", cwd=tmp_path)
    assert (done.returncode, plan.read_text(encoding="utf-8")) == (2, "mine")
    assert "dit.md: exists already; --force replaces it" in done.stderr


def test_a_demo_leaves_a_run_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}", encoding="utf-8")
    done = evalkit("demo", ".", "--matcher", "lexical", cwd=tmp_path)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (tmp_path / "run/run.json").read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(("word", "near"), [("scor", "score"), ("gatee", "gate"), ("compair", "compare")])
def test_a_misspelt_command_is_answered_with_the_nearest(tmp_path: Path, word: str, near: str) -> None:
    done = evalkit(word, cwd=tmp_path)
    assert done.returncode == 2
    assert f"No such command '{word}'. Did you mean '{near}'?" in done.stderr


def test_exit_codes_stay_when_the_reader_leaves(project: Path) -> None:
    """A reader that is gone before the first line: what is left to print is dropped, and the run is whole."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "evalkit", *SCORE, "--out", "run"]
    done = subprocess.run(command, cwd=project, stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (project / "run/run.json").exists()


def test_doctor_says_what_is_here_and_how_to_get_the_rest(tmp_path: Path) -> None:
    found = json.loads(evalkit("doctor", "--json", "--cache", "kept", cwd=tmp_path).stdout)["found"]
    rows = {row["what"]: row for row in found}
    assert rows["cache"]["state"].endswith("kept")
    assert {
        "evalkit",
        "python",
        "needs",
        "extra embedding",
        "extra report",
        "model static",
        "model all-MiniLM-L6-v2",
    } <= set(rows)
    for what, row in rows.items():
        if "missing" in row["state"]:
            assert row["to_do"] == f"pip install 'ablation-evalkit[{what.removeprefix('extra ')}]'"


def test_a_paper_named_like_a_path_stays_inside(project: Path) -> None:
    (project / "gold/001.json").write_text(json.dumps({**GOLD, "paper": "../../etc/passwd"}))
    (project / "plans/lab/good/001.json").write_text(json.dumps({"paper": "../../etc/passwd", "ablations": PLAN}))
    assert evalkit(*SCORE, "--out", "a/run", cwd=project).returncode == 0
    assert sorted(path.name for path in project.iterdir()) == ["a", "gold", "plans"]
    assert "../../etc/passwd" in (project / "a/run/papers.csv").read_text()


def test_judges_are_set_beside_each_other(project: Path) -> None:
    (project / "plans/bad/001.json").unlink()
    (project / "plans/bad").rmdir()
    for judge, answer in {"one": '{"name_in_paper": "Gate", "name_in_plan": "No gate"}', "two": ""}.items():
        (project / judge).mkdir()
        (project / judge / "001.jsonl").write_text(answer + "\n")
    arguments = ("--judgements", "one", "--judgements", "two", "--pred", "plans", "--gold", "gold")
    document = json.loads(evalkit("agree", *arguments, "--json", cwd=project).stdout)
    # One gold entry against two plan entries: the first judge matched one of the two pairs, the second none.
    assert document["pairs"] == 2
    assert [item["matched"] for item in document["judges"].values()] == [1, 0]
    assert evalkit("agree", *arguments, cwd=project).returncode == 0


def test_agree_wants_labels_or_judgements(project: Path) -> None:
    done = evalkit("agree", "--judgements", "gold", cwd=project)
    assert (done.returncode, "give either --labels, or --judgements" in done.stderr) == (2, True)


TOO_LONG = "x" * 300
PLACES = [
    *(f"{name} LONG" for name in ("show", "report", "table", "validate", "baseline set", "history", "gold extract")),
    "compare LONG LONG", "gate LONG LONG", "plot LONG planners", "convert LONG out", "agree --labels LONG",
    "score --pred LONG --gold gold", "score --pred plans --gold LONG", "score --pred plans --gold gold --out LONG",
    "score --pred plans --gold gold --config LONG", "score --pred plans --gold gold --judgements LONG",
    "calibrate --labels LONG --out made.json", "label LONG", "export LONG --to inspect --out out", "view LONG",
    "watch LONG --gold gold", "gold confirm LONG --all", "log LONG --to mlflow", "demo LONG",
]  # fmt: skip


@pytest.mark.parametrize("words", PLACES)
def test_a_name_that_no_file_may_have_is_an_error_of_the_user(
    words: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even asking whether it is there ends in an error of the system."""
    monkeypatch.chdir(project)
    answer = CliRunner().invoke(group, words.replace("LONG", TOO_LONG).split())
    assert isinstance(answer.exception, EvalkitError | SystemExit), answer.exception
    assert getattr(answer.exception, "exit_code", answer.exit_code) == 2
