"""Decide draft gold entry by entry: read files whose entries nobody has confirmed, and write them back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from evalkit.errors import InputError
from evalkit.storage.discovery import documents
from evalkit.storage.files import write_text
from evalkit.types import Document

Decision = Literal["keep", "drop", "later", "stop"]
Ask = Callable[[str, dict[str, Any]], Decision]


def confirm(source: str | Path, ask: Ask) -> tuple[int, int, int]:
    """Ask about every draft entry below a path; each decision is on disk before the next. Kept, dropped, left."""
    counts = {"keep": 0, "drop": 0, "later": 0}
    stopped = False
    for path, tree in list(draft_files(source)):
        for entry in [item for item in tree["ablations"] if isinstance(item, dict) and item.get("draft")]:
            decision = "later" if stopped else ask(str(tree.get("paper") or Path(path).stem), entry)
            if decision == "stop":
                stopped, decision = True, "later"
            counts[decision] += 1
            if decision == "keep":
                del entry["draft"]
            elif decision == "drop":
                tree["ablations"].remove(entry)
            if decision != "later":
                write_draft(path, tree)
    return counts["keep"], counts["drop"], counts["later"]


def draft_files(source: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The gold files below a path that are JSON objects with a list of entries, as `gold extract` writes them."""
    for document in documents(source, planners=False):
        if not isinstance(document, Document):
            raise InputError(f"{document.path}: {document.message}")
        try:
            tree = json.loads(document.text)
        except (ValueError, RecursionError):
            continue
        if isinstance(tree, dict) and isinstance(tree.get("ablations"), list):
            yield document.path, tree


def write_draft(path: str, tree: Mapping[str, Any]) -> None:
    """A gold file as `gold extract` writes it."""
    write_text(path, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
