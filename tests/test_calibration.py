"""Calibrations: fitted without a look at held-out papers, honest about what they are worth, the same when read back."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import SHARED, entry, requires_shared_data
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, cohen_kappa_score, f1_score, precision_score, recall_score

from evalkit.cli import group
from evalkit.errors import InputError, ModelError, OutputError
from evalkit.labels import agree_with, calibrate, calibrate_on, evaluate, fitting
from evalkit.labels.evaluate import Prediction, agreement, report
from evalkit.labels.fitting import BORDERLINE_SHARE, FOLDS, Pairs, figures, fold_of, held_out, table_of, thresholds_of
from evalkit.matching.calibration import Calibration, dump_calibration, load_calibration, probabilities
from evalkit.matching.embeddings import find_encoder_here
from evalkit.matching.features import FEATURES, features
from evalkit.scoring.matcher import calibration_for
from evalkit.settings import MATCHERS, Settings
from evalkit.storage.files import shipped
from evalkit.storage.label_files import LabelledPlan, write_labels
from evalkit.types import Thresholds

WORDS = (
    *("attention", "gate", "loss", "encoder", "decoder", "dropout", "norm", "pooling", "kernel", "depth", "width"),
    *("residual", "warmup", "sampler", "memory", "router", "expert", "prompt", "token", "patch", "codebook", "mask"),
)
LABELS = [str(SHARED / "data" / "alignment" / name) for name in ("dev.jsonl", "references.jsonl")]
MODELS = ("part", "removal", "overlap")
FIGURES = {"precision", "recall", "f1", "average_precision", "kappa", "ece"}


def labelled(papers: int, seed: int = 0) -> list[LabelledPlan]:
    """Two plans a paper: entries that share a word share their part, and match where the action is the same."""
    rng = random.Random(seed)
    rows = []
    for number in range(papers):
        words = rng.sample(WORDS, 6)
        golds = [
            entry(f"{word} of the model", rng.choice(["REMOVE", "REPLACE"]), ["a plain one"]) for word in words[:3]
        ]
        for planner in ("lab/a", "lab/b"):
            message = rng.sample(words, 3)
            plan = [entry(f"the {word} module", rng.choice(["REMOVE", "REPLACE"]), ["a plain one"]) for word in message]
            shared = {(g, message.index(word)) for g, word in enumerate(words[:3]) if word in message}
            match = frozenset((g, p) for g, p in shared if golds[g].action is plan[p].action)
            kind = "author" if number % 2 else "reviewer"
            rows.append(
                LabelledPlan(f"paper-{number}", planner, tuple(golds), tuple(plan), match, frozenset(shared), task=kind)
            )
    return rows


ROWS = labelled(24)


@pytest.fixture(scope="module")
def made() -> Calibration:
    return calibrate(ROWS, "lexical", None, {"labels": [{"name": "made up", "sha256": "0"}]})


# Measures, by hand and beside scikit-learn.


@pytest.mark.parametrize(
    ("decided", "truth", "expected"),
    [
        # 1 of 2 said is right, 1 of 2 true is found; half agree, as by chance.
        ([1, 1, 0, 0], [1, 0, 1, 0], {"precision": 0.5, "recall": 0.5, "f1": 0.5, "kappa": 0.0}),
        # Agreement 3/4; by chance (1*2 + 3*2) / 16 = 1/2; kappa (3/4 - 1/2) / (1/2).
        ([1, 0, 0, 0], [1, 1, 0, 0], {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "kappa": 0.5}),
        # Nothing was said: a precision does not exist.
        ([0, 0], [1, 0], {"precision": None, "recall": 0.0, "f1": 0.0, "kappa": 0.0}),
        ([0, 0], [0, 0], {"precision": None, "recall": None, "f1": None, "kappa": None}),
    ],
)
def test_decisions_beside_labels(decided: list[int], truth: list[int], expected: dict[str, float | None]) -> None:
    found = evaluate.decisions(np.array(decided, bool), np.array(truth, bool))
    assert found == {name: value if value is None else pytest.approx(value) for name, value in expected.items()}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60))
def test_measures_are_those_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    chances, truth = np.array([at / 20 for at, _ in pairs]), np.array([yes for _, yes in pairs])
    decided = chances >= 0.5
    if not (truth.any() and decided.any()):
        return
    found = evaluate.decisions(decided, truth) | evaluate.ranking(chances, truth)
    theirs = {"precision": precision_score, "recall": recall_score, "f1": f1_score, "kappa": cohen_kappa_score}
    for name, score in theirs.items():
        if not (name == "kappa" and truth.all() and decided.all()):
            assert found[name] == pytest.approx(score(truth, decided)), name
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, chances))


def test_calibration_error_by_hand() -> None:
    chances, truth = np.array([0.9, 0.1, 0.9, 0.1]), np.array([True, False, True, True])
    # Two bins of two: 0.1 said, 1/2 true; 0.9 said, all true. (2 * 0.4 + 2 * 0.1) / 4.
    assert evaluate.ece(chances, truth, bins=2) == pytest.approx(0.25)
    bins = evaluate.reliability(chances, truth, bins=2)
    assert [tuple(b.values()) for b in bins] == [(2, 0.1, 0.5), (2, 0.9, 1.0)]
    turned = [2, 0, 3, 1]
    assert evaluate.reliability(chances[turned], truth[turned], bins=2) == bins
    assert evaluate.ece(np.zeros(0), np.zeros(0, bool)) is None


def test_the_band_of_doubt_by_hand() -> None:
    # Of 20 pairs the two nearest to 0.5 are both wrong: one missed match of 0.45, one false match of 0.56.
    chances = np.array([0.45, 0.56, *[0.9] * 4, *[0.1] * 14])
    truth = np.array([True, False, *[True] * 4, *[False] * 14])
    curve = {point["share"]: point["f1"] for point in evaluate.risk_coverage(chances, truth, 0.5)}
    assert list(curve) == [0.0, 0.02, 0.05, 0.07, 0.10]
    # As decided: 4 hits, 5 said, 5 true. With the nearest decided (5%, and 7% is 1.4 pairs): 5, 6, 5. With both: all.
    assert [curve[share] for share in (0.0, 0.05, 0.07, 0.10)] == pytest.approx([8 / 10, 10 / 11, 10 / 11, 1.0])


def test_the_threshold_decides_as_much_as_is_true() -> None:
    chances, truth = np.array([0.9, 0.2, 0.7, 0.4, 0.1]), np.array([True, False, False, True, False])
    # Two are true: the second highest probability. Where the last true one weighs three, so do the three highest.
    assert evaluate.balanced_threshold(chances, truth, np.ones(5)) == 0.7
    assert evaluate.balanced_threshold(chances, truth, np.array([1.0, 1, 1, 3, 1])) == 0.4


# Fitting: papers are held out whole.


def test_a_paper_is_held_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = table_of(ROWS, "lexical", None)
    papers = np.array([row.paper for row in ROWS for _ in range(row.match_table.size)])
    assert all(set(pairs.folds[papers == paper]) == {fold_of(paper)} for paper in papers)
    seen = []
    fit = fitting.fit

    def watched(given_pairs: Pairs, train: Any, *rest: Any) -> Any:
        seen.append(set(papers[train]))
        return fit(given_pairs, train, *rest)

    monkeypatch.setattr(fitting, "fit", watched)
    held_out(pairs)
    folds = sorted({fold_of(paper) for paper in papers})
    assert seen == [{paper for paper in papers if fold_of(paper) != fold} for fold in folds]
    assert set(folds) == set(range(FOLDS))


def test_held_out_labels_do_not_change_their_predictions() -> None:
    pairs = table_of(ROWS, "lexical", None)
    part, match = held_out(pairs)
    fold = pairs.folds == 2
    lied = replace(pairs, part=np.where(fold, ~pairs.part, pairs.part), match=np.where(fold, False, pairs.match))
    for before, after in zip((part, match), held_out(lied), strict=True):
        assert np.array_equal(before[fold], after[fold])
        assert not np.array_equal(before[~fold], after[~fold])


def test_a_fold_takes_the_threshold_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # The fold of four pairs gets the threshold of the six others, and the reverse.
    folds = np.array([0] * 4 + [1] * 6)
    pairs = Pairs((), np.zeros((10, 0)), folds > 5, folds > 5, folds, folds, folds < 0, np.ones(10))
    limits = {4: 0.3, 6: 0.7, 10: 0.5}
    monkeypatch.setattr(fitting, "balanced_threshold", lambda chances, *_: limits[len(chances)])
    chances = np.full(10, 0.5)
    truth = np.array([True] * 10)
    # Fold 0 needs 0.7 and says nothing, fold 1 needs 0.3 and says yes to its six: recall 6/10.
    assert figures(pairs, chances, truth, np.ones(10))["recall"] == pytest.approx(0.6)


def test_the_band_holds_its_share_of_pairs() -> None:
    pairs = table_of(ROWS, "lexical", None)
    part, match = held_out(pairs)
    limits = thresholds_of(pairs, part, match)
    inside = ((match >= limits.low - 0.0005) & (match <= limits.high + 0.0005)).mean()
    assert limits.low <= limits.match <= limits.high
    assert inside == pytest.approx(BORDERLINE_SHARE, abs=0.03)


def test_undecided_pairs_are_left_out_everywhere(made: Calibration) -> None:
    row = replace(ROWS[0], undecided=frozenset({(0, 0), (2, 1)}))
    assert len(table_of([row], "lexical", None).part) == 7
    assert agreement([row], made, None)["pairs"] == 7
    # What is not known to be wrong is no disagreement.
    nothing = replace(ROWS[0], match=frozenset(), same_part=frozenset(), undecided=frozenset(np.ndindex(3, 3)))
    assert agreement([ROWS[1], nothing], made, None)["worst"] == agreement([ROWS[1]], made, None)["worst"]


def test_a_calibration_read_back_gives_the_same(made: Calibration) -> None:
    back = load_calibration(dump_calibration(made), "made.json")
    assert back == made
    row = ROWS[3]
    for one, other in zip(*(probabilities(features(row.gold, row.plan, None), c) for c in (made, back)), strict=True):
        assert np.array_equal(one, other)


def test_the_same_labels_give_the_same_calibration(made: Calibration) -> None:
    again = calibrate(ROWS, "lexical", None, made.fitted_on | {"labels": [{"name": "made up", "sha256": "0"}]})
    assert dump_calibration(again) == dump_calibration(made)


def test_a_calibration_holds_its_figures_and_its_origin(made: Calibration) -> None:
    assert made.fitted_on["papers"] == 24
    assert made.fitted_on["pairs"] == 24 * 2 * 9
    for what in ("part", "match"):
        held = made.cross_validation[what]
        assert set(held) == FIGURES | {"reliability", "risk_coverage"}
        assert sum(one["pairs"] for one in held["reliability"]) == made.fitted_on["pairs"]
    # The labels follow a rule, and held-out papers follow it too.
    assert made.cross_validation["part"]["f1"] > 0.9
    assert set(made.versions) == made.models.features


def test_too_few_papers_are_refused() -> None:
    with pytest.raises(InputError, match="9 papers are labelled, expected 10 or more"):
        calibrate(ROWS[: 2 * 9], "lexical", None, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version 99, expected 2; fit it anew"),
        ({"thresholds": {"part": 0.4}}, "not a calibration"),
        (
            {"models": {name: {"weights": {"shoe size": 1.0}, "middle": {}, "intercept": 0.0} for name in MODELS}},
            "feature 'shoe size' does not exist",
        ),
        ({"versions": dict.fromkeys(FEATURES, 0)}, "here, the calibration has 0; fit it anew"),
        ({"versions": {}}, "the calibration has None"),
    ],
)
def test_a_calibration_of_another_version_is_refused(made: Calibration, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_calibration(json.dumps(json.loads(dump_calibration(made)) | change), "other.json")


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"schema_version": 2}'])
def test_what_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"other\.json: not a calibration"):
        load_calibration(text, "other.json")


# Agreement.


def test_agreement_has_its_shape(made: Calibration) -> None:
    found = agreement(ROWS, made, None)
    assert set(found["match"]) == set(found["part"]) == FIGURES
    assert set(found["by_task"]) == {"author", "reviewer"}
    assert all(set(both["part"]) == set(both["match"]) == FIGURES for both in found["by_task"].values())
    assert (found["rows"], found["papers"], found["pairs"]) == (48, 24, 432)
    assert set(found["after_assignment"]) == {"precision", "recall", "f1"}
    assert [set(one) for one in found["per_planner"]] == [{"planner", "plans", "f1_labels", "f1_matcher", "error"}] * 2
    assert [point["share"] for point in found["risk_coverage"]] == [0.0, 0.02, 0.05, 0.07, 0.10]
    assert {"schema_version", "calibration", "mean_absolute_error", "rank_correlation", "reliability"} <= set(found)
    json.dumps(found, allow_nan=False)


def test_agreement_by_hand() -> None:
    """One row of two against two; labels match (0, 0) and share the part of (1, 1)."""
    lists = (entry("gate"), entry("loss")), (entry("gates"), entry("losses"))
    row = LabelledPlan("p", "lab/x", *lists, frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)}), task="author")
    part, match = np.array([[0.9, 0.8], [0.1, 0.7]]), np.array([[0.8, 0.7], [0.1, 0.2]])
    found = report([Prediction(row, part, match, Thresholds(0.5, 0.5, 0.3, 0.7))], "by hand")
    # Decisions: (0, 0) and (0, 1) are said to match, (0, 0) does; three are said to share, two do.
    assert found["match"]["precision"] == pytest.approx(1 / 2)
    assert found["match"]["recall"] == 1
    assert found["part"]["precision"] == pytest.approx(2 / 3)
    # One to one, (0, 0) and (1, 1) are aligned, and of these only (0, 0) matches: assignment mends the error.
    assert found["after_assignment"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    planner = {"planner": "lab/x", "plans": 1, "f1_labels": 0.5, "f1_matcher": 0.5, "error": 0.0}
    assert found["per_planner"] == [planner]
    assert (found["mean_absolute_error"], found["rank_correlation"]) == (0, None)
    (worst,) = found["worst"]
    assert (worst["match_probability"], worst["label"], worst["same_part"]) == (0.7, False, False)
    assert (worst["gold"]["ablated_part"], worst["plan"]["ablated_part"]) == ("gate", "losses")


@pytest.mark.slow
def test_agreement_says_when_it_flatters(tmp_path: Path) -> None:
    own, other = tmp_path / "own.jsonl", tmp_path / "other.jsonl"
    own.write_text(write_labels(ROWS))
    other.write_text(write_labels(labelled(24, seed=1)))
    lexical = Settings(matcher="lexical")
    (tmp_path / "made.json").write_text(dump_calibration(calibrate_on([str(own)], lexical)))
    by_this = replace(lexical, calibration=str(tmp_path / "made.json"))
    assert agree_with([str(own)], by_this)["fitted_on_these_labels"] is True
    assert agree_with([str(other)], by_this)["fitted_on_these_labels"] is False
    assert agree_with([str(other)], by_this)["model"] == "none"


# The commands.


@pytest.mark.slow
def test_calibrate_then_agree_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.jsonl").write_text(write_labels(ROWS))
    words = ["--labels", "labels.jsonl", "--matcher", "lexical", "--no-cache"]
    done = CliRunner().invoke(group, ["calibrate", *words, "--out", "mine.json", "--note", "made up"])
    assert done.exit_code == 0, done.output
    for answer in (
        "432 pairs of 24 papers, 5 folds by paper",
        "Held-out papers",
        "band of doubt",
        "written to mine.json",
    ):
        assert answer in done.output
    assert json.loads(Path("mine.json").read_text())["fitted_on"]["note"] == "made up"
    done = CliRunner().invoke(group, ["agree", *words, "--calibration", "mine.json"])
    assert done.exit_code == 0, done.output
    for answer in (
        "warning: this calibration was fitted on these labels",
        "author: match",
        "nearest pairs decided",
        "lab/b",
    ):
        assert answer in done.output
    done = CliRunner().invoke(group, ["agree", *words, "--calibration", "mine.json", "--json"])
    found = json.loads(done.stdout)
    assert (found["pairs"], found["papers"], found["fitted_on_these_labels"]) == (432, 24, True)
    with pytest.raises(OutputError, match="exists already"):
        CliRunner().invoke(group, ["calibrate", *words, "--out", "mine.json"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["agree"], "give either --labels, or --judgements"), (["calibrate", "--out", "x.json"], "--labels")],
)
def test_a_command_without_labels_is_a_usage_error(words: list[str], message: str) -> None:
    done = CliRunner().invoke(group, words)
    assert (done.exit_code, message in done.output) == (2, True)


def test_labels_without_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text(
        write_labels([replace(ROWS[0], plan=(), match=frozenset(), same_part=frozenset())])
    )
    with pytest.raises(InputError, match="no labelled pairs"):
        agree_with([str(tmp_path / "none.jsonl")], Settings(matcher="lexical"))


# What ships.


@pytest.mark.parametrize("matcher", [*MATCHERS, "hybrid-minilm"])
def test_shipped_calibrations_reach_the_promised_figures(matcher: str) -> None:
    made = load_calibration(shipped(f"configs/calibration/{matcher}.json").read_text(encoding="utf-8"), matcher)
    fitted_with = {"lexical": "none", "hybrid-minilm": "all-MiniLM-L6-v2@53aa51172d14"}
    assert made.fitted_on["model"] == fitted_with.get(matcher, find_encoder_here().fingerprint)
    assert (made.fitted_on["papers"], made.fitted_on["pairs"]) == (293, 20260)
    assert "not by people" in made.fitted_on["note"]
    match, part = made.cross_validation["match"], made.cross_validation["part"]
    # What was promised is promised of the default; without vectors a little less is true.
    floor = 0.01 if matcher == "lexical" else 0.0
    assert match["f1"] >= 0.83 - floor
    assert part["f1"] >= 0.845 - floor
    assert match["average_precision"] >= 0.90 - floor
    assert max(match["ece"], part["ece"]) <= 0.02
    assert next(point["f1"] for point in match["risk_coverage"] if point["share"] == 0.07) >= 0.91 - floor


@requires_shared_data
@pytest.mark.slow
@pytest.mark.parametrize(("matcher", "model"), [("lexical", ""), ("hybrid", ""), ("hybrid", "all-MiniLM-L6-v2")])
def test_what_ships_is_what_the_labels_give(matcher: str, model: str) -> None:
    settings = Settings(matcher=matcher, model=model)
    ships = calibration_for(settings)
    try:
        made = calibrate_on(LABELS, settings, note=ships.fitted_on["note"])
    except ModelError as error:
        pytest.skip(str(error))
    # On the machine that fitted it the file is the same to the byte; elsewhere a solver may round a last digit.
    for name in MODELS:
        one, other = getattr(made.models, name), getattr(ships.models, name)
        assert dict(one.weights) == pytest.approx(dict(other.weights), abs=0.005)
    for what in ("part", "match"):
        for name in FIGURES:
            assert made.cross_validation[what][name] == pytest.approx(ships.cross_validation[what][name], abs=0.002)
    assert made.fitted_on == ships.fitted_on


def test_without_scikit_learn_fitting_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(InputError, match=r"needs scikit-learn: pip install 'ablation-evalkit\[calibrate\]'"):
        calibrate(ROWS, "lexical", None, {})
