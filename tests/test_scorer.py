"""The programmatic door: one plan at a time, many, by threads, as a reward that never raises over a plan."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from conftest import entry, gold, plan

import evalkit
from evalkit.errors import InputError
from evalkit.scoring.pipeline import score_run
from evalkit.scoring.scorer import Reward, Scorer, figures_of
from evalkit.settings import Settings

LEXICAL = Settings(matcher="lexical", resamples=0)
GOLD = gold(entry("gate"), entry("contrastive loss", "REPLACE", ["none", "triplet loss"]))
REPLY = json.dumps([{"name": "No gate", "ablated_part": "gate", "action": "REMOVE"}])


def test_a_plan_scores_as_in_a_run() -> None:
    found = Scorer(LEXICAL).score(plan(entry("gate"), entry("warmup steps")), GOLD)
    run = score_run([plan(entry("gate"), entry("warmup steps"))], [GOLD], LEXICAL)
    row = run.papers.iloc[0]
    assert {name: row[name] for name in ("match_f1", "part_recall")} == {
        name: figures_of(found)[name] for name in ("match_f1", "part_recall")
    }
    # One of two gold entries, one of two plan entries.
    assert figures_of(found)["match_f1"] == 0.5


def test_many_are_scored_as_they_come() -> None:
    taken: list[int] = []

    def work():  # type: ignore[no-untyped-def]
        for at in range(1000):
            taken.append(at)
            yield plan(entry("gate"), paper=f"p{at}"), GOLD

    found = Scorer(LEXICAL).score_many(work())
    assert figures_of(next(found))["match_recall"] == 0.5
    assert len(taken) <= 64
    assert sum(1 for _ in found) == 999


def test_threads_and_copies_give_the_same() -> None:
    scorer = Scorer(LEXICAL)
    plans = [plan(entry(f"gate {at}"), entry("triplet loss")) for at in range(40)]
    alone = [scorer.score(one, GOLD) for one in plans]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda one: scorer.score(one, GOLD), plans)) == alone
    assert list(pickle.loads(pickle.dumps(scorer)).score_many((one, GOLD) for one in plans)) == alone


def test_top_k_is_kept() -> None:
    found = Scorer(Settings(matcher="lexical", top_k=1)).score(plan(entry("warmup steps"), entry("gate")), GOLD)
    assert found.score.counts.plan_entries == 1


def test_a_reward_is_a_float_with_a_reason() -> None:
    reward = Scorer(LEXICAL).reward(REPLY, GOLD)
    # One of two gold entries by one entry: P = 1, R = 1/2, F1 = 2/3.
    assert reward == pytest.approx(2 / 3)
    assert isinstance(reward, float)
    assert reward.reason == "1 of 2 gold entries matched by 1"
    assert pickle.loads(pickle.dumps(reward)).reason == reward.reason
    assert Scorer(LEXICAL).reward(REPLY, GOLD, "match_precision") == 1


@pytest.mark.parametrize(
    "text",
    ["", "I cannot help with that.", "{", "[[[[" * 5000, "```json\n[{]\n```", "\x00\x01", "null", "[]", '[{"name": 3}]',
     "- a: &x [*x]", "\ud800", "<predictions></predictions>", "#" * 100000],
)  # fmt: skip
def test_a_malformed_plan_is_worth_nothing_and_says_why(text: str) -> None:
    reward = Scorer(LEXICAL).reward(text, GOLD)
    assert reward == 0
    assert isinstance(reward, Reward)
    assert reward.reason


def test_a_misspelt_figure_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(InputError, match="no figure is called 'f1'"):
        Scorer(LEXICAL).reward(REPLY, GOLD, "f1")


def test_the_front_door_has_it(tmp_path: Path) -> None:
    assert evalkit.Scorer is Scorer
    with pytest.raises(InputError):
        Scorer(Settings(calibration=str(tmp_path / "none.json")))


def test_feedback_names_what_was_missed_wrong_and_not_expected() -> None:
    """An action is wrong, an entry is missed, one is spurious, one cannot be read: a line each, usable as it is."""
    wrong = {"name": "More gate", "ablated_part": "gate", "action": "ADD", "replacement": ["a second gate"]}
    text = json.dumps([wrong, {"name": "Warmup", "ablated_part": "learning rate warmup", "action": "REMOVE"}, 3])
    lines = Scorer(LEXICAL).reward(text, GOLD).feedback.split("\n")
    assert lines[0] == "0 of 2 expected entries matched, by 0 of 2 proposed ones."
    assert "Wrong action: 'More gate' says ADD; expected REMOVE." in lines
    assert any(line.startswith("Missed: 'contrastive loss' (REPLACE: none; triplet loss)") for line in lines)
    assert "Not expected: 'Warmup'." in lines
    assert lines[-1].startswith("Could not be read: expected an entry")


def test_feedback_can_keep_golds_words_to_itself() -> None:
    text = json.dumps([{"name": "More g", "ablated_part": "gate", "action": "ADD"}])
    message = Scorer(LEXICAL).reward(text, GOLD, reveal=False).feedback
    assert "Wrong action: 'More g' says ADD; another one is expected." in message
    assert "Missed: 1 expected entry." in message
    assert not any(word in message for word in ("contrastive", "triplet", "REMOVE"))


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        (None, GOLD, "plan_text: .* NoneType"),
        ([REPLY], GOLD, "plan_text: .* list"),
        (REPLY, "paper", "gold: .* str 'paper'"),
    ],
)
def test_a_programmers_mistake_raises(text: object, reference: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Scorer(LEXICAL).reward(text, reference)  # type: ignore[arg-type]


ENTRY = {"name": "Gate", "ablated_part": "gate", "action": "REMOVE"}


@pytest.mark.parametrize(
    "pred",
    [
        {"model": {"paper": [ENTRY]}},
        {"model": {"paper": json.dumps([ENTRY])}},
        {"model": {"paper": {"ablations": [ENTRY]}}},
        [{"planner": "model", "paper": "paper", **ENTRY}],
        pd.DataFrame([{"planner": "model", "paper": "paper", **ENTRY, "replacement": float("nan")}]),
        [plan(entry("gate"), planner="model")],
        {"model": {"paper": [entry("gate", name="Gate")]}},
    ],
    ids=["lists", "texts", "objects", "rows", "frame", "plans", "entries"],
)
def test_score_takes_what_a_program_has(pred: object, tmp_path: Path) -> None:
    run = evalkit.score(pred, {"paper": [ENTRY]}, LEXICAL, cache=tmp_path)
    assert run.leaderboard[["planner", "match_f1"]].values.tolist() == [["model", 1.0]]
    assert repr(run) == "Run of 1 planner on 1 paper\n  model: match F1 1.000"
    assert run.table("markdown").splitlines()[2].startswith("| model | **1.000**")


def test_a_table_read_from_parquet_holds_arrays_and_its_own_nothing(tmp_path: Path) -> None:
    """pandas gives a column of lists as numpy's arrays, and an empty cell as None, NaN, NA or NaT."""
    rows = [{"planner": "m", "paper": "p", "name": "Bias", "ablated_part": "bias", "action": "REPLACE",
             "replacement": ["absolute", "none"], "metrics": ["accuracy", "F1"]},
            {"planner": "m", "paper": "p", "name": "Gate", "ablated_part": "gate", "action": "REMOVE"}]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "plans.parquet")
    frame = pd.read_parquet(tmp_path / "plans.parquet")
    assert type(frame["metrics"][0]).__name__ == "ndarray"
    for nothing in (None, pd.NA, pd.NaT):
        frame.at[1, "metrics"] = frame.at[1, "replacement"] = nothing
        (found,) = evalkit.read_plans(frame).plans
        assert [(one.replacements, one.metrics) for one in found.ablations] == [
            (("absolute", "none"), ("accuracy", "F1")), ((), ()),
        ]  # fmt: skip
    (found,) = evalkit.read_plans({"m": {"p": [{**rows[0], "metrics": {"F1", "accuracy"}}]}}).plans
    assert found.ablations[0].metrics == ("F1", "accuracy")  # of a set, which has no order, by name


def test_what_is_no_plan_or_no_settings_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match=r"plan: expected a Plan, as evalkit.read_plans\(...\) gives it, found str"):
        Scorer(LEXICAL).score(REPLY, GOLD)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"gold: expected a Plan, .*gold=True\) gives it, found list"):
        Scorer(LEXICAL).score(GOLD, [ENTRY])  # type: ignore[arg-type]
    for call in (Scorer, lambda settings: evalkit.score({}, {}, settings)):
        with pytest.raises(TypeError, match=r"settings: expected evalkit.Settings\(...\), found dict"):
            call({"matcher": "lexical"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="of a conversation, give the `content` of its last message"):
        Scorer(LEXICAL).reward([{"role": "assistant", "content": REPLY}], GOLD)  # type: ignore[arg-type]


@pytest.mark.parametrize("pred", [None, 3, {"paper": "text"}, [["a"]]])
def test_what_is_no_source_says_what_would_be(pred: object) -> None:
    with pytest.raises(InputError, match=r"expected a folder, a file, plans, \{planner: \{paper"):
        evalkit.score(pred, [GOLD], LEXICAL, cache=None)


def test_entries_have_the_names_of_their_fields_in_files() -> None:
    found = entry("gate", "REPLACE", ["none"])
    assert (found.ablated_part, found.replacement) == (found.part, found.replacements) == ("gate", ("none",))


def test_a_run_shows_compares_and_reports_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = evalkit.score({"model": {"paper": [ENTRY]}}, {"paper": [ENTRY]}, LEXICAL, cache=None)
    run.show()
    assert "paper · model · planned · match F1 1.000" in capsys.readouterr().out
    assert run.compare(run, force=True).headline[0].difference == 0
    assert run.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
