"""Every other file that a user can bring, damaged: read, or refused with an error that names it, and nothing else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from conftest import entry, gold, plan
from damage import DAMAGES, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import small_run

from evalkit.comparison.baseline import baseline_text, parse_baseline
from evalkit.comparison.gate_rules import parse_gate
from evalkit.comparison.snapshot import snapshot_of
from evalkit.errors import EvalkitError, InputError
from evalkit.formats import arrow
from evalkit.judges.recorded import read_judge
from evalkit.labels.page.journal import read_journal
from evalkit.matching.calibration import Calibration, load_calibration, probabilities
from evalkit.matching.features import features
from evalkit.settings import parse_settings
from evalkit.storage.discovery import documents
from evalkit.storage.files import read_text, shipped
from evalkit.storage.label_files import LabelledPlan, read_labels, write_labels
from evalkit.storage.runs import load_run
from evalkit.types import Diagnostic

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLACE = "given.file"


@cache
def labels() -> str:
    """Two labelled plans."""
    lists = gold(entry("gate", "REPLACE", ["none"], ["F1"]), entry("loss")), plan(entry("gate"), entry("depth"))
    match, part = frozenset({(0, 0)}), frozenset({(0, 0)})
    rows = [LabelledPlan(paper, "p", lists[0].ablations, lists[1].ablations, match, part) for paper in ("x", "y")]
    return write_labels(rows)


@cache
def run_files(form: str = "csv") -> dict[str, bytes]:
    """The files of a small run."""
    with tempfile.TemporaryDirectory() as folder:
        small_run().save(Path(folder) / "run", form=form)
        return {path.name: path.read_bytes() for path in (Path(folder) / "run").iterdir()}


@cache
def table(suffix: str) -> bytes:
    """Two plans as a table."""
    pa = pytest.importorskip("pyarrow")
    rows = pa.table({"id": ["x", "y"], "ablations_in_paper": ['[{"name": "A", "ablated_part": "p"}]'] * 2})
    sink = pa.BufferOutputStream()
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(rows, sink)
    else:
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
    return bytes(sink.getvalue().to_pybytes())


def decide(calibration: Calibration) -> None:
    """A calibration that was accepted decides."""
    both = [entry("gate"), entry("depth", "REPLACE", ["two layers"])]
    part, match = probabilities(features(both, both, None), calibration)
    assert ((match >= 0) & (match <= part + 1e-9) & (part <= 1)).all()


def in_file(read: Callable[[str], object], name: str = PLACE) -> Callable[[str], object]:
    """A reader of paths as a reader of texts."""

    def from_text(text: str) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            return read(str(path))

    return from_text


JUDGED = (
    '{"name_in_paper": "A", "name_in_plan": ["B", null]}\n{"name_in_paper": ["A", "C"], "name_in_plan": null}\n'
    '{"name_in_plan": "B", "appears_in_review": true}\n'
)
CALIBRATION = read_text(shipped("configs/calibration/lexical.json"))
JOURNAL = (
    '{"evalkit_labels": 1, "annotator": "a", "sampling": "papers"}\n{"keys": ["x", "y"], "answer": "match"}\n'
    '{"keys": ["z"], "answer": "no"}\n{"undo": true}\n'
)
READERS: dict[str, tuple[Callable[[], str], Callable[[str], object]]] = {
    "settings": (lambda: read_text(shipped("configs/default.toml")), lambda text: parse_settings(text, PLACE)),
    "gate": (lambda: read_text(shipped("configs/gate.toml")), lambda text: parse_gate(text, PLACE)),
    "labels": (labels, in_file(lambda path: read_labels([path]))),
    "judgements": (lambda: JUDGED, in_file(read_judge, "x.jsonl")),
    "labels as judgements": (labels, in_file(read_judge, "x.jsonl")),
    "published figures": (lambda: '{"id": "x", "precision": 0.5}\n' + JUDGED, in_file(read_judge, "evaluations.json")),
    "calibration": (lambda: CALIBRATION, lambda text: decide(load_calibration(text, PLACE))),
    "journal": (lambda: JOURNAL, in_file(lambda path: read_journal(Path(path)))),
    "pairs": (lambda: run_files()["pairs.csv"].decode(), in_file(read_judge, "pairs.csv")),
    "baseline": (lambda: baseline_text(snapshot_of(small_run(), "b"), "b"), lambda text: parse_baseline(text, PLACE)),
}


SOMETHING_ELSE = (
    "", "[" * 100_000, '{"a":' * 100_000, "a = " + "[" * 100_000, "\0", "1" * 5000, "NaN", '"x"', "[]", "{}"
)  # fmt: skip


def refused_or_read(read: Callable[[str], object], text: str) -> None:
    """A user's mistake is told as one; everything else is a bug."""
    with suppress(EvalkitError):
        read(text)


@st.composite
def mishaps(draw: st.DrawFn, text: str) -> str:
    """A text that has met up to three mishaps."""
    for damage in draw(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=3)):
        text = damage(draw, text)
    return text


@pytest.mark.parametrize("name", READERS)
@QUICK
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    whole, read = READERS[name]
    refused_or_read(read, data.draw(mishaps(whole())))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", SOMETHING_ELSE, ids=lambda text: text[:8])
def test_another_kind_of_file_is_read_or_refused(name: str, text: str) -> None:
    refused_or_read(READERS[name][1], text)


def load(files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        refused_or_read(load_run, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"part": None, "match": 0.4, "low": 0.1, "high": 0.6}},
        {"thresholds": {"part": float("nan"), "match": 0.4, "low": 0.1, "high": 0.6}},
        {"part": {"weights": {"word.head>head.mean": float("inf")}, "middle": {}, "intercept": 0.0}},
        {"part": {"weights": {"word.head>head.mean": "many"}, "middle": {}, "intercept": 0.0}},
        {"part": {"weights": [], "middle": {}, "intercept": 0.0}},
        {"match": {"weights": {}, "middle": {}, "intercept": None}},
        {"versions": []},
        {"versions": {}},
        {"schema_version": "1"},
    ],
)
def test_a_calibration_that_cannot_decide_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=PLACE):
        load_calibration(json.dumps(json.loads(CALIBRATION) | change), PLACE)


@QUICK
@given(st.sampled_from(["run.json", "pairs.csv", "papers.csv", "leaderboard.csv"]), st.data())
def test_a_damaged_run_is_loaded_or_refused(name: str, data: st.DataObject) -> None:
    text = data.draw(mishaps(run_files()[name].decode()))
    load(run_files() | {name: text.encode("utf-8", "surrogatepass")})


@st.composite
def overwritten(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some are others, and the end may be missing."""
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    noisy = bytearray(content)
    for at, byte in draw(st.lists(places, max_size=6)):
        noisy[at] = byte
    return bytes(noisy[: draw(st.just(len(content)) | st.integers(0, len(content)))])


@QUICK
@given(st.data())
def test_a_damaged_parquet_run_is_loaded_or_refused(data: st.DataObject) -> None:
    pytest.importorskip("pyarrow")
    whole = run_files("parquet")
    load(whole | {"pairs.parquet": data.draw(overwritten(whole["pairs.parquet"]))})


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@QUICK
@given(data=st.data())
def test_a_damaged_table_is_read_or_refused(suffix: str, data: st.DataObject) -> None:
    with suppress(arrow.TableError):
        arrow.rows(data.draw(overwritten(table(suffix))), suffix)


@QUICK
@given(
    damaged(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "gb18030"]), st.data()
)
def test_any_bytes_become_a_document_or_diagnostic(text: str, encoding: str, data: st.DataObject) -> None:
    content = text.encode(encoding, "replace")[data.draw(st.integers(0, 3)) :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.md").write_bytes(content)
        items = list(documents(folder, planners=True))
    assert items
    assert all(isinstance(item, Diagnostic) or item.text == item.text.encode("utf-8").decode() for item in items)
