"""What a run's files and baselines may hold; what does not fit is refused with its file, row and column.

Readers of a run count on all of it: one row a planner and paper, one a plan, every gold and plan entry among the pairs,
numbers within the bounds of what they count, names that steer no terminal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from evalkit.errors import InputError, SettingsError
from evalkit.metrics.figures import FIGURES
from evalkit.settings import check_known, shown
from evalkit.storage.tables import TEXTS, TRUTHS, WHOLE
from evalkit.text import readable
from evalkit.types import LARGEST_WEIGHT, LEAST_WEIGHT, Action, Severity

if TYPE_CHECKING:
    import pandas as pd

STATES = ("planned", "empty", "unreadable", "missing")
# Column -> the values that it may have; cells of other columns are numbers or texts.
ACTIONS = tuple(Action)
CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "leaderboard": {},
    "papers": {"status": STATES},
    "pairs": {"status": ("match", "part", "missed", "spurious", "candidate"), "gold_action": ACTIONS,
              "plan_action": ACTIONS},
    "plans": {"status": STATES},
    "diagnostics": {"severity": get_args(Severity)},
}  # fmt: skip
# Columns of which two rows may not say the same, and columns that no row may leave empty.
UNIQUE = {
    "leaderboard": ("planner",),
    "papers": ("planner", "paper"),
    "pairs": ("planner", "paper", "sample", "gold_entry", "plan_entry"),
    "plans": ("planner", "paper", "sample"),
}
NEEDED = {
    "leaderboard": ("planner", "papers"),
    "papers": ("planner", "paper", "status", "samples", "gold_entries", "plan_entries"),
    "pairs": ("planner", "paper", "status"),
    "plans": ("planner", "paper", "status"),
    "diagnostics": ("severity", "code", "message"),
}
ACTION_COUNTS = tuple(f"{gold}_{plan}".lower() for gold in Action for plan in Action)
# Columns that are always there, whatever stands in them.
PRESENT = {
    "leaderboard": (*NEEDED["leaderboard"], *ACTION_COUNTS),
    "papers": (*NEEDED["papers"], *ACTION_COUNTS),
    "pairs": (  # every column: readers take rows apart
        "planner", "paper", "sample", "status", "gold_entry", "plan_entry", "part_probability", "match_probability",
        "borderline", "decided_by", "same_action", "shared_options", "shared_metrics", "speaks_for", "speaks_against",
        "gold_name", "gold_part", "gold_action", "gold_replacements", "gold_metrics", "plan_name", "plan_part",
        "plan_action", "plan_replacements", "plan_metrics",
    ),
    "plans": ("planner", "paper", "sample", "status", "path", "trace"),
    "diagnostics": ("severity", "code", "path", "line", "message"),
}  # fmt: skip
NAMES = ("planner", "paper", "sample", "code", "decided_by", "path")  # one line each
FLAGS = (*TRUTHS, "labelled")
LARGEST = 1e15
_ENDS = re.compile(r"^label_|^ab_|_(?:corrected|micro|low|high|best|spread)(?=_|$)")


def check_table(name: str, frame: pd.DataFrame, path: str, signature: str, *, whole: bool = True) -> None:
    """Refuse a table whose rows are not those of a run with this signature, or whose cells are of another kind.

    One that is not `whole` was read for some of its columns.
    """
    for column in PRESENT.get(name, NEEDED[name]) if whole else NEEDED[name]:
        if column not in frame:
            raise InputError(f"{path}: expected a column {column!r}, found none; score again")
    for column in NEEDED[name]:
        if column in ("planner", "paper") and frame[column].isna().any():
            raise InputError(f"{path}: a row does not say its planner and paper; was the file cut short?")
        _refuse(frame, column, frame[column].isna(), "a value", path)
    _refuse(frame, "signature", frame["signature"] != signature, f"the signature of run.json, {signature!r}", path)
    for head, cells in frame.items():
        if head != "signature":
            _check_column(cells, CHOICES[name].get(str(head)), path)
    if name == "pairs" and {"part_probability", "match_probability"} <= set(frame.columns):
        wrong = frame["match_probability"] > frame["part_probability"] + 1e-6
        _refuse(frame, "match_probability", wrong, "a match to be no likelier than its part", path)
    if keys := [column for column in UNIQUE.get(name, ()) if column in frame]:
        again = frame.duplicated(keys)
        _refuse(frame, keys[-1], again, f"one row for each {', '.join(keys)}, and not a second one", path)


def _check_column(cells: pd.Series[Any], choices: Sequence[str] | None, path: str) -> None:
    """Refuse the first cell of a column that is not of its kind."""
    column, values = str(cells.name), _values(cells)

    def refuse(fits: Callable[[Any], bool], wanted: str) -> None:
        for wrong in values:
            if not _fits_safely(wrong, fits):
                row = next(row for row, cell in enumerate(cells.tolist(), 1) if repr(cell) == repr(wrong))
                raise InputError(f"{path}: row {row}, column {column!r}: expected {wanted}, found {shown(wrong)}")

    if column in TEXTS:
        refuse(lambda value: isinstance(value, str), "text")
        if choices:
            refuse(lambda value: value in choices, f"one of {', '.join(choices)}")
        if column in NAMES:
            refuse(is_line, "a name without control characters")
    elif column in FLAGS:
        refuse(lambda value: value is True or value is False, "True or False")
    else:
        least, most = _bounds(column)
        whole = column in WHOLE
        words = f"a {'whole ' * whole}number from {least:g} to {most:g}"
        refuse(lambda value: _is_within(value, least, most, whole=whole), words)


def _values(cells: pd.Series[Any]) -> list[Any]:
    """Return the values of a column that are not missing; those that come again once, where they can be compared."""
    import pandas as pd

    try:
        values = cells.unique().tolist()
    except (TypeError, ValueError):  # a list in a cell
        return cells.dropna().tolist()
    return [value for value in values if value is not None and value is not pd.NA and value == value]


def _fits_safely(value: Any, fits: Callable[[Any], bool]) -> bool:
    try:
        return fits(value)
    except (TypeError, ValueError):  # a list in a cell
        return False


def _bounds(column: str) -> tuple[float, float]:
    """Return the bounds of a column of numbers: a ratio, a probability, a place in a list, or a count."""
    stem = column
    while (shorter := _ENDS.sub("", stem)) != stem:
        stem = shorter
    if "kappa" in stem:
        return -1, 1
    if stem in FIGURES or stem.startswith("p_") or stem.endswith("_probability"):
        return 0, 1
    return (1 if column in ("samples", "gold_entry", "plan_entry") else 0), LARGEST


def _is_within(value: Any, least: float, most: float, *, whole: bool) -> bool:
    """Return whether a cell is a number within bounds; the last digits of a ratio are rounded."""
    if isinstance(value, str | bool) or not hasattr(value, "__float__"):
        return False
    return least - 1e-9 <= value <= most + 1e-9 and (not whole or value % 1 == 0)


def is_time(text: str) -> bool:
    """Return whether a text is a time in UTC to the second, as runs carry it."""
    try:
        return bool(re.fullmatch(TIME_PATTERN[1:-1], text)) and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def is_line(text: object) -> bool:
    """Return whether a text is one line that steers no terminal."""
    return isinstance(text, str) and readable(text) == text


def _refuse(frame: pd.DataFrame, column: str, wrong: pd.Series[Any], wanted: str, path: str) -> None:
    """Refuse the first row of a mask."""
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        value = shown(frame[column].tolist()[row])
        raise InputError(f"{path}: row {row + 1}, column {column!r}: expected {wanted}, found {value}")


def check_tables(tables: Mapping[str, pd.DataFrame], paths: Mapping[str, str]) -> None:
    """Refuse a run whose tables are not about the same planners, papers and plans, or lack rows."""
    papers, plans, pairs = tables["papers"], tables["plans"], tables["pairs"].assign(rows=1)
    if not len(papers):
        raise InputError(f"{paths['papers']}: no row; was the file cut short?")
    counted = papers.groupby("planner").size()
    stated = tables["leaderboard"].set_index("planner")["papers"]
    _compare(stated, counted, "rows", paths["papers"], paths["leaderboard"])
    keys = ["planner", "paper"]
    by_paper = papers.set_index(keys)
    _compare(by_paper["samples"], plans.groupby(keys).size(), "plans", paths["plans"], paths["papers"])
    pairs["sample"] = pairs["sample"].fillna("")
    for side, alone in (("gold", "missed"), ("plan", "spurious")):
        entry = f"{side}_entry"
        other = "spurious" if side == "gold" else "missed"
        lost = pairs[entry].isna() != (pairs["status"] == other)
        _refuse(pairs, entry, lost, f"an entry in every row that is not {other}, and only there", paths["pairs"])
        texts = pairs[f"{side}_name"].isna() & pairs[entry].notna() & pairs[f"{side}_part"].isna()
        _refuse(pairs, f"{side}_name", texts, "what the entry says", paths["pairs"])
        listed = pairs[(pairs["status"] != "candidate") & pairs[entry].notna()]
        listed = listed.drop_duplicates([*keys, "sample", entry])
        found = listed.groupby(keys).size().reindex(by_paper.index, fill_value=0)
        strange = listed.groupby(keys).size().index.difference(by_paper.index)
        if len(strange):
            raise InputError(f"{paths['pairs']}: rows about {strange[0]!r}, which papers has none of")
        wanted = (by_paper[f"{side}_entries"] * by_paper["samples"]).round()
        _compare(wanted, found, f"{side} entries ({alone} ones too)", paths["pairs"], paths["papers"])


def _compare(stated: pd.Series[Any], found: pd.Series[Any], what: str, path: str, other: str) -> None:
    """Refuse a table that has not as much of something as another one states."""
    import pandas as pd

    both = pd.DataFrame({"stated": stated, "found": found}).fillna(0)
    if len(wrong := both[both["stated"] != both["found"]]):
        owner = wrong.index[0]
        name = " and ".join(map(repr, owner)) if isinstance(owner, tuple) else repr(owner)
        counts = f"{wrong['stated'].iloc[0]:g} {what} of {name} as {other} says, found {wrong['found'].iloc[0]:g}"
        raise InputError(f"{path}: expected {counts}; were rows lost?")


class Misfit(ValueError):
    """A value of JSON that is not as its shape says; the message names its place."""


# A kind, [shape], a tuple of alternatives, {key: shape}, {str: shape} for any names, or {object: shape} for any texts.
Shape = Any


class Kind:
    """A kind of value: a test, its name in messages, and what JSON Schema can say of it."""

    def __init__(self, words: str, holds: Callable[[Any], bool], schema: Mapping[str, Any]) -> None:
        self.words, self.holds, self.schema = words, holds, schema


def numbers(least: float, most: float, *, whole: bool = False) -> Kind:
    """Return the kind of finite numbers within bounds."""

    def holds(value: Any) -> bool:
        real = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        return real and least <= value <= most and math.isfinite(value)

    schema = {"type": "integer" if whole else "number", "minimum": least, "maximum": most}
    return Kind(f"a {'whole ' * whole}number from {least:g} to {most:g}", holds, schema)


TEXT = Kind("text", lambda value: isinstance(value, str), {"type": "string"})
LINE = Kind("one line of text without control characters", is_line, {"type": "string", "pattern": r"^[^\n\r]*$"})
STATE = Kind(f"one of {', '.join(STATES)}", lambda value: value in STATES, {"enum": list(STATES)})
FLAG = Kind("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
NOTHING = Kind("null", lambda value: value is None, {"type": "null"})
ANYTHING = Kind("anything", lambda _: True, {})
COUNT = numbers(0, LARGEST, whole=True)
RATIO = numbers(-1, 1)
DIGEST = {"digest": LINE, "path?": LINE}
TIME_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
TIME = Kind("a time in UTC, as in 2026-01-31T12:00:00Z", lambda value: isinstance(value, str) and is_time(value),
            {"type": "string", "pattern": TIME_PATTERN})  # fmt: skip
PROVENANCE = {
    str: ANYTHING,
    "time?": TIME,
    "command?": LINE,
    "inputs?": {str: DIGEST},
    "git?": {"commit": LINE, "dirty": (FLAG, NOTHING)},
    "note?": LINE,
    "tags?": {str: LINE},
    "prompts?": [{"path": LINE, "digest": LINE, "text?": TEXT}],
}
DECIDED = {"decided": COUNT, "matches": COUNT, "design_effect": numbers(1, LARGEST)}
JUDGE = {
    "judges": [TEXT],
    "pairs": COUNT,
    "decided": COUNT,
    "matches": COUNT,
    "left": {str: COUNT},
    "krippendorff_alpha?": (RATIO, NOTHING),
    "design_effect?": numbers(1, LARGEST),
    "planners?": {str: DECIDED},
}
GUARANTEE = {"rate": RATIO, "confidence": RATIO, "inside": RATIO, "papers": COUNT}
FACTS = {"weight?": numbers(LEAST_WEIGHT, LARGEST_WEIGHT), "meta?": {str: LINE}}  # of a gold paper or entry
META = {
    "signature": {str: LINE},
    "settings": {"seed": ANYTHING, "resamples": ANYTHING, str: ANYTHING},  # `check_known` looks at their kinds
    "versions": {str: LINE},
    "totals": dict.fromkeys(("planners", "papers", "plans", "pairs", "borderline_pairs"), COUNT),
    "warnings": [TEXT],
    "matcher_error?": ({"match_f1": RATIO, "papers": COUNT, "measured_on": LINE}, NOTHING),
    "labels?": {"doubts": [TEXT], "papers": COUNT},
    "guarantee?": GUARANTEE,
    "judge?": JUDGE,
    "provenance?": PROVENANCE,
    "gold?": {str: FACTS | {"entries?": {str: FACTS}}},
}


def check_shape(value: Any, shape: Shape, place: str) -> None:
    """Raise Misfit for a value that is not of this shape; keys that the shape does not name may be there.

    A key of a shape that ends in "?" may be absent.
    """
    if isinstance(shape, Kind):
        if not shape.holds(value):
            raise Misfit(f"{place}: expected {shape.words}, found {shown(value)}")
    elif isinstance(shape, tuple):
        if not any(_fits(value, one, place) for one in shape):
            check_shape(value, shape[0], place)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise Misfit(f"{place}: expected a list, found {shown(value)}")
        for index, item in enumerate(value):
            check_shape(item, shape[0], f"{place}[{index}]")
    else:
        _check_object(value, shape, place)


def _check_object(value: Any, shape: Mapping[Any, Shape], place: str) -> None:
    if not isinstance(value, dict):
        raise Misfit(f"{place}: expected an object, found {shown(value)}")
    for key, inner in shape.items():
        if key in (str, object):
            for name, item in value.items():
                if key is str:
                    check_shape(name, LINE, f"{place}, a key")
                check_shape(item, inner, f"{place}.{readable(name):.80}")
        elif (name := key.removesuffix("?")) in value:
            check_shape(value[name], inner, f"{place}.{name}")
        elif name == key:
            raise Misfit(f"{place}: expected {key!r}, found none")


def _fits(value: Any, shape: Shape, place: str) -> bool:
    try:
        check_shape(value, shape, place)
    except Misfit:
        return False
    return True


def shape_schema(shape: Shape) -> dict[str, Any]:
    """Return the JSON Schema of a shape."""
    if isinstance(shape, Kind):
        return dict(shape.schema)
    if isinstance(shape, tuple):
        return {"anyOf": [shape_schema(one) for one in shape]}
    if isinstance(shape, list):
        return {"type": "array", "items": shape_schema(shape[0])}
    named = {key: inner for key, inner in shape.items() if isinstance(key, str)}
    schema: dict[str, Any] = {"type": "object"}
    if named:
        schema["properties"] = {key.removesuffix("?"): shape_schema(inner) for key, inner in named.items()}
        schema["required"] = [key for key in named if not key.endswith("?")]
    for key in (str, object):
        if key in shape:
            schema["additionalProperties"] = shape_schema(shape[key])
    return schema


def check_meta(meta: Mapping[str, Any], path: str) -> None:
    """Refuse a run.json whose facts are not of the kinds that readers count on."""
    try:
        check_shape(meta, META, "run")
        check_known(meta["settings"])
    except (Misfit, SettingsError) as error:
        raise InputError(f"{path}: {error}") from error


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object that a JSON reader found; a key that comes twice would hide its first value."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        again = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {again!r:.80} stands there twice")
    return table
