"""Runs, baselines, calibrations and labels are validated whole when they are loaded, and refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from damaged_runs import COMMANDS, project, run_quietly, try_one, whole, write

import evalkit
from evalkit.comparison.baseline import parse_baseline
from evalkit.errors import InputError
from evalkit.matching.calibration import load_calibration
from evalkit.scoring.rows import PAIR_COLUMNS, PLAN_COLUMNS
from evalkit.storage.runs import TABLES, load_run
from evalkit.storage.schema import NEEDED, PRESENT, check_table
from evalkit.storage.tables import TEXTS, from_csv, to_csv
from evalkit.types import Ablation, Action, Diagnostic, Plan

SEEDS = 12  # for each kind of file; `make fuzz` tries as many as there is time for


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with project() as folder:
        yield folder


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_damaged_is_read_or_refused(kind: str, seed: int, place: Path) -> None:
    try_one(seed, kind, place)


@pytest.mark.parametrize("words", COMMANDS["csv"], ids=" ".join)
def test_every_command_reads_damaged_runs(words: list[str], place: Path) -> None:
    for seed in range(100, 103):
        try_one(seed, "csv", place, words)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path, whole()["csv"])
    return tmp_path / "csv"


def frame_of(run: Path, name: str) -> pd.DataFrame:
    """A table of a run, every cell as it is written."""
    return pd.read_csv(run / f"{name}.csv", dtype=str, keep_default_na=False)


def refusal(run: Path, name: str, frame: pd.DataFrame) -> str:
    """Say how a run is refused that has this table in place of its own; nothing when it is not."""
    whole_text = (run / f"{name}.csv").read_text(encoding="utf-8")
    (run / f"{name}.csv").write_text(to_csv(frame), encoding="utf-8")
    try:
        load_run(run)
    except InputError as error:
        return str(error)
    finally:
        (run / f"{name}.csv").write_text(whole_text, encoding="utf-8")
    return ""


FREE = {"speaks_for", "speaks_against", "message", "trace", "gold_name", "gold_part", "plan_name", "plan_part",
        "gold_replacements", "plan_replacements", "gold_metrics", "plan_metrics"}  # fmt: skip


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_kind_and_bounds(name: str, every: bool, run: Path) -> None:
    """One cell at a time is something that its column cannot hold: the message names file, row and column.

    Columns of numbers take turns with what is no number of theirs, unless every one is tried.
    """
    frame = frame_of(run, name).iloc[:1]
    frame = frame if len(frame) else pd.DataFrame([["error", "c", "p", "1", "m", "s"]], columns=frame.columns)
    signature = frame["signature"][0]
    check_table(name, from_csv(to_csv(frame), name), name, signature)
    for place, column in enumerate(frame.columns):
        numbers = ["inf", "-2", "1e300", "x", "9" * 400]
        bad = ["a\x1b[31mb"] if column in (*TEXTS, "signature") else numbers if every else [numbers[place % 5]]
        for value in [] if column in FREE else bad:
            needed = PRESENT.get(name, NEEDED[name]) if every else NEEDED[name]
            few = dict.fromkeys((*needed, column, "signature"))
            text = to_csv({other: [value if other == column else frame[other][0]] for other in few})
            with pytest.raises(InputError) as caught:
                check_table(name, from_csv(text, name), name, signature, whole=every)
            assert str(caught.value).startswith(f"{name}: row 1, column {column!r}: expected ")
            assert "\x1b" not in str(caught.value)


ROWS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "none": lambda frame: frame.iloc[:0],
    "without the first": lambda frame: frame.iloc[1:],
    "without the last": lambda frame: frame.iloc[:-1],
    "twice": lambda frame: pd.concat([frame, frame]),
    "one twice": lambda frame: pd.concat([frame, frame.iloc[[0]]]),
    "of another planner": lambda frame: frame.assign(planner="somebody"),
    "of another run": lambda frame: frame.assign(signature="0123456789ab"),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", ["leaderboard", "papers", "pairs", "plans"])
def test_rows_that_are_lost_doubled_or_strange_are_refused(name: str, rows: str, run: Path) -> None:
    frame = frame_of(run, name)
    if name == "pairs":  # what is only worth a look may be absent
        frame = frame[frame["status"] != "candidate"]
        assert refusal(run, name, frame) == ""
    assert refusal(run, name, ROWS[rows](frame)).startswith(str(run))


@pytest.mark.parametrize(("name", "column", "value"), [
    ("papers", "status", "lost"), ("plans", "status", "match"), ("pairs", "status", "planned"),
    ("pairs", "gold_action", "DELETE"), ("pairs", "borderline", "maybe"), ("pairs", "gold_entry", "1.5"),
    ("pairs", "match_probability", "1.2"), ("papers", "samples", "0"), ("papers", "match_f1", "1.1"),
    ("leaderboard", "match_f1_low", "-0.5"), ("leaderboard", "papers", "7"), ("pairs", "gold_entry", ""),
])  # fmt: skip
def test_values_outside_their_kind_are_refused(name: str, column: str, value: str, run: Path) -> None:
    frame = frame_of(run, name)
    frame.loc[0, column] = value
    message = refusal(run, name, frame)
    assert message.startswith(str(run))
    assert column in message or "rows" in message


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a tree of JSON."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from leaves(value, (*path, key))


def replaced(text: str, path: tuple[Any, ...], value: Any) -> str:
    """A document of JSON with another value at a path."""
    tree = {"": json.loads(text)}
    inner: Any = tree
    *way, last = ("", *path)
    for key in way:
        inner = inner[key]
    inner[last] = value
    return json.dumps(tree[""])


@pytest.mark.slow
def test_a_run_that_lacks_a_fact_is_refused_or_read_without_it(place: Path) -> None:
    """Every key of run.json is taken out in turn."""
    (place / "lacking").mkdir()
    write(place / "lacking", {Path(name).name: content for name, content in whole()["csv"].items()})
    text = (place / "lacking" / "run.json").read_text(encoding="utf-8")
    for *way, last in (path for path in leaves(json.loads(text)) if path):
        inner = tree = json.loads(text)
        for key in way:
            inner = inner[key]
        del inner[last]
        (place / "lacking" / "run.json").write_text(json.dumps(tree), encoding="utf-8")
        for words in (["table", "lacking", "csv"], ["show", "lacking", "--json"]):
            run_quietly(words)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_table_that_lacks_a_column_that_is_always_there_is_refused(every: bool, run: Path) -> None:
    """Each column as the table is checked; by a whole run the last one, or with `every` all of them."""
    assert PRESENT["pairs"] == tuple(PAIR_COLUMNS)
    assert PRESENT["plans"] == tuple(PLAN_COLUMNS)
    for name in TABLES:
        frame = frame_of(run, name)
        always = PRESENT[name] if name in ("leaderboard", "papers") else set(frame.columns) - {"signature"}
        for number, column in enumerate(always, 1):
            with pytest.raises(InputError, match=f"^{name}: expected a column {column!r}, found none"):
                check_table(name, frame.drop(columns=column), name, "")
            if every or number == len(always):
                assert f"{name}.csv: expected a column {column!r}" in refusal(run, name, frame.drop(columns=column))


WRONG = ([[[]]], {"\x1b": {}}, 10**400, float("nan"))


def documents() -> dict[str, tuple[str, Callable[[str, Path], object]]]:
    """Each kind of JSON with how it is read."""

    def read_run(text: str, run: Path) -> object:
        (run / "run.json").write_text(text, encoding="utf-8")
        return load_run(run)

    return {
        "run.json": (whole()["csv"]["csv/run.json"].decode(), read_run),
        "baseline": (
            whole()["baselines"]["baselines/base.json"].decode(),
            lambda text, _: parse_baseline(text, "b.json"),
        ),
        "calibration": (
            whole()["calibration.json"]["calibration.json"].decode(),
            lambda text, _: load_calibration(text, "c.json"),
        ),
    }


# What nobody reads when it is there: settings of other versions, versions of packages, how labels were collected.
UNREAD = ("settings", "versions", "fitted_on", "cross_validation", "evalkit_baseline", "schema_version")


@pytest.mark.parametrize(("name", "step"), [
    ("baseline", 5), ("calibration", 5),
    *(pytest.param(name, 1, marks=pytest.mark.slow) for name in ("run.json", "baseline", "calibration")),
])  # fmt: skip
def test_every_value_of_a_document_has_a_kind(name: str, step: int, run: Path) -> None:
    text, read = documents()[name]
    read(text, run)
    messages, read_all_the_same = [], []
    for path in list(leaves(json.loads(text)))[:300:step]:
        for value in WRONG:
            try:
                read(replaced(text, path, value), run)
                read_all_the_same.append(path)
            except InputError as error:
                messages.append(str(error))
    assert messages
    assert not [message for message in messages if "\x1b" in message or len(message) > 1000]
    assert not [path for path in read_all_the_same if not path or path[0] not in UNREAD]


def test_a_key_that_comes_twice_is_refused(run: Path) -> None:
    text, read = documents()["baseline"]
    with pytest.raises(InputError, match=r"b\.json"):
        read(text.replace('"name": "base"', '"name": "base", "name": "base"', 1), run)


@pytest.mark.parametrize("digest", ["172197319989", "000000000012", "12345e678901", "1e5000000000"])
def test_a_signature_of_digits_is_a_text(digest: str) -> None:
    frame = from_csv(f"severity,code,path,line,message,signature\nerror,c,p,1,m,{digest}\n", "d.csv")
    check_table("diagnostics", frame, "d.csv", digest)


def test_names_given_by_a_program_are_written_so_that_they_can_be_read(tmp_path: Path) -> None:
    entry = Ablation("gate", "gate", Action.REMOVE)
    found = (Diagnostic("warning", "entry", "odd", "a\x1bb", 1),)
    plan = Plan("pa\nper", "pl\u202eanner", (entry,), found, "a\x1bb", sample="s\0")
    run = evalkit.score([plan], [Plan("pa\nper", None, (entry,))], evalkit.Settings(matcher="lexical"), cache=None)
    run.save(tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.papers[["planner", "paper"]].values.tolist() == [["pl\\u202eanner", "pa\\nper"]]
    assert again.plans[["sample", "path"]].values.tolist() == [["s\\x00", "a\\x1bb"]]
    assert run.papers["planner"].tolist() == again.papers["planner"].tolist()
