"""Reads a chunk of an input file as windows of records, in memory that the file can't stretch."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import storage
from headrace.infra.files.unpack import DamagedError, unpacked
from headrace.spark_jobs.inputs import UNPACKED, Chunk, InputFile
from headrace.spark_jobs.kernels.elements import elements
from headrace.spark_jobs.kernels.lines import HEAD_BYTES, WINDOW_BYTES, Block, Cutter, Lost
from headrace.spark_jobs.reading import parquet_reader, table_reader
from headrace.spark_jobs.reading.content import encoding_of
from headrace.spark_jobs.reading.records import (
    RECORD,
    Window,
    from_columns,
    from_lines,
    lost,
)
from headrace.spark_jobs.settings import InputSettings

if TYPE_CHECKING:
    from headrace.spark_jobs.reading.web_archive import Document

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_NONE = RECORD.empty_table()


@dataclass
class Tally:
    """Bytes of text, as they are once they are unpacked: what was there, and what of it is lost.

    Where they can't be counted (columns, what can't be unpacked) they are estimated.
    """

    bytes: int = 0
    lost: int = 0


def read(
    file: InputFile, chunk: Chunk, settings: InputSettings, tally: Tally | None = None
) -> Iterator[Window]:
    """Yield the records of a chunk in order, and between them what could not be read.

    Args:
        file: of the inventory.
        chunk: of the file.
        settings: how input is read.
        tally: what is added to, once all windows are taken.

    Raises:
        InputError: the file changed since the inventory was taken.
    """
    tally = Tally() if tally is None else tally
    if file.error:
        tally.bytes += file.weight
        tally.lost += file.weight
        yield Window(_NONE, lost(file.source, [(1, _head(file), file.error, file.bytes)]))
        return
    file.check()
    stream = _Stream(file, chunk)
    if file.kind in _STREAMED:
        windows = _STREAMED[file.kind](stream, settings)
    else:
        windows = _BY_THEMSELVES[file.kind](file, chunk, settings)
    rows = measured = unmeasured = 0
    for window in _within_memory(windows, file, chunk):
        rows += window.records.num_rows + window.lost.num_rows
        measured += pc.sum(window.lost["bytes"]).as_py() or 0
        unmeasured += window.lost["bytes"].to_pylist().count(0)
        yield window
    size = stream.size or chunk.weight
    tally.bytes += size
    # A record of unknown length counts as much as the average.
    tally.lost += min(size, measured + (stream.unread or unmeasured * size // max(1, rows)))


def _within_memory(windows: Iterator[Window], file: InputFile, chunk: Chunk) -> Iterator[Window]:
    """Yield the windows up to where a worker's memory ends, then what is unreadable for it."""
    position = chunk.first
    try:
        for window in windows:
            seen = [t["position"] for t in (window.records, window.lost) if t.num_rows]
            position = max([position, *(pc.max(numbers).as_py() + 1 for numbers in seen)])
            yield window
    except MemoryError as error:  # of the worker's limit; what was read before it counts
        reason = f"needs more memory than a worker may have: {error or 'no more is to be had'}"
        yield Window(_NONE, lost(file.source, [(position, b"", reason, 0)]))


def _head(file: InputFile) -> bytes:
    """Return the first bytes of a file that can't be read, as far as there are any."""
    try:
        with storage.open_binary(file.uri) as f:
            return bytes(f.read(HEAD_BYTES))
    except OSError:
        return b""


class _Stream:
    """The content of a chunk as UTF-8 with line feeds, and how much of it there was."""

    def __init__(self, file: InputFile, chunk: Chunk) -> None:
        self.file, self.chunk = file, chunk
        self.size = 0
        """Bytes that came out, and about as many as would have, had they not been damaged."""
        self.unread = 0
        """About how many bytes lie behind the damage."""

    def blocks(self) -> Iterator[bytes]:
        """Yield the content piece by piece.

        Raises:
            DamagedError: after all of it that can be read.
        """
        file, chunk = self.file, self.chunk
        with storage.open_binary(file.uri) as f:
            blocks = unpacked(f, file.codec) if file.codec else _range(f, chunk.start, chunk.stop)
            if file.encoding:
                blocks = _recoded(blocks, file.encoding)
            if file.ending == "\r":
                blocks = (block.replace(b"\r", b"\n") for block in blocks)
            if file.kind == "array":
                blocks = elements(blocks)
            try:
                for block in blocks:
                    self.size += len(block)
                    yield block
            except DamagedError as damage:
                share = self.size / damage.used if self.size and damage.used else UNPACKED
                self.unread = int(damage.left * share)
                self.size += self.unread
                raise


def content_of(file: InputFile, chunk: Chunk) -> Iterator[bytes]:
    """Return the content of a file or of a part of one, as `read` takes its records from.

    Raises:
        DamagedError: after all of it that can be read.
    """
    return _Stream(file, chunk).blocks()


def _range(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (block := file.read(min(_BLOCK, stop - start))):
        yield block
        start += len(block)


def _recoded(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """UTF-16 or UTF-32 as UTF-8; half a surrogate pair passes, and is no UTF-8 where it arrives."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for block in blocks:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        raise DamagedError(f"damaged {encoding.upper()}: {error.reason}") from None


def _lines(stream: _Stream, settings: InputSettings) -> Iterator[Window]:
    source = stream.file.source
    cutter = Cutter(stream.chunk.first, settings.max_record_bytes)
    for piece in cutter.cut(stream.blocks()):
        if isinstance(piece, Lost):
            one = (piece.position, piece.head, piece.error, piece.length)
            yield Window(_NONE, lost(source, [one]))
        elif isinstance(piece, Block):
            marked = piece.first == 1 and piece.data.startswith(_BOM)
            yield from_lines(piece, source, settings, len(_BOM) if marked else 0)


def _document(stream: _Stream, settings: InputSettings) -> tuple[bytes, str]:
    """Return (a whole file as one document, why it can't be read)."""
    parts: list[bytes] = []
    try:
        for block in stream.blocks():
            parts.append(block)
            if stream.size > settings.max_record_bytes:
                stream.size = max(stream.size, stream.file.weight)
                return b"".join(parts), "document is longer than input.max_record_bytes"
    except DamagedError as damage:
        return b"".join(parts), str(damage)
    return b"".join(parts), ""


def _table(stream: _Stream, settings: InputSettings) -> Iterator[Window]:
    file = stream.file
    yield from table_reader.read(stream.blocks(), file.uri, file.source, settings)


def _unreadable(stream: _Stream, data: bytes, error: str) -> Window:
    """Return a whole file that is lost; what lies behind a damage is counted where that is."""
    size = stream.size - stream.unread
    return Window(_NONE, lost(stream.file.source, [(1, data[:HEAD_BYTES], error, size)]))


def _text(stream: _Stream, settings: InputSettings) -> Iterator[Window]:
    """Yield a whole file as one document."""
    data, error = _document(stream, settings)
    if not error and b"\0" in data:
        error = "a binary file, not text"
    if not error:
        try:
            text = data.removeprefix(_BOM).decode("utf-8")
        except UnicodeDecodeError:
            error = ", ".join(filter(None, ("not UTF-8", encoding_of(data))))
    if error:
        yield _unreadable(stream, data, error)
        return
    one, source = np.ones(1, np.int64), stream.file.source
    table = from_columns(pa.array([text], pa.string()), pa.array(["{}"]), one, source, settings)
    yield Window(table, lost(source, []))


def _html(stream: _Stream, settings: InputSettings) -> Iterator[Window]:
    """Yield the main text of a page, as of the pages of web archives."""
    from headrace.spark_jobs.reading import web_archive

    data, error = _document(stream, settings)
    if not error:
        try:
            page = web_archive.read_page(data)
        except ImportError:
            raise  # the installation is incomplete; no page is at fault
        except Exception as fault:  # whatever a page does to a library, the next one is read
            error = web_archive.fault(fault)
    if error:
        yield _unreadable(stream, data, error)
        return
    source = stream.file.source
    yield Window(_of_documents([page], source, settings), lost(source, []))


def _of_documents(found: Sequence[Document], source: str, settings: InputSettings) -> pa.Table:
    """RECORD of the documents of a page or of a web archive."""
    return from_columns(
        pa.array([d.text for d in found], pa.binary()).cast(pa.string()),
        pa.array([json.dumps(d.fields, ensure_ascii=False) for d in found], pa.string()),
        np.array([d.position for d in found], np.int64),
        source,
        settings,
        pa.array([d.repairs for d in found], pa.int32()),
    )


def _warc(file: InputFile, chunk: Chunk, settings: InputSettings) -> Iterator[Window]:
    from headrace.spark_jobs.reading.web_archive import documents

    read: list[Document] = []
    size = 0

    def window(bad: list[tuple[int, bytes, str, int]]) -> Window:
        table = _of_documents(read, file.source, settings)
        read.clear()
        return Window(table, lost(file.source, bad))

    with storage.open_binary(file.uri) as f:
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


_STREAMED: dict[str, Callable[[_Stream, InputSettings], Iterator[Window]]] = {
    "lines": _lines,
    "array": _lines,
    "table": _table,
    "text": _text,
    "html": _html,
}
_BY_THEMSELVES: dict[str, Callable[[InputFile, Chunk, InputSettings], Iterator[Window]]] = {
    "parquet": parquet_reader.read,
    "warc": _warc,
}
"""Readers that open the file themselves: it is read at several places, or unpacked differently."""
