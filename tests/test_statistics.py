"""Every function of evalkit.stats against scipy, statsmodels, its definition, or a case worked by hand."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from evalkit import stats
from evalkit.stats import permutation, resampling
from evalkit.stats.measures import gradient

Array = NDArray[np.float64]
NAN = math.nan


def f1(sums: Array) -> Array:
    """2 hits / (gold + plan) of sums (hits, gold, plan)."""
    return stats.divide(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def synthetic(papers: int, planners: int, seed: int) -> Array:
    """Sums (hits, gold, plan) [papers, planners, 3], no list empty."""
    rng = np.random.default_rng(seed)
    gold = np.repeat(rng.integers(1, 7, (papers, 1)), planners, axis=1)
    plan = rng.integers(1, 6, (papers, planners))
    rate = rng.beta(0.8, 1.2, (papers, planners))
    return np.stack([rng.binomial(np.minimum(gold, plan), rate), gold, plan], axis=2).astype(np.float64)


# Measures --------------------------------------------------------------------------------------------------------


def test_dividing_by_nothing_is_undefined() -> None:
    np.testing.assert_array_equal(stats.divide(np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 0.0])), [0.5, NAN, NAN])


def test_micro_and_macro_by_hand() -> None:
    # Planner 0: hits 1, 0, 2 of gold 1, 1, 4 and plan 1, 3, 4: ratios 2/2, 0/4, 4/8; sums 6/14.
    # Planner 1 planned nothing for a paper without gold: that paper is undefined and does not count.
    sums = np.array([[[1, 1, 1], [0, 0, 0]], [[0, 1, 3], [1, 1, 1]], [[2, 4, 4], [0, 4, 1]]], dtype=np.float64)
    micro, macro = stats.micro(sums, f1), stats.macro(f1(sums))
    np.testing.assert_allclose(micro.values, [6 / 14, 2 / 7])
    np.testing.assert_allclose(macro.values, [(1 + 0 + 0.5) / 3, (1 + 0) / 2])
    np.testing.assert_array_equal(micro.n, [3, 2])
    np.testing.assert_array_equal(macro.n, [3, 2])


def test_a_macro_measure_defined_nowhere_is_undefined() -> None:
    measure = stats.macro(np.array([[NAN, 1.0], [NAN, 0.0]]))
    np.testing.assert_array_equal(measure.values, [NAN, 0.5])
    np.testing.assert_array_equal(measure.n, [0, 2])


def test_a_formula_measure_keeps_only_sums_it_reads() -> None:
    columns = {name: np.array([[1.0], [2.0]]) for name in ("hits", "gold", "plan", "unused")}
    measure = stats.formula_measure(columns, lambda s: stats.divide(s["hits"], s["plan"]))
    assert measure.sums.shape == (2, 1, 2)
    np.testing.assert_allclose(measure.values, [1.0])


@pytest.mark.parametrize("sums", [np.zeros((2, 3)), np.full((2, 2, 1), NAN)])
def test_sums_have_a_shape_and_no_nan(sums: Array) -> None:
    with pytest.raises(ValueError, match="sums must be finite"):
        stats.micro(sums, f1)


def test_the_gradient_of_a_ratio() -> None:
    # d(a/b) = (1/b, -a/b^2), also where a is 0 and where another sum is a million times larger.
    totals = np.array([[3.0, 4.0, 9.0], [0.0, 4.0, 9.0], [1.0, 2.0, 2e6]])
    found = gradient(lambda s: stats.divide(s[..., 0], s[..., 1]), totals)
    np.testing.assert_allclose(found, [[1 / 4, -3 / 16, 0], [1 / 4, 0, 0], [1 / 2, -1 / 4, 0]], atol=1e-9)


# Intervals -------------------------------------------------------------------------------------------------------


def test_a_level_by_hand() -> None:
    # Mean 0.3 of 0.1 ... 0.5, deviation 0.158114, SE 0.070711; t(0.975, 4) = 2.776445, their product 0.196326. Its
    # square over 0.3 * 0.7 is 0.183542: (0.3 + 0.091771 +- sqrt(0.038544 + 0.008422)) / 1.183542.
    (found,) = stats.intervals([stats.macro(np.array([[0.1], [0.2], [0.3], [0.4], [0.5]]))])
    assert found.value[0] == pytest.approx(0.3)
    assert [found.low[0], found.high[0]] == pytest.approx([0.147907, 0.514123], abs=2e-5)


@pytest.mark.parametrize("kind", ["micro", "macro"])
def test_a_level_has_the_error_of_the_bootstrap(kind: str) -> None:
    """Half the width is nearly t times the linearised error; resamples have the same spread, papers being many."""
    sums = synthetic(400, 3, seed=3)
    measure = stats.micro(sums, f1) if kind == "micro" else stats.macro(f1(sums))
    (found,) = stats.intervals([measure])
    (drawn,) = stats.bootstrap([measure], seed=1)
    error = (found.high - found.low) / 2 / scipy_stats.t.ppf(0.975, 399)
    np.testing.assert_allclose(error, drawn.std(axis=0), rtol=0.04)
    assert found.n.tolist() == [400] * 3


@pytest.mark.parametrize("hits", [1, 4, 9])
def test_a_level_of_zeros_and_ones_is_the_proportion_of_statsmodels(hits: int) -> None:
    """Of 10 papers that score 0 or 1, the effective sample size is 9: the variance is p (1 - p) * 10 / 9 over 10."""
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    (found,) = stats.intervals([stats.macro(np.repeat([1.0, 0.0], [hits, 10 - hits])[:, None])])
    # Wilson's interval at the level at which the normal quantile is t's.
    alpha = 2 * scipy_stats.norm.sf(scipy_stats.t.ppf(0.975, 9))
    expected = proportion.proportion_confint(0.9 * hits, 9, alpha=alpha, method="wilson")
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-6)


@given(arrays(np.float64, (8, 1), elements=some.floats(0, 1)))
def test_the_ends_of_a_level_are_where_its_score_reaches_t(ratios: Array) -> None:
    """At either end p, |value - p| is t times the error scaled from the value's spread to that of p."""
    (found,) = stats.intervals([stats.macro(ratios)])
    if math.isnan(found.low[0]):
        return
    value, error = ratios.mean(), scipy_stats.sem(ratios[:, 0])
    for p in (found.low[0], found.high[0]):
        assert 0 <= p <= 1
        scaled = error * math.sqrt(p * (1 - p) / (value * (1 - value)))
        assert abs(value - p) == pytest.approx(scipy_stats.t.ppf(0.975, 7) * scaled, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("ratios", "value", "n"),
    [
        ([NAN, NAN], NAN, 0),
        ([1.0, NAN], 1.0, 1),
        ([0.1, 0.2, 0.3, 0.4, NAN], 0.25, 4),  # four papers are too few
        ([0.0] * 12, 0.0, 12),  # papers that all score alike say nothing of others
        ([0.5] * 12, 0.5, 12),
    ],
)
def test_where_there_is_no_interval(ratios: list[float], value: float, n: int) -> None:
    (found,) = stats.intervals([stats.macro(np.array(ratios)[:, None])])
    np.testing.assert_allclose([found.value[0], found.low[0], found.high[0]], [value, NAN, NAN])
    assert found.n[0] == n


def test_a_corrected_level_may_leave_the_unit_interval() -> None:
    """Corrected sums can add up to less than nothing: the interval is then plain t about that value."""
    values = np.array([-0.5, -0.1, 0.1, -0.2, 0.0, -0.3])
    (found,) = stats.intervals([stats.macro(values[:, None])])
    expected = scipy_stats.t.interval(0.95, 5, loc=values.mean(), scale=scipy_stats.sem(values))
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["micro", "macro"])
def test_replicates_are_those_of_scipy(kind: str) -> None:
    sums = synthetic(30, 2, seed=3)[:, :1]
    ratios = f1(sums[:, 0])
    measure = stats.micro(sums, f1) if kind == "micro" else stats.macro(ratios[:, None])
    (ours,) = stats.bootstrap([measure], seed=1)

    def statistic(index: Array, axis: int) -> Array:
        assert axis == -1
        drawn = index.astype(int)
        return ratios[drawn].mean(axis=-1) if kind == "macro" else f1(sums[drawn, 0].sum(axis=-2))

    theirs = scipy_stats.bootstrap(
        (np.arange(30.0),), statistic, n_resamples=9_999, method="percentile", rng=np.random.default_rng(2)
    )
    # Quantiles of 9,999 draws are good to about 0.03 standard errors at the 2.5% ends: 4 of those.
    error = theirs.standard_error
    np.testing.assert_allclose(np.quantile(ours, [0.025, 0.975]), theirs.confidence_interval, atol=0.12 * error)
    assert ours.std() == pytest.approx(error, rel=0.04)


def test_two_papers_have_three_replicates() -> None:
    # Drawn: both the first (1/4), one of each (1/2), both the second (1/4). The micro ratio of both is 3/5.
    sums = np.array([[[1.0, 1.0]], [[2.0, 4.0]]])
    measure = stats.micro(sums, lambda s: stats.divide(s[..., 0], s[..., 1]))
    (drawn,) = stats.bootstrap([measure], seed=5)
    values, counts = np.unique(drawn.round(12), return_counts=True)
    np.testing.assert_allclose(values, [0.5, 0.6, 1.0])
    np.testing.assert_allclose(counts / 9_999, [0.25, 0.5, 0.25], atol=0.02)


def test_chunks_company_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a chunk and who else is scored change nothing; the seed does."""
    sums = synthetic(20, 3, seed=1)
    (whole,) = stats.bootstrap([stats.micro(sums, f1)], seed=7, resamples=500)
    (alone,) = stats.bootstrap([stats.micro(sums[:, 1:2], f1)], seed=7, resamples=500)
    (other,) = stats.bootstrap([stats.micro(sums, f1)], seed=8, resamples=500)
    monkeypatch.setattr(resampling, "CHUNK_CELLS", 20 * 9 * 7)
    (chunked,) = stats.bootstrap([stats.micro(sums, f1)], seed=7, resamples=500)
    np.testing.assert_array_equal(whole, chunked)
    np.testing.assert_allclose(whole[:, 1:2], alone, rtol=1e-12)
    assert not np.allclose(whole, other)


def test_no_papers_at_all() -> None:
    measure = stats.macro(np.zeros((0, 2)))
    (found,) = stats.intervals([measure])
    assert np.isnan(found.value).all()
    assert np.isnan(found.low).all()
    assert math.isnan(stats.paired_test(measure, 0, 1, seed=1))
    assert stats.intervals([]) == []


def test_standard_error_of_a_macro_difference() -> None:
    ratios = f1(synthetic(25, 2, seed=4))
    error = stats.standard_error(stats.macro(ratios), 0, 1)
    assert error == pytest.approx(scipy_stats.sem(ratios[:, 1] - ratios[:, 0]), rel=1e-6)


def test_standard_error_of_a_micro_difference_nears_the_jackknife() -> None:
    sums = synthetic(300, 2, seed=4)
    rest = f1(sums.sum(axis=0) - sums)
    left_out = rest[:, 1] - rest[:, 0]
    jackknife = math.sqrt(299 / 300 * ((left_out - left_out.mean()) ** 2).sum())
    assert stats.standard_error(stats.micro(sums, f1), 0, 1) == pytest.approx(jackknife, rel=0.01)


def test_a_difference_and_its_interval() -> None:
    sums = synthetic(60, 3, seed=2)
    macro, micro = stats.differences([stats.macro(f1(sums)), stats.micro(sums, f1)], base=2, new=0)
    ratios = f1(sums)
    assert macro.value == pytest.approx(ratios[:, 0].mean() - ratios[:, 2].mean())
    assert micro.value == pytest.approx(f1(sums.sum(axis=0))[0] - f1(sums.sum(axis=0))[2])
    low, high = scipy_stats.t.interval(0.95, 59, loc=macro.value, scale=scipy_stats.sem(ratios[:, 0] - ratios[:, 2]))
    np.testing.assert_allclose([macro.low, macro.high], [low, high], rtol=1e-6)
    assert micro.low < micro.value < micro.high
    assert macro.n == micro.n == 60


def test_a_planner_against_itself() -> None:
    sums = np.repeat(synthetic(15, 1, seed=2), 2, axis=1)
    for measure in (stats.macro(f1(sums)), stats.micro(sums, f1)):
        (found,) = stats.differences([measure], 0, 1)
        assert (found.value, found.low, found.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
        assert found.standard_error == pytest.approx(0, abs=1e-12)
        assert stats.paired_test(measure, 0, 1, seed=1) == 1.0
        assert stats.verdict(found.low, found.high, margin=1e-9) == "pass"


@pytest.mark.parametrize(("n", "few"), [(0, True), (9, True), (10, False)])
def test_few_papers(n: int, few: bool) -> None:
    assert stats.few_papers(n) is few


# Tests -----------------------------------------------------------------------------------------------------------


def test_three_papers_all_in_favour() -> None:
    # Of the 2^3 swaps, only none and all three reach the observed difference, and none goes beyond: p = (2 / 2) / 8.
    ratios = np.array([[0.9, 0.1], [0.8, 0.4], [0.7, 0.6]])
    assert stats.paired_test(stats.macro(ratios), 0, 1, seed=1) == 1 / 8


def mid_p(theirs: Any) -> float:
    """The mid-p of scipy's distribution: what is tied with the observed difference counts half."""
    gone, seen = np.abs(theirs.null_distribution), abs(theirs.statistic)
    return float((gone > seen + 1e-9).mean() + (np.abs(gone - seen) <= 1e-9).mean() / 2)


@pytest.mark.parametrize("seed", range(5))
def test_an_exact_macro_test_is_that_of_scipy(seed: int) -> None:
    ratios = f1(synthetic(9, 2, seed=seed))
    theirs = scipy_stats.permutation_test(
        (ratios[:, 0], ratios[:, 1]),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9_999,
    )
    assert stats.paired_test(stats.macro(ratios), 0, 1, seed=1) == pytest.approx(mid_p(theirs))


def test_a_random_macro_test_nears_that_of_scipy() -> None:
    ratios = f1(synthetic(50, 2, seed=11))
    ratios[:, 1] = np.clip(ratios[:, 1] + 0.1, 0, 1)
    theirs = scipy_stats.permutation_test(
        (ratios[:, 0], ratios[:, 1]),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(3),
    )
    ours = stats.paired_test(stats.macro(ratios), 0, 1, seed=1)
    assert 0.01 < theirs.pvalue < 0.5
    assert ours == pytest.approx(mid_p(theirs), abs=4 * math.sqrt(2 * 0.25 / 9_999))


def by_definition(one: Array, two: Array, studentised: Callable[[Array, Array], float]) -> float:
    """The exact test, written out: swap every subset of papers, recompute, count; ties count half."""
    observed = studentised(one, two)
    swaps = list(itertools.product([False, True], repeat=len(one)))
    reached = 0.0
    for swap in swaps:
        mask = np.array(swap).reshape(-1, *[1] * (one.ndim - 1))
        value = studentised(np.where(mask, two, one), np.where(mask, one, two))
        reached += 1.0 if not value <= observed + 1e-6 else 0.5 if value >= observed - 1e-6 else 0.0
    return reached / len(swaps)


def macro_student(one: Array, two: Array) -> float:
    """The difference of means of what is defined, over its error; a paper moves a mean by (x - mean) / defined."""
    with np.errstate(all="ignore"):
        means = [values[~np.isnan(values)].mean() for values in (one, two)]
    moved = sum(
        sign * np.where(np.isnan(values), 0.0, values - mean) / max(1, np.sum(~np.isnan(values)))
        for sign, values, mean in zip((1, -1), (one, two), means, strict=True)
    )
    return float(abs(means[0] - means[1]) / math.sqrt(np.sum(np.square(moved))))


def micro_student(one: Array, two: Array) -> float:
    """The difference of f = 2T / L over its error; a paper moves f by (2t - f l) / L."""
    moved, values = np.zeros(len(one)), []
    for sign, rows in ((1, one), (-1, two)):
        hits, length = 2 * rows[:, 0], rows[:, 1] + rows[:, 2]
        values.append(hits.sum() / length.sum())
        moved += sign * (hits - values[-1] * length) / length.sum()
    return float(abs(values[0] - values[1]) / math.sqrt((moved**2).sum()))


@pytest.mark.parametrize("seed", range(4))
def test_an_exact_micro_test_is_its_definition(seed: int) -> None:
    sums = synthetic(8, 2, seed=seed)
    sums[:, 0, 1] = sums[:, 1, 1]
    expected = by_definition(sums[:, 0], sums[:, 1], micro_student)
    assert stats.paired_test(stats.micro(sums, f1), 0, 1, seed=1) == expected


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize(
    "ratios",
    [
        [[0.9, 0.1], [0.4, NAN], [0.8, 0.3], [NAN, 0.2], [0.5, 0.45], [NAN, NAN]],
        [[0.9, NAN], [0.4, 0.1], [0.7, 0.2], [0.3, 0.35]],
    ],
)
def test_a_paper_undefined_for_one_swaps_as_undefined(ratios: list[list[float]]) -> None:
    values = np.array(ratios)
    expected = by_definition(values[:, 0], values[:, 1], macro_student)
    assert stats.paired_test(stats.macro(values), 0, 1, seed=1) == expected


def test_an_undefined_swap_counts_as_extreme() -> None:
    # One paper each: swapping one of them leaves one planner with nothing, swapping both is a tie: (2 + 2 / 2) / 4.
    assert stats.paired_test(stats.macro(np.array([[0.9, NAN], [NAN, 0.1]])), 0, 1, seed=1) == 3 / 4


def test_without_a_difference_there_is_no_p() -> None:
    assert math.isnan(stats.paired_test(stats.macro(np.array([[0.9, NAN], [0.3, NAN]])), 0, 1, seed=1))


def test_a_constant_gain_is_the_most_extreme_swap() -> None:
    # The standard error is 0. Exact over 10 papers: (2 / 2) / 2^10; over 20 no draw is as far out: the least p.
    for papers, p in ((10, 1 / 2**10), (20, 1 / 2**20)):
        ratios = np.stack([np.linspace(0.2, 0.6, papers) + 0.25, np.linspace(0.2, 0.6, papers)], axis=1)
        assert stats.paired_test(
            stats.macro(ratios), 0, 1, seed=1, resamples=999 if papers == 20 else 9_999
        ) == pytest.approx(p)


def test_exactness_rests_on_the_papers_that_differ() -> None:
    # Five papers differ, fifteen do not: 2^5 swaps, of which none and all are tied with the observed one.
    ratios = np.tile([[0.5, 0.5]], (20, 1))
    ratios[:5, 0] += [0.1, 0.2, 0.15, 0.3, 0.05]
    assert stats.paired_test(stats.macro(ratios), 0, 1, seed=1, resamples=100) == 1 / 32


def test_planner_order_and_chunk_size_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = stats.micro(synthetic(40, 2, seed=3), f1)
    p = stats.paired_test(measure, 0, 1, seed=1, resamples=999)
    assert stats.paired_test(measure, 1, 0, seed=1, resamples=999) == p
    monkeypatch.setattr(permutation, "CHUNK_CELLS", 40 * 13)
    assert stats.paired_test(measure, 0, 1, seed=1, resamples=999) == p


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1, raised to the 0.06 before it.
    np.testing.assert_allclose(stats.holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    # The undefined test is not counted: 0.02 * 2 and 0.6 * 1.
    np.testing.assert_allclose(stats.holm(np.array([0.6, NAN, 0.02])), [0.6, NAN, 0.04])
    assert stats.holm(np.array([])).shape == (0,)


def adjusted(multitest: Any, p: Array, method: str) -> Array:
    """Return p as statsmodels adjusts it, without the garbage collection that it asks for each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)
        result: Array = multitest.multipletests(p, method=method)[1]
    return result


@settings(deadline=None)  # the first call loads statsmodels
@given(arrays(np.float64, some.integers(1, 20), elements=some.floats(0, 1)))
def test_holm_is_that_of_statsmodels(p: Array) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    np.testing.assert_allclose(stats.holm(p), adjusted(multitest, p, "holm"), atol=1e-12)


def test_shaffer_by_hand() -> None:
    # Three planners: none, one or three of the pairs are alike. The least p counts three times; once that pair is told
    # apart, at most one of the others can be alike: 0.02 * 1 and 0.04 * 1, where Holm has 0.04 and 0.04.
    np.testing.assert_allclose(stats.shaffer(np.array([0.04, 0.01, 0.02]), 3), [0.04, 0.03, 0.03])
    # Four: 0, 1, 2, 3 or 6 pairs can be alike. 6 * 0.001, then 3 for those with 5, 4 and 3 left, 2, 1.
    p = np.array([0.001, 0.004, 0.005, 0.006, 0.03, 0.5])
    np.testing.assert_allclose(stats.shaffer(p, 4), [0.006, 0.012, 0.015, 0.018, 0.06, 0.5])
    # Where a test could not be made, Holm.
    part = np.array([0.04, NAN, 0.02])
    np.testing.assert_array_equal(stats.shaffer(part, 3), stats.holm(part))


@settings(deadline=None)
@given(arrays(np.float64, some.integers(1, 20), elements=some.floats(0, 1)))
def test_benjamini_hochberg_is_that_of_statsmodels(p: Array) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    np.testing.assert_allclose(stats.benjamini_hochberg(p), adjusted(multitest, p, "fdr_bh"), atol=1e-12)


def test_many_planners_can_be_told_apart() -> None:
    """Forty prompts of two clear kinds: 780 tests, and every planner of the one kind is above every other."""
    rng = np.random.default_rng(1)
    papers = rng.beta(1, 1.5, (350, 1)) * 0.6
    values = papers + rng.uniform(0, 0.2, (350, 40)) + np.where(np.arange(40) < 20, 0.15, 0.0)
    measure = stats.macro(values)
    tests = stats.all_pairs(measure, seed=1, resamples=999)
    assert (tests.adjusted[:20, 20:] < 0.05).all()
    ranks = stats.rank_intervals(measure.values, tests.adjusted)
    assert all(rank is not None and rank[1] <= 20 for rank in ranks[:20])


def test_the_probability_of_being_best_by_hand() -> None:
    # Planner 0 is better on one paper, planner 1 on the other. Drawn: 0 twice, one of each (a tie), 1 twice.
    measure = stats.macro(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(stats.top_probability(measure, seed=1), [0.5, 0.5, 0.0], atol=0.02)
    np.testing.assert_allclose(stats.top_probability(measure, seed=1, top=2), [0.875, 0.875, 0.25], atol=0.02)
    assert stats.top_probability(measure, seed=1, top=3).tolist() == [1, 1, 1]


def test_all_pairs_and_against_a_baseline() -> None:
    measure = stats.macro(f1(synthetic(12, 4, seed=6)))
    tests = stats.all_pairs(measure, seed=1)
    assert np.isnan(np.diag(tests.raw)).all()
    upper = np.triu_indices(4, 1)
    np.testing.assert_array_equal(tests.raw, tests.raw.T)
    np.testing.assert_allclose(tests.adjusted[upper], stats.shaffer(tests.raw[upper], 4))
    assert tests.raw[1, 3] == stats.paired_test(measure, 1, 3, seed=1)
    baseline = stats.against_baseline(measure, 2, seed=1)
    np.testing.assert_allclose(baseline.raw[2], np.where(np.arange(4) == 2, NAN, tests.raw[2]))
    np.testing.assert_allclose(baseline.adjusted[2, [0, 1, 3]], stats.holm(tests.raw[2, [0, 1, 3]]))
    assert np.isnan(baseline.raw[0, 1])


def test_false_discoveries_are_a_choice_for_pairs_and_against_a_baseline() -> None:
    """scipy adjusts the same raw p of all pairs, and of the pairs with planner 2."""
    measure = stats.macro(f1(synthetic(15, 5, 3)))
    found = stats.all_pairs(measure, seed=1, resamples=999, correction="bh")
    pairs = np.triu_indices(5, 1)
    expected = scipy_stats.false_discovery_control(found.raw[pairs])
    np.testing.assert_allclose(found.adjusted[pairs], expected)
    assert (found.adjusted[pairs] <= stats.all_pairs(measure, seed=1, resamples=999).adjusted[pairs]).all()
    baseline = stats.against_baseline(measure, 2, seed=1, resamples=999, correction="bh")
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(
        baseline.adjusted[2, others], scipy_stats.false_discovery_control(baseline.raw[2, others])
    )


def test_rank_intervals_by_hand() -> None:
    # 0 beats 2; nothing else is significant; planner 3 has no value and takes no rank.
    p = np.full((4, 4), 0.5)
    p[0, 2] = p[2, 0] = 0.01
    p[3] = p[:, 3] = NAN
    assert stats.rank_intervals(np.array([0.7, 0.6, 0.5, NAN]), p) == [(1, 2), (1, 3), (2, 3), None]


def test_one_planner_is_first() -> None:
    measure = stats.macro(np.array([[0.5], [0.7]]))
    tests = stats.all_pairs(measure, seed=1)
    assert stats.rank_intervals(measure.values, tests.adjusted) == [(1, 1)]


# Decisions -------------------------------------------------------------------------------------------------------


def test_the_minimum_detectable_effect_by_hand() -> None:
    # Ten papers: t(0.975, 9) = 2.262157 and t(0.8, 9) = 0.883404. One of five tests: t(0.995, 9) = 3.249836.
    assert stats.minimum_detectable(0.02, 10) == pytest.approx(0.02 * (2.262157 + 0.883404), rel=1e-6)
    assert stats.minimum_detectable(0.02, 10, tests=5) == pytest.approx(0.02 * (3.249836 + 0.883404), rel=1e-6)
    assert math.isnan(stats.minimum_detectable(NAN, 10))
    assert math.isnan(stats.minimum_detectable(0.02, 1))


@pytest.mark.parametrize(
    ("papers", "tests", "seen"), [(4, 1, False), (5, 1, True), (5, 2, False), (6, 3, True), (6, 4, False)]
)
def test_what_no_test_can_find_is_not_detectable(papers: int, tests: int, seen: bool) -> None:
    """The least p is 1 / 2^papers: 1/16 of 4 papers, 2/32 of 5 in two tests and 4/64 of 6 in four are not below 5%."""
    assert math.isnan(stats.minimum_detectable(0.02, papers, tests=tests)) is not seen
    gains = np.stack([np.zeros(papers), np.linspace(0.1, 0.9, papers)], axis=1)
    assert (tests * stats.paired_test(stats.macro(gains), 0, 1, seed=1) < 0.05) is seen


@pytest.mark.parametrize("papers", [10, 17, 50])
def test_the_minimum_detectable_effect_is_found_in_four_of_five_samples(papers: int) -> None:
    rng = np.random.default_rng(papers)
    effect = stats.minimum_detectable(1 / math.sqrt(papers), papers)
    p = scipy_stats.ttest_1samp(rng.normal(effect, 1, (4000, papers)), 0, axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("n", "detectable", "target", "papers"),
    [(100, 0.06, 0.03, 400), (10, 0.3, 0.1, 90), (50, 0.02, 0.03, 23), (50, NAN, 0.03, None), (50, 0.02, 0.0, None)],
)
def test_papers_needed(n: int, detectable: float, target: float, papers: int | None) -> None:
    assert stats.papers_needed(n, detectable, target) == papers


@pytest.mark.parametrize(("tests", "papers"), [(1, 5), (2, 6), (3, 6), (4, 7), (300, 13)])
def test_no_fewer_papers_than_can_show_anything(tests: int, papers: int) -> None:
    """13 * (0.01 / 0.05)^2 = 0.52 papers. But the least p of n papers is 2^-n: 2 / 32 is not below 0.05, 3 / 64 is."""
    assert stats.papers_needed(13, 0.01, 0.05, tests=tests) == papers


@pytest.mark.parametrize(
    ("low", "high", "margin", "plain", "strict"),
    [
        (-0.01, 0.03, 0.02, "pass", "pass"),
        (-0.02, 0.03, 0.02, "pass", "pass"),
        (-0.03, 0.01, 0.02, "inconclusive", "inconclusive"),
        (-0.08, -0.03, 0.02, "regressed", "regressed"),
        (-0.03, -0.01, 0.02, "inconclusive", "regressed"),
        (-0.015, -0.005, 0.02, "pass", "regressed"),
        (0.0, 0.0, 0.0, "pass", "pass"),
        (-0.02 - 1e-12, -0.02 - 1e-12, 0.02, "pass", "regressed"),  # at the margin, but for rounding
        (-1e-12, -1e-13, 0.0, "pass", "pass"),
        (NAN, NAN, 0.02, "inconclusive", "inconclusive"),
    ],
)
def test_the_verdict_has_three_ways(low: float, high: float, margin: float, plain: str, strict: str) -> None:
    assert stats.verdict(low, high, margin) == plain
    assert stats.verdict(low, high, margin, strict=True) == strict


# Correction by labels --------------------------------------------------------------------------------------------


def test_corrected_sums_by_hand() -> None:
    # Labelled: automatic 1, 2, 3 and truth 0, 1, 1. Slope: ((-1)(0) + (0)(1) + (1)(1)) / (1 + 0 + 1) = 1/2.
    # Sum of automatic 1 + 2 + 3 + 4 + 0 + 2 = 12; labelled truth - automatic / 2 = -1/2, 0, -1/2, in all -1.
    # Corrected: 12/2 + (6/3) (-1) = 4.
    automatic = np.array([1.0, 2.0, 3.0, 4.0, 0.0, 2.0])[:, None, None]
    truth = np.array([0.0, 1.0, 1.0, NAN, NAN, NAN])[:, None, None]
    labelled = np.array([True, True, True, False, False, False])
    sums, trust = stats.corrected_sums(automatic, truth, labelled)
    assert trust[0, 0] == pytest.approx(0.5)
    assert sums.sum() == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("automatic", "truth", "trust", "total"),
    [
        ([1.0, 3.0, 5.0, 7.0], [1.0, 3.0, NAN, NAN], 1.0, 16.0),  # a matcher that is right: its own sum
        ([2.0, 2.0, 2.0, 2.0], [1.0, 4.0, NAN, NAN], 0.0, 10.0),  # one that says nothing: 4/2 times the labels
        ([1.0, 2.0, 9.0, 9.0], [4.0, 1.0, NAN, NAN], 0.0, 10.0),  # one that is contrary: the same
        ([1.0, 2.0, 5.0, 5.0], [0.0, 3.0, NAN, NAN], 1.0, 13.0),  # slope 3, clipped: 13 + 2 * ((0 - 1) + (3 - 2))
        ([1.0, 2.0, 9.0, 9.0], [4.0, 1.0, 2.0, 2.0], 0.0, 9.0),  # all labelled: the labels
    ],
)
def test_the_weight_of_a_matcher(automatic: list[float], truth: list[float], trust: float, total: float) -> None:
    known = np.array(truth)[:, None, None]
    sums, found = stats.corrected_sums(np.array(automatic)[:, None, None], known, ~np.isnan(known[:, 0, 0]))
    assert found[0, 0] == pytest.approx(trust)
    assert sums.sum() == pytest.approx(total)


def test_labelled_papers_are_resampled_apart() -> None:
    """Each resample draws as many labelled papers as there are, so their number is the same in all."""
    labelled = np.arange(12) < 5
    counts = np.stack([labelled.astype(np.float64), np.ones(12)], axis=1)[:, None, :]
    measure = stats.micro(counts, lambda s: stats.divide(s[..., 0], s[..., 1]))
    (drawn,) = stats.bootstrap([measure], seed=1, resamples=200, labelled=labelled)
    np.testing.assert_allclose(drawn, 5 / 12)
    (found,) = stats.intervals([measure], labelled=labelled)
    assert found.n[0] == 5


def test_corrected_standard_error_is_the_spread_of_resamples() -> None:
    rng = np.random.default_rng(8)
    truth = rng.binomial(3, 0.4, (200, 2, 1)).astype(np.float64)
    automatic = np.minimum(truth + rng.binomial(1, 0.3, truth.shape), 3.0)
    labelled = np.arange(200) < 40
    sums, trust = stats.corrected_sums(automatic, truth, labelled)
    assert (trust > 0.5).all()
    measure = stats.micro(
        np.concatenate([sums, np.full_like(sums, 3.0)], axis=2), lambda s: stats.divide(s[..., 0], s[..., 1])
    )
    (found,) = stats.differences([measure], 0, 1, labelled=labelled)
    (drawn,) = stats.bootstrap([measure], seed=2, labelled=labelled)
    assert found.standard_error == pytest.approx(np.std(drawn[:, 1] - drawn[:, 0]) * math.sqrt(40 / 39), rel=0.04)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("papers", "digits"), [(5, 1), (12, 1), (40, 1), (6, 9)])
def test_pairs_together_have_the_p_of_each_alone(papers: int, digits: int) -> None:
    """Twelve planners of many digits are more pairs that differ everywhere than one matrix product takes."""
    rng = np.random.default_rng(papers)
    values = np.round(rng.random((papers, 13)), digits)
    values[:, 8] = values[:, 7]  # a pair that never differs
    values[0, 3] = np.nan  # a planner that is not defined everywhere takes the general way
    measure = stats.macro(values)
    tests = stats.all_pairs(measure, seed=3, resamples=499)
    for i, j in itertools.combinations(range(13), 2):
        alone = stats.paired_test(measure, i, j, seed=3, resamples=499)
        assert tests.raw[i, j] == tests.raw[j, i] == pytest.approx(alone, rel=1e-6), (i, j)


def test_ranks_of_ties_and_of_p_at_the_level() -> None:
    """A tie is neither better nor worse, however small p is; p must be below the level, not at it."""
    clear = np.array([[np.nan, 0.01], [0.01, np.nan]])
    assert stats.rank_intervals(np.array([0.5, 0.5]), clear) == [(1, 2), (1, 2)]
    assert stats.rank_intervals(np.array([0.5, 0.4]), clear) == [(1, 1), (2, 2)]
    assert stats.rank_intervals(np.array([0.5, 0.4]), np.full((2, 2), 0.05)) == [(1, 2), (1, 2)]
    with pytest.raises(ValueError, match="shorter"):
        stats.rank_intervals(np.array([0.5, 0.4]), clear[:1])


def test_named_sums_are_numbers_whatever_they_came_as() -> None:
    """Whole numbers become floats, so that half a step of the gradient is half a step."""
    found = stats.formula_measure(
        {"a": np.array([[1], [2]]), "b": np.array([[2], [2]])}, lambda sums: sums["a"] / sums["b"]
    )
    assert found.sums.dtype == np.float64
    assert found.values.tolist() == [0.75]


def test_planners_and_sums_are_corrected_one_by_one() -> None:
    """Each planner's and each sum's lambda is its own, as if it stood alone."""
    rng = np.random.default_rng(4)
    automatic = rng.normal(size=(20, 3, 2)) + np.arange(6).reshape(3, 2)
    truth = automatic * rng.random((3, 2)) + rng.normal(size=(20, 3, 2))
    labelled = np.arange(20) % 3 == 0
    sums, trust = stats.corrected_sums(automatic, truth, labelled)
    for planner, k in itertools.product(range(3), range(2)):
        alone = (slice(None), slice(planner, planner + 1), slice(k, k + 1))
        one, weight = stats.corrected_sums(automatic[alone], truth[alone], labelled)
        assert sums[alone] == pytest.approx(one)
        assert trust[planner, k] == pytest.approx(weight[0, 0])


def test_seeds_reach_the_swaps_of_every_comparison() -> None:
    """Thirty papers are too many to swap exactly: the same seed gives the same p, and it is that of the pair alone."""
    measure = stats.micro(synthetic(30, 3, 2), f1)
    for tests in (stats.all_pairs, stats.against_baseline):
        more = (1,) if tests is stats.against_baseline else ()
        found = tests(measure, *more, seed=5, resamples=199)
        alone = stats.paired_test(measure, 0, 1, seed=5, resamples=199)
        assert found.raw[0, 1] == found.raw[1, 0] == pytest.approx(alone)
        assert found.raw[0, 1] != tests(measure, *more, seed=6, resamples=199).raw[0, 1]


# What no test noticed until mutation testing asked ---------------------------------------------------------------


def test_gradient_steps_are_shares_of_each_sum() -> None:
    """Sums far below 1 and far apart: d(a/b) = (1/b, -a/b^2), although a step of 1e-5 would change b's sign."""
    totals = np.array([[1e-4, 2e-6], [1.0, 2e-6], [3e6, 2.0]])
    found = gradient(lambda s: stats.divide(s[..., 0], s[..., 1]), totals)
    np.testing.assert_allclose(found, [[1 / b, -a / b**2] for a, b in totals], rtol=1e-6)


def test_gradient_steps_of_zero_sums_follow_their_row() -> None:
    # d(a / (a + b)) = (b, -a) / (a + b)^2; steps of 30, which the second row would lend, go over b = 4 into the void.
    totals = np.array([[0.0, 4.0], [3e6, 1e6]])
    found = gradient(lambda s: stats.divide(s[..., 0], s[..., 0] + s[..., 1]), totals)
    np.testing.assert_allclose(found, [[1 / 4, 0], [1e6 / 16e12, -3e6 / 16e12]], rtol=1e-6, atol=1e-12)


def test_measures_are_float64_whatever_their_sums_came_as() -> None:
    """Three in float32 and in whole numbers: a third of them is a third to sixteen digits."""
    single = stats.divide(np.array([1], np.float32), np.array([3], np.float32))
    assert single.dtype == np.float64
    for kind in (np.float32, np.int64):
        measure = stats.micro(np.full((2, 1, 2), 3, kind), lambda s: stats.divide(s[..., 0], 3 * s[..., 1]))
        assert measure.sums.dtype == np.float64
        assert measure.values.tolist() == [1 / 3]


def test_a_formula_may_go_over_all_its_columns() -> None:
    columns = {name: np.array([[value]]) for name, value in (("hits", 1.0), ("gold", 2.0), ("plan", 5.0))}
    measure = stats.formula_measure(columns, lambda sums: sum(sums[name] for name in sums) / len(sums))
    assert measure.sums.tolist() == [[[1.0, 2.0, 5.0]]]
    assert measure.values.tolist() == [8 / 3]


@pytest.mark.parametrize("resamples", [1, 7, 100])
def test_there_are_as_many_replicates_as_asked_for(monkeypatch: pytest.MonkeyPatch, resamples: int) -> None:
    measure = stats.macro(np.array([[0.1], [0.6], [0.9]]))
    for cells in (1, 9, 1_000_000):  # chunks of one, of three, of all
        monkeypatch.setattr(resampling, "CHUNK_CELLS", cells)
        (drawn,) = stats.bootstrap([measure], seed=1, resamples=resamples)
        assert drawn.shape == (resamples, 1)
        assert np.isfinite(drawn).all()


# Numerators of a new planner over 5 papers of 1 each; the base has none. d(a/b) = (1/5, -18/25) at a = 18, b = 5.
STRATA = np.array([[[0.0, 1.0], [a, 1.0]] for a in (4.0, 8.0, 1.0, 2.0, 3.0)])


@pytest.mark.parametrize(
    ("labelled", "variance"),
    [
        # About 6 and about 2, in fifths: (4 + 4 + 1 + 0 + 1) / 25, times n / (n - 1) of the two that are labelled.
        ([True, True, False, False, False], 10 / 25 * 2 / 1),
        # About 13/3 and about 5/2: 74/3 + 1/2, of three.
        ([True, True, True, False, False], (74 / 3 + 1 / 2) / 25 * 3 / 2),
        # One labelled paper has no spread.
        ([True, False, False, False, False], NAN),
        # Without labels about 18/5: 4^2 + 8^2 + 1 + 4 + 9 - 18^2 / 5 = 146/5, of five.
        (None, 146 / 5 / 25 * 5 / 4),
    ],
)
def test_the_error_of_a_corrected_difference_by_hand(labelled: list[bool] | None, variance: float) -> None:
    measure = stats.micro(STRATA, lambda s: stats.divide(s[..., 0], s[..., 1]))
    flags = None if labelled is None else np.array(labelled)
    found = stats.standard_error(measure, 0, 1, labelled=flags)
    assert found == pytest.approx(math.sqrt(variance), nan_ok=True)
    (difference,) = stats.differences([measure], 0, 1, labelled=flags)
    assert difference.standard_error == pytest.approx(math.sqrt(variance), nan_ok=True)


def test_papers_on_which_labels_have_nothing_to_say() -> None:
    # Doubtful are four papers, two of them labelled: 4/2 = 2. Their automatic 1 and 3, truth 0 and 1: slope 1/2.
    # Labelled and doubtful: 1/2 + 2 (0 - 1/2) and 3/2 + 2 (1 - 3/2); doubtful: half; the others as they are, and
    # what a label says of them is not read.
    automatic = np.array([1.0, 3.0, 2.0, 4.0, 7.0, 5.0])[:, None, None]
    truth = np.array([0.0, 1.0, NAN, NAN, 99.0, NAN])[:, None, None]
    labelled = np.array([True, True, False, False, True, False])
    doubtful = np.array([True, True, True, True, False, False])[:, None]
    sums, trust = stats.corrected_sums(automatic, truth, labelled, doubtful)
    assert trust.tolist() == [[0.5]]
    assert sums[:, 0, 0].tolist() == [-0.5, 0.5, 1.0, 2.0, 7.0, 5.0]
    # A planner of whom nothing is doubtful keeps its own sums.
    sums, trust = stats.corrected_sums(automatic, truth, labelled, np.zeros((6, 1), bool))
    assert sums.tolist() == automatic.tolist()


@pytest.mark.parametrize(("gap", "p"), [(1e-200, 1.0), (0.8e-12, 1.0), (1.3e-12, 1 / 2**8)])
def test_a_difference_of_rounding_is_none(gap: float, p: float) -> None:
    """Eight papers on which the one is ahead by as little as rounding leaves; without the limit p would be 1 / 2^8."""
    measure = stats.macro(np.tile([[0.0, gap]], (8, 1)))
    assert stats.all_pairs(measure, seed=1).raw[0, 1] == p
    if p == 1:
        assert stats.paired_test(measure, 0, 1, seed=1) == p


@pytest.mark.parametrize(("resamples", "exact"), [(16, True), (17, True), (15, False)])
def test_a_test_is_exact_when_resamples_reach_its_swaps(resamples: int, exact: bool) -> None:
    # Four papers have 16 swaps: (2 / 2) / 16, once there may be as many; else so many are drawn.
    ratios = np.array([[0.9, 0.1], [0.8, 0.4], [0.7, 0.6], [0.5, 0.45]])
    for p in (
        stats.paired_test(stats.macro(ratios), 0, 1, seed=1, resamples=resamples),
        stats.all_pairs(stats.macro(ratios), seed=1, resamples=resamples).raw[0, 1],
    ):
        assert bool(p == 1 / 16) is exact


@pytest.mark.parametrize("seed", range(6))
def test_the_tail_is_that_of_all_swaps(seed: int) -> None:
    """Sixteen papers, counted whole, and by so few draws that none reaches the observed difference."""
    rng = np.random.default_rng(seed)
    base = rng.beta(1, 2, 16).round(1)
    measure = stats.macro(np.stack([base, base + rng.normal(0.12, 0.09, 16)], axis=1))
    exact = stats.paired_test(measure, 0, 1, seed=1, resamples=2**16)
    tail = stats.paired_test(measure, 0, 1, seed=1, resamples=99)
    assert exact < 0.01
    assert exact / 4 < tail < exact * 6


def test_holm_never_exceeds_one_and_keeps_the_shape() -> None:
    # 0.6 * 2 and 0.7 * 1: both 1. In a table the same tests keep their places.
    np.testing.assert_array_equal(stats.holm(np.array([0.6, 0.7])), [1.0, 1.0])
    np.testing.assert_allclose(stats.holm(np.array([[0.01, 0.04], [NAN, 0.005]])), [[0.02, 0.04], [NAN, 0.015]])
    # Ties count each: 0.01 * 3 for the first of two, and no less for the second.
    np.testing.assert_allclose(stats.holm(np.array([0.01, 0.5, 0.01])), [0.03, 0.5, 0.03])


@pytest.mark.parametrize("seed", range(3))
def test_a_ratio_over_ones_is_no_mean(seed: int) -> None:
    """One gold entry a paper: the sums look like those of a mean, but the ratio is not one."""
    sums = synthetic(8, 2, seed=seed)
    sums[:, :, 1] = 1
    sums[:, :, 0] = np.minimum(sums[:, :, 0], 1)
    expected = by_definition(sums[:, 0], sums[:, 1], micro_student)
    assert stats.all_pairs(stats.micro(sums, f1), seed=1).raw[0, 1] == expected


@pytest.mark.parametrize(("papers", "resamples"), [(10, 9_999), (30, 499)])
def test_pairs_together_do_not_depend_on_chunk_size(
    monkeypatch: pytest.MonkeyPatch, papers: int, resamples: int
) -> None:
    measure = stats.macro(np.random.default_rng(3).random((papers, 4)) + 0.1 * np.arange(4))
    whole = stats.all_pairs(measure, seed=5, resamples=resamples)
    monkeypatch.setattr(permutation, "CHUNK_CELLS", papers * 7)
    np.testing.assert_array_equal(stats.all_pairs(measure, seed=5, resamples=resamples).raw, whole.raw)


def test_a_small_gain_beside_a_great_one_is_clear() -> None:
    """Eight papers that all gain: 1 / 2^8, although the pairs tested with it differ ten thousand times more."""
    gain = np.array([1, 2, 3, 4, 5, 6, 7, 8]) * 1e-5
    base = np.linspace(0.1, 0.2, 8)
    measure = stats.macro(np.stack([base, base + gain, base + 1e4 * gain], axis=1))
    tests = stats.all_pairs(measure, seed=1)
    assert [tests.raw[0, 1], tests.raw[0, 2], tests.raw[1, 2]] == [1 / 256] * 3
