"""Reads a chunk of an input file as windows of records, in memory that the file can't stretch."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.spark_jobs.inventory_job import Chunk, InputFile
from headrace.spark_jobs.kernels.lines import (
    HEAD_BYTES,
    WINDOW_BYTES,
    Block,
    Cutter,
    DamagedError,
    Lost,
)
from headrace.spark_jobs.kernels.utf8 import valid_slices
from headrace.spark_jobs.records import (
    RECORD,
    Window,
    from_columns,
    from_lines,
    lost,
    query,
)
from headrace.spark_jobs.settings import InputSettings

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_NONE = RECORD.empty_table()
ROWS_A_WINDOW = 65_536


def read(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    """The records of a chunk in order, and between them what could not be read.

    Raises:
        InputError: the file changed since the inventory was taken.
    """
    if file.error:
        yield Window(_NONE, lost(file.source, [(1, b"", file.error, file.bytes)]))
        return
    file.check()
    readers = {"lines": _lines, "text": _text, "parquet": _parquet, "warc": _warc}
    yield from readers[file.kind](file, chunk, settings)


def _range(file: Any, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (block := file.read(min(_BLOCK, stop - start))):
        yield block
        start += len(block)


def _gunzip(file: Any) -> Iterator[bytes]:
    """The content of a gzip file, all its members one after another."""
    member, fresh, packed = zlib.decompressobj(31), True, b""
    while packed := packed or file.read(1 << 18):
        if fresh and not (packed := packed.lstrip(b"\0")):  # padding between members
            continue
        try:
            out = member.decompress(packed, _BLOCK)
        except zlib.error as error:
            raise DamagedError(f"damaged gzip: {error}") from None
        fresh = False
        if out:
            yield out
        packed = member.unconsumed_tail
        if member.eof:
            packed = member.unused_data
            member, fresh = zlib.decompressobj(31), True
    if not fresh:
        if rest := member.flush():
            yield rest
        raise DamagedError("truncated gzip: the file ends before its data does")


def _unzstd(file: Any) -> Iterator[bytes]:
    """The content of a zstd file, all its frames one after another."""
    import zstandard

    frame, fresh = zstandard.ZstdDecompressor().decompressobj(), True
    while block := file.read(1 << 18):
        # A kilobyte can't grow beyond 32 MB, a quarter of a megabyte could fill the memory.
        for at in range(0, len(block), 1024):
            packed = block[at : at + 1024]
            while packed:
                try:
                    out = frame.decompress(packed)
                except zstandard.ZstdError as error:
                    raise DamagedError(f"damaged zstd: {error}") from None
                fresh = False
                for k in range(0, len(out), _BLOCK):
                    yield out[k : k + _BLOCK]
                packed = frame.unused_data if frame.eof else b""
                if frame.eof:
                    frame, fresh = zstandard.ZstdDecompressor().decompressobj(), True
    if not fresh:
        raise DamagedError("truncated zstd: the file ends before its data does")


def _blocks(file: InputFile, chunk: Chunk, f: Any) -> Iterator[bytes]:
    unpack = {"gzip": _gunzip, "zstd": _unzstd}.get(file.codec)
    return unpack(f) if unpack else _range(f, chunk.start, chunk.stop)


def _lines(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    with storage.open_input(file.uri) as f:
        cutter = Cutter(chunk.first, settings.max_record_bytes)
        for piece in cutter.cut(_blocks(file, chunk, f)):
            if isinstance(piece, Lost):
                yield Window(_NONE, _lost(file, piece))
            elif isinstance(piece, Block):
                marked = piece.first == 1 and piece.data.startswith(_BOM)
                yield from_lines(piece, file.source, settings, len(_BOM) if marked else 0)


def _lost(file: InputFile, piece: Lost) -> pa.Table:
    return lost(file.source, [(piece.position, piece.head, piece.error, piece.length)])


def _text(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    """A whole file as one document."""
    parts: list[bytes] = []
    size, error = 0, ""
    with storage.open_input(file.uri) as f:
        try:
            for block in _blocks(file, chunk, f):
                size += len(block)
                if size > settings.max_record_bytes:
                    error = "document is longer than input.max_record_bytes"
                    break
                parts.append(block)
        except DamagedError as damage:
            error = str(damage)
    data = b"".join(parts)
    if not error and b"\0" in data:
        error = "a binary file, not text"
    if not error:
        try:
            text = data.removeprefix(_BOM).decode("utf-8")
        except UnicodeDecodeError:
            error = "not UTF-8"
    if error:
        yield Window(_NONE, lost(file.source, [(1, data[:HEAD_BYTES], error, size)]))
        return
    one = np.ones(1, np.int64)
    table = from_columns(
        pa.array([text], pa.string()), pa.array(["{}"]), one, file.source, settings
    )
    yield Window(table, lost(file.source, []))


def _parquet(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    position = chunk.first
    with storage.open_input(file.uri) as f:
        parquet = pq.ParquetFile(f)
        groups = range(chunk.start, chunk.stop)
        rows = sum(parquet.metadata.row_group(g).num_rows for g in groups)
        size = max(1, min(ROWS_A_WINDOW, WINDOW_BYTES * rows // max(1, chunk.weight)))
        read = 0
        try:
            for batch in parquet.iter_batches(size, groups, use_threads=False):
                yield _from_batch(pa.Table.from_batches([batch]), position, file, settings)
                position += batch.num_rows
                read += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            said = str(error).splitlines()[0]
            # The file says how many rows there are: each that can't be had is one.
            tail = [(position + k, b"", f"damaged Parquet: {said}", 0) for k in range(rows - read)]
            yield Window(_NONE, lost(file.source, tail))


def _strings(column: pa.ChunkedArray) -> pa.Array | None:
    """A text column as Arrow strings, None where it holds something else."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kinds = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary,
        pa.types.is_large_binary, pa.types.is_string_view,
    )  # fmt: skip
    if not any(is_kind(column.type) for is_kind in kinds):
        return None
    return column.cast(pa.binary()).combine_chunks()


def _as_json(column: pa.ChunkedArray) -> pa.Array:
    """A column of a type that DuckDB doesn't take, written value by value."""
    return pa.array([json.dumps(v, default=str, ensure_ascii=False) for v in column.to_pylist()])


def _rest(table: pa.Table) -> pa.Array:
    """The columns of a table as one JSON object a row."""
    if not table.num_columns:
        return pa.array(["{}"] * table.num_rows, pa.string())
    sql = "SELECT to_json(r)::VARCHAR AS json FROM rows AS r"
    try:
        return query(sql, rows=table)["json"].combine_chunks()
    except Exception:  # which types DuckDB refuses depends on its version
        plain = {n: _as_json(table[n]) for n in table.column_names}
        return query(sql, rows=pa.table(plain))["json"].combine_chunks()


def _from_batch(table: pa.Table, first: int, file: InputFile, settings: InputSettings) -> Window:
    name = settings.fields.get("text", "text")
    position = first + np.arange(table.num_rows)
    good = np.ones(table.num_rows, np.bool_)
    size = np.zeros(table.num_rows, np.int64)
    text: pa.Array = pa.nulls(table.num_rows, pa.binary())
    for column in table.column_names:
        values = _strings(table[column])
        if values is None:
            continue
        if column == name:
            text = values
            size = pc.fill_null(pc.binary_length(values), 0).to_numpy().astype(np.int64)
            table = table.drop_columns([column])
        good &= _valid(values)
    short = size <= settings.max_record_bytes
    bad = [
        (
            int(position[k]),
            (text[k].as_py() or b"")[:HEAD_BYTES],
            "not UTF-8"
            if short[k]
            else f"record of {size[k]} bytes, more than input.max_record_bytes",
            int(size[k]),
        )
        for k in np.flatnonzero(~(good & short))
    ]
    take = pa.array(good & short)
    records = from_columns(
        text.filter(take).cast(pa.string()),
        _rest(table.filter(take)),
        position[good & short],
        file.source,
        settings,
    )
    return Window(records, lost(file.source, bad))


def _valid(values: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(N,) whether each value is UTF-8; a null is."""
    offsets = np.frombuffer(values.buffers()[1], np.int32)
    offsets = offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
    buffer = values.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer else np.zeros(1, np.uint8)
    return valid_slices(data, offsets[:-1], offsets[1:])


def _warc(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    from headrace.spark_jobs.web_archive import Document, documents

    read: list[Document] = []
    size = 0

    def window(bad: list[tuple[int, bytes, str, int]]) -> Window:
        table = from_columns(
            pa.array([d.text for d in read], pa.binary()).cast(pa.string()),
            pa.array([json.dumps(d.fields, ensure_ascii=False) for d in read], pa.string()),
            np.array([d.position for d in read], np.int64),
            file.source,
            settings,
            pa.array([d.repairs for d in read], pa.int32()),
        )
        read.clear()
        return Window(table, lost(file.source, bad))

    with storage.open_input(file.uri) as f:
        for document in documents(f, settings.max_record_bytes):
            if document.error:
                yield window(
                    [(document.position, document.text[:HEAD_BYTES], document.error, document.size)]
                )
                size = 0
                continue
            read.append(document)
            size += document.size
            if size >= WINDOW_BYTES:
                yield window([])
                size = 0
    yield window([])
