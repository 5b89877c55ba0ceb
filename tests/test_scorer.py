"""The programmatic door: one plan at a time, many, by threads, as a reward that never raises over a plan."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
