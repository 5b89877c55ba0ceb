"""Write rows and frames as CSV and read them back: missing values are empty, and no cell can run in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evalkit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd  # loaded where it is used: workers write rows without it

# Columns that stay text ("001", "NA") when a table is read back.
TEXTS = (
    "planner", "paper", "sample", "status", "decided_by", "speaks_for", "speaks_against", "severity", "code", "path",
    "message", "trace", *(f"{side}_{field}" for side in ("gold", "plan")
                 for field in ("name", "part", "action", "replacements", "metrics")),
)  # fmt: skip
FORMS = ("csv", "parquet")
FORMULA_STARTS = frozenset("=+-@\t\r'")


@dataclass(frozen=True, slots=True)
class TableFormat:
    """The form in which rows of the long tables are written, and the signature in each row."""

    signature: str
    form: str = "csv"


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV with "\\n" line ends; numbers have ten digits, so that the last bits of a sum do not show."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return lines.getvalue()


def cell(value: object) -> object:
    """Return a value as the CSV writer is to see it: whole numbers, truth values and None are left to it."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in FORMULA_STARTS else value
    if isinstance(value, float):
        return _digits(value) if value else f"{value:.10g}"
    return value


@lru_cache(maxsize=65536)
def _digits(value: float) -> str:
    """Format a number other than 0, which is one key for two signs; counts and simple ratios come again and again."""
    return f"{value:.10g}" if value == value else ""


def rows_csv(rows: Iterable[Sequence[object]], signature: str) -> bytes:
    """Return rows of a long table as CSV, each with its signature."""
    return csv_text((*row, signature) for row in rows).encode()


def to_csv(frame: pd.DataFrame, *, head: bool = True) -> str:
    """Return a frame as CSV."""
    rows = zip(*(_values(column) for _, column in frame.items()), strict=True)
    return csv_text([list(frame.columns), *rows] if head else rows)


def _values(column: pd.Series[Any]) -> list[Any]:
    """Return the values of a column, with None for what its type calls missing."""
    import numpy as np

    plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub"
    return (column if plain else column.astype(object).where(column.notna(), None)).tolist()


def from_csv(text: str, path: str) -> pd.DataFrame:
    """Return the frame that `to_csv` wrote: text stays text, empty cells are missing."""
    import pandas as pd

    try:
        frame = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: not a table as evalkit writes it: {error}") from error
    columns = {
        name: column if pd.api.types.is_numeric_dtype(column) else column.map(_unquoted).astype(column.dtype)
        for name, column in frame.items()
    }
    return pd.DataFrame(columns, columns=frame.columns)


def _unquoted(value: object) -> object:
    """Return a text without the apostrophe that `cell` put before it."""
    return value[1:] if isinstance(value, str) and value.startswith("'") else value


def in_cell(items: Iterable[str]) -> str:
    """Join several texts in one cell with "; "; one that could be taken for several is quoted, as in JSON."""
    return "; ".join(
        json.dumps(item, ensure_ascii=False) if not item or item[0] == '"' or "; " in item else item for item in items
    )


def from_cell(cell: object) -> list[str]:
    """Return the texts that `in_cell` joined; none where the cell is missing."""
    return list(_items(cell)) if isinstance(cell, str) and cell else []


def _items(text: str) -> Iterator[str]:
    """Yield the texts of a cell."""
    quoted = json.JSONDecoder(strict=False)
    start = 0
    while start <= len(text):
        end = text.find("; ", start)
        item, end = text[start : end if end >= 0 else None], end if end >= 0 else len(text)
        if item.startswith('"'):
            try:
                unquoted, stop = quoted.raw_decode(text, start)
            except ValueError:
                stop = -1  # a quotation mark in a text that was joined without quotes
            if stop == len(text) or (stop >= 0 and text.startswith("; ", stop)):
                item, end = unquoted, stop
        yield item
        start = end + 2
