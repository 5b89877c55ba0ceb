"""Standard output that is not Unicode, closed, full or left, for every command; and names that look like markup."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from conftest import few
from test_house import modules, tree

from evalkit.cli import COMMANDS
from evalkit.cli.streams import Guarded, Stream
from evalkit.errors import OutputError

ENTRY = {"name": "[/x] :smile: π", "ablated_part": "[bold]é", "action": "REMOVE", "metrics": ["[link=x]F1"]}
RUN, PLANNER = "o[/x]", "[red]:smile:大"
SHOW_PLACES = ("score", "report", "plot", "compare", "gate", "baseline", "export", "cache", "agree")
SHOW_PLANNERS = ("score", "show", "compare", "baseline", "history")
COLUMNS = {"COLUMNS": "200", "PYTHONUTF8": "1"}
# For each command some words that print something; those that ask or serve show their help.
WORDS: dict[str, tuple[str, ...]] = {
    "score": ("--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--out", RUN, "--force", "--resamples", "9"),
    "show": (RUN,),
    "report": (RUN, "--out", f"{RUN}.html"),
    "table": (RUN,),
    "plot": (RUN, "planners", "--out", "x[/y].svg"),
    "compare": (RUN, RUN),
    "gate": (RUN, RUN),
    "baseline": ("set", RUN, "--name", "b"),
    "export": (RUN, "--to", "inspect", "--out", "e[/x]", "--force"),
    "log": ("--help",),
    "gold": ("confirm", "gold", "--all"),
    "label": ("--help",),
    "validate": ("plans",),
    "convert": ("plans", "c[/x]", "--to", "json", "--force"),
    "formats": (),
    "demo": ("--help",),
    "doctor": (),
    "cache": ("info", "--cache", "k[/x]"),
    "calibrate": ("--help",),
    "agree": ("--labels", "none[/x]"),
    "watch": ("--help",),
    "history": (RUN,),
    "view": ("--help",),
    "schema": ("run",),
}
KINDS = ("normal", "ascii", "closed", "full", "left")
# A process that draws takes seconds: into a special output only with `make slow`, as most into the less hostile kinds.
DRAW = ("report", "plot")
FIRST = ("score", "show", "compare")
NAMES, FIRST_NAMES = few(WORDS, slow=DRAW), few(WORDS, slow=set(WORDS) - set(FIRST))
# Runs every command in a child of its own, whose standard output is what its kind says; prints codes and what was said.
# What the children need is loaded once, before them.
DRIVER = """
import io, json, os, sys
import altair, jinja2, pandas
import evalkit.cli, evalkit.scoring.pipeline, evalkit.report.console, evalkit.report.charts, evalkit.comparison
def child(kind, words):
    out, err = (os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr"))
    if kind == "full":
        out = os.open("/dev/full", os.O_WRONLY)
    if kind == "left":
        read, out = os.pipe()
        os.close(read)
    os.dup2(out, 1), os.dup2(err, 2)
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), "ascii" if kind == "ascii" else "utf-8")
    sys.stderr = io.TextIOWrapper(open(2, "wb", 0, closefd=False), "utf-8", write_through=True)
    if kind == "closed":
        sys.stdout = None
        os.close(1)
    sys.argv = ["evalkit", *words]
    evalkit.cli.main()
results = []
for kind, name, words in json.loads(sys.argv[1]):
    pid = os.fork()
    if not pid:
        try:
            child(kind, [name, *words])
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            import traceback
            os.write(2, traceback.format_exc().encode())
            code = 1
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = [open(stream, "rb").read().decode("utf-8") for stream in ("stdout", "stderr")]
    results.append((kind, name, code, *said))
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("project")
    for folder in (Path("plans", PLANNER), Path("gold")):
        (place / folder).mkdir(parents=True)
        for paper in ("a", "[i]b"):
            (place / folder / f"{paper}.json").write_text(json.dumps([ENTRY]))
    return place


Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def outcomes(project: Path) -> Callable[[bool], dict[tuple[str, str], Said]]:
    """Run each command with each kind of output, once; all of them only if it may be slow."""

    @cache
    def run(slow: bool) -> dict[tuple[str, str], Said]:
        quick = {kind: set(FIRST) if kind in ("ascii", "left") else set(WORDS) - set(DRAW) for kind in KINDS}
        quick["normal"] = set(WORDS)
        jobs = [(kind, name) for kind in KINDS for name in WORDS if slow or name in quick[kind]]
        command = [sys.executable, "-c", DRIVER, json.dumps([(kind, name, WORDS[name]) for kind, name in jobs])]
        done = subprocess.run(command, cwd=project, capture_output=True, check=True, env={**os.environ, **COLUMNS})
        return {(kind, name): (code, out, err) for kind, name, code, out, err in json.loads(done.stdout)}

    return run


@pytest.fixture
def outcome(
    outcomes: Callable[[bool], dict[tuple[str, str], Said]], request: pytest.FixtureRequest
) -> Callable[[str, str], Said]:
    """Say how a command ended with a kind of output, and what it printed."""
    slow = request.node.get_closest_marker("slow") is not None
    return lambda kind, name: outcomes(slow)[kind, name]


def test_every_command_is_tried() -> None:
    assert set(WORDS) == set(COMMANDS)


@pytest.mark.parametrize("name", WORDS)
def test_names_that_look_like_markup_are_text(outcome: Callable[[str, str], Said], name: str) -> None:
    code, out, err = outcome("normal", name)
    assert "Traceback" not in err
    assert (code == 0) == (name != "agree"), err
    places = [word for word in WORDS[name] if "[" in word]
    assert name not in SHOW_PLACES or places[-1] in out + err
    assert name not in SHOW_PLANNERS or PLANNER in out


@pytest.mark.parametrize("name", FIRST_NAMES)
def test_an_output_that_is_not_unicode_gets_escapes(outcome: Callable[[str, str], Said], name: str) -> None:
    code, out, err = outcome("ascii", name)
    wanted = outcome("normal", name)
    assert (code, "Traceback" in err) == (wanted[0], False)
    assert out.isascii()
    assert bool(out) == bool(wanted[1])


@pytest.mark.parametrize("kind", ["closed", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_written_ends_in_2(outcome: Callable[[str, str], Said], name: str, kind: str) -> None:
    code, _, err = outcome(kind, name)
    normal, out, _ = outcome("normal", name)
    assert "Traceback" not in err
    assert code == (2 if out else normal)
    reason = {"closed": "it is closed", "full": "no space left on device"}[kind]
    assert err.count(f"evalkit: error: standard output: cannot be written: {reason}\n") == bool(out)


@pytest.mark.parametrize("name", FIRST_NAMES)
def test_a_reader_that_left_changes_no_exit_code(outcome: Callable[[str, str], Said], name: str) -> None:
    code, _, err = outcome("left", name)
    normal, _, wanted = outcome("normal", name)
    assert (code, "standard output" in err) == (normal, False)
    assert len(err.splitlines()) == len(wanted.splitlines())


class Bytes:
    """A raw stream that takes so many bytes and then fails."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, b""

    def write(self, data: bytes) -> int:
        taken = bytes(data)[: self.room - len(self.taken)]
        if not taken:
            raise OSError(28, "No space left on device")
        self.taken += taken
        return len(taken)

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("room", [0, 1, 5, 8192, 20_000])
def test_what_is_lost_is_known(room: int) -> None:
    raw = Bytes(room)
    guard = Guarded(raw, "standard output")
    with pytest.raises(OutputError, match="standard output: cannot be written: no space left on device"):
        io.BufferedWriter(guard).write(b"0123456789" * 4000)
    assert len(raw.taken) == room
    assert guard.failure
    assert guard.write(b"more") == 4  # what comes later is dropped without another error


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize(("output", "code"), [(">&-", 2), (">/dev/full", 2), (">&- 2>&-", 2), (">/dev/null 2>&-", 0)])
def test_a_process_of_its_own(output: str, code: int, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m evalkit cache info --cache k {output}'
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True).returncode == code


def test_no_console_reads_markup() -> None:
    calls = [
        {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg in ("markup", "emoji")}
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Console", "TextColumn")
    ]
    assert len(calls) == 3
    assert all(call["markup"] is False for call in calls)


@contextmanager
def opened(encoding: str, path: Path) -> Iterator[Stream]:
    with path.open("w", encoding=encoding) as stream:
        yield Stream(stream, "standard output")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "koi8-r"])
def test_json_stays_json_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    text = "é 大 \U0001f600 \x81 \ud800"
    with opened(encoding, tmp_path / "x") as stream:
        stream.write(json.dumps({"a": text}, ensure_ascii=False))
        stream.flush()
    assert json.loads((tmp_path / "x").read_text(encoding=encoding)) == {"a": text}
