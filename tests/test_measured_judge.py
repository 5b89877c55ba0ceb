"""A judge measured on labels: shares with intervals worked by hand or by statsmodels, and the order of the sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import entry
from judge_server import Decide, Entry, JudgeServer, pairs_in, serving
from statsmodels.stats.proportion import proportion_confint

from evalkit.cli import group
from evalkit.labels.measured_judge import LabelledPair, design_effect, position, share, wilson
from evalkit.types import Opinion, Question

PARTS = ("gate", "loss", "norm")


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (8, 10), (5, 5), (37, 80)])
def test_wilsons_interval(hits: int, n: int) -> None:
    assert wilson(hits / n, n) == pytest.approx(proportion_confint(hits, n, method="wilson"))


def test_pairs_of_one_paper_count_as_far_as_they_differ() -> None:
    """Two papers of 4 pairs, one all right and one all wrong: 2 * (2^2 + 2^2) / 8^2 beside 1/4 / 8 is 8 times."""
    one = (np.array([4.0, 0.0]), np.array([4.0, 4.0]))
    assert design_effect(*one) == pytest.approx(8)
    assert design_effect(np.array([2.0, 2.0]), one[1]) == 1
    assert design_effect(np.array([4.0, 4.0]), one[1]) == 1
    agreed = [("a", True)] * 4 + [("b", False)] * 4
    assert (share(agreed)["low"], share(agreed)["high"]) == pytest.approx(wilson(0.5, 1))
    assert share([("a", True), ("a", False)])["value"] == 0.5
    assert share([]) == {"pairs": 0, "value": None, "low": None, "high": None}


def labels(tmp_path: Path) -> Path:
    """Four papers whose labels say match where both entries have one part: 3 matches and 6 others a paper."""
    rows = []
    for paper in "abcd":
        side = [{"name": part, "ablated_part": part, "action": "REMOVE"} for part in PARTS]
        match = [[at, at] for at in range(3)]
        rows.append({"paper": paper, "planner": "x", "gold": side, "plan": side, "match": match, "same_part": match})
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def measured(tmp_path: Path, decide: Decide, *more: str) -> tuple[Any, JudgeServer]:
    judge = JudgeServer(decide=decide)
    words = ["agree", "--labels", str(labels(tmp_path)), "--matcher", "lexical", "--judge", "m"]
    with serving(judge) as url:
        words += ["--judge-url", url, "--cache", str(tmp_path / "cache"), *more]
        done = CliRunner().invoke(group, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return (json.loads(done.stdout) if "--json" in more else done.stdout), judge


def lenient(one: Entry, other: Entry) -> tuple[bool, bool]:
    """Right but for the gate, which it never matches, and loss with norm, which it always does."""
    pair = {one["name"], other["name"]}
    match = pair in ({"loss"}, {"norm"}, {"loss", "norm"})
    return match, match


def test_sensitivity_and_specificity_of_a_judge(tmp_path: Path) -> None:
    """Of 12 matches 8 are seen, of 24 others 16 are left apart; each paper has the same share."""
    result, judge = measured(tmp_path, lenient, "--json")
    found = result["agreement"]["all"]["match"]
    assert [(found[name]["pairs"], found[name]["value"]) for name in ("sensitivity", "specificity")] == [
        (12, pytest.approx(8 / 12)), (24, pytest.approx(16 / 24))
    ]  # fmt: skip
    assert found["sensitivity"]["low"] == pytest.approx(proportion_confint(8, 12, method="wilson")[0])
    assert (result["pairs"], result["answered"], result["papers"]) == (36, 36, 4)
    assert result["position"] == {
        "pairs": 36, "changed": 0, "gold_first_only": 0, "gold_second_only": 0, "p": None
    }  # fmt: skip
    first, second = (
        {(pair["id"], pair["A"]["name"], pair["B"]["name"]) for body in judge.log[at] for pair in sent(body)}
        for at in (slice(None, len(judge.log) // 2), slice(len(judge.log) // 2, None))
    )
    assert {(name, b, a) for name, a, b in first} == second  # each pair once in each order
    again, judge = measured(tmp_path, lenient, "--json")
    assert (judge.log, again["agreement"], again["spent"]) == ([], result["agreement"], "0 calls, 0 tokens")


def sent(body: dict[str, Any]) -> list[dict[str, Any]]:
    return pairs_in(body["messages"][1]["content"])


def test_the_order_of_the_sides_is_tested() -> None:
    """Eight pairs that match only with gold first: McNemar's exact p is 2 / 2^8."""
    from evalkit.judges.llm.prompts import gold_first

    questions = [Question("p", entry(f"g{at}"), entry(f"p{at}")) for at in range(10)]
    pairs = [LabelledPair(question, True, True, False) for question in questions]
    yes = {question: at < 8 and gold_first(question, 3) for at, question in enumerate(questions)}
    other = {question: at < 8 and gold_first(question, 3, swapped=True) for at, question in enumerate(questions)}
    first, second = (
        {question: Opinion(match, match, "m") for question, match in answers.items()} for answers in (yes, other)
    )
    found = position(pairs, first, second, 3)
    assert (found["pairs"], found["changed"], found["gold_first_only"], found["gold_second_only"]) == (10, 8, 8, 0)
    assert found["p"] == pytest.approx(2 / 2**8)


def test_the_command_shows_shares_and_says_what_swapping_changes(tmp_path: Path) -> None:
    text, _ = measured(tmp_path, lenient)
    words = " ".join(text.split())
    assert "m on 4 labelled plans of 4 papers: 36 of 36 pairs answered; " in words
    assert "0.667" in words
    assert "sides swapped: 0 of 36 answers change" in words


def test_a_judge_without_labels_is_refused() -> None:
    done = CliRunner().invoke(group, ["agree", "--judgements", "x", "--pred", "a", "--gold", "b", "--judge", "m"])
    assert done.exit_code == 2
    assert "--judge is measured on --labels" in done.output
