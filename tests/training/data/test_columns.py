"""Columns of tables as typed values, whatever chunks and slices they lie in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from headrace.training.data.columns import lists, strings

LISTS = [[1, 2, 3], [], [4], [5, 6]]


@pytest.mark.parametrize("width", [pa.int32(), pa.int64()])
def test_lists_are_cut_by_their_offsets(width: pa.DataType) -> None:
    column = pa.chunked_array([pa.array(part, pa.list_(width)) for part in (LISTS[:1], LISTS[1:])])
    table = pa.Table.from_arrays([column], ["x"])
    for start in range(len(LISTS) + 1):
        values, offsets = lists(table.slice(start), "x")
        assert values.dtype == np.int32
        got = [values[a:b].tolist() for a, b in pairwise(offsets)]
        assert got == LISTS[start:]


def test_strings() -> None:
    assert strings(pa.table({"x": ["a", "b"]}), "x") == ["a", "b"]
