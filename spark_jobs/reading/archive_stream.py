"""The content of a WARC file whatever packs it: nothing, gzip or zstd, a part per record or one.

A damaged part ends that part alone: the next one is looked for behind it. Parts that are packed in
different ways may follow each other. The dictionary of a `.warc.zst` stands in its first frame
(https://iipc.github.io/warc-specifications/specifications/warc-zstd).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from zstandard import ZstdCompressionDict

BLOCK = 1 << 20
"""Most bytes that are given out at a time."""
ZSTD_WINDOW = 1 << 31
"""`zstd --long=31` makes such windows; only what a frame really holds takes memory."""
_READ = 1 << 18
_FEED = 1 << 14
_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_MAX_DICTIONARY = 64 << 20
_BEGINNING = re.compile(rb"\x1f\x8b\x08|\x28\xb5\x2f\xfd")
_PROBE = 4096
_LOOK_BACK = 1 << 17
"""Bytes before damage in which the next part is searched: one that was cut off runs into it."""
_MOST_LOOKS_BACK = 1000
"""So often per file, so that one full of false beginnings can't be read over and over."""


@dataclass(frozen=True)
class Boundary:
    """The end of a packed part."""

    error: str = ""
    """Why the rest of it can't be had."""


@dataclass(frozen=True)
class Piece:
    """Bytes of the content."""

    data: bytes
    plain: bool
    """Whether they aren't packed."""


def is_packed(data: bytes | bytearray) -> bool:
    """Whether data begins as a packed part does."""
    return data.startswith((_GZIP, _ZSTD)) or _SKIPPABLE.match(data) is not None


class ArchiveStream:
    """Reads a binary file piece by piece, with a `Boundary` after each packed part."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._raw = b""
        self._at = 0
        """Where in `_raw` what isn't read yet begins."""
        self._plain = False
        """Whether what is read now isn't packed: only its reader knows where it ends."""
        self._seen = bytearray()
        """The end of what was read of the part."""
        self._looks_back = 0
        self._dictionary: ZstdCompressionDict | None = None
        self._part: Iterator[Piece | Boundary] = iter(())

    def next(self) -> Piece | Boundary | None:
        """Return the next piece, None at the end of the file."""
        while (piece := next(self._part, None)) is None and self._fill(1):
            if self._plain:
                return Piece(self._take(len(self._raw)), True)
            self._fill(8)
            if self._raw.startswith(_GZIP, self._at):
                self._part = self._packed(self._gzip)
            elif self._raw.startswith(_ZSTD, self._at):
                self._part = self._packed(self._zstd)
            elif _SKIPPABLE.match(self._raw, self._at):
                if (error := self._skippable()) is not None:
                    return Boundary(error)
            else:
                self._plain = True
        return piece

    def unread(self, data: bytes) -> None:
        """Give back bytes that weren't packed and turn out to begin a packed part."""
        self._raw, self._at = data + self._raw[self._at :], 0
        self._plain = False

    def _fill(self, size: int) -> bool:
        """Whether so many bytes are there to be read."""
        while len(self._raw) - self._at < size and (block := self._file.read(_READ)):
            self._raw, self._at = self._raw[self._at :] + block, 0
        return len(self._raw) - self._at >= size

    def _take(self, size: int) -> bytes:
        """At most so many bytes of those that are there."""
        data = self._raw[self._at : self._at + size]
        self._at += len(data)
        return data

    def _take_packed(self, size: int) -> bytes:
        data = self._take(size)
        del self._seen[:-_LOOK_BACK]
        self._seen += data
        return data

    def _give_back(self, size: int) -> None:
        """Give back the last bytes of a part."""
        self._at -= size
        del self._seen[len(self._seen) - size :]

    def _packed(self, unpack: Callable[[], Iterator[bytes]]) -> Iterator[Piece | Boundary]:
        self._seen.clear()
        try:
            for data in unpack():
                if data:
                    yield Piece(data, False)
        except _DamagedError as damage:
            yield Boundary(str(damage))
            self._looks_back += 1
            if self._looks_back <= _MOST_LOOKS_BACK:
                self.unread(bytes(self._seen))
            self._find_next()
            return
        yield Boundary()
        while self._fill(1) and not self._raw[self._at]:  # padding between members
            self._at += 1

    def _gzip(self) -> Iterator[bytes]:
        member = zlib.decompressobj(31)
        while self._fill(1):
            packed = self._take_packed(_FEED)
            before = member.copy()
            try:
                out = member.decompress(packed, BLOCK)
            except zlib.error as error:
                self._give_back(len(packed))
                yield from _rescued(before, packed)
                raise _DamagedError(f"damaged gzip: {error}") from None
            self._give_back(len(member.unconsumed_tail) + len(member.unused_data))
            yield out
            if member.eof:
                return
        if rest := member.flush():
            yield rest
        raise _DamagedError("truncated gzip: the file ends before its data does")

    def _zstd(self) -> Iterator[bytes]:
        import zstandard

        frame = zstandard.ZstdDecompressor(
            dict_data=self._dictionary, max_window_size=ZSTD_WINDOW
        ).decompressobj()
        while self._fill(1):
            # A kilobyte can't grow beyond 32 MB, a quarter of a megabyte could fill the memory.
            packed = self._take_packed(1024)
            try:
                out = frame.decompress(packed)
            except zstandard.ZstdError as error:
                self._give_back(len(packed))
                raise _DamagedError(f"damaged zstd: {error}") from None
            self._give_back(len(frame.unused_data))
            for at in range(0, len(out), BLOCK):
                yield out[at : at + BLOCK]
            if frame.eof:
                return
        raise _DamagedError("truncated zstd: the file ends before its data does")

    def _skippable(self) -> str | None:
        """Pass over a frame that holds no data, or the dictionary; what is wrong with it, if so."""
        import zstandard

        magic, size = self._take(4), int.from_bytes(self._take(4), "little")
        if magic != _DICTIONARY or self._dictionary is not None:
            while size and self._fill(1):
                size -= len(self._take(size))
            return "truncated zstd: the file ends before its data does" if size else None
        if size > _MAX_DICTIONARY or not self._fill(size):
            self._find_next()
            return "damaged zstd: the file's dictionary isn't whole"
        content = self._take(size)
        try:
            if content.startswith(_ZSTD):
                content = zstandard.ZstdDecompressor().decompress(content, _MAX_DICTIONARY)
            self._dictionary = zstandard.ZstdCompressionDict(content)
        except (zstandard.ZstdError, ValueError, MemoryError) as error:
            return f"damaged zstd: the file's dictionary can't be read: {error}"
        return None

    def _find_next(self) -> None:
        """Leave out what comes before the next packed part that begins with a record."""
        self._at += 1
        while self._fill(1):
            found = _BEGINNING.search(self._raw, self._at)
            if found is None:
                self._at = max(self._at, len(self._raw) - 3)
                if not self._fill(4):
                    break
                continue
            self._at = found.start()
            self._fill(_PROBE)
            if self._begins_a_record(self._raw[self._at : self._at + _PROBE]):
                return
            self._at += 1
        self._raw, self._at = b"", 0

    def _begins_a_record(self, probe: bytes) -> bool:
        import zstandard

        try:
            if probe.startswith(_GZIP):
                head = zlib.decompressobj(31).decompress(probe, 64)
            else:
                reader = zstandard.ZstdDecompressor(
                    dict_data=self._dictionary, max_window_size=ZSTD_WINDOW
                ).stream_reader(probe)
                head = reader.read(64)
        except (zlib.error, zstandard.ZstdError):
            return False
        return head.lstrip().startswith(b"WARC/")


class _DamagedError(Exception):
    """The rest of a packed part can't be had."""


def _rescued(member: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Yield what can be unpacked before the damage."""
    for byte in packed:
        try:
            yield member.decompress(bytes([byte]))
        except zlib.error:
            return
