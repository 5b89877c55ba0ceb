"""Data sets of the Hugging Face hub as folders: an address is pinned to a commit, and its files are kept here.

The hub's files are not trusted: names stay below their folder, sizes have bounds, and what comes is what the commit
holds, by its hashes. A token goes to the hub alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import yaml

from evalkit.errors import InputError, install_command
from evalkit.settings import fingerprint, shown
from evalkit.storage.files import cache_folder, is_there, names_device, read_text, write_bytes, write_text

SCHEME = "hf://"
FOLDER = "hub"  # in the cache
FORM = "hf://datasets/OWNER/NAME[/CONFIG][@REVISION]"
MOST_FILES, MOST_BYTES = 50_000, 4 << 30  # of one data set
AT_ONCE = 8
_ADDRESS = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)((?:/[^/@]+)*)/?(?:@(.+))?", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Address:
    """A data set on the hub, a folder, file or configuration in it, and a revision."""

    repo: str
    config: str = ""
    revision: str = ""

    def __str__(self) -> str:
        return f"hf://datasets/{self.repo}{self.config and '/'}{self.config}{self.revision and '@'}{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return _COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a data set on this machine, below a folder or one file, and those that were not fetched."""

    top: Path
    name: str
    config: str = ""
    others: Mapping[str, int] = field(default_factory=dict)

    def shown(self, path: str) -> str:
        """Return a path of this machine as a place in the data set."""
        inside = Path(path).name if path == str(self.top) and self.top.is_file() else path[len(str(self.top)) :]
        return f"{self.name}/{inside.lstrip('/')}".rstrip("/") if path.startswith(str(self.top)) else path


def is_address(source: object) -> bool:
    """Return whether plans or gold are on the hub."""
    return isinstance(source, str) and source.startswith(SCHEME)


def parse_address(text: str) -> Address:
    """Return the parts of an address; refuse one of another form."""
    if (match := _ADDRESS.fullmatch(text)) is None or {".", ".."} & {*text.split("@")[0].split("/")}:
        raise InputError(f"{text}: expected {FORM}")
    return Address(match[1], match[2].strip("/"), match[3] or "")


def pin(source: Any, *, offline: bool) -> tuple[Any, str]:
    """Return an address with the commit that its revision is now, and a warning where it names none.

    What is no address comes back as it is.
    """
    if not is_address(source):
        return source, ""
    address = parse_address(source)
    if address.is_pinned:
        return str(address), ""
    if offline:
        raise InputError(f"{source}: --offline reads only a commit that is on this machine: {FORM} with its 40 digits")
    hub = _Hub(address)
    pinned = str(replace(address, revision=hub.commit()))
    return pinned, "" if address.revision else f"{source} names no revision, and may change: {pinned} was taken"


def snapshot(source: str, wanted: Wanted, *, largest: int, offline: bool, cache: Path | None = None) -> Snapshot:
    """Return a data set's files; those that are `wanted` by name and not too large are fetched, once a commit."""
    address = parse_address(pin(source, offline=offline)[0])
    place = (cache or cache_folder()) / FOLDER / address.repo.replace("/", "--") / address.revision
    place = place / (fingerprint(address.config)[:12] if address.config else "all")
    known = _known(place)
    if known is None:
        if offline:
            raise InputError(f"{source}: is not on this machine, and --offline fetches nothing")
        known = _fetch(_Hub(address), place, wanted, largest)
    tree = place / "files" / address.repo.partition("/")[2]
    below = tree / address.config
    is_place = bool(address.config) and is_there(below)  # else a configuration, whose files are all of the tree
    return Snapshot(below if is_place else tree, str(address), address.config if is_place else "", known.others)


def fetched(cache: Path) -> tuple[Path, int]:
    """Return where data sets lie in a cache, and their bytes."""
    top = cache / FOLDER
    return top, sum(path.stat().st_size for path in top.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class _Listing:
    """What was fetched of a data set and what was not, each with its size."""

    files: dict[str, int]
    others: dict[str, int]


def _known(place: Path) -> _Listing | None:
    """Return what lies here of a data set, if it is the whole of it."""
    if not is_there(place / "listing.json"):
        return None
    try:
        content = json.loads(read_text(place / "listing.json"))
        return _Listing({**content["files"]}, {**content["others"]})
    except (ValueError, KeyError, TypeError, InputError):  # damaged: made again
        return None


def _fetch(hub: _Hub, place: Path, wanted: Wanted, largest: int) -> _Listing:
    """Fetch the files that an address names, and write down last that they are all there."""
    name = hub.address.repo.partition("/")[2]
    chosen = _chosen(hub, largest)
    files = [one for one in chosen if wanted(one.path) and one.size <= largest]
    if sum(one.size for one in files) > MOST_BYTES:
        raise InputError(f"{hub.address}: expected at most {MOST_BYTES >> 30} GiB of documents; name a folder in it")

    def keep(one: _File) -> None:
        write_bytes(place / "files" / name / one.path, hub.content(one))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            list(pool.map(keep, files))
        finally:
            pool.shutdown(cancel_futures=True)
    fetched = {one.path: one.size for one in files}
    known = _Listing(fetched, {one.path: one.size for one in chosen if one.path not in fetched})
    write_text(place / "listing.json", json.dumps(asdict(known)))
    return known


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a commit: its path, its size, and the hash of its content, in git's way or of its bytes alone."""

    path: str
    size: int
    sha1: str
    sha256: str

    def is_content(self, data: bytes) -> bool:
        """Return whether these bytes are what the commit holds."""
        if self.sha256:
            return hashlib.sha256(data).hexdigest() == self.sha256
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == self.sha1


def _chosen(hub: _Hub, largest: int) -> list[_File]:
    """Return the files of the folder, the file or the configuration that an address names; all where it names none.

    Hidden ones are left out, and a README unless it is named.
    """
    files = hub.files()
    config = hub.address.config
    if not config:
        chosen = files
    elif not (chosen := [one for one in files if one.path == config or one.path.startswith(f"{config}/")]):
        patterns = _configurations(hub, files, largest)
        if config not in patterns:
            known = dict.fromkeys((*patterns, *(one.path.partition("/")[0] for one in files if "/" in one.path)))
            raise InputError(f"{hub.address}: nothing is called {config!r} there; there are {_few(known)}")
        chosen = [one for one in files if any(fnmatchcase(one.path, pattern) for pattern in patterns[config])]
    return [one for one in chosen if not re.search(r"(^|/)\.", one.path)]


def _few(names: Iterable[str]) -> str:
    first = list(islice(names, 9))
    return ", ".join(first[:8]) + (" and more" if len(first) > 8 else "") if first else "only files"


def _configurations(hub: _Hub, files: Iterable[_File], largest: int) -> dict[str, list[str]]:
    """Return the patterns of the files of each configuration that the data set's README declares in its head."""
    card = next((one for one in files if one.path == "README.md" and one.size <= largest), None)
    text = hub.content(card).decode("utf-8", "replace") if card else ""
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        declared = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, RecursionError, ValueError):
        declared = None
    rows = declared.get("configs") if isinstance(declared, Mapping) else None
    named = [row for row in rows or () if isinstance(row, Mapping) and isinstance(row.get("config_name"), str)]
    return {row["config_name"]: list(_patterns(row.get("data_files"))) for row in named}


def _patterns(value: object) -> Iterator[str]:
    """Yield the patterns of `data_files`: a text, a list of texts, or splits with their paths."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _patterns(item.get("path") if isinstance(item, Mapping) else item)


class _Hub:
    """A data set as the hub's own client asks for it."""

    def __init__(self, address: Address) -> None:
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise InputError(f"{address}: needs huggingface_hub: {install_command('hub')}") from error
        self.address = address
        self._api = HfApi(library_name="evalkit")

    def commit(self) -> str:
        """Return the commit that the address's revision is now; without one, of the data set's main branch."""
        found = self._asked(self._api.dataset_info, self.address.repo, revision=self.address.revision or None)
        if not isinstance(found.sha, str) or not _COMMIT.fullmatch(found.sha):
            raise self._misfit("a commit")
        return found.sha

    def files(self) -> list[_File]:
        """Return all files of the commit; a name that would lead out of their folder refuses the whole."""
        listed = self._asked(self._listed)
        if len(listed) > MOST_FILES:
            raise InputError(f"{self.address}: expected at most {MOST_FILES:,} files")
        files = [self._checked(item) for item in listed]
        if unsafe := [one.path for one in files if not _is_safe(one.path)]:
            called = shown(unsafe[0])
            raise InputError(f"{self.address}: a file there is called {called}, which no data set may hold; refused")
        return files

    def _listed(self) -> list[Any]:
        """Return the hub's list, no longer than one file more than is taken."""
        address = self.address
        items = self._api.list_repo_tree(address.repo, recursive=True, revision=address.revision, repo_type="dataset")
        return list(islice((item for item in items if hasattr(item, "size")), MOST_FILES + 1))

    def _checked(self, item: Any) -> _File:
        sha256 = item.lfs.sha256 if item.lfs else ""
        facts = (item.path, item.size, item.blob_id, sha256)
        if [type(fact) for fact in facts] != [str, int, str, str] or item.size < 0:
            raise self._misfit("a list of files")
        return _File(*facts)

    def _misfit(self, wanted: str) -> InputError:
        return InputError(f"{self.address}: expected {wanted} from {self._api.endpoint}, found something else")

    def content(self, one: _File) -> bytes:
        """Return a file's content; one that is not what the commit holds is refused."""
        data = self._asked(partial(self._received, one))
        if not one.is_content(data):
            raise InputError(f"{self.address}: {one.path}: what came is not what this commit holds")
        return bytes(data)

    def _received(self, one: _File) -> bytes:
        """Return what the hub sends for a file, and of more than its size only a little."""
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

        url = f"{self._api.endpoint}/datasets/{self.address.repo}/resolve/{self.address.revision}/{quote(one.path)}"
        headers = build_hf_headers(library_name="evalkit") | {"Accept-Encoding": "identity"}
        data = bytearray()
        # Of a redirect to another server, which is where large files lie, the client leaves the token out.
        with http_stream_backoff("GET", url, headers=headers, follow_redirects=True, timeout=60) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > one.size:
                    break
        return bytes(data)

    def _asked(self, ask: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Return an answer of the hub; what its client raises is a user's error."""
        try:
            return ask(*given, **named)
        except InputError:
            raise
        except Exception as error:  # whatever the hub's client and the libraries below raise
            self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "RevisionNotFoundError" in kinds:
            revision, _, inside = self.address.revision.partition("/")  # the hub's own clients write @REVISION/PATH
            moved = replace(self.address, config=inside, revision=revision)
            hint = f"; a folder stands before the revision: {moved}" if inside and not self.address.config else ""
            reason = f"no revision {self.address.revision!r}{hint}"
        elif "RepositoryNotFoundError" in kinds:
            reason = "no such data set there, or none that you may read (HF_TOKEN, or `hf auth login`)"
        elif "OfflineModeIsEnabled" in kinds:
            reason = "HF_HUB_OFFLINE keeps it from being asked for"
        else:
            reason = f"cannot be had: {str(error).strip().partition(chr(10))[0] or type(error).__name__}"
        raise InputError(f"{self.address}: {self._api.endpoint}: {reason}") from error


def _is_safe(path: str) -> bool:
    """Return whether a path stays below its folder on every system."""
    steps = path.split("/")
    return not _UNSAFE.search(path) and all(
        step.strip(". ") and len(step.encode("utf-8", "surrogatepass")) <= 255 and not names_device(step)
        for step in steps
    )
