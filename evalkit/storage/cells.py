"""Takes rows of values, gives CSV: empty cells for what is missing, and none that a spreadsheet would execute.

Several texts in one cell can be told apart again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

FORMULA_STARTS = frozenset("=+-@\t\r'")


@dataclass(frozen=True, slots=True)
class Tables:
    """How rows of the long tables are handed over: in which form, and with which signature in each."""

    signature: str
    form: str = "csv"


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Lines that end in "\\n"; numbers have ten digits, so that the last bits of a sum show nowhere."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return lines.getvalue()


def cell(value: object) -> object:
    """A value as the CSV writer is to see it: whole numbers, truth values and None are left to it."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in FORMULA_STARTS else value
    if isinstance(value, float):
        return _digits(value) if value else f"{value:.10g}"
    return value


@lru_cache(maxsize=65536)
def _digits(value: float) -> str:
    """A number other than 0, which is one key for two signs; most are counts and simple ratios, and met again soon."""
    return f"{value:.10g}" if value == value else ""


def signed(rows: Iterable[Sequence[object]], signature: str) -> bytes:
    """Rows of a long table, each with its signature."""
    return csv_text((*row, signature) for row in rows).encode()


def in_cell(items: Iterable[str]) -> str:
    """Several texts as one cell, "; " between them; one that could be taken for several is quoted, as in JSON."""
    return "; ".join(
        json.dumps(item, ensure_ascii=False) if not item or item[0] == '"' or "; " in item else item for item in items
    )


def from_cell(cell: object) -> list[str]:
    """The texts that `in_cell` put into a cell; none in one that is missing."""
    return list(_items(cell)) if isinstance(cell, str) and cell else []


def _items(text: str) -> Iterator[str]:
    """The texts of a cell."""
    quoted = json.JSONDecoder(strict=False)
    at = 0
    while at <= len(text):
        end = text.find("; ", at)
        item, end = text[at : end if end >= 0 else None], end if end >= 0 else len(text)
        if item.startswith('"'):
            try:
                found, stop = quoted.raw_decode(text, at)
            except ValueError:
                stop = -1  # a mark of a text that was joined without quotes
            if stop == len(text) or (stop >= 0 and text.startswith("; ", stop)):
                item, end = found, stop
        yield item
        at = end + 2
