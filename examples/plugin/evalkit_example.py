"""A format, a matcher, a figure and an export of one's own; pyproject.toml announces them to evalkit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evalkit.formats import Format
from evalkit.metrics.figures import Figure, ratio
from evalkit.types import Ablation, Action, Plan

# A format: one entry a line, "REMOVE the gate", below a line "%plan".
_LINE = re.compile(r"(REMOVE|REPLACE|ADD) ([^:\n]+)(?:: (.+))?")


def read_lines(text: str, context: Any) -> list[Plan]:
    """Return the one plan that a text of lines holds; what is no entry is reported with its line."""
    entries = []
    for number, line in enumerate(text.splitlines()[1:], start=2):
        if match := _LINE.fullmatch(line.strip()):
            action, part, options = match.groups()
            replacements = tuple(options.split("; ")) if options else ()
            entries.append(Ablation(part, part, Action(action), replacements))
        elif line.strip():
            context.report("unread-line", f"expected an action and a part, found {line[:40]!r}", number)
    return [context.finish(Plan("", None, tuple(entries)))]


LINES = Format(
    "lines", "an action and a part on each line, below %plan", (".plan",),
    recognises=lambda text: text.startswith("%plan\n"), read=read_lines,
)  # fmt: skip


class WordMatcher:
    """A matcher: lists in, probabilities out. Entries share a part when they share its words."""

    fingerprint = "jaccard"  # what else decides; the package's version is in the signature by itself

    def __call__(
        self, gold: Sequence[Ablation], plan: Sequence[Ablation]
    ) -> tuple[list[list[float]], list[list[float]]]:
        """Return two tables [gold, plan]: that the part is shared, and that the entries match fully."""
        part = [[_shared(one.part, other.part) for other in plan] for one in gold]
        match = [
            [chance if one.action in (None, other.action) else 0.0 for chance, other in zip(row, plan, strict=True)]
            for row, one in zip(part, gold, strict=True)
        ]
        return part, match


def _shared(one: str, other: str) -> float:
    """Return the share of words that two texts have in common."""
    words, others = ({*text.lower().split()} for text in (one, other))
    return len(words & others) / len(words | others)


# A figure: a ratio of the counts in papers.csv; larger is better.
MATCH_GIVEN_PART = Figure(
    "match_given_part", "match", "share of the gold entries whose part is shared that match fully",
    lambda sums: ratio(sums["match_gold"], sums["part_gold"]),
)  # fmt: skip


def missed(run: Any) -> dict[str, str]:
    """An export: a text for each planner with the gold entries that it missed."""
    rows = run.pairs[run.pairs["status"] == "missed"]
    lines = (rows["paper"] + ": " + rows["gold_name"]).groupby(rows["planner"])
    return {f"{planner}.txt": "\n".join(own) + "\n" for planner, own in lines}
