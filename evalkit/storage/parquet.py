"""Write frames as Parquet and read them back with the types that the same frame from CSV has."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.errors import InputError, OutputError
from evalkit.storage.csv import TEXTS, TableFormat, to_csv

TRUTHS = ("borderline", "same_action")
# Counts that are whole whatever is averaged.
WHOLE = ("samples", "gold_entry", "plan_entry", "shared_options", "shared_metrics")


def content(frame: pd.DataFrame, table_format: TableFormat) -> bytes:
    """Return the rows of a frame, without a head, in the form that `tables` names."""
    frame = frame.copy().assign(signature=table_format.signature)
    return to_arrow(frame) if table_format.form == "parquet" else to_csv(frame, head=False).encode()


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


def from_parquet(data: bytes, path: str) -> pd.DataFrame:
    """Return the frame that a `ParquetFile` holds."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
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
        raise OutputError("Parquet needs pyarrow: pip install 'evalkit[parquet]'") from error
    return pa
