"""Takes frames, gives the bytes of their files and back: CSV that spreadsheets cannot execute, and Parquet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalkit.errors import InputError, OutputError
from evalkit.storage.cells import Tables, csv_text

TEXTS = (
    "planner", "paper", "sample", "status", "decided_by", "speaks_for", "speaks_against", "severity", "code", "path",
    "message", "trace", *(f"{side}_{field}" for side in ("gold", "plan")
                 for field in ("name", "part", "action", "replacements", "metrics")),
)  # fmt: skip
TRUTHS = ("borderline", "same_action")
# Counts that are whole whatever is averaged.
WHOLE = ("samples", "gold_entry", "plan_entry", "shared_options", "shared_metrics")
FORMS = ("csv", "parquet")


def content(frame: pd.DataFrame, tables: Tables) -> bytes:
    """Rows as bytes, without a head."""
    frame = frame.copy().assign(signature=tables.signature)
    return to_arrow(frame) if tables.form == "parquet" else to_csv(frame, head=False).encode()


def to_arrow(frame: pd.DataFrame) -> bytes:
    """Rows as an Arrow stream, every column of the type that its name has, whatever this batch holds.

    An empty text is null, as it is in CSV.
    """
    pa = _pyarrow()
    kinds = {name: pa.string() for name in (*TEXTS, "signature")} | {name: pa.bool_() for name in TRUTHS}
    kinds |= dict.fromkeys(WHOLE, pa.int64())
    kinds |= {str(name): pa.bool_() for name, column in frame.items() if column.dtype == bool}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in frame.columns])
    texts = {name: column.where(column != "", None) for name, column in frame.items() if name in TEXTS}
    table = pa.Table.from_pandas(frame.assign(**texts), schema=schema, preserve_index=False)
    table = table.replace_schema_metadata(None)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


class ParquetFile:
    """A Parquet file that grows by batches of rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def add(self, content: bytes) -> None:
        """Rows, as `to_arrow` gave them."""
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


def from_parquet(data: bytes, path: str) -> pd.DataFrame:
    """A frame as `ParquetFile` wrote it, with the types that the same frame from CSV has."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
        table.validate(full=True)
        found: pd.DataFrame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a table as evalkit writes it: {error}") from error
    return pd.DataFrame({name: _as_from_csv(column) for name, column in found.items()}, columns=found.columns)


def _as_from_csv(column: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers in every row are integers, and what is missing among other values is NaN."""
    if column.dtype == object:
        return column.where(column.notna(), float("nan"))
    if column.dtype == "float64" and len(column) and ((column % 1 == 0) & (column.abs() < 2**53)).all():
        return column.astype("int64")
    return column


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise OutputError("Parquet needs pyarrow: pip install 'evalkit[parquet]'") from error
    return pa


def to_csv(frame: pd.DataFrame, *, head: bool = True) -> str:
    """UTF-8 text, "\\n" line ends, empty cells for missing values, and no cell that a spreadsheet would execute."""
    rows = zip(*(_values(column) for _, column in frame.items()), strict=True)
    return csv_text([list(frame.columns), *rows] if head else rows)


def _values(column: pd.Series[Any]) -> list[Any]:
    """A column's values; what its type calls missing is None."""
    plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub"
    return (column if plain else column.astype(object).where(column.notna(), None)).tolist()


def from_csv(text: str, path: str) -> pd.DataFrame:
    """A frame as `to_csv` wrote it: text stays text ("001", "NA"), empty cells are missing."""
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: not a table as evalkit writes it: {error}") from error
    restored = {
        name: column if _is_number(column) else column.map(_restored).astype(column.dtype)
        for name, column in frame.items()
    }
    return pd.DataFrame(restored, columns=frame.columns)


def _is_number(column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers or truth values only."""
    return pd.api.types.is_numeric_dtype(column)


def _restored(value: object) -> object:
    """A text without the apostrophe that `cells` put before it."""
    return value[1:] if isinstance(value, str) and value.startswith("'") else value
