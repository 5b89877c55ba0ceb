"""Where a run comes from: when, by which command, of which inputs, from which commit, and what its maker says of it.

None of it is in the signature: two runs of the same plans are the same whenever they were made.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.settings import shown
from evalkit.storage.files import file_hash, read_text
from evalkit.storage.hub import is_address
from evalkit.text import readable

TIME = "%Y-%m-%dT%H:%M:%SZ"
LONGEST_NOTE = 2000
_KEY = re.compile(r"[A-Za-z0-9][\w.-]{0,39}", re.ASCII)
# A repository's own settings can name programs that git runs; it is asked in a way that starts none of them.
_QUIET = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "safe.bareRepository=explicit")
_PATIENCE = 20  # seconds that git may take


def provenance(
    command: Sequence[str] = (), *, note: str = "", tags: Mapping[str, str] | None = None,
    prompts: Iterable[str | Path] = (), keep_text: bool = False, plans: object = None,
) -> dict[str, Any]:  # fmt: skip
    """Return what is known of a run's making before it is scored.

    `plans` is the folder or file of the plans, whose commit is looked up; `keep_text` keeps the prompts' texts beside
    their digests.
    """
    known = {
        "time": datetime.now(UTC).strftime(TIME),
        "command": readable(shlex.join(("evalkit", *command))) if command else "",
        "git": git_state(plans) if isinstance(plans, str | Path) and not is_address(plans) else None,
        "note": checked_note(note),
        "tags": checked_tags(tags or {}),
        "prompts": [_prompt(path, keep_text=keep_text) for path in prompts],
    }
    return {name: value for name, value in known.items() if value}


def source(given: object, digest: str) -> dict[str, str]:
    """Return an input as provenance names it: its path as it was given, if it has one, and the digest of its content.

    The digest stands for what plans or gold say, whatever their files and order, as in the signature.
    """
    return {"path": readable(str(given)), "digest": digest} if isinstance(given, str | Path) else {"digest": digest}


def checked_note(note: str) -> str:
    """Return a note on one line without what could steer a terminal."""
    text = readable(" ".join(note.split()))
    if len(text) > LONGEST_NOTE:
        raise InputError(f"a note of {len(text)} characters; expected at most {LONGEST_NOTE}")
    return text


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags by key; refuse a key that would not stand in an address or on a command line."""
    for key, value in tags.items():
        if not _KEY.fullmatch(key):
            raise InputError(f"tag {shown(key)}: expected a name of letters, digits, dots, dashes and underscores")
        if not value.strip() or len(value) > LONGEST_NOTE:
            raise InputError(f"tag {key}: expected a value of 1 to {LONGEST_NOTE} characters")
    return {key: readable(" ".join(value.split())) for key, value in sorted(tags.items())}


def parsed_tags(texts: Iterable[str]) -> dict[str, str]:
    """Return the tags that texts of the form KEY=VALUE name; refuse a key that comes twice."""
    tags: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or key in tags:
            raise InputError(f"--tag {shown(text)}: {'the key is given twice' if sign else 'expected KEY=VALUE'}")
        tags[key] = value
    return checked_tags(tags)


def _prompt(path: str | Path, *, keep_text: bool) -> dict[str, str]:
    entry = {"path": readable(str(path)), "digest": file_hash(path)[:12]}
    return entry | {"text": read_text(path)} if keep_text else entry


def git_state(place: str | Path) -> dict[str, Any] | None:
    """Return the commit of the repository that a folder or file is in, and whether what is there differs from it.

    It differs where a tracked file is not as committed, or the folder holds a file that is not tracked, ignored or not.
    None where there is no repository, no commit or no git; `dirty` is None where it cannot be told: where a filter
    that the repository itself brings would have to be run, or git takes too long.
    """
    folder = Path(place) if Path(place).is_dir() else Path(place).parent
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit or not re.fullmatch(r"[0-9a-f]{40,64}", commit.strip()):
        return None
    return {"commit": commit.strip(), "dirty": _is_dirty(folder, str(place))}


def _is_dirty(folder: Path, place: str) -> bool | None:
    filters = _git(folder, "config", "--show-scope", "--name-only", "--get-regexp", r"^filter\.")
    if any(line.startswith(("local", "worktree")) for line in (filters or "").splitlines()):
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    name = "." if Path(place).is_dir() else f":(literal){Path(place).name}"
    untracked = _git(folder, "ls-files", "--others", "--directory", "--", name)
    return None if changed is None or untracked is None else bool(changed or untracked)


def _git(folder: Path, *words: str) -> str | None:
    """Return what git says; None where it cannot be asked. It opens no connection and writes nothing."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    around |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *words], env=around, capture_output=True, timeout=_PATIENCE,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    # `git config` ends in 1 where there is no such setting.
    return done.stdout.decode("utf-8", "replace") if done.returncode in (0, 1) else None
