"""Write rows and frames as CSV and Parquet and read them back, with the same types from both.

In CSV, missing values are empty, and no cell can run in a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError, OutputError, install_command
from evalkit.storage.files import encoded

if TYPE_CHECKING:
    import pandas as pd  # loaded where it is used: scoring writes its tables without it

Table = Mapping[str, Sequence[Any] | NDArray[Any]]
"""A table without pandas, which takes longer to load than a run's tables to make: column -> cells. None is missing."""

# Columns that stay text ("001", "NA") when a table is read back.
TEXTS = (
    "planner", "paper", "sample", "status", "decided_by", "speaks_for", "speaks_against", "severity", "code", "path",
    "message", "trace", *(f"{side}_{field}" for side in ("gold", "plan")
                 for field in ("name", "part", "action", "replacements", "metrics")),
)  # fmt: skip
TRUTHS = ("borderline", "same_action")
# Counts that are whole whatever is averaged.
WHOLE = ("samples", "gold_entry", "plan_entry", "shared_options", "shared_metrics")
NULLABLE = ("rank", "rank_low", "rank_high", "line")  # whole numbers, some of them missing
FORMS = ("csv", "parquet")
FORMULA_STARTS = frozenset("=+-@\t\r'")


@dataclass(frozen=True, slots=True)
class TableFormat:
    """The form in which rows of the long tables are written, and the signature in each row."""

    signature: str
    form: str = "csv"


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV with "\\n" line ends; numbers have ten digits, so that the last bits of a sum do not show."""
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(map(_cells, rows))
    return "".join(lines.written)


class _Lines:
    """Lines that the CSV writer ends in "\\r\\n", so that it quotes cells with either; here they end in "\\n"."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> None:
        """Take one row."""
        self.written.append(f"{line[:-2]}\n")


def _cells(row: Sequence[object]) -> list[object]:
    """Return the values of a row as the CSV writer is to see them; most are texts that stay as they are."""
    return [value if type(value) is str and value[:1] not in FORMULA_STARTS else cell(value) for value in row]


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
    return encoded(csv_text((*row, signature) for row in rows))


def table_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of a frame, with None for what their types call missing."""

    def values(column: pd.Series[Any]) -> list[Any]:
        plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub"
        return (column if plain else column.astype(object).where(column.notna(), None)).tolist()

    return {str(name): values(column) for name, column in frame.items()}


def frame_of(table: Table) -> pd.DataFrame:
    """Return the frame of these columns; whole numbers of which some are missing stay whole."""
    import pandas as pd

    return pd.DataFrame(
        {name: pd.array(column, dtype="Int64") if name in NULLABLE else column for name, column in table.items()}
    )


def cells_of(table: Table) -> dict[str, Sequence[Any]]:
    """Return the columns as Python's own values, as CSV and JSON want them."""
    return {name: column.tolist() if isinstance(column, np.ndarray) else column for name, column in table.items()}


def to_csv(table: pd.DataFrame | Table, *, head: bool = True) -> str:
    """Return a table as CSV."""
    columns = cells_of(table) if isinstance(table, Mapping) else table_of(table)
    rows = zip(*columns.values(), strict=True)
    return csv_text([list(columns), *rows] if head else rows)


def from_csv(text: str, path: str, columns: Collection[str] = ()) -> pd.DataFrame:
    """Return the frame that `to_csv` wrote, or some of its columns: text stays text, empty cells are missing."""
    import pandas as pd

    try:
        kinds = dict.fromkeys((*TEXTS, "signature"), str)  # a signature may be made of digits
        chosen = (lambda name: str(name) in columns) if columns else None
        frame = pd.read_csv(io.StringIO(text), dtype=kinds, keep_default_na=False, na_values=[""], usecols=chosen)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: not a table as evalkit writes it: {error}") from error

    if "'" not in text:
        return frame

    def unquoted(value: object) -> object:  # without the apostrophe of `cell`
        return value[1:] if isinstance(value, str) and value.startswith("'") else value

    columns = {
        str(name): column if pd.api.types.is_numeric_dtype(column) else column.map(unquoted).astype(column.dtype)
        for name, column in frame.items()
    }
    return pd.DataFrame(columns, columns=frame.columns)


def in_cell(items: Iterable[str]) -> str:
    """Join several texts in one cell with "; "; one that could be taken for several is quoted, as in JSON."""
    return "; ".join(
        json.dumps(item, ensure_ascii=False) if not item or item[0] == '"' or "; " in item else item for item in items
    )


def from_cell(cell: object) -> list[str]:
    """Return the texts that `in_cell` joined; none where the cell is missing."""
    text = cell if isinstance(cell, str) else ""
    items, quoted, start = [], json.JSONDecoder(strict=False), 0
    while text and start <= len(text):
        end = text.find("; ", start)
        item, end = text[start : end if end >= 0 else None], end if end >= 0 else len(text)
        if item.startswith('"'):
            try:
                unquoted, stop = quoted.raw_decode(text, start)
            except ValueError:
                stop = -1  # a quotation mark in a text that was joined without quotes
            if stop == len(text) or (stop >= 0 and text.startswith("; ", stop)):
                item, end = unquoted, stop
        items.append(item)
        start = end + 2
    return items


def signed(table: Table, signature: str) -> Table:
    """Return a table with the signature in each row."""
    return {**table, "signature": [signature] * len(next(iter(table.values())))}


def table_content(table: Table, table_format: TableFormat) -> bytes:
    """Return the rows of a table, without a head, in this format."""
    table = signed(table, table_format.signature)
    return to_arrow(frame_of(table)) if table_format.form == "parquet" else encoded(to_csv(table, head=False))


def to_arrow(frame: pd.DataFrame) -> bytes:
    """Return rows as an Arrow stream; a column's type follows from its name, whatever this batch holds.

    An empty text is null, as it is in CSV.
    """
    pa = _pyarrow()
    kinds = {name: pa.string() for name in (*TEXTS, "signature")} | {name: pa.bool_() for name in TRUTHS}
    kinds |= dict.fromkeys(WHOLE, pa.int64())
    kinds |= {str(name): pa.bool_() for name, column in frame.items() if column.dtype == bool}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in frame.columns])
    texts = {name: column.where(column != "", None) for name, column in frame.items() if name in TEXTS}
    table = pa.Table.from_pandas(frame.assign(**texts), schema=schema, preserve_index=False).replace_schema_metadata()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


class ParquetFile:
    """A Parquet file that grows by batches of rows."""

    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, None  # type: Path, Any

    def add(self, content: bytes) -> None:
        """Add rows, as `to_arrow` gave them."""
        import pyarrow.parquet as pq

        table = _pyarrow().ipc.open_stream(content).read_all()
        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, table.schema)
            self._writer.write_table(table)
        except OSError as error:
            raise OutputError(f"{self._path.name}: cannot be written: {error}") from error

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


def from_parquet(data: bytes, path: str, columns: Collection[str] = ()) -> pd.DataFrame:
    """Return the frame that a `ParquetFile` holds, or some of its columns."""
    pa = _pyarrow()
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        chosen = [name for name in file.schema_arrow.names if name in columns] if columns else None
        table = file.read(columns=chosen)
        table.validate(full=True)
        frame: pd.DataFrame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a table as evalkit writes it: {error}") from error
    return pd.DataFrame({name: _as_from_csv(column) for name, column in frame.items()}, columns=frame.columns)


def _as_from_csv(column: pd.Series[Any]) -> pd.Series[Any]:
    """Make whole numbers integers where every row has one, and what is missing among other values NaN."""
    if column.dtype == object:
        return column.where(column.notna(), float("nan"))
    if column.dtype == "float64" and len(column) and ((column % 1 == 0) & (column.abs() < 2**53)).all():
        return column.astype("int64")
    return column


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise OutputError(f"Parquet needs pyarrow: {install_command('parquet')}") from error
    return pa
