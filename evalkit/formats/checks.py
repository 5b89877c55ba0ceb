"""A finished list of entries: takes it with its lines, reports what is doubtful about the list as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.formats.findings import Reading
from evalkit.text import normalise
from evalkit.types import Ablation


def check_entries(entries: Sequence[Ablation], lines: Sequence[int], reading: Reading, line: int = 1) -> None:
    """Report entries that repeat another, share its name, or are missing altogether."""
    if not entries:
        reading.add("no-entries", "expected at least one entry, found none", line)
    by_content: dict[object, int] = {}
    by_name: dict[str, int] = {}
    for i, (entry, at) in enumerate(zip(entries, lines, strict=True)):
        name = normalise(entry.name)
        options = tuple(sorted(normalise(option) for option in entry.replacements))
        earlier = by_content.setdefault((name, normalise(entry.part), entry.action, options), i)
        namesake = by_name.setdefault(name, i)
        if earlier != i:
            reading.add("duplicate-entry", f"{entry.name!r} repeats the entry of line {lines[earlier]}", at)
        elif namesake != i:
            reading.add("duplicate-name", f"{entry.name!r} is also the name of the entry of line {lines[namesake]}", at)
