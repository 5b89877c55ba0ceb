"""Similarity and matching: what each family of features sees, what must not matter, what is told of a pair."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import entry

from evalkit.errors import InputError, ModelError
from evalkit.matching.calibration import Calibration, load_calibration, probabilities
from evalkit.matching.embeddings import (  # fmt: skip
    MINILM,
    ContextualEncoder,
    TextVectors,
    contextual,
    find_encoder_here,
    on_grid,
)
from evalkit.matching.embeddings.vectors import GRID
from evalkit.matching.explain import BY_MEANING, NOTICED, REASONS, WORDING, explain, reason_text
from evalkit.matching.features import FEATURES, PAIRS_TOGETHER, alike, batch_features, coverage, features, needs
from evalkit.matching.rules import Need
from evalkit.matching.tokens import analyse, expansions, initials_of, rarity, stem
from evalkit.scoring.executors import open_executor
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.types import Ablation, Plan

SHIPPED = Path(__file__).parent.parent / "configs" / "calibration"
INJECTION = "high-fidelity attention injection"
Vectors = dict[str, TextVectors]


def swap(part: str, *options: str, name: str = "") -> Ablation:
    return entry(part, "REPLACE", options, name=name)


def shipped(matcher: str = "lexical") -> Calibration:
    return load_calibration((SHIPPED / f"{matcher}.json").read_text(encoding="utf-8"), matcher)


def values(
    gold: Ablation | Sequence[Ablation], plan: Ablation | Sequence[Ablation], name: str, vectors: Vectors | None = None
) -> list[list[float]]:
    """One feature by gold entry, plan entry."""
    lists = [[side] if isinstance(side, Ablation) else list(side) for side in (gold, plan)]
    found = features(*lists, vectors)
    return [[float(value) for value in row] for row in found.values[:, :, found.names.index(name)]]


def value(gold: Ablation, plan: Ablation, name: str, vectors: Vectors | None = None) -> float:
    return values(gold, plan, name, vectors)[0][0]


def chances(
    gold: Ablation, plan: Ablation, matcher: str = "lexical", vectors: Vectors | None = None
) -> tuple[float, float]:
    """The probabilities of one gold entry against one plan entry: part, match."""
    part, match = probabilities(features([gold], [plan], vectors), shipped(matcher))
    return float(part[0, 0]), float(match[0, 0])


AXES = {"spatial": 0, "location": 0, "temporal": 1, "attention": 2, "gate": 3, "softmax": 4, "sigmoid": 5}


def toy(*entries: Ablation) -> Vectors:
    """Vectors by hand: a word is an axis, "spatial" and "location" the same one; a text is the mean of its words."""
    found = {}
    for text in needs(entries, ()):
        words = np.zeros((len(analyse(text).stems), 8))
        for row, word in zip(words, text.split(), strict=True):
            row[AXES[word]] = 1
        found[text] = TextVectors(on_grid(words.mean(axis=0)), on_grid(words))
    return found


# The examples that the published benchmark prints with its criteria, and those of the contract.

EXAMPLES = [
    (entry(INJECTION), swap(INJECTION, "standard attention mechanism", "no attention injection"), True),
    (
        swap(INJECTION, "regular attention"),
        swap(INJECTION, "standard attention mechanism", "no attention injection"),
        True,
    ),
    (entry("CS attention"), swap("temporal attention in consistent-sparse attention", "spatial attention"), False),
    (entry("memory bank"), swap("memory bank", "a recurrent cell"), False),
    (entry("memory bank"), entry("memory bank"), True),
    (entry("memory bank", None), swap("memory bank", "a recurrent cell"), True),
    (entry("KD loss"), entry("knowledge distillation loss"), True),
    (entry("temporal attention"), entry("spatial attention"), False),
]


@pytest.mark.parametrize(("gold", "plan", "expected"), EXAMPLES)
def test_examples_are_decided_as_written(gold: Ablation, plan: Ablation, expected: bool) -> None:
    assert (chances(gold, plan)[1] >= shipped().thresholds.match) is expected


# Words: how far they are found again, and how much each counts.


def test_found_and_missing_words_are_measured() -> None:
    told_apart = [entry("temporal attention"), entry("spatial attention"), entry("dropout")]
    mean, lesser, missing = (
        values(told_apart[0], told_apart, f"word.part>part.{s}")[0] for s in ("mean", "min", "miss")
    )
    assert mean[0] > mean[1] > mean[2] == 0
    assert all(low <= value for low, value in zip(lesser, mean, strict=True))
    assert missing[0] == 0 < missing[1] < missing[2]
    # A part inside a longer one: the longer has words the other has not, and in the better direction none is missing.
    assert value(entry("gate"), entry("gate of the recurrent decoder"), "word.part>part.miss") > 0
    assert value(entry("gate"), entry("gate of the recurrent decoder"), "word.part>part.least") == 0
    assert value(entry("gate"), entry("gate"), "word.part>part.sum") < value(
        entry("gate unit"), entry("gate unit"), "word.part>part.sum"
    )


def test_a_part_differs_from_its_place() -> None:
    assert value(entry("dropout in the encoder"), entry("encoder"), "word.head>head.mean") == 0
    assert value(entry("dropout in the encoder"), entry("encoder"), "word.tail>all.mean") > 0


@pytest.mark.parametrize(
    ("source", "gold", "plan"),
    [
        ("name>name", entry("gate", name="Warmup"), entry("loss", name="Warmup")),
        ("title>title", entry("warmup", name="Gate"), entry("loss", name="Warmup")),
        ("options>options", swap("gate", "warmup"), swap("loss", "warmup")),
        ("options>title", swap("gate", "warmup"), entry("warmup")),
        ("all>all", swap("gate", "warmup"), entry("loss", name="Warmup")),
    ],
)
def test_words_are_looked_for_where_the_feature_says(source: str, gold: Ablation, plan: Ablation) -> None:
    assert value(gold, plan, f"word.{source}.mean") > 0
    assert value(gold, plan, "word.part>part.mean") == 0


def test_a_pair_stands_out_against_its_alternatives() -> None:
    entries = [entry("attention gate"), entry("attention loss")]
    for statistic in ("first", "second", "own"):
        found = np.array(values(entries, entries, f"word.part>part.{statistic}"))
        assert (found.diagonal() > 0.5).all(), statistic
        assert (found[[0, 1], [1, 0]] < -0.5).all(), statistic


def test_words_common_to_a_list_count_less() -> None:
    alone = value(entry("graph gate"), entry("graph"), "word.part>part.mean")
    among = values([entry("graph gate"), entry("graph loss")], [entry("graph")], "word.part>part.mean")[0][0]
    assert among < alone


def test_rarer_words_count_more() -> None:
    assert rarity("model") < rarity(stem("distillation")) < rarity("zyx")
    assert rarity("") == 0


def test_inflections_share_a_stem() -> None:
    assert len({stem(word) for word in ("normalization", "normalized", "normalizing", "normalize")}) == 1
    assert stem("strategies") == stem("strategy")
    assert stem("loss") != stem("losing")


def test_head_ends_where_the_surroundings_begin() -> None:
    words = analyse("Initialization of shift vectors (SV) in the encoder")
    assert [stem for stem, head in zip(words.stems, words.heads, strict=True) if head] == [
        "initializ",
        "shift",
        "vector",
        "sv",
    ]


def test_abbreviations_come_from_lists_and_glossary() -> None:
    lists = [("FGSM module",), ("Fine-grained structure mapping",), ("KD",), ("loss of knowledge distillation",)]
    found = expansions(lists)
    assert [place for _, place in found["fgsm"]] == [0, 1, 2, 3]
    assert found["kd"][0][0] == "loss of knowledge distillation"
    assert expansions(reversed(lists)) == found


@pytest.mark.parametrize(
    ("acronym", "text", "long"),
    [
        ("ebb", "evolvable-basis binarizer", (0, 1, 2)),
        ("moe", "a mixture of experts", (0, 1)),  # with the letter of the stop word
        ("me", "a mixture of experts", (0, 1)),  # without it
        ("gl", "gate and loss, then gate loss", (0, 1)),  # the first of both
        ("ab", "a basis", ()),  # "a" does not count, so no run begins with it
        ("gl", "gate GPU loss", ()),  # a word in capitals is itself an abbreviation
        ("gl", "gate of the a on in by loss", (0, 1)),  # eight words
        ("gl", "gate of the a on in by for loss", ()),  # nine
    ],
)
def test_first_letters_of_a_run_of_words_spell_an_abbreviation(acronym: str, text: str, long: tuple[int, ...]) -> None:
    assert initials_of(acronym, analyse(text)) == long


@pytest.mark.parametrize(
    ("gold", "plan"),
    [("KD loss", "knowledge distillation loss"), ("fine-tuning", "finetuning"), ("weight λ", "weight lambda")],
)
def test_short_and_long_forms_meet(gold: str, plan: str) -> None:
    assert value(entry(gold), entry(plan), "word.part>part.miss") == 0


# Options and deeds.


@pytest.mark.parametrize(
    ("name", "gold", "plan", "expected"),
    [
        ("options.same", swap("pooling", "max pooling", "random sampling"), swap("pooling", "Random sampling"), 1),
        ("options.same", swap("pooling", "max pooling"), swap("pooling", "average pooling"), 0),
        ("options.count", swap("x", "cosine decay", "step decay"), swap("y", "step decay", "cosine decay"), 2),
        ("options.count", swap("x", "cosine decay"), entry("y"), 0),
        ("options.shared", swap("x", "cosine"), entry("y"), 0),
        ("options.restated", entry("pooling"), entry("sampling"), 0),
        ("options.new", entry("pooling"), swap("pooling", "pooling"), 0),
        ("act.same", entry("x"), entry("x"), 1),
        ("act.same", entry("x"), swap("x", "y"), 0),
        ("act.same", entry("x", None), swap("x", "y"), 0),
        ("act.both replace", swap("x", "y"), swap("x", "z"), 1),
        ("act.remove replace", entry("x"), swap("x", "y"), 1),
        ("act.remove replace", entry("x", None), swap("x", "y"), 0),
        ("act.add", entry("x", "ADD", ["y"]), swap("x", "y"), 1),
        ("act.remove none", entry("x"), swap("x", "without x"), 1),
        ("act.remove none", entry("x"), swap("x", "a recurrent cell"), 0),
        ("act.remove plain", entry("x"), swap("x", "vanilla attention"), 1),
        ("act.remove fixed", entry("x"), swap("x", "uniform weights"), 1),
        ("act.name removes", entry("x"), swap("x", "y", name="w/o x"), 1),
        ("act.both none", swap("x", "no x"), swap("x", "identity"), 1),
        ("act.one none", swap("x", "no x"), swap("x", "y"), 1),
        ("sweep.both", swap("weight", "0.1", "0.5"), swap("weight", "0.5", "1.0"), 1),
        ("sweep.both", swap("weight", "0.1"), swap("weight", "different values"), 0),
        ("sweep.one", swap("layers", "2 layers"), swap("layers", "a recurrent cell"), 1),
        ("sweep.shared", swap("weight", "0.1", "0.5"), swap("weight", "0.5", "1.0"), 0.5),
        ("option.vague", swap("x", "smaller"), swap("x", "y"), 1),
        ("option.current", swap("x", "current design"), swap("x", "y"), 1),
        ("option.single", swap("x", "y"), swap("x", "y"), 2),
        ("part.equal", entry("the gate"), entry("a gate"), 1),
        ("part.equal", entry("gate loss"), entry("loss gate"), 0),
        ("part.several one", entry("gate and loss"), entry("gate"), 1),
        ("part.last word", entry("temporal attention"), entry("spatial attention"), 1),
        ("part.first word", entry("temporal attention"), entry("spatial attention"), 0),
        ("name.none", entry("x", name="Ablation Study 1"), entry("x", name="#2"), 2),
        ("removal.without", entry("x"), swap("x", "a gate", "no x"), 1),
        ("removal.zero of a term", entry("KL loss"), swap("weight of the KL loss", "0", "0.1"), 1),
        ("removal.zero of a term", entry("KL loss"), swap("weight of the KL loss", "0.05", "0.1"), 0),
        ("removal.opposed", entry("x"), swap("adaptive weights", "equal weights"), 1),
        ("removal.takes away", entry("multi-scale fusion"), swap("fusion", "single scale"), 1),
        ("removal.takes away", swap("fusion", "single scale"), entry("multi-scale fusion"), 1),
        ("removal.only part", entry("x"), swap("dual prompt", "only one prompt"), 1),
        ("removal.plain", entry("x"), swap("steerable blocks", "vanilla blocks"), 1),
        ("removal.plain", swap("x", "y"), swap("steerable blocks", "vanilla blocks"), 0),
        # Two of the three words of "cycle loss term" stand in the part that is weighed from 0 on.
        ("part.weighed", entry("cycle loss term"), swap("weight of the cycle loss", "0", "1"), 2 / 3),
        ("part.weighed", entry("cycle loss term"), swap("weight of the cycle loss", "0.5", "1"), 0),
        ("list.size", entry("x"), entry("y"), 1 / 36),
        ("aspect.a loss.both", entry("contrastive loss"), entry("loss"), 1),
        ("aspect.a number.one", entry("number of layers"), entry("layers"), 1),
        ("aspect.apart", entry("gate"), entry("gate"), 0),
    ],
)  # fmt: skip
def test_what_is_done_and_in_what_respect(name: str, gold: Ablation, plan: Ablation, expected: float) -> None:
    assert value(gold, plan, name) == pytest.approx(expected, abs=1e-4)
    assert value(plan, gold, name) == pytest.approx(expected, abs=1e-4)


def test_options_gain_little_by_the_parts_words() -> None:
    shared = [
        value(swap(part, "max pooling"), swap(part, "random pooling"), "options.shared")
        for part in ("layer", "pooling")
    ]
    assert shared[0] > shared[1]


def test_an_option_restates_a_part_or_is_new() -> None:
    assert value(entry("memory bank"), swap("cache", "memory bank"), "options.restated") > 0.5
    assert value(entry("memory bank"), swap("memory bank", "recurrent cell"), "options.new") > 0.5


# Meaning, with vectors made by hand.


def test_meaning_brings_together_what_is_spelled_differently() -> None:
    gold, plans = entry("spatial attention"), (entry("location attention"), entry("temporal attention"))
    vectors = toy(gold, *plans)
    for name in (
        "meaning.part>part.mean",
        "meaning.head>title.min",
        "phrase.part",
        "phrase.name",
        "meaning.part>part.first",
    ):
        near, far = values(gold, plans, name, vectors)[0]
        assert near > far, name
    assert values(gold, plans, "meaning.part>part.miss", vectors)[0][0] == 0
    assert value(gold, plans[0], "word.part>part.miss", vectors) > 0


def test_options_are_near_apart_from_their_parts() -> None:
    gold, plan, other = swap("gate", "spatial gate"), swap("gate", "location gate"), swap("gate", "temporal gate")
    vectors = toy(gold, plan, other)
    near, far = values(gold, [plan, other], "options.near", vectors)[0]
    apart, further = values(gold, [plan, other], "options.apart", vectors)[0]
    assert near == pytest.approx(1, abs=0.01)
    # Half of each option is the part itself; without it the wrong one shares almost nothing.
    assert far == pytest.approx(0.5, abs=0.01)
    assert apart > 0.99 > 0.2 > further
    removed = value(
        entry("spatial gate"), swap("gate", "location gate"), "options.part", toy(entry("spatial gate"), plan)
    )
    assert removed == pytest.approx(1, abs=0.01)
    assert value(gold, plan, "options.part", vectors) == 0


# What gold leaves open agrees with everything.


@pytest.mark.parametrize(
    ("gold", "plan"),
    [
        (entry("memory bank", None), entry("memory bank")),
        (entry("memory bank", None), swap("memory bank", "a recurrent cell", "an attention layer")),
        (entry("memory bank", None), entry("memory bank", "ADD", ["a second bank"])),
        (entry("memory bank", None, ["no memory"]), entry("memory bank")),
        (entry("memory bank", "REPLACE"), swap("memory bank", "a recurrent cell")),
        (entry("memory bank", "ADD"), entry("memory bank", "ADD", ["a second bank"])),
        (entry("memory bank", None), entry("warmup steps")),
    ],
)
def test_gold_without_action_matches_by_its_part(gold: Ablation, plan: Ablation) -> None:
    part, match = chances(gold, plan)
    assert match == part
    assert (part >= shipped().thresholds.part) == (plan.part == gold.part)


@pytest.mark.parametrize(
    ("gold", "plan"),
    [
        (swap("memory bank", "a recurrent cell"), entry("memory bank", None)),
        (swap("memory bank", "a recurrent cell"), entry("memory bank", "REPLACE")),
        (entry("memory bank", None, ["a recurrent cell"]), entry("memory bank", "REPLACE")),
        (entry("memory bank", "REPLACE"), entry("memory bank")),
    ],
)
def test_a_plan_gains_nothing_by_leaving_out(gold: Ablation, plan: Ablation) -> None:
    assert chances(gold, plan)[1] == 0


def test_an_open_entry_changes_no_other_pair() -> None:
    golds = [swap("gate", "relu", "none"), entry("memory bank")]
    plans = [swap("gate", "tanh"), swap("memory bank", "a cell")]
    before, after = (features([golds[0], last], plans, None) for last in (golds[1], replace(golds[1], action=None)))
    assert np.array_equal(before.values[0], after.values[0])
    assert before.needs.tolist() == [[Need.OVERLAP] * 2, [Need.REMOVAL] * 2]
    assert after.needs.tolist() == [[Need.OVERLAP] * 2, [Need.NOTHING] * 2]


# What must not matter.


def test_metrics_never_decide() -> None:
    gold, plan = entry("gate", metrics=["accuracy"]), entry("gates", metrics=["BLEU"])
    assert chances(gold, plan) == chances(replace(gold, metrics=()), plan)


def test_order_of_entries_changes_no_bit() -> None:
    golds = [entry("edge loss", name="A"), entry("node mixing λ", name="B"), entry("graph encoder (GE)", name="C")]
    plans = [swap("GE depth", "2"), swap("loss on edges", "none"), swap("weight λ", "0.1")]
    found = features(golds, plans, None).values
    for seed in range(5):
        rows, columns = (random.Random(seed + k).sample(range(3), 3) for k in (0, 50))
        shuffled = features([golds[at] for at in rows], [plans[at] for at in columns], None).values
        assert np.array_equal(found[np.ix_(rows, columns)], shuffled)


def test_segments_of_very_different_lengths_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are folded in two ways, by how uneven the segments are; both give the same bits."""
    long = " ".join(f"word{number}" for number in range(300))
    golds = [entry("edge loss"), swap("encoder", long, "gated pooling"), entry("node mixing", name="mixing of word7")]
    plans = [swap("loss on edges", "none"), swap("graph encoder", "pooling, gated", long), entry("weights of nodes")]
    found = features(golds, plans, None).values
    for filling in (0, 10**9):
        monkeypatch.setattr(coverage, "FILLING", filling)
        assert np.array_equal(features(golds, plans, None).values, found)


def test_lists_that_are_computed_together_change_no_bit_of_each_other() -> None:
    golds = [
        [entry("edge loss"), entry("node mixing λ", name="B")],
        [entry(""), swap("graph encoder (GE)", "GIN", "2")],
    ]
    plans = [
        [swap("GE depth", "2"), entry("")],
        [swap("loss on edges", "none", "plain, gated pooling"), entry("KD loss")],
    ]
    lists = [(gold, plan) for gold in golds for plan in plans]
    together = batch_features(lists, None)
    for index, (gold, plan) in enumerate(lists):
        alone = features(gold, plan, None)
        assert np.array_equal(together.values[index], alone.values)
        assert np.array_equal(together.needs[index], alone.needs)


def test_only_lists_of_one_length_are_computed_together_and_long_ones_alone() -> None:
    one, two, long = [entry("a")], [entry("a"), entry("b")], [entry("a " * 2000)]
    assert sorted(alike([(one, two), (two, one), (one, two), (one, []), (long, two)])) == [[0, 2], [1], [3], [4]]
    many = [([entry("a")] * 8, [entry("b")] * 8)] * (PAIRS_TOGETHER // 64 + 1)
    assert list(map(len, alike(many))) == [PAIRS_TOGETHER // 64, 1]


@pytest.mark.parametrize(
    ("gold", "plan"),
    [
        ([], []),
        ([entry("x")], []),
        ([entry("")], [entry("", "REPLACE", [""])]),
        ([entry("", None)], [entry("?", None, [""])]),
    ],
)
def test_little_or_nothing_is_no_error(gold: list[Ablation], plan: list[Ablation]) -> None:
    found = features(gold, plan, None)
    assert found.values.shape == (len(gold), len(plan), len(found.names))
    assert np.isfinite(found.values).all()


def test_match_is_never_likelier_than_part() -> None:
    golds, plans = [entry("a gate"), swap("b gate", "c")], [entry("gate", None), entry("gates", "ADD", ["d"])]
    part, match = probabilities(features(golds, plans, None), shipped())
    assert (match <= part).all()


def test_missing_vectors_are_named() -> None:
    with pytest.raises(InputError, match="needs an embedding model; give one"):
        probabilities(features([entry("gate")], [entry("gate")], None), shipped("hybrid"))


# What is told.


def test_every_feature_has_a_description_and_a_reason() -> None:
    assert {feature.reason for feature in FEATURES.values()} == set(REASONS)
    assert len({feature.description for feature in FEATURES.values()}) == len(FEATURES)
    assert set(WORDING) <= set(FEATURES)


def explained(gold: Ablation, plan: Ablation, *others: Ablation) -> tuple[list[str], list[str]]:
    """What speaks for and what against the first pair."""
    (found,) = explain(features([gold], [plan, *others], None), shipped(), [(0, 0)])
    assert all(abs(weight) >= NOTICED for _, weight in found)
    assert [abs(weight) for _, weight in found if weight > 0] == sorted((w for _, w in found if w > 0), reverse=True)
    return [answer for answer, weight in found if weight > 0], [answer for answer, weight in found if weight < 0]


def test_reasons_are_true_of_their_pair() -> None:
    speaks_for, against = explained(entry("memory bank"), entry("memory bank"), entry("warmup steps"))
    assert {"the parts say much the same", "name, part and options together are alike"} <= set(speaks_for)
    assert len(speaks_for) <= 3
    assert not {"the parts say different things", "one of them is closer to another entry"} & set(against)
    speaks_for, against = explained(entry("memory bank"), swap("memory bank", "a recurrent cell"))
    assert "the parts say much the same" in speaks_for
    assert "one removes it, the other puts something in its place" in against
    speaks_for, against = explained(entry("memory bank"), entry("warmup steps"), entry("memory bank"))
    assert {"the parts say different things", "one of them is closer to another entry"} <= set(against)
    assert "the parts say much the same" not in speaks_for


@pytest.mark.parametrize(
    ("reason", "shown", "speaks_for", "against"),
    [
        # By how much the pair shows of it; what would not be true of it is not said.
        ("parts", {"word.part>part.mean": 1.0}, "the parts say much the same", ""),
        ("parts", {"word.part>part.mean": 0.6}, "the parts say much the same", "the parts differ in some words"),
        ("parts", {"word.part>part.mean": 0.5}, "the parts are somewhat alike", "the parts differ in some words"),
        ("parts", {"word.part>part.mean": 0.35}, "the parts are somewhat alike", "the parts say different things"),
        ("parts", {"word.part>part.mean": 0.34}, "", "the parts say different things"),
        ("entries", {"word.all>all.mean": 0.7}, "name, part and options together are alike",
         "name, part and options together differ in some words"),
        ("entries", {"word.all>all.mean": 0.4}, "name, part and options together are somewhat alike",
         "name, part and options together are unlike"),
        ("entries", {}, "", "name, part and options together are unlike"),
        ("rivals", {"word.title>title.first": 0.0}, "neither is closer to another entry", ""),
        ("rivals", {"word.title>title.first": -0.1}, "", "one of them is closer to another entry"),
        ("changes", {"act.same": 1.0}, "both remove", ""),
        ("changes", {"act.both replace": 1.0, "options.shared": 0.4}, "their options agree", "their options differ"),
        ("changes", {"act.both replace": 1.0, "options.shared": 0.1}, "", "their options differ"),
        ("changes", {"act.both replace": 1.0, "options.shared": 0.5}, "their options agree",
         "their options agree only in part"),
        ("changes", {"act.both replace": 1.0, "options.shared": 1.0}, "their options agree", ""),
        ("changes", {"act.remove replace": 1.0, "act.remove none": 1.0, "act.remove fixed": 1.0},
         "one removes it, and an option of the other speaks of removing",
         "one removes it, the other puts something in its place"),
        ("changes", {"act.remove replace": 1.0, "act.remove plain": 1.0},
         "one removes it, and an option of the other is a plain one",
         "one removes it, the other puts something in its place"),
        ("changes", {"act.remove replace": 1.0}, "", "one removes it, the other puts something in its place"),
        ("changes", {"act.add": 1.0}, "", "one of them adds something, as few matches do"),
        ("changes", {}, "", ""),
        ("aspects", {"aspect.a loss.both": 1.0, "aspect.data.one": 1.0}, "both are about a loss",
         "only one is about data"),
        ("aspects", {}, "", ""),
        ("lists", {}, "", ""),
    ],
)  # fmt: skip
def test_reasons_in_words(reason: str, shown: dict[str, float], speaks_for: str, against: str) -> None:
    seen = [shown.get(name, 0.0) for name in WORDING]
    assert reason_text(reason, seen, supports=True) == speaks_for
    assert reason_text(reason, seen, supports=False) == against


def test_with_vectors_words_of_one_meaning_are_no_different_things() -> None:
    """Spelling finds nothing of "picture" in "image"; the reason goes by the feature that sees meaning."""
    assert set(BY_MEANING) <= set(WORDING)
    assert set(BY_MEANING.values()) <= set(FEATURES)
    vectors = find_encoder_here("static").encode(needs([entry("picture crop")], [entry("image crops")]))
    by_vectors = features([entry("picture crop")], [entry("image crops")], vectors)
    calibration = shipped("hybrid")
    meaning = by_vectors.values[0, 0, by_vectors.names.index("meaning.part>part.mean")]
    spelling = by_vectors.values[0, 0, by_vectors.names.index("word.part>part.mean")]
    assert spelling < 0.6 <= meaning
    (found,) = explain(by_vectors, calibration, [(0, 0)])
    assert "the parts say much the same" in [text for text, _ in found]


def test_a_calibration_of_another_version_is_refused() -> None:
    table = json.loads((SHIPPED / "lexical.json").read_text(encoding="utf-8"))
    table["models"]["part"]["weights"]["word.shoe size"] = 1.0
    with pytest.raises(InputError, match="shoe size"):
        load_calibration(json.dumps(table), "old.json")


# With the shipped table, and with the real model.


@pytest.fixture(scope="module")
def encoder() -> ContextualEncoder:
    try:
        return ContextualEncoder.find(MINILM, offline=True)
    except ModelError as error:
        pytest.skip(str(error))


GOLD = [
    entry(INJECTION),
    swap(INJECTION, "regular attention"),
    entry("CS attention"),
    swap("weight λ of the KD loss", "0.1", "1"),
]
PLAN = [
    swap(INJECTION, "standard attention mechanism", "no attention injection"),
    swap("temporal attention in consistent-sparse attention", "spatial attention"),
    swap("coefficient of knowledge distillation", "0.1", "0.5", name="Balance"),
    swap("memory bank", "a recurrent cell"),
]


REAL = ("hybrid", "embedding", "hybrid-minilm")


@cache
def real(calibration: str) -> Vectors:
    """Vectors of all examples, by the model that this calibration was fitted with."""
    texts = needs([*GOLD, *(gold for gold, _, _ in EXAMPLES)], [*PLAN, *(plan for _, plan, _ in EXAMPLES)])
    try:
        return find_encoder_here(MINILM if calibration == "hybrid-minilm" else "static").encode(texts)
    except ModelError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("gold", "plan", "expected"), EXAMPLES)
@pytest.mark.parametrize("name", REAL)
def test_examples_with_real_vectors(name: str, gold: Ablation, plan: Ablation, expected: bool) -> None:
    assert (chances(gold, plan, name, real(name))[1] >= shipped(name).thresholds.match) is expected


@pytest.mark.parametrize("name", ["hybrid", "hybrid-minilm"])
def test_the_published_examples_in_one_list(name: str) -> None:
    _, match = probabilities(features(GOLD, PLAN, real(name)), shipped(name))
    answer = match >= shipped(name).thresholds.match
    assert answer[:, 0].tolist() == [True, True, False, False]
    assert answer[2].tolist() == [False] * 4
    assert answer[3].tolist() == [False, False, True, False]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_neighbours_and_reruns_change_no_bit(batch: int, threads: int, encoder: ContextualEncoder) -> None:
    vectors = real("hybrid-minilm")
    texts = [*vectors, *(f"{text} number {at}" for at in range(12) for text in list(vectors)[:3])]
    random.Random(batch).shuffle(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contextual, "_idle_threads", lambda _: threads)
        again = ContextualEncoder(encoder.folder, encoder.name, batch).encode(texts)
    for text, known in vectors.items():
        assert np.array_equal(again[text].words, known.words), text
        assert np.array_equal(again[text].sentence, known.sentence), text


@pytest.mark.slow
def test_numpy_and_torch_give_the_same_vectors(encoder: ContextualEncoder) -> None:
    """The model as its authors run it: a component in a thousand may fall on the next step of the grid."""
    vectors = real("hybrid-minilm")
    reference = ContextualEncoder.find(f"{MINILM}", offline=True, prefix="sentence-transformers:")
    assert reference.fingerprint == f"sentence-transformers:{encoder.fingerprint}"
    expected = reference.encode(list(vectors))
    steps = [
        np.abs(np.rint((own.words - expected[text].words) * GRID)).ravel()
        for text, own in vectors.items()
    ] + [np.abs(np.rint((own.sentence - expected[text].sentence) * GRID)) for text, own in vectors.items()]  # fmt: skip
    differences = np.concatenate(steps)
    assert len(differences) > 10_000
    assert differences.max() <= 1
    assert (differences > 0).mean() < 0.001


def test_minilm_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom evalkit.matching.embeddings import find_encoder_here\n"
        f"find_encoder_here({MINILM!r}).encode(['a gate'])\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", REAL)
def test_shuffled_entries_with_real_vectors_change_no_bit(name: str) -> None:
    expected = probabilities(features(GOLD, PLAN, real(name)), shipped(name))
    for seed in range(8):
        rows, columns = (random.Random(seed + k).sample(range(4), 4) for k in (0, 50))
        found = probabilities(
            features([GOLD[at] for at in rows], [PLAN[at] for at in columns], real(name)), shipped(name)
        )
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one[np.ix_(rows, columns)], other)


@pytest.mark.slow
def test_processes_that_encode_for_themselves_change_no_bit(encoder: ContextualEncoder) -> None:
    golds = [Plan(f"paper-{at}", None, (GOLD[at], GOLD[3])) for at in range(3)]
    plans = [Plan(gold.paper, f"lab/{who}", tuple(PLAN[who:])) for gold in golds for who in range(3)]
    settings = Settings(model=encoder.name, resamples=0)
    here = score_run(plans, golds, settings).pairs
    with open_executor("processes", 2) as where:
        there = score_run(plans, golds, settings, executor=where).pairs
    assert here.equals(there)
