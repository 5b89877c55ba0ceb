"""Parquet and Arrow tables: turn their rows into JSON lines that are read like any others."""

from __future__ import annotations

import json

from evalkit.errors import install_command

SUFFIXES = frozenset((".parquet", ".arrow"))
# Columns of datasets that hold no entry and are long: a paper's text, its reviews.
IGNORED_COLUMNS = frozenset(("paper_abstract", "paper_path", "paper_source", "paper_text", "review_text"))


class TableError(Exception):
    """Bytes that are no table, or no way to read one; the message says which."""


def rows(data: bytes, suffix: str) -> str:
    """Return the rows of a table, one JSON object a line."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise TableError(f"expected pyarrow to read a table: {install_command('parquet')}") from error
    try:
        source = pa.BufferReader(data)
        if suffix == ".parquet":
            table = pq.read_table(source)
        else:
            # A stream, as `datasets` saves it, or the file format.
            opener = pa.ipc.open_file if data[:6] == b"ARROW1" else pa.ipc.open_stream
            table = opener(source).read_all()
        table.validate(full=True)  # bytes that lie about lengths would be read beyond their end
        names = [name for name in table.column_names if name not in IGNORED_COLUMNS]
        records = table.select(names).to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise TableError(f"expected a table, found: {reason}") from error
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in records)
