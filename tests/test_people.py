"""The matcher beside people: the 32 pairs that the authors of AblationBench labelled in public.

Two worked examples (the prompt of their judge, the figure of their site), from the repositories
ai-scientist-bench/ablation-bench and ablation-bench.github.io, MIT licence.
Only full matches were labelled, five of the 32.
"""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from evalkit.cli import group
from evalkit.labels import agree_with
from evalkit.settings import Settings

PAIRS = Path(__file__).parent / "data" / "people" / "ablationbench.jsonl"


def test_the_matcher_agrees_with_people_as_their_own_judge_does() -> None:
    found = agree_with([str(PAIRS)], Settings(matcher="lexical"))
    assert (found["rows"], found["pairs"]) == (2, 32)
    assert found["fitted_on_these_labels"] is False
    # Their best language-model judge reaches F1 0.81 on their own labels, as they report.
    assert found["match"]["f1"] >= 0.75
    assert found["match"]["kappa"] >= 0.7


def write_eval(folder: Path) -> tuple[list[str], list[str]]:
    """Write the same pairs as AblationBench lays them out: plans, gold, and `author-eval` and `reviewer-eval` files."""
    author, reviewer = [], []
    for line in PAIRS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        matched = {gold: row["plan"][plan]["name"] for gold, plan in row["match"]}
        rows = [{"name_in_paper": entry["name"], "name_in_plan": matched.get(index)}
                for index, entry in enumerate(row["gold"])]  # fmt: skip
        identity = f"{row['planner']}/{row['paper']}"
        author.append({"id": identity, "labels": "\n".join(map(json.dumps, rows))})
        asked = [{"name_in_plan": entry["name"], "appears_in_review": False} for entry in row["plan"]]
        reviewer.append({"id": identity, "labels": "\n".join(map(json.dumps, asked))})
        for name, entries in ((f"plans/{row['planner']}", row["plan"]), ("gold", row["gold"])):
            path = folder / name / f"{row['paper']}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    for name, lines in (("author-eval", author), ("reviewer-eval", reviewer)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    plans = ["--pred", str(folder / "plans"), "--gold", str(folder / "gold"), "--matcher", "lexical"]
    return ["agree", "--judgements", str(folder / "author-eval.jsonl"), *plans], plans


def test_the_benchmarks_own_files_measure_the_matcher_against_people(tmp_path: Path) -> None:
    command, plans = write_eval(tmp_path)
    document = json.loads(CliRunner().invoke(group, [*command, "--json"], catch_exceptions=False).stdout)
    own = agree_with([str(PAIRS)], Settings(matcher="lexical"))
    assert document["matcher"]["match"] == own["match"]  # the same labels, in another layout
    assert (document["matcher"]["pairs"], document["judges"]["author-eval.jsonl"]["matched"]) == (32, 5)
    shown = CliRunner().invoke(group, command, catch_exceptions=False).output
    assert "the matcher against this judge" in shown
    asked = ["agree", "--judgements", str(tmp_path / "reviewer-eval.jsonl"), *plans]
    shown = CliRunner().invoke(group, asked, catch_exceptions=False).output
    assert "the matcher is not compared" in shown
