"""What CI systems read of a gate: JUnit XML, a job summary, and the annotations of GitHub Actions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from evalkit.comparison import Check, GateReport
from evalkit.report import comparison_markdown
from evalkit.report.comparison_text import gate_sentence
from evalkit.storage.files import append_text, write_text
from evalkit.text import safe_terminal

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LONGEST = 4000  # signs of one annotation; GitHub shows no more
SHORTER, SHORTEST = 64 * 1024, 4 * 1024  # what a summary may still hold when others filled most of it
SHOWN = 10  # annotations; GitHub shows ten of a kind for each step


def write(report: GateReport, junit_file: str | None, markdown_file: str | None, summary_file: str | None) -> None:
    """Write the files that were asked for; a job summary is added to, and shortened to what room others left in it."""
    if junit_file:
        write_text(junit_file, junit(report))
    if markdown_file:
        write_text(markdown_file, comparison_markdown.gate(report))
    if summary_file:
        pages = (comparison_markdown.gate(report, limit) for limit in (comparison_markdown.LIMIT, SHORTER, SHORTEST))
        any(append_text(summary_file, page, comparison_markdown.LIMIT) for page in pages)


def junit(report: GateReport) -> str:
    """One test suite a planner, one test case a check; what was found stands in `message` and in the body."""
    root = ElementTree.Element("testsuites", _counts(report, report.checks) | {"name": "evalkit gate"})
    for planner in dict.fromkeys(check.planner for check in report.checks):
        checks = tuple(check for check in report.checks if check.planner == planner)
        suite = ElementTree.SubElement(root, "testsuite", _counts(report, checks) | {"name": xml(planner)})
        for check in checks:
            suite.append(_case(report, check))
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _counts(report: GateReport, checks: tuple[Check, ...]) -> dict[str, str]:
    """The attributes that say how it went."""
    failures = sum(report.fails(check) for check in checks)
    skipped = sum(check.verdict == "inconclusive" for check in checks if not report.fails(check))
    return {"tests": str(len(checks)), "failures": str(failures), "errors": "0", "skipped": str(skipped), "time": "0"}


def _case(report: GateReport, check: Check) -> ElementTree.Element:
    """A check: failed, skipped where it is inconclusive and that may pass, or passed with what was found."""
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


def xml(text: str) -> str:
    """Text without what XML cannot hold, and without what steers a terminal that prints it."""
    return _NOT_XML.sub("\ufffd", safe_terminal(text))


def workflow_commands(report: GateReport) -> Iterator[str]:
    """Workflow commands: an error for what fails, a warning for what is inconclusive, a notice when all is well."""
    shown = [check for check in report.checks if report.fails(check) or check.verdict == "inconclusive"]
    for check in shown[:SHOWN]:
        kind = "error" if report.fails(check) else "warning"
        yield command(kind, f"{check.name} ({check.planner})", "\n".join((check.message, *check.details)))
    yield command("error" if report.tripped else "notice", "evalkit gate", gate_sentence(report))


def command(kind: str, title: str, message: str) -> str:
    """One workflow command; signs that would end a field or the command are escaped as the runner expects."""
    title = _escaped(safe_terminal(title)[:200]).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_escaped(safe_terminal(message)[:LONGEST])}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
