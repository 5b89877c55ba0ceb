"""Figures corrected by labels: by hand, against ppi-python, and where everything or nothing is labelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import entry, gold, plan

from evalkit import stats
from evalkit.errors import InputError
from evalkit.report.agreement_text import decisions
from evalkit.scoring.correction import measure, shared_measure, with_correction
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.label_files import LabelledPlan, Labels
from evalkit.storage.tables import frame_of, table_of

HITS = ("match_gold", "match_plan", "part_gold", "part_plan")


def papers(auto: list[int], truth: list[int], labelled: list[bool], planner: str = "a") -> pd.DataFrame:
    """One planner's papers: four gold and four plan entries each, so many hits, so many by the labels."""
    frame = pd.DataFrame({"planner": planner, "paper": [f"p{at:03}" for at in range(len(auto))], "labelled": labelled})
    frame["gold_entries"] = frame["plan_entries"] = 4
    for name in HITS:
        frame[name] = np.array(auto, dtype=float)
        frame[f"label_{name}"] = np.where(labelled, np.array(truth, dtype=float), np.nan)
    for kind in ("match", "part"):
        for ratio in ("precision", "recall", "f1"):
            frame[f"{kind}_{ratio}"] = frame[f"{kind}_gold"] / 4
            frame[f"label_{kind}_{ratio}"] = frame[f"label_{kind}_gold"] / 4
    return frame


def corrected_board(board: pd.DataFrame, papers: pd.DataFrame, *, resamples: int) -> pd.DataFrame:
    """The leaderboard with corrected figures, as a frame."""
    return frame_of(with_correction(table_of(board), table_of(papers), resamples=resamples))


def test_a_correction_worked_by_hand() -> None:
    # Labelled: truth is the matcher less one, on every labelled paper, so the slope of truth on matcher is 1 and
    # lambda 1. All: mean matcher 10/4 of 4, less one: 6/4 of 4.
    frame = papers([2, 3, 1, 4, 2, 3], [1, 2, 0, 3, 1, 0], [True] * 5 + [False])
    board = corrected_board(pd.DataFrame({"planner": ["a"], "match_f1": [0.6]}), frame, resamples=99)
    row = board.iloc[0]
    assert row["labelled_papers"] == 5
    for name in ("match_f1", "match_f1_micro", "match_precision", "part_recall_micro"):
        assert row[f"{name}_corrected"] == pytest.approx((15 / 6 - 1) / 4)
    assert row["match_f1_corrected_low"] <= row["match_f1_corrected"] <= row["match_f1_corrected_high"]
    assert list(board.columns[:5]) == [
        "planner", "match_f1", "match_f1_corrected", "match_f1_corrected_low", "match_f1_corrected_high"
    ]  # fmt: skip


def test_probabilities_say_more_than_decisions() -> None:
    """The matcher decides two of four everywhere; by its probabilities it expects one more than there is.

    lambda is 1, and of all papers (1 + 2 + 3 + 1 + 2 + 3) / 6 = 2 are expected, less one: a quarter. By the decisions
    alone it were the mean of the labels, (0 + 1 + 2 + 0) / 4 of 4.
    """
    frame = papers([2] * 6, [0, 1, 2, 0, 0, 0], [True] * 4 + [False] * 2)
    board = pd.DataFrame({"planner": ["a"], "match_f1": [0.5]})
    names = ("match_f1", "match_precision", "match_recall", "match_f1_micro", "match_precision_micro")
    decided = corrected_board(board, frame, resamples=0).iloc[0]
    assert [decided[f"{name}_corrected"] for name in names] == pytest.approx([3 / 16] * 5)
    frame["match_gold_expected"] = frame["match_plan_expected"] = [1.0, 2, 3, 1, 2, 3]
    expected = corrected_board(board, frame, resamples=0).iloc[0]
    assert [expected[f"{name}_corrected"] for name in names] == pytest.approx([1 / 4] * 5)
    assert expected["part_f1_corrected"] == pytest.approx(3 / 16)


def test_papers_without_a_plan_need_no_labels() -> None:
    # Six papers with a plan, as above, three of them labelled: truth is the matcher less one. Four papers without one,
    # which nobody samples: their recall of 0 is the truth. 15/4 of recall less 6/4, over 10 papers.
    frame = papers([2, 3, 1, 4, 2, 3, 0, 0, 0, 0], [1, 2, 0, *[0] * 7], [True] * 3 + [False] * 7)
    frame.loc[6:, "plan_entries"] = 0
    for column in [name for name in frame if str(name).endswith("precision")]:
        frame.loc[6:, column] = np.nan
    board = pd.DataFrame({"planner": ["a"], "match_f1": [0.6]})
    row = corrected_board(board, frame, resamples=99).iloc[0]
    assert row["match_recall_corrected"] == pytest.approx((15 / 4 - 6 / 4) / 10)
    assert row["match_precision_corrected"] == pytest.approx((15 / 4 - 6 / 4) / 6)
    assert row["match_recall_micro_corrected"] == pytest.approx((15 - 6) / 40)
    assert row["match_precision_micro_corrected"] == pytest.approx((15 - 6) / 24)
    # A sample of all papers may hold such papers too: they are the same truth twice over, and change nothing.
    frame.loc[6:7, "labelled"] = True
    frame.loc[6:7, [name for name in frame if str(name).startswith("label_")]] = 0.0
    again = corrected_board(board, frame, resamples=99).iloc[0]
    assert again["match_recall_corrected"] == pytest.approx(row["match_recall_corrected"])
    # Labels of nothing but papers without a plan say nothing.
    frame["labelled"] = [False] * 6 + [True] * 4
    assert "match_f1_corrected" not in corrected_board(board, frame, resamples=0)


def test_labels_of_everything_are_the_truth_and_of_one_paper_nothing() -> None:
    board = pd.DataFrame({"planner": ["a"], "match_f1": [0.6]})
    whole = corrected_board(board, papers([4, 4, 4], [0, 1, 2], [True] * 3), resamples=0)
    assert whole.iloc[0]["match_f1_corrected"] == pytest.approx(1 / 4)
    assert "match_f1_corrected_low" not in whole
    one = corrected_board(board, papers([4, 4], [0, 0], [True, False]), resamples=9)
    assert "match_f1_corrected" not in one or pd.isna(one.iloc[0]["match_f1_corrected"])


def test_the_mean_case_is_that_of_ppi_python() -> None:
    from ppi_py import ppi_mean_pointestimate

    rng = np.random.default_rng(3)
    auto = rng.integers(0, 5, size=200)
    truth = np.clip(auto + rng.integers(-2, 2, size=200), 0, 4)
    labelled = np.arange(200) < 30
    frame = papers(auto.tolist(), truth.tolist(), labelled.tolist())
    found = measure([frame], "match_f1", labelled, micro=False)
    slope = np.polyfit(auto[:30], truth[:30], 1)[0]
    oracle = ppi_mean_pointestimate(truth[:30] / 4, auto[:30] / 4, auto / 4, lam=float(np.clip(slope, 0, 1)))
    assert found.values[0] == pytest.approx(float(np.squeeze(oracle)), abs=1e-12)


def test_the_interval_is_about_that_of_ppi_python() -> None:
    from ppi_py import ppi_mean_ci

    rng = np.random.default_rng(4)
    auto = rng.integers(0, 5, size=400)
    truth = np.clip(auto + rng.integers(-1, 2, size=400), 0, 4)
    labelled = np.arange(400) < 100
    frame = papers(auto.tolist(), truth.tolist(), labelled.tolist())
    row = corrected_board(pd.DataFrame({"planner": ["a"], "match_f1": [0.5]}), frame, resamples=4999).iloc[0]
    slope = float(np.clip(np.polyfit(auto[:100], truth[:100], 1)[0], 0, 1))
    # Its unlabelled papers exclude the labelled ones: lambda is theirs, (N - n) / N of ours.
    low, high = ppi_mean_ci(truth[:100] / 4, auto[:100] / 4, auto[100:] / 4, alpha=0.05, lam=slope * 0.75)
    ours = row["match_f1_corrected_high"] - row["match_f1_corrected_low"]
    assert ours == pytest.approx(float(np.squeeze(high - low)), rel=0.15)


def test_the_difference_of_two_planners() -> None:
    labelled = [True] * 12 + [False] * 12
    base = papers([3] * 12 + [2, 3] * 6, [2] * 24, labelled)
    new = papers([3, 4] * 12, [3] * 24, labelled, "b")
    shared = shared_measure(base, new, "match_f1")
    assert shared is not None
    found = stats.differences([shared[0]], 0, 1, labelled=shared[1])[0]
    # Labels say 2 of 4 against 3 of 4, and the matcher does not vary with them: lambda is 0.
    assert found.value == pytest.approx(1 / 4)
    assert found.low <= found.value <= found.high
    assert found.n == 12
    assert shared_measure(base.drop(columns="labelled"), new, "match_f1") is None
    assert shared_measure(base, new.assign(labelled=False), "match_f1") is None


def project(count: int = 14) -> tuple[list[Any], list[Any], list[LabelledPlan]]:
    """A matcher that is right about one entry of two, and labels that say the other matches too."""
    golds = [gold(entry("gate"), entry("weight of the loss"), paper=f"p{at:02}") for at in range(count)]
    plans = [plan(entry("gate"), entry("balance parameter"), paper=g.paper, planner="a") for g in golds]
    both = frozenset({(0, 0), (1, 1)})
    rows = [
        LabelledPlan(g.paper, "a", g.ablations, p.ablations, both, both, sampling="papers")
        for g, p in zip(golds, plans, strict=True)
    ]
    return golds, plans, rows


def test_the_corridor_puts_it_in_the_run() -> None:
    golds, plans, rows = project()
    settings = Settings(matcher="lexical", resamples=99)
    run = score_run(plans, golds, settings, labels=Labels(rows[:10]))
    row = run.leaderboard.iloc[0]
    assert (row["match_f1"], row["match_f1_corrected"], row["labelled_papers"]) == (0.5, 1, 10)
    assert run.papers["labelled"].sum() == 10
    assert run.papers["label_match_f1"].count() == 10
    assert run.meta["labels"]["papers"] == 10
    assert run.meta["warnings"] == []
    plain = score_run(plans, golds, settings)
    pd.testing.assert_frame_equal(run.leaderboard[plain.leaderboard.columns], plain.leaderboard)
    assert run.signature == plain.signature  # labels, like plans, are what is looked at and not how


def test_what_is_doubtful_is_a_warning_of_the_run() -> None:
    golds, plans, rows = project()
    run = score_run(
        plans, golds, Settings(matcher="lexical", resamples=9), labels=Labels([replace(rows[0], sampling="")])
    )
    answer = " ".join(run.meta["warnings"])
    assert "random sample" in answer
    assert "only 1 paper is labelled" in answer


def test_samples_of_a_plan_are_labelled_one_by_one_or_not_at_all() -> None:
    golds, plans, rows = project(12)
    twice = [replace(item, sample=name) for item in plans for name in "12"]
    some = [replace(row, sample="1") for row in rows]
    settings = Settings(matcher="lexical", resamples=0)
    assert score_run(twice, golds, settings, labels=Labels(some)).papers["labelled"].sum() == 0
    every = [*some, *(replace(row, sample="2", match=frozenset({(0, 0)})) for row in rows)]
    run = score_run(twice, golds, settings, labels=Labels(every))
    assert run.papers["labelled"].sum() == 12
    assert run.papers["label_match_f1"].tolist() == [pytest.approx(0.75)] * 12


def test_labels_do_not_correct_judgements() -> None:
    golds, plans, rows = project(2)
    with pytest.raises(InputError, match="nothing to correct"):
        score_run(plans, golds, Settings(matcher="lexical"), judgements=object(), labels=Labels(rows))  # type: ignore[arg-type]


def test_the_console_says_how_wide_a_correction_is() -> None:
    """Corrected intervals of .3 and .1 beside others of .2 and .1: 1.25 times as wide on average."""
    board = pd.DataFrame({
        "planner": ["a", "b"], "papers": 8, "labelled_papers": 5, "match_f1": 0.5, "match_f1_low": [0.4, 0.45],
        "match_f1_high": [0.6, 0.55], "match_f1_corrected": 0.5, "match_f1_corrected_low": [0.35, 0.45],
        "match_f1_corrected_high": [0.65, 0.55],
    })  # fmt: skip
    run = score_run(*project()[1::-1], Settings(matcher="lexical")).replace(leaderboard=board)
    told = [line.plain for line in decisions(run.replace(meta={**run.meta, "labels": {"papers": 5}}))]
    assert (
        told[-1].strip()
        == "corrected intervals are 1.25 times as wide as the others, which leave the matcher's error out"
    )
