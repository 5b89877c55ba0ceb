"""Plans that a program gives as texts, lists of entries, mappings or tables: the plans that files would be read as."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evalkit.errors import InputError
from evalkit.formats import parse_document
from evalkit.formats.entries import whole_entry_tree
from evalkit.formats.metadata import is_weight
from evalkit.types import Ablation, Diagnostic, Document, Plan

EXPECTED = (
    "a folder, a file, plans, {planner: {paper: text or list of entries}} (gold: {paper: ...}), a DataFrame, or a list"
    " of dicts that name their paper and planner"
)


def plans_given(source: Any, *, gold: bool = False, strict: bool = False) -> Iterator[Plan | Diagnostic]:
    """Yield the plans in an object; plans themselves pass through, and so does what was found beside them."""
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        rows = source.to_dict("records")
        source = [{str(key): value for key, value in row.items() if not _is_empty(value)} for row in rows]
    if isinstance(source, Mapping):
        yield from _mapping(source, gold=gold, strict=strict)
        return
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        raise InputError(f"expected {EXPECTED}, found {type(source).__name__}")
    entries = []
    for item in source:
        if isinstance(item, Plan):
            weights = (item.weight, *(entry.weight for entry in item.ablations)) if gold else ()
            if wrong := [weight for weight in weights if not is_weight(weight)]:
                raise InputError(f"gold for {item.paper!r}: expected a positive weight, found {wrong[0]!r}")
            yield item
        elif isinstance(item, Diagnostic):
            yield item
        elif isinstance(item, Mapping):
            entries.append(item)
        else:
            raise InputError(f"expected {EXPECTED}, found a list with {type(item).__name__}")
    if entries:
        yield from _parsed(entries, None, None, gold=gold, strict=strict)


def _mapping(source: Mapping[Any, Any], *, gold: bool, strict: bool) -> Iterator[Plan]:
    """Yield the plans of papers, of planners' papers, or of one object as a file would hold it."""
    if not gold and all(isinstance(papers, Mapping) for papers in source.values()):
        for planner, papers in source.items():
            for paper, content in papers.items():
                yield from _parsed(content, str(planner), str(paper), gold=False, strict=strict)
    elif gold:
        for paper, content in source.items():
            yield from _parsed(content, None, str(paper), gold=True, strict=strict)
    else:
        raise InputError(f"expected {EXPECTED}, found a dict of {type(next(iter(source.values()))).__name__}")


def _parsed(content: Any, planner: str | None, paper: str | None, *, gold: bool, strict: bool) -> Iterator[Plan]:
    """Parse a text or an object; the names that it is given under go before those that it says."""
    if isinstance(content, Plan):
        plans: Iterable[Plan] = (content,)
    else:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=_as_data)
        place = "/".join(filter(None, (planner, paper))) or "the plans given"
        plans = parse_document(Document(place, text, planner, paper), strict=strict, gold=gold)
    yield from plans


def _as_data(value: Any) -> Any:
    """Return what JSON has no form for as what it has: an entry as an object, an array or a set as a list."""
    if isinstance(value, Ablation):
        return whole_entry_tree(value)
    if hasattr(value, "tolist"):  # numpy's arrays, which tables read from Parquet hold, and its numbers
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, bytes) else str(value)


def _is_empty(value: Any) -> bool:
    """Say whether a cell of a table holds nothing: None, NaN, which is not equal to itself, or pandas' NA and NaT."""
    nothing = value is None or (isinstance(value, float) and value != value)
    return nothing or type(value).__name__ in ("NAType", "NaTType")
