"""One document being read: takes findings as they come up, gives finished plans with their diagnostics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evalkit.formats.codes import CODES
from evalkit.text import Repair, repair
from evalkit.types import Ablation, Diagnostic, Document, Plan, Severity

LISTED = 200  # findings of one code that a plan lists; the rest is counted, so that no garbage fills the memory


@dataclass(slots=True)
class Reading:
    """Where the parts of a format report to; the only thing in this room that changes."""

    document: Document
    strict: bool = False
    gold: bool = False
    _found: list[Diagnostic] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, code: str, message: str, line: int | None = None) -> None:
        """Record one finding; its severity is its code's."""
        self._counts[code] += 1
        if self._counts[code] <= LISTED:
            self._found.append(Diagnostic(self._severity(code), code, message, self.document.path, line))

    def _severity(self, code: str) -> Severity:
        severity = CODES[code].severity
        if code == "no-entries" and self.gold:
            severity = "warning"
        return "error" if self.strict and severity == "note" else severity

    def clean(self, text: str, line: int) -> str:
        """A value repaired and stripped; every repair is recorded."""
        repaired, repairs = repair(text)
        for code, message, _ in repairs:
            self.add(code, message, line)
        return repaired.strip()

    def report(self, repairs: Iterable[Repair], line: int = 1) -> None:
        """Record repairs whose lines count from `line`."""
        for code, message, offset in repairs:
            self.add(code, message, line + offset - 1)

    def again(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take back findings that belong to the plan which is read next."""
        self._found.extend(diagnostics)

    def take(self) -> tuple[Diagnostic, ...]:
        """What was found since the last plan, in the order of lines."""
        for code, count in self._counts.items():
            if count > LISTED:
                message = f"{count - LISTED} further findings of the kind {code!r} are not listed"
                self._found.append(Diagnostic(self._severity(code), "more-of-the-kind", message, self.document.path))
        found = sorted(self._found, key=lambda diagnostic: diagnostic.line or 0)
        self._found, self._counts = [], Counter()
        return tuple(found)

    def plan(
        self,
        ablations: Sequence[Ablation],
        *,
        paper: str | None = None,
        planner: str | None = None,
        trace: str = "",
        sample: str = "",
        about: tuple[tuple[str, str], ...] = (),
    ) -> Plan:
        """A finished plan; what the document does not say, its path does."""
        paper = paper or self.document.paper or ""
        planner = None if self.gold else planner or self.document.planner
        if not paper:
            self.add("no-paper", "expected a heading, a field or a path that names the paper, found none")
        if planner is None and not self.gold:
            self.add("no-planner", "expected a heading, a field or a path that names the planner, found none")
        return Plan(paper, planner, tuple(ablations), self.take(), self.document.path, trace, sample, about)
