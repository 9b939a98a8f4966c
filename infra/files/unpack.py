"""Compressed files as streams, in memory that no file can stretch: gzip and zstd."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 20
"""Most bytes that are handed on at a time."""
LONGEST_WINDOW = 1 << 31
"""zstd's largest window (`zstd --long=31`): as much memory as that, where a frame fills it."""
_PIECE = 1 << 14
"""Compressed bytes of gzip that are unpacked at a time, and again one by one where they fail."""
_SMALL_PIECE = 1024
"""The same of zstd, which knows no limit of what comes out: a kilobyte grows to at most 32 MB."""
_READ = 1 << 18


class Source(Protocol):
    """What compressed bytes are read from: a file of Python or of pyarrow."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`."""

    def seek(self, offset: int, whence: int, /) -> int:
        """Go to another place."""

    def tell(self) -> int:
        """Return the place."""


class DamagedError(Exception):
    """A compressed stream ends early or can't be decompressed further.

    `used` and `left` are the compressed bytes before and after the damage.
    """

    def __init__(self, message: str, used: int = 0, left: int = 0) -> None:
        super().__init__(message)
        self.used, self.left = used, left


def codec_of(head: bytes) -> str:
    """How a file is compressed, by its first four bytes: gzip, zstd or ""."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    # pzstd and the seekable format begin with a frame that is skipped.
    skipped = head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F
    return "zstd" if skipped or head.startswith(b"\x28\xb5\x2f\xfd") else ""


def unpacked(file: Source, codec: str) -> Iterator[bytes]:
    """Return the content of a file in blocks of at most `BLOCK` bytes.

    Args:
        file: open for reading, at its start.
        codec: gzip or zstd.

    Raises:
        DamagedError: after all that could be unpacked.
    """
    return {"gzip": _gunzip, "zstd": _unzstd}[codec](file)


def _pieces(file: Source, size: int) -> Iterator[tuple[bytes, int]]:
    """(Compressed bytes, how many of the file there are after them)."""
    at = 0
    while block := file.read(_READ):
        for k in range(0, len(block), size):
            yield block[k : k + size], at + k
        at += len(block)


def _left(file: Source, used: int) -> int:
    """How many bytes of a file come after the first `used`."""
    file.seek(0, 2)
    return max(0, int(file.tell()) - used)


def _gunzip(file: Source) -> Iterator[bytes]:
    """All members of a gzip file one after another."""
    member, fresh, used = zlib.decompressobj(31), True, 0
    for piece, at in _pieces(file, _PIECE):
        packed = piece
        while packed:
            if fresh and not (packed := packed.lstrip(b"\0")):  # padding between members
                break
            before = member.copy()
            try:
                out = member.decompress(packed, BLOCK)
            except zlib.error as error:
                begin = at + len(piece) - len(packed)
                whole, good = _last_good(before, packed)
                for k in range(0, len(whole), BLOCK):
                    yield whole[k : k + BLOCK]
                used = begin + good
                raise DamagedError(f"damaged gzip: {error}", used, _left(file, used)) from None
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


def _last_good(member: zlib._Decompress, packed: bytes) -> tuple[bytes, int]:
    """Return what comes out before the damage, and how many of the compressed bytes that takes."""
    out = bytearray()
    for k in range(len(packed)):
        try:
            out += member.decompress(packed[k : k + 1])
        except zlib.error:
            return bytes(out), k
    return bytes(out), len(packed)


def _unzstd(file: Source) -> Iterator[bytes]:
    """All frames of a zstd file one after another."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=LONGEST_WINDOW)
    frame, fresh = unpacker.decompressobj(), True
    for piece, at in _pieces(file, _SMALL_PIECE):
        packed = piece
        while packed:
            try:
                out = frame.decompress(packed)
            except zstandard.ZstdError as error:
                used = at + len(piece) - len(packed)
                raise DamagedError(f"damaged zstd: {error}", used, _left(file, used)) from None
            fresh = False
            for k in range(0, len(out), BLOCK):
                yield out[k : k + BLOCK]
            packed = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame, fresh = unpacker.decompressobj(), True
    if not fresh:
        raise DamagedError("truncated zstd: the file ends before its data does")


class Reader(io.RawIOBase):
    """A stream of blocks as a file that is read once, from its start to its end."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        super().__init__()
        self._blocks = iter(blocks)
        self._ahead = memoryview(b"")
        self._damage: DamagedError | None = None

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def peek(self, size: int) -> bytes:
        """Return the next bytes, which stay to be read; fewer only before the end or a damage."""
        parts, have = [bytes(self._ahead)], len(self._ahead)
        try:
            while have < size and (block := next(self._blocks, None)) is not None:
                parts.append(block)
                have += len(block)
        except DamagedError as damage:
            self._damage = damage
        self._ahead = memoryview(b"".join(parts))
        return bytes(self._ahead[:size])

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer as far as a block goes; 0 at the end.

        Raises:
            DamagedError: the stream is damaged here.
        """
        while not self._ahead:
            if self._damage:
                raise self._damage
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._ahead = memoryview(block)
        room = memoryview(buffer).cast("B")
        n = min(len(room), len(self._ahead))
        room[:n] = self._ahead[:n]
        self._ahead = self._ahead[n:]
        return n
