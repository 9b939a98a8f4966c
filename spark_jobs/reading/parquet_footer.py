"""The footer of a Parquet file, looked at before Arrow reads it.

Arrow builds nested types by recursion: a footer of a few hundred kilobytes that nests columns ten
thousand deep ends the process. So the schema is walked here first. A footer is a struct in
Thrift's compact protocol (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md), and its
schema the second field, a list of nodes in depth-first order (parquet.thrift, SchemaElement).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

MOST_LEVELS = 250
"""Levels of nested columns (a list is two). Arrow fails above some 5,000 on a stack of 8 MB, Python
at a few hundred."""
_MAGIC = b"PAR1"
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(
    13
)
_SCHEMA = 2
_CHILDREN = 5
_MOST_OPEN = 64
"""Levels of Thrift values in each other; a footer has less than ten."""


class _Reader:
    """Reads and skips values; raises IndexError where the bytes end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def varint(self) -> int:
        """Return the unsigned number that begins here."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def number(self) -> int:
        """Return the signed number that begins here (zigzag)."""
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def field(self, last: int) -> tuple[int, int]:
        """(id, type) of the field whose header begins here."""
        byte = self.data[self.at]
        self.at += 1
        kind = byte & 15
        if kind == _STOP:
            return 0, _STOP
        return (last + (byte >> 4) if byte >> 4 else self.number()), kind

    def items(self) -> tuple[int, int]:
        """Return (number, type) of the list whose header begins here."""
        byte = self.data[self.at]
        self.at += 1
        number = byte >> 4
        return (self.varint() if number == 15 else number), byte & 15

    def skip(self, kind: int, level: int = 0) -> None:
        """Pass over a value."""
        if level > _MOST_OPEN:
            raise IndexError
        if kind in (_I16, _I32, _I64):
            self.varint()
        elif kind == _BINARY:
            length = self.varint()
            self.at += length
        elif kind == _BYTE:
            self.at += 1
        elif kind == _DOUBLE:
            self.at += 8
        elif kind in (_LIST, _SET):
            number, inner = self.items()
            for _ in range(number):
                self.item(inner, level)
        elif kind == _MAP:
            number = self.varint()
            kinds = self.data[self.at] if number else 0
            self.at += bool(number)
            for _ in range(number):
                self.item(kinds >> 4, level)
                self.item(kinds & 15, level)
        elif kind == _STRUCT:
            last = 0
            while (found := self.field(last))[1] != _STOP:
                last = found[0]
                self.skip(found[1], level + 1)
        elif kind not in (_TRUE, _FALSE):
            raise IndexError

    def item(self, kind: int, level: int) -> None:
        """Pass over an item of a list or map, in which a truth value takes a byte."""
        if kind in (_TRUE, _FALSE):
            self.at += 1
            self.data[self.at - 1]
        else:
            self.skip(kind, level + 1)

    def children(self) -> int:
        """Return the number of children of the schema node that begins here."""
        children = last = 0
        while (found := self.field(last))[1] != _STOP:
            last, kind = found
            if last == _CHILDREN and kind == _I32:
                children = self.number()
            else:
                self.skip(kind)
        return children


def levels(footer: bytes) -> int:
    """How deep the columns of a footer are nested; it is not looked at deeper than MOST_LEVELS.

    Raises:
        ValueError: it is no footer.
    """
    reader = _Reader(footer)
    try:
        last = 0
        while (found := reader.field(last))[0] != _SCHEMA:
            last, kind = found
            if kind == _STOP:
                return 0
            reader.skip(kind)
        number, _ = reader.items()
        deepest, left = 0, list[int]()  # children that the open nodes still get
        for _ in range(number):
            while left and not left[-1]:
                left.pop()
            if left:
                left[-1] -= 1
            left.append(max(0, reader.children()))
            deepest = max(deepest, len(left))
            if deepest > MOST_LEVELS:
                break
    except IndexError:
        raise ValueError("a damaged footer") from None
    return deepest


def metadata(file: BinaryIO) -> pq.FileMetaData:
    """Return the metadata of an open Parquet file.

    Raises:
        OSError, pa.ArrowException: it is no Parquet file, or not one that may be read.
    """
    file.seek(0, 2)
    size = file.tell()
    file.seek(max(0, size - 8))
    end = file.read(8)
    if len(end) == 8 and end[4:] == _MAGIC:
        length = struct.unpack("<I", end[:4])[0]
        file.seek(max(0, size - 8 - length))
        try:
            deep = levels(file.read(min(length, size - 8)))
        except ValueError:
            deep = 0  # Arrow has better words for it
        if deep > MOST_LEVELS:
            raise pa.ArrowInvalid(f"columns nested deeper than {MOST_LEVELS} levels")
    file.seek(0)
    try:
        return pq.ParquetFile(file).metadata
    except UnicodeDecodeError:
        raise pa.ArrowInvalid("the name of a column is not UTF-8") from None
