"""The records of a WARC file (ISO 28500), each by itself: a bad one costs none of the others.

No kept reader does that: warcio ends at the first record that it can't read, and at the second of
an archive in one gzip member. Here a length is checked by what follows it; where it is wrong, the
record lasts until the next one's first line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from headrace.spark_jobs.reading.archive_stream import ArchiveStream, Boundary, Piece, is_packed

HEAD_BYTES = 4096
"""How much of what can't be read is kept to be shown."""
MAX_HEADERS = 1 << 16
_VERSION = b"WARC/"
_NEXT = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n(?:WARC|Content)-[A-Za-z-]+[ \t]*:", re.I)
"""The first line of a record, and the beginning of its headers."""
_NEXT_BYTES = 128
"""No match of it is longer than that."""
_HEADERS_END = re.compile(rb"\r?\n[ \t]*\r?\n")
_BLANK = b"\r\n \t\0"
_BLANKS = re.compile(rb"[\r\n \t\0]*")
_LENGTH = re.compile(r"\d{1,18}", re.A)


def _after_blanks(data: bytes | bytearray, at: int) -> int:
    """Where the blank bytes that begin at `at` end."""
    blanks = _BLANKS.match(data, at)
    return blanks.end() if blanks else at


@dataclass(frozen=True)
class Record:
    """A record, or where and why one can't be read."""

    position: int
    """1-based number of the record in the file."""
    headers: dict[str, str] = field(default_factory=dict)
    """By name in lower case; the first of a name counts. Of a record that is too long too."""
    content: bytes = b""
    """Its content; of a record that can't be read what is known of its beginning."""
    size: int = 0
    error: str = ""
    repaired: bool = False
    """Whether its length was wrong."""


def records(file: BinaryIO, limit: int) -> Iterator[Record]:
    """All records of a WARC file in their order.

    Args:
        file: a binary file; what packs it is seen from its bytes.
        limit: largest content that is read.
    """
    yield from _Framer(ArchiveStream(file), limit).records()


def parse_headers(block: bytes) -> dict[str, str]:
    """Header lines by their names in lower case, folded ones joined; the first of a name counts."""
    found: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if line[:1] in (b" ", b"\t"):
            if name:
                found[name] += " " + _text(line.strip())
            continue
        key, colon, value = line.partition(b":")
        name = _text(key.strip()).lower() if colon else ""
        if name in found:
            name = ""
        elif name:
            found[name] = _text(value.strip())
    return found


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class _Framer:
    """Cuts the content of an archive into records."""

    def __init__(self, stream: ArchiveStream, limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.ahead: list[Piece | Boundary | None] = []
        """Pieces that were looked at; None is the end of the file."""
        self.buffer = bytearray()
        self.at = 0
        """Where in the buffer what isn't read yet begins."""
        self.plain = False
        """Whether the buffer's end isn't packed."""
        self.position = 0

    def records(self) -> Iterator[Record]:
        while True:
            self.pass_blank()
            if self.left():
                yield self.record() if self.begins(self.at) else self.no_record()
            elif (boundary := self.peek()) is None:
                return
            else:
                self.ahead.pop(0)
                if isinstance(boundary, Boundary) and boundary.error:
                    yield self.lost(boundary.error)

    # The content before and in the buffer

    def peek(self, number: int = 0) -> Piece | Boundary | None:
        while len(self.ahead) <= number:
            self.ahead.append(self.stream.next())
        return self.ahead[number]

    def left(self) -> int:
        return len(self.buffer) - self.at

    def begins(self, at: int) -> bool:
        """Whether a record begins there."""
        return self.buffer.startswith(_VERSION, at)

    def more(self, missing: int = 0) -> bool:
        """Read on within a part, or where a record lasts beyond its part (as bgzip makes them).

        Args:
            missing: bytes that the record still lacks by its length.
        """
        while isinstance(boundary := self.peek(), Boundary):
            following = self.peek(1)
            if boundary.error or following is None:
                return False
            if isinstance(following, Piece) and following.data.startswith(_VERSION):
                rest = following.data[missing:].lstrip(_BLANK)
                if not missing or not rest.startswith(_VERSION):
                    return False
            self.ahead.pop(0)
        if boundary is None:
            return False
        self.ahead.pop(0)
        del self.buffer[: self.at]
        self.at = 0
        self.buffer += boundary.data
        self.plain = boundary.plain
        return True

    def pass_blank(self) -> None:
        """Pass over what stands between records."""
        while True:
            self.at = _after_blanks(self.buffer, self.at)
            if self.left() < 8 and isinstance(self.peek(), Piece) and self.more():
                continue
            if not (self.plain and is_packed(self.buffer[self.at : self.at + 8])):
                return
            rest = bytes(self.buffer[self.at :])
            while self.ahead:  # all of it isn't packed either, and not looked at as it has to be
                piece = self.ahead.pop(0)
                rest += piece.data if isinstance(piece, Piece) else b""
            self.stream.unread(rest)
            self.buffer.clear()
            self.at, self.plain = 0, False

    def lost(self, error: str, head: bytes = b"", size: int = 0) -> Record:
        self.position += 1
        return Record(self.position, {}, head[:HEAD_BYTES], size, error)

    def damage(self) -> str:
        """Why the content ends here, empty where nothing is wrong; passes over it."""
        boundary = self.peek()
        if isinstance(boundary, Boundary) and boundary.error:
            self.ahead.pop(0)
            return boundary.error
        return ""

    def find_next(self, most: int | None = None) -> int:
        """Go to where the next record begins, or the content ends; returns the bytes between.

        Args:
            most: a place not to go beyond, from here.
        """
        passed = 0
        while True:
            end = len(self.buffer) if most is None else self.at + most - passed
            found = _NEXT.search(self.buffer, self.at, end + _NEXT_BYTES)
            if found is not None and found.start() <= end:
                passed += found.start() - self.at
                self.at = found.start()
                return passed
            if end <= len(self.buffer) and most is not None:
                self.at = end
                return most
            step = max(0, self.left() - _NEXT_BYTES)
            passed, self.at = passed + step, self.at + step
            if not self.more():
                passed, self.at = passed + self.left(), len(self.buffer)
                return passed

    # Records

    def no_record(self) -> Record:
        """Return what stands where a record should begin."""
        head = bytes(self.buffer[self.at : self.at + HEAD_BYTES])
        size = self.find_next()
        return self.lost(self.damage() or "not a WARC record", head, size)

    def record(self) -> Record:
        """Return the record that begins here."""
        while (end := _HEADERS_END.search(self.buffer, self.at, self.at + MAX_HEADERS)) is None:
            if self.left() >= MAX_HEADERS or not self.more():
                return self.no_headers()
        headers = parse_headers(bytes(self.buffer[self.at : end.start()]))
        self.at = end.end()
        stated = headers.get("content-length", "")
        length = int(stated) if _LENGTH.fullmatch(stated) else None
        self.position += 1
        if length is not None and length > self.limit:
            return self.too_long(headers, length)
        while (missing := (length or 0) - self.left()) > 0 and self.more(missing):
            pass
        if length is not None and self.left() >= length and self.ends_after(length):
            content = bytes(self.buffer[self.at : self.at + length])
            self.at += length
            return Record(self.position, headers, content, length)
        return self.wrong_length(headers, length)

    def no_headers(self) -> Record:
        """Return a record whose headers have no end, so that any that start among them are lost."""
        head = bytes(self.buffer[self.at : self.at + HEAD_BYTES])
        size = self.left() if self.left() < MAX_HEADERS else MAX_HEADERS - HEAD_BYTES
        self.at += size
        size += self.find_next()
        error = self.damage() or "truncated archive: the headers of a record have no end"
        return self.lost(error, head, size)

    def ends_after(self, length: int) -> bool:
        """Whether the record's length is right: blank lines follow, then a record or the end."""
        while True:
            at = _after_blanks(self.buffer, self.at + length)
            if len(self.buffer) == at and not isinstance(boundary := self.peek(), Piece):
                return boundary is None or not boundary.error
            if len(self.buffer) - at >= 8 or not self.more():
                break
        rest = bytes(self.buffer[at : at + 8])
        return rest.startswith(_VERSION) or _VERSION.startswith(rest) or is_packed(rest)

    def wrong_length(self, headers: dict[str, str], length: int | None) -> Record:
        """Return a record that lasts until the next one's first line."""
        searched = 0
        while (found := _NEXT.search(self.buffer, self.at + searched)) is None:
            if self.left() > self.limit + MAX_HEADERS:
                return self.too_long(headers, None)
            searched = max(0, self.left() - _NEXT_BYTES)
            if not self.more():
                break
        end = found.start() if found else len(self.buffer)
        content = bytes(self.buffer[self.at : end])
        self.at = end
        error = ""
        if found is None:
            error = self.damage()
            if not error and self.peek() is None and len(content) < (length or 0):
                error = "truncated archive"
        if error:
            return Record(self.position, {}, content[:HEAD_BYTES], len(content), error)
        content = content.removesuffix(b"\r\n\r\n").removesuffix(b"\n\n")
        return Record(self.position, headers, content, len(content), repaired=True)

    def too_long(self, headers: dict[str, str], length: int | None) -> Record:
        """Return a record that isn't read: its beginning, to see what it is."""
        while self.left() < MAX_HEADERS and self.more():
            pass
        head = bytes(self.buffer[self.at : self.at + MAX_HEADERS])
        size = self.find_next(length)
        if error := self.damage():
            return Record(self.position, {}, head[: min(size, HEAD_BYTES)], size, error)
        error = f"record of {max(size, length or 0)} bytes, more than input.max_record_bytes"
        return Record(self.position, headers, head[:size], size, error)
