"""Runs: what is saved is what is loaded, cells cannot become formulas, and other folders are refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import entry, gold, plan

from evalkit.errors import InputError
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run, load_run
from evalkit.storage.tables import to_csv

HOSTILE = ["=1+1", "+x", "-x", "@x", "'quoted", "\tx", "001", "NA", "null", "a,b", 'say "x"', "two\nlines", "ünï"]


def scored(*names: str) -> Run:
    entries = [entry(name, "REPLACE", [name], [name]) for name in names]
    return score_run(
        [plan(*entries, paper="001", planner="p"), plan(paper="NA", planner="q")],
        [gold(*entries, paper="001"), gold(entry("other"), paper="NA")],
        Settings(matcher="lexical", resamples=99),
    )


def test_saved_and_loaded_are_the_same(tmp_path: Path) -> None:
    run = scored(*HOSTILE)
    loaded = load_run(run.save(tmp_path / "run"))
    assert loaded.meta == json.loads(json.dumps(run.meta))
    for name in ("leaderboard", "papers", "pairs", "plans", "diagnostics"):
        assert to_csv(getattr(loaded, name)) == to_csv(getattr(run, name)), name
    assert set(loaded.pairs["gold_name"].dropna()) == {*HOSTILE, "other"}
    assert set(loaded.papers["paper"]) == {"001", "NA"}


def test_no_cell_begins_like_a_formula() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(scored(*HOSTILE).pairs))))
    text = [cell for row in rows[1:] for cell in row if cell and not cell[0].isdigit()]
    assert not [cell for cell in text if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_undefined_is_an_empty_cell_and_lines_end_in_newline() -> None:
    text = to_csv(pd.DataFrame({"planner": ["a"], "match_precision": [float("nan")], "n": [0]}))
    assert text == "planner,match_precision,n\na,,0\n"


def test_the_documented_way_to_read_a_table_back(tmp_path: Path) -> None:
    folder = scored("a").save(tmp_path / "run")
    frame = pd.read_csv(folder / "papers.csv", dtype={"paper": str}, keep_default_na=False, na_values=[""])
    assert set(frame["paper"]) == {"001", "NA"}
    assert frame.loc[frame["planner"] == "q", "match_precision"].isna().all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no run there"),
        ("{", "not the run.json"),
        ("[]", "not the run.json"),
        ('{"schema_version": 9}', "reads 1"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_run(tmp_path)


def test_papers_and_planners_are_found_however_written() -> None:
    run = scored("a")
    assert run.plans_of("na") == [("NA", "p"), ("NA", "q")]
    assert run.plans_of("001", "p") == [("001", "p")]
    with pytest.raises(InputError, match="no paper '0011' in this run; did you mean '001'"):
        run.plans_of("0011")
    with pytest.raises(InputError, match="no planner 'z' for '001'"):
        run.plans_of("001", "z")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pairs.csv", lambda text: text.replace("status", "state", 1), "expected a column 'status', found none"),
        ("papers.csv", lambda text: text[: text.rindex("q,NA") + 2], "a row does not say its planner and paper"),
        ("plans.csv", lambda text: text[:0], "not a table as evalkit writes it"),
        ("run.json", lambda text: text.replace('"alignment": "one-to-one",', "", 1), "not the run.json"),
    ],
)
def test_a_run_folder_that_was_damaged_is_refused(tmp_path: Path, name: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    path = scored("a").save(tmp_path / "run") / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_run(path.parent)
