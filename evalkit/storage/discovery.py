"""Find documents below a folder and read them as text; what cannot be read becomes a Diagnostic in its place."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from evalkit.errors import InputError
from evalkit.formats import FORMATS, added_formats, arrow
from evalkit.storage.files import error_reason, nearby, reading
from evalkit.storage.hub import FORM, Snapshot, is_address, snapshot
from evalkit.text import readable
from evalkit.types import Diagnostic, Document, Unread

TEXTS = frozenset(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
SUFFIXES = TEXTS | arrow.SUFFIXES
# Files that may well hold plans, and are in no format that can be read.
UNREAD = frozenset(
    (".csv", ".tsv", ".doc", ".docx", ".odt", ".pdf", ".rtf", ".tex", ".xls", ".xlsx", ".htm", ".html", ".xml", ".zip",
     ".gz", ".tar", ".pkl", ".db")
)  # fmt: skip
NAMED = 5
LARGEST = 16 * 1024 * 1024


def documents(
    root: str | Path, *, planners: bool, strict: bool = False, offline: bool = False, cache: Path | None = None
) -> Iterator[Document | Diagnostic]:
    """Yield every document below a folder in the order of their paths, or the one file named.

    A data set of the hub is such a folder, which is kept in `cache`, and not fetched with `offline`. With `planners`,
    the folders below `root` name the planner; a file at the top belongs to the planner that `root` itself is called
    after. A link to a file outside the folder is reported, and refused with `strict`; so is a link to a folder, which
    is never followed. Paths and the names they give are readable text from here on, and no longer to be opened.
    """
    if is_address(root):
        held = snapshot(str(root), _is_document, largest=LARGEST, offline=offline, cache=cache)
        yield from _below(held.top, held.name, planners=planners, strict=strict, held=held)
    else:
        yield from _below(Path(root), root, planners=planners, strict=strict)


def _is_document(path: str) -> bool:
    """Return whether a file of this name is read below a folder."""
    stem, suffix = os.path.splitext(os.path.basename(path))  # noqa: PTH119, PTH122 - a name on a server
    return is_read(suffix.lower()) and stem.upper() != "README"


def _below(
    top: Path, root: str | Path, *, planners: bool, strict: bool, held: Snapshot | None = None
) -> Iterator[Document | Diagnostic]:
    """Yield the documents below a folder of this machine, those of a data set under their places in it."""
    with reading(root):
        absent = not top.exists()
    if absent:
        hint = (
            f"; of addresses only those of data sets of the hub are read: {FORM}" if "://" in str(root) else nearby(top)
        )
        raise InputError(f"{root}: no such file or folder{hint}")
    shown = held.shown if held else str
    passed = list(_not_fetched(held, planners=planners)) if held else list[Diagnostic]()
    yield from passed
    empty, planner = True, lru_cache(maxsize=16)(partial(_planner, top))
    for item in [(str(top), None, False)] if top.is_file() else _walk(top):
        if isinstance(item, Diagnostic):
            passed.append(item)
            empty = empty and item.code in ("run-folder", "unread-files", "link-folder")
            if strict and item.code == "link-folder":
                item = replace(item, severity="error")
            yield replace(item, path=readable(shown(item.path or "")), message=readable(item.message))
            continue
        empty = False
        path, folder, leads_out = item
        text, problem = (None, None) if leads_out and strict else _read_document(path)
        path, of_path = readable(shown(path)), planner(folder) if planners else None
        if leads_out and problem is None:
            found = f"expected a file of this folder, found a link to one outside it; {'refused' if strict else 'read'}"
            yield Diagnostic("error" if strict else "warning", "link-outside", found, path)
        if problem is not None and text is None:
            yield Unread(problem.severity, problem.code, problem.message, path, None, of_path, paper_name(path))
        elif problem is not None:
            yield replace(problem, path=path)
        if text is not None:
            yield Document(path, text, of_path, paper_name(path))
    if empty:
        passed_over = "".join(f"; {item.message}" for item in passed)
        kinds = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{root}: holds no documents (looked for {kinds}; README files do not count){passed_over}")


def _not_fetched(held: Snapshot, *, planners: bool) -> Iterator[Diagnostic]:
    """Yield what of a data set was not fetched: documents that are too large, and files in no readable format."""
    unread = [path for path in held.others if not _is_document(path) and Path(path).suffix.lower() in UNREAD]
    if unread:
        yield replace(_unread(Path(), unread), path=held.name)
    for path, size in held.others.items():
        if _is_document(path):
            inside = path.removeprefix(held.config).strip("/")
            folder = inside.rpartition("/")[0] or held.top.name
            planner, place = folder if planners else None, readable(f"{held.name}/{inside}")
            yield Unread("error", "too-large", _too_large(size), place, None, planner, paper_name(path))


def _too_large(size: int) -> str:
    return f"expected a document of at most {LARGEST >> 20} MiB, found {size / 2**20:.0f} MiB"


def _walk(top: Path) -> Iterator[tuple[str, str, bool] | Diagnostic]:
    """Yield the documents of a folder, sorted, each with its own folder and whether it is a link that leads outside.

    Hidden files and READMEs are left out.

    Links to folders are not followed. Paths are texts from here on: a `Path` for each takes 1.7 times as long.
    """
    refused: list[OSError] = []
    unread: list[str] = []
    waiting = [str(top)]  # `os.walk` calls itself for each level, which deep folders exhaust
    while waiting:
        folder = waiting.pop()
        folders, names, links, linked = _listed(folder, refused)
        for name in sorted(linked):
            message = "expected a folder, found a link to one; not followed: name the folder itself, or copy it here"
            yield Diagnostic("warning", "link-folder", message, os.path.join(folder, name))  # noqa: PTH118 - see above
        if {"run.json", "leaderboard.csv"} <= {*names}:
            message = "expected plans, found a run that evalkit wrote; passed over"
            yield Diagnostic("warning", "run-folder", message, folder)
            continue
        waiting += [os.path.join(folder, name) for name in sorted(folders, reverse=True)]  # noqa: PTH118 - see above
        repeats, begin = _repeats(Path(folder), names), str(Path(folder, "x"))[:-1]
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - see above
            if name in repeats:
                yield Diagnostic("note", "repeats", f"repeats what {repeats[name]} says; passed over", begin + name)
            elif is_read(suffix.lower()) and not name.startswith(".") and stem.upper() != "README":
                yield begin + name, folder, name in links and not _lies_below(begin + name, top)
            elif suffix.lower() in UNREAD and not name.startswith("."):
                unread.append(begin + name)
    if unread:
        yield _unread(top, unread)
    for error in refused:
        if Path(error.filename) == top:
            raise InputError(f"{top}: {error_reason(error)}") from error
        message = f"expected a readable folder, found: {error_reason(error)}"
        yield Diagnostic("error", "unreadable", message, str(error.filename))


def is_read(suffix: str) -> bool:
    """Return whether files of an ending are read; formats of other packages are loaded for one that is not known."""
    if suffix in SUFFIXES or not suffix:
        return bool(suffix)
    return any(suffix in format_.suffixes for format_ in added_formats().values())


def _lies_below(path: str, top: Path) -> bool:
    """Return whether a file lies below a folder when all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top))


def _listed(folder: str, refused: list[OSError]) -> tuple[list[str], list[str], set[str], list[str]]:
    """Return the names of folders, of files, of links among the files, and of links to folders; note what fails."""
    folders, names, links, linked = list[str](), list[str](), set[str](), list[str]()
    try:
        with os.scandir(folder) as entries:
            for item in entries:
                if not item.is_dir():
                    names.append(item.name)
                    if item.is_symlink():
                        links.add(item.name)
                elif not item.name.startswith("."):
                    (linked if item.is_symlink() else folders).append(item.name)
    except OSError as error:
        refused.append(error)
    return folders, names, links, linked


def _unread(top: Path, paths: list[str]) -> Diagnostic:
    """Report files that are in no readable format: how many of each ending, and the first few names."""
    kinds = Counter(Path(path).suffix.lower() for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    shown = ", ".join(str(Path(path).relative_to(top)) for path in paths[:NAMED])
    more = f", and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return Diagnostic("warning", "unread-files", f"not read, in no known format: {counts} ({shown}{more})", str(top))


def _repeats(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the files that only repeat what another one says, as AblationBench and `datasets` leave them.

    A saved reply (`paper.json.log`) gives way to the plan read from it, unless that came out empty.
    """
    files, repeats = set(names), {}
    has_table = any(Path(name).suffix.lower() in arrow.SUFFIXES for name in files)
    for name in files:
        plan = name.removesuffix(".json.log") + ".jsonl"
        if name.endswith(".debug.log"):
            repeats[name] = "the prompt"
        elif name.endswith(".json.log") and plan in files:
            repeats |= {plan: name} if _is_empty(folder / plan) else {name: plan}
        elif name == "dataset_dict.json" or (name in ("dataset_info.json", "state.json") and has_table):
            repeats[name] = "the dataset"
    return repeats


def _is_empty(path: Path) -> bool:
    """Return whether a file holds nothing; one that cannot be asked is reported when it is read."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def paper_name(path: str | Path) -> str:
    """Return the paper that a file is named after: its name without known endings, also in `paper.json.log`."""
    name = os.path.basename(path)  # noqa: PTH119 - this is done for every plan, and a Path costs ten times as much
    while (dot := name.rfind(".")) > 0 and is_read(name[dot:].lower()):
        name = name[:dot]
    return name


def _planner(top: Path, folder: str | None) -> str:
    """Return the planner of the files in a folder: its path below the top, or else the name of the top.

    Where the top is a file, `folder` is None and the planner is the folder that the file lies in.
    """
    if folder is None:
        return readable(top.resolve().parent.name)
    return readable("/".join(Path(folder).relative_to(top).parts) or top.resolve().name)


def _read_document(path: str) -> tuple[str | None, Diagnostic | None]:
    """Return a document's text and what was wrong with it; no text where it cannot be read at all."""
    try:
        status = os.stat(path)  # noqa: PTH116 - see `_walk`
        if not stat.S_ISREG(status.st_mode):
            # A pipe or a device would be waited for, or never end.
            return None, Diagnostic("error", "unreadable", "expected a file, found something else", path)
        if (size := status.st_size) > LARGEST:
            return None, Diagnostic("error", "too-large", _too_large(size), path)
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - see `_walk`
            data = stream.read()
    except OSError as error:
        return None, Diagnostic("error", "unreadable", f"expected a readable file, found: {error_reason(error)}", path)
    if (suffix := os.path.splitext(path)[1].lower()) in arrow.SUFFIXES:  # noqa: PTH122 - see `_walk`
        try:
            return arrow.rows(data, suffix), None
        except arrow.TableError as error:
            return None, Diagnostic("error", "not-a-table", str(error), path)
    return _decode(data, path)


def _decode(data: bytes, path: str) -> tuple[str | None, Diagnostic | None]:
    """Decode UTF-8, UTF-16 with its mark, or cp1252 with a note; bytes that are no text at all are an error."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), Diagnostic("note", "encoding", "expected UTF-8, found UTF-16", path)
    if b"\x00" in data[:8192]:
        return None, Diagnostic("error", "not-text", "expected text, found bytes of some other kind of file", path)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        message = f"expected UTF-8, found byte 0x{data[error.start]:02x} at {error.start}; read as Windows-1252"
        return data.decode("cp1252", "replace"), Diagnostic("note", "encoding", message, path)
