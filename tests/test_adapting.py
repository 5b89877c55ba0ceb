"""Adapting a calibration: helps where the base is off, is refused where it is not, and stays near the base."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan

from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.labels.adapt import adapt
from evalkit.labels.fitting import calibrate
from evalkit.matching.calibration import Calibration, dump_calibration, load_calibration
from evalkit.matching.embeddings import TextVectors, on_grid
from evalkit.matching.tokens import analyse
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.label_files import LabelledPlan, write_labels

WORDS = [
    *("attention", "gate", "loss", "encoder", "decoder", "dropout", "norm", "pooling", "kernel", "depth", "width"),
    *("residual", "warmup", "sampler", "memory", "router", "expert", "prompt", "token", "patch", "codebook", "mask"),
]


def labelled(papers: int, seed: int) -> list[LabelledPlan]:
    """Papers whose plans share some parts with gold, in other words, and whose labels are not always obvious."""
    rng = random.Random(seed)
    rows = []
    for number in range(papers):
        words = rng.sample(WORDS, 8)
        gold = [
            entry(f"{word} of the {rng.choice(WORDS)}", rng.choice(["REMOVE", "REPLACE"]), ["none"])
            for word in words[:4]
        ]
        plan, shared, matched = [], set(), set()
        for at, word in enumerate(rng.sample(words, 4)):
            plan.append(entry(f"the {word} module", rng.choice(["REMOVE", "REPLACE"]), ["none"]))
            if word in words[:4] and rng.random() < 0.85:
                shared.add((words.index(word), at))
                if rng.random() < 0.8:
                    matched.add((words.index(word), at))
        answer = frozenset(matched), frozenset(shared)
        rows.append(LabelledPlan(f"p{seed}-{number}", "a", tuple(gold), tuple(plan), *answer))
    return rows


@pytest.fixture(scope="module")
def base() -> Calibration:
    return calibrate(labelled(60, 1), "lexical", None, {"labels": "made up"})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        # 12 papers of 16 pairs, folds held out in turn: the fit that fails first has those of the other papers.
        ("nothing is shared", r"none of \d+ labelled pairs share a part; a matcher is fitted to pairs that do and"),
        ("everything is shared", r"all of \d+ labelled pairs share a part"),
        ("all that is shared matches", r"all of \d+ labelled pairs match, of those that share a part"),
        ("none of it matches", r"none of \d+ labelled pairs match, of those that share a part"),
    ],
)
def test_labels_without_both_kinds_are_refused(kind: str, message: str) -> None:
    every = frozenset((g, p) for g in range(4) for p in range(4))
    rows = [
        {
            "nothing is shared": replace(row, match=frozenset(), same_part=frozenset()),
            "everything is shared": replace(row, same_part=every),
            "all that is shared matches": replace(row, match=row.same_part),
            "none of it matches": replace(row, match=frozenset()),
        }[kind]
        for row in labelled(12, 7)
    ]
    with pytest.raises(InputError, match=message):
        calibrate(rows, "lexical", None, {})


def shifted(base: Calibration, by: float) -> Calibration:
    """The base as it would be if it came from a field where parts are shared far more, or less, often."""
    part = replace(base.models.part, intercept=base.models.part.intercept + by)
    return replace(base, models=replace(base.models, part=part))


@pytest.mark.parametrize("by", [-3.0, 3.0])
@pytest.mark.slow
def test_a_base_that_is_off_is_mended(base: Calibration, by: float) -> None:
    found = adapt(labelled(25, 2), shifted(base, by), None, {"labels": "mine"})
    assert found.helped
    assert found.report["p"] < 0.05
    assert found.report["after"]["log_loss"] < found.report["before"]["log_loss"]
    assert found.calibration.id != base.id
    assert found.calibration.fitted_on["base"] == shifted(base, by).id
    assert load_calibration(dump_calibration(found.calibration), "x.json") == found.calibration


@pytest.mark.slow
def test_a_base_that_is_right_is_rarely_moved(base: Calibration) -> None:
    answer = [adapt(labelled(15, seed), base, None, {}).helped for seed in range(3, 13)]
    assert sum(answer) <= 2  # one in twenty by chance


@pytest.mark.slow
def test_the_result_is_repeatable_in_any_order(base: Calibration) -> None:
    rows = labelled(12, 4)
    one, two = (adapt(given, shifted(base, 2), None, {}) for given in (rows, rows[::-1]))
    assert one.report["helped"] == two.report["helped"]
    assert one.calibration.models.part.intercept == pytest.approx(two.calibration.models.part.intercept, abs=1e-3)
    assert adapt(rows, base, None, {}) == adapt(rows, base, None, {})


@pytest.mark.slow
def test_undecided_pairs_teach_nothing(base: Calibration) -> None:
    rows = labelled(12, 4)
    # Said to be no match, but undecided: as if they were not there.
    wrong = [
        replace(row, match=frozenset(), same_part=frozenset(), undecided=row.match | row.same_part) for row in rows
    ]
    assert adapt(wrong, base, None, {}).report["pairs"] == 12 * 16 - sum(len(row.same_part) for row in rows)


def test_few_papers_are_refused(base: Calibration) -> None:
    with pytest.raises(InputError, match="9 papers are labelled, expected 10 or more"):
        adapt(labelled(9, 5), base, None, {})


@pytest.mark.slow
def test_the_command_writes_only_what_helped(
    base: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text(write_labels(labelled(20, 2)))
    Path("right.json").write_text(dump_calibration(base))
    Path("off.json").write_text(dump_calibration(shifted(base, 3)))
    words = ["calibrate", "--labels", "mine.jsonl", "--matcher", "lexical", "--out", "new.json", "--no-cache", "--base"]
    with pytest.raises(InputError, match=r"do not mend the base.*nothing written, --even-so writes it"):
        CliRunner().invoke(group, [*words, "right.json"], catch_exceptions=False)
    assert not Path("new.json").exists()
    done = CliRunner().invoke(group, [*words, "off.json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "written to new.json" in done.output
    made = load_calibration(Path("new.json").read_text(), "new.json")
    assert made.fitted_on["labels"][0]["name"] == "mine.jsonl"
    assert CliRunner().invoke(group, [*words, "right.json", "--even-so", "--force"]).exit_code == 0
    words[words.index("lexical")] = "hybrid"
    with pytest.raises(InputError, match="is for --matcher lexical, not hybrid"):
        CliRunner().invoke(group, [*words, "right.json", "--force"], catch_exceptions=False)


@pytest.mark.slow
def test_labels_of_some_pairs_move_no_threshold(base: Calibration) -> None:
    rows = labelled(12, 4)
    some = [replace(row, undecided=frozenset({(0, 0)}) - row.same_part) for row in rows]
    off = shifted(base, 3)
    assert adapt(some, off, None, {}).calibration.thresholds == off.thresholds
    assert adapt(rows, off, None, {}).calibration.thresholds != off.thresholds


class Flat:
    """An encoder with one direction for every word: only its name matters here."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def encode(self, texts: Sequence[str], progress: object = None) -> dict[str, TextVectors]:
        return {
            text: TextVectors(on_grid(np.ones(4)), on_grid(np.ones((len(analyse(text).stems), 4)))) for text in texts
        }


@pytest.mark.parametrize(
    ("fitted", "here", "warned"),
    [("x@1", "x@2", True), ("x@1", "x@1", False), ("none", "x@1", False), (None, "x@1", False)],
)
def test_another_models_calibration_is_warned_about(
    fitted: str | None, here: str, warned: bool, base: Calibration, tmp_path: Path
) -> None:
    """The calibration weighs words only; which model made vectors beside them is still told."""
    path = tmp_path / "calibration.json"
    made = replace(base, matcher="hybrid", fitted_on={"model": fitted} if fitted else {})
    path.write_text(dump_calibration(made), encoding="utf-8")
    run = score_run(
        [plan(entry("gate"))],
        [gold(entry("gate"))],
        Settings(resamples=0, calibration=str(path)),
        encoder=Flat(here),  # type: ignore[arg-type]
    )
    assert any("was fitted with the model" in line for line in run.meta["warnings"]) is warned
