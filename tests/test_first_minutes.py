"""What a newcomer meets in the first minutes: near misses of names and folders, gold that is cut, narrow terminals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import evalkit
from evalkit import Scorer, Settings
from evalkit.cli import doctor, group
from evalkit.errors import InputError
from evalkit.report import console

LEXICAL = Settings(matcher="lexical", resamples=0)
GATE = {"name": "Gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["accuracy"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gold of one paper and one planner's plan, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    for place in ("gold/Gate-Net_2.json", "plans/lab/Gate-Net_2.json"):
        Path(place).parent.mkdir(parents=True)
        Path(place).write_text(json.dumps([GATE]))
    return tmp_path


def command(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(group, words)


def test_paper_ids_need_no_separators(project: Path) -> None:
    run = evalkit.score("plans", "gold", LEXICAL, cache=None)
    for name in ("gatenet2", "gate net 2", "GATE_NET_2"):
        assert run.plans_of(name) == [("Gate-Net_2", "lab")]
    with pytest.raises(InputError, match="no paper 'gatenet'"):
        run.plans_of("gatenet")


@pytest.mark.parametrize(
    "words", ["show plans", "show nowhere", "baseline set plans", "compare plans plans", "table plans"]
)
def test_a_folder_without_a_run_is_named(words: str, project: Path) -> None:
    assert f"{words.split()[-1]}: no run there (a folder with a run.json, as `evalkit score --out` writes it)" in str(
        command(*words.split()).exception
    )


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ("score --preds x", "No such option '--preds'. Did you mean '--pred'?"),
        ("score --metric x", "No such option '--metric'."),
        ("score plans gold", "expected options, found 'plans gold'; did you mean: evalkit score --pred DIR --gold DIR"),
    ],
)
def test_only_what_is_near_is_suggested(words: str, end: str) -> None:
    done = command(*words.split())
    assert (done.exit_code, done.output.splitlines()[-1]) == (2, f"Error: {end}")


def test_part_of_a_figures_name_finds_it(project: Path) -> None:
    evalkit.score("plans", "gold", LEXICAL, cache=None, out="run")
    message = str(command("compare", "run", "run", "--metric", "f1").exception)
    assert message == "no figure is called 'f1'; did you mean 'match_f1' or 'weighted_f1' or 'part_f1'?"


def test_two_prompts_under_one_heading_are_no_score_of_zero(project: Path) -> None:
    for number in (1, 2):
        place = Path(f"prompts/beta-v{number}/Gate-Net_2.json")
        place.parent.mkdir(parents=True)
        entries = [{**GATE, "name": f"Gate {number}"}]
        place.write_text(json.dumps({"planner": "beta", "paper": "Gate-Net_2", "ablations": entries}))
    with pytest.raises(InputError, match=r"not one plan can be scored.*--planner-from path tells them apart"):
        evalkit.score("prompts", "gold", LEXICAL, cache=None)
    apart = evalkit.score("prompts", "gold", Settings(matcher="lexical", planner_from="path"), cache=None)
    assert apart.leaderboard["planner"].tolist() == ["beta-v1", "beta-v2"]


def test_gold_that_is_cut_is_an_error_and_a_warning(project: Path) -> None:
    text = json.dumps([{**GATE, "name": str(number)} for number in range(3)])
    Path("gold/Gate-Net_2.json").write_text(text[:-1])
    done = command("validate", "--gold", "gold")
    assert (done.exit_code, done.output.splitlines()[-1]) == (2, "1 gold list, 3 entries; 1 error, 0 warnings, 0 notes")
    run = evalkit.score("plans", "gold", LEXICAL, cache=None)
    expected = "gold: not everything in gold/Gate-Net_2.json could be read; what is lost is missing from every figure"
    assert expected in run.meta["warnings"]


def test_a_reward_says_that_a_reply_was_cut() -> None:
    (gold,) = evalkit.read_plans([{"paper": "x", "ablations": [GATE]}], gold=True).plans
    reward = Scorer(LEXICAL).reward('[{"name": "Gate", "ablated_part": "gate", "action": "REM', gold)
    assert "left out: " in reward.reason
    assert "expected the data to be closed, found the end of the text" in reward.reason
    assert "found the end of the text" in reward.feedback


def test_a_baseline_fits_a_narrow_terminal(project: Path) -> None:
    evalkit.score("plans", "gold", LEXICAL, cache=None, out="run")
    shown = command("baseline", "set", "run").output
    assert "│ lab     │" in shown
    assert "match F1" in shown
    listed = command("baseline", "list").output
    assert "baselines/main.json" in listed
    assert max(map(len, (shown + listed).splitlines())) <= 80


def test_a_miss_is_told_with_the_limit_and_with_what_its_neighbour_is_paired_with(project: Path) -> None:
    """Both gold entries fit the one entry of the plan: the second is missed with a probability that would do."""
    again = {**GATE, "name": "Gate once more"}
    Path("gold/Gate-Net_2.json").write_text(json.dumps([GATE, again]))
    one = Settings(matcher="lexical", resamples=0, part_threshold=0.25, match_threshold=0.3)
    evalkit.score("plans", "gold", one, cache=None, out="run")
    shown = CliRunner(env={"COLUMNS": "160"}).invoke(group, ["show", "run", "--paper", "gatenet2"]).output
    assert "why (a match: 0.3 or more)" in shown
    assert "plan 1 is paired with gold 1" in shown
    # Where an entry may have several partners, none is taken; and both match.
    evalkit.score("plans", "gold", replace(one, alignment="group"), cache=None, out="groups")
    shown = CliRunner(env={"COLUMNS": "160"}).invoke(group, ["show", "groups", "--paper", "gatenet2"]).output
    assert ("paired with" in shown, "missed" in shown) == (False, False)


def test_a_command_to_copy_stands_whole_on_its_own_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 80 columns, with a path that is longer than they are."""
    folder = f"runs/{'a-long-name-of-an-experiment-' * 4}"
    shown = command("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--out", folder).output
    lines = [line.strip() for line in shown.splitlines()]
    place = folder.rstrip("/")
    assert {f"evalkit show {place}", f"evalkit report {place} --out report.html"} <= set(lines)
    assert f"written to {place}" in lines
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "ray" else "1.0")
    lines = [line.strip() for line in command("doctor").output.splitlines()]
    assert "pip install 'ablation-evalkit[ray]'" in lines
    assert lines.count("to get what is missing:") == 1
    assert list(console.missing_parts([])) == []


def test_sides_that_are_swapped_for_one_planner_are_doubted(project: Path) -> None:
    """Gold of a paper each can be read as the plans of one planner, who would get a figure without a word."""
    run = evalkit.score("gold", "plans", LEXICAL, cache=None)
    expected = "--pred gold and --gold plans look swapped: the plans are one flat list, and gold lies in folders"
    assert expected in run.meta["warnings"]
    Path("gold").rename("mine")
    Path("plans").rename("by-venue")  # a planner's flat list, and gold in a folder a venue
    assert not [
        text for text in evalkit.score("mine", "by-venue", LEXICAL, cache=None).meta["warnings"] if "swap" in text
    ]


def test_a_single_paper_is_no_papers(project: Path) -> None:
    evalkit.score("plans", "gold", LEXICAL, cache=None, out="run")
    shown = command("compare", "run", "run").output + command("gate", "run", "run").output
    assert ("1 papers" in shown, "over 1 paper" in shown) == (False, True)


def test_a_synonym_says_what_it_was_read_as_and_where_the_rest_stands(project: Path) -> None:
    entry = {"name": "Gate", "component": "gate", "action": "REMOVE", "metrics": ["accuracy"]}
    Path("plans/lab/Gate-Net_2.json").write_text(json.dumps([entry]))
    done = CliRunner(env={"COLUMNS": "200"}).invoke(group, ["validate", "plans"])
    assert "expected 'ablated_part', found 'component'; read as ablated_part" in done.output
    printed = command("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical").output
    assert "also: 1 x field-synonym (note); diagnostics.csv has each" in printed
