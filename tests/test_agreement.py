"""Agreement: alpha against the worked example of its author, kappa against scikit-learn."""

from __future__ import annotations

import random

import pytest

from evalkit.metrics.agreement import cohen_kappa, krippendorff_alpha

# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units, missing
# data. Columns are units; a dot is a missing rating.
PUBLISHED = [
    (1, 1, None, 1),
    (2, 2, 3, 2),
    (3, 3, 3, 3),
    (3, 3, 3, 3),
    (2, 2, 2, 2),
    (1, 2, 3, 4),
    (4, 4, 4, 4),
    (1, 1, 2, 1),
    (2, 2, 2, 2),
    (None, 5, 5, 5),
    (None, None, 1, 1),
    (None, 3, None, None),
]


def test_the_published_example_with_missing_data() -> None:
    # Its coincidence matrix: 40 pairable values (the last unit has one rating and drops out); n_c = 9, 13, 10, 5, 3.
    # Disagreement, off the diagonal: unit 2 is 3 * 1 / 3 + 1 * 3 / 3 = 2, unit 6 is 4 * (1 * 3 / 3) = 4, unit 8 is 2: 8
    # in all. Expected: (40^2 - (81 + 169 + 100 + 25 + 9)) / 39 = 1216 / 39. alpha = 1 - 8 * 39 / 1216 = 0.743.
    alpha = krippendorff_alpha(PUBLISHED)
    assert alpha == pytest.approx(1 - 8 * 39 / 1216)
    assert round(alpha, 3) == 0.743


def test_the_published_example_of_two_raters() -> None:
    # Section A: binary data of two observers on ten units, alpha = 0.095.
    meg = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    owen = (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    # Four units differ: disagreement 4 * 2 = 8. Values: 14 zeros, 6 ones. Expected: (400 - 196 - 36) / 19 = 168 / 19.
    alpha = krippendorff_alpha(zip(meg, owen, strict=True))
    assert alpha == pytest.approx(1 - 8 * 19 / 168)
    assert round(alpha, 3) == 0.095


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([], None),
        ([(1, None), (None, 0)], None),  # nothing can be paired
        ([(0, 0), (0, 0)], None),  # everybody always says no: chance would do the same
        ([(0, 0), (1, 1)], 1.0),
        ([(0, 1), (1, 0)], 1 - 4 / ((16 - 8) / 3)),  # worse than chance: -0.5
    ],
)
def test_alpha_at_its_edges(units: list[tuple[int | None, ...]], expected: float | None) -> None:
    assert krippendorff_alpha(units) == expected


def test_a_missing_rating_is_not_a_no() -> None:
    assert krippendorff_alpha([(1, 1, None), (0, 0, None)]) == 1.0
    told_no = krippendorff_alpha([(1, 1, 0), (0, 0, 0)])
    assert told_no is not None
    assert told_no < 1


def test_kappa_by_hand() -> None:
    # 20 both yes, 5 and 10 differ, 15 both no: observed 35/50, chance (25*30 + 25*20) / 2500 = 0.5, kappa 0.4.
    one = [1] * 25 + [0] * 25
    other = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(one, other) == pytest.approx(0.4)


@pytest.mark.parametrize(("one", "other"), [([], []), ([None, 1], [0, None]), ([0, 0], [0, 0])])
def test_kappa_is_undefined_where_nothing_can_be_told(one: list[int | None], other: list[int | None]) -> None:
    assert cohen_kappa(one, other) is None


def test_kappa_agrees_with_sklearn() -> None:
    from sklearn.metrics import cohen_kappa_score

    chance = random.Random(3)
    for _ in range(100):
        one = [chance.randrange(3) for _ in range(20)]
        other = [value if chance.random() < 0.6 else chance.randrange(3) for value in one]
        assert cohen_kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))


def test_without_gaps_alpha_is_near_kappa() -> None:
    chance = random.Random(4)
    one = [chance.randrange(2) for _ in range(2000)]
    other = [value if chance.random() < 0.8 else 1 - value for value in one]
    alpha, kappa = krippendorff_alpha(zip(one, other, strict=True)), cohen_kappa(one, other)
    assert alpha == pytest.approx(kappa, abs=0.001)
