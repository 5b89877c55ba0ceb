"""What judges left on a disk: takes a folder or a file, gives a Judge with its Sheets.

Four kinds are read: a judge's rows by name (`<paper>.jsonl`, as AblationBench writes them), its kept replies,
labelled lists, and the pairs table of a run. A row that cannot be understood becomes a diagnostic and takes nothing
else with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.formats import CODES, json_values
from evalkit.formats.tree import Node
from evalkit.judges.recorded.earlier_run import from_pairs
from evalkit.judges.recorded.sheets import Figures, Judge, Mark, Ref, Sheet, names_in
from evalkit.metrics.ablationbench import AuthorRow, Names, ReviewerRow
from evalkit.storage.discovery import documents
from evalkit.text import repair, repair_document
from evalkit.types import Diagnostic, Document

Found = Callable[[str, str, int], None]
SUFFIXES = frozenset((".jsonl", ".ndjson", ".json", ".log", ".parquet", ".arrow"))


def read_judge(source: str | Path) -> Judge:
    """Everything a judge left in a folder or a file."""
    place = Path(source)
    if place.suffix.lower() == ".csv" or place.name == "pairs.parquet":
        return from_pairs(place)
    if (place / "run.json").is_file():
        table = place / "pairs.parquet"
        return from_pairs(table if table.is_file() else place / "pairs.csv")
    sheets: list[Sheet] = []
    published: dict[tuple[str | None, str], Figures] = {}
    problems: list[Diagnostic] = []
    for document in documents(source, planners=True):
        if isinstance(document, Diagnostic):
            problems.append(document)
        elif Path(document.path).suffix.lower() in SUFFIXES:
            # Documents at the top belong to whichever planner there is.
            planner = None if Path(document.path).parent in (place, place.parent) else document.planner
            found = partial(_tell, problems, document.path)
            if Path(document.path).name == "evaluations.json":
                published |= _published(document, planner, found)
            else:
                sheets.extend(_sheets(replace(document, planner=planner), found))
    if not sheets:
        raise InputError(
            f"{source}: holds no judgements (looked for <paper>.jsonl with name_in_plan, labels, pairs.csv)"
        )
    return Judge(place.resolve().name, tuple(_same_task(sheets)), published, tuple(problems))


def _tell(problems: list[Diagnostic], path: str, code: str, message: str, line: int) -> None:
    """Note what was found in a judge's file; mere repairs of its JSON move nothing and are passed over."""
    severity = CODES[code].severity if code in CODES else "error"
    if severity != "note":
        problems.append(Diagnostic(severity, code, message, path, line))


def _same_task(sheets: Sequence[Sheet]) -> list[Sheet]:
    """A sheet without rows belongs to the task of the others."""
    reviewing = any(sheet.reviewer for sheet in sheets) and not any(sheet.author or sheet.sides for sheet in sheets)
    return [replace(sheet, task="reviewer") if reviewing or sheet.reviewer else sheet for sheet in sheets]


def _values(text: str, found: Found) -> Iterator[tuple[int, Any]]:
    """Every JSON value of a text with its line, numbers as the text they were; lists are opened once."""
    text, _ = repair_document(text)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    values: list[tuple[int, Any]]
    try:
        values = [(number, _load(line)) for number, line in lines]
    except (ValueError, RecursionError):
        values = [(node.line, _plain(node)) for node in json_values.read_values(text, found)]
    for number, value in values:
        yield from ((number, item) for item in value) if isinstance(value, list) else ((number, value),)


def _load(line: str) -> Any:
    """Strict JSON whose numbers stay text: a name such as 001 or 1e5 is a name."""
    return json.loads(line, parse_int=str, parse_float=str, parse_constant=str)


def _plain(node: Node) -> Any:
    """A leniently read value as plain lists, dicts and texts."""
    if isinstance(node.value, dict):
        return {key: _plain(value) for key, value in node.value.items()}
    return [_plain(item) for item in node.value] if isinstance(node.value, tuple) else node.value


def _opened(text: str, found: Found) -> Iterator[tuple[int, Any]]:
    """The values of a text; a kept reply stands for what is between its predictions tags."""
    for line, value in _values(text, found):
        reply = _reply(value)
        yield from ((line, value),) if reply is None else ((line, row) for _, row in _values(reply, found))


def _reply(value: object) -> str | None:
    """The predictions of a chat completion as it was kept: choices[0].message.content."""
    for key in ("choices", 0, "message", "content"):
        inside = isinstance(value, dict) and key in value if isinstance(key, str) else isinstance(value, list) and value
        if not inside:
            return None
        value = value[key]  # type: ignore[index]
    if not isinstance(value, str):
        return None
    return value.partition("<predictions>")[2].partition("</predictions>")[0] or value


def _kind(value: object) -> str:
    """What a value is, by its fields."""
    if not isinstance(value, dict):
        return "unknown"
    if {"gold", "plan", "match"} <= value.keys():
        return "labels"
    if isinstance(value.get("labels"), str) and _name(value.get("id")):
        return "people"
    return next((kind for field, kind in KINDS.items() if field in value), "unknown")


def _sheets(document: Document, found: Found) -> Iterator[Sheet]:
    """The sheets of one document: one for each labelled list, or one of all the rows."""
    rows: dict[str, list[Any]] = {kind: [] for kind in READERS}
    labelled = False
    for line, value in _opened(document.text, found):
        kind = _kind(value)
        labelled |= kind in ("labels", "people")
        if kind == "labels":
            yield _labels(value, document, found, line)
        elif kind == "people":
            yield from _people(value, document, found)
        elif kind in READERS:
            rows[kind].extend(READERS[kind](value, found, line))
        else:
            said = f"expected a row with name_in_plan, or a labelled list; found {str(value)[:60]!r}; it was left out"
            found("judgement-unreadable", said, line)
    if not labelled and (any(rows.values()) or not document.path.endswith((".json", ".log"))):
        yield _one_sheet(document, rows, found)


def _one_sheet(document: Document, rows: Mapping[str, Sequence[Any]], found: Found) -> Sheet:
    """All rows of a document; of two tasks in one the author's are taken."""
    author, reviewer, sides = (tuple(rows[kind]) for kind in ("author", "reviewer", "sides"))
    if reviewer and (author or sides):
        found("judgement-mixed", f"expected rows of one task, found both; {len(reviewer)} were left out", 1)
        reviewer = ()
    paper = document.paper or ""
    return Sheet(paper, document.planner, document.path, author=author, reviewer=reviewer, sides=sides)


def _name(value: object) -> str | None:
    """A name with the repairs that an entry's name gets on reading; None for what is no name."""
    if isinstance(value, bool) or not isinstance(value, str):
        return None
    return repair(value)[0].strip()


def _names(value: object, found: Found, line: int) -> Names:
    """One name, several or none; what is neither is reported."""
    if isinstance(value, list):
        names = [_name(item) for item in value if item is not None]
        if None in names:
            found("judgement-unreadable", f"expected names, found {str(value)[:60]!r}; some were left out", line)
        return tuple(name for name in names if name is not None)
    if value is not None and _name(value) is None:
        found("judgement-unreadable", f"expected a name, a list or null, found {str(value)[:60]!r}", line)
    return _name(value)


def _author_rows(value: Mapping[str, Any], found: Found, line: int) -> list[AuthorRow]:
    """A row for each gold name that a row lists; rows about no gold entry say nothing."""
    gold = _names(value["name_in_paper"], found, line)
    plan = _names(value.get("name_in_plan"), found, line)
    return [AuthorRow(name, plan) for name in names_in(gold)]


def _side_rows(value: Mapping[str, Any], found: Found, line: int) -> list[tuple[Names, Names]]:
    """A row of a kept reply: which of its sides is gold shows when the lists are known."""
    return [(_names(value.get("name_in_A"), found, line), _names(value.get("name_in_B"), found, line))]


def _reviewer_rows(value: Mapping[str, Any], found: Found, line: int) -> list[ReviewerRow]:
    """A row for each plan name; what is not said to be in a review is not."""
    said = value.get("appears_in_review", False)
    truth = {"true": True, "false": False, "1": True, "0": False, "none": False}.get(str(said).casefold())
    if truth is None:
        found("judgement-unreadable", f"expected appears_in_review true or false, found {str(said)[:40]!r}", line)
        return []
    plan = _names(value["name_in_plan"], found, line)
    return [ReviewerRow(name, truth) for name in names_in(plan)]


KINDS = {"name_in_A": "sides", "name_in_B": "sides", "name_in_paper": "author", "name_in_plan": "reviewer"}
READERS: Mapping[str, Callable[[Mapping[str, Any], Found, int], Sequence[Any]]] = {
    "author": _author_rows,
    "reviewer": _reviewer_rows,
    "sides": _side_rows,
}


def _labels(value: Mapping[str, Any], document: Document, found: Found, line: int) -> Sheet:
    """A labelled list: `match` and `same_part` are pairs of places in `gold` and `plan`, counted from 0."""
    gold, plan = _entry_names(value["gold"]), _entry_names(value["plan"])
    full, part = _places(value["match"]), _places(value.get("same_part") or [])
    marks = []
    for g, p in sorted({*full, *part}):
        if 0 <= g < len(gold) and 0 <= p < len(plan):
            marks.append(Mark(Ref(gold[g], g), Ref(plan[p], p), (g, p) in full))
        else:
            said = f"expected places within {len(gold)} gold and {len(plan)} plan entries, found [{g}, {p}]"
            found("judgement-unreadable", said, line)
    paper, planner = _name(value.get("paper")) or document.paper or "", _name(value.get("planner"))
    lists = tuple(gold), tuple(plan)
    return Sheet(paper, planner or document.planner, document.path, marks=tuple(marks), lists=lists)


def _people(value: Mapping[str, Any], document: Document, found: Found) -> Iterator[Sheet]:
    """What people said about one plan, as AblationBench's judge-evaluation data holds it: rows in a text, an id."""
    planner, _, paper = str(_name(value["id"])).rpartition("/")
    inner = replace(document, text=value["labels"], paper=paper, planner=planner or document.planner)
    yield from _sheets(inner, found)


def _entry_names(entries: object) -> list[str]:
    """The names of a list of entries; one without a name is known by its part."""
    items = [item if isinstance(item, dict) else {} for item in entries] if isinstance(entries, list) else []
    return [_name(item.get("name")) or _name(item.get("ablated_part")) or "" for item in items]


def _places(pairs: object) -> set[tuple[int, int]]:
    """Pairs of whole numbers; what is something else is out of range everywhere."""
    found = set()
    for pair in pairs if isinstance(pairs, list) else []:
        items = pair if isinstance(pair, list) else []
        numbers = [int(n) if isinstance(n, str) and n.isdecimal() and len(n) < 9 else -1 for n in items]
        found.add((numbers[0], numbers[1]) if len(numbers) == 2 else (-1, -1))
    return found


def _published(document: Document, planner: str | None, found: Found) -> dict[tuple[str | None, str], Figures]:
    """The figures of an `evaluations.json`, by planner and paper."""
    figures: dict[tuple[str | None, str], Figures] = {}
    for line, value in _values(document.text, found):
        if not isinstance(value, dict) or _name(value.get("id")) is None:
            found("judgement-unreadable", f"expected a paper's figures with an id, found {str(value)[:60]!r}", line)
            continue
        numbers = {key: _number(value.get(key)) for key in ("precision", "recall", "f1_score", "ndcg_score")}
        figures[planner, str(_name(value["id"]))] = {key: n for key, n in numbers.items() if n is not None}
    return figures


def _number(value: object) -> float | None:
    """A number from its text."""
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None
