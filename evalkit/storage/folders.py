"""Write the files of a run one by one into a folder that is there whole or not at all, whatever happens on the way.

A folder is written under a hidden name beside its place, with a lock that goes with the process. What a killed process
left is removed by the next run that writes to the same place. The folders themselves are locked, and not files beside
them as `filelock` does it: its files would stay behind in the user's folder.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from evalkit.errors import OutputError
from evalkit.storage.files import umask, writing

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and so nothing is removed
    fcntl = None  # type: ignore[assignment]


LONGEST_NAME = 40
ATTEMPTS = 100  # to make a folder that another process does not remove as a leftover


def fresh_run_folder(top: str | Path = "runs") -> Path:
    """Return a folder for a run without a name: the time, and a number when that is taken."""
    name = time.strftime("%Y-%m-%d-%H%M%S")
    places = (Path(top) / (f"{name}-{number}" if number else name) for number in itertools.count())
    return next(place for place in places if not place.exists())


class Building:
    """A folder that is being written, hidden until it is whole."""

    def __init__(self, place: Path, name: str) -> None:
        self.place, self._name = place, name
        self._open: dict[str, BinaryIO] = {}
        self._begun: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """Return where one of its files lies for now; it must be there in the end."""
        return self._begun.setdefault(name, self.place / name)

    def append(self, name: str, content: bytes) -> None:
        """Append to one of its files."""
        with writing(self._name):
            if name not in self._open:
                self._open[name] = self.path(name).open("wb")
            self._open[name].write(content)

    def finish(self) -> None:
        """Close its files; what could not be written, or was removed meanwhile, is an error here at the latest."""
        removed = [name for name, stream in self._open.items() if not os.fstat(stream.fileno()).st_nlink]
        self.close()
        removed += [name for name, path in self._begun.items() if not path.is_file()]
        if removed:
            raise OutputError(f"{self._name}: {removed[0]} was removed while the run was written; nothing is left")

    def close(self) -> None:
        """Close its files."""
        with writing(self._name):
            for stream in self._open.values():
                stream.close()


@contextmanager
def building(path: str | Path, *, force: bool = False) -> Iterator[Building]:
    """Open a folder to write piece by piece; it takes its place when the block ends well, and else it is gone."""
    place = Path(path)
    with writing(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.parent):
            _remove_leftovers(place)
            check_place(place, force=force)
            temporary, lock = _new_hidden_folder(place)
    folder = Building(temporary, str(path))
    try:
        yield folder
        folder.finish()
        with writing(path), locked(place.parent):
            check_place(place, force=force)  # another run may have been faster
            temporary.chmod(0o777 & ~umask())
            _move(temporary, place)
    except BaseException:
        with suppress(OutputError):
            folder.close()
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def check_place(path: str | Path, *, force: bool = False) -> None:
    """Refuse, before any work is done, a folder that a run must not be written to."""
    place = Path(path)
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise OutputError(f"{path}: exists and is not a folder of its own")
    if place.exists() and any(place.iterdir()):
        if not force:
            raise OutputError(f"{path}: exists already; choose another --out, or --force to replace it")
        if not (place / "run.json").is_file():
            raise OutputError(f"{path}: holds no run; --force replaces only an earlier run's folder")


def _move(temporary: Path, place: Path) -> None:
    """Move a finished folder to its place; an older one there goes only when the new one is in place."""
    if not place.exists():
        temporary.rename(place)
        return
    old = Path(tempfile.mkdtemp(dir=place.parent, prefix=_hidden_name(place, "~")))
    old.rmdir()  # only its name is used: Windows moves no folder to where one exists
    place.rename(old)
    try:
        temporary.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _hidden_name(place: Path, mark: str) -> str:
    """Return how the hidden folders of a place are called: "-" while one is written, "~" for one that was replaced."""
    name = place.name
    if len(name) > LONGEST_NAME:  # file systems take names of 255 bytes; a hash tells long ones apart
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return f".evalkit-{name}{mark}"


@contextmanager
def locked(parent: Path) -> Iterator[None]:
    """Keep other processes from looking at a place in this folder and moving something there in between."""
    if fcntl is None:
        yield
        return
    with writing(parent):
        lock = os.open(parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _new_hidden_folder(place: Path) -> tuple[Path, int]:
    """Make a folder beside a place, with the lock that says, for as long as this process lives, that it is in use.

    On a file system without locks it is not locked, and nobody removes it but this process.
    """
    for _ in range(ATTEMPTS):
        folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=_hidden_name(place, "-")))
        with suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(folder, needed=False)
            if folder.exists():
                return folder, lock
            os.close(lock)
    raise OutputError(f"{place}: its folders are removed as soon as they are made; is another program at work there?")


def _lock(folder: Path, *, needed: bool) -> int:
    """Take the lock of a folder; whoever has it closes it. Where locks do not exist, that is an error if it is needed.

    A BlockingIOError says that somebody else holds it.
    """
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if needed or isinstance(error, BlockingIOError):
            os.close(lock)
            raise
    return lock


def _remove_leftovers(place: Path) -> None:
    """Remove what a killed process left beside a place; a run that it had moved out of the way is moved back."""
    if fcntl is None:
        return
    own = re.compile(rf"{re.escape(_hidden_name(place, ''))}([-~])[a-z0-9_]{{8}}")
    for folder in sorted(place.parent.iterdir()):
        match = own.fullmatch(folder.name)
        if match is None or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            lock = _lock(folder, needed=True)
        except OSError:  # in use, or unknown
            continue
        if match[1] == "~" and (folder / "run.json").is_file() and not place.exists():
            folder.rename(place)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
