"""Read and write whole files; what the operating system refuses becomes a user's error with its path."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from evalkit.errors import InputError, OutputError
from evalkit.text import readable

_DEVICES = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9¹²³])[ .]*(?:\..*)?", re.IGNORECASE | re.DOTALL)
SEARCHED = 1000  # names of a folder that are compared with a mistyped one
LARGEST = 1 << 30  # bytes of one file that the user named; the tables of 100,000 plans have about as many


def error_reason(error: OSError) -> str:
    """Return what the operating system said, in a few lower-case words."""
    return (error.strerror or type(error).__name__).lower()


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn what the operating system refuses inside the block into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error_reason(error)}") from error


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what the operating system refuses inside the block into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error_reason(error)}") from error


def nearby(path: str | Path) -> str:
    """Return the end of a message about a path that is not there: the most similar name where it goes wrong, if any."""
    whole = Path(path)
    with suppress(OSError):
        missing = next((place for place in (whole, *whole.parents) if place.parent.is_dir()), whole)
        others = (place for place in missing.parent.iterdir() if place.name != missing.name and place.exists())
        near = get_close_matches(missing.name, [place.name for place in islice(others, SEARCHED)], n=1, cutoff=0.7)
        if near and not missing.exists():
            return f"; did you mean {readable(str(missing.with_name(near[0])))!r}?"
    return ""


def read_bytes(path: str | Path) -> bytes:
    """Return the content of one file that the user named."""
    with reading(path):
        if (size := _size(path)) > LARGEST:
            raise InputError(f"{path}: expected at most {LARGEST >> 20} MiB, found {size >> 20} MiB")
        return Path(path).read_bytes()


def _size(path: str | Path) -> int:
    """Return the bytes of a file; refuse pipes and devices, which would be waited for or never end."""
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        found = "is a directory" if stat.S_ISDIR(status.st_mode) else "expected a file, found something else"
        raise InputError(f"{path}: {found}")
    return status.st_size


def read_text(path: str | Path) -> str:
    """Return the text of one file that the user named: settings, labels, a calibration."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def read_lines(paths: Iterable[str | Path]) -> Iterator[tuple[str, int, str]]:
    """Yield the lines of text files that are not blank, each with its path and line number."""
    for path in paths:
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if line.strip():
                yield str(path), number, line


def occupy() -> None:
    """Lead standard streams that are closed nowhere, so that no file that is opened later takes their place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def names_device(name: str) -> bool:
    """Return whether Windows takes a file of this name for a device, whatever its ending."""
    return _DEVICES.fullmatch(name) is not None


def is_there(path: str | Path) -> bool:
    """Return whether something lies at a path."""
    return Path(path).exists()


def remove_folder(path: str | Path) -> None:
    """Remove a folder and all that is in it, as far as that can be done."""
    shutil.rmtree(path, ignore_errors=True)


def file_hash(path: str | Path) -> str:
    """Return the sha256 of a file's bytes."""
    with reading(path):
        _size(path)
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write one file whole or not at all: beside its place first, then moved there.

    A link stays, and leads to the new file; a pipe or a device (/dev/stdout, /dev/null) is written to and stays.
    """
    place = Path(path)
    with writing(path):
        if _is_stream(place):
            with place.open("ab") as stream:
                stream.write(content)
            return
        place = Path(os.path.realpath(place)) if place.is_symlink() else place
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:40]}-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(temporary).chmod(0o666 & ~umask())
            Path(temporary).replace(place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _is_stream(place: Path) -> bool:
    """Is this a pipe or a device, or a name of the system for an open stream, whatever that leads to?"""
    named = place.is_absolute() and place.parts[1:2] in (("dev",), ("proc",))
    return place.exists() and (named or not (place.is_file() or place.is_dir()))


def write_text(path: str | Path, text: str) -> None:
    """Write one file of text whole or not at all."""
    write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
    """Return text as UTF-8, with halves of surrogate pairs, which the names of files may hold, as escapes."""
    return text.encode("utf-8", "backslashreplace")


def write_texts(texts: Mapping[Path, str], *, force: bool = False) -> None:
    """Write several files, each whole or not at all; without `force`, none when one of them exists."""
    for path in texts:
        check_new(path, force=force)
    for path, text in texts.items():
        write_text(path, text)


def without_same(texts: Mapping[Path, str]) -> dict[Path, str]:
    """Return the files that do not lie in their place already, byte for byte."""
    return {path: text for path, text in texts.items() if not (path.is_file() and read_bytes(path) == encoded(text))}


def check_new(path: str | Path, *, force: bool = False) -> None:
    """Refuse, before any work is done, to write over a file that exists, unless `force` allows it."""
    if Path(path).exists() and not force:
        raise OutputError(f"{path}: exists already; --force replaces it")


def append_text(path: str | Path, text: str, limit: int) -> bool:
    """Append to a file that others write to as well, if it stays below `limit` bytes; return whether it did.

    It cannot be done whole or not at all, because the file is not ours to replace.
    """
    place, data = Path(path), text.encode("utf-8", "replace")
    with writing(path):
        if (place.stat().st_size if place.exists() else 0) + len(data) >= limit:
            return False
        with place.open("ab") as stream:
            stream.write(data)
    return True


def append_line(path: str | Path, line: str) -> None:
    """Append one line and return when it is on disk; half a line that a crash left gets a line of its own."""
    place = Path(path)
    with writing(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            _size(place)
        with place.open("a+b") as stream:
            torn = False
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                torn = stream.read(1) != b"\n"
            stream.write(f"{chr(10) * torn}{line}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())


def umask() -> int:
    """Return the process's file mode mask, which temporary files and folders ignore."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def shipped(name: str) -> Path:
    """Return a file that ships with the package: beside the code when installed, above it in a checkout."""
    package = Path(__file__).parent.parent
    for root in (package, package.parent):
        if (root / name).exists():
            return root / name
    raise InputError(f"{name}: not part of this installation of evalkit")


def sample_project(folder: str | Path) -> dict[Path, str]:
    """Return the files of the bundled sample: its plans, and the reference lists of the papers they are about."""
    top = shipped("sample/plans")
    plans = {path.relative_to(top): read_text(path) for path in sorted(top.rglob("*.md"))}
    gold = {path: read_text(shipped(f"references/{path}.json")) for path in sorted({path.stem for path in plans})}
    return {
        **{Path(folder, "plans", path): text for path, text in plans.items()},
        **{Path(folder, "gold", f"{name}.json"): text for name, text in gold.items()},
    }


def cache_folder(chosen: str | None = None) -> Path:
    """Return the folder for what is cached between runs: the one chosen, else the user's own."""
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("evalkit", appauthor=False))


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes when it is closed, or when the process ends."""
    return tempfile.TemporaryDirectory(prefix="evalkit-", ignore_cleanup_errors=True)


Place = tuple[int, int]  # offset and length in a spool


class Spool:
    """A temporary file of byte strings; the operating system removes it when the process ends."""

    def __init__(self) -> None:
        with _temporary_file_errors():
            self._file = tempfile.TemporaryFile(prefix="evalkit-")  # noqa: SIM115 - it lives as long as the spool
        self._lock = threading.Lock()
        self._end = 0

    def put(self, content: bytes) -> Place:
        """Append bytes and return their place."""
        with self._lock, _temporary_file_errors():
            place = (self._end, len(content))
            self._file.seek(self._end)
            self._file.write(content)
            self._end += len(content)
        return place

    def get(self, place: Place) -> bytes:
        """Return the bytes at a place."""
        with self._lock, _temporary_file_errors():
            self._file.seek(place[0])
            return self._file.read(place[1])


@contextmanager
def _temporary_file_errors() -> Iterator[None]:
    """Turn a refusal of the operating system into an error that names the way out."""
    try:
        yield
    except OSError as error:
        folder = f"{tempfile.gettempdir()}: " if tempfile.tempdir else ""
        message = f"temporary files cannot be written: {error_reason(error)}; TMPDIR names another folder for them"
        raise OutputError(f"{folder}{message}") from error
