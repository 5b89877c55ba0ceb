"""Takes documents, gives their plans: a text that an earlier run has read is not read again.

What is kept is what a text says by itself. Its path, and the planner and paper that only the path names, are put in
afterwards, so that a text is kept once, wherever it lies and whatever planner's it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from evalkit.formats import parse_document
from evalkit.storage.cache import Store, dependencies
from evalkit.types import Ablation, Action, Diagnostic, Document, Plan

# The rooms whose code says what a text is read as: when one changes, nothing that was kept is used any more.
READERS = ("formats", "types", "scoring/plan_cache", "text")
# The libraries that do; Python's tables of characters are among them.
LIBRARIES = ("python", "ftfy", "pyyaml")
LARGEST = 10_000_000  # characters of a document that is kept; a larger one is read anew


class _FromPath(str):
    """Stands for a name that the path gives. It is known by its type: whatever a text says is another one."""

    __slots__ = ()


_PLANNER, _PAPER = _FromPath("planner"), _FromPath("paper")


def plans_of(
    documents: Sequence[Document], store: Store | None, *, strict: bool = False, gold: bool = False
) -> list[Sequence[Plan]]:
    """The plans of each document, as `parse_document` reads them; without a store nothing is kept."""
    if store is None:
        return [parse_document(document, strict=strict, gold=gold) for document in documents]
    nameless = [_nameless(document) for document in documents]
    keys = [_key(said, strict, gold) for said in nameless]
    known, new = store.get(keys), {}
    found: list[Sequence[Plan]] = []
    for document, said, key in zip(documents, nameless, keys, strict=True):
        content = known.get(key)
        if content is None:
            content = known[key] = remembered(parse_document(said, strict=strict, gold=gold))
            if len(said.text) <= LARGEST:
                new[key] = content
        found.append(recalled(content, document))
    store.put(new)
    return found


def _nameless(document: Document) -> Document:
    """The text with names that stand for those of its path; what the path does not say stays unsaid."""
    planner = _PLANNER if document.planner else document.planner
    return Document("", document.text, planner, _PAPER if document.paper else document.paper)


def _key(nameless: Document, strict: bool, gold: bool) -> bytes:
    """What stands for a text and everything besides its path that decides what it is read as."""
    how = (strict, gold, nameless.planner, nameless.paper)
    said = hashlib.sha256(f"reading\0{dependencies(READERS, LIBRARIES)}\0{how}\0".encode())
    said.update(nameless.text.encode("utf-8", "surrogatepass"))
    return said.digest()


def remembered(plans: Iterable[Plan]) -> bytes:
    """What a nameless document says."""
    said = [
        [
            _told(plan.paper), _told(plan.planner), plan.trace, plan.sample, plan.about,
            [(one.name, one.part, one.action, one.replacements, one.metrics, one.draft, one.source)
             for one in plan.ablations],
            [(item.severity, item.code, item.message, item.line) for item in plan.diagnostics],
        ]
        for plan in plans
    ]  # fmt: skip
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _told(name: str | None) -> str | int | None:
    """A name as it is kept: 0 for the one of the path."""
    return 0 if isinstance(name, _FromPath) else name


def recalled(content: bytes, document: Document) -> tuple[Plan, ...]:
    """What these bytes say, under the names of this document."""
    path, said = document.path, json.loads(content.decode("utf-8", "surrogatepass"))
    return tuple(
        Plan(
            (document.paper or "") if paper == 0 else paper,
            document.planner if planner == 0 else planner,
            tuple(map(_entry, entries)),
            tuple(Diagnostic(severity, code, message, path, line) for severity, code, message, line in problems),
            path, trace, sample, tuple((key, text) for key, text in about),
        )
        for paper, planner, trace, sample, about, entries, problems in said
    )  # fmt: skip


def _entry(said: Sequence[Any]) -> Ablation:
    name, part, action, replacements, metrics, draft, source = said
    return Ablation(
        name, part, action and Action(action), tuple(replacements), tuple(metrics), draft=draft, source=source
    )
