"""Judgements: reading what judges wrote, voting by pairs, scoring from it, and holding judges against each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.judges.recorded import Judgements, agreement, read_judge
from evalkit.judges.recorded.judge_report import compare
from evalkit.metrics.ablationbench import AuthorRow, ReviewerRow
from evalkit.scoring.pipeline import compare_judges, score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run
from evalkit.types import Alignment, Plan, Tally

QUICK = Settings(resamples=0)
GOLD = gold(entry("g1"), entry("g2"), entry("g3"))
PLAN = plan(entry("p1"), entry("p2"), entry("p3"), entry("p4"))
Row = Mapping[str, object]


def author(gold_name: object, plan_name: object) -> Row:
    return {"name_in_paper": gold_name, "name_in_plan": plan_name}


def reviewer(plan_name: object, answer: object) -> Row:
    return {"name_in_plan": plan_name, "appears_in_review": answer}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a judge's rows of one paper and gives the judge's folder."""

    def writer(rows: Sequence[Row] | str, judge: str = "judge", place: str = "planner/paper.jsonl") -> Path:
        path = tmp_path / judge / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return tmp_path / judge

    return writer


def judged(*folders: Path) -> Judgements:
    return Judgements([read_judge(folder) for folder in folders])


def matches(alignment: Alignment) -> list[tuple[int, int]]:
    return [(pair.gold, pair.plan) for pair in alignment.pairs if pair.matched]


def test_author_rows_as_judges_write_them(write: Any) -> None:
    folder = write(
        [
            author("g1", "p1"),
            author("g2", ["p2", "p3"]),
            author(["g3", "g4"], None),
            author(None, "p4"),
            author("g5", []),
        ]
    )
    (judgement,) = read_judge(folder).judgements
    assert (judgement.planner, judgement.paper, judgement.task) == ("planner", "paper", "author")
    assert judgement.author == (
        AuthorRow("g1", "p1"),
        AuthorRow("g2", ("p2", "p3")),
        AuthorRow("g3", None),
        AuthorRow("g4", None),
        AuthorRow("g5", ()),
    )


def test_reviewer_rows_as_judges_write_them(write: Any) -> None:
    folder = write([reviewer("p1", True), reviewer("p2", "False"), {"name_in_plan": "p3"}, reviewer("p4", "perhaps")])
    judge = read_judge(folder)
    assert judge.judgements[0].reviewer == (ReviewerRow("p1", True), ReviewerRow("p2", False), ReviewerRow("p3", False))
    assert judge.judgements[0].task == "reviewer"
    assert [(item.code, item.line) for item in judge.diagnostics] == [("judgement-unreadable", 4)]


def test_a_numeric_name_stays_text(write: Any) -> None:
    folder = write('{"name_in_paper": 001, "name_in_plan": 1e5}\n{"name_in_paper": "002", "name_in_plan": 2.50}')
    assert read_judge(folder).judgements[0].author == (AuthorRow("001", "1e5"), AuthorRow("002", "2.50"))


@pytest.mark.parametrize(
    "text",
    [
        '[{"name_in_paper": "g1", "name_in_plan": "p1"}]',
        '{"name_in_paper": "g1",\n "name_in_plan": "p1",}\n',
        "```json\n{'name_in_paper': 'g1', 'name_in_plan': 'p1'}\n```",
        '\ufeff{"name_in_paper": "g1", "name_in_plan": "p1"}\r\n',
    ],
)
def test_odd_wrappings_lose_nothing(write: Any, text: str) -> None:
    assert read_judge(write(text)).judgements[0].author == (AuthorRow("g1", "p1"),)


def test_one_bad_row_takes_no_other_with_it(write: Any) -> None:
    folder = write([author("g1", "p1"), {"other": 1}, author("g2", {"a": "b"}), author("g3", ["p3", 7, {}])])
    judge = read_judge(folder)
    assert judge.judgements[0].author == (AuthorRow("g1", "p1"), AuthorRow("g2", None), AuthorRow("g3", ("p3", "7")))
    assert [item.line for item in judge.diagnostics] == [2, 3, 4]


def test_replies_and_figures_beside_rows_are_no_judgements(write: Any) -> None:
    folder = write([author("g1", "p1")])
    write("{}", place="planner/paper.json.log")
    write('[{"id": "paper", "precision": 0.25, "f1_score": 0.4}]', place="planner/evaluations.json")
    judge = read_judge(folder)
    assert len(judge.judgements) == 1
    assert judge.published == {("planner", "paper"): {"precision": 0.25, "f1_score": 0.4}}


@pytest.mark.parametrize("gold_side", ["A", "B"])
def test_a_reply_is_read_whichever_side_gold_has(write: Any, gold_side: str) -> None:
    plan_side = "B" if gold_side == "A" else "A"
    rows = [("g1", "p1"), ("g2", ["p2", "p3"]), (None, "p4"), (["g3"], None)]
    lines = "\n".join(json.dumps({f"name_in_{gold_side}": g, f"name_in_{plan_side}": p}) for g, p in rows)
    reply = {
        "choices": [{"message": {"content": f"<discussion>Hm.</discussion><predictions>\n{lines}\n</predictions>"}}]
    }
    judges = judged(write(json.dumps(reply, indent=4), place="planner/paper.json.log"))
    assert matches(judges.align(GOLD, PLAN, "group")) == [(0, 0), (1, 1), (1, 2)]
    assert judges.compat(GOLD, PLAN, None).tally == Tally(2, 3, 2, 3)  # p4's row names no gold entry
    assert judges.problems([GOLD], [PLAN]) == []


def test_a_kept_reply_of_the_reviewer_task(write: Any) -> None:
    lines = json.dumps(reviewer("p1", True)) + "\n" + json.dumps(reviewer("p2", False))
    reply = {"choices": [{"message": {"content": f"<predictions>\n{lines}\n</predictions>"}}]}
    judge = read_judge(write(json.dumps(reply), place="planner/paper.json.log"))
    assert judge.judgements[0].reviewer == (ReviewerRow("p1", True), ReviewerRow("p2", False))


def test_a_folder_without_judgements_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(InputError, match="holds no judgements"):
        read_judge(tmp_path)


def test_one_judge_decides(write: Any) -> None:
    judges = judged(write([author("g1", "p1"), author("g2", ["p2", "p3"]), author("g3", None)]))
    assert matches(judges.align(GOLD, PLAN, "one-to-one")) == [(0, 0), (1, 1)]
    found = judges.align(GOLD, PLAN, "group")
    assert matches(found) == [(0, 0), (1, 1), (1, 2)]
    assert (found.missed, found.spurious) == ((2,), (3,))
    assert {pair.decided_by for pair in found.pairs} == {"judge"}


def test_judges_vote_on_pairs_and_abstaining_is_no(write: Any) -> None:
    judges = judged(
        write([author("g1", "p1"), author("g2", ["p2", "p3"]), author("g3", "p4")], "a"),
        write([author("g1", "p1"), author("g2", "p3"), author("g3", None)], "b"),
        write([author("g1", "p2"), author("g2", "p2")], "c"),  # says nothing about g3
    )
    # g1-p1: 2 of 3. g2-p2: 2 of 3, g2-p3: 2 of 3 (the benchmark's vote sees three different values). g3-p4: 1 of 3.
    found = judges.align(GOLD, PLAN, "group")
    assert matches(found) == [(0, 0), (1, 1), (1, 2)]
    assert [pair.match_probability for pair in found.pairs] == pytest.approx([2 / 3] * 3)
    assert found.pairs[0].decided_by == "majority of a, b, c"
    assert found.pairs[0].evidence == (("a: yes", 1.0), ("b: yes", 1.0), ("c: no", -1.0))
    alone = next(pair for pair in found.candidates if pair.gold == 2)
    assert alone.evidence == (("a: yes", 1.0), ("b: no", -1.0), ("c: abstained", -1.0))


def test_a_judge_without_a_sheet_abstains(write: Any) -> None:
    folders = [write([author("g1", "p1"), author("g2", "p2")], "a"), write([author("g1", "p1")], "b")]
    folders.append(write([author("g1", "p1")], "c", "planner/another.jsonl"))
    judges = judged(*folders)
    assert matches(judges.align(GOLD, PLAN, "group")) == [(0, 0)]  # two of three
    codes = [item.code for item in judges.problems([GOLD], [PLAN])]
    assert codes == ["judge-abstained", "entry-not-judged", "entry-not-judged", "unused-judgement"]


def test_even_judges_need_more_than_half(write: Any) -> None:
    judges = judged(write([author("g1", "p1")], "a"), write([author("g1", "p2")], "b"))
    assert matches(judges.align(GOLD, PLAN, "group")) == []


def test_names_are_met_exactly_after_the_same_repairs(write: Any) -> None:
    judges = judged(write([author("G1", "p1"), author("g2 ", "p2"), author("g3", "p9")]))
    assert matches(judges.align(GOLD, PLAN, "group")) == [(1, 1)]  # "g2 " is read as entries' names are
    answer = [item.message for item in judges.problems([GOLD], [PLAN]) if item.code == "unknown-name"]
    assert ["'G1'" in answer[0], "'p9'" in answer[1], len(answer)] == [True, True, 2]


def test_a_repeated_plan_name_is_matched_once(write: Any) -> None:
    judges = judged(write([author("g1", "p1"), author("g1", "p1")]))
    assert matches(judges.align(GOLD, plan(entry("p1"), entry("p1")), "group")) == [(0, 0)]


def test_reviewer_hits_take_the_suggestions_in_order(write: Any) -> None:
    judges = judged(write([reviewer("p1", False), reviewer("p2", True), reviewer("p3", True), reviewer("p4", True)]))
    two = gold(entry("suggestion 1"), entry("suggestion 2"))
    assert matches(judges.align(two, PLAN, "one-to-one")) == [(0, 1), (1, 2)]
    assert matches(judges.align(two, PLAN, "group")) == [(0, 1), (1, 2), (1, 3)]


def test_judges_of_the_reviewer_task_vote_on_entries(write: Any) -> None:
    judges = judged(
        write([reviewer("p1", True), reviewer("p2", True)], "a"),
        write([reviewer("p1", False), reviewer("p2", True)], "b"),
    )
    # Both say p2; were pairs voted on, it would be the second suggestion for a and the first for b.
    assert matches(judges.align(gold(entry("s1"), entry("s2")), PLAN, "one-to-one")) == [(0, 1)]


def test_labels_are_judgements_by_place(tmp_path: Path) -> None:
    same = {"name": "same", "ablated_part": "x"}
    row = {
        "paper": "paper", "planner": "planner", "gold": [same, same], "plan": [same, {"ablated_part": "p2"}],
        "match": [[1, 0]], "same_part": [[1, 0], [0, 1], [5, 5]],
    }  # fmt: skip
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    judges = judged(tmp_path / "labels.jsonl")
    lists = gold(entry("x", name="same"), entry("x", name="same")), plan(entry("x", name="same"), entry("p2"))
    found = judges.align(*lists, "one-to-one")
    assert [(pair.gold, pair.plan, pair.matched) for pair in found.pairs] == [(0, 1, False), (1, 0, True)]
    assert [item.code for item in judges.judges[0].diagnostics] == ["judgement-unreadable"]


def test_a_run_judges_as_it_scored(tmp_path: Path, write: Any) -> None:
    judges = judged(write([author("g1", "p1"), author("g2", ["p2", "p3"])]))
    for kind in ("one-to-one", "group"):
        first = score_run([PLAN], [GOLD], Settings(resamples=0, alignment=kind), judgements=judges)
        first.save(tmp_path / kind)
        again = score_run([PLAN], [GOLD], Settings(resamples=0, alignment=kind), judgements=judged(tmp_path / kind))
        columns = [name for name in first.papers if not name.startswith("ab_")]
        pd.testing.assert_frame_equal(first.papers[columns], again.papers[columns])


def test_a_pairs_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("planner,paper\na,b\n")
    with pytest.raises(InputError, match="gold_entry, gold_name"):
        read_judge(tmp_path / "pairs.csv")


def test_odd_cells_of_a_pairs_file_are_survived(tmp_path: Path) -> None:
    head = "planner,paper,status,gold_entry,plan_entry,gold_name,plan_name"
    rows = [
        "planner,paper,match,x,,g1,p1",
        "planner,paper,match,-5,1e30,g2,p2",
        "planner,paper,part,3,,,",
        ",,match,,,,",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join([head, *rows]))
    judges = judged(tmp_path / "pairs.csv")
    assert matches(judges.align(GOLD, PLAN, "one-to-one")) == [(0, 0), (1, 1)]  # by their names
    assert "unknown-name" in [item.code for item in judges.problems([GOLD], [PLAN])]


def scored(*folders: Path, plans: Sequence[Plan] = (PLAN,), **options: Any) -> Run:
    return score_run(plans, [GOLD], Settings(resamples=0, **options), judgements=judged(*folders))


def test_a_run_from_judgements(write: Any) -> None:
    folder = write([author("g1", "p1"), author("g2", ["p2", "p3"]), author("g3", [])])
    run = scored(folder)
    # By its rules g1, g2 and g3 are hit and only p4 is wrong; ours matches g1-p1 and g2-p2.
    row = run.papers.iloc[0]
    assert (row["match_precision"], row["match_recall"], row["match_f1"]) == (2 / 4, 2 / 3, 4 / 7)
    assert (row["ab_precision"], row["ab_recall"], row["ab_f1"], row["ab_ndcg"]) == (3 / 4, 1, 6 / 7, 1)
    assert (row["ab_true_positives"], row["ab_false_positives"], row["ab_false_negatives"]) == (3, 1, 0)
    board = run.leaderboard.iloc[0]
    assert (board["ab_f1"], board["ab_true_positives"]) == (6 / 7, 3)
    signature = run.signature
    assert (signature.matcher, signature.model, signature.thresholds) == ("judgements", "none", "majority")
    (report,) = run.meta["compat"]
    assert report["ablationbench"] == {"precision": 3 / 4, "recall": 1, "f1": 6 / 7}
    assert report["corrected"] == pytest.approx({"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7})
    moves = {step["rule"]: (step["precision"], step["recall"]) for step in report["steps"]}
    assert moves == {
        "empty-list-matches": pytest.approx((2 / 3 - 3 / 4, -1 / 3)),  # hits g1, g2; wrong p4
        "precision-counts-gold": pytest.approx((3 / 4 - 2 / 3, 0)),  # p1, p2, p3 of four
        "group-alignment": pytest.approx((2 / 4 - 3 / 4, 0)),  # g2 keeps one partner
    }


def put(top: Path, names: Mapping[str, Sequence[str]]) -> Path:
    """Plans on disk: path -> the parts of its entries."""
    for name, parts in names.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        rows = [{"name": part, "ablated_part": part, "action": "REMOVE", "metrics": ["F1"]} for part in parts]
        (top / name).write_text(json.dumps(rows))
    return top


@pytest.mark.parametrize(
    "planners",
    [
        {"run-1": "GPT (first prompt)", "lab/run-2": "GPT (second prompt)"},
        {"run-1/*.json": "GPT (first prompt)", "lab/run-2/*": "GPT (second prompt)"},
    ],
    ids=["names", "globs"],
)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("run-1", "lab/run-2"),
        ("GPT (first prompt)", "GPT (second prompt)"),
        ("run-1", "GPT (second prompt)"),
    ],
    ids=["as they lie", "as they are called", "mixed"],
)
def test_judges_know_a_renamed_planner_under_either_name(
    tmp_path: Path, write: Any, planners: Mapping[str, str], first: str, second: str
) -> None:
    plans = put(tmp_path / "plans", {"run-1/paper.json": ["p1", "p2"], "lab/run-2/paper.json": ["p1", "p3"]})
    folder = write([author(name, "p1") for name in ("g1", "g2", "g3")], place=f"{first}/paper.jsonl")
    # Three hits by its rules (a name of one plan entry in three rows), and one entry that no row is about.
    answer = {"id": "paper", "precision": 0.75, "recall": 1.0, "f1_score": 6 / 7}
    write(json.dumps([answer]), place=f"{first}/evaluations.json")
    write([author(name, None) for name in ("g1", "g2", "g3")], place=f"{second}/paper.jsonl")
    settings = Settings(resamples=0, planners=planners)
    run = score_run(plans, [GOLD], settings, judgements=judged(folder))
    found = run.papers.set_index("planner")["match_recall"]
    assert found.to_dict() == {"GPT (first prompt)": pytest.approx(1 / 3), "GPT (second prompt)": 0}
    assert run.diagnostics.empty
    assert run.meta["judges"]["published"] == {"compared": 1, "equal": 1, "differing": []}
    assert compare_judges(plans, [GOLD], settings, judged(folder, folder))["unjudged"] == 0


def test_a_renamed_planner_keeps_its_own_judgements(tmp_path: Path, write: Any) -> None:
    plans = put(tmp_path / "plans", {"a/paper.json": ["p1"], "b/paper.json": ["p1"]})
    write([author("g1", "p1")], place="a/paper.jsonl")
    folder = write([author("g1", None)], place="b/paper.jsonl")
    run = score_run(plans, [GOLD], Settings(resamples=0, planners={"a": "b", "b": "a"}), judgements=judged(folder))
    assert run.papers.set_index("planner")["match_recall"].to_dict() == {"a": 0, "b": pytest.approx(1 / 3)}


def test_the_digest_pins_content_and_not_paths(write: Any) -> None:
    one, same, other = (
        write([author("g1", "p1")], "a"),
        write([author("g1", "p1")], "b"),
        write([author("g1", "p2")], "c"),
    )
    digests = [judged(folder).digest for folder in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert judged(one, other).digest == judged(other, one).digest != digests[0]


def test_an_empty_plan_has_zeros_only_in_ablationbench(write: Any) -> None:
    run = scored(write([]), plans=[plan()])
    row = run.papers.iloc[0]
    assert (row["ab_precision"], row["ab_f1"], row["ab_ndcg"]) == (0, 0, 0)
    assert pd.isna(row["match_precision"])
    assert row["match_recall"] == 0
    (report,) = run.meta["compat"]
    assert report["ablationbench"]["precision"] == 0
    assert report["corrected"]["precision"] is None


def test_an_unjudged_plan_is_reported(write: Any) -> None:
    second = gold(entry("g1"), paper="second")
    run = score_run([PLAN, plan(entry("p1"), paper="second")], [GOLD, second], QUICK, judgements=judged(write([])))
    assert run.diagnostics["code"].tolist().count("no-judgement") == 1
    assert run.meta["judges"]["unjudged"] == 1


def test_an_unjudged_planner_is_left_out(write: Any) -> None:
    plans = [PLAN, plan(entry("p1"), planner="other")]
    run = scored(write([author("g1", "p1")]), plans=plans)
    assert run.leaderboard["planner"].tolist() == ["planner"]
    assert run.diagnostics["code"].tolist().count("planner-not-judged") == 1
    with pytest.raises(InputError, match="none of these plans"):
        scored(write([author("g1", "p1")], "elsewhere", "nobody/paper.jsonl"))


def test_the_labelled_list_with_these_entries_is_taken(tmp_path: Path) -> None:
    def labelled(golds: str, match: list[list[int]]) -> str:
        names = [[{"name": name} for name in side.split()] for side in (golds, "p1 p2 p3 p4")]
        return json.dumps({"paper": "paper", "planner": "planner", "gold": names[0], "plan": names[1], "match": match})

    rows = [labelled("x y", [[0, 0]]), labelled("g1 g2 g3", [[1, 1]]), labelled("g1 g2 g3", [[1, 1]])]
    (tmp_path / "labels.jsonl").write_text("\n".join(rows))
    judges = judged(tmp_path / "labels.jsonl")
    assert matches(judges.align(GOLD, PLAN, "one-to-one")) == [(1, 1)]
    assert [item.code for item in judges.problems([GOLD], [PLAN])] == ["unused-judgement"]
    assert not scored(tmp_path / "labels.jsonl", top_k=2).diagnostics["code"].str.contains("unknown-name").any()


def test_top_k_makes_misses_and_no_unknown_names(write: Any) -> None:
    run = scored(write([author("g1", "p1"), author("g2", "p3"), author("g3", None)]), top_k=2)
    row = run.papers.iloc[0]
    assert (row["ab_true_positives"], row["ab_false_positives"], row["ab_false_negatives"]) == (1, 1, 2)
    assert (row["match_gold"], row["plan_entries"]) == (1, 2)
    assert "unknown-name" not in set(run.diagnostics["code"])


def test_loose_files_need_a_single_planner(write: Any) -> None:
    folder = write([author("g1", "p1")], place="paper.jsonl")
    assert scored(folder).papers["match_gold"].tolist() == [1]
    with pytest.raises(InputError, match="which of 2 planners"):
        scored(folder, plans=[PLAN, plan(entry("p1"), planner="other")])


def test_published_figures_are_recounted(write: Any) -> None:
    folder = write([author("g1", "p1"), author("g2", None), author("g3", None)])
    figures = {"precision": 1 / 4, "recall": 1 / 3, "f1_score": 2 / 7}
    write(json.dumps([{"id": "paper", **figures}]), place="planner/evaluations.json")
    assert scored(folder).meta["judges"]["published"] == {"compared": 1, "equal": 1, "differing": []}
    write(json.dumps([{"id": "paper", **figures, "recall": 1.0}]), place="planner/evaluations.json")
    found = scored(folder).meta["judges"]["published"]
    assert (found["equal"], found["differing"][0]["figure"]) == (0, "recall")


def test_agreement_counts_which_entry_was_matched(write: Any) -> None:
    # Both find a partner for g1, not the same one: no pair in common.
    judges = judged(
        write([author("g1", "p1"), author("g2", "p2")], "a"), write([author("g1", "p3"), author("g2", "p2")], "b")
    )
    found = agreement(judges, [(GOLD, PLAN)])
    assert found["pairs"] == 12
    assert found["judges"] == {"a": {"rated": 8, "matched": 2}, "b": {"rated": 8, "matched": 2}}
    (pair,) = found["compared"]
    assert (pair["both"], pair["judge_only"], pair["against_only"], pair["pairs"]) == (1, 1, 1, 8)
    assert (pair["precision"], pair["recall"], pair["f1"]) == (1 / 2, 1 / 2, 1 / 2)
    # Observed 6/8; by chance 2/8 * 2/8 + 6/8 * 6/8 = 40/64.
    assert pair["kappa"] == pytest.approx((6 / 8 - 40 / 64) / (1 - 40 / 64))


def test_a_judge_who_finds_nothing_finds_nothing(write: Any) -> None:
    nothing = write([author(name, None) for name in ("g1", "g2", "g3")], "nothing")
    people = write([author("g1", "p1"), author("g1", "p1"), author("g2", "p2"), author("g3", None)], "people")
    (pair,) = agreement(judged(nothing, people), [(GOLD, PLAN)])["compared"]
    assert (pair["precision"], pair["recall"], pair["f1"], pair["kappa"]) == (None, 0, 0, 0)
    assert pair["against_only"] == 2  # the row that stands twice is one pair


def test_nothing_rated_by_both_is_undefined() -> None:
    found = compare([True, None], [None, False])
    assert [found[name] for name in ("pairs", "precision", "recall", "f1", "kappa")] == [0, None, None, None, None]


def test_judges_are_compared_without_scoring_anything(write: Any) -> None:
    folders = [write([author("g1", "p1")], "a"), write([author("g1", "p2"), author("g9", None)], "b")]
    found = compare_judges([PLAN], [GOLD], QUICK, judged(*folders))
    assert [found["compared"][0][name] for name in ("judge", "against", "both", "pairs")] == ["a", "b", 0, 4]
    assert "'g9'" in next(item["message"] for item in found["problems"] if item["code"] == "unknown-name")


def test_without_judgements_the_matchers_own_groups_are_counted() -> None:
    twice = plan(*GOLD.ablations, entry("g1"))
    run = score_run([twice], [GOLD], Settings(resamples=0, matcher="lexical", compat="ablationbench"))
    row = run.papers.iloc[0]
    # All gold is hit, and the repetition is no false positive: its name is in the plan already.
    assert (row["ab_precision"], row["ab_recall"], row["ab_ndcg"]) == (1, 1, 1)
    assert (row["match_precision"], row["match_recall"]) == (3 / 4, 1)
    steps = {step["rule"]: step["precision"] for step in run.meta["compat"][0]["steps"]}
    assert steps == {"plan-is-a-set": pytest.approx(-1 / 4)}


def test_the_command_prints_both_benchmarks_and_the_judges(write: Any, tmp_path: Path) -> None:
    for folder, names in (("gold", "g1 g2"), ("plans/planner", "p1 p2")):
        (tmp_path / folder).mkdir(parents=True)
        rows = [{"name": name, "ablated_part": name, "action": "REMOVE"} for name in names.split()]
        (tmp_path / folder / "paper.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    a = write([author("g1", "p1"), author("g2", [])], "a")
    b = write([author("g1", "p1"), author("g2", [])], "b")
    call = ["score", "--pred", str(tmp_path / "plans"), "--gold", str(tmp_path / "gold"), "--resamples", "0"]
    call += ["--judgements", str(a), "--judgements", str(b), "--compat", "ablationbench"]
    shown = CliRunner().invoke(group, [*call, "--out", str(tmp_path / "one")], catch_exceptions=False).output
    for words in ("Beside AblationBench", "empty-list-matches", "Krippendorff's alpha of all judges: 1.000"):
        assert words in shown
    expected = (
        CliRunner().invoke(group, [*call, "--out", str(tmp_path / "two"), "--json"], catch_exceptions=False).output
    )
    document = json.loads(expected)
    assert document["compat"][0]["ablationbench"]["recall"] == 1  # both say the same empty list
    assert document["compat"][0]["corrected"]["recall"] == 1 / 2
    assert document["judges"]["krippendorff_alpha"] == 1
    assert document["leaderboard"][0]["ab_recall"] == 1


NAMES = st.sampled_from(["g1", "g2", "g3", "p1", "p2", "p3", "p4", "?"])
VALUES = st.one_of(st.none(), NAMES, st.lists(NAMES, max_size=3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_the_steps_end_in_the_runs_own_figures(write: Any, rows: list[tuple[str, Any]]) -> None:
    run = scored(write([author(*row) for row in rows]), alignment="group")
    (report,) = run.meta["compat"]
    ours, board = report["corrected"], run.leaderboard.iloc[0]
    assert [ours[name] for name in ("precision", "recall", "f1")] == pytest.approx(
        [board[f"match_{name}"] for name in ("precision", "recall", "f1")]
    )
    for name in ("precision", "recall", "f1"):
        assert report["ablationbench"][name] + sum(s[name] for s in report["steps"]) == pytest.approx(ours[name])
    # With a group alignment, lifting the benchmark's rules is the whole way.
    assert "group-alignment" not in [step["rule"] for step in report["steps"]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name_in_paper",
                    "name_in_plan",
                    "appears_in_review",
                    "gold",
                    "plan",
                    "match",
                    "same_part",
                    "name_in_A",
                    "name_in_B",
                    "choices",
                    "message",
                    "content",
                    "labels",
                    "id",
                ]
            ),
            inner,
        )
    ),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(JSON, min_size=1, max_size=4), cut=st.integers(0, 40))
def test_content_never_crashes(write: Any, values: list[Any], cut: int) -> None:
    text = "\n".join(json.dumps(value) for value in values)
    folder = write(text[: len(text) - cut] or "{}")
    with suppress(InputError):  # labels about other lists are about none of these plans
        scored(folder)
