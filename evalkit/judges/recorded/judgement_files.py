"""Read what judges left in a folder or a file.

Four kinds are read: a judge's rows by name (`<paper>.jsonl`, as AblationBench writes them), its chat replies, labelled
lists, and the pairs table of a run. A row that cannot be understood becomes a diagnostic and takes no other with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evalkit.errors import InputError
from evalkit.formats import CODES
from evalkit.formats.json import read_values
from evalkit.formats.tree import Node
from evalkit.metrics.ablationbench import AuthorRow, Names, ReviewerRow
from evalkit.storage.discovery import documents
from evalkit.text import readable, repair, repair_document
from evalkit.types import Ablation, Diagnostic, Document, Plan

if TYPE_CHECKING:
    import pandas as pd

Figures = Mapping[str, float]
Report = Callable[[str, str, int], None]
SUFFIXES = frozenset((".jsonl", ".ndjson", ".json", ".log", ".parquet", ".arrow"))
UNREADABLE = "judgement-unreadable"


class EntryRef(NamedTuple):
    """An entry by its name, and by its position where that is known."""

    name: str
    position: int | None = None

    def find(self, entries: Sequence[Ablation]) -> int | None:
        """Return the entry's index if it has this name there, else that of the first entry with the name."""
        if self.position is not None and self.position < len(entries) and entries[self.position].name == self.name:
            return self.position
        return next((index for index, entry in enumerate(entries) if entry.name == self.name), None)


class MarkedPair(NamedTuple):
    """Two entries that match, fully or by their part alone."""

    gold: EntryRef
    plan: EntryRef
    full: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judge's verdict on one plan: rows by name, or marked pairs. None stands for any planner or sample.

    `lists` are the names of the gold and plan entries that the judge was shown, where that is known. `sides` are the
    rows of a reply in which gold and plan are called A and B or B and A.
    """

    paper: str
    planner: str | None
    path: str
    task: Literal["author", "reviewer"] = "author"
    author: tuple[AuthorRow, ...] = ()
    reviewer: tuple[ReviewerRow, ...] = ()
    marks: tuple[MarkedPair, ...] | None = None
    sample: str | None = None
    lists: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    sides: tuple[tuple[Names, Names], ...] = ()

    def oriented(self, gold: Plan, plan: Plan) -> Judgement:
        """Turn `sides` into author rows: gold is the side on which more of its names stand."""
        if not self.sides:
            return self
        golds, plans = {entry.name for entry in gold.ablations}, {entry.name for entry in plan.ablations}

        def known(first: set[str], second: set[str]) -> int:
            return sum(len(first & {*names_in(a)}) + len(second & {*names_in(b)}) for a, b in self.sides)

        swapped = known(plans, golds) > known(golds, plans)
        sides = [(b, a) for a, b in self.sides] if swapped else self.sides
        return replace(self, author=tuple(AuthorRow(name, b) for a, b in sides for name in names_in(a)), sides=())


@dataclass(frozen=True, slots=True)
class RecordedJudge:
    """A judge's judgements, the figures it published itself (by planner and paper), and what could not be read."""

    name: str
    judgements: tuple[Judgement, ...]
    published: Mapping[tuple[str | None, str], Figures]
    diagnostics: tuple[Diagnostic, ...] = ()


def names_in(names: Names) -> tuple[str, ...]:
    """Return the names in a value, none for null."""
    return () if names is None else (names,) if isinstance(names, str) else names


def read_judge(source: str | Path) -> RecordedJudge:
    """Read everything a judge left in a folder or a file."""
    top = Path(source)
    if top.suffix.lower() == ".csv" or top.name == "pairs.parquet":
        return _judge_of_run(top)
    if (top / "run.json").is_file():
        from evalkit.storage.runs import load_run

        table = top / "pairs.parquet"
        return _judge_of_pairs(load_run(top).pairs, table if table.is_file() else top / "pairs.csv")
    places = [Path(readable(str(place))) for place in (top, top.parent)]
    judgements: list[Judgement] = []
    published: dict[tuple[str | None, str], Figures] = {}
    problems: list[Diagnostic] = []
    for document in documents(source, planners=True):
        if isinstance(document, Diagnostic):
            problems.append(document)
        elif Path(document.path).suffix.lower() in SUFFIXES:
            # Documents at the top belong to whichever planner there is.
            planner = None if Path(document.path).parent in places else document.planner
            report = partial(_add_problem, problems, document.path)
            if Path(document.path).name == "evaluations.json":
                published |= _published(document, planner, report)
            else:
                judgements.extend(_judgements(replace(document, planner=planner), report))
    if not judgements:
        raise InputError(
            f"{source}: holds no judgements (looked for <paper>.jsonl with name_in_plan, labels, pairs.csv)"
        )
    # A judgement without rows has the task of the others.
    reviewing = any(one.reviewer for one in judgements) and not any(one.author or one.sides for one in judgements)
    tasked = [replace(one, task="reviewer") if reviewing or one.reviewer else one for one in judgements]
    return RecordedJudge(top.resolve().name, tuple(tasked), published, tuple(problems))


def _add_problem(problems: list[Diagnostic], path: str, code: str, message: str, line: int) -> None:
    """Add a problem of a judge's file; mere repairs of its JSON move nothing and are passed over."""
    severity = CODES[code].severity if code in CODES else "error"
    if severity != "note":
        problems.append(Diagnostic(severity, code, message, path, line))


def _judge_of_run(path: Path) -> RecordedJudge:
    """Read the alignment of an earlier run from its pairs.csv or pairs.parquet alone."""
    from evalkit.storage.files import read_bytes, read_text
    from evalkit.storage.tables import from_csv, from_parquet

    parquet = path.suffix.lower() == ".parquet"
    return _judge_of_pairs(
        from_parquet(read_bytes(path), str(path)) if parquet else from_csv(read_text(path), str(path)), path
    )


def _judge_of_pairs(frame: pd.DataFrame, path: Path) -> RecordedJudge:
    """Return the judge whose decisions a table of pairs holds."""
    needed = {"planner", "paper", "status", "gold_entry", "plan_entry", "gold_name", "plan_name"}
    if missing := needed - set(frame.columns):
        raise InputError(f"{path}: not the pairs table of a run; there is no column {', '.join(sorted(missing))}")
    if "sample" not in frame:
        frame["sample"] = None
    marks: dict[tuple[str, str, str], list[MarkedPair]] = {}
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        planner, paper, sample = (str(row[name] or "") for name in ("planner", "paper", "sample"))
        of_plan = marks.setdefault((planner, paper, sample), [])
        if row["status"] in ("match", "part"):
            gold, plan = (
                EntryRef(str(row[f"{side}_name"] or ""), _index(row[f"{side}_entry"])) for side in ("gold", "plan")
            )
            of_plan.append(MarkedPair(gold, plan, row["status"] == "match"))
    judgements = (
        Judgement(paper, planner, str(path), marks=tuple(pairs), sample=sample)
        for (planner, paper, sample), pairs in marks.items()
    )
    return RecordedJudge(path.resolve().parent.name, tuple(judgements), {})


def _index(cell: object) -> int | None:
    number = _number(str(cell))  # cells count from 1
    return int(number) - 1 if number is not None and math.isfinite(number) and 1 <= number < 1e9 else None


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _values(text: str, report: Report) -> Iterator[tuple[int, Any]]:
    """Yield every JSON value of a text with its line, numbers as the text they were; lists are opened once."""
    text, _ = repair_document(text)
    # Numbers stay text: a name such as 001 or 1e5 is a name.
    load = partial(json.loads, parse_int=str, parse_float=str, parse_constant=str)
    values: list[tuple[int, Any]]
    try:
        values = [(number, load(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    except (ValueError, RecursionError):
        values = [(node.line, _plain(node)) for node in read_values(text, report)]
    for number, value in values:
        yield from ((number, item) for item in value) if isinstance(value, list) else ((number, value),)


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(value) for key, value in node.value.items()}
    return [_plain(item) for item in node.value] if isinstance(node.value, tuple) else node.value


def _reply(value: object) -> str | None:
    """Return the predictions of a recorded chat completion: choices[0].message.content; None for anything else."""
    try:
        content = value["choices"][0]["message"]["content"]  # type: ignore[index]
    except (TypeError, LookupError):
        return None
    if not isinstance(content, str):
        return None
    return content.partition("<predictions>")[2].partition("</predictions>")[0] or content


def _kind(value: object) -> str:
    if not isinstance(value, dict):
        return "unknown"
    if {"gold", "plan", "match"} <= value.keys():
        return "labels"
    if isinstance(value.get("labels"), str) and _name(value.get("id")):
        return "people"
    return next((kind for field, kind in KINDS.items() if field in value), "unknown")


def _judgements(document: Document, report: Report) -> Iterator[Judgement]:
    """Yield the judgements of one document: one for each labelled list, or one of all the rows."""
    rows: dict[str, list[Any]] = {kind: [] for kind in READERS}
    labelled = False
    for number, outer in _values(document.text, report):
        reply = _reply(outer)
        for line, value in (
            ((number, outer),) if reply is None else ((number, row) for _, row in _values(reply, report))
        ):
            kind = _kind(value)
            labelled |= kind in ("labels", "people")
            if kind == "labels":
                yield _labelled_list(value, document, report, line)
            elif kind == "people":
                # What people said about one plan, as AblationBench's judge-evaluation data holds it.
                planner, _, paper = str(_name(value["id"])).rpartition("/")
                inner = replace(document, text=value["labels"], paper=paper, planner=planner or document.planner)
                yield from _judgements(inner, report)
            elif kind in READERS:
                rows[kind].extend(READERS[kind](value, report, line))
            else:
                what = f"expected a row with name_in_plan, or a labelled list; found {str(value)[:60]!r}"
                report(UNREADABLE, f"{what}; it was left out", line)
    if not labelled and (any(rows.values()) or not document.path.endswith((".json", ".log"))):
        author, reviewer, sides = (tuple(rows[kind]) for kind in ("author", "reviewer", "sides"))
        if reviewer and (author or sides):
            report("judgement-mixed", f"expected rows of one task, found both; {len(reviewer)} were left out", 1)
            reviewer = ()
        yield Judgement(document.paper or "", document.planner, document.path, "author", author, reviewer, sides=sides)


def _name(value: object) -> str | None:
    # A judge's names get the repairs that an entry's name gets on reading.
    return repair(value)[0].strip() if isinstance(value, str) else None


def _names(value: object, report: Report, line: int) -> Names:
    if isinstance(value, list):
        names = [_name(item) for item in value if item is not None]
        if None in names:
            report(UNREADABLE, f"expected names, found {str(value)[:60]!r}; some were left out", line)
        return tuple(name for name in names if name is not None)
    if value is not None and not isinstance(value, str):
        report(UNREADABLE, f"expected a name, a list or null, found {str(value)[:60]!r}", line)
    return _name(value)


def _author_rows(value: Mapping[str, Any], report: Report, line: int) -> list[AuthorRow]:
    gold, plan = _names(value["name_in_paper"], report, line), _names(value.get("name_in_plan"), report, line)
    return [AuthorRow(name, plan) for name in names_in(gold)]  # rows about no gold entry say nothing


def _side_rows(value: Mapping[str, Any], report: Report, line: int) -> list[tuple[Names, Names]]:
    return [(_names(value.get("name_in_A"), report, line), _names(value.get("name_in_B"), report, line))]


def _reviewer_rows(value: Mapping[str, Any], report: Report, line: int) -> list[ReviewerRow]:
    answer = value.get("appears_in_review", False)
    truth = {"true": True, "false": False, "1": True, "0": False, "none": False}.get(str(answer).casefold())
    if truth is None:
        report(UNREADABLE, f"expected appears_in_review true or false, found {str(answer)[:40]!r}", line)
        return []
    return [ReviewerRow(name, truth) for name in names_in(_names(value["name_in_plan"], report, line))]


KINDS = {"name_in_A": "sides", "name_in_B": "sides", "name_in_paper": "author", "name_in_plan": "reviewer"}
READERS: Mapping[str, Callable[[Mapping[str, Any], Report, int], Sequence[Any]]] = {
    "author": _author_rows,
    "reviewer": _reviewer_rows,
    "sides": _side_rows,
}


def _labelled_list(value: Mapping[str, Any], document: Document, report: Report, line: int) -> Judgement:
    """Read a labelled list: `match` and `same_part` are pairs of indices in `gold` and `plan`, counted from 0."""
    gold, plan = _entry_names(value["gold"]), _entry_names(value["plan"])
    full, part = _index_pairs(value["match"]), _index_pairs(value.get("same_part") or [])
    marks = []
    for g, p in sorted({*full, *part}):
        if 0 <= g < len(gold) and 0 <= p < len(plan):
            marks.append(MarkedPair(EntryRef(gold[g], g), EntryRef(plan[p], p), (g, p) in full))
        else:
            what = f"expected places within {len(gold)} gold and {len(plan)} plan entries, found [{g}, {p}]"
            report(UNREADABLE, what, line)
    paper, planner = _name(value.get("paper")) or document.paper or "", _name(value.get("planner"))
    lists = tuple(gold), tuple(plan)
    return Judgement(paper, planner or document.planner, document.path, marks=tuple(marks), lists=lists)


def _entry_names(entries: object) -> list[str]:
    # An entry without a name is known by its part.
    items = [item if isinstance(item, dict) else {} for item in entries] if isinstance(entries, list) else []
    return [_name(item.get("name")) or _name(item.get("ablated_part")) or "" for item in items]


def _index_pairs(pairs: object) -> set[tuple[int, int]]:
    """Return pairs of whole numbers; what is something else is out of range everywhere."""
    result = set()
    for pair in pairs if isinstance(pairs, list) else []:
        items = pair if isinstance(pair, list) else []
        numbers = [int(n) if isinstance(n, str) and n.isdecimal() and len(n) < 9 else -1 for n in items]
        result.add((numbers[0], numbers[1]) if len(numbers) == 2 else (-1, -1))
    return result


def _published(document: Document, planner: str | None, report: Report) -> dict[tuple[str | None, str], Figures]:
    """Read the figures of an `evaluations.json`, by planner and paper."""
    figures: dict[tuple[str | None, str], Figures] = {}
    for line, value in _values(document.text, report):
        name = _name(value.get("id")) if isinstance(value, dict) else None
        if name is None:
            report(UNREADABLE, f"expected a paper's figures with an id, found {str(value)[:60]!r}", line)
            continue
        numbers = {key: _number(value.get(key)) for key in ("precision", "recall", "f1_score", "ndcg_score")}
        figures[planner, name] = {key: n for key, n in numbers.items() if n is not None}
    return figures
