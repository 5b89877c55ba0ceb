"""A run in Parquet: the same values, types and gaps as in CSV, for pandas and for every command that reads a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import entry, few, gold, plan

from evalkit.cli import group
from evalkit.labels.page import tasks_of_run
from evalkit.storage.label_files import LabelledPlan, write_labels
from evalkit.storage.runs import LONG, TABLES, load_run
from evalkit.storage.tables import WHOLE

pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
GATE = {"name": "Gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["accuracy"]}
LOSS = {"name": "=Loss", "ablated_part": "λ weight of the loss", "action": "REPLACE", "replacement": ["0.1", "+0.5"]}
OPEN = {"name": "NA", "ablated_part": "temporal attention"}
ODD = {"name": 'Depth, "deep"\nor not', "ablated_part": "-depth", "action": "ADD", "replacement": ["1", "2"]}
DOCUMENTS = {
    "gold/001.json": [GATE, LOSS],
    "gold/x.json": [OPEN, ODD],
    "gold/y.json": [GATE],
    "gold/z.json": [LOSS],
    "plans/None/001.json": [GATE, ODD],
    "plans/None/x.1.json": [OPEN | {"action": "REMOVE"}, GATE],
    "plans/None/x.2.json": [ODD],
    "plans/None/y.json": "no plan at all",
    "plans/lab/=b/001.json": [LOSS],
    "plans/lab/=b/x.json": [],
    "other/None/001.json": [GATE, LOSS],
    "other/lab/=b/001.json": [ODD],
}
KINDS = {
    "plain": [],
    "processes": ["--engine", "processes", "--workers", "2"],
    "beside": ["--alignment", "group", "--compat", "ablationbench"],
    "judged": ["--judgements", "earlier"],
    "labelled": ["--labels", "labels.jsonl"],
    "one paper": ["--missing", "skip", "--pred", "other"],
}


def evalkit(*words: str) -> str:
    done = CliRunner().invoke(group, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def score(out: str, *more: str) -> None:
    words = ["score", "--pred", "plans", "--gold", "gold", "--out", out, "--matcher", "lexical", "--resamples", "99"]
    evalkit(*words, "--no-cache", *more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plans of all kinds, and a run of each kind in either form: csv/<kind> and parquet/<kind>."""
    top = tmp_path_factory.mktemp("project")
    for name, content in DOCUMENTS.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    lists = gold(entry("gate"), paper="y"), plan(entry("gate"), paper="y")
    given = LabelledPlan("y", "None", lists[0].ablations, lists[1].ablations, frozenset(), frozenset())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        score("earlier", "--format", "parquet")
        whole = tasks_of_run(load_run("earlier"))
        none = frozenset[tuple[int, int]]()
        rows = [
            LabelledPlan(task.paper, task.planner, task.gold, task.plan, none, none, sample=task.sample)
            for task in whole
        ]
        Path("labels.jsonl").write_text(write_labels([*rows, given]), encoding="utf-8")
        for form in ("csv", "parquet"):
            for kind, words in KINDS.items():
                score(f"{form}/{kind}", "--format", form, *words)
                if form == "parquet":  # when and by which command a run was made is its own
                    facts = [json.loads(Path(place, kind, "run.json").read_text("utf-8")) for place in ("csv", form)]
                    known = facts[1] | {"provenance": facts[0]["provenance"]}
                    Path(form, kind, "run.json").write_text(json.dumps(known), encoding="utf-8")
    return top


def as_csv(path: Path) -> pd.DataFrame:
    """A table as the README says that it is read."""
    text = dict.fromkeys(("paper", "planner", "sample"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", LONG)
def test_pandas_reads_the_same_from_either_form(folder: Path, kind: str, table: str) -> None:
    plain, found = (
        as_csv(folder / "csv" / kind / f"{table}.csv"),
        pd.read_parquet(folder / "parquet" / kind / f"{table}.parquet"),
    )
    assert list(found) == list(plain)
    assert found.isna().equals(plain.isna())  # undefined is null, and nothing else is
    for name in found:
        # CSV keeps spreadsheets from executing a cell; Parquet has no need to.
        text = plain[name].map(
            lambda cell: cell[1:] if isinstance(cell, str) and cell[:2] in ("'=", "'+", "'-") else cell
        )
        message, numbers = found[name].dropna(), pd.api.types.is_numeric_dtype(found[name])
        if numbers:
            np.testing.assert_allclose(found[name].astype(float), text.astype(float), rtol=1e-9, err_msg=name)
        else:
            assert message.tolist() == text.dropna().tolist(), name
            assert {type(cell) for cell in message} <= ({bool} if name in ("borderline", "same_action") else {str}), (
                name
            )
        assert name not in WHOLE or len(message) == 0 or (message % 1 == 0).all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_loads_the_same_from_either_form(folder: Path, kind: str) -> None:
    csv, parquet = load_run(folder / "csv" / kind), load_run(folder / "parquet" / kind)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(parquet, table), getattr(csv, table), rtol=1e-9, obj=table)
    assert parquet.meta == csv.meta
    assert tasks_of_run(parquet) == tasks_of_run(csv)


def test_types_of_columns_follow_from_their_names(folder: Path) -> None:
    import pyarrow.parquet as pq

    for table in LONG:
        plain, other = (
            pq.read_schema(folder / "parquet" / kind / f"{table}.parquet") for kind in ("plain", "one paper")
        )
        assert plain.equals(other), table
    assert {str(plain.field(name).type) for name in ("planner", "path", "trace", "signature")} == {"string"}


def test_engines_write_the_same_parquet(folder: Path) -> None:
    for table in LONG:
        one, other = (folder / "parquet" / kind / f"{table}.parquet" for kind in ("plain", "processes"))
        pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other), check_exact=True)
        assert one.read_bytes() == other.read_bytes()


READERS = {
    "compare": ["compare", "plain", "beside", "--force", "--json"],
    "compare as text": ["compare", "plain", "beside", "--force"],
    "corrected": ["compare", "labelled", "labelled", "--corrected", "--json"],
    "gate": ["gate", "plain", "plain", "--json"],
    "table": ["table", "plain", "beside", "--format", "latex"],
    "show": ["show", "plain", "--paper", "001"],
    "show samples": ["show", "plain", "--paper", "x", "--planner", "None"],
    "report": ["report", "plain", "--out", "out/report.html"],
    "report of two": ["report", "plain", "beside", "--force", "--out", "out/report.html"],
    "baseline": ["baseline", "set", "plain", "--dir", "out"],
    "plans": ["export", "plain", "--to", "ablationbench-plans", "--out", "out"],
    "judge": ["export", "judged", "--to", "ablationbench-judge", "--out", "out"],
    "metrics": ["export", "beside", "--to", "metrics-json", "--out", "out"],
    "earlier": ["agree", "--judgements", "plain", "--judgements", "judged", "--pred", "../plans", "--gold", "../gold",
                "--json"],
}  # fmt: skip


@pytest.mark.parametrize("name", few(READERS, every=2))
def test_every_reader_says_the_same_of_either_form(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("report"):
        pytest.importorskip("altair", reason="the extra `report` is not installed")
    answer = {}
    for form in ("csv", "parquet"):
        monkeypatch.chdir(folder / form)
        printed = evalkit(*READERS[name])
        files = {path: path.read_bytes() for path in sorted(Path("out").rglob("*")) if path.is_file()}
        answer[form] = printed, files
        for path in files:
            path.unlink()
    assert answer["csv"] == answer["parquet"]
