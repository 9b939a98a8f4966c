"""Records of the row groups of a Parquet file, in memory that the file can't stretch.

A few hundred bytes of Parquet can stand for gigabytes: a value of a dictionary that millions of
rows repeat, a run of equal numbers, a footer that declares what isn't there. So

- strings of a small row group are read as dictionaries, and a batch is expanded in slices by the
  size of what it stands for; a record above `input.max_record_bytes` is never expanded;
- what a chunk may stand for is limited;
- decoding happens within a limit of the address space, since encodings, footers and page headers
  can lie; where that is reached, another way is tried, at last a few rows at a time.

What can't be read of a row group is unreadable, and the next row group is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import arrow, storage
from headrace.infra.files import address_space
from headrace.spark_jobs.inputs import Chunk, InputFile
from headrace.spark_jobs.kernels.lines import HEAD_BYTES, WINDOW_BYTES
from headrace.spark_jobs.kernels.utf8 import valid_slices
from headrace.spark_jobs.reading import arrow_json, parquet_footer
from headrace.spark_jobs.reading.json_members import slices
from headrace.spark_jobs.reading.json_repair import decoded
from headrace.spark_jobs.reading.records import RECORD, Window, from_columns, lost
from headrace.spark_jobs.settings import InputSettings

ROWS_A_WINDOW = 65_536
EXPANSION = 1000
"""Largest unpacked size per byte of a file; gzip reaches 1,032 at best."""
FREE_BYTES = 128 << 20
"""What a chunk may stand for in any case."""
ROW_BYTES = 64
"""What a row is taken to stand for at least: the work that it makes."""
DICTIONARY_BYTES = 64 << 20
"""A row group up to this size is read as dictionaries, and every one of a file up to it. Not a
larger one: Arrow keeps all that it saw of a row group in its dictionaries, repeated or not."""
DECODER_BYTES, DECODER_MOST = 512 << 20, 6 << 30
"""Address space that decoding may take in any case, and for a large file: eight times its bytes,
but not more than the second. A page may hold a thousand long records, and is in memory packed,
unpacked and decoded: 1,000 texts of 1 MB take 3.2 GB."""
_FEW_ROWS = 64
"""Rows of a batch where more take too much memory."""
_LEAST = 8
"""Bytes that a value takes at least when it is decoded, its levels included."""

_FAULTS = (OSError, MemoryError, ValueError, pa.ArrowException)
"""What Arrow raises over a file."""

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
    memory: int
    """Address space that decoding may take."""


class _Decoder:
    """A file's row groups as record batches, with strings and bytes as dictionaries or plain."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.metadata = parquet_footer.metadata(file)
        schema = self.metadata.schema
        columns = [schema.column(k) for k in range(len(schema))]
        self._texts = [
            k
            for k, column in enumerate(columns)
            if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
        ]
        self._fixed = sum(
            c.length or 0 for c in columns if c.physical_type == "FIXED_LEN_BYTE_ARRAY"
        ) + _LEAST * len(columns)

    def rows(self, g: int) -> int:
        """Rows of a row group."""
        return int(self.metadata.row_group(g).num_rows)

    def ways(self, g: int, size: int) -> list[tuple[bool, int]]:
        """(whether as dictionaries, rows of a batch): how to read a row group, the best way first.

        What the footer says of single columns isn't asked for: where that can't be, pyarrow ends
        the process. `size` is the file's.
        """
        group = self.metadata.row_group(g)
        row_bytes = self._fixed + max(0, group.total_byte_size) / max(1, group.num_rows)
        rows = int(max(1, min(ROWS_A_WINDOW, WINDOW_BYTES // max(1, row_bytes))))
        small = min(size, max(0, group.total_byte_size)) <= DICTIONARY_BYTES
        return [(small, rows), (not small, rows), (False, min(rows, _FEW_ROWS))]

    def batches(self, g: int, dictionaries: bool, rows: int) -> Iterator[pa.RecordBatch]:
        """Return the record batches of a row group."""
        open_file: Any = pq.ParquetFile  # its stub lacks the last argument, and columns by number
        parquet: pq.ParquetFile = open_file(
            self.file,
            metadata=self.metadata,
            coerce_int96_timestamp_unit="us",
            read_dictionary=self._texts if dictionaries else None,
            arrow_extensions_enabled=True,
        )
        return iter(parquet.iter_batches(rows, [g], use_threads=False))


def read(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    """Yield the records of a chunk of row groups in order, and what could not be read."""
    memory = DECODER_BYTES + min(DECODER_MOST, 8 * file.bytes) + 8 * settings.max_record_bytes
    at = _Chunk(file, settings, chunk.first, FREE_BYTES, memory)
    groups = range(chunk.start, chunk.stop)
    with storage.open_binary(file.uri) as f:
        try:
            with address_space.at_most(memory):
                decoder = _Decoder(f)
            rows = [decoder.rows(g) for g in groups]
        except _FAULTS as error:
            yield from _unread(at, 1, _reason(error))
            return
        share = min(1.0, sum(rows) / max(1, decoder.metadata.num_rows))
        at.left = max(FREE_BYTES, int(EXPANSION * file.bytes * share))
        for g, n in zip(groups, rows, strict=True):
            stop = at.position + max(1, n)
            reason = f"damaged Parquet: a row group that declares {n:,} rows ends early"
            try:
                yield from _row_group(decoder, g, at)
            except _RefusedError as refused:
                reason = str(refused)
            except _FAULTS as error:
                reason = _reason(error)
            if n:
                yield from _unread(at, stop - at.position, reason)
                at.position = max(at.position, stop)


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, MemoryError):
        return f"needs more memory than a file of its size may have: {first}"
    return f"damaged Parquet: {first}"


def _unread(at: _Chunk, rows: int, reason: str) -> Iterator[Window]:
    """Rows that can't be had, each as one; all as one where the file can't even hold so many."""
    if rows > at.file.bytes:
        reason, rows = f"{reason} ({rows:,} rows)", 1
    for k in range(0, rows, ROWS_A_WINDOW):
        bad = [(at.position + n, b"", reason, 0) for n in range(k, min(rows, k + ROWS_A_WINDOW))]
        yield Window(RECORD.empty_table(), lost(at.file.source, bad))


def _decoded(decoder: _Decoder, g: int, at: _Chunk) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a row group; where one way fails, the next one takes over.

    Raises:
        _FAULTS: it can't be decoded.
    """
    first = at.position
    for way in decoder.ways(g, at.file.bytes):
        had = at.position - first
        try:
            batches = decoder.batches(g, *way)
            while True:
                with address_space.at_most(at.memory):
                    batch = next(batches, None)
                if batch is None:
                    return
                skip = min(had, batch.num_rows)
                had -= skip
                if batch.num_rows > skip:
                    yield batch.slice(skip)
        except _FAULTS as error:
            # Arrow knows some encodings without dictionaries only.
            if not isinstance(error, MemoryError) and "Not yet implemented" not in str(error):
                raise
            fault = error
    raise fault


def _row_group(decoder: _Decoder, g: int, at: _Chunk) -> Iterator[Window]:
    """Yield the records of a row group.

    Raises:
        _RefusedError: it stands for too much.
        _FAULTS: it can't be decoded.
    """
    limit = at.settings.max_record_bytes
    for batch in _decoded(decoder, g, at):
        sizes = sum((sizes_of(c) for c in batch.columns), np.zeros(batch.num_rows, np.int64))
        expanded = np.where(sizes > limit, HEAD_BYTES, sizes)
        spent = np.cumsum(np.maximum(expanded, ROW_BYTES))
        fit = int(np.searchsorted(spent, at.left, "right"))
        at.left -= int(spent[-1])
        for begin, end in cuts(expanded[:fit]):
            window = _from_batch(batch.slice(begin, end - begin), sizes[begin:end], at)
            at.position += end - begin
            yield window
        if at.left < 0:
            raise _RefusedError(
                f"stands for more than {EXPANSION:,} times its bytes: write it with less repetition"
            )


def sizes_of(values: pa.Array[Any]) -> Sizes:
    """(N,) bytes that the values of an array stand for, dictionaries expanded."""
    n = len(values)
    if isinstance(values, pa.DictionaryArray):
        each = np.append(sizes_of(values.dictionary), 0)
        at = arrow.integers(values.indices, null=each.size - 1)
        # Arrow takes the indices as they stand in the file.
        if n and (at.min() < 0 or at.max() >= each.size - (not values.null_count)):
            raise pa.ArrowInvalid("an index beyond the dictionary")
        taken: Sizes = each[at]
        return taken
    if isinstance(values, pa.ExtensionArray):
        return sizes_of(values.storage)
    if isinstance(values, pa.MapArray):
        ends = values.offsets.to_numpy().astype(np.int64)
        first, number = int(ends[0]), int(ends[-1] - ends[0])
        keys = sizes_of(values.keys.slice(first, number))
        return _in_rows(keys + sizes_of(values.items.slice(first, number)), ends - first)
    if isinstance(values, pa.StructArray):
        fields = (sizes_of(values.field(k)) for k in range(values.type.num_fields))
        return sum(fields, np.zeros(n, np.int64))
    if isinstance(values, arrow_json.LISTS):
        ends = np.append(0, np.cumsum(arrow.integers(pc.list_value_length(values))))
        return _in_rows(sizes_of(values.flatten()), ends)
    if arrow_json.is_text(values.type):
        return arrow.byte_lengths(values)
    return np.full(n, 8, np.int64)


def _in_rows(sizes: Sizes, ends: Sizes) -> Sizes:
    """(N,) sums of the sizes of N rows of values; `ends` (N + 1,) begins with 0."""
    sums: Sizes = np.append(0, np.cumsum(sizes))[ends]
    return np.diff(sums)


def cuts(sizes: Sizes) -> Iterator[tuple[int, int]]:
    """(begin, end) of consecutive rows of about WINDOW_BYTES in all, at least one row each."""
    total = np.cumsum(sizes)
    begin = before = 0
    while begin < sizes.size:
        end = int(np.searchsorted(total, before + WINDOW_BYTES, "right"))
        end = max(end, begin + 1)
        yield begin, end
        begin, before = end, int(total[end - 1])


def _from_batch(batch: pa.RecordBatch, sizes: Sizes, at: _Chunk) -> Window:
    """Return the records of some rows; `sizes` are their bytes."""
    limit, n = at.settings.max_record_bytes, batch.num_rows
    names, columns = arrow_json.unique(batch.schema.names), list(batch.columns)
    text: pa.Array[Any] = pa.nulls(n, pa.binary())
    name = at.settings.fields.get("text", "text")
    length = np.zeros(n, np.int64)
    if name in names and arrow_json.is_text(columns[names.index(name)].type):
        k = names.index(name)
        text = columns.pop(k)
        names.pop(k)
        length = sizes_of(text)
    position = at.position + np.arange(n)
    bad: list[tuple[int, bytes, str, int]] = []
    long = np.flatnonzero(sizes > limit)
    for k, head in zip(long.tolist(), _heads(text.take(long)), strict=True):
        of = int(length[k]) if length[k] > limit else int(sizes[k])
        reason = f"record of {of} bytes, more than input.max_record_bytes"
        bad.append((int(position[k]), head, reason, of))
    rows = np.flatnonzero(sizes <= limit)
    if rows.size < n:
        text, columns = text.take(rows), [c.take(rows) for c in columns]
    texts = arrow_json.as_binary(text)
    valid = valid_slices(*slices(arrow.fill_null(texts, b"")))
    repairs: dict[int, Counter[str]] = {}
    if not valid.all():
        values = texts.to_pylist()
        for k in np.flatnonzero(~valid).tolist():
            raw = values[k] or b""
            if (found := decoded(raw)) is None:
                bad.append((int(position[rows[k]]), raw[:HEAD_BYTES], "not UTF-8", len(raw)))
                continue
            values[k], repairs[k] = found[0].encode(), Counter(surrogate=found[1])
            valid[k] = True
        texts = pa.array(values, pa.binary())
        place = np.cumsum(valid) - 1
        repairs = {int(place[k]): found for k, found in repairs.items()}
        if not valid.all():
            take = pa.array(valid)
            texts, rows = texts.filter(take), rows[valid]
            columns = [c.filter(take) for c in columns]
    records = from_columns(
        texts.cast(pa.string()),
        arrow_json.objects(names, columns, rows.size),
        position[rows],
        at.file.source,
        at.settings,
        named=repairs,
    )
    return Window(records, lost(at.file.source, sorted(bad)))


def _heads(text: pa.Array[Any]) -> list[bytes]:
    """Return the first bytes of texts, which are not expanded for it."""
    place = np.arange(len(text))
    if isinstance(text, pa.DictionaryArray):
        place = arrow.integers(text.indices, null=-1)
        text = text.dictionary
    data, start, stop = slices(arrow.fill_null(arrow_json.as_binary(text), b""))
    return [
        b"" if k < 0 else data[start[k] : min(stop[k], start[k] + HEAD_BYTES)].tobytes()
        for k in place.tolist()
    ]
