"""Takes what is known about a second opinion, gives what a terminal shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalkit.report.console import grid, interval, number
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal


def lines(run: Run, spent: str = "", failures: Mapping[str, int] | None = None) -> Iterator[Text]:
    """Who decided the borderline pairs, what was left to the matcher, what it cost this time; what labels correct."""
    yield from _corrected(run)
    facts = run.meta.get("judge")
    if not facts:
        return
    names = safe_terminal(", ".join(facts["judges"]))
    yield Text(f"{names} decided {facts['decided']} of {facts['pairs']} pairs, {facts['matches']} of them as matches")
    if facts["left"]:
        why = ", ".join(f"{count} {reason}" for reason, count in facts["left"].items())
        more = ", ".join(f"{count} {reason}" for reason, count in (failures or {}).items())
        yield Text(f"left to the matcher: {why}{f' (this time: {more})' if more else ''}", style="yellow")
    if "krippendorff_alpha" in facts:
        yield Text(f"agreement of the judges: Krippendorff's alpha {number(facts['krippendorff_alpha'], 2)}")
    if spent:
        yield Text(f"asked just now: {spent}")


def _corrected(run: Run) -> Iterator[Text]:
    """The headline of each planner as the labelled papers correct it."""
    if "match_f1_corrected" not in run.leaderboard:
        return
    total = run.leaderboard["papers"].max()
    yield Text(f"match F1 corrected by the labels of {run.meta['labels']['papers']} of {total} papers:")
    for _, row in run.leaderboard.iterrows():
        said = f"{interval(row, 'match_f1_corrected')} (uncorrected {number(row['match_f1'])})"
        yield Text(f"  {safe_terminal(row['planner'])}: {said}, {row['labelled_papers']} papers labelled")


def estimate(rows: Sequence[Mapping[str, Any]], currency: str) -> Iterator[RenderableType]:
    """What would be sent to whom."""
    heads = ("judge", "pairs", "kept", "calls", "tokens in", "tokens out", currency)
    yield grid(heads, [_row(row) for row in rows])
    yield Text("tokens are estimated at four characters each, replies at 60 tokens a pair; nothing was sent")
    if all(row["money"] is None for row in rows):
        yield Text("no money: give prices per million tokens in [judge.prices] of the settings")


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(row[name]) for name in ("pairs", "kept", "calls", "tokens_in", "tokens_out"))
    return (safe_terminal(row["judge"]), *counts, number(row["money"], 4))
