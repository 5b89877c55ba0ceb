"""Folders: there whole or not at all, for several at once and after a kill, and nothing is left lying about."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalkit.errors import OutputError
from evalkit.storage import folders
from evalkit.storage.folders import building

OLD, NEW = {"run.json": "old", "a.csv": "1"}, {"run.json": "new", "a.csv": "2"}


def write(place: Path, texts: Mapping[str, str], *, force: bool = False) -> None:
    with building(place, force=force) as folder:
        for name, text in texts.items():
            folder.append(name, text.encode())


def content(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_written_whole_or_not(tmp_path: Path) -> None:
    write(tmp_path / "run", OLD)
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "run", NEW | {"b.csv": "\ud800"}, force=True)
    assert content(tmp_path / "run") == OLD
    assert names(tmp_path) == ["run"]


def test_force_replaces_a_run_and_nothing_else(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    write(run, OLD)
    with pytest.raises(OutputError, match="exists already; choose another --out, or --force"):
        write(run, NEW)
    write(run, NEW, force=True)
    assert content(run) == NEW
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="holds no run"):
        write(other, NEW, force=True)
    assert names(tmp_path) == ["other", "run"]
    assert content(other) == {"thesis.tex": "x"}


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / "run").symlink_to(target)
    with pytest.raises(OutputError, match="not a folder of its own"):
        write(tmp_path / "run", NEW, force=True)
    assert not list(target.iterdir())


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "file" / "run", NEW)


def test_fresh_folders_do_not_collide(tmp_path: Path) -> None:
    first = folders.fresh_run_folder(tmp_path)
    first.mkdir(parents=True)
    assert folders.fresh_run_folder(tmp_path) != first


def test_of_two_runs_the_first_to_finish_stays(tmp_path: Path) -> None:
    """The other is told so; with --force it takes the place, as it would have an hour later."""
    place = tmp_path / "run"
    slow = building(place)
    slow.__enter__().append("run.json", b"slow")
    write(place, NEW)
    with pytest.raises(OutputError, match="exists already"):
        slow.__exit__(None, None, None)
    assert content(place) == NEW
    with building(place, force=True) as other:
        other.append("run.json", b"slow")
        write(place, OLD, force=True)
    assert content(place) == {"run.json": "slow"}
    assert names(tmp_path) == ["run"]


def test_what_another_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    with building(tmp_path / "run") as first:
        first.append("run.json", b"first")
        with building(tmp_path / "run", force=True) as second:
            assert first.place.is_dir()
            assert first.place != second.place
            second.append("run.json", b"second")
        with pytest.raises(OutputError, match="exists already"):
            write(tmp_path / "run", NEW)
        (tmp_path / "run" / "run.json").unlink()
        (tmp_path / "run").rmdir()
    assert content(tmp_path / "run") == {"run.json": "first"}


@pytest.mark.parametrize("force", [False, True])
def test_runs_that_end_at_the_same_moment(tmp_path: Path, force: bool) -> None:
    """Without --force one of them is written and the others are told; with it each takes the place in its turn."""
    together = threading.Barrier(6)

    def one(place: Path, name: str) -> str:
        try:
            with building(place, force=force) as folder:
                folder.append("run.json", name.encode())
                together.wait()
        except OutputError as error:
            return str(error)
        return "written"

    with ThreadPoolExecutor(6) as pool:
        for number in range(60):
            place = tmp_path / f"run-{number}"
            if force:
                write(place, OLD)
            answer = list(pool.map(one, [place] * 6, "abcdef"))
            message = [text for text in answer if text != "written"]
            assert len(message) == (0 if force else 5)
            assert all("exists already" in text for text in message)
            winner = content(place)["run.json"]
            assert answer["abcdef".index(winner)] == "written"
    assert names(tmp_path) == sorted(f"run-{number}" for number in range(60))


KILLED = """
import os, signal, sys
from pathlib import Path
from evalkit.storage import folders

def die(*args, **names):
    os.kill(os.getpid(), signal.SIGKILL)

when, place = sys.argv[1:]
with folders.building(place, force=True) as folder:
    folder.append("run.json", b"new")
    if when == "while it is written":
        die()
    if when == "before it takes its place":
        folders._move = die
    if when == "between the two moves":
        Path.rename = die
    if when == "before the old one is gone":
        folders.shutil.rmtree = die
"""
MOMENTS = {
    "while it is written": "old",
    "before it takes its place": "old",
    "between the two moves": "old",
    "before the old one is gone": "new",
}


@pytest.mark.parametrize(("when", "stays"), MOMENTS.items())
def test_a_kill_leaves_a_whole_run(tmp_path: Path, when: str, stays: str) -> None:
    """Between the two moves of a replacement the old run has no name; the next run gives it back before it looks."""
    place = tmp_path / "run"
    write(place, OLD)
    done = subprocess.run([sys.executable, "-c", KILLED, when, str(place)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) > 1 or not place.exists()
    with pytest.raises(OutputError, match="exists already"):
        write(place, {"run.json": "next"})
    assert content(place)["run.json"] == stays
    assert names(tmp_path) == ["run"]


def test_only_folders_that_evalkit_left_are_removed(tmp_path: Path) -> None:
    """Not the user's, not those of a place with a similar name, not what a link leads to."""
    keep = [".run-settings", ".evalkit-run-2-abcdefgh", ".evalkit-runabcdefgh", ".evalkit-run-notes.txt", "elsewhere"]
    for name in keep:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / ".evalkit-run-12345678").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".evalkit-run-left0ver").mkdir()
    write(tmp_path / "run", NEW)
    assert set(names(tmp_path)) == {*keep, ".evalkit-run-12345678", "run"}
    assert names(tmp_path / "elsewhere") == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        write(tmp_path / "run", NEW)
    tmp_path.chmod(0o700)


@pytest.mark.skipif(folders.fcntl is None, reason="no locks here")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_written_to(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    leftover = tmp_path / ".evalkit-run-abcdefgh"
    leftover.mkdir()
    monkeypatch.setattr(folders.fcntl, "flock", without)
    write(tmp_path / "run", OLD)
    assert content(tmp_path / "run") == OLD
    assert names(tmp_path) == [".evalkit-run-abcdefgh", "run"]  # nobody can tell whether it is in use


@pytest.mark.skipif(folders.fcntl is None, reason="no locks here")
def test_folders_that_others_always_hold_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "held")

    monkeypatch.setattr(folders.fcntl, "flock", held)
    with pytest.raises(OutputError, match="removed as soon as they are made"):
        write(tmp_path / "run", OLD)
    assert len(names(tmp_path)) == folders.ATTEMPTS


@pytest.mark.parametrize("remove", [lambda place: shutil.rmtree(place), lambda place: (place / "a.csv").unlink()])
@pytest.mark.parametrize("when", [1, 2])
def test_what_is_removed_while_it_is_written_is_an_error(
    remove: Callable[[Path], object], when: int, tmp_path: Path
) -> None:
    def build() -> None:
        with building(tmp_path / "run") as folder:
            for number, (name, text) in enumerate({"a.csv": "1", "b.csv": "2", "run.json": "3"}.items()):
                if number == when:
                    remove(folder.place)
                folder.append(name, text.encode())

    with pytest.raises(OutputError, match="run: "):
        build()
    assert names(tmp_path) == []


def test_runs_of_long_names_that_begin_alike_are_apart(tmp_path: Path) -> None:
    """What a killed run had moved out of the way is moved back to its own place, and to no other."""
    one, other = tmp_path / ("x" * 40 + "-one"), tmp_path / ("x" * 40 + "-other")
    old = Path(f"{tmp_path}/{folders._hidden_name(one, '~')}abcdefgh")
    old.mkdir()
    (old / "run.json").write_text("old")
    write(other, NEW)
    assert content(other) == NEW
    with pytest.raises(OutputError, match="exists already"):
        write(one, NEW)  # the old run is back
    assert content(one) == {"run.json": "old"}
