"""Labels: read, written, found again by what the entries say; what makes a correction by them doubtful."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHARED, entry, gold, plan, requires_shared_data

from evalkit.errors import InputError
from evalkit.storage.label_files import LabelledPlan, Labels, read_labels, write_labels

ROW = LabelledPlan(
    "Paper-A",
    "lab/x",
    (entry("gate"), entry("loss", "REPLACE", ["l1", "l2"], ["F1"])),
    (entry("warmup"), entry("gates")),
    match=frozenset({(0, 1)}),
    same_part=frozenset({(0, 1), (1, 0)}),
    sampling="papers 1 of 1, seed 0",
    annotator="ann",
)
GOLD, PLAN = gold(*ROW.gold, paper="paper_a"), plan(*ROW.plan, paper="paper_a", planner="lab/x")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, planner="lab/y", undecided=frozenset({(1, 1)}), sample="2")]
    (tmp_path / "labels.jsonl").write_text(write_labels(rows))
    assert [replace(row, path="") for row in read_labels([tmp_path / "labels.jsonl"])] == rows


@requires_shared_data
def test_the_shared_labels_are_read_whole() -> None:
    rows = read_labels([SHARED / "data" / "alignment" / "dev.jsonl"])
    assert (len(rows), len({row.paper for row in rows})) == (2824, 293)
    assert sum(len(row.gold) * len(row.plan) for row in rows) == 18366
    assert (sum(len(row.match) for row in rows), sum(len(row.same_part) for row in rows)) == (2141, 2749)


@pytest.mark.parametrize(
    "change", [{"match": [[0, 9]]}, {"gold": [{}]}, {"plan": "x"}, {"match": [3]}, {"paper": None}]
)
def test_a_bad_line_is_an_error_with_address(change: dict[str, object], tmp_path: Path) -> None:
    tree = {**json.loads(write_labels([ROW])), **change}
    if tree["paper"] is None:
        del tree["paper"]
    (tmp_path / "labels.jsonl").write_text(f"\n{json.dumps(tree)}\n")
    with pytest.raises(InputError, match=r"labels\.jsonl:2: expected an object with"):
        read_labels([tmp_path / "labels.jsonl"])


def test_a_row_as_tables() -> None:
    row = replace(ROW, undecided=frozenset({(1, 1)}))
    assert row.match_table.tolist() == [[False, True], [False, False]]
    assert row.part_table.tolist() == [[False, True], [True, False]]
    assert row.known_table.tolist() == [[True, True], [True, False]]


def test_tables_follow_the_entries_wherever_they_stand() -> None:
    part, match = Labels([ROW]).tables(GOLD, PLAN) or (None, None)
    assert part.tolist() == [[0, 1], [1, 0]]
    assert match.tolist() == [[0, 1], [0, 0]]
    turned = replace(PLAN, ablations=PLAN.ablations[::-1])
    part, match = Labels([ROW]).tables(GOLD, turned) or (None, None)
    assert part.tolist() == [[1, 0], [0, 1]]
    # The first entry alone, as --top-k 1 leaves it.
    part, match = Labels([ROW]).tables(GOLD, replace(PLAN, ablations=PLAN.ablations[:1])) or (None, None)
    assert part.tolist() == [[0], [1]]


def test_no_tables_for_plans_without_labels() -> None:
    labels = Labels([ROW])
    assert labels.tables(GOLD, replace(PLAN, ablations=(*PLAN.ablations, entry("new")))) is None
    assert labels.tables(GOLD, replace(PLAN, planner="lab/z")) is None
    assert labels.tables(replace(GOLD, paper="other"), PLAN) is None
    assert Labels([replace(ROW, undecided=frozenset({(0, 0)}))]).tables(GOLD, PLAN) is None
    # An empty plan of a labelled paper needs no labels: nothing matches.
    tables = labels.tables(GOLD, replace(PLAN, planner="lab/z", ablations=()))
    assert tables is not None
    assert tables[0].shape == (2, 0)


def test_equal_entries_are_taken_in_their_order() -> None:
    twins = replace(ROW, plan=(entry("gate"), entry("gate")), match=frozenset({(0, 1)}), same_part=frozenset({(0, 1)}))
    part, _ = Labels([twins]).tables(GOLD, replace(PLAN, ablations=twins.plan)) or (None, None)
    assert part.tolist() == [[0, 1], [0, 0]]


def test_what_makes_labels_doubtful_is_said() -> None:
    assert Labels([ROW]).doubts([PLAN]) == []
    other = replace(PLAN, planner="lab/z")
    assert Labels([ROW]).doubts([PLAN, other]) == [
        "not whole papers: 1 plans of labelled papers have no labels (lab/z, …)"
    ]
    odd = replace(ROW, sampling="nearest to the threshold", undecided=frozenset({(0, 0)}))
    answer = " ".join(Labels([odd]).doubts([other]))
    for part in ("not marked as a random sample", "nobody decided", "not among the plans", "not whole papers"):
        assert part in answer


def test_a_plan_labelled_twice_is_refused() -> None:
    with pytest.raises(InputError, match="labelled twice"):
        Labels([ROW, ROW])
