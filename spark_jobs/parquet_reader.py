"""Records of the row groups of a Parquet file, in memory that the file can't stretch.

A few hundred bytes of Parquet can stand for gigabytes: a value of a dictionary that millions of
rows repeat, a run of equal numbers, a footer that declares what isn't there. So

- the footer is checked against the file before a row group is read;
- strings and bytes are read as dictionaries, and a batch is expanded in slices by the size of what
  it stands for; a record above `input.max_record_bytes` is never expanded;
- what a chunk may stand for is limited;
- decoding happens within a limit of the address space, since encodings and page headers can lie.

What can't be read of a row group is unreadable, and the next row group is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from headrace.infra import address_space, storage
from headrace.spark_jobs import arrow_json
from headrace.spark_jobs.inventory_job import Chunk, InputFile
from headrace.spark_jobs.json_members import slices
from headrace.spark_jobs.json_repair import decoded
from headrace.spark_jobs.kernels.lines import HEAD_BYTES, WINDOW_BYTES
from headrace.spark_jobs.kernels.utf8 import valid_slices
from headrace.spark_jobs.records import RECORD, Window, from_columns, lost
from headrace.spark_jobs.settings import InputSettings

ROWS_A_WINDOW = 65_536
EXPANSION = 1000
"""How many bytes a byte of a chunk may stand for; gzip, at its best, makes 1,032 of one."""
FREE_BYTES = 256 << 20
"""What a chunk may stand for in any case."""
ROW_BYTES = 64
"""What a row is taken to stand for at least: the work that it makes."""
DECODER_BYTES = 3 << 30
"""Address space that decoding may take, beside eight times the largest record: a page may hold a
thousand records, and is there packed, unpacked and decoded."""
_BUFFER = 4 << 20
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_LEVELS = 4
"""Bytes of a value's definition and repetition levels."""

Sizes = npt.NDArray[np.int64]


class _RefusedError(Exception):
    """Why a row group is not read."""


@dataclass
class _Chunk:
    """Where the reading of a chunk is."""

    file: InputFile
    settings: InputSettings
    position: int
    """Of the next record."""
    left: int
    """Bytes that its records may still stand for."""


def _row_bytes(parquet: pq.ParquetFile, g: int, size: int) -> float:
    """About how many bytes a row of a row group is when it is decoded, repetitions aside.

    Raises:
        _RefusedError: what the footer says of it can't be, in a file of `size` bytes.
    """
    group = parquet.metadata.row_group(g)
    decoded_bytes = 0
    for c in range(group.num_columns):
        column = group.column(c)
        first = column.data_page_offset
        if column.dictionary_page_offset is not None:
            first = min(first, column.dictionary_page_offset)
        stored = column.total_compressed_size
        if first < 0 or stored < 0 or first + stored > size or column.num_values < 0:
            raise _RefusedError(
                f"damaged Parquet: the footer declares {stored:,} bytes of {column.num_values:,} "
                f"values at {first:,} in a file of {size:,} bytes"
            )
        width = _WIDTHS.get(column.physical_type, 0)
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
            width = parquet.schema.column(c).length
        decoded_bytes += column.num_values * (width + _LEVELS)
        if not width:
            decoded_bytes += max(0, column.total_uncompressed_size)
    return decoded_bytes / max(1, group.num_rows)


def _open(file: Any) -> pq.ParquetFile:
    """A Parquet file with all its strings and bytes as dictionaries."""
    parquet = pq.ParquetFile(file)
    columns = [
        k
        for k, column in enumerate(map(parquet.schema.column, range(len(parquet.schema))))
        if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
    ]
    return pq.ParquetFile(
        file, metadata=parquet.metadata, read_dictionary=columns, buffer_size=_BUFFER,
        coerce_int96_timestamp_unit="us", arrow_extensions_enabled=True,
    )  # fmt: skip


def read(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    """The records of a chunk of row groups in order, and what could not be read."""
    memory = DECODER_BYTES + 8 * settings.max_record_bytes
    with storage.open_input(file.uri) as f:
        try:
            with address_space.at_most(memory):
                parquet = _open(f)
            rows = [parquet.metadata.row_group(g).num_rows for g in range(chunk.start, chunk.stop)]
        except (OSError, MemoryError, ValueError) as error:  # Arrow's own are of these
            yield from _unread(_Chunk(file, settings, chunk.first, 0), 1, _said(error))
            return
        packed = [
            group.column(c).total_compressed_size
            for group in map(parquet.metadata.row_group, range(chunk.start, chunk.stop))
            for c in range(group.num_columns)
        ]
        left = max(FREE_BYTES, EXPANSION * min(sum(packed), file.bytes))
        at = _Chunk(file, settings, chunk.first, left)
        for g, n in zip(range(chunk.start, chunk.stop), rows, strict=True):
            stop = at.position + n
            try:
                yield from _row_group(parquet, g, at, memory)
            except _RefusedError as refused:
                reason = str(refused)
            except (OSError, MemoryError, ValueError) as error:
                reason = _said(error)
            else:
                reason = "damaged Parquet: the row group ends early"
            yield from _unread(at, stop - at.position, reason)
            at.position = stop


def _said(error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, MemoryError):
        return f"needs more memory than a file may have: {first}"
    return f"damaged Parquet: {first}"


def _unread(at: _Chunk, rows: int, reason: str) -> Iterator[Window]:
    """Rows that can't be had, each as one; all as one where the file can't even hold so many."""
    if rows > at.file.bytes:
        reason, rows = f"{reason} ({rows:,} rows)", 1
    for k in range(0, rows, ROWS_A_WINDOW):
        bad = [(at.position + n, b"", reason, 0) for n in range(k, min(rows, k + ROWS_A_WINDOW))]
        yield Window(RECORD.empty_table(), lost(at.file.source, bad))


def _row_group(parquet: pq.ParquetFile, g: int, at: _Chunk, memory: int) -> Iterator[Window]:
    """The records of a row group.

    Raises:
        _RefusedError: it declares what can't be, or stands for too much.
        OSError, ValueError, MemoryError: it can't be decoded.
    """
    limit = at.settings.max_record_bytes
    row_bytes = _row_bytes(parquet, g, at.file.bytes)
    if row_bytes > max(limit, WINDOW_BYTES):
        raise _RefusedError(
            f"records of about {row_bytes:,.0f} bytes, more than input.max_record_bytes"
        )
    size = int(max(1, min(ROWS_A_WINDOW, WINDOW_BYTES // max(1, row_bytes))))
    batches = parquet.iter_batches(size, [g], use_threads=False)
    while True:
        with address_space.at_most(memory):
            batch = next(batches, None)
        if batch is None:
            return
        sizes = sum((sizes_of(c) for c in batch.columns), np.zeros(batch.num_rows, np.int64))
        at.left -= int(np.maximum(sizes, ROW_BYTES).sum())
        if at.left < 0:
            raise _RefusedError(
                f"stands for more than {EXPANSION:,} times its bytes: write it with less repetition"
            )
        for begin, end in cuts(np.where(sizes > limit, 0, sizes)):
            part = batch.slice(begin, end - begin)
            yield _from_batch(part, sizes[begin:end], at)
            at.position += end - begin


def sizes_of(values: pa.Array) -> Sizes:
    """(N,) bytes that the values of an array stand for, dictionaries expanded."""
    kind, n = values.type, len(values)
    if pt.is_dictionary(kind):
        each = np.append(sizes_of(values.dictionary), 0)
        return each[pc.fill_null(values.indices.cast(pa.int64()), each.size - 1).to_numpy()]
    if isinstance(kind, pa.BaseExtensionType):
        return sizes_of(values.storage)
    if pt.is_map(kind):
        ends = values.offsets.to_numpy().astype(np.int64)
        first, number = int(ends[0]), int(ends[-1] - ends[0])
        inner = sizes_of(values.keys.slice(first, number))
        inner = inner + sizes_of(values.items.slice(first, number))
        return np.diff(np.append(0, np.cumsum(inner))[ends - first])
    if pt.is_struct(kind):
        fields = (sizes_of(values.field(k)) for k in range(kind.num_fields))
        return sum(fields, np.zeros(n, np.int64))
    if pt.is_nested(kind) and not pt.is_union(kind):
        count = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
        ends = np.append(0, np.cumsum(count))
        return np.diff(np.append(0, np.cumsum(sizes_of(values.flatten())))[ends])
    if arrow_json.is_text(kind):
        return pc.fill_null(pc.binary_length(values), 0).to_numpy().astype(np.int64)
    return np.full(n, 8, np.int64)


def cuts(sizes: Sizes) -> Iterator[tuple[int, int]]:
    """(begin, end) of consecutive rows of about WINDOW_BYTES in all, at least one row each."""
    total = np.cumsum(sizes)
    begin = before = 0
    while begin < sizes.size:
        end = int(np.searchsorted(total, before + WINDOW_BYTES, "right"))
        end = max(end, begin + 1)
        yield begin, end
        begin, before = end, int(total[end - 1])


def _names(schema: pa.Schema) -> list[str]:
    """The names of all columns, of which one that isn't UTF-8 is called by its number."""
    names = []
    for k in range(len(schema)):
        try:
            names.append(schema.field(k).name)
        except UnicodeDecodeError:
            names.append(f"column_{k}")
    return arrow_json.unique(names)


def _from_batch(batch: pa.RecordBatch, sizes: Sizes, at: _Chunk) -> Window:
    """The records of some rows; `sizes` are their bytes."""
    limit, n = at.settings.max_record_bytes, batch.num_rows
    names, columns = _names(batch.schema), list(batch.columns)
    text: pa.Array = pa.nulls(n, pa.binary())
    name = at.settings.fields.get("text", "text")
    length = np.zeros(n, np.int64)
    if name in names and arrow_json.is_text(columns[names.index(name)].type):
        k = names.index(name)
        text = columns.pop(k)
        names.pop(k)
        length = sizes_of(text)
    position = at.position + np.arange(n)
    bad: list[tuple[int, bytes, str, int]] = []
    for k in np.flatnonzero(sizes > limit).tolist():
        of = int(length[k]) if length[k] > limit else int(sizes[k])
        said = f"record of {of} bytes, more than input.max_record_bytes"
        bad.append((int(position[k]), _head(text[k]), said, of))
    rows = np.flatnonzero(sizes <= limit)
    if rows.size < n:
        take = pa.array(rows)
        text, columns = text.take(take), [c.take(take) for c in columns]
    text = arrow_json.as_binary(text)
    valid = valid_slices(*slices(pc.fill_null(text, b"")))
    repairs: dict[int, Counter[str]] = {}
    if not valid.all():
        values = text.to_pylist()
        for k in np.flatnonzero(~valid).tolist():
            if (found := decoded(values[k])) is None:
                head = values[k][:HEAD_BYTES]
                bad.append((int(position[rows[k]]), head, "not UTF-8", len(values[k])))
                continue
            values[k], repairs[k] = found[0].encode(), Counter(surrogate=found[1])
            valid[k] = True
        text = pa.array(values, pa.binary())
        place = np.cumsum(valid) - 1
        repairs = {int(place[k]): found for k, found in repairs.items()}
        if not valid.all():
            take = pa.array(valid)
            text, rows = text.filter(take), rows[valid]
            columns = [c.filter(take) for c in columns]
    records = from_columns(
        text.cast(pa.string()),
        arrow_json.objects(names, columns, rows.size),
        position[rows],
        at.file.source,
        at.settings,
        named=repairs,
    )
    return Window(records, lost(at.file.source, sorted(bad)))


def _head(value: pa.Scalar) -> bytes:
    """The first bytes of a text, which is not expanded for it."""
    if isinstance(value, pa.DictionaryScalar):
        value = value.value
    if isinstance(value, pa.ExtensionScalar):
        value = value.value
    if not value.is_valid:
        return b""
    return bytes(value.as_buffer()[:HEAD_BYTES])
