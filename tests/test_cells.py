"""Cells: CSV as pandas writes it, without pandas; and several texts in one cell."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from evalkit.storage.tables import cell, csv_text, rows_csv, to_csv

KINDS = pd.DataFrame(
    {
        "text": ["plain", 'a "quoted", word', "two\nlines"],
        "gaps": ["", None, "\r\n"],
        "whole": [1, 0, -3],
        "number": [1.5, np.nan, -0.0],
        "long": [1e-20, 1e300, 123456789012.5],
        "tenth": [0.1 + 0.2, 1 / 3, 2.0],
        "truth": [True, False, True],
        "some": pd.array([1, None, 3], dtype="Int64"),
        "mixed": [True, None, math.nan],
        "none": [None, None, None],
    }
)


@pytest.mark.parametrize("rows", [3, 1, 0])
@pytest.mark.parametrize("head", [True, False])
def test_a_table_is_written_as_pandas_writes_it(rows: int, head: bool) -> None:
    frame = KINDS.iloc[:rows]
    plain = frame.to_csv(index=False, header=head, lineterminator="\n", float_format="%.10g")
    assert to_csv(frame, head=head) == plain.replace('"\r\n"', '"\'\r\n"'), "a carriage return is defused"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("gate", "gate"),
        ("=1+1", "'=1+1"),
        ("-depth", "'-depth"),
        ("'tis", "''tis"),
        ("", ""),
        (0.1 + 0.2, "0.3"),
        (2.0, "2"),
        (math.nan, ""),
        (-1, -1),
        (True, True),
        (None, None),
    ],
)
def test_cells(value: object, written: object) -> None:
    assert cell(value) == written


def test_rows_of_long_tables_end_in_their_signature() -> None:
    assert rows_csv([("a", None, 1, 0.25), ("=b", True, math.nan, 1e-7)], "s0") == b"a,,1,0.25,s0\n'=b,True,,1e-07,s0\n"
    assert csv_text([]) == ""
