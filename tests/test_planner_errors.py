"""How far a planner's figure is off, worked by hand, and a promise about the band of doubt that is kept."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest

from evalkit.errors import InputError
from evalkit.labels.guarantee import guaranteed_band
from evalkit.labels.planners import PlanFigure, p_planner_dependent, planner_errors, spread
from evalkit.matching.calibration import Calibration, LogisticModel, Models, expected_error
from evalkit.types import Thresholds

FIGURES = [
    PlanFigure("p1", "a", 0.5, 0.6),
    PlanFigure("p2", "a", 0.1, 0.2),
    PlanFigure("p1", "b", 0.4, 0.2),
    PlanFigure("p2", "b", 0.6, 0.6),
]


def test_errors_of_planners_by_hand() -> None:
    found = planner_errors(FIGURES)
    one, other = found["per_planner"]
    assert (one["f1_labels"], one["f1_matcher"], one["error"]) == pytest.approx((0.3, 0.4, 0.1))
    assert (other["f1_labels"], other["f1_matcher"], other["error"]) == pytest.approx((0.5, 0.4, -0.1))
    assert (found["mean_absolute_error"], found["largest_error"]) == pytest.approx((0.1, 0.1))
    assert found["rank_correlation"] is None  # two planners


def test_samples_of_a_plan_are_averaged_inside_their_paper() -> None:
    found = planner_errors([*FIGURES, PlanFigure("p1", "a", 0.5, 0.8)])
    # Paper p1: 0.7 for 0.5; paper p2: 0.2 for 0.1.
    assert found["per_planner"][0]["error"] == pytest.approx(0.15)
    assert found["per_planner"][0]["plans"] == 2


def test_spread_by_hand() -> None:
    # Errors of a: 0.1 and 0.3, of b: -0.1 and -0.3: variance within 0.02; squared means 0.04, less 0.02 / 2.
    found = spread(np.array([[0.1, -0.1], [0.3, -0.3]]))
    assert found == {"paper_sd": pytest.approx(sqrt(0.02)), "planner_sd": pytest.approx(sqrt(0.03))}
    assert spread(np.array([[0.1, -0.1]])) == {"paper_sd": None, "planner_sd": None}


def test_a_favourite_is_noticed_and_chance_is_not() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, (40, 3))
    assert (p_planner_dependent(noise) or 0) > 0.05
    assert (p_planner_dependent(noise + np.array([0, 0, 0.1])) or 1) < 0.01
    assert p_planner_dependent(noise[:1]) is None


def with_spread(spread: dict[str, float | None], task: str = "reference") -> Calibration:
    empty = LogisticModel({}, {}, 0.0)
    message = {"by_task": {task: {"rows": 9, "papers": 3, "planners": spread}}}
    limits = Thresholds(0.4, 0.4, 0.1, 0.7)
    return Calibration("x", "lexical", limits, Models(empty, empty, empty), {}, {}, message)


def test_the_expected_error_by_hand() -> None:
    # Variance 0.3^2 / 9 + 0.1^2 = 0.02; the mean size of a normal error is sqrt(2 / pi) of its deviation.
    found = expected_error(with_spread({"paper_sd": 0.3, "planner_sd": 0.1}), 9)
    assert found is not None
    assert found["match_f1"] == pytest.approx(sqrt(2 / pi * 0.02), abs=5e-5)
    assert (found["papers"], found["measured_on"]) == (9, "9 labelled plans of 3 held-out papers with written gold")


def test_an_error_that_was_not_measured_is_not_told() -> None:
    known = {"paper_sd": 0.3, "planner_sd": 0.1}
    assert expected_error(with_spread(known, "author"), 9) is None
    assert expected_error(with_spread(dict.fromkeys(known)), 9) is None
    assert expected_error(with_spread(known), 0) is None


def test_a_promise_is_kept_on_pairs_that_were_not_seen() -> None:
    """Of 200 made-up sets of labels with honest probabilities, one in twenty may break the promise."""
    broken = refused = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        chances = rng.uniform(0, 1, 4000)
        truth = rng.uniform(0, 1, 4000) < chances
        papers = np.repeat(np.arange(100), 40)
        try:
            low, high, _ = guaranteed_band(chances, truth, papers, 0.5, 0.9)
        except InputError:  # by bad luck the surest pairs are wrong too often: nothing is promised
            refused += 1
            continue
        # Beyond an edge the true rate is the mean probability there: (1 + high) / 2, and 1 - low / 2.
        broken += (1 + high) / 2 < 0.9 or 1 - low / 2 < 0.9
    assert refused <= 20
    assert broken <= 17  # the 99.9th percentile of 200 draws at 1 in 20


def test_a_promise_that_labels_cannot_carry_is_refused() -> None:
    chances, papers = np.linspace(0, 1, 400), np.repeat(np.arange(20), 20)
    with pytest.raises(InputError, match="cannot promise 99%"):
        guaranteed_band(chances, np.arange(400) % 2 == 0, papers, 0.4, 0.99)
    with pytest.raises(InputError, match="expected a share from"):
        guaranteed_band(chances, chances > 0.5, papers, 0.4, 95.0)
