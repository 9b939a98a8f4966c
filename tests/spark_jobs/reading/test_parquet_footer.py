"""The footer of a Parquet file is walked before Arrow reads it."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.spark_jobs.reading import parquet_footer


def footer_of(raw: bytes) -> bytes:
    length = struct.unpack("<I", raw[-8:-4])[0]
    return raw[-8 - length : -8]


def written(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("column", "levels"),
    [
        (pa.array([1]), 2),
        (pa.array([{"a": {"b": 1}}]), 4),
        (pa.array([["x"]]), 4),
        (pa.array([[("k", [1])]], pa.map_(pa.string(), pa.list_(pa.int8()))), 6),
        (pa.array([None], pa.decimal128(5, 2)), 2),
        (pa.array([1], pa.timestamp("ns", "UTC")), 2),
    ],
)
def test_levels_of_what_arrow_writes(column: pa.Array[Any], levels: int) -> None:
    raw = written(pa.table({"first": [1], "x": column, "last": ["t"]}))
    assert parquet_footer.levels(footer_of(raw)) == levels
    assert parquet_footer.metadata(io.BytesIO(raw)).num_rows == 1


def nested(levels: int) -> bytes:
    """A file without rows whose only column is nested so deep (compact Thrift by hand)."""

    def node(children: bytes) -> bytes:
        return b"\x35\x02" + b"\x18\x01g" + children + b"\x00"  # repetition, name

    schema = [node(b"\x15\x02")] * (levels - 1) + [b"\x15\x02\x25\x02\x18\x01x\x00"]
    count = len(schema)
    sizes = bytes([count & 127 | 128, count >> 7 & 127 | 128, count >> 14])
    footer = b"\x15\x04" + b"\x19\xfc" + sizes + b"".join(schema) + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def test_columns_nested_too_deep_are_refused_before_arrow_sees_them(tmp_path: Path) -> None:
    assert parquet_footer.metadata(io.BytesIO(nested(200))).num_columns == 1
    for levels in (251, 100_000):
        with pytest.raises(pa.ArrowInvalid, match="nested deeper than 250 levels"):
            parquet_footer.metadata(io.BytesIO(nested(levels)))
    # The reason for all of this; where Arrow has learned it, this module can go.
    path = tmp_path / "deep.parquet"
    path.write_bytes(nested(100_000))
    code = f"import pyarrow.parquet as pq; pq.ParquetFile({str(path)!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode < 0


def test_a_damaged_footer_is_said_to_be_one() -> None:
    raw = footer_of(written(pa.table({"a": [[{"b": "x"}]], "c": [1]})))
    rng = random.Random(7)
    for _ in range(2000):
        bad = bytearray(raw[: rng.randrange(1, len(raw))])
        bad[rng.randrange(len(bad))] = rng.randrange(256)
        said, levels = "", 0
        try:
            levels = parquet_footer.levels(bytes(bad))
        except ValueError as error:
            said = str(error)
        assert said in ("", "a damaged footer") and levels <= parquet_footer.MOST_LEVELS + 1


@pytest.mark.parametrize(
    "raw", [b"", b"PAR1", b"PAR1 not really", b"x" * 8 + b"\xff" * 4 + b"PAR1"]
)
def test_what_is_no_parquet_file(raw: bytes) -> None:
    with pytest.raises((OSError, pa.ArrowException)):
        parquet_footer.metadata(io.BytesIO(raw))


def test_a_column_name_that_is_not_utf8() -> None:
    raw = written(pa.table({"名": ["x"]})).replace("名".encode(), b"\xc3\xfb\xa1")
    with pytest.raises(pa.ArrowException):
        parquet_footer.metadata(io.BytesIO(raw))
