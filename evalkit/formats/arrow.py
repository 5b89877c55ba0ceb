"""Takes the bytes of a Parquet or Arrow table, gives its rows as JSON lines that the parsers read like any others."""

from __future__ import annotations

import json
from typing import Any

SUFFIXES = frozenset((".parquet", ".arrow"))
# Columns of datasets that hold no entry and are long: a paper's text, its reviews.
PASSED_OVER = frozenset(("paper_abstract", "paper_path", "paper_source", "paper_text", "review_text"))


class TableError(Exception):
    """Bytes that are no table, or no way to read one; the message says which."""


def rows(data: bytes, suffix: str) -> str:
    """The rows of a table, one JSON object a line."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise TableError("expected pyarrow to read a table: pip install 'evalkit[parquet]'") from error
    try:
        table = _parquet(data) if suffix == ".parquet" else _arrow(data)
        table.validate(full=True)  # bytes that lie about lengths would be read beyond their end
        names = [name for name in table.column_names if name not in PASSED_OVER]
        found = table.select(names).to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        said = str(error).partition("\n")[0][:200]
        raise TableError(f"expected a table, found: {said or type(error).__name__}") from error
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in found)


def _parquet(data: bytes) -> Any:
    """The table in a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(data))


def _arrow(data: bytes) -> Any:
    """The table in an Arrow file: a stream, as `datasets` saves it, or the file format."""
    import pyarrow as pa

    source = pa.BufferReader(data)
    reader = pa.ipc.open_file(source) if data[:6] == b"ARROW1" else pa.ipc.open_stream(source)
    return reader.read_all()
