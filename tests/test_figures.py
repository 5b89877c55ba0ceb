"""Figures: every ratio from its sums, undefined where there is nothing to divide by. Expected values by hand."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from evalkit.metrics.figures import FIGURES, HEADLINES, figures, harmonic, ratio, shown_in
from evalkit.types import COUNT_NAMES, RANKS, Counts


def of(counts: Counts) -> dict[str, float]:
    sums = dict(zip(COUNT_NAMES, counts.values(), strict=True))
    return {name: float(value) for name, value in figures(sums).items()}


def test_match_and_part_from_counts() -> None:
    # 4 gold entries, 3 planned; 2 share a part, 1 of them matches fully.
    found = of(Counts(papers=1, planned=1, gold_entries=4, plan_entries=3, part_gold=2, part_plan=2,
                      match_gold=1, match_plan=1))  # fmt: skip
    assert found["match_precision"] == pytest.approx(1 / 3)
    assert found["match_recall"] == pytest.approx(1 / 4)
    assert found["match_f1"] == pytest.approx(2 / 7)  # 2 * 1 / (4 + 3)
    assert found["part_f1"] == pytest.approx(4 / 7)
    assert found["coverage"] == 1


def test_in_groups_the_two_sides_count_apart() -> None:
    # One plan entry covers both gold entries; the other plan entry is spurious. P = 1/2, R = 2/2, F1 = 2/3.
    found = of(Counts(papers=1, planned=1, gold_entries=2, plan_entries=2, match_gold=2, match_plan=1))
    assert (found["match_precision"], found["match_recall"]) == (0.5, 1.0)
    assert found["match_f1"] == pytest.approx(2 / 3)


def test_empty_plan_has_recall_and_f1_zero() -> None:
    found = of(Counts(papers=1, gold_entries=2))
    assert math.isnan(found["match_precision"])
    assert (found["match_recall"], found["match_f1"], found["coverage"]) == (0, 0, 0)
    assert all(math.isnan(found[f"precision_at_{k}"]) for k in RANKS)


@pytest.mark.parametrize("name", ["action_agreement", "action_kappa", "replacement_f1", "metric_f1"])
def test_nothing_over_no_pairs_is_undefined(name: str) -> None:
    assert math.isnan(of(Counts(papers=1, gold_entries=1, plan_entries=1))[name])


def test_kappa_against_scikit_learn() -> None:
    table = {"remove_remove": 5, "remove_replace": 2, "replace_remove": 1, "replace_replace": 7, "replace_add": 1,
             "add_add": 2, "add_replace": 1}  # fmt: skip
    gold = [cell.split("_")[0] for cell, n in table.items() for _ in range(n)]
    plan = [cell.split("_")[1] for cell, n in table.items() for _ in range(n)]
    assert of(Counts(**table))["action_kappa"] == pytest.approx(cohen_kappa_score(gold, plan))


def test_kappa_is_undefined_when_both_only_ever_remove() -> None:
    assert math.isnan(of(Counts(remove_remove=3))["action_kappa"])


def test_micro_figure_is_not_the_mean_of_ratios() -> None:
    one = Counts(papers=1, gold_entries=1, plan_entries=1, match_gold=1, match_plan=1)
    other = Counts(papers=1, gold_entries=4, plan_entries=4)
    assert of(one + other)["match_f1"] == pytest.approx(0.2)  # 2 * 1 / (5 + 5), not (1 + 0) / 2


def test_many_rows_equal_one_at_a_time() -> None:
    rng = np.random.default_rng(7)
    rows = [Counts(*map(float, rng.integers(0, 4, len(COUNT_NAMES)))) for _ in range(50)]
    together = figures(dict(zip(COUNT_NAMES, np.array([row.values() for row in rows]).T, strict=True)))
    for index, row in enumerate(rows):
        for name, value in of(row).items():
            assert together[name][index] == pytest.approx(value, nan_ok=True), name


def test_headlines_are_figures() -> None:
    assert set(HEADLINES) <= set(FIGURES)


# Every sum another number, so that no figure can take one for another.
SUMS = Counts(
    papers=10, planned=7, gold_entries=40, plan_entries=50, part_gold=21, part_plan=23, match_gold=11, match_plan=13,
    aligned_pairs=33, action_pairs=19, action_agreed=17, remove_remove=4, replace_replace=3, add_add=2, remove_add=1,
    replacement_pairs=26, replacement_gold=31, replacement_plan=37, replacement_matched=29, metric_pairs=27,
    metric_gold=43, metric_plan=47, metric_matched=41, covered_at_1=2, covered_at_3=5, covered_at_5=8, hits_at_1=3,
    hits_at_3=6, hits_at_5=9, slots_at_1=12, slots_at_3=16, slots_at_5=25, ndcg_at_1=1.5, ndcg_at_3=2.5, ndcg_at_5=3.5,
    average_precision=4.5, borderline_pairs=34, match_gold_if_none=1, match_plan_if_none=2, match_gold_if_all=15,
    match_plan_if_all=18, match_gold_expected=12.5, match_plan_expected=14.5,
    paper_weight=20, gold_weight=44, match_weight=22,
)  # fmt: skip
# F1 is 2ab / (a gold + b plan), with a the plan's hits and b gold's.
WORKED = {
    "match_precision": ("match", 13 / 50), "match_recall": ("match", 11 / 40),
    "match_f1": ("match", 2 * 13 * 11 / (13 * 40 + 11 * 50)),
    "weighted_recall": ("weight", 22 / 44), "weighted_f1": ("weight", 2 * 13 * 22 / (13 * 44 + 22 * 50)),
    "part_precision": ("part", 23 / 50), "part_recall": ("part", 21 / 40),
    "part_f1": ("part", 2 * 23 * 21 / (23 * 40 + 21 * 50)),
    "action_agreement": ("action", 17 / 19),
    # Observed 9/10; chance (5*4 + 3*3 + 2*3) / 100 = 0.35; (0.9 - 0.35) / (1 - 0.35).
    "action_kappa": ("action", 0.55 / 0.65),
    "replacement_precision": ("replacement", 29 / 37), "replacement_recall": ("replacement", 29 / 31),
    "replacement_f1": ("replacement", 2 * 29 / (37 + 31)),
    "metric_precision": ("metric", 41 / 47), "metric_recall": ("metric", 41 / 43),
    "metric_f1": ("metric", 2 * 41 / (47 + 43)),
    "recall_at_1": ("rank", 2 / 40), "precision_at_1": ("rank", 3 / 12), "ndcg_at_1": ("rank", 0.15),
    "recall_at_3": ("rank", 5 / 40), "precision_at_3": ("rank", 6 / 16), "ndcg_at_3": ("rank", 0.25),
    "recall_at_5": ("rank", 8 / 40), "precision_at_5": ("rank", 9 / 25), "ndcg_at_5": ("rank", 0.35),
    "average_precision": ("rank", 0.45),
    "coverage": ("coverage", 0.7),
    "match_f1_if_none": ("doubt", 2 * 2 * 1 / (2 * 40 + 1 * 50)),
    "match_f1_if_all": ("doubt", 2 * 18 * 15 / (18 * 40 + 15 * 50)),
    "match_f1_expected": ("doubt", 2 * 14.5 * 12.5 / (14.5 * 40 + 12.5 * 50)),
}  # fmt: skip


def test_every_figure_by_hand() -> None:
    found = of(SUMS)
    assert {name: FIGURES[name].family for name in FIGURES} == {name: family for name, (family, _) in WORKED.items()}
    for name, (_, value) in WORKED.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_which_averages_make_sense() -> None:
    """A mean over papers of kappa does not, nor do sums of figures that are themselves per paper."""
    assert [name for name, figure in FIGURES.items() if not figure.macro] == ["action_kappa"]
    per_paper = [
        "weighted_recall",
        "weighted_f1",
        "ndcg_at_1",
        "ndcg_at_3",
        "ndcg_at_5",
        "average_precision",
        "coverage",
    ]
    assert [name for name, figure in FIGURES.items() if not figure.micro] == per_paper


def test_every_figure_says_what_it_is() -> None:
    """One sentence each, in lower case and of words: tables and pages print it."""
    answer = {name: figure.meaning for name, figure in FIGURES.items()}
    assert len(set(answer.values())) == len(answer)
    assert answer["match_f1"] == "harmonic mean of the two, entries that match fully"
    assert answer["recall_at_3"] == "share of gold entries fully matched by the plan's first 3"
    for name, text in answer.items():
        assert re.fullmatch(r"[a-zF1C][\w ',1-9-]+\w", text), (name, text)
        assert "XX" not in text


def test_precision_and_recall_of_nothing() -> None:
    """Two empty lists have no F1; one empty list has F1 0."""
    assert math.isnan(float(harmonic(0, 0, 0, 0)))
    assert (float(harmonic(0, 3, 0, 0)), float(harmonic(0, 0, 0, 3))) == (0, 0)
    assert math.isnan(float(ratio(0, 0)))
    assert ratio([1, 2, 3], [2, 0, 4]).tolist()[::2] == [0.5, 0.75]


def test_small_sums_and_mixed_shapes() -> None:
    """Half a hit of one entry on each side is F1 1/2; one gold entry and no plan is 0; 1 over 0 is no infinity."""
    assert float(harmonic(0.5, 1, 0.5, 1)) == 0.5
    assert (float(harmonic(0, 1, 0, 0)), float(harmonic(0, 0, 0, 1))) == (0, 0)
    assert math.isnan(float(ratio(1, 0)))
    assert ratio(1, [1, 2]).tolist() == [1, 0.5]
    assert ratio([1, 3], 2).tolist() == [0.5, 1.5]


def test_each_output_has_its_figures_in_order() -> None:
    """F1 stands before the precision and recall that it is the mean of; papers.csv has them the other way round."""
    assert shown_in("table") == (
        "match_f1", "match_precision", "match_recall", "weighted_f1", "weighted_recall", "part_f1", "action_agreement",
        "metric_f1", "coverage",
    )  # fmt: skip
    assert [FIGURES[name].title for name in shown_in("console")] == [
        "match F1", "P", "R", "weighted F1", "weighted R", "part F1", "action", "options F1", "metrics F1", "nDCG@5",
        "coverage",
    ]  # fmt: skip
    assert [FIGURES[name].capital for name in shown_in("page")][1:] == [
        "P", "R", "Weighted F1", "Weighted R", "Part F1", "Action", "Options F1", "Metrics F1", "nDCG@5", "AP",
        "Coverage",
    ]  # fmt: skip
    assert [FIGURES[name].words for name in shown_in("browser")] == ["F1", "precision", "recall", "part F1"]
    assert (shown_in("beside"), shown_in("corrected")) == (
        ("match_precision", "match_recall", "part_f1", "action_agreement", "replacement_f1", "metric_f1", "coverage"),
        ("match_f1", "match_precision", "match_recall", "part_f1", "part_precision", "part_recall"),
    )
    assert shown_in("compare") == (*HEADLINES, "coverage")


def test_the_documents_have_the_table_of_figures() -> None:
    root = Path(__file__).resolve().parent.parent
    assert "\n| `match_f1` | match F1 | harmonic mean" in (root / "docs" / "numbers.md").read_text(encoding="utf-8")
    command = [sys.executable, str(root / "scripts" / "figure_table.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make figures`: {done.stdout}"
