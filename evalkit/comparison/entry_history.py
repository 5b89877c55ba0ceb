"""Gold entries over many runs: when each was first found, lost, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from evalkit.comparison.history import Group, Line
from evalkit.storage.runs import read_columns
from evalkit.text import normalise_id

COLUMNS = ("planner", "paper", "sample", "status", "gold_entry", "gold_name", "gold_part")


@dataclass(frozen=True, slots=True)
class EntryHistory:
    """When one gold entry was found over the runs of a group; `found` is None in runs without its paper.

    An entry is found where at least half of the samples match it. `changes` counts how often that turned.
    """

    paper: str
    number: int
    name: str
    found: tuple[bool | None, ...]

    @property
    def known(self) -> list[tuple[int, bool]]:
        """Return the runs that have its paper, by their place, and whether it is found in them."""
        return [(place, found) for place, found in enumerate(self.found) if found is not None]

    @property
    def changes(self) -> int:
        """Return how often it was lost or found from one run to the next."""
        states = [found for _, found in self.known]
        return sum(one != two for one, two in pairwise(states))

    def turns(self, to: bool) -> list[int]:
        """Return the places of the runs in which it came to be found, or was lost; at the first run only if found."""
        known = self.known
        first = [known[0][0]] if to and known and known[0][1] else []
        later = [place for (_, was), (place, now) in pairwise(known) if was != now and now == to]
        return [*first, *later]


def entry_histories(group: Group) -> list[EntryHistory]:
    """Return every gold entry of a group's runs, those that turned most often first."""
    found: dict[tuple[str, int], dict[int, bool]] = {}
    names: dict[tuple[str, int], tuple[str, str]] = {}
    for place, line in enumerate(group.lines):
        for key, paper, number, name, is_found in _entries(line):
            found.setdefault((key, number), {})[place] = is_found
            names.setdefault((key, number), (paper, name))
    places = range(len(group.lines))
    entries = [
        EntryHistory(names[key][0], key[1], names[key][1], tuple(own.get(place) for place in places))
        for key, own in found.items()
    ]
    return sorted(entries, key=lambda entry: (-entry.changes, entry.paper, entry.number))


def _entries(line: Line) -> Iterator[tuple[str, str, int, str, bool]]:
    """Yield key and name of the paper, number and name of each gold entry, and whether the planner found it."""
    pairs = read_columns(line.run.folder, "pairs", line.run.signature, COLUMNS)
    rows = pairs[(pairs["planner"] == line.planner) & pairs["status"].isin(("match", "part", "missed"))]
    rows = rows[rows["gold_entry"].notna()]
    sample = rows["sample"].astype(object).where(rows["sample"].notna(), "")
    hits = (rows["status"] == "match").groupby([rows["paper"], rows["gold_entry"].astype(int), sample]).any()
    shares = hits.groupby(level=[0, 1]).mean()
    texts = rows.groupby([rows["paper"], rows["gold_entry"].astype(int)])[["gold_name", "gold_part"]].first()
    for (paper, number), share, name, part in zip(
        shares.index, shares, texts["gold_name"], texts["gold_part"], strict=True
    ):
        title = name if isinstance(name, str) else part if isinstance(part, str) else ""
        yield normalise_id(str(paper)), str(paper), int(number), title, bool(share >= 0.5)
