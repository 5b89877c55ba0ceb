"""Many runs in order: differences worked by hand, the best so far, corrected looks, groups apart, entries over time."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan

from evalkit.cli import group as commands
from evalkit.comparison import compare
from evalkit.comparison.entry_history import entry_histories
from evalkit.comparison.history import false_alarm, history
from evalkit.errors import InputError
from evalkit.report import history_text
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.run_list import RunHead, annotate, chosen_runs, find_runs, list_runs, read_head
from evalkit.storage.runs import load_run

PAPERS = [f"paper-{number}" for number in range(6)]
PARTS = ("window attention", "position bias", "dropout")
WHEN = "2026-03-{:02}T09:00:00Z"
QUICK = Settings(matcher="lexical", resamples=999)


def made(folder: Path, day: int, found: Sequence[int], *, settings: Settings = QUICK, planner: str = "lm",
         papers: Sequence[str] = PAPERS, also: str = "", **said: Any) -> Path:  # fmt: skip
    """Score a planner that names the first `found[i]` of three gold entries of paper i, and nothing else."""
    lists = [gold(*map(entry, PARTS), paper=paper) for paper in papers]
    plans = [plan(*map(entry, PARTS[:count]), paper=paper, planner=planner)
             for paper, count in zip(papers, found, strict=True)]  # fmt: skip
    plans += [plan(entry(PARTS[0]), paper=papers[0], planner=also)] if also else []
    score_run(plans, lists, settings, out=folder, made={"time": WHEN.format(day), **said})
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs that may be compared, and one of fewer papers; F1 of k of 3 entries found alone is 2k / (k + 3)."""
    top = tmp_path_factory.mktemp("month") / "runs"
    made(top / "b-second", 2, [2] * 6, tags={"prompt": "v2", "style": "long"}, note="longer")  # 0.8
    made(top / "a-first", 1, [1] * 6, tags={"prompt": "v1"})  # 0.5
    made(top / "c-third", 3, [1, 2, 2, 2, 2, 3], tags={"prompt": "v3", "style": "long"})
    made(top / "apart", 4, [3] * 3, papers=PAPERS[:3])
    return top


def listed(top: Path, **choices: Any) -> Any:
    return history(list_runs([top], "match_f1").runs, **choices)


def test_runs_stand_in_the_order_of_their_time(runs: Path) -> None:
    assert [run.name for run in list_runs([runs], "match_f1").runs] == ["a-first", "b-second", "c-third", "apart"]
    # A pattern, a folder of runs, and one of them named twice are each run once.
    assert len(find_runs([str(runs / "[ab]*"), runs, runs / "apart"])) == 4


def test_differences_and_the_best_so_far(runs: Path) -> None:
    result = listed(runs)
    first, second, third = result.groups[0].lines
    assert (first.previous, first.best) == (None, None)
    # F1 0.5, 0.8, and (0.5 + 4 * 0.8 + 1) / 6 = 4.7 / 6.
    values = [line.scored.value for line in (first, second, third)]
    assert values == pytest.approx([0.5, 0.8, 4.7 / 6], abs=1e-9)
    assert second.previous.difference == pytest.approx(0.3)
    assert (second.best_run, third.best_run) == ("a-first", "b-second")
    assert third.best.difference == pytest.approx(4.7 / 6 - 0.8)
    assert result.groups[0].best is second
    # On two of six papers it differs from the second, once each way, and never leads it by more than it is behind.
    assert third.previous.verdict == "inconclusive"


def test_the_same_numbers_as_compare(runs: Path) -> None:
    """A change of history is that of `compare` on the same two runs, which reads everything of them."""
    third = listed(runs).groups[0].lines[2]
    (other,) = compare(runs / "b-second", runs / "c-third").headline
    for name in ("base", "new", "difference", "low", "high", "p", "papers", "standard_error"):
        assert getattr(third.previous, name) == pytest.approx(getattr(other, name), abs=1e-12), name
    for metric in ("match_f1_micro", "part_recall", "action_kappa"):
        change = history(list_runs([runs], metric).runs, metric).groups[0].lines[1].previous
        other = compare(runs / "a-first", runs / "b-second", metric=metric).headline[0]
        assert (change.difference, change.p) == (other.difference, other.p), metric


def test_p_is_corrected_for_all_looks(runs: Path) -> None:
    second, third = listed(runs).groups[0].lines[1:]
    # All six papers moved alike: two of 2^6 swaps reach the difference, each counts half, so p = 1 / 64.
    assert second.previous.p == pytest.approx(1 / 64)
    assert second.previous.p_holm == pytest.approx(2 / 64)
    assert second.previous.verdict == "better"
    assert third.previous.p_holm == pytest.approx(max(third.previous.p, 2 / 64))


def test_what_many_looks_do() -> None:
    assert false_alarm(1) == pytest.approx(0.05)
    assert false_alarm(40) == pytest.approx(1 - 0.95**40)  # 0.871


def test_the_probability_of_being_best(runs: Path) -> None:
    lines = listed(runs).groups[0].lines
    assert sum(line.best_probability for line in lines) == pytest.approx(1)
    assert lines[0].best_probability == 0
    # The third leads where the paper it gained is drawn more often than the one it lost counts for.
    assert 0.2 < lines[2].best_probability < 0.5


def test_runs_that_may_not_be_compared_stand_apart(runs: Path, tmp_path: Path) -> None:
    result = listed(runs)
    assert [len(group.lines) for group in result.groups] == [3, 1]
    assert result.groups[1].reason.startswith("gold is ")
    made(tmp_path / "runs/x", 5, [1] * 6, settings=Settings(matcher="lexical", alignment="group", resamples=999))
    heads = [*list_runs([runs], "match_f1").runs, *list_runs([tmp_path], "match_f1").runs]
    assert "alignment is group here and one-to-one above" in history(heads).groups[1].reason


def test_papers_that_only_some_runs_have(tmp_path: Path) -> None:
    """With --missing skip a run lacks the papers without a plan: each pair is compared on what both have."""
    skip = Settings(matcher="lexical", missing="skip", resamples=999)
    made(tmp_path / "a", 1, [1] * 6, settings=skip)
    made(tmp_path / "b", 2, [2, 2, 2, 2, 2, 0], settings=skip)
    line = listed(tmp_path).groups[0].lines[1]
    assert line.previous.papers == 5
    assert line.previous.difference == pytest.approx(0.3)
    assert line.best_probability is None


def test_what_many_looks_do_is_said_of_runs_on_other_papers_too(tmp_path: Path) -> None:
    """Two runs were held against the one before: 1 - 0.95^2 = 0.0975."""
    skip = Settings(matcher="lexical", missing="skip", resamples=999)
    for day, last in enumerate((1, 0, 1), start=1):
        made(tmp_path / str(day), day, [day, *[1] * 4, last], settings=skip)
    text = command(str(tmp_path))
    assert "best so far: 3, Match F1" in text
    assert "of resampled papers" not in text
    assert "2 runs were held against the one before" in text
    assert "in 10% of such histories" in text


def test_the_planner_that_is_followed(tmp_path: Path) -> None:
    made(tmp_path / "a", 1, [3] * 6, planner="old")
    made(tmp_path / "b", 2, [1] * 6, planner="lm/new", also="lm/other")
    made(tmp_path / "c", 3, [2] * 6, planner="lm/new", also="lm/other")
    assert [line.planner for line in listed(tmp_path).groups[0].lines] == ["old", "lm/new", "lm/new"]
    assert [line.planner for line in listed(tmp_path, planner="*other").groups[0].lines] == ["lm/other"] * 2
    with pytest.raises(InputError, match="did you mean 'lm/other'"):
        listed(tmp_path, planner="lm/othr")
    assert listed(tmp_path).groups[0].planners[:2] == ("lm/new", "old")


def test_only_what_is_needed_is_read(runs: Path, tmp_path: Path) -> None:
    """Order and figures need run.json and the leaderboard, tests papers, and entries pairs."""
    top = shutil.copytree(runs, tmp_path / "runs")
    for name in ("pairs.csv", "plans.csv", "diagnostics.csv"):
        for folder in top.iterdir():
            (folder / name).unlink()
    assert listed(top).groups[0].lines[1].previous.verdict == "better"
    for folder in top.iterdir():
        (folder / "papers.csv").unlink()
    assert [line.scored.papers for line in listed(top, tests=False).groups[0].lines] == [6] * 3
    assert [Path(path).name for path, _ in listed(top).unread] == ["a-first", "b-second", "c-third", "apart"]


def test_a_run_whose_papers_cannot_be_read_stops_nothing(runs: Path, tmp_path: Path) -> None:
    top = shutil.copytree(runs, tmp_path / "runs")
    (top / "b-second/papers.csv").write_text("planner,paper\n")
    result = listed(top)
    assert [line.run.name for line in result.groups[0].lines] == ["a-first", "c-third"]
    assert result.groups[0].lines[1].previous.difference == pytest.approx(4.7 / 6 - 0.5)
    ((path, reason),) = result.unread
    assert (Path(path).name, "papers.csv" in reason) == ("b-second", True)
    assert "not read:" in command(str(top))


def test_what_cannot_be_read_is_named_and_stops_nothing(runs: Path, tmp_path: Path) -> None:
    top = shutil.copytree(runs, tmp_path / "runs")
    (top / "apart/run.json").write_text("{")
    board = top / "a-first/leaderboard.csv"
    board.write_text(board.read_text().replace("lm,", "lm\x1b[2J,", 1))
    found = list_runs([top], "match_f1")
    assert [run.name for run in found.runs] == ["b-second", "c-third"]
    assert [Path(path).name for path, _ in found.unread] == ["a-first", "apart"]
    assert all("\x1b" not in reason for _, reason in found.unread)
    board.write_text("a\x00b\n" + "x" * 200_000)
    assert len(list_runs([top], "match_f1").unread) == 2
    with pytest.raises(InputError, match="no run there"):
        find_runs([tmp_path / "nowhere"])


def test_tags_and_time_choose(runs: Path) -> None:
    found = list_runs([runs], "match_f1").runs

    def names(*tags: str, since: str = "") -> list[str]:
        return [run.name for run in chosen_runs(found, tags, since)]

    assert names("style=long") == ["b-second", "c-third"]
    assert names("prompt", "style=long") == ["b-second", "c-third"]
    assert names("prompt=v9") == []
    assert names(since="2026-03-03") == ["c-third", "apart"]
    assert names(since="2026-03-03T11:00:00+02:00") == ["c-third", "apart"]
    with pytest.raises(InputError, match="2026-01-31"):
        names(since="last week")


def test_a_run_without_a_time_has_that_of_its_file_and_keeps_its_place(runs: Path, tmp_path: Path) -> None:
    top = shutil.copytree(runs, tmp_path / "runs")
    path = top / "a-first/run.json"
    meta = json.loads(path.read_text())
    del meta["provenance"]
    path.write_text(json.dumps(meta))
    before = read_head(top / "a-first", "match_f1")
    assert (before.says_time, before.made) == (False, {"prompts": []})
    annotate(top / "a-first", "a \x1b[1mnote\n", {"prompt": "v0"})
    after = read_head(top / "a-first", "match_f1")
    assert (after.time, after.note, after.tags) == (before.time, "a \\x1b[1mnote", {"prompt": "v0"})
    assert load_run(top / "a-first").meta["signature"] == meta["signature"]
    with pytest.raises(InputError, match="tag"):
        annotate(top / "a-first", "", {"a b": "1"})


def entries_of(top: Path) -> dict[tuple[str, int], Any]:
    return {(item.paper, item.number): item for item in entry_histories(listed(top).groups[0])}


def test_when_entries_were_found_and_lost(runs: Path) -> None:
    entries = entries_of(runs)
    assert len(entries) == 18
    always, turning, late, never = (entries["paper-0", 1], entries["paper-0", 2], entries["paper-5", 3],
                                    entries["paper-0", 3])  # fmt: skip
    assert (always.found, always.changes) == ((True, True, True), 0)
    assert (turning.found, turning.turns(to=True), turning.turns(to=False)) == ((False, True, False), [1], [2])
    assert (late.found, late.turns(to=True)) == ((False, False, True), [2])
    assert (never.changes, never.turns(to=True)) == (0, [])
    assert [item.changes for item in entry_histories(listed(runs).groups[0])][:2] == [2, 1]
    facts = history_text.entry_facts(turning, ["a", "b", "c"])
    assert (facts["first_found"], facts["last_lost"], facts["found_again"]) == ("b", "c", "")


def test_small_lines_share_one_scale() -> None:
    assert history_text.sparkline([0, 0.5, 1, float("nan")], 0, 1) == "▁▅█–"
    assert history_text.sparkline([0.3, 0.3], 0.3, 0.3) == "▁▁"


def command(*words: str) -> str:
    result = CliRunner().invoke(commands, ("history", *words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_says_what_the_looks_do(runs: Path) -> None:
    text = command(str(runs))
    assert "Match F1 of lm: 3 runs" in text
    assert "+0.300 ▲" in text
    assert "2 runs were held against the one before" in text
    assert "in 10% of such histories" in text  # 1 - 0.95^2 = 0.0975
    assert "not comparable with the runs above: gold is" in text
    assert "best so far: b-second, Match F1 0.800" in text
    assert "18 entries: 6 found in every run, 5 in none, 7 turned" in command(str(runs), "--entries")


def test_rows_for_other_programs(runs: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(command(str(runs), "--format", "csv"))))
    assert [(row["run"], row["group"]) for row in rows] == [
        ("a-first", "1"), ("b-second", "1"), ("c-third", "1"), ("apart", "2"),
    ]  # fmt: skip
    assert (rows[0]["previous_difference"], rows[1]["previous_verdict"]) == ("", "better")
    document = json.loads(command(str(runs), "--json"))
    assert document["rows"][1]["previous_p"] == pytest.approx(1 / 64)
    assert document["groups"][0]["false_alarm"] == pytest.approx(1 - 0.95**2)
    text = command(str(runs), "--format", "markdown")
    assert "| 2026-03-02 | **0.800** | +0.300 ▲ | +0.300 ▲ |" in text
    assert text.index("Not comparable with the runs above: gold is") < text.index("| apart |")
    assert "| position bias | paper-0 | 2 | 1 of 3 | ·●· |" in command(str(runs), "--entries", "--format", "markdown")
    entries = json.loads(command(str(runs), "--entries", "--json"))["rows"]
    assert entries[0]["found_in"] == "010"


def test_hostile_names_notes_and_tags_do_nothing(tmp_path: Path) -> None:
    evil = "=1+1|[x](javascript:1)<b>"
    made(tmp_path / "runs/a", 1, [1] * 6, planner=evil, note=evil, tags={"k": evil})
    made(tmp_path / "runs/b", 2, [2] * 6, planner=evil, note=evil, tags={"k": evil})
    rows = list(csv.reader(io.StringIO(command(str(tmp_path), "--format", "csv"))))
    assert not [cell for row in rows[1:] for cell in row if cell.startswith("=")]
    text = command(str(tmp_path), "--format", "markdown")
    assert "<b>" not in text
    assert "](" not in text.replace("\\](", "")
    assert "[x]" in command(str(tmp_path))


def test_the_trend_is_drawn(runs: Path, tmp_path: Path) -> None:
    command(str(runs), "--plot", str(tmp_path / "trend.svg"))
    text = (tmp_path / "trend.svg").read_text()
    assert "c-third" in text
    assert "left out: 1 run that may not be compared with these" in text
    result = CliRunner().invoke(commands, ("history", str(runs), "--plot", "trend.bmp"))
    assert isinstance(result.exception, InputError)


def test_a_head_holds_no_text_of_a_prompt(tmp_path: Path) -> None:
    """Two hundred heads are in memory at once."""
    prompts = [{"path": "p", "digest": "d", "text": "x" * 100_000}]
    head: RunHead = read_head(made(tmp_path / "a", 1, [1] * 6, prompts=prompts), "match_f1")
    assert head.made["prompts"] == [{"path": "p", "digest": "d"}]
