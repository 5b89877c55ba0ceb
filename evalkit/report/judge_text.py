"""What a terminal shows of judges: who decided what, how far they agree, and what asking would cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalkit.report.console import grid
from evalkit.report.values import brackets, number
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal


def decisions(run: Run, spent: str = "", failures: Mapping[str, int] | None = None) -> Iterator[Text]:
    """Say what labels correct, who decided the borderline pairs, what was left to the matcher, and what it cost."""
    yield from _corrected(run)
    facts = run.meta.get("judge")
    if not facts:
        return
    names = safe_terminal(", ".join(facts["judges"]))
    yield Text(f"{names} decided {facts['decided']} of {facts['pairs']} pairs, {facts['matches']} of them as matches")
    if facts["left"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in facts["left"].items())
        now = ", ".join(f"{count} {reason}" for reason, count in (failures or {}).items())
        yield Text(f"left to the matcher: {reasons}{f' (this time: {now})' if now else ''}", style="yellow")
    if "krippendorff_alpha" in facts:
        yield Text(f"agreement of the judges: Krippendorff's alpha {number(facts['krippendorff_alpha'], 2)}")
    if spent:
        yield Text(f"asked just now: {spent}")


def _corrected(run: Run) -> Iterator[Text]:
    """Say what each planner's headline is as the labelled papers correct it."""
    name = "match_f1_corrected"
    if name not in run.leaderboard:
        return
    total = run.leaderboard["papers"].max()
    yield Text(f"match F1 corrected by the labels of {run.meta['labels']['papers']} of {total} papers:")
    for _, row in run.leaderboard.iterrows():
        value = number(row[name]) + brackets(row.get(f"{name}_low"), row.get(f"{name}_high"))
        corrected = f"{value} (uncorrected {number(row['match_f1'])})"
        yield Text(f"  {safe_terminal(row['planner'])}: {corrected}, {row['labelled_papers']} papers labelled")


def agreement(judges: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Say who judged, how much, and how far they agree pair by pair."""
    if judges["unjudged"]:
        gap = f"{judges['unjudged']} of {judges['plans']} plans were not judged and count as unmatched"
        yield Text(f"warning: {gap}; this run is incomplete", style="yellow")
    for name, own in judges["judges"].items():
        rated = f"rated {own['rated']} of {judges['pairs']} pairs, matched {own['matched']}"
        yield Text(f"judge {safe_terminal(name)}: {rated}")
    for pair in judges["compared"]:
        names = f"{safe_terminal(pair['judge'])} against {safe_terminal(pair['against'])}"
        yield Text(
            f"{names}: F1 {number(pair['f1'])}, kappa {number(pair['kappa'])} over {pair['pairs']} pairs "
            f"({pair['both']} matched by both, {pair['judge_only']} and {pair['against_only']} by one)"
        )
    if judges["compared"]:
        yield Text(f"Krippendorff's alpha of all judges: {number(judges['krippendorff_alpha'])}")
    if published := judges["published"]:
        same = f"{published['equal']} of {published['compared']} papers have the figures that evaluations.json says"
        yield Text(same, style="" if published["equal"] == published["compared"] else "yellow")
        for item in published["differing"]:
            values = f"{number(item['published'])}, recounted {number(item['counted'])}"
            yield Text(f"  {safe_terminal(item['paper'])}: {safe_terminal(item['figure'])} {values}", style="yellow")


def estimate(rows: Sequence[Mapping[str, Any]], currency: str) -> Iterator[RenderableType]:
    """Show what would be sent to whom."""
    heads = ("judge", "pairs", "kept", "calls", "tokens in", "tokens out", currency)
    counts = ("pairs", "kept", "calls", "tokens_in", "tokens_out")
    yield grid(heads, [(row["judge"], *(str(row[name]) for name in counts), number(row["money"], 4)) for row in rows])
    yield Text("tokens are estimated at four characters each, replies at 60 tokens a pair; nothing was sent")
    if all(row["money"] is None for row in rows):
        yield Text("no money: give prices per million tokens in [judge.prices] of the settings")
