"""Takes the files of a run one by one, gives a folder that is there whole or not at all, whatever happens on the way.

A folder is written out of sight, beside its place, under a lock that goes with the process. What a killed process left
is removed by the next run that writes to the same place.
"""

from __future__ import annotations

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

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and so nothing is removed
    fcntl = None  # type: ignore[assignment]


def fresh_run_folder(top: str | Path = "runs") -> Path:
    """A folder for a run that has no name: the time it was made, and a number when that is taken."""
    name = time.strftime("%Y-%m-%d-%H%M%S")
    places = (Path(top) / (f"{name}-{number}" if number else name) for number in itertools.count())
    return next(place for place in places if not place.exists())


class Building:
    """A folder that is being written, out of sight until it is whole."""

    def __init__(self, place: Path, shown: str) -> None:
        self.place, self._shown = place, shown
        self._open: dict[str, BinaryIO] = {}

    def path(self, name: str) -> Path:
        """Where a file of it lies for now."""
        return self.place / name

    def append(self, name: str, content: bytes) -> None:
        """Add to the end of one of its files."""
        with _written_to(self._shown):
            if name not in self._open:
                self.path(name).parent.mkdir(parents=True, exist_ok=True)
                self._open[name] = self.path(name).open("wb")
            self._open[name].write(content)

    def close(self) -> None:
        """Finish its files; what could not be written is an error here at the latest."""
        with _written_to(self._shown):
            for stream in self._open.values():
                stream.close()


@contextmanager
def building(path: str | Path, *, force: bool = False) -> Iterator[Building]:
    """A folder to write piece by piece; it takes its place when the block ends well, and is gone when it does not."""
    place = Path(path)
    with _written_to(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place.parent):
            _tidy(place)
            check_place(place, force=force)
            temporary, lock = _claimed(place)
    folder = Building(temporary, str(path))
    try:
        yield folder
        folder.close()
        with _written_to(path), _alone(place.parent):
            check_place(place, force=force)  # another run may have been faster
            temporary.chmod(0o777 & ~_umask())
            _swap(temporary, place)
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


def _swap(temporary: Path, place: Path) -> None:
    """Put a finished folder where an older one may stand; the older one goes only when the new one is in place."""
    if not place.exists():
        temporary.rename(place)
        return
    old = Path(tempfile.mkdtemp(dir=place.parent, prefix=_beside(place, "~")))
    place.replace(old)
    try:
        temporary.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(place: Path, mark: str) -> str:
    """How the names of a place's folders out of sight begin: "-" while one is written, "~" for one that was moved."""
    return f".evalkit-{place.name[:40]}{mark}"


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """No other run looks at a place in this folder and moves something there in between."""
    if fcntl is None:
        yield
        return
    lock = os.open(parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _claimed(place: Path) -> tuple[Path, int]:
    """A new folder beside a place, and the lock that says, for as long as this process lives, that it is in use."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=_beside(place, "-")))
        lock = _locked(folder)
        if lock is not None and folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """The lock of a folder, if nobody holds it; to be closed."""
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _tidy(place: Path) -> None:
    """Remove what a killed process left beside a place; a run that it had moved out of the way comes back first."""
    if fcntl is None:
        return
    own = re.compile(rf"{re.escape(_beside(place, ''))}([-~])[a-z0-9_]{{8}}")
    for folder in sorted(place.parent.iterdir()):
        match = own.fullmatch(folder.name)
        if match is None or folder.is_symlink() or not folder.is_dir() or (lock := _locked(folder)) is None:
            continue
        if match[1] == "~" and (folder / "run.json").is_file() and not place.exists():
            folder.rename(place)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _written_to(path: str | Path) -> Iterator[None]:
    """What the operating system refuses is a user's error, with the place that was to be written."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def _umask() -> int:
    """The process's file mode mask, which temporary folders ignore."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
