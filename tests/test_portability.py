"""Nothing on the way needs one operating system: known traps of Windows and macOS, and Windows' rules for moving."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_house import tree as parsed

from evalkit.comparison.baseline import baseline_path
from evalkit.errors import InputError
from evalkit.storage import folders
from evalkit.storage.files import names_device
from evalkit.storage.folders import building

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "evalkit").rglob("*.py"))

# Modules and names that are not on every system.
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "fork", "forkpty", "getegid", "geteuid", "getgid", "getuid", "getloadavg", "killpg", "mkfifo", "mknod", "nice",
    "sched_getaffinity", "setsid", "statvfs", "uname", "wait3", "wait4",
    "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2",
}  # fmt: skip
# Where such a name is looked at only after it was found to be there, or its absence is caught.
GUARDED = {
    ("storage/folders.py", "fcntl"): "imported in a try block; None on Windows, where nothing is locked",
    ("matching/embeddings/contextual.py", "/proc/loadavg"): "without it all threads are used",
    ("scoring/processes.py", "os.kill()"): "not called on Windows; elsewhere it asks whether a process is there",
}


def traps(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield what in a module is not there, or does something else, on another system, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in POSIX_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
            yield node.module, node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES:
            yield node.attr, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.match(r"/(?:tmp|dev|proc|var|etc|usr|home)(?:/|$)", node.value):
                yield node.value, node.lineno
            if re.search("%-[dmHMSIyj]", node.value):
                yield "a strftime code without padding", node.lineno
        elif isinstance(node, ast.Call):
            yield from ((trap, node.lineno) for trap in call_traps(node))


def call_traps(call: ast.Call) -> Iterator[str]:
    """Yield what a call leaves to the system: the encoding of a text, or how a process starts."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    texts = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    keywords = {item.arg for item in call.keywords}
    modes = [text for text in texts if re.fullmatch(r"[rwxa][bt+]*", text)]
    opens_text = name in ("open", "fdopen") and not any("b" in mode for mode in modes)
    if opens_text and owner not in ("os", "self", "webbrowser") and "encoding" not in keywords:
        yield f"{name}() without an encoding"
    if owner.startswith("Path(") and name in ("read_text", "write_text") and "encoding" not in keywords and not texts:
        yield f"{name}() without an encoding"
    if (owner, name) in (("os", "rename"), ("os", "link"), ("os", "symlink"), ("os", "kill")):
        yield f"os.{name}()"
    if name == "get_context" and "fork" in texts:
        yield "processes by fork"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_needs_one_system(path: Path) -> None:
    name = path.relative_to(ROOT / "evalkit").as_posix()
    left = [f"{name}:{line} {trap}" for trap, line in traps(parsed(path)) if (name, trap) not in GUARDED]
    assert not left


@pytest.mark.parametrize(
    ("source", "trap"),
    [
        ("import fcntl", "fcntl"),
        ("from pwd import getpwnam", "pwd"),
        ("os.getuid()", "getuid"),
        ("signal.signal(signal.SIGHUP, stop)", "SIGHUP"),
        ("place = '/tmp/evalkit'", "/tmp/evalkit"),
        ("time.strftime('%-d')", "a strftime code without padding"),
        ("open(path)", "open() without an encoding"),
        ("path.open('w')", "open() without an encoding"),
        ("Path(path).read_text()", "read_text() without an encoding"),
        ("os.rename(one, other)", "os.rename()"),
        ("get_context('fork')", "processes by fork"),
    ],
)
def test_each_trap_is_seen(source: str, trap: str) -> None:
    assert [name for name, _ in traps(ast.parse(source))] == [trap]


def test_every_exception_is_still_needed() -> None:
    trees = {path.relative_to(ROOT / "evalkit").as_posix(): parsed(path) for path in SOURCES}
    assert {(name, trap) for name, tree in trees.items() for trap, _ in traps(tree)} == set(GUARDED)


def test_what_ships_has_names_for_every_system() -> None:
    shipped = [path.relative_to(ROOT).as_posix() for top in ("evalkit", "configs", "references", "docs", "tests")
               for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts]  # fmt: skip
    assert not [path for path in shipped if re.search(r'[<>:"\\|?*\x00-\x1f]|[. ](?:/|$)', path) or len(path) > 150]
    assert not [path for path in shipped if any(names_device(step) for step in path.split("/"))]
    assert not [path for path, count in Counter(map(str.casefold, shipped)).items() if count > 1]


@pytest.fixture
def windows_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move as Windows does: no folder to a place where something is, and nothing by `rename` to such a place."""

    def strict(move: Any, name: str) -> Any:
        def moved(self: Path, target: Path | str) -> Path:
            if Path(target).is_dir() or (name == "rename" and Path(target).exists()):
                raise FileExistsError(17, "Cannot create a file when that file already exists", str(target))
            return move(self, target)

        return moved

    monkeypatch.setattr(folders, "fcntl", None)
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, strict(getattr(Path, name), name))


def test_a_run_takes_the_place_of_another_where_no_folder_is_moved_onto_one(
    tmp_path: Path, windows_moves: None
) -> None:
    for content in (b"one", b"two"):
        with building(tmp_path / "run", force=True) as folder:
            folder.append("run.json", content)
    assert (tmp_path / "run" / "run.json").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_devices_of_windows_are_no_names() -> None:
    assert [name for name in ("nul", "Con.json", "LPT9", "aux ", "com0.tar.gz") if not names_device(name)] == []
    assert [name for name in ("null", "console", "com", "com10", "lpt", "my-nul") if names_device(name)] == []
    with pytest.raises(InputError, match="expected a name"):
        baseline_path("nul")
