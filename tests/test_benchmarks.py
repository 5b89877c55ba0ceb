"""Other benchmarks' files, made here in their documented shapes: what is an entry, and what stays unspecified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.formats import parse_document, recognise
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.types import Ablation, Action, Document, Plan

FIXTURES = Path(__file__).parent / "data" / "parsing"
WHAT = "What experiments do you suggest doing?"


def read(text: str, paper: str | None = "file", *, gold: bool = True) -> list[Plan]:
    return list(parse_document(Document("p", text, None if gold else "someone", paper), gold=gold))


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def test_modules_of_abgen_are_the_parts_of_their_papers_gold() -> None:
    one, two = read(fixture("abgen-examples.json"))
    assert (one.paper, two.paper) == ("2401.00001", "2401.00002")
    assert one.ablations == (Ablation("contrastive loss", "contrastive loss"), Ablation("gating", "gating"))
    assert [entry.source for entry in one.ablations] == [
        "Find out what the contrastive loss adds.", "See whether gating matters."
    ]  # fmt: skip
    assert dict(one.about) == {"title": "A Made Paper"}
    assert not [*one.diagnostics, *two.diagnostics]


def test_experts_experiments_of_aaar_are_gold_and_the_models_a_plan() -> None:
    (gold,) = read(fixture("aaar-experiments.json"))
    assert (gold.paper, gold.planner) == ("2402.00003", None)
    assert [(e.name, e.part, e.action, e.replacements, e.metrics, e.source) for e in gold.ablations] == [
        (text, text, None, (), (), why)
        for text, why in [("Remove the memory module and compare.", "To see what memory adds."),
                          ("Vary the context length.", "To see where it breaks.")]
    ]  # fmt: skip
    (plan,) = read(fixture("aaar-experiments.json"), gold=False)
    assert (plan.paper, plan.planner) == ("2402.00003", "some-model")
    assert [(entry.name, entry.source) for entry in plan.ablations] == [
        ("Compare with a baseline without memory.", "To isolate memory."), ("Test on noisy input.", ""),
        ("Time it.", ""),
    ]  # fmt: skip
    assert {item.code for item in plan.diagnostics} == {"action-missing", "metrics-missing"}


def test_a_list_of_aaar_alone_is_read_under_the_name_of_its_file() -> None:
    (plan,) = read(json.dumps({WHAT: ["Drop the encoder."]}), "paper-a", gold=False)
    assert (plan.paper, plan.planner) == ("paper-a", "someone")
    assert plan.ablations == (Ablation("Drop the encoder.", "Drop the encoder."),)


def test_each_factor_of_exp_bench_is_a_replace_by_its_options() -> None:
    one, two, three = read(fixture("exp-bench-questions.json"), "93022_complete_final")
    assert (one.paper, two.paper, three.paper) == ("93022_0", "93022_1", "93022_2")
    assert ([*two.ablations], [item.code for item in two.diagnostics]) == ([], ["no-entries"])
    metrics = ("test accuracy", "time")
    assert one.ablations == (
        Ablation("loss function", "loss function", Action.REPLACE, ("cross entropy", "focal"), metrics),
        Ablation("batch size", "batch size", Action.REPLACE, ("256",), metrics),
    )
    assert three.ablations == (Ablation("depth", "depth", Action.REPLACE, ("12", "24")),)
    assert not [*one.diagnostics, *three.diagnostics]


DESIGN: dict[str, Any] = {"independent_variables": {"depth": ["12"]}}


@pytest.mark.parametrize(
    ("tree", "paper"),
    [
        ({"paper_id": 17388, "task_index": 4, "design": json.dumps(DESIGN)}, "17388_4"),  # a row of the table
        ({"paper_id": "17388", "task_index": 4, "design": DESIGN}, "17388_4"),
        ({"design": DESIGN, "conclusion": "It does."}, "file"),  # an agent's answer
        (DESIGN, "file"),
    ],
)
def test_a_design_is_read_from_a_row_an_answer_and_alone(tree: Any, paper: str) -> None:
    for text in (json.dumps(tree), json.dumps(tree) + "\n" + json.dumps({**tree, "task_index": 5})):
        plans = read(text)
        assert plans[0].paper == paper
        assert plans[0].ablations[0] == Ablation("depth", "depth", Action.REPLACE, ("12",))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"ablation_study": "x", "module_name": "y"}', "abgen"),
        (json.dumps({"ablations": [{"name": "n", "ablated_part": WHAT, "action": "ADD"}], WHAT: 3}), "aaar"),
        (json.dumps([{"name": "independent_variables", "ablated_part": "p", "action": "REMOVE"}]), "exp-bench"),
        ('{"independent_variables": [1], "design": ["x"], "questions": [3]}', "exp-bench"),
        ('{"design": "{{{{", "ablation_study": {"module_name": {}}, "independent_variables": null}', "abgen"),
    ],
)
def test_json_with_a_benchmarks_words_and_another_shape_is_read_as_json(text: str, name: str) -> None:
    for gold in (True, False):
        plain = parse_document(Document("p", text, "a", "file"), gold=gold, format_name="json")
        assert [plan.ablations for plan in read(text, gold=gold)] == [plan.ablations for plan in plain]
    recognised = recognise(text)
    assert recognised is not None
    assert recognised.name == name


def test_aaars_results_are_scored_against_the_experts(tmp_path: Path) -> None:
    """The folder of a paper gives it no planner: the file names the model and the paper."""
    for paper in ("2402.00003", "2402.00004"):
        tree = json.loads(fixture("aaar-experiments.json")) | {"id": paper}
        tree["predicton"][WHAT][0] = tree["output"][WHAT][0]
        given = {"id": paper, "input": ["text"], "output": tree["output"]}
        for place, content in [(f"final_data/{paper}/data_text.json", given),
                               (f"eval_results/some-model-1000---2024/{paper}/eval_results.json", tree)]:  # fmt: skip
            (tmp_path / place).parent.mkdir(parents=True)
            (tmp_path / place).write_text(json.dumps(content), encoding="utf-8")
    run = score_run(tmp_path / "eval_results", tmp_path / "final_data", Settings(matcher="lexical", resamples=0))
    (row,) = run.leaderboard.to_dict("records")
    assert (row["planner"], row["match_recall"], row["papers"]) == ("some-model", 0.5, 2)
