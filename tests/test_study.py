"""What one run says of a gate and of designs: variances worked by hand, dashes where it cannot know, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from scipy.stats import t as student

from evalkit import stats
from evalkit.cli import group
from evalkit.comparison import GateStudy, parse_gate, study_gate
from evalkit.errors import InputError
from evalkit.report import console, study_text
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run
from evalkit.types import Ablation, Plan

GATE, WARMUP = entry("gate"), entry("optimizer warmup")
PAPERS = [f"paper {letter}" for letter in "abcdefghijkl"]
GOLDS = [gold(GATE, WARMUP, paper=paper) for paper in PAPERS]
BOTH, ONE = (GATE, WARMUP), (GATE,)
RULE = "[[rule]]\nname = 'headline'\nmargin = 0.05\n"


def plans(planner: str, *samples: Sequence[Ablation]) -> list[Plan]:
    """The same samples of a planner for every paper; one alone has no number."""
    numbers = [""] if len(samples) == 1 else [str(n) for n in range(1, len(samples) + 1)]
    return [
        plan(*entries, paper=paper, planner=planner, sample=number)
        for paper in PAPERS
        for entries, number in zip(samples, numbers, strict=True)
    ]


def scored(*given: list[Plan]) -> Run:
    return score_run([item for some in given for item in some], GOLDS, Settings(matcher="lexical", resamples=0))


def studied(run: Run, rules: str = RULE, target: float = 0.1) -> GateStudy:
    return study_gate(run, "run", parse_gate(rules, "gate.toml"), target)


SAMPLED = scored(plans("p", BOTH, ONE))


def test_variance_components_by_hand() -> None:
    # Within: (0.1^2 + 0.2^2) / 2 = 0.025. Of the means -0.3, -0.1, +0.4 about 0.5: 0.26 / 2 = 0.13, less what samples
    # add to it: 0.025 * (1/2 + 1 + 1/4) / 3.
    means, spreads = np.array([0.2, 0.4, 0.9]), np.array([0.1, math.nan, 0.2])
    between, within = stats.variance_components(means, spreads, np.array([2.0, 1.0, 4.0]))
    assert within == pytest.approx(0.025)
    assert between == pytest.approx(0.13 - 0.025 * 1.75 / 3)
    assert np.isnan(stats.variance_components(means, np.full(3, math.nan), np.ones(3))).all()


@pytest.mark.parametrize(
    ("deviation", "target", "papers"),
    [
        # t(0.975, 72) + t(0.8, 72) = 2.840106 and 0.3 * 2.840106 / sqrt(73) = 0.0997; of 72 papers 0.1004.
        (0.3, 0.1, 73),
        (1 / 3, 0.1, 90),  # 0.1001 of 89, 0.0995 of 90
        (0.0, 0.1, 5),  # no interval stands on fewer
        (math.nan, 0.1, None),
        (0.3, 0.0, None),
    ],
)
def test_papers_to_see_a_difference(deviation: float, target: float, papers: int | None) -> None:
    assert stats.papers_to_see(deviation, target) == papers


def test_variances_of_all_differences_are_those_of_each() -> None:
    sums = np.random.default_rng(0).integers(1, 6, (9, 4, 3)).astype(np.float64)
    for measure in (stats.macro(sums[..., 0] / 6), stats.micro(sums, lambda s: s[..., 0] / (s[..., 1] + s[..., 2]))):
        found = stats.difference_variances(measure)
        for first, second in ((0, 1), (2, 0), (3, 2)):
            assert found[first, second] == pytest.approx(stats.standard_error(measure, first, second) ** 2, rel=1e-6)
        np.testing.assert_allclose(np.diag(found), 0, atol=1e-15)


def test_a_planner_asked_again_by_hand() -> None:
    """F1 is 1 and 2/3 on every paper: between papers nothing, between samples a variance of (1/3)^2 / 2 = 1/18."""
    study = studied(SAMPLED)
    again, other = study.expectations
    # Two runs of two samples: 2 * (1/18) / 2 a paper, so that the error is sqrt(1/216) = 0.0680 on 12 papers.
    error = math.sqrt(1 / 216)
    assert again.detectable == pytest.approx((2.200985 + 0.875530) * error, abs=1e-6)
    # It trips below -0.05 - 2.200985 * 0.0680 = -0.19976.
    limit = 0.05 + 2.200985 * error
    assert again.alarms == pytest.approx(student.cdf(-limit / error, 11), abs=1e-6)
    for drop, rate in again.catches:
        assert rate == pytest.approx(student.cdf((drop - limit) / error, 11), abs=1e-6)
    assert [drop for drop, _ in again.catches] == [0.02, 0.05, 0.1]
    assert (other.change, other.alarms, other.catches, other.detectable) == ("another planner", None, (), None)
    assert study.alarms == {"headline": pytest.approx(again.alarms)}


def test_rules_that_fail_what_is_inconclusive_trip_more_often() -> None:
    """As above with an error of 0.0680: it trips where the interval reaches below -0.05, from a drop of -0.0998 on."""
    again, _ = studied(SAMPLED, f"[gate]\ninconclusive = 'fail'\n{RULE}").expectations
    error = math.sqrt(1 / 216)
    assert again.alarms == pytest.approx(student.cdf(-0.05 / error + 2.200985, 11), abs=1e-6)


def test_what_samples_buy_by_hand() -> None:
    (design,) = studied(SAMPLED).designs
    assert (design.planner, design.papers, design.samples) == ("p", 12, 2)
    assert (design.between, design.within) == (0.0, pytest.approx(math.sqrt(1 / 18)))
    one, three, ten = design.advice
    assert one.reach == pytest.approx(2.200985 * math.sqrt(1 / 18 / 12), abs=1e-6)
    assert one.narrower is None
    assert three.narrower == pytest.approx(1 - math.sqrt(1 / 3))
    assert ten.reach == pytest.approx(one.reach * math.sqrt(0.1))
    # Two runs of one sample differ by a deviation of 1/3 a paper: 90 papers, as above.
    assert (one.papers_again, one.papers_other) == (90, None)
    assert three.papers_again is not None
    assert three.papers_again < 40


def test_other_planners_stand_in_for_a_change() -> None:
    """`q` has 1 on half of the papers and 2/3 on the others, `r` the other way round: they differ by 1/3 everywhere."""
    halves = [plan(*(BOTH, ONE)[n % 2], paper=paper, planner="q") for n, paper in enumerate(PAPERS)]
    others = [plan(*(ONE, BOTH)[n % 2], paper=paper, planner="r") for n, paper in enumerate(PAPERS)]
    study = studied(scored(halves, others))
    assert [item.planner for item in study.expectations] == ["q", "q", "r", "r"]
    again, other, _, mirrored = study.expectations
    # Differences of +1/3 and -1/3, six of each: a variance of 12/11 * 1/9, and an error of sqrt(1/99).
    # One of two tests: t(1 - 0.05 / 4, 11) = 2.593093.
    assert other.detectable == pytest.approx((2.593093 + 0.875530) * math.sqrt(1 / 99), abs=1e-6)
    assert mirrored.detectable == pytest.approx(other.detectable)
    assert (again.alarms, study.alarms) == (None, {"headline": None})
    one, three, _ = study.designs[0].advice
    # sqrt(12/99) = 0.34816 a paper: t(0.975, 97) + t(0.8, 97) = 2.830068 and 0.34816 * 2.830068 / sqrt(98) = 0.0995.
    assert one.papers_other == stats.papers_to_see(math.sqrt(12 / 99), 0.1)
    assert one.reach is not None
    assert (one.papers_again, three.reach, three.papers_other) == (None, None, None)


def test_a_planner_of_single_samples_beside_one_of_several() -> None:
    """The interval of single samples is what it is: F1 of 1 and 2/3 in halves, a variance of 12/11 * 1/36."""
    halves = [plan(*(BOTH, ONE)[n % 2], paper=paper, planner="q") for n, paper in enumerate(PAPERS)]
    _, design = studied(scored(plans("p", BOTH, ONE), halves)).designs
    one, three, _ = design.advice
    assert one.reach == pytest.approx(2.200985 * math.sqrt(1 / 33 / 12), abs=1e-6)
    assert (one.papers_other, three.reach, design.within) == (None, None, None)


def test_papers_without_any_plan_do_not_vary() -> None:
    """On half of the papers F1 is 1 and 2/3, on the others there is no plan: (6 * 1/18 + 6 * 0) / 12 = 1/36 within."""
    study = studied(scored(plans("p", BOTH, ONE)[:12]))
    assert study.designs[0].within == pytest.approx(1 / 6)
    # Two runs of two samples: 2 * (1/36) / 2 a paper.
    assert study.expectations[0].detectable == pytest.approx(3.076515 * math.sqrt(1 / 36 / 12), abs=1e-6)


def test_a_rule_of_several_planners_trips_for_any_of_them() -> None:
    study = studied(scored(plans("p", BOTH, ONE), plans("q", ONE, BOTH)))
    rate, other = (item.alarms for item in study.expectations if item.change == "asked again")
    assert rate is not None
    assert other == pytest.approx(rate)
    assert study.alarms["headline"] == pytest.approx(1 - (1 - rate) ** 2)


def test_few_papers_and_rules_without_a_test_are_left_alone() -> None:
    few = score_run(plans("p", BOTH, ONE)[:8], GOLDS[:4], Settings(matcher="lexical", resamples=0))
    study = studied(few)
    assert (study.expectations[0].alarms, study.designs[0].advice[0].reach) == (None, None)
    assert studied(SAMPLED, "[[rule]]\nfloor = 0.5\n").expectations == ()
    assert studied(SAMPLED, "[[rule]]\nmetric = 'match_recall'\nmargin = 0.1\n").expectations[0].alarms is None
    with pytest.raises(InputError, match="--target 0: expected a number above 0"):
        studied(SAMPLED, target=0.0)
    with pytest.raises(InputError, match="headline: no planner is like 'x'"):
        studied(SAMPLED, f"{RULE}planner = 'x'\n")


def test_the_console_shows_dashes_and_disarms_names(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(study_text.gate_study(studied(scored(plans("\x1b[2Jp", BOTH)))))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "varies" not in out
    assert "needs several samples of a paper" in out
    console.show(study_text.gate_study(studied(SAMPLED)))
    out = capsys.readouterr().out
    assert "match F1 varies by 0.000 between papers and by 0.236 between samples of a paper (12 papers, up to 2" in out
    assert "± 0.150" in out
    assert " 42% " in out


def test_the_command(tmp_path: Path) -> None:
    SAMPLED.save(tmp_path / "run")
    run = str(tmp_path / "run")
    done = CliRunner().invoke(group, ["gate", "--plan", run, "--target", "0.1", "--json"])
    document = json.loads(done.stdout)
    assert (document["schema_version"], document["target"], document["run"]) == (1, 0.1, run)
    assert document["designs"][0]["advice"][0]["papers_again"] == 90
    assert [row["drop"] for row in document["expectations"][0]["catches"]] == [0.02, 0.05, 0.1]
    shown = CliRunner().invoke(group, ["gate", "--plan", run])
    assert (shown.exit_code, "papers to see 0.03" in " ".join(shown.stdout.split())) == (0, True)
    for wrong in ([run, "--plan", run], ["--plan", run, "--strict"], [run, run, "--target", "0.1"], [run], []):
        assert CliRunner().invoke(group, ["gate", *wrong]).exit_code == 2, wrong
