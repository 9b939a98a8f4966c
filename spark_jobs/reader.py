"""Reads a chunk of an input file as windows of records, in memory that the file can't stretch."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import storage
from headrace.spark_jobs import parquet_reader
from headrace.spark_jobs.inventory_job import Chunk, InputFile
from headrace.spark_jobs.kernels.lines import (
    HEAD_BYTES,
    WINDOW_BYTES,
    Block,
    Cutter,
    DamagedError,
    Lost,
)
from headrace.spark_jobs.records import (
    RECORD,
    Window,
    from_columns,
    from_lines,
    lost,
)
from headrace.spark_jobs.settings import InputSettings

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_NONE = RECORD.empty_table()


def read(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    """The records of a chunk in order, and between them what could not be read.

    Raises:
        InputError: the file changed since the inventory was taken.
    """
    if file.error:
        yield Window(_NONE, lost(file.source, [(1, b"", file.error, file.bytes)]))
        return
    file.check()
    readers = {"lines": _lines, "text": _text, "parquet": parquet_reader.read, "warc": _warc}
    position = chunk.first
    try:
        for window in readers[file.kind](file, chunk, settings):
            seen = [t["position"] for t in (window.records, window.lost) if t.num_rows]
            position = max([position, *(pc.max(numbers).as_py() + 1 for numbers in seen)])
            yield window
    except MemoryError as error:  # of the worker's limit; what was read before it counts
        said = f"needs more memory than a worker may have: {error or 'no more is to be had'}"
        yield Window(_NONE, lost(file.source, [(position, b"", said, 0)]))


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


def _warc(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    from headrace.spark_jobs.web_archive import documents

    texts: list[bytes] = []
    rest: list[str] = []
    position: list[int] = []
    size = 0

    def window(bad: list[tuple[int, bytes, str, int]]) -> Window:
        table = from_columns(
            pa.array(texts, pa.binary()).cast(pa.string()),
            pa.array(rest, pa.string()),
            np.array(position, np.int64),
            file.source,
            settings,
        )
        texts.clear()
        rest.clear()
        position.clear()
        return Window(table, lost(file.source, bad))

    with storage.open_input(file.uri) as f:
        for document in documents(f, settings.max_record_bytes):
            if document.error:
                yield window(
                    [(document.position, document.text[:HEAD_BYTES], document.error, document.size)]
                )
                size = 0
                continue
            texts.append(document.text)
            rest.append(json.dumps(document.fields, ensure_ascii=False))
            position.append(document.position)
            size += document.size
            if size >= WINDOW_BYTES:
                yield window([])
                size = 0
    yield window([])
