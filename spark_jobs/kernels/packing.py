"""Token streams cut into rows of one length, with the positions where documents begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ROW = pa.schema([("input_ids", pa.list_(pa.int32())), ("document_starts", pa.list_(pa.int32()))])
"""A row of a token shard."""


@dataclass(frozen=True)
class Packed:
    """Rows of `length` tokens each, and what did not fill a row."""

    rows: pa.Table
    """Schema ROW."""
    dropped: int
    """Tokens of the last, partial row: left out, so that every token of a row is a real one."""
    bytes: int
    """UTF-8 bytes of the text that the rows hold."""


def pack(
    documents: Sequence[npt.NDArray[np.int32]],
    length: int,
    byte_lengths: npt.NDArray[np.int64],
) -> Packed:
    """Return the documents one after another in rows of `length` tokens; a document may span rows.

    Args:
        documents: token ids of each, its leading separator included; none is empty.
        length: tokens per row.
        byte_lengths: (V,) bytes of text that each token stands for, 0 for special tokens.
    """
    sizes = np.array([len(d) for d in documents], np.int64)
    stream = np.concatenate([np.zeros(0, np.int32), *documents])
    n = len(stream) // length
    kept = stream[: n * length]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[:-1]
    starts = starts[: len(sizes)]
    starts = starts[starts < len(kept)]
    row = starts // length
    rows = pa.Table.from_arrays(
        [
            _lists(np.arange(n + 1, dtype=np.int64) * length, kept),
            _lists(
                np.searchsorted(row, np.arange(n + 1)).astype(np.int64),
                (starts % length).astype(np.int32),
            ),
        ],
        schema=ROW,
    )
    return Packed(rows, len(stream) - len(kept), int(byte_lengths[kept].sum()))


def _lists(offsets: npt.NDArray[np.int64], values: npt.NDArray[np.int32]) -> pa.Array[Any]:
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32), pa.int32()), pa.array(values, pa.int32())
    )
