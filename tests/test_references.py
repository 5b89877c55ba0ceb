"""The shipped references: the README's table is the files, and the files are clean gold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REFERENCES = Path(__file__).resolve().parent.parent / "references"
SAMPLE = REFERENCES.parent / "evalkit" / "sample" / "plans" / "sample-planner"
FILES = sorted(REFERENCES.glob("*.json"))
ACTIONS = {"REMOVE", "REPLACE", "ADD"}
CONFIDENCES = {"high", "medium", "low"}


def test_there_are_at_least_sixteen() -> None:
    assert len(FILES) >= 16


def test_the_readme_table_agrees_with_the_files() -> None:
    lines = (REFERENCES / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    expected = []
    for path in FILES:
        gold = json.loads(path.read_text(encoding="utf-8"))
        entries = str(len(gold["ablations"]))
        expected.append([f"`{gold['paper']}`", gold["title"], gold["source"], gold["confidence"], entries])
    assert rows == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_gold_file_is_as_the_readme_says(path: Path) -> None:
    gold = json.loads(path.read_text(encoding="utf-8"))
    assert gold["paper"] == path.stem
    assert gold["title"]
    assert gold["source"]
    assert gold["confidence"] in CONFIDENCES
    names = [entry["name"] for entry in gold["ablations"]]
    assert names
    assert len(set(names)) == len(names)
    for entry in gold["ablations"]:
        assert set(entry) <= {"name", "ablated_part", "action", "replacement", "metrics"}
        assert entry["ablated_part"]
        assert entry.get("action", "REMOVE") in ACTIONS
        # Options belong to REPLACE and ADD, and are there when one of them is.
        assert bool(entry.get("replacement")) == (entry.get("action") in {"REPLACE", "ADD"})


def test_the_sample_covers_references_and_leaves_one_out() -> None:
    careful = {path.stem for path in (SAMPLE / "careful").glob("*.md")}
    hasty = {path.stem for path in (SAMPLE / "hasty").glob("*.md")}
    assert len(careful) >= 8
    assert careful <= {path.stem for path in FILES}
    assert hasty < careful
    assert len(careful - hasty) == 1


@pytest.mark.parametrize("planner", ["careful", "hasty"])
def test_a_sample_plan_names_itself(planner: str) -> None:
    for path in (SAMPLE / planner).glob("*.md"):
        assert path.read_text(encoding="utf-8").startswith(f"# sample-planner/{planner}/{path.stem}\n")
