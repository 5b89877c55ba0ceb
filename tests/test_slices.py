"""Metadata and weights of gold in every format, figures by slice, and weighted figures beside the unweighted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import entry
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import HOSTILE
from test_schemas import check as conforms

from evalkit.cli import group
from evalkit.comparison import baseline_text, compare, evaluate_gate, parse_baseline, parse_gate, snapshot_of
from evalkit.comparison.rescore import rescored_base
from evalkit.errors import InputError, SettingsError
from evalkit.formats import parse_document, write_plans
from evalkit.report import leaderboard_tables
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run, load_run
from evalkit.types import Document, Plan

LEXICAL = Settings(matcher="lexical", resamples=99)
NAMES = ("gate", "label smoothing", "momentum encoder", "dropout")  # matched by themselves and nothing else
ENTRIES = [entry(name) for name in NAMES]
NO_META: dict[str, str] = {}


def listed(
    paper: str, *weights: float, weight: float = 1.0, meta: Mapping[str, str] = NO_META, own: Sequence[str] = ()
) -> Plan:
    """Return a gold list: one entry a weight, with a `difficulty` of its own where there is one."""
    entries = [
        replace(ENTRIES[i], weight=one, meta=(("difficulty", own[i]),) if own else ()) for i, one in enumerate(weights)
    ]
    return Plan(paper, None, tuple(entries), weight=weight, meta=tuple(meta.items()))


def planned(paper: str, *places: int, planner: str = "lm/p", sample: str = "") -> Plan:
    return Plan(paper, planner, tuple(ENTRIES[place] for place in places), sample=sample)


def run_of(gold: Sequence[Plan], plans: Sequence[Plan], settings: Settings = LEXICAL) -> Run:
    return score_run(list(plans), list(gold), settings)


def row(frame: pd.DataFrame, **keys: Any) -> dict[str, Any]:
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    (only,) = frame.to_dict("records")
    return {str(name): value for name, value in only.items()}


TEXT = """{"paper": "a", "venue": "CVPR", "year": 2021, "weight": 2, "meta": {"Lab": "x --> <b>"}, "ablations": [
  {"name": "n", "ablated_part": "p", "weight": 0.5, "difficulty": "hard", "meta": {"stage": "late; early"}},
  {"name": "m", "ablated_part": "q"}]}"""


@pytest.mark.parametrize("form", ["json", "jsonl", "yaml", "trajectory"])
def test_every_format_keeps_what_gold_says(form: str) -> None:
    (first,) = parse_document(Document("gold.json", TEXT), gold=True)
    assert (first.weight, first.meta) == (2, (("venue", "CVPR"), ("year", "2021"), ("lab", "x --> <b>")))
    one, two = first.ablations
    assert (one.weight, one.meta) == (0.5, (("difficulty", "hard"), ("stage", "late; early")))
    assert (two.weight, two.meta) == (1, ())
    (again,) = parse_document(Document("gold", write_plans([first], form)), gold=True)
    assert (again.weight, dict(again.meta)) == (first.weight, dict(first.meta))
    assert [(item.weight, item.meta) for item in again.ablations] == [(one.weight, one.meta), (1, ())]
    assert not again.diagnostics
    if form == "json":
        conforms(json.loads(write_plans([first], form)), "gold")


def test_markdown_fields_and_rows_of_a_table() -> None:
    text = "# a\n## Ablation Plan\n### n\n- **Ablated Part**: p\n- **Weight**: 3\n- **Difficulty**: hard\n"
    (plan,) = parse_document(Document("a.md", text, None, "a"), gold=True)
    assert (plan.ablations[0].weight, plan.ablations[0].meta) == (3, (("difficulty", "hard"),))
    rows = "".join(
        json.dumps({"paper": p, "name": "n", "ablated_part": "p", "venue": "X", "weight": 2}) + "\n" for p in "ab"
    )
    assert [plan.ablations[0].weight for plan in parse_document(Document("g.jsonl", rows), gold=True)] == [2, 2]


@pytest.mark.parametrize("weight", ["0", "-1", '"inf"', '"nan"', "1e9", '"heavy"', "true", "[1, 2]"])
def test_a_weight_that_is_none_is_a_diagnostic_and_counts_1(weight: str) -> None:
    text = f'{{"paper": "a", "ablations": [\n{{"name": "n", "ablated_part": "p", "weight": {weight}}}]}}'
    (plan,) = parse_document(Document("gold.json", text), gold=True)
    assert [(item.severity, item.code, item.line) for item in plan.diagnostics] == [("error", "bad-weight", 2)]
    assert plan.ablations[0].weight == 1


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), True, "2"])
def test_a_program_that_gives_no_weight_is_told(weight: Any) -> None:
    with pytest.raises(InputError, match="gold for 'a': expected a positive weight"):
        run_of([listed("a", weight)], [planned("a", 0)])


def test_plans_have_no_metadata() -> None:
    (plan,) = parse_document(Document("plan.json", TEXT, "lm", "a"))
    assert (plan.weight, plan.meta, plan.ablations[0].weight) == (1, (), 1)
    assert {item.code for item in plan.diagnostics} >= {"unknown-field"}


def test_weighted_figures_by_hand() -> None:
    """The example of docs/slices.md: weights 3, 1, 1, the first matched by one of two entries; a paper of weight 2."""
    gold = [listed("a", 3, 1, 1), listed("b", 1, weight=2)]
    run = run_of(gold, [planned("a", 0, 3), planned("b", 3)])
    one = row(run.papers, paper="a")
    assert one["match_recall"] == pytest.approx(1 / 3)
    assert one["weighted_recall"] == pytest.approx(3 / 5)
    assert one["weighted_f1"] == pytest.approx(6 / 11)
    assert (one["paper_weight"], one["gold_weight"], one["match_weight"]) == (1, 5, 3)
    board = run.leaderboard.iloc[0]
    assert board["weighted_recall"] == pytest.approx(1 / 5)
    assert board["weighted_f1"] == pytest.approx((6 / 11) / 3)
    assert board["match_recall"] == pytest.approx(1 / 6)  # the unweighted mean is what it was


def test_samples_of_a_paper_are_averaged_before_weights_count() -> None:
    run = run_of([listed("a", 3, 1)], [planned("a", 0, sample="1"), planned("a", 1, sample="2")])
    assert run.leaderboard["weighted_recall"].tolist() == pytest.approx([(3 / 4 + 1 / 4) / 2])


WEIGHTS = st.sampled_from([0.25, 1.0, 3.0])
PAPERS = st.lists(
    st.tuples(st.sampled_from(["CVPR", "ICLR", ""]), st.lists(WEIGHTS, min_size=1, max_size=4), WEIGHTS,
              st.sets(st.integers(0, 3)), st.lists(st.sampled_from(["hard", "easy"]), min_size=4, max_size=4)),
    min_size=1, max_size=8,
)  # fmt: skip


def made(papers: Any, *, weighted: bool = True) -> Run:
    gold = [
        listed(f"p{i}", *(weights if weighted else [1.0] * len(weights)), weight=weight if weighted else 1.0,
               meta={"venue": venue} if venue else {"year": "2020"}, own=own)
        for i, (venue, weights, weight, _, own) in enumerate(papers)
    ]  # fmt: skip
    return run_of([*gold, listed("last", 1, meta={"venue": "CVPR"}, own=["hard"])],
                  [planned(f"p{i}", *sorted(places)) for i, (*_, places, _) in enumerate(papers)],
                  replace(LEXICAL, resamples=0))  # fmt: skip


@settings(max_examples=40)
@given(PAPERS)
def test_slices_sum_to_the_whole(papers: Any) -> None:
    run = made(papers)
    whole = run.leaderboard.iloc[0]
    counts = ["papers", "gold_entries", "plan_entries", "match_gold", "match_plan", "part_gold", "aligned_pairs"]
    assert run.by("venue")[counts].sum().tolist() == pytest.approx(whole[counts].tolist())
    by_entry = run.by("difficulty")
    of_gold = ["gold_entries", "match_gold", "part_gold"]
    assert by_entry[of_gold].sum().tolist() == pytest.approx(whole[of_gold].tolist())


@settings(max_examples=30)
@given(PAPERS)
def test_weights_of_1_change_nothing(papers: Any) -> None:
    run = made(papers, weighted=False)
    assert not [name for name in run.leaderboard if "weight" in name]
    assert "weight" not in " ".join(run.papers)
    bare = run_of(
        [listed(f"p{i}", *[1.0] * len(weights)) for i, (_, weights, *_) in enumerate(papers)] + [listed("last", 1)],
        [planned(f"p{i}", *sorted(places)) for i, (*_, places, _) in enumerate(papers)],
        replace(LEXICAL, resamples=0),
    )
    assert run.signature == bare.signature
    pd.testing.assert_frame_equal(run.leaderboard, bare.leaderboard)


@settings(max_examples=40)
@given(PAPERS)
def test_weighted_recall_is_the_share_of_weight(papers: Any) -> None:
    run = made(papers)
    above = below = 0.0
    for _, weights, weight, places, _ in papers:
        above += weight * sum(one for place, one in enumerate(weights) if place in places) / sum(weights)
        below += weight
    if "weighted_recall" in run.leaderboard:  # the last paper has weight 1 and no plan
        assert run.leaderboard["weighted_recall"].tolist() == pytest.approx([above / (below + 1)])
    else:
        assert all(one == 1 for _, weights, weight, *_ in papers for one in (*weights, weight))


VENUES = ["CVPR"] * 6 + ["ICLR"] * 3 + [""]
GOLD = [
    listed(f"p{i}", 1, 1, meta={"venue": venue} if venue else {}, own=["hard", "easy"])
    for i, venue in enumerate(VENUES)
]
GOOD = [planned(f"p{i}", *((0, 1) if i % 2 else (0,))) for i in range(10)]
WORSE = [planned(f"p{i}", *((1,) if i % 2 else (2,))) for i in range(10)]


def test_small_slices_have_no_interval() -> None:
    table = run_of(GOLD, GOOD).by("venue")
    assert table["slice"].tolist() == ["CVPR", "ICLR", ""]
    assert table["papers"].tolist() == [6, 3, 1]
    assert table["small"].tolist() == [False, True, True]
    assert table["match_f1_low"].notna().tolist() == [True, False, False]
    # Three of six CVPR papers match one of two entries with one: F1 2/3; the others 1.
    assert table["match_f1"][0] == pytest.approx((2 / 3 + 1) / 2)


def test_slices_of_entries_have_recall_alone() -> None:
    table = run_of(GOLD, GOOD).by("difficulty")
    assert table["slice"].tolist() == ["easy", "hard"]
    assert table["match_recall"].tolist() == [0.5, 1.0]
    assert table["match_precision"].isna().all()
    assert table["match_f1_micro"].isna().all()
    assert table["papers"].tolist() == [10, 10]


def test_weighted_recall_of_a_slice_of_entries() -> None:
    """On each paper `easy` has weights 1 and 3, of which the second is matched: 3/4, while recall is 1/2."""
    gold = [listed(f"p{i}", 2, 1, 3, own=["hard", "easy", "easy"]) for i in range(2)]
    table = run_of(gold, [planned(f"p{i}", 2) for i in range(2)]).by("difficulty")
    easy = row(table, slice="easy")
    assert (easy["match_recall"], easy["weighted_recall"]) == (0.5, 0.75)


def test_values_are_ordered_as_numbers_and_an_unknown_field_is_refused() -> None:
    gold = [listed(f"p{i}", 1, meta={"year": year}) for i, year in enumerate(("2021", "999", "soon"))]
    run = run_of(gold, [planned("p0", 0)])
    assert run.by("year")["slice"].tolist() == ["999", "2021", "soon"]
    with pytest.raises(InputError, match="gold has no field 'yaer'; did you mean 'year'"):
        run.by("yaer")
    with pytest.raises(InputError, match=r"docs/slices\.md"):
        run_of([listed("p0", 1)], [planned("p0", 0)]).by("venue")


def test_a_saved_run_gives_the_same_slices(tmp_path: Path) -> None:
    run = run_of([*GOLD[:9], listed("p9", 2, 1)], GOOD)
    for form in ("csv", "parquet"):
        loaded = load_run(run.save(tmp_path / form, form=form))
        for field in ("venue", "difficulty"):
            pd.testing.assert_frame_equal(loaded.by(field), run.by(field), check_dtype=False)


def test_a_run_without_what_gold_says_still_loads(tmp_path: Path) -> None:
    folder = run_of([listed("p0", 1)], [planned("p0", 0)]).save(tmp_path / "run")
    assert "gold" not in json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert load_run(folder).leaderboard["match_f1"].tolist() == [1]


@pytest.mark.parametrize("facts", [{"p0": {"weight": 0}}, {"p0": {"meta": {"venue": 3}}}, [1], {"p0": {"entries": 1}}])
def test_a_damaged_run_json_is_refused(tmp_path: Path, facts: object) -> None:
    folder = run_of(GOLD, GOOD).save(tmp_path / "run")
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8")) | {"gold": facts}
    (folder / "run.json").write_text(json.dumps(meta), encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json: run\.gold"):
        load_run(folder)


def test_weights_enter_the_signature_and_the_cache_keeps_them_apart(tmp_path: Path) -> None:
    plain, heavy = [listed("a", 1, 1)], [listed("a", 3, 1)]
    plans = [planned("a", 0)]
    import evalkit

    runs = [evalkit.score(plans, gold, LEXICAL, cache=tmp_path) for gold in (plain, heavy, plain)]
    assert runs[0].signature == runs[2].signature
    assert list(runs[0].signature.differences(runs[1].signature)) == ["gold"]
    assert runs[1].leaderboard["weighted_recall"].tolist() == [0.75]
    other = evalkit.score(plans, [listed("a", 1, 1, meta={"venue": "X"})], LEXICAL, cache=tmp_path)
    assert other.signature == runs[0].signature


def test_rescoring_a_base_keeps_the_weights(tmp_path: Path) -> None:
    heavy = [listed("a", 3, 1, weight=2), listed("b", 1)]
    base, new = run_of([listed("a", 1)], [planned("a", 0)]), run_of(heavy, [planned("a", 0), planned("b", 0)])
    new = load_run(new.save(tmp_path / "new"))
    again, _ = rescored_base(snapshot_of(base, "base"), new, "new", [planned("a", 1), planned("b", 0)])
    assert again.signature.gold == new.signature.gold


def test_compare_by_paper_and_by_entry() -> None:
    result = compare(run_of(GOLD, GOOD), run_of(GOLD, WORSE), by=("venue", "difficulty"))
    venues = result.slices["venue"]
    assert list(venues) == ["CVPR", "ICLR", ""]
    big, few = (next(c for c in venues[name] if c.figure == "match_f1") for name in ("CVPR", "ICLR"))
    # CVPR: F1 goes from 2/3 and 1 to 0 and 2/3 on its two kinds of papers.
    assert (big.papers, big.base, big.new) == (6, pytest.approx(5 / 6), pytest.approx(1 / 3))
    assert big.difference == pytest.approx(-1 / 2)
    assert big.low is not None
    assert big.p is None
    assert (few.papers, few.low, few.high) == (3, None, None)
    recall = {value: changes[0] for value, changes in result.slices["difficulty"].items()}
    assert {value: (c.figure, c.base, c.new) for value, c in recall.items()} == {
        "easy": ("match_recall", 0.5, 0.5), "hard": ("match_recall", 1, 0)
    }  # fmt: skip
    assert recall["easy"].difference == 0


def test_a_baseline_keeps_weights_and_fields() -> None:
    gold = [*GOLD[:9], listed("p9", 2, 1)]
    run, new = run_of(gold, GOOD), run_of(gold, WORSE)
    kept = parse_baseline(baseline_text(snapshot_of(run, "base"), "base"), "base.json")
    from_run, from_file = (compare(base, new, metric="weighted_f1", by=("difficulty",)) for base in (run, kept))
    assert from_run.headline == from_file.headline
    assert from_run.slices == from_file.slices
    assert compare(new, kept, by=("venue",)).slices["venue"]["CVPR"][0].papers == 6


def test_a_weighted_metric_needs_weights() -> None:
    plain, heavy = run_of([listed("a", 1)], [planned("a", 0)]), run_of([listed("a", 2)], [planned("a", 0)])
    with pytest.raises(InputError, match="gold has no weights"):
        compare(plain, plain, metric="weighted_f1")
    assert "weighted_f1" not in {change.figure for change in compare(plain, heavy, force=True).changes}
    gate = parse_gate("[[rule]]\nfloor = 0\n[[rule]]\nmetric = 'weighted_f1'\nfloor = 0.1", "gate.toml")
    with pytest.raises(InputError, match="rule 2: weighted_f1: gold has no weights"):
        evaluate_gate(compare(plain, plain), gate)


@pytest.mark.parametrize(
    ("rule", "verdicts"),
    [
        # CVPR falls by 1/2 on six papers, with intervals; the other slices are too small to say anything.
        ("margin = 0.3\nby = 'venue'", ["regressed", "inconclusive", "inconclusive"]),
        ("max_drop = 0.4\nby = 'venue'", ["regressed", "inconclusive", "inconclusive"]),
        ("floor = 0.3\nby = 'venue'", ["pass", "inconclusive", "inconclusive"]),
        ("metric = 'match_recall'\nfloor = 0.1\nby = 'difficulty'", ["pass", "regressed"]),
    ],
)
def test_gate_rules_by_slice(rule: str, verdicts: list[str]) -> None:
    gate = parse_gate(f"[[rule]]\nname = 'r'\n{rule}", "gate.toml")
    comparison = compare(run_of(GOLD, GOOD), run_of(GOLD, WORSE), metric=gate.metrics[0], by=gate.by)
    report = evaluate_gate(comparison, gate)
    assert [check.verdict for check in report.checks] == verdicts
    assert report.checks[0].demand.endswith(("venue CVPR", "difficulty easy"))
    assert len({check.name for check in report.checks}) == len(verdicts)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("by = 'venue'\nmax_drop = 0.1\nsignificant = true", "slices are not tested"),
        ("by = 'venue'\nmargin = 0.1\ncorrected = true", "slices are not tested"),
        ("by = 'venue'\ncoverage = 0.1", "by goes with margin, max_drop, floor"),
        ("by = 3\nmargin = 0.1", "expected text"),
    ],
)
def test_gate_rules_that_slices_cannot_keep(rule: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_gate(f"[[rule]]\n{rule}", "gate.toml")


def test_a_figure_that_slices_of_entries_lack_is_refused() -> None:
    gate = parse_gate("[[rule]]\nby = 'difficulty'\nmargin = 0.1", "gate.toml")
    with pytest.raises(InputError, match="slices by difficulty are of gold entries"):
        evaluate_gate(compare(run_of(GOLD, GOOD), run_of(GOLD, WORSE), by=gate.by), gate)


def written(folder: Path) -> Path:
    """Write gold and two planners' plans, and return the folder."""
    for gold in GOLD:
        (folder / "gold").mkdir(exist_ok=True)
        (folder / "gold" / f"{gold.paper}.json").write_text(write_plans([gold], "json"), encoding="utf-8")
    for name, plans in (("good", GOOD), ("worse", WORSE)):
        for plan in plans:
            place = folder / "plans" / "lm" / name / f"{plan.paper}.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            text = write_plans([replace(plan, planner=None)], "json")
            place.write_text(text, encoding="utf-8")
    return folder


def called(*words: object) -> str:
    result = CliRunner().invoke(group, list(map(str, words)), catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_commands_by_slice(tmp_path: Path) -> None:
    folder = written(tmp_path)
    score = ("score", "--pred", folder / "plans", "--gold", folder / "gold", "--matcher", "lexical", "--no-cache")
    shown = called(*score, "--out", folder / "run", "--by", "venue", "--report")
    assert "By venue" in shown
    assert "planners below lm/" in shown
    assert "CVPR · good" in shown
    assert "3, few" in shown
    assert "[–]" in shown
    assert max(map(len, shown[: shown.index("written to ")].splitlines())) <= 80  # commands to copy are never broken
    document = json.loads(called(*score, "--out", folder / "again", "--by", "difficulty", "--json"))
    assert {(one["slice"], one["planner"]) for one in document["slices"]["rows"]} == {
        (value, planner) for value in ("easy", "hard") for planner in ("lm/good", "lm/worse")
    }  # fmt: skip
    conforms(document, "json-score")
    conforms(json.loads((folder / "run" / "run.json").read_text(encoding="utf-8")), "run")
    table = called("table", folder / "run", "--by", "venue")
    assert "| CVPR | 6 | lm/good | **0.833** [" in table
    assert "| ICLR | 3, few | lm/worse | 0.222 [–] |" in table
    assert (
        json.loads(called("table", folder / "run", "--by", "venue", "--format", "json"))["rows"][0]["slice"] == "CVPR"
    )
    markdown = folder / "changes.md"
    changed = called("compare", folder / "run", folder / "again", "--by", "venue", "--markdown", markdown)
    assert "| ICLR | lm/good | 3, few | 0.778 | 0.778 | +0.000 [–] |" in markdown.read_text(encoding="utf-8")
    assert "By venue: match_f1, exploratory" in changed
    assert "venue · planner" in changed
    conforms(json.loads(called("compare", folder / "run", folder / "again", "--by", "venue", "--json")), "json-compare")
    called("report", folder / "run", folder / "again", "--by", "venue", "--out", folder / "two.html")
    for page in (folder / "run" / "report.html", folder / "two.html"):
        text = page.read_text(encoding="utf-8")
        assert ">CVPR</bdi>" in text
        assert "3, few" in text


def test_an_unknown_field_stops_before_anything_is_scored(tmp_path: Path) -> None:
    folder = written(tmp_path)
    words = ["score", "--pred", folder / "plans", "--gold", folder / "gold", "--out", folder / "run", "--by", "venues"]
    result = CliRunner().invoke(group, list(map(str, words)))
    assert isinstance(result.exception, InputError)
    assert not (folder / "run").exists()


def test_values_of_fields_do_no_harm(tmp_path: Path) -> None:
    """Whatever a value says, it steers no terminal and closes no tag."""
    gold = [
        parse_document(Document("g", json.dumps({"paper": f"p{i}", "meta": {"kind": text}, "ablations": [
            {"name": "gate", "ablated_part": "gate"}]})), gold=True)[0]
        for i, text in enumerate(HOSTILE.values())
    ]  # fmt: skip
    run = run_of(gold, [planned(f"p{i}", 0) for i in range(len(gold))])
    loaded = load_run(run.save(tmp_path / "run"))
    board = leaderboard_tables.slice_table("run", loaded, "kind")
    assert len(board.rows) == len(HOSTILE)
    page = leaderboard_tables.html(board, True)
    assert "<script>" not in page
    assert "<img" not in page
    latex = leaderboard_tables.latex(board, True)
    assert r"\input" not in latex
    markdown = tmp_path / "changes.md"
    shown = called("compare", tmp_path / "run", tmp_path / "run", "--by", "kind", "--markdown", markdown)
    text = markdown.read_text(encoding="utf-8")
    assert "\x1b" not in shown + text
    assert "<script>" not in text
    assert "<img" not in text
    called("report", tmp_path / "run", "--by", "kind", "--out", tmp_path / "page.html")
    assert "<script>window.harmed" not in (tmp_path / "page.html").read_text(encoding="utf-8")
