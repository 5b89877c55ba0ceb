"""Markdown of a comparison or a gate for a pull request or a job summary, always below 1 MiB.

Texts from plans and gold are escaped: none becomes a link, an image, a mention of a person or of an issue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.comparison import Comparison, FigureChange, GateReport
from evalkit.report.comparison_text import NO_TEST, gate_sentence, gold_entry, interval, plan_entries
from evalkit.report.escaping import markdown
from evalkit.report.json_output import records
from evalkit.report.values import number, p_value

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


def comparison(result: Comparison, limit: int = LIMIT) -> str:
    """What changed between two runs."""
    return fitted(list(_compared(result)), limit)


def gate(report: GateReport, limit: int = LIMIT) -> str:
    """A gate's verdict, its checks, and what changed."""
    mark = "❌" if report.tripped else MARKS[report.verdict]
    order = ("regressed", "inconclusive", "pass")
    rows = []
    for check in sorted(report.checks, key=lambda check: order.index(check.verdict)):
        lines = "<br>".join(map(text, (check.message, *check.details)))
        rows.append(_row(f"{MARKS[check.verdict]} {check.verdict}", text(check.planner), text(check.name), lines))
    head = f"## {mark} evalkit {gate_sentence(report)}\n\n| verdict | planner | check | found |\n|---|---|---|---|\n"
    return fitted([Section(head, rows, "\n"), *_compared(report.comparison)], limit)


def fitted(sections: Sequence[Section], limit: int) -> str:
    """All sections in fewer bytes than `limit`: every head and tail, and of the rows as many as there is room for."""
    room = limit - 1 - sum(_bytes(part.head) + _bytes(part.tail) + ROOM for part in sections)
    pieces = []
    for section in sections:
        rows = []
        for row in section.rows:
            room -= _bytes(row)
            if room < 0:
                break
            rows.append(row)
        left_out = len(section.rows) - len(rows)
        pieces += [section.head, *rows, f"\n… and {left_out} more\n" if left_out else "", section.tail]
        room = max(room, 0)
    page = "".join(pieces)
    return page if _bytes(page) < limit else page.encode("utf-8")[: max(limit - 1, 0)].decode("utf-8", "ignore")


def _bytes(part: str) -> int:
    return len(part.encode("utf-8"))


def text(value: object) -> str:
    """Text for a cell: escaped, no mention of a person or an issue, not too long."""
    plain = str(value)
    escaped = markdown(plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…")
    for mention in (r"\@", r"\#", "www"):
        escaped = escaped.replace(mention, f"{mention}<!-- -->")
    return escaped


def _compared(result: Comparison) -> Iterator[Section]:
    """How much, how sure, where."""
    yield Section(f"### {text(result.new.name)} against {text(result.base.name)}\n\n", _notes(result), "\n")
    head = f"| planner | papers | base | new | {result.metric} difference, 95% | p | Holm | verdict | could see |\n"
    yield Section(head + "|---|--:|--:|--:|--:|--:|--:|---|--:|\n", [_planner(item) for item in result.headline], "\n")
    if result.corrected:
        head = "| planner | labelled papers | base | new | corrected difference, 95% | verdict | could see |\n"
        head = f"{NO_TEST}\n\n{head}|---|--:|--:|--:|--:|---|--:|\n"
        yield Section(head, [_by_labels(item) for item in result.corrected], "\n")
    yield from _moved(result)
    signatures = (("base", result.base.signature), ("new", result.new.signature))
    yield Section("".join(f"<sub>{name}: {text(signature)}</sub><br>\n" for name, signature in signatures))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _verdict(change: FigureChange) -> str:
    return f"{MARKS.get(change.verdict, '⚠️')} {change.verdict}"


def _planner(change: FigureChange) -> str:
    """One planner's row."""
    sides = (change.papers, number(change.base), number(change.new), interval(change))
    tests = (p_value(change.p), p_value(change.p_holm), _verdict(change))
    return _row(text(change.planner), *sides, *tests, number(change.detectable))


def _by_labels(change: FigureChange) -> str:
    """One planner's row of a figure that labels correct."""
    sides = (change.papers, number(change.base), number(change.new), f"{change.figure} {interval(change)}")
    return _row(text(change.planner), *sides, _verdict(change), number(change.detectable))


def _notes(result: Comparison) -> list[str]:
    """Lines that a reader must not miss."""
    notes = [
        f"- **forced**: {name} is {text(base)} in base and {text(new)} in new; not like with like\n"
        for name, (base, new) in result.forced.items()
    ]
    notes += [f"- {text(warning)}\n" for warning in result.warnings]
    for side, planners, papers in zip((result.base, result.new), result.only_planners, result.only_papers, strict=True):
        notes += [f"- planner only in {text(side.name)}: {text(planner)}\n" for planner in planners]
        notes += [f"- paper only in {text(side.name)}: {text(paper)} ({text(name)})\n" for name, paper in papers]
    return notes


def _moved(result: Comparison) -> Iterator[Section]:
    """Failures, gold entries and papers that changed; foldable, the largest changes first."""
    if len(result.failures):
        rows = [_row(*map(text, row.values())) for row in records(result.failures)]
        yield _folded(f"No longer read: {len(rows)}", ("planner", "paper", "kind", "base", "new"), rows)
    for change in ("lost", "gained"):
        rows = [
            _row(*map(text, (row["planner"], row["paper"], gold_entry(row), plan_entries(row))))
            for row in records(result.entries[result.entries["change"] == change])
        ]
        if rows:
            heads = ("planner", "paper", "gold entry", "plan entry, base → new")
            yield _folded(f"Gold entries {change}: {len(rows)}", heads, rows)
    moved = records(result.moved_papers)
    if moved:
        rows = []
        for row in moved:
            sides = (number(row["base"]), number(row["new"]), number(row["difference"], signed=True))
            rows.append(_row(text(row["planner"]), text(row["paper"]), *sides))
        title = f"Papers that changed: {len(moved)} of {len(result.papers)}"
        yield _folded(title, ("planner", "paper", "base", "new", "difference"), rows)


def _folded(title: str, heads: Sequence[str], rows: Sequence[str]) -> Section:
    """A table that opens on a click."""
    head = f"<details><summary>{title}</summary>\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    return Section(head, rows, "\n</details>\n\n")
