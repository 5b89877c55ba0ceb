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
from evalkit.errors import InputError
from evalkit.labels.measured_judge import LabelledPair, position, share
from evalkit.stats import Share, corrected_rate, design_effect, wilson
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
    assert share([]) == {"pairs": 0, "effective_pairs": 0, "value": None, "low": None, "high": None}


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


def test_a_rate_is_corrected_by_what_the_judge_errs() -> None:
    """Half of 100 called matches at 0.9 and 0.8 are (0.5 + 0.8 - 1) / (0.9 + 0.8 - 1) = 3/7 matches."""
    value, low, high = corrected_rate(Share(0.5, 100), Share(0.9, 100), Share(0.8, 100)) or (0.0, 0.0, 0.0)
    assert value == pytest.approx(3 / 7)
    z2 = 1.959963984540054**2
    p, yes, no = (50 + z2 / 2) / (100 + z2), 91 / 102, 81 / 102
    of_p, of_yes, of_no = p * (1 - p) / (100 + z2), yes * (1 - yes) / 102, no * (1 - no) / 102
    for end in (low, high):  # where the distance is just as large as 1.96 standard errors
        distance = p - end * yes - (1 - end) * (1 - no)
        assert distance**2 == pytest.approx(z2 * (of_p + end**2 * of_yes + (1 - end) ** 2 * of_no))
    assert low < value < high


def test_with_endless_labels_only_the_rate_is_uncertain() -> None:
    """Then the ends are those of Agresti and Coull, taken through the same line."""
    found = corrected_rate(Share(0.3, 100), Share(0.9, 1e13), Share(0.8, 1e13))
    ends = proportion_confint(30, 100, method="agresti_coull")
    assert found == pytest.approx((1 / 7, *((end - 0.2) / 0.7 for end in ends)))


@pytest.mark.parametrize(
    ("rate", "sensitivity", "specificity", "expected"),
    [
        (0.3, (0.5, 50), (0.5, 50), None),  # a coin
        (0.3, (0.2, 50), (0.7, 50), None),  # worse than a coin
        (0.0, (0.6, 3), (0.6, 3), (0.0, 0.0, 1.0)),  # three labels do not tell it from a coin
        (1.0, (0.9, 1e13), (0.9, 1e13), (1.0, None, 1.0)),
    ],
)
def test_rates_that_say_little(
    rate: float, sensitivity: tuple[float, float], specificity: tuple[float, float], expected: Any
) -> None:
    found = corrected_rate(Share(rate, 100), Share(*sensitivity), Share(*specificity))
    if expected is None or found is None:
        assert found is expected is None
    else:
        assert all(own is None or value == own for value, own in zip(found, expected, strict=True))


def judged_run(tmp_path: Path, url: str, *more: str) -> None:
    """Two planners, whose every pair the judge decided: 9 pairs of each of 4 papers, and 3 of one."""
    entries = [{"name": part, "ablated_part": part, "action": "REMOVE"} for part in PARTS]
    for paper in "efgh":
        for place, rows in (("plans/x", entries), ("plans/y", entries[1:2]), ("gold", entries)):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / f"{paper}.json").write_text(json.dumps(rows), encoding="utf-8")
    words = ["score", "--pred", str(tmp_path / "plans"), "--gold", str(tmp_path / "gold"), "--matcher", "lexical",
             "--judge", "m", "--judge-url", url, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "run"),
             "--resamples", "0", *more]  # fmt: skip
    done = CliRunner().invoke(group, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_the_share_of_matches_in_a_run_is_corrected(tmp_path: Path) -> None:
    """The judge finds loss-loss, norm-norm and both of loss with norm: 4 of 9, of which 3 are (4/9 + 2/3 - 1) / (1/3).

    Planner y has loss only, which three gold entries meet; the judge finds 2 of 3, which are (2/3 + 2/3 - 1) / (1/3).
    """
    with serving(JudgeServer(decide=lenient)) as url:
        judged_run(tmp_path, url, "--judge-all")
    facts = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["judge"]
    assert facts["planners"] == {
        "x": {"decided": 36, "matches": 16, "design_effect": 1.0},
        "y": {"decided": 12, "matches": 8, "design_effect": 1.0},
    }
    result, _ = measured(tmp_path, lenient, "--json", "--run", str(tmp_path / "run"))
    run = result["run"]
    assert (run["pairs"], run["reason"]) == ("all", "")
    x, y = run["planners"]
    assert (x["planner"], x["rate"], x["corrected"]) == ("x", pytest.approx(4 / 9), pytest.approx(1 / 3))
    assert (y["planner"], y["rate"], y["corrected"]) == ("y", pytest.approx(2 / 3), 1.0)
    assert 0 <= x["low"] < 1 / 3 < x["high"] <= 1
    assert (run["all"]["decided"], run["all"]["matches"]) == (36, 16)  # the questions of y are among those of x
    text, _ = measured(tmp_path, lenient, "--run", str(tmp_path / "run"))
    words = " ".join(text.split())
    assert "all pairs that the judge decided, by sensitivity and specificity on such" in words
    assert "│ 16 │ 0.444 │ 0.333 [" in words.replace("|", "│")


def test_a_judge_that_is_no_better_than_a_coin_corrects_nothing(tmp_path: Path) -> None:
    def yes(one: Entry, other: Entry) -> tuple[bool, bool]:
        return True, True

    with serving(JudgeServer(decide=yes)) as url:
        judged_run(tmp_path, url, "--judge-all")
    result, _ = measured(tmp_path, yes, "--json", "--run", str(tmp_path / "run"))
    assert result["run"]["reason"].startswith("sensitivity and specificity add up to no more than 1")
    assert [row["corrected"] for row in result["run"]["planners"]] == [None, None]
    text, _ = measured(tmp_path, yes, "--run", str(tmp_path / "run"))
    assert "not corrected: sensitivity and specificity add up" in text


def test_a_run_of_another_judge_or_matcher_is_refused(tmp_path: Path) -> None:
    with serving(JudgeServer(decide=lenient)) as url:
        judged_run(tmp_path, url, "--judge-all")
        path = str(labels(tmp_path))
        words = ["agree", "--labels", path, "--judge-url", url, "--cache", str(tmp_path / "cache"),
                 "--run", str(tmp_path / "run")]  # fmt: skip
        for more, why in (
            (["--judge", "other", "--matcher", "lexical"], "the judge of this run is m@"),
            (["--judge", "m"], "chose the pairs of this run"),
            ([], "--run is corrected by what a --judge errs"),
        ):
            done = CliRunner().invoke(group, [*words, *more])
            assert done.exit_code == 2 or isinstance(done.exception, InputError)
            assert why in done.output + str(done.exception)
        meta = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
        for change, why in (({"planners": None}, "score it again"), (None, "no judge decided anything")):
            changed = {name: value for name, value in meta.items() if name != "judge"}
            if change:
                changed["judge"] = {name: value for name, value in meta["judge"].items() if name not in change}
            (tmp_path / "run" / "run.json").write_text(json.dumps(changed), encoding="utf-8")
            done = CliRunner().invoke(group, [*words, "--judge", "m", "--matcher", "lexical"])
            assert isinstance(done.exception, InputError)
            assert why in str(done.exception)
