"""Records of a CSV or TSV file whose first row names a column for the text.

CSV is that of RFC 4180: commas, quotes doubled within quotes, line ends within quotes. TSV is that
of the media type: tabs, no quoting. A row with another number of fields than the first is
unreadable; a table without a text column is unreadable as a whole, for what its first row says may
as well be data.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import IO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from headrace.infra import arrow
from headrace.infra.files.unpack import DamagedError, Reader
from headrace.spark_jobs.kernels.lines import HEAD_BYTES, WINDOW_BYTES
from headrace.spark_jobs.reading import arrow_json
from headrace.spark_jobs.reading.json_members import Integers
from headrace.spark_jobs.reading.records import RECORD, Window, from_columns, lost
from headrace.spark_jobs.settings import InputSettings

_HEADER = 1 << 16
_SHOWN = 12
"""Columns that a message names."""


def header(head: bytes, separator: str) -> list[str]:
    """Return the fields of the first row; none where it is longer than the bytes given."""
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = io.StringIO(text, newline="")
    if separator == "\t":
        return lines.readline().rstrip("\r\n").split(separator)
    try:
        return next(csv.reader(lines, delimiter=separator), [])
    except csv.Error:
        return []


def separator_of(name: str) -> str:
    """Return what stands between the fields of a file of this name."""
    return "\t" if ".tsv" in name.lower() else ","


def read(
    blocks: Iterable[bytes], name: str, source: str, settings: InputSettings
) -> Iterator[Window]:
    """Yield the records of a table, and what could not be read; the row of names is no record.

    Args:
        blocks: the content.
        name: of the file.
        source: what stands in the column `source`.
        settings: how input is read.
    """
    table = _Table(source, settings, separator_of(name))
    stream = Reader(table.lines(blocks))
    head = stream.peek(_HEADER)
    names = header(head, table.separator)
    wanted = settings.fields.get("text", "text")
    if names.count(wanted) == 1:
        yield from table.rows(stream, names, names.index(wanted))
        return
    shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    kind = "TSV" if table.separator == "\t" else "CSV"
    error = f"{kind} without one column `{wanted}` (its first row: {shown[:300]})"
    yield Window(
        RECORD.empty_table(), lost(source, [(1, head[:HEAD_BYTES], error, drained(stream))])
    )


def drained(stream: Reader) -> int:
    """Bytes that are left in a stream."""
    return sum(map(len, iter(lambda: stream.read(WINDOW_BYTES), b"")))


class _Table:
    """The rows of a table, and where they are."""

    def __init__(self, source: str, settings: InputSettings, separator: str) -> None:
        self.source, self.settings, self.separator = source, settings, separator
        self.next = 0
        """Number of the next row; the row of names is the first, and number 0."""
        self.odd: list[tuple[int, bytes, str, int]] = []
        """Rows ahead that have another number of fields: (number, text, why, length)."""
        self.quotes = 0
        self.damage = ""
        self.tail = b""
        """What stands between the last whole line and the damage."""

    def lines(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks as UTF-8, up to the last line that a damage leaves whole."""
        try:
            for block in _marked(blocks):
                self.quotes += block.count(b'"')
                end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
                if end or len(self.tail) > WINDOW_BYTES:
                    yield self.tail + block[:end]
                    self.tail = b""
                self.tail += block[end:]
        except DamagedError as damage:
            self.damage = str(damage)
        else:
            yield self.tail
            self.tail = b""

    def rows(self, stream: Reader, names: list[str], text: int) -> Iterator[Window]:
        """Windows of records; their positions begin with 1 after the row of names."""
        quoted = self.separator != "\t"
        columns = [str(k) for k in range(len(names))]
        error = ""
        previous: pa.RecordBatch | None = None
        try:
            for batch in arrow_csv.open_csv(
                cast(IO[bytes], stream),
                arrow_csv.ReadOptions(
                    use_threads=False, block_size=WINDOW_BYTES, column_names=columns
                ),
                arrow_csv.ParseOptions(
                    delimiter=self.separator,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                    invalid_row_handler=self._skip,
                ),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=False,
                ),
            ):
                if previous is not None:
                    yield self._window(previous, names, text)
                previous = batch
        except pa.ArrowInvalid as invalid:
            error = f"damaged table: {str(invalid).splitlines()[0]}"
        open_quote = quoted and self.quotes % 2 and previous is not None and previous.num_rows
        if previous is not None:
            n = previous.num_rows - bool(open_quote)
            yield self._window(previous.slice(0, n), names, text)
        bad = list(self.odd)
        if previous is not None and open_quote:
            # Where a quote is never closed, the last row is all that follows it.
            row = _unmarked(",".join(column[-1].as_py() for column in previous.columns).encode())
            bad.append((max(1, self.next), row[:HEAD_BYTES], "a quote that isn't closed", len(row)))
        if error or self.damage:
            size = drained(stream) + len(self.tail)
            last = max([self.next - 1, 0, *(row[0] for row in bad)])
            bad.append((last + 1, self.tail[:HEAD_BYTES], error or self.damage, size))
        yield Window(RECORD.empty_table(), lost(self.source, bad))

    def _skip(self, row: arrow_csv.InvalidRow) -> Literal["skip"]:
        text = _unmarked(row.text.encode())
        why = f"a row of {row.actual_columns} fields, not {row.expected_columns} as the first"
        assert row.number is not None  # one thread reads
        self.odd.append((row.number - 1, text[:HEAD_BYTES], why, len(text)))
        return "skip"

    def _numbers(self, n: int) -> Integers:
        """(N,) numbers of the next `n` rows that were not skipped."""
        skipped = [row[0] for row in self.odd]
        numbers = np.arange(self.next, self.next + n + len(skipped))
        numbers = numbers[~np.isin(numbers, skipped)][:n]
        if n:
            self.next = int(numbers[-1]) + 1
        return numbers

    def _window(self, batch: pa.RecordBatch, names: list[str], text: int) -> Window:
        numbers = self._numbers(batch.num_rows)
        rows = numbers > 0
        before = [row for row in self.odd if row[0] < self.next]
        self.odd = self.odd[len(before) :]
        columns = [column.filter(pa.array(rows)) for column in batch.columns]
        position = numbers[rows]
        sizes = sum(map(arrow.byte_lengths, columns), np.zeros(position.size, np.int64))
        marks = [arrow.mask(pc.match_substring(c, _MARK)) for c in columns]
        valid = ~np.logical_or.reduce(marks)
        short = sizes <= self.settings.max_record_bytes
        bad = []
        for k in np.flatnonzero(~(valid & short)).tolist():
            row = _unmarked(columns[text][k].as_py().encode())[:HEAD_BYTES]
            why = f"record of {sizes[k]} bytes, more than input.max_record_bytes"
            bad.append((int(position[k]), row, "not UTF-8" if short[k] else why, int(sizes[k])))
        good = pa.array(valid & short)
        texts = [c.filter(good) for c in columns]
        # Two columns of one name are two fields.
        others = [k for k in range(len(names)) if k != text]
        labels = [f"{names[k]} ({k + 1})" if names[k] in names[:k] else names[k] for k in others]
        records = from_columns(
            texts[text], arrow_json.objects(labels, [texts[k] for k in others], len(texts[text])),
            position[valid & short], self.source, self.settings,
        )  # fmt: skip
        return Window(records, lost(self.source, sorted([*before, *bad])))


_MARK = "\ufdef"
"""Stands before each byte that is no UTF-8: Unicode keeps it free for such use within a program."""
_FOREIGN = re.compile("[\udc80-\udcff]")
_MARKED = re.compile(_MARK.encode() + rb"([\xc2\xc3][\x80-\xbf])")


def _marked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks as UTF-8: Arrow can't hand over a row that is anything else."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in blocks:
        yield _with_marks(decoder.decode(block))
    yield _with_marks(decoder.decode(b"", True))


def _with_marks(text: str) -> bytes:
    return _FOREIGN.sub(lambda m: f"{_MARK}{chr(ord(m[0]) - 0xDC00)}", text).encode()


def _unmarked(data: bytes) -> bytes:
    """Return the bytes that were there before."""
    return _MARKED.sub(lambda m: bytes([ord(m[1].decode())]), data)
