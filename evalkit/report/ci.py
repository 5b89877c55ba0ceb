"""Output for CI systems: Markdown, JUnit XML, a job summary, annotations of GitHub Actions.

Texts from plans and gold are escaped: in Markdown none becomes a link, an image, a mention of a person or of an issue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from xml.etree import ElementTree

from evalkit.comparison import Check, Comparison, FigureChange, GateReport
from evalkit.errors import EvalkitError
from evalkit.report.comparison_text import (
    NO_TEST,
    change_cells,
    entry_cells,
    gate_sentence,
    outlook_sentence,
    paper_cells,
    planner_name,
    slice_cells,
    slice_rows,
)
from evalkit.report.escaping import LONGEST_ANNOTATION, command, markdown, xml
from evalkit.report.json_output import records
from evalkit.report.values import CORRECTIONS, number, p_value
from evalkit.storage.files import append_text, write_text

LIMIT = 1024 * 1024  # bytes of a page of Markdown, and of a whole job summary
SHORTER, SHORTEST = 64 * 1024, 4 * 1024  # what a summary may still hold when others filled most of it
ROOM = 256  # bytes kept for saying what was left out
LONGEST_CELL = 600  # signs
SHOWN = 10  # annotations; GitHub shows ten of a kind for each step
MARKS = {"pass": "✅", "regressed": "❌", "inconclusive": "⚠️", "better": "✅", "worse": "❌", "no change": "➖"}


def write(report: GateReport, junit_file: str | None, markdown_file: str | None, summary_file: str | None) -> None:
    """Write the files that were asked for; a job summary is added to, and shortened to what room others left in it."""
    _write(junit(report), partial(gate_markdown, report), junit_file, markdown_file, summary_file)


def write_error(
    error: EvalkitError, junit_file: str | None, markdown_file: str | None, summary_file: str | None
) -> None:
    """Write the same files where the gate could not be evaluated, so that they say what is wrong."""
    _write(error_junit(error), partial(error_markdown, error), junit_file, markdown_file, summary_file)


def _write(
    xml_text: str,
    page: Callable[[int], str],
    junit_file: str | None,
    markdown_file: str | None,
    summary_file: str | None,
) -> None:
    if junit_file:
        write_text(junit_file, xml_text)
    if markdown_file:
        write_text(markdown_file, page(LIMIT))
    if summary_file:
        any(append_text(summary_file, page(limit), LIMIT) for limit in (LIMIT, SHORTER, SHORTEST))


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of the page: text that always stands, and rows that may be cut at the end."""

    head: str
    rows: Sequence[str] = ()
    tail: str = ""


def comparison_markdown(result: Comparison, limit: int = LIMIT) -> str:
    """Render what changed between two runs."""
    return fitted(list(_compared(result)), limit)


def gate_markdown(report: GateReport, limit: int = LIMIT) -> str:
    """Render a gate's verdict, its checks, and what changed."""
    mark = "❌" if report.tripped else MARKS[report.verdict]
    order = ("regressed", "inconclusive", "pass")
    rows = []
    for check in sorted(report.checks, key=lambda check: order.index(check.verdict)):
        lines = "<br>".join(map(text, (check.message, *check.details)))
        rows.append(_row(f"{MARKS[check.verdict]} {check.verdict}", text(check.planner), text(check.name), lines))
    outlook = "".join(f"{text(outlook_sentence(item))}\n\n" for item in report.outlook)
    columns = "| verdict | planner | check | found |\n|---|---|---|---|\n"
    head = f"## {mark} evalkit {gate_sentence(report)}\n\n{outlook}{columns}"
    return fitted([Section(head, rows, "\n"), *_compared(report.comparison)], limit)


def error_markdown(error: EvalkitError, limit: int = LIMIT) -> str:
    """Render why a gate could not be evaluated."""
    message = text(error, min(LONGEST_ANNOTATION, limit // 8))
    return f"## ❌ evalkit gate: nothing was checked\n\n{message}\n\n"


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


def text(value: object, longest: int = LONGEST_CELL) -> str:
    """Return text for a cell: escaped and not too long."""
    plain = str(value)
    return markdown(plain if len(plain) <= longest else f"{plain[:longest]}…")


def _compared(result: Comparison) -> Iterator[Section]:
    """Render how much changed, how sure that is, and where."""
    yield Section(f"### {text(result.new.name)} against {text(result.base.name)}\n\n", _notes(result), "\n")
    head = f"| planner | papers | base | new | {result.metric} difference, 95% | p "
    head += f"| {CORRECTIONS[result.correction]} | verdict | could see |\n"
    yield Section(head + "|---|--:|--:|--:|--:|--:|--:|---|--:|\n", [_planner(item) for item in result.headline], "\n")
    if result.corrected:
        head = "| planner | labelled papers | base | new | corrected difference, 95% | verdict | could see |\n"
        head = f"{NO_TEST}\n\n{head}|---|--:|--:|--:|--:|---|--:|\n"
        yield Section(head, [_by_labels(item) for item in result.corrected], "\n")
    for field in result.slices:
        rows = list(slice_rows(result, field))
        figure = rows[0][1].figure if rows else result.metric
        head = f"| {text(field)} | planner | papers | base | new | {figure} difference, 95%, exploratory |\n"
        cells = [_row(text(value), text(planner_name(change)), *slice_cells(change)) for value, change in rows]
        yield Section(head + "|---|---|--:|--:|--:|--:|\n", cells, "\n")
    yield from _moved(result)
    signatures = (("base", result.base.signature), ("new", result.new.signature))
    yield Section("".join(f"<sub>{name}: {text(signature)}</sub><br>\n" for name, signature in signatures))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _verdict(change: FigureChange) -> str:
    return f"{MARKS.get(change.verdict, '⚠️')} {change.verdict}"


def _planner(change: FigureChange) -> str:
    tests = (p_value(change.p), p_value(change.p_adjusted), _verdict(change))
    return _row(text(planner_name(change)), *change_cells(change), *tests, number(change.detectable))


def _by_labels(change: FigureChange) -> str:
    """Render one planner's row of a figure that labels correct."""
    *sides, difference = change_cells(change)
    return _row(
        text(planner_name(change)), *sides, f"{change.figure} {difference}", _verdict(change), number(change.detectable)
    )


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
        entries = records(result.entries[result.entries["change"] == change])
        rows = [_row(*map(text, entry_cells(row))) for row in entries]
        if rows:
            heads = ("planner", "paper", "gold entry", "plan entry, base → new")
            yield _folded(f"Gold entries {change}: {len(rows)}", heads, rows)
    moved = records(result.moved_papers)
    if moved:
        cells = [paper_cells(row) for row in moved]
        rows = [_row(text(planner), text(paper), *sides) for planner, paper, *sides in cells]
        title = f"Papers that changed: {len(moved)} of {len(result.papers)}"
        yield _folded(title, ("planner", "paper", "base", "new", "difference"), rows)


def _folded(title: str, heads: Sequence[str], rows: Sequence[str]) -> Section:
    """Render a table that opens on a click."""
    head = f"<details><summary>{title}</summary>\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    return Section(head, rows, "\n</details>\n\n")


def junit(report: GateReport) -> str:
    """Render one test suite a planner and one test case a check, with the text in `message` and in the body."""
    root = _root(_counts(report, report.checks))
    for planner in dict.fromkeys(check.planner for check in report.checks):
        checks = tuple(check for check in report.checks if check.planner == planner)
        suite = ElementTree.SubElement(root, "testsuite", _counts(report, checks) | {"name": xml(planner)})
        for check in checks:
            suite.append(_case(report, check))
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _root(counts: dict[str, str]) -> ElementTree.Element:
    """Return the element round all suites; Jenkins' schema knows no `skipped` there."""
    stated = {name: count for name, count in counts.items() if name != "skipped"}
    return ElementTree.Element("testsuites", stated | {"name": "evalkit gate"})


def _counts(report: GateReport, checks: tuple[Check, ...]) -> dict[str, str]:
    failures = sum(report.fails(check) for check in checks)
    skipped = sum(check.verdict == "inconclusive" for check in checks if not report.fails(check))
    return {"tests": str(len(checks)), "failures": str(failures), "errors": "0", "skipped": str(skipped), "time": "0"}


def _case(report: GateReport, check: Check) -> ElementTree.Element:
    """Render a check: failed, skipped where it is inconclusive and that may pass, or passed with its text."""
    place = {"classname": xml(f"evalkit.gate.{check.planner}"), "name": xml(check.name), "time": "0"}
    case = ElementTree.Element("testcase", place)
    body = xml("\n".join((check.message, *check.details)))
    if report.fails(check) or check.verdict == "inconclusive":
        kind = "failure" if report.fails(check) else "skipped"
        result = ElementTree.SubElement(
            case, kind, message=xml(f"{check.verdict}: {check.message}"), type=check.verdict
        )
    else:
        result = ElementTree.SubElement(case, "system-out")
    result.text = body
    return case


def error_junit(error: EvalkitError) -> str:
    """Render one test case with an error where a gate could not be evaluated."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0", "name": "evalkit gate"}
    root = _root(counts)
    suite = ElementTree.SubElement(root, "testsuite", counts)
    case = ElementTree.SubElement(suite, "testcase", classname="evalkit.gate", name="input", time="0")
    message = xml(str(error))
    ElementTree.SubElement(case, "error", message=message, type=type(error).__name__).text = message
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def workflow_commands(report: GateReport) -> Iterator[str]:
    """Workflow commands: an error for what fails, a warning for what is inconclusive, a notice when all is well."""
    shown = [check for check in report.checks if report.fails(check) or check.verdict == "inconclusive"]
    for check in shown[:SHOWN]:
        kind = "error" if report.fails(check) else "warning"
        yield command(kind, f"{check.name} ({check.planner})", "\n".join((check.message, *check.details)))
    yield command("error" if report.tripped else "notice", "evalkit gate", gate_sentence(report))


def error_command(error: EvalkitError) -> str:
    """Return the annotation of a gate that could not be evaluated."""
    return command("error", "evalkit gate: nothing was checked", str(error))
