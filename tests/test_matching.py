"""From features to decisions: log-odds and probabilities by hand, the reasons of a pair, and calibrations read back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from evalkit.errors import InputError
from evalkit.matching.calibration import (
    Calibration,
    LogisticModel,
    Models,
    dump_calibration,
    load_calibration,
    log_odds,
    model_probabilities,
    probabilities,
    sigmoid,
)
from evalkit.matching.explain import WORDING, explain
from evalkit.matching.features import FEATURES, Features
from evalkit.matching.rules import Need
from evalkit.types import Thresholds

# One feature and more of each reason, under short names; and what is said of the reason, for a match and against it.
PART, HEAD, TAIL = "word.part>part.mean", "word.head>head.mean", "part.equal"
NAME, RIVAL, LIST = "name.none", "word.part>part.first", "list.size"
REPLACE, LOSS = "act.both replace", "aspect.a loss.both"
NAMES = (LIST, *WORDING, HEAD, TAIL, NAME, RIVAL)
PARTS = ("the parts say much the same", "the parts say different things")
SAYS = {
    PART: PARTS,
    HEAD: PARTS,
    NAME: ("name, part and options together are alike", "name, part and options together are unlike"),
    RIVAL: ("neither is closer to another entry", "one of them is closer to another entry"),
    REPLACE: ("their options agree", "their options differ"),
    LOSS: ("both are about a loss", "only one is about a loss"),
}
# What a pair shows of which these words are true, for and against: of parts, entries and options how far they are
# alike, of the nearest others how much farther they are.
SHOWS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    HEAD: ({PART: 1.0}, {}),
    NAME: ({"word.all>all.mean": 1.0}, {}),
    RIVAL: ({}, {"word.title>title.first": -0.5}),
    REPLACE: ({"options.shared": 1.0}, {}),
    LOSS: ({}, {"aspect.a loss.one": 1.0}),
}


def linear(
    weights: Mapping[str, float], intercept: float = 0.0, middle: Mapping[str, float] | None = None
) -> LogisticModel:
    """A model; its pairs half-way have 0 of every feature unless `middle` says otherwise."""
    return LogisticModel(weights, dict.fromkeys(weights, 0.0) | dict(middle or {}), intercept)


def calibration(part: LogisticModel, match: LogisticModel, **more: Any) -> Calibration:
    versions = {name: FEATURES[name].version for name in (*part.weights, *match.weights) if name in FEATURES}
    return Calibration("made", "lexical", Thresholds(0.5, 0.4, 0.1, 0.9), models(part, match), versions, **more)


def models(part: LogisticModel, overlap: LogisticModel, removal: LogisticModel | None = None) -> Models:
    return Models(part, removal or linear({}), overlap)


def seen(*rows: Sequence[Mapping[str, float]], needs: Sequence[Sequence[Need]] | None = None) -> Features:
    """Features of every pair, by gold entry and plan entry; what is not named is 0. All need a common option."""
    values = np.array([[[pair.get(name, 0.0) for name in NAMES] for pair in row] for row in rows])
    needed = np.array(needs or [[Need.OVERLAP] * len(row) for row in rows], np.int8)
    return Features(NAMES, values, needed, np.zeros(needed.shape, np.bool_))


# Probabilities ---------------------------------------------------------------------------------------------------


def test_log_odds_by_hand() -> None:
    # 2 * 0.5 - 1 * 1 + 0.25; 0 * 0.5 - 3 * 1 + 0.25; and of nothing the intercept. HEAD is not weighed.
    found = log_odds(seen([{PART: 2, NAME: 1}, {NAME: 3, HEAD: 7}, {}]), linear({NAME: -1.0, PART: 0.5}, 0.25))
    assert found.tolist() == [[0.25, -2.75, 0.25]]


def test_weights_lie_on_a_grid() -> None:
    # 0.3 * 2^20 = 314572.8, so 314573; 0.7 * 2^20 = 734003.2, so 734003.
    pair = seen([{PART: 1.0}, {NAME: 1.0}])
    assert log_odds(pair, linear({PART: 0.3, NAME: 0.7})).tolist() == [[314573 / 1048576, 734003 / 1048576]]


def test_probabilities_of_log_odds() -> None:
    assert sigmoid(np.array([0.0, math.log(3), -math.log(3)])) == pytest.approx([1 / 2, 3 / 4, 1 / 4])
    values = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(sigmoid(values), expit(values), rtol=1e-12)


def test_a_match_needs_a_shared_part() -> None:
    # Odds of the part 3 and 1, of the match 1 and 1/3: parts 3/4 and 1/2, matches 3/4 * 1/2 and 1/2 * 1/4.
    pairs = seen([{PART: 1.0, NAME: 0.0}, {PART: 0.0, NAME: 1.0}])
    part, match = model_probabilities(pairs, models(linear({PART: math.log(3)}), linear({NAME: -math.log(3)})))
    assert part == pytest.approx(np.array([[3 / 4, 1 / 2]]), abs=1e-6)
    assert match == pytest.approx(np.array([[3 / 8, 1 / 8]]), abs=1e-6)


def test_an_entry_without_a_name_of_its_own_is_doubted() -> None:
    # Odds of the part 3, times exp(-0.6) = 0.548812 where the plan's entry has no name: 1.646435 / 2.646435.
    pairs = seen([{PART: 1.0}, {PART: 1.0}])
    doubted = replace(pairs, unnamed=np.array([[False, True]]))
    part, match = model_probabilities(doubted, models(linear({PART: math.log(3)}), linear({}, 50.0)))
    assert part == pytest.approx(np.array([[0.75, 0.622133]]), abs=1e-6)
    assert match == pytest.approx(part, abs=1e-6)


def test_what_a_pair_needs_decides_with_which_model() -> None:
    # The part has odds 3. An option in common has odds 1/3, one that removes the part odds 1.
    needs = [[Need.NOTHING, Need.IMPOSSIBLE, Need.REMOVAL, Need.OVERLAP]]
    pairs = seen([{PART: 1.0}] * 4, needs=needs)
    part, match = model_probabilities(pairs, models(linear({PART: math.log(3)}), linear({}, -math.log(3))))
    assert part == pytest.approx(np.array([[3 / 4] * 4]), abs=1e-6)
    assert match == pytest.approx(np.array([[3 / 4, 0, 3 / 8, 3 / 16]]), abs=1e-6)


def test_probabilities_have_six_decimals() -> None:
    # Odds 2 and 2: 2/3 and 4/9; the grid moves them by less than 1e-6.
    part, match = probabilities(seen([{PART: 1.0}]), calibration(linear({PART: math.log(2)}), linear({}, math.log(2))))
    assert (part.tolist(), match.tolist()) == ([[0.666667]], [[0.444444]])


def test_a_missing_feature_is_named() -> None:
    weighed = linear({"phrase.name": 1.0, "meaning.part>part.mean": 1.0, PART: 1.0})
    with pytest.raises(InputError) as refused:
        log_odds(seen([{}]), weighed)
    message = "the calibration needs 'meaning.part>part.mean', which needs an embedding model; give one"
    assert str(refused.value) == message


def test_many_models_in_turn_keep_their_own_weights() -> None:
    pair = seen([{PART: 1.0}])
    models = [linear({PART: float(number)}) for number in range(20)]
    for _ in range(2):
        assert [log_odds(pair, model).tolist() for model in models] == [[[float(number)]] for number in range(20)]
    assert log_odds(seen([{PART: 2.0}]), replace(models[3])).tolist() == [[6.0]]


# Reasons ---------------------------------------------------------------------------------------------------------


def message(pair: Mapping[str, float], part: LogisticModel, match: LogisticModel) -> list[tuple[str, float]]:
    """The reasons of this pair; it stands in the second row and third column of a table of other pairs."""
    other: dict[str, float] = dict.fromkeys(NAMES, 9.0)
    table = seen([other] * 3, [other, other, pair])
    return list(explain(table, calibration(part, match), [(1, 2)])[0])


def test_reasons_by_hand() -> None:
    # Parts: 2 * (1 - 0.25) from the one model and 0.5 * (1 - 0.5) + 1 * (0 - 1) from the other: 1.5 + 0.25 - 1.
    # Names: -3 * (0.5 - 0) = -1.5. Rivals: 0.25 * 1 just tells. A loss: 0.249 * 1 does not.
    part = linear({PART: 2.0, LOSS: 0.249}, 5.0, {PART: 0.25})
    match = linear({HEAD: 0.5, TAIL: 1.0, NAME: -3.0, RIVAL: 0.25}, -7.0, {HEAD: 0.5, TAIL: 1.0})
    # What is not weighed adds nothing, even where it is the first of all features.
    pair = {PART: 1.0, HEAD: 1.0, NAME: 0.5, RIVAL: 1.0, LOSS: 1.0, NAMES[0]: 1.0}
    assert message(pair, part, match) == [(SAYS[PART][0], 0.75), (SAYS[RIVAL][0], 0.25), (SAYS[NAME][1], -1.5)]


@pytest.mark.parametrize(
    ("added", "chosen"),
    [
        # Most first, three for and three against at most; what speaks against is told from the most to the least.
        (
            {HEAD: 1.0, NAME: 3.0, RIVAL: 2.0, REPLACE: 0.5, LOSS: 0.75},
            [(NAME, 3.0), (RIVAL, 2.0), (HEAD, 1.0)],
        ),
        (
            {HEAD: -1.0, NAME: -3.0, RIVAL: -2.0, REPLACE: -0.5, LOSS: -0.75},
            [(NAME, -3.0), (RIVAL, -2.0), (HEAD, -1.0)],
        ),
        (
            {HEAD: 1.0, NAME: -3.0, RIVAL: 2.0, REPLACE: -0.5, LOSS: -0.75},
            [(RIVAL, 2.0), (HEAD, 1.0), (NAME, -3.0), (LOSS, -0.75), (REPLACE, -0.5)],
        ),
        # One for and one against of two, and two that say too little.
        ({HEAD: 1.0, NAME: -1.0, RIVAL: 0.2, LOSS: -0.2}, [(HEAD, 1.0), (NAME, -1.0)]),
        # Thousandths count: 0.2496 is 0.25, 0.2494 is 0.249.
        ({HEAD: 0.2496, NAME: 0.2494, RIVAL: -0.2496, LOSS: -0.2494}, [(HEAD, 0.25), (RIVAL, -0.25)]),
        ({HEAD: 1.2344, NAME: -1.2346}, [(HEAD, 1.234), (NAME, -1.235)]),
        # How long the lists are says the same of every pair, and is never a reason.
        ({LIST: 4.0, HEAD: 1.0}, [(HEAD, 1.0)]),
        ({}, []),
    ],
)
def test_the_reasons_that_say_most(added: Mapping[str, float], chosen: list[tuple[str, float]]) -> None:
    pair = dict.fromkeys(added, 1.0)
    for name, value in added.items():
        pair |= SHOWS.get(name, ({}, {}))[value < 0]
    found = message(pair, linear(added), linear({}))
    assert found == [(SAYS[name][value < 0], value) for name, value in chosen]


def test_a_reason_that_is_not_true_of_the_pair_makes_room_for_the_next() -> None:
    """The sums of parts and entries point to a match, but nothing in these texts is alike: neither is named."""
    added = {HEAD: 4.0, NAME: 3.0, RIVAL: 2.0, REPLACE: 0.5, LOSS: 0.75}
    pair = dict.fromkeys(added, 1.0) | {PART: 0.1, "word.all>all.mean": 0.2, "options.shared": 1.0}
    found = message(pair, linear(added), linear({}))
    assert found == [(SAYS[RIVAL][0], 2.0), (SAYS[LOSS][0], 0.75), (SAYS[REPLACE][0], 0.5)]


def test_a_reason_is_put_as_the_pair_is() -> None:
    """What one puts in the place of the other is read from that pair, not from its neighbours."""
    found = message({"act.remove replace": 1.0, PART: 1.0}, linear({PART: 1.0, "act.remove replace": -1.0}), linear({}))
    assert found == [(SAYS[PART][0], 1.0), ("one removes it, the other puts something in its place", -1.0)]


def test_only_models_that_decide_give_reasons() -> None:
    """What two entries put in its place says nothing where both remove."""
    pair = {PART: 1.0, NAME: 1.0}
    by = calibration(linear({PART: 1.0}), linear({NAME: -1.0}))
    for need, reasons in ((Need.NOTHING, [PART]), (Need.REMOVAL, [PART]), (Need.OVERLAP, [PART, NAME])):
        (found,) = explain(seen([pair], needs=[[need]]), by, [(0, 0)])
        assert [text for text, _ in found] == [SAYS[name][name == NAME] for name in reasons]


def test_a_calibration_without_weights_gives_no_reasons() -> None:
    nothing = calibration(linear({}), linear({}))
    part, match = probabilities(seen([{PART: 1.0}]), nothing)
    assert (part.tolist(), match.tolist()) == ([[0.5]], [[0.25]])
    assert explain(seen([{PART: 1.0}]), nothing, [(0, 0)]) == [()]


# Calibrations as files -------------------------------------------------------------------------------------------

WHOLE = calibration(
    linear({PART: 2.0}, 0.5, {PART: 0.25}), linear({NAME: -1.5}, -0.25), fitted_on={"note": "größer"},
    cross_validation={"part": {"f1": 0.5}},
)  # fmt: skip
WRITTEN = """{
 "schema_version": 2,
 "id": "made",
 "matcher": "lexical",
 "thresholds": {
  "part": 0.5,
  "match": 0.4,
  "low": 0.1,
  "high": 0.9
 },
 "models": {
  "part": {
   "weights": {
    "word.part>part.mean": 2.0
   },
   "middle": {
    "word.part>part.mean": 0.25
   },
   "intercept": 0.5
  },
  "removal": {
   "weights": {},
   "middle": {},
   "intercept": 0.0
  },
  "overlap": {
   "weights": {
    "name.none": -1.5
   },
   "middle": {
    "name.none": 0.0
   },
   "intercept": -0.25
  }
 },
 "versions": {
  "word.part>part.mean": 2,
  "name.none": 1
 },
 "fitted_on": {
  "note": "größer"
 },
 "cross_validation": {
  "part": {
   "f1": 0.5
  }
 }
}
"""


def test_a_calibration_as_it_is_written_and_read() -> None:
    assert dump_calibration(WHOLE) == WRITTEN
    assert load_calibration(WRITTEN, "x.json") == WHOLE


def test_the_origin_of_a_calibration_is_optional() -> None:
    table = json.loads(WRITTEN)
    del table["fitted_on"], table["cross_validation"]
    assert load_calibration(json.dumps(table), "x.json") == replace(WHOLE, fitted_on={}, cross_validation={})


ANEW = "; fit it anew"
NUMBER = "a weight or threshold: expected a number from -1e+06 to 1e+06, found"
MAKE = "; make one with `evalkit calibrate`"


@pytest.mark.parametrize(
    ("place", "value", "answer"),
    [
        (("schema_version",), 1, f"x.json: schema_version 1, expected 2{ANEW}"),
        (("models", "part", "intercept"), math.inf,
         f"x.json: not a calibration ({NUMBER} inf){MAKE}"),
        (("models", "overlap", "intercept"), "1.5",
         f"x.json: not a calibration ({NUMBER} '1.5'){MAKE}"),
        (("models", "overlap", "weights", NAME), None,
         f"x.json: not a calibration ({NUMBER} None){MAKE}"),
        (("models", "part", "weights", PART), math.nan,
         f"x.json: not a calibration ({NUMBER} nan){MAKE}"),
        (("models", "part", "middle", PART), math.nan,
         f"x.json: not a calibration ({NUMBER} nan){MAKE}"),
        (("models", "overlap", "middle", NAME), [0],
         f"x.json: not a calibration ({NUMBER} [0]){MAKE}"),
        (("thresholds", "high"), math.nan,
         f"x.json: not a calibration ({NUMBER} nan){MAKE}"),
        (("thresholds", "part"), "0.5",
         f"x.json: not a calibration ({NUMBER} '0.5'){MAKE}"),
        (("models", "part", "middle"), {},
         f"x.json: not a calibration (no middle for '{PART}'){MAKE}"),
        (("models", "overlap", "middle"), {PART: 1.0},
         f"x.json: not a calibration (no middle for '{NAME}'){MAKE}"),
        (("fitted_on",), [1],
         f"x.json: not a calibration (it.fitted_on: expected an object, found [1]){MAKE}"),
        (("models", "part", "weights"), {"shoe size": 1.0},
         f"x.json: feature 'shoe size' does not exist in this version of evalkit{ANEW}"),
        (("models", "overlap", "weights"), {"shoe size": 1.0},
         f"x.json: feature 'shoe size' does not exist in this version of evalkit{ANEW}"),
        (("versions", NAME), 3, f"x.json: feature '{NAME}' is version 1 here, the calibration has 3{ANEW}"),
        (("versions",), {NAME: 1}, f"x.json: feature '{PART}' is version 2 here, the calibration has None{ANEW}"),
    ],
)  # fmt: skip
def test_bad_calibrations_are_refused_with_a_reason(place: tuple[str, ...], value: object, answer: str) -> None:
    table = json.loads(WRITTEN)
    inside = table
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    with pytest.raises(InputError) as refused:
        load_calibration(json.dumps(table), "x.json")
    assert str(refused.value) == answer


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "", "3", "{}", WRITTEN.replace("-0.25", "1" + "0" * 400)])
def test_other_texts_are_no_calibration(text: str) -> None:
    with pytest.raises(InputError, match=r"^x\.json: not a calibration \(.+\); make one with `evalkit calibrate`$"):
        load_calibration(text, "x.json")


def test_whole_numbers_are_numbers_too() -> None:
    read = load_calibration(WRITTEN.replace("-0.25", "3").replace("2.0", "1"), "x.json")
    assert (read.models.overlap.intercept, dict(read.models.part.weights)) == (3, {PART: 1})


def test_a_long_bad_value_is_cut_in_messages() -> None:
    with pytest.raises(InputError) as refused:
        load_calibration(WRITTEN.replace("-0.25", f'"{"x" * 1000}"'), "x.json")
    answer = str(refused.value)
    assert answer.startswith(f"x.json: not a calibration ({NUMBER} 'xxxx")
    assert answer.endswith(f"… (1002 characters)){MAKE}")
    assert len(answer) < 300
