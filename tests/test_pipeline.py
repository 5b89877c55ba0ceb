"""The corridor, end to end with the lexical matcher: order changes nothing, one paper touches only its own rows."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from conftest import entry, gold, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import InputError, SettingsError
from evalkit.report import console
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run
from evalkit.types import Ablation, Diagnostic, Plan

LEXICAL = Settings(matcher="lexical", resamples=0)
WORDS = ("gate", "attention", "loss", "temporal attention", "spatial attention", "encoder depth", "λ weight", "dropout")
ENTRIES = st.builds(
    entry,
    st.sampled_from(WORDS),
    st.sampled_from(["REMOVE", "REPLACE", "ADD", None]),
    st.lists(st.sampled_from(["none", "linear", "0.1", "0.5", "random"]), max_size=3),
    st.lists(st.sampled_from(["accuracy", "F1", "FID"]), max_size=2),
)


def lists(paper: str, planner: str | None) -> st.SearchStrategy[Plan]:
    entries = st.lists(ENTRIES, min_size=0 if planner else 1, max_size=4)
    return entries.map(lambda found: Plan(paper, planner, tuple(found)))


PROJECTS = st.tuples(
    st.tuples(lists("x", None), lists("y", None)),
    st.tuples(lists("x", "a"), lists("y", "a"), lists("x", "b"), lists("y", "b")),
)


def figures(run: Run, *, ordered: bool) -> pd.DataFrame:
    """The papers table, less the rank-aware columns when the plans' order was changed on purpose."""
    ranked = ("_at_", "average_precision")
    keep = [name for name in run.papers if ordered or not any(mark in name for mark in ranked)]
    return run.papers[keep]


@settings(max_examples=30, deadline=None)
@given(PROJECTS, st.randoms(use_true_random=False))
def test_the_order_of_papers_planners_entries_options_and_metrics_changes_nothing(project, random) -> None:  # type: ignore[no-untyped-def]
    golds, plans = project

    def shuffled(items):  # type: ignore[no-untyped-def]
        return tuple(random.sample(items, len(items)))

    def moved(item: Ablation) -> Ablation:
        return replace(item, replacements=shuffled(item.replacements), metrics=shuffled(item.metrics))

    straight = score_run(plans, golds, LEXICAL)
    other = score_run(
        shuffled([replace(item, ablations=tuple(map(moved, shuffled(item.ablations)))) for item in plans]),
        shuffled([replace(item, ablations=tuple(map(moved, shuffled(item.ablations)))) for item in golds]),
        LEXICAL,
    )
    pd.testing.assert_frame_equal(figures(straight, ordered=False), figures(other, ordered=False), check_exact=True)


@settings(max_examples=30, deadline=None)
@given(PROJECTS)
def test_planners_scored_together_are_scored_as_they_are_alone(project) -> None:  # type: ignore[no-untyped-def]
    golds, plans = project
    together = score_run(plans, golds, LEXICAL).papers
    alone = [score_run([item for item in plans if item.planner == name], golds, LEXICAL).papers for name in "ab"]
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True), check_exact=True)


@settings(max_examples=30, deadline=None)
@given(PROJECTS, lists("y", "a"))
def test_changing_one_paper_changes_only_its_row(project, changed) -> None:  # type: ignore[no-untyped-def]
    golds, plans = project
    before = score_run(plans, golds, LEXICAL).papers
    after = score_run([plans[0], changed, *plans[2:]], golds, LEXICAL).papers
    same = (before["planner"] != "a") | (before["paper"] != "y")
    pd.testing.assert_frame_equal(before[same], after[same], check_exact=True)


@pytest.mark.parametrize("matcher", ["lexical"])
def test_a_plan_equal_to_gold_scores_one_everywhere(matcher: str) -> None:
    entries = (
        entry("temporal attention in the decoder", "REMOVE", metrics=["accuracy"]),
        entry("contrastive loss weight", "REPLACE", ["0.1", "0.5"], ["F1"]),
        entry("pretrained tokenizer", "ADD", ["byte pairs"], ["perplexity"]),
    )
    run = score_run([plan(*entries)], [gold(*entries)], replace(LEXICAL, matcher=matcher))
    row = run.leaderboard.iloc[0]
    for name in ("match_f1", "part_f1", "action_agreement", "action_kappa", "replacement_f1", "metric_f1",
                 "recall_at_3", "ndcg_at_5", "average_precision", "coverage"):  # fmt: skip
        assert row[name] == pytest.approx(1), name


def test_undefined_stays_undefined_in_means_and_n_says_so() -> None:
    golds = [gold(entry("gate"), paper="x"), gold(entry("loss"), paper="y")]
    run = score_run([plan(entry("gate"), paper="x", planner="a")], golds, LEXICAL)
    row = run.leaderboard.iloc[0]
    assert (row["match_precision"], row["match_precision_n"]) == (1, 1)  # the missing plan has no precision
    assert (row["match_recall"], row["match_recall_n"]) == (0.5, 2)
    assert (row["coverage"], row["missing_plans"], row["papers"]) == (0.5, 1, 2)
    assert run.diagnostics["code"].tolist() == ["missing-plan"]


def test_samples_of_one_paper_are_averaged_inside_it() -> None:
    golds = [gold(entry("gate"), paper="x")]
    plans = [plan(entry("gate"), paper="x", sample="1"), plan(entry("warmup steps"), paper="x", sample="2")]
    run = score_run(plans, golds, LEXICAL)
    row = run.papers.iloc[0]
    # One sample is right and one is wrong: the mean is 1/2, the best 1, the spread the sample SD of 1 and 0.
    assert (row["samples"], row["match_f1"], row["match_f1_best"]) == (2, 0.5, 1)
    assert row["match_f1_spread"] == pytest.approx(0.5**0.5)
    best = run.leaderboard.iloc[0]
    assert (best["papers"], best["samples"], best["match_f1"], best["match_f1_best"]) == (1, 2, 0.5, 1)
    assert best["match_f1_spread"] == pytest.approx(0.5**0.5)


def test_a_lost_sample_is_no_survivor(capsys: pytest.CaptureFixture[str]) -> None:
    """Of three samples of y one is lost and two are right: 2/3, not 1. Precision stays that of these two."""
    golds = [gold(entry("gate"), paper=name) for name in "xy"]
    plans = [plan(entry("gate"), paper=paper, sample=name) for paper, names in (("x", "123"), ("y", "13"))
             for name in names]  # fmt: skip
    run = score_run(plans, golds, LEXICAL)
    row = run.papers.set_index("paper").loc["y"]
    assert (row["samples"], row["status"], row["planned"]) == (3, "planned", pytest.approx(2 / 3))
    assert (row["match_f1"], row["match_recall"], row["match_precision"]) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        1,
    )
    assert run.leaderboard.iloc[0]["match_f1"] == pytest.approx(5 / 6)
    assert run.diagnostics["code"].tolist() == ["lost-sample"]
    lost = {"planner": "planner", "expected": 3, "samples": 6, "lost": {"y": ["2"]}}
    assert run.meta["lost_samples"] == [lost]
    console.show(console.summary(run))
    answer = "planner: 1 of 6 samples are lost and count as empty plans (2 of y); 3 a paper are expected"
    assert answer in " ".join(capsys.readouterr().out.split())
    assert run.plans[["sample", "status"]].to_numpy().tolist()[-1] == ["2", "missing"]
    # Where the settings say what was asked for, it takes no other paper to see the loss; of one, none is lost.
    assert score_run(plans[3:], golds[1:], replace(LEXICAL, samples=4)).papers.iloc[0]["match_f1"] == 0.5
    alone = score_run(plans, golds, replace(LEXICAL, samples=1))
    assert (alone.leaderboard.iloc[0]["match_f1"], "lost_samples" in alone.meta) == (1, False)
    assert alone.signature.settings != run.signature.settings


def test_false_discoveries_are_a_choice_that_the_leaderboard_names(capsys: pytest.CaptureFixture[str]) -> None:
    """On twelve papers `good` has all and `bad` and `worse` nothing: p is 1/4096 for two pairs, and 1 for the third."""
    golds = [gold(entry("gate"), paper=f"{n:02}") for n in range(12)]
    plans = [
        plan(entry(part), paper=one.paper, planner=planner)
        for planner, part in (("good", "gate"), ("bad", "zeppelin"), ("worse", "submarine"))
        for one in golds
    ]
    chosen = Settings(matcher="lexical", resamples=4096, baseline="good", correction="bh")
    run = score_run(plans, golds, chosen)
    board = run.leaderboard.set_index("planner")
    # Of three tests the two smallest: 3 / 2 times their p. Against the baseline there are two: 2 / 2.
    assert board.loc["bad", "p_best"] == board.loc["worse", "p_best"] == 1.5 / 4096
    assert board.loc["bad", "p_baseline_bh"] == 1 / 4096
    assert "p_baseline_holm" not in board
    console.show(console.summary(run))
    assert "corrected by Benjamini-Hochberg" in " ".join(capsys.readouterr().out.split())
    default = score_run(plans, golds, replace(chosen, correction="shaffer"))
    assert default.leaderboard.set_index("planner").loc["bad", "p_baseline_holm"] == 2 / 4096
    # No score moved: the runs are comparable.
    assert default.signature == run.signature


def test_what_was_wrong_with_gold_or_plans_reaches_the_run() -> None:
    broken = Plan("x", "a", (), (Diagnostic("error", "not-readable", "expected a plan", "a/x.md", 3),), "a/x.md")
    run = score_run([broken], [gold(entry("gate"), paper="x")], LEXICAL)
    assert run.diagnostics.iloc[0].tolist() == ["error", "not-readable", "a/x.md", 3, "expected a plan"]
    assert run.plans["status"].tolist() == ["unreadable"]


def test_ranks_intervals_and_tests_stand_in_the_leaderboard() -> None:
    golds = [gold(entry(f"{word} block"), paper=f"p{i}") for i, word in enumerate("abcdefghijkl")]
    good = [plan(item.ablations[0], paper=item.paper, planner="good") for item in golds]
    bad = [plan(entry("warmup steps"), paper=item.paper, planner="bad") for item in golds]
    run = score_run(good + bad, golds, Settings(matcher="lexical", resamples=999, baseline="bad"))
    first = run.leaderboard.iloc[0]
    assert (first["planner"], first["rank"], first["rank_low"], first["rank_high"]) == ("good", 1, 1, 1)
    assert first["match_f1"] == 1
    assert first[["match_f1_low", "match_f1_high"]].isna().all()  # all papers score alike
    assert first["p_baseline"] <= 0.005  # 12 papers all differ the same way: 2 of 2^12 swaps are as extreme
    with pytest.raises(InputError, match="no planner 'worse' to compare with"):
        score_run(good, golds, Settings(matcher="lexical", baseline="worse"))


def test_few_papers_are_a_warning() -> None:
    run = score_run([plan(entry("gate"))], [gold(entry("gate"))], replace(LEXICAL, resamples=99))
    answer = "only 1 paper: intervals and p values say little; look at the counts of matches"
    assert run.meta["warnings"] == [f"{answer}: planner 1 of 1 gold and 1 of 1 plan entries"]


def test_too_few_papers_for_many_planners_are_a_warning() -> None:
    """The least p of six papers is 1/64: three planners are three tests, 3/64 < 0.05; four are six, 6/64."""
    golds = [gold(entry("gate"), paper=f"p{n}") for n in range(6)]
    told = [
        score_run(
            [plan(entry("gate"), paper=item.paper, planner=name) for item in golds for name in names], golds, LEXICAL
        ).meta["warnings"][1:]
        for names in ("abc", "abcd")
    ]
    assert told == [[], ["with 6 papers no test can tell two of 4 planners apart at 5%"]]


def test_nothing_to_score_is_an_error_with_the_reason() -> None:
    with pytest.raises(InputError, match="no gold paper with entries"):
        score_run([plan(entry("gate"))], [gold()], LEXICAL)
    with pytest.raises(InputError, match="the plans given: no plans"):
        score_run([], [gold(entry("gate"))], LEXICAL)


def test_the_signature_moves_with_content_and_not_with_order() -> None:
    golds = [gold(entry("gate"), paper="x"), gold(entry("loss"), paper="y")]
    plans = [plan(entry("gate"), paper="x"), plan(entry("loss"), paper="y")]
    one, two = score_run(plans, golds, LEXICAL), score_run(plans[::-1], golds[::-1], LEXICAL)
    assert one.signature == two.signature
    other = score_run(plans[:1], golds, LEXICAL)
    assert other.signature.plans != one.signature.plans
    assert one.signature.differences(other.signature) == {}


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="matcher = 'magic': expected one of hybrid, lexical, embedding"):
        Settings(matcher="magic")


def test_papers_that_are_skipped_are_counted() -> None:
    """Of three papers `a` has plans of two, `b` of all; without --missing skip nothing is left out."""
    golds = [gold(entry("gate"), paper=paper) for paper in "xyz"]
    plans = [plan(entry("gate"), paper=paper, planner=planner) for planner, paper in ("ax", "ay", "bx", "by", "bz")]
    skipped = score_run(plans, golds, replace(LEXICAL, missing="skip"))
    told = (
        "--missing skip leaves out papers without a plan, and coverage is of the others: of 3 papers of gold, scored "
        "are a on 2"
    )
    assert told in skipped.meta["warnings"]
    assert dict(zip(skipped.leaderboard["planner"], skipped.leaderboard["papers"], strict=True)) == {"a": 2, "b": 3}
    assert not any("skip" in warning for warning in score_run(plans, golds, LEXICAL).meta["warnings"])
