"""Baselines: what is kept is what the run said, one fact a line; and a file that was tampered with is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import entry, gold, plan

from evalkit.comparison import (
    baseline_path,
    baseline_text,
    compare,
    parse_baseline,
    read_baselines,
    read_snapshot,
    set_baseline,
    snapshot_of,
)
from evalkit.errors import IncomparableError, InputError, OutputError
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run
from evalkit.types import Diagnostic, Plan

GATE, WARMUP = entry("gate", metrics=["accuracy"]), entry("optimizer warmup", "REPLACE", ["a secret option"])
GOLDS = [gold(GATE, WARMUP, paper=name) for name in ("001", "NA", "c/d")]
LOST = Diagnostic("error", "entry-unreadable", "expected fields", "p/001.md", 9)


def scored(*, secret: str = "a secret option", keep: bool = True, alignment: str = "one-to-one") -> Run:
    warmup = entry("optimizer warmup", "REPLACE", [secret])
    plans = [
        Plan("001", "p", (GATE, warmup) if keep else (GATE,), (LOST,), "p/001.md"),
        plan(GATE, paper="NA", planner="p", sample="1"),
        plan(GATE, warmup, paper="NA", planner="p", sample="2"),
        plan(GATE, paper="001", planner="q/r"),
    ]
    return score_run(plans, GOLDS, Settings(matcher="lexical", resamples=99, alignment=alignment, samples=1))


def test_a_baseline_is_read_as_it_was_written() -> None:
    side = snapshot_of(scored(), "run")
    text = baseline_text(side, "main")
    kept = parse_baseline(text, "main.json")
    assert baseline_text(kept, "main") == text
    assert kept.signature == side.signature
    assert kept.errors == {("p", "001"): 1}
    for base, new in ((kept, side), (side, kept), (kept, kept)):
        found = compare(base, new)
        assert {change.verdict for change in found.changes if change.base is not None} == {"no change"}
        assert (len(found.entries), len(found.failures)) == (0, 0)


def test_the_file_has_one_sorted_fact_a_line() -> None:
    text = baseline_text(snapshot_of(scored(), "run"), "main")
    content = json.loads(text)
    assert "secret" not in text
    assert text.endswith("}\n")
    # Papers of p: 1; the mean of 2/3 and 1; 0.
    assert content["scores"]["p"]["match_f1"] == pytest.approx((1 + 5 / 6 + 0) / 3, abs=1e-9)
    assert content["papers"]["p"]["001"]["match_gold"] == 2
    assert content["papers"]["p"]["NA"]["samples"] == 2
    assert content["papers"]["q/r"]["c/d"] == {"status": "missing", "gold_entries": 2}
    names = {words.split(" ", 1)[1]: share for words, share in content["matched"]["p"]["NA"].items()}
    assert names == {"gate": 1, "optimizer warmup": 0.5}
    for table in (content["scores"], content["gold"], content["matched"]["p"]):
        assert list(table) == sorted(table)


def test_a_pull_request_shows_only_what_moved() -> None:
    before, after = (
        baseline_text(snapshot_of(scored(keep=keep), "run"), "main").splitlines() for keep in (True, False)
    )
    gone = sorted(line.strip() for line in set(before) - set(after))
    # One paper's counts, one match, the figures that follow, and the hash of the plans.
    assert sum('"001": {"status"' in line for line in gone) == 1
    assert sum("optimizer warmup" in line for line in gone) == 1
    kinds = [line.split('"')[1] for line in gone]
    assert "plans" in kinds
    figures = ("match_", "part_", "replacement_", "metric_", "action_", "recall", "ndcg", "average")
    others = [line for kind, line in zip(kinds, gone, strict=True) if not kind.startswith(figures)]
    assert len(others) == 3, others


def test_compare_takes_texts_from_the_run() -> None:
    kept = parse_baseline(baseline_text(snapshot_of(scored(), "run"), "main"), "main.json")
    found = compare(kept, snapshot_of(scored(keep=False), "run"))
    row = found.entries.iloc[0]
    assert (len(found.entries), row["change"], row["paper"], row["gold_name"]) == (1, "lost", "001", "optimizer warmup")
    assert row["gold_replacements"] == "a secret option"
    with pytest.raises(IncomparableError, match="alignment is one-to-one in base and group in new"):
        compare(kept, snapshot_of(scored(alignment="group"), "run"))


def changed(text: str, **parts: object) -> str:
    return json.dumps({**json.loads(text), **parts})


def test_what_is_no_baseline_is_refused() -> None:
    text = baseline_text(snapshot_of(scored(), "run"), "main")
    scores = json.loads(text)["scores"]
    scores["p"]["match_f1"] += 0.01
    for content, message in (
        ("", "neither a run folder nor a baseline"),
        ("[]", "neither a run folder nor a baseline"),
        ("{}", "neither a run folder nor a baseline"),
        (changed(text, evalkit_baseline=9), "baseline version 9; this version of evalkit reads 1"),
        (changed(text, signature={}), "something missing or misplaced"),
        (changed(text, papers=[]), "something missing or misplaced"),
        (changed(text, papers={"p": {"001": {"match_gold": "many"}}}), "something missing or misplaced"),
        (changed(text, gold={"other": {"x": "y"}}), "something missing or misplaced"),
        (changed(text, scores=scores), "do not follow from its own counts"),
        (changed(text, scores={}), "do not follow from its own counts"),
    ):
        with pytest.raises(InputError, match=message):
            parse_baseline(content, "b.json")


def test_baselines_are_found_by_file_and_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "baselines"
    run = scored().save(tmp_path / "run")
    path = baseline_path("main", folder)
    path.parent.mkdir()
    path.write_text(baseline_text(read_snapshot(run), "main"), encoding="utf-8")
    assert list(read_baselines(folder)) == [str(path)]
    for place in (run, path, "main"):
        assert read_snapshot(place, folder).planners == ["p", "q/r"]
    with pytest.raises(InputError, match="other: no such file"):
        read_snapshot("other", folder)
    for name in ("../x", "", ".hidden", "a b", "x/y"):
        with pytest.raises(InputError, match="expected a name of letters"):
            baseline_path(name, folder)


def test_a_baseline_of_another_run_is_replaced_by_force_alone(tmp_path: Path) -> None:
    """The refusal and the report say what stood there; what says the same is left as it is, to the byte."""
    run, other = snapshot_of(scored(), "run"), snapshot_of(scored(keep=False), "other")
    path = tmp_path / "main.json"
    assert set_baseline(run, "main", tmp_path) == f"written to {path}; commit it"
    # p: 1, the mean of 2/3 and 1, and 0 over three papers: 0.611 (see above).
    holds = f"another run (signature {run.signature.digest}, best planner p with match F1 0.611)"
    before = path.read_text()
    path.write_text(before + "\n")  # not the same bytes, but the same baseline
    assert set_baseline(run, "main", tmp_path) == f"unchanged: {path} says the same already"
    assert path.read_text() == before + "\n"
    with pytest.raises(OutputError) as refused:
        set_baseline(other, "main", tmp_path)
    assert (str(refused.value), refused.value.exit_code) == (
        f"{path}: holds {holds}; --name keeps both, --force replaces it", 2
    )  # fmt: skip
    assert path.read_text() == before + "\n"
    assert set_baseline(other, "main", tmp_path, force=True) == f"written to {path} in place of {holds}; commit it"
    assert path.read_text() == baseline_text(other, "main")


def test_a_baseline_of_the_same_signature_with_other_matches_is_another_run(tmp_path: Path) -> None:
    """Judges may decide otherwise the second time; such a run is no unchanged one."""
    run = snapshot_of(scored(), "run")
    set_baseline(run, "main", tmp_path)
    otherwise = replace(
        run, matches=run.matches.assign(share=run.matches["share"].where(run.matches["planner"] != "p", 0))
    )
    with pytest.raises(OutputError, match="holds another run"):
        set_baseline(otherwise, "main", tmp_path)


def test_a_damaged_baseline_is_replaced_by_force_alone(tmp_path: Path) -> None:
    run, path = snapshot_of(scored(), "run"), tmp_path / "main.json"
    path.write_text("{}")
    with pytest.raises(OutputError, match="holds what cannot be read as a baseline; --name keeps both"):
        set_baseline(run, "main", tmp_path)
    set_baseline(run, "main", tmp_path, force=True)
    assert path.read_text() == baseline_text(run, "main")
