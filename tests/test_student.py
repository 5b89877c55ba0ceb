"""Tails and quantiles of Student's t, held against scipy's and against values from printed tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from evalkit.stats.student import below, both_tails, quantile

FREEDOMS = (1, 2, 3, 4, 5, 7, 9, 10, 29, 30, 99, 361, 362, 1000, 5001)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_tails_are_scipys(freedom: int) -> None:
    t = np.array([1e-6, 0.01, 0.3, 0.9, 1.0, 1.3, 1.7, 1.74, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0])
    expected = 2 * stdtr(freedom, -t) if freedom > 1 else 2 / math.pi * np.arctan2(1, t)
    np.testing.assert_allclose(both_tails(freedom, t), expected, rtol=1e-12)
    np.testing.assert_allclose(both_tails(freedom, -t), expected, rtol=1e-12)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_quantiles_are_scipys(freedom: int) -> None:
    for above in (0.49, 0.4, 0.2, 0.1, 0.05, 0.025, 0.005, 1e-4):
        assert quantile(freedom, above) == pytest.approx(float(stdtrit(freedom, 1 - above)), rel=1e-12)
        assert quantile(freedom, 1 - above) == pytest.approx(-quantile(freedom, above), rel=1e-12)
        assert below(freedom, -quantile(freedom, above)) == pytest.approx(above, rel=1e-12)


def test_quantiles_of_printed_tables() -> None:
    table = {(1, 0.025): 12.706, (4, 0.025): 2.776, (10, 0.05): 1.812, (30, 0.005): 2.750, (120, 0.025): 1.980}
    for (freedom, above), value in table.items():
        assert quantile(freedom, above) == pytest.approx(value, abs=5e-4)


def test_the_middle_and_what_is_none() -> None:
    assert both_tails(7, np.array([0.0]))[0] == 1.0
    assert (quantile(7, 0.5), below(7, 0.0)) == (0.0, 0.5)
    assert math.isnan(quantile(7, 0.0))
    assert math.isnan(both_tails(7, np.array([math.nan]))[0])
