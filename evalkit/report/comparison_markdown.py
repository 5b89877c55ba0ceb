"""Takes a Comparison or a GateReport, gives Markdown for a pull request or a job summary, always below 1 MiB.

Texts from plans and gold are escaped: none becomes a link, an image, a mention of a person or of an issue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.comparison import Change, Comparison, GateReport
from evalkit.report.comparison_text import NO_TEST, gate_sentence, gold_entry, interval, number, p_value, plan_entries
from evalkit.report.escaping import markdown
from evalkit.report.json_output import records

LIMIT = 1024 * 1024
ROOM = 256  # bytes kept for saying what was left out
LONGEST = 600  # signs of one cell
MARKS = {"pass": "✅", "regressed": "❌", "inconclusive": "⚠️", "better": "✅", "worse": "❌", "no change": "➖"}


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of the page: text that always stands, and rows that may be cut at the end."""

    head: str
    rows: Sequence[str] = ()
    tail: str = ""


def comparison(found: Comparison, limit: int = LIMIT) -> str:
    """What changed between two runs."""
    return fitted(list(_compared(found)), limit)


def gate(report: GateReport, limit: int = LIMIT) -> str:
    """A gate's verdict, its checks, and what changed."""
    mark = "❌" if report.tripped else MARKS[report.verdict]
    rows = [
        f"| {MARKS[check.verdict]} {check.verdict} | {text(check.planner)} | {text(check.name)} | "
        f"{'<br>'.join(text(line) for line in (check.said, *check.details))} |\n"
        for check in sorted(report.checks, key=lambda check: ("regressed", "inconclusive", "pass").index(check.verdict))
    ]
    head = f"## {mark} evalkit {gate_sentence(report)}\n\n| verdict | planner | check | found |\n|---|---|---|---|\n"
    return fitted([Section(head, rows, "\n"), *_compared(report.comparison)], limit)


def fitted(sections: Sequence[Section], limit: int) -> str:
    """All sections in fewer bytes than `limit`: every head and tail, and of the rows as many as there is room for."""
    room = limit - 1 - sum(_bytes(part.head) + _bytes(part.tail) + ROOM for part in sections)
    pieces = []
    for section in sections:
        kept = []
        for row in section.rows:
            room -= _bytes(row)
            if room < 0:
                break
            kept.append(row)
        left = len(section.rows) - len(kept)
        pieces.append(section.head + "".join(kept) + (f"\n… and {left} more\n" if left else "") + section.tail)
        room = max(room, 0)
    page = "".join(pieces)
    return page if _bytes(page) < limit else page.encode("utf-8")[: max(limit - 1, 0)].decode("utf-8", "ignore")


def _bytes(part: str) -> int:
    return len(part.encode("utf-8"))


def text(value: object) -> str:
    """Text for a cell: escaped, no mention of a person or an issue, not too long."""
    said = str(value)
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
    shown = markdown(said)
    for sign in (r"\@", r"\#", "www"):
        shown = shown.replace(sign, f"{sign}<!-- -->")
    return shown


def _compared(found: Comparison) -> Iterator[Section]:
    """How much, how sure, where."""
    yield Section(f"### {text(found.new.name)} against {text(found.base.name)}\n\n", _notes(found), "\n")
    head = f"| planner | papers | base | new | {found.metric} difference, 95% | p | Holm | verdict | could see |\n"
    yield Section(head + "|---|--:|--:|--:|--:|--:|--:|---|--:|\n", [_planner(item) for item in found.headline], "\n")
    if found.corrected:
        head = "| planner | labelled papers | base | new | corrected difference, 95% | verdict | could see |\n"
        head = f"{NO_TEST}\n\n{head}|---|--:|--:|--:|--:|---|--:|\n"
        yield Section(head, [_by_labels(item) for item in found.corrected], "\n")
    yield from _moved(found)
    signatures = (("base", found.base.signature), ("new", found.new.signature))
    yield Section("".join(f"<sub>{name}: {text(signature)}</sub><br>\n" for name, signature in signatures))


def _planner(change: Change) -> str:
    """One planner's row."""
    verdict = f"{MARKS.get(change.verdict, '⚠️')} {change.verdict}"
    cells = (
        text(change.planner), change.papers, number(change.base), number(change.new), interval(change),
        p_value(change.p), p_value(change.p_holm), verdict, number(change.detectable),
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |\n"


def _by_labels(change: Change) -> str:
    """One planner's row of a figure that labels correct."""
    verdict = f"{MARKS.get(change.verdict, '⚠️')} {change.verdict}"
    ends = (number(change.base), number(change.new), f"{change.figure} {interval(change)}")
    cells = (text(change.planner), change.papers, *ends, verdict, number(change.detectable))
    return f"| {' | '.join(map(str, cells))} |\n"


def _notes(found: Comparison) -> list[str]:
    """Lines that a reader must not miss."""
    notes = [
        f"- **forced**: {name} is {text(base)} in base and {text(new)} in new; not like with like\n"
        for name, (base, new) in found.forced.items()
    ]
    notes += [f"- {text(warning)}\n" for warning in found.warnings]
    for side, planners, papers in zip((found.base, found.new), found.only_planners, found.only_papers, strict=True):
        notes += [f"- planner only in {text(side.name)}: {text(planner)}\n" for planner in planners]
        notes += [f"- paper only in {text(side.name)}: {text(paper)} ({text(name)})\n" for name, paper in papers]
    return notes


def _moved(found: Comparison) -> Iterator[Section]:
    """Failures, gold entries and papers that changed; foldable, the largest changes first."""
    if len(found.failures):
        rows = [f"| {' | '.join(text(cell) for cell in row.values())} |\n" for row in records(found.failures)]
        yield _folded(f"No longer read: {len(rows)}", ("planner", "paper", "kind", "base", "new"), rows)
    for change in ("lost", "gained"):
        rows = [
            f"| {text(row['planner'])} | {text(row['paper'])} | {text(gold_entry(row))} | {text(plan_entries(row))} |\n"
            for row in records(found.entries[found.entries["change"] == change])
        ]
        if rows:
            heads = ("planner", "paper", "gold entry", "plan entry, base → new")
            yield _folded(f"Gold entries {change}: {len(rows)}", heads, rows)
    moved = records(found.papers[found.papers["difference"].fillna(0.0) != 0])
    if moved:
        rows = [
            f"| {text(row['planner'])} | {text(row['paper'])} | {number(row['base'])} | {number(row['new'])} | "
            f"{number(row['difference'], True)} |\n"
            for row in moved
        ]
        title = f"Papers that changed: {len(moved)} of {len(found.papers)}"
        yield _folded(title, ("planner", "paper", "base", "new", "difference"), rows)


def _folded(title: str, heads: Sequence[str], rows: Sequence[str]) -> Section:
    """A table that opens on a click."""
    head = f"<details><summary>{title}</summary>\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    return Section(head, rows, "\n</details>\n\n")
