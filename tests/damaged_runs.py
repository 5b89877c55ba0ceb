"""Runs, baselines, calibrations and labels damaged by a seed, and every command that loads them."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import evalkit
from evalkit.cli import group
from evalkit.errors import EvalkitError
from evalkit.storage.files import read_text, shipped

if TYPE_CHECKING:
    from evalkit.labels.page.tasks import LabelTask, Queue

SAMPLE = shipped("evalkit/sample/plans")
PAPERS = ("simsiam", "dit", "swin-transformer")
CELLS = (
    "", "nan", "inf", "-inf", "-1", "0", "1", "2", "1.5", "1e300", "1e400", "9" * 400, "True", "False", "x", "None",
    "match", "missed", "spurious", "candidate", "planned", "'", "''", "=1+1", "[bold]", "[/x]", "<img src=x>",
    "a\x1b[31mb", "a\0b", "a\nb", "a\r\nb",
    "\u202eb", "b\u2028", "{", "[]", "\\input{x}", "x" * 20_000, "1979-05-27", '"', "😀", ";", "; ",
)  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 2.5, 1e300, 10**400, float("nan"), float("inf"), "", "x", "a\x1b[31mb", "[/x]",
    "\ud800", [], {}, [1], ["x"], {"x": 1}, [[[]]], "9" * 5000, {"": {}}, "sample-planner/careful",
)  # fmt: skip


@cache
def whole() -> dict[str, dict[str, bytes]]:
    """The files of a real run in both forms, of its baseline, and of plans, gold, labels and a calibration."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for planner in sorted(SAMPLE.glob("*/*")):
            for paper in PAPERS:
                for file in planner.glob(f"{paper}.*"):
                    target = place / "plans" / planner.relative_to(SAMPLE) / file.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, target)
        (place / "gold").mkdir()
        for paper in PAPERS:
            shutil.copy(shipped("references") / f"{paper}.json", place / "gold")
        settings = evalkit.Settings(matcher="lexical", resamples=99)
        for form in ("csv", "parquet"):
            evalkit.score(place / "plans", place / "gold", settings, out=place / form, form=form, cache=None)
        os.chdir(place)
        run_quietly(["baseline", "set", "csv", "--name", "base"])
        files = {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
        os.chdir("/")
    files["calibration.json"] = read_text(shipped("configs/calibration/lexical.json")).encode()
    files["labels.jsonl"], files["page.jsonl"], files["page.answers.jsonl"] = labels(), *page()
    kinds: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        kinds.setdefault(name.split("/")[0], {})[name] = content
    kinds["page.jsonl"] |= {"page.answers.jsonl": kinds.pop("page.answers.jsonl")["page.answers.jsonl"]}
    return kinds


def page() -> tuple[bytes, bytes]:
    """The labels and the journal of a page on which some pairs of those plans are answered."""
    from evalkit.labels.page import open_session

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "labels.jsonl").write_bytes(labels())
        session = open_session(*page_tasks(place / "labels.jsonl"), place / "page.jsonl")
        for answer in ("match", "part", "skip", "different"):
            session.answer([session.view()["candidates"][-1]["key"]], answer)
        session.undo()
        session.export()
        return (place / "page.jsonl").read_bytes(), session.journal.path.read_bytes()


def page_tasks(path: Path) -> tuple[list[LabelTask], Queue]:
    """What a page asks about the plans of a label file."""
    from evalkit.labels.page import nearest, tasks_of_labels
    from evalkit.storage.label_files import read_labels

    tasks = tasks_of_labels(read_labels([path]))
    return tasks, nearest(tasks, 0.5)


def label_page() -> None:
    """Work on the damaged labels and journal of a page, as `evalkit label` does."""
    from evalkit.labels.page import open_session

    with suppress(EvalkitError):
        session = open_session(*page_tasks(Path("labels.jsonl")), "page.jsonl")
        view = session.view()
        if not view["done"]:
            session.answer([view["candidates"][0]["key"]], "match")
        session.undo()
        session.export()


def labels() -> bytes:
    """Labels of two plans."""
    entry = {"name": "A", "ablated_part": "p", "action": "REPLACE", "replacement": ["x"], "metrics": ["m"]}
    lists = {"gold": [entry, entry], "plan": [entry], "match": [[0, 0]], "same_part": [[0, 0]]}
    rows = [{"paper": paper, "planner": "p", **lists} for paper in ("x", "y")]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def run_quietly(words: Sequence[str]) -> None:
    """Run a command in this process; a user's mistake is nothing to report."""
    quiet = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], suppress(EvalkitError, click.ClickException):
        group(list(words), standalone_mode=False)


def label_tasks(run: str) -> None:
    """Read a run as `evalkit label` does before it serves its page."""
    from evalkit.labels.page import nearest, tasks_of_run, threshold_of
    from evalkit.storage.runs import load_run

    with suppress(EvalkitError):
        loaded = load_run(run)
        nearest(tasks_of_run(loaded), threshold_of(loaded))


# As a user types them; RUN is the damaged run.
RUN_COMMANDS = tuple(line.split() for line in """
    show RUN
    show RUN --limit 0
    show RUN --json
    show RUN --paper dit
    table RUN
    table RUN --format latex
    table RUN --format csv
    table RUN --format html
    table RUN --format json
    table RUN csv
    report RUN --out r.html
    report csv RUN --out r.html
    report RUN csv --out r.html
    compare csv RUN
    compare RUN csv
    compare RUN RUN --json
    compare csv RUN --force --markdown m.md
    gate csv RUN
    gate RUN csv --junit j.xml
    gate baselines/base.json RUN --annotations
    baseline set RUN --name new --force
    export RUN --to ablationbench-plans --out e --force
    export RUN --to ablationbench-judge --out e --force
    export RUN --to inspect --out e --force
    export RUN --to metrics-json --out e --force
    agree --pred plans --gold gold --judgements RUN
    score --pred plans --gold gold --no-cache --judgements RUN --out new --force --resamples 0
    plot RUN planners --out p.svg
    plot RUN probabilities --out p.svg
    label-tasks RUN
""".strip().splitlines())  # fmt: skip
COMMANDS = {
    "csv": RUN_COMMANDS,
    "parquet": RUN_COMMANDS,
    "baselines": tuple(line.split() for line in """
        baseline show base
        baseline show base --json
        baseline list
        compare baselines/base.json csv
        compare csv base --json
        compare base base
        gate base csv
        gate csv base --junit j.xml
    """.strip().splitlines()),
    "calibration.json": tuple(line.split() for line in """
        score --pred plans --gold gold --no-cache --matcher lexical --calibration calibration.json --out new --force
        agree --labels labels.jsonl --matcher lexical --calibration calibration.json --no-cache
    """.strip().splitlines()),
    "labels.jsonl": tuple(line.split() for line in """
        agree --labels labels.jsonl --matcher lexical --no-cache
        score --pred plans --gold gold --no-cache --matcher lexical --labels labels.jsonl --out new --force
        agree --pred plans --gold gold --judgements labels.jsonl
        calibrate --matcher lexical --labels labels.jsonl --out new.json --force
        label-page
    """.strip().splitlines()),
    "page.jsonl": (["label-page"],),
}  # fmt: skip


def damaged(rng: random.Random, kind: str) -> dict[str, bytes]:
    """Return the files of a kind after one to three mishaps."""
    files = dict(whole()[kind])
    for _ in range(rng.randint(1, 3)):
        if not files:
            break
        name = rng.choice(sorted(files))
        content = files[name]
        if rng.random() < 0.15 or name.endswith(".parquet"):
            files[name] = bytes_damaged(rng, content)
        elif name.endswith(".csv"):
            files[name] = table_damaged(rng, content)
        else:
            files[name] = json_damaged(rng, content, lines=name.endswith(".jsonl"))
        if rng.random() < 0.02:
            del files[name]
    return files


def bytes_damaged(rng: random.Random, content: bytes) -> bytes:
    """Some bytes are others, or the end or a piece is missing."""
    noisy = bytearray(content or b" ")
    for _ in range(rng.randint(1, 4)):
        noisy[rng.randrange(len(noisy))] = rng.randrange(256)
    if rng.random() < 0.5:
        start = rng.randrange(len(noisy))
        del noisy[start : rng.choice((len(noisy), start + rng.randint(1, 200)))]
    return bytes(noisy)


def table_damaged(rng: random.Random, content: bytes) -> bytes:
    """Rows are lost, doubled, swapped or cut, cells and heads are others, columns go."""
    text = content.decode("utf-8", "replace")
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error:
        return bytes_damaged(rng, content)
    if len(rows) < 2:
        return bytes_damaged(rng, content)
    row, column = rng.randrange(len(rows)), rng.randrange(max(1, len(rows[0])))
    match rng.randrange(9):
        case 0:
            del rows[row]
        case 1:
            rows.insert(rng.randrange(len(rows)), rows[row])
        case 2:
            rows[row] = rows[row][: rng.randrange(len(rows[row]) + 1)]
        case 3:
            rows = [cells[:column] + cells[column + 1 :] for cells in rows]
        case 4:
            del rows[1 + rng.randrange(len(rows) - 1) :]
        case 5:
            other = rng.randrange(len(rows))
            rows[row], rows[other] = rows[other], rows[row]
        case _:
            for cells in rows[1:] if rng.random() < 0.2 else [rows[row]]:
                if column < len(cells):
                    cells[column] = rng.choice(CELLS)
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def json_damaged(rng: random.Random, content: bytes, *, lines: bool) -> bytes:
    """A value of a JSON document is another one, is gone, or has a neighbour."""
    try:
        trees = [json.loads(line) for line in content.decode().splitlines()] if lines else [json.loads(content)]
    except ValueError:
        return bytes_damaged(rng, content)
    if not trees:
        return content
    holder: Any = {"": rng.choice(trees)}
    root, key = holder, ""
    while isinstance(inner := holder[key], dict | list) and inner and rng.random() < 0.8:
        holder = inner
        key = rng.choice(sorted(holder, key=str)) if isinstance(holder, dict) else rng.randrange(len(holder))
    match rng.randrange(4):
        case 0 if holder is not root:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(("x", "", "a\x1b[31mb", "2", "planner"))] = rng.choice(VALUES)
        case 2 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = rng.choice(VALUES)
    try:
        made = "\n".join(json.dumps(root[""] if tree is None else tree) for tree in (trees if lines else [None]))
    except ValueError:  # an integer of more digits than Python prints
        return content
    return made.encode("utf-8", "surrogatepass")


@contextmanager
def project() -> Iterator[Path]:
    """A folder with all whole files, in which commands run."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for files in whole().values():
            write(Path(folder), files)
        before = Path.cwd()
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def write(place: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def try_one(seed: int | bytes, kind: str, place: Path, words: Sequence[str] | None = None) -> tuple[str, ...]:
    """Damage what a seed says in a project and let a command read it; whatever it raises is a bug."""
    rng = random.Random(seed)
    files = damaged(rng, kind)
    chosen = tuple(words or rng.choice(COMMANDS[kind]))
    root = {"csv": "damaged", "parquet": "damaged"}.get(kind, "")
    shutil.rmtree(place / "damaged", ignore_errors=True)
    placed = {name.replace(f"{kind}/", f"{root}/", 1) if root else name: text for name, text in files.items()}
    for name in whole()[kind]:
        if not root and name not in placed:
            (place / name).unlink(missing_ok=True)
    write(place, placed)
    try:
        if chosen[0] == "label-tasks":
            label_tasks("damaged")
        elif chosen[0] == "label-page":
            label_page()
        else:
            run_quietly(["damaged" if word == "RUN" else word for word in chosen])
    finally:
        if not root:
            write(place, whole()[kind])
    return chosen
