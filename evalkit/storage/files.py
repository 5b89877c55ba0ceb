"""The only room that opens files: finding documents, reading them as text, and writing results whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

from evalkit.errors import InputError, OutputError
from evalkit.formats import arrow
from evalkit.types import Diagnostic, Document

TEXTS = frozenset((".md", ".markdown", ".txt", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".log"))
SUFFIXES = TEXTS | arrow.SUFFIXES
LARGEST = 16 * 1024 * 1024


def read_text(path: str | Path) -> str:
    """The text of one file the user named: settings, labels, a calibration. Anything wrong is an InputError."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def read_bytes(path: str | Path) -> bytes:
    """The content of one file. Anything wrong is an InputError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}") from error


def shipped(name: str) -> Path:
    """A file that comes with the package: beside the code when installed, at the repository's top when developed."""
    package = Path(__file__).parent.parent
    for root in (package, package.parent):
        if (root / name).exists():
            return root / name
    raise InputError(f"{name}: not part of this installation of evalkit")


def documents(root: str | Path, *, planners: bool) -> Iterator[Document | Diagnostic]:
    """Every document below a folder in the order of their paths, or the one file named.

    With `planners`, the folders below `root` name the planner; a file at the top belongs to the planner that `root`
    itself is called after. What cannot be read comes out as a Diagnostic in its place, so nothing else is lost.
    """
    top = Path(root)
    if not top.exists():
        raise InputError(f"{root}: no such file or folder")
    found, planner = False, lru_cache(maxsize=16)(partial(_planner, top))
    for item in [(str(top), None)] if top.is_file() else _walk(top):
        found = True
        if isinstance(item, Diagnostic):
            yield item
            continue
        path, folder = item
        text, problem = _read_document(path)
        if problem is not None:
            yield problem
        if text is not None:
            yield Document(path, text, planner(folder) if planners else None, paper_name(path))
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{root}: holds no documents (looked for {kinds}; README files do not count)")


def _walk(top: Path) -> Iterator[tuple[str, str] | Diagnostic]:
    """The documents of a folder, sorted, each with the folder it lies in, without hidden files and READMEs; links to
    folders are not followed. Paths are texts from here on: with a `Path` for each this took 1.7 times as long."""
    refused: list[OSError] = []
    for folder, folders, names in os.walk(top, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        repeats, begin = _repeats(Path(folder), names), str(Path(folder, "x"))[:-1]
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - see above
            if name in repeats:
                yield Diagnostic("note", "repeats", f"repeats what {repeats[name]} says; passed over", begin + name)
            elif suffix.lower() in SUFFIXES and not name.startswith(".") and stem.upper() != "README":
                yield begin + name, folder
    for error in refused:
        if Path(error.filename) == top:
            raise InputError(f"{top}: {_reason(error)}") from error
        found = f"expected a readable folder, found: {_reason(error)}"
        yield Diagnostic("error", "unreadable", found, str(error.filename))


def _repeats(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Files that only repeat what another one beside them says, as AblationBench and `datasets` leave them.

    A kept reply (`paper.json.log`) stands back behind the plan read from it, unless that came out empty.
    """
    there, repeats = set(names), {}
    for name in there:
        plan = name.removesuffix(".json.log") + ".jsonl"
        if name.endswith(".debug.log"):
            repeats[name] = "the prompt"
        elif name.endswith(".json.log") and plan in there:
            repeats |= {name: plan} if _filled(folder / plan) else {plan: name}
        elif name == "dataset_dict.json" or (name in ("dataset_info.json", "state.json") and _has_table(there)):
            repeats[name] = "the dataset"
    return repeats


def _filled(path: Path) -> bool:
    """Whether a file holds anything; what cannot be asked is told when it is read."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return True


def _has_table(names: Iterable[str]) -> bool:
    """Whether a table is among these files."""
    return any(Path(name).suffix.lower() in arrow.SUFFIXES for name in names)


def paper_name(path: str | Path) -> str:
    """The paper a file's name stands for: its name without known endings, also in `paper.json.log`."""
    name = os.path.basename(path)  # noqa: PTH119 - this is done for every plan, and a Path costs ten times as much
    while (at := name.rfind(".")) > 0 and name[at:].lower() in SUFFIXES:
        name = name[:at]
    return name


def _planner(top: Path, folder: str | None) -> str:
    """The planner that files of a folder stand for: the folders below the top, or the top's own name; of the one file
    that the top is, the folder it lies in."""
    if folder is None:
        return top.resolve().parent.name
    return "/".join(Path(folder).relative_to(top).parts) or top.resolve().name


def _read_document(path: str) -> tuple[str | None, Diagnostic | None]:
    """A document's text, and what was wrong with it; no text when it cannot be read at all."""
    try:
        found = os.stat(path)  # noqa: PTH116 - see `_walk`
        if not stat.S_ISREG(found.st_mode):
            # A pipe or a device would be waited for, or never end.
            return None, Diagnostic("error", "unreadable", "expected a file, found something else", path)
        if (size := found.st_size) > LARGEST:
            said = f"expected a document of at most {LARGEST >> 20} MiB, found {size / 2**20:.0f} MiB"
            return None, Diagnostic("error", "too-large", said, path)
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - see `_walk`
            data = stream.read()
    except OSError as error:
        return None, Diagnostic("error", "unreadable", f"expected a readable file, found: {_reason(error)}", path)
    if (suffix := os.path.splitext(path)[1].lower()) in arrow.SUFFIXES:  # noqa: PTH122 - see `_walk`
        try:
            return arrow.rows(data, suffix), None
        except arrow.TableError as error:
            return None, Diagnostic("error", "not-a-table", str(error), path)
    return _decode(data, path)


def _decode(data: bytes, path: str) -> tuple[str | None, Diagnostic | None]:
    """UTF-8, UTF-16 with its mark, or cp1252 with a note; bytes that are no text at all are an error."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), Diagnostic("note", "encoding", "expected UTF-8, found UTF-16", path)
    if b"\x00" in data[:8192]:
        return None, Diagnostic("error", "not-text", "expected text, found bytes of some other kind of file", path)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        said = f"expected UTF-8, found byte 0x{data[error.start]:02x} at {error.start}; read as Windows-1252"
        return data.decode("cp1252", "replace"), Diagnostic("note", "encoding", said, path)


def _reason(error: OSError) -> str:
    """What the operating system said, in a few lower-case words."""
    return (error.strerror or type(error).__name__).lower()


def write_text(path: str | Path, text: str) -> None:
    """Write one file of text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write one file whole or not at all: beside its place first, then moved there."""
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:40]}-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {_reason(error)}") from error


def append_text(path: str | Path, text: str, limit: int) -> bool:
    """Add text to the end of a file that others write to as well, if it stays below `limit` bytes; says whether it did.

    It cannot be done whole or not at all, because the file is not ours to replace.
    """
    place = Path(path)
    data = text.encode("utf-8", "replace")
    try:
        if (place.stat().st_size if place.exists() else 0) + len(data) >= limit:
            return False
        with place.open("ab") as stream:
            stream.write(data)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {_reason(error)}") from error
    return True


def write_texts(texts: Mapping[Path, str], *, force: bool = False) -> None:
    """Write several files, each whole or not at all; none is written when one exists already and `force` is not set."""
    if not force and (there := next((path for path in texts if path.exists()), None)):
        raise OutputError(f"{there}: exists already; --force replaces it")
    for path, text in texts.items():
        write_text(path, text)


def sample_project(folder: str | Path) -> dict[Path, str]:
    """The files of the bundled sample: its plans, and the reference lists of the papers that they are about."""
    top = shipped("sample/plans")
    plans = {path.relative_to(top): read_text(path) for path in sorted(top.rglob("*.md"))}
    gold = {path: read_text(shipped(f"references/{path}.json")) for path in sorted({path.stem for path in plans})}
    return {
        **{Path(folder, "plans", path): text for path, text in plans.items()},
        **{Path(folder, "gold", f"{name}.json"): text for name, text in gold.items()},
    }


def check_new(path: str | Path, *, force: bool = False) -> None:
    """Refuse, before any work is done, to write over a file that exists, unless `force` allows it."""
    if Path(path).exists() and not force:
        raise OutputError(f"{path}: exists already; --force replaces it")


def content_hash(path: str | Path) -> str:
    """The sha256 of a file's bytes."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}") from error


class Spool:
    """Bytes put aside on disk for the length of a run; the file has no name, so that nothing is left behind."""

    def __init__(self) -> None:
        with _put_aside():
            self._file = tempfile.TemporaryFile(prefix="evalkit-")  # noqa: SIM115 - it lives as long as the spool
        self._lock = threading.Lock()
        self._end = 0

    def put(self, content: bytes) -> tuple[int, int]:
        """Put bytes aside; gives the place to find them at."""
        with self._lock, _put_aside():
            place = (self._end, len(content))
            self._file.seek(self._end)
            self._file.write(content)
            self._end += len(content)
        return place

    def get(self, place: tuple[int, int]) -> bytes:
        """The bytes that were put at a place."""
        with self._lock, _put_aside():
            self._file.seek(place[0])
            return self._file.read(place[1])


@contextmanager
def _put_aside() -> Iterator[None]:
    """What the operating system refuses to keep for the length of a run is told with the way out."""
    try:
        yield
    except OSError as error:
        folder = f"{tempfile.gettempdir()}: " if tempfile.tempdir else ""
        said = f"{folder}temporary files cannot be written: {_reason(error)}; TMPDIR names another folder for them"
        raise OutputError(said) from error


def cache_folder(chosen: str | None = None) -> Path:
    """The folder for what is kept between runs: the one chosen, else the user's own."""
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("evalkit", appauthor=False))


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when it is closed, or when the process ends."""
    return tempfile.TemporaryDirectory(prefix="evalkit-", ignore_cleanup_errors=True)


def code_digest(rooms: Iterable[str]) -> str:
    """The hash of the source of rooms of this package: what was kept by other code is not what this code would say."""
    package = Path(__file__).parent.parent
    found = hashlib.sha256()
    for room in sorted(rooms):
        parts = sorted(path for path in (package / room).rglob("*") if path.suffix in (".py", ".json"))
        for part in parts or [package / f"{room}.py"]:
            found.update(f"{part.name}\0".encode() + part.read_bytes())
    return found.hexdigest()


def _umask() -> int:
    """The process's file mode mask, which temporary files ignore."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def append_line(path: str | Path, line: str) -> None:
    """Add one line to a file and return when it is on disk; half a line that a crash left stands alone from then on."""
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a+b") as stream:
            torn = False
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                torn = stream.read(1) != b"\n"
            stream.write(f"{chr(10) * torn}{line}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {_reason(error)}") from error


def read_lines(paths: Iterable[str | Path]) -> Iterator[tuple[str, int, str]]:
    """The non-blank lines of text files, each with its path and line number."""
    for path in paths:
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if line.strip():
                yield str(path), number, line
