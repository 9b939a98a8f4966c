"""Columns of Arrow tables as Python and NumPy values, with their types."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def strings(table: pa.Table, column: str) -> list[str]:
    """Return the values of a text column without nulls."""
    return cast(list[str], table[column].to_pylist())


def lists(table: pa.Table, column: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """(values, offsets) of a column of integer lists: list n is values[offsets[n]:offsets[n + 1]].

    Args:
        table: with the column.
        column: its name; integers of any width that fit into 32 bits.
    """
    wanted = table[column].cast(pa.list_(pa.int32())).combine_chunks()
    array = cast("pa.ListArray[pa.Int32Scalar]", wanted)
    offsets = array.offsets.to_numpy()
    first = int(offsets[0]) if len(offsets) else 0
    return array.flatten().to_numpy(zero_copy_only=False), offsets - first
