"""What a plan leaves out never helps it: the rules that hold before any model is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conftest import entry
from hypothesis import given
from hypothesis import strategies as st

from evalkit import Ablation, Action, Plan, Scorer, Settings
from evalkit.matching.rules import MOST_OPTIONS, Need, gold_as_read, needs_of, plan_as_read, unnamed

REMOVE, OPEN, OPEN_ADD = entry("x"), entry("x", "REPLACE"), entry("x", "ADD")
REPLACE, ADD, ANY = entry("x", "REPLACE", ["y"]), entry("x", "ADD", ["y"]), entry("x", None)
ANY_OPTIONS = entry("x", None, ["y"])


@pytest.mark.parametrize(
    ("gold", "needs"),
    [
        # The plan's entry: removes, replaces, adds; replaces and adds without options; names no action.
        (REMOVE, [Need.NOTHING, Need.REMOVAL, Need.IMPOSSIBLE, Need.IMPOSSIBLE, Need.IMPOSSIBLE, Need.IMPOSSIBLE]),
        (REPLACE, [Need.REMOVAL, Need.OVERLAP, Need.OVERLAP, Need.IMPOSSIBLE, Need.IMPOSSIBLE, Need.IMPOSSIBLE]),
        (ADD, [Need.IMPOSSIBLE, Need.OVERLAP, Need.OVERLAP, Need.IMPOSSIBLE, Need.IMPOSSIBLE, Need.IMPOSSIBLE]),
        # Gold that names no options agrees with any option of the same action.
        (OPEN, [Need.IMPOSSIBLE, Need.NOTHING, Need.IMPOSSIBLE, Need.NOTHING, Need.IMPOSSIBLE, Need.IMPOSSIBLE]),
        (OPEN_ADD, [Need.IMPOSSIBLE, Need.IMPOSSIBLE, Need.NOTHING, Need.IMPOSSIBLE, Need.NOTHING, Need.IMPOSSIBLE]),
        # Gold that names no action agrees with every action; its options it names all the same.
        (ANY, [Need.NOTHING] * 6),
        (ANY_OPTIONS, [Need.NOTHING, Need.OVERLAP, Need.OVERLAP, Need.IMPOSSIBLE, Need.IMPOSSIBLE, Need.IMPOSSIBLE]),
    ],
)
def test_what_two_entries_need(gold: Ablation, needs: list[Need]) -> None:
    assert needs_of([gold], (REMOVE, REPLACE, ADD, OPEN, OPEN_ADD, ANY)).tolist() == [needs]


def test_a_name_that_counts_or_repeats_the_part_is_none() -> None:
    """Gold's entries may be without a name; a plan's entry is doubted for it, whatever gold's is."""
    names = ["", "Ablation 2", "Gate ", "Remove the gate"]
    plan = plan_as_read([Ablation(name, "gate", Action.REMOVE) for name in names])
    assert unnamed([entry("gate"), entry("head")], plan).tolist() == [[True, True, True, False]] * 2


def options(*lists: list[str]) -> list[tuple[str, ...]]:
    """The options that are read of a plan with these lists."""
    return [
        one.replacements for one in plan_as_read([entry(f"part {n}", "REPLACE", own) for n, own in enumerate(lists)])
    ]


@pytest.mark.parametrize(
    ("lists", "read"),
    [
        # One list says what it says; two that repeat an option do not mean it, whatever its case.
        ([["a", "none"]], [("a", "none")]),
        ([["a", "none"], ["b", "None"]], [("a",), ("b",)]),
        ([["a", "same"], ["b", "same"], ["c"], ["d"]], [("a", "same"), ("b", "same"), ("c",), ("d",)]),
        ([["a", "same"], ["b", "same"], ["c", "same"], ["d"]], [("a",), ("b",), ("c",), ("d",)]),
        # The last option stays; so do numbers of a sweep, but not a number among words.
        ([["none"], ["none"]], [("none",), ("none",)]),
        ([["0", "0.1"], ["0", "0.5"]], [("0", "0.1"), ("0", "0.5")]),
        ([["a", "b", "0"], ["c", "d", "0"]], [("a", "b"), ("c", "d")]),
        # Removal in other words for each part is removal everywhere; "only" keeps some of it.
        ([["a", "without gate"], ["b", "no loss"]], [("a",), ("b",)]),
        ([["a", "no text, only image"], ["b", "no loss"]], [("a", "no text, only image"), ("b", "no loss")]),
    ],
)
def test_what_a_plan_says_everywhere_it_says_nowhere(lists: list[list[str]], read: list[tuple[str, ...]]) -> None:
    assert options(*lists) == read


def test_a_list_of_everything_proposes_nothing() -> None:
    words = [f"option {'abcdefghijklmnopqrstuvwxyz'[n]}" for n in range(MOST_OPTIONS + 1)]
    assert options(words) == [()]
    assert options(words[1:]) == [tuple(words[1:])]
    assert options([str(n) for n in range(30)]) == [tuple(str(n) for n in range(30))]


def test_what_is_no_part_of_an_entry_is_not_read() -> None:
    named = entry("gate", "REMOVE", ["relu"], name="Ablation Study 3")
    assert gold_as_read([named]) == plan_as_read([named]) == (entry("gate", name="gate"),)


# On whole plans, through the shipped matcher.


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(Settings(matcher="lexical"), cache=None)


GOLD = Plan(
    "p",
    None,
    (
        entry("gating module"),
        entry("contrastive loss", "REPLACE", ["cross-entropy loss", "triplet loss"]),
        entry("number of layers", "REPLACE", ["2", "4", "8"]),
        entry("data augmentation", "REMOVE"),
    ),
)
PARTS = (
    "gating module",
    "contrastive loss",
    "number of layers",
    "data augmentation",
    "optimizer",
    "weight of the loss",
)
entries = st.builds(
    entry,
    st.sampled_from(PARTS),
    st.sampled_from(["REMOVE", "REPLACE", "ADD"]),
    st.lists(
        st.sampled_from(["none", "2", "4", "cross-entropy loss", "no gate", "a plain one"]), max_size=3, unique=True
    ),
    name=st.sampled_from(["Effect of gating", "Ablation 1", "Loss study", ""]),
)


@given(st.lists(entries, min_size=1, max_size=5), st.sampled_from(["action", "replacements", "both"]))
def test_no_deletion_makes_a_full_match(scorer: Scorer, plan: list[Ablation], field: str) -> None:
    gone: dict[str, Any] = {"action": {"action": None}, "replacements": {"replacements": ()}}
    gone["both"] = gone["action"] | gone["replacements"]
    less = [replace(one, **gone[field]) for one in plan]
    for one in less:
        scored = scorer.score(Plan("p", "x", (one,)), GOLD)
        if one.action is None or (one.action != "REMOVE" and not one.replacements):
            assert scored.score.counts.match_gold == 0


def test_an_action_that_is_not_known_is_no_full_match(scorer: Scorer) -> None:
    text = '{"ablations": [{"name": "a", "ablated_part": "gating module", "action": "%s", "metrics": ["m"]}]}'
    right, wrong = (scorer.reward(text % action, GOLD) for action in ("REMOVE", "REMVE"))
    assert (float(right), float(wrong)) == (2 / 5, 0)
    assert wrong.scored is not None
    assert wrong.scored.score.counts.part_gold == 1
