"""Where the lines of a block of bytes begin, and a stream cut into blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.infra.files.unpack import DamagedError

WINDOW_BYTES = 16 << 20
"""Whole lines are handed on in blocks of about this size, so memory doesn't grow with the file."""
HEAD_BYTES = 4096
"""What is kept of a record that can't be read."""


@dataclass(frozen=True)
class Block:
    """Whole lines, the last of a file perhaps without its line feed."""

    data: bytes
    first: int
    """1-based number of its first line."""


@dataclass(frozen=True)
class Lost:
    """A line that is not handed on: too long, or cut off where the stream is damaged."""

    position: int
    head: bytes
    length: int
    error: str


def line_starts(data: bytes) -> npt.NDArray[np.int64]:
    """(lines + 1,) offsets at which the lines begin; the last is where the data ends."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 0x0A) + 1
    if data[-1:] != b"\n" and data:
        ends = np.append(ends, len(data))
    return np.concatenate([np.zeros(1, np.int64), ends])


class Cutter:
    """Cuts a stream of byte blocks at line feeds; never holds a line longer than `limit`."""

    def __init__(self, first: int, limit: int) -> None:
        self.line, self.limit = first, limit
        self._whole: list[bytes] = []
        self._size = 0
        self._open: list[bytes] = []
        self._open_size = 0
        self._head: bytes | None = None

    def _flush(self) -> Iterator[Block]:
        data = b"".join(self._whole)
        self._whole, self._size = [], 0
        if data:
            block = Block(data, self.line)
            self.line += data.count(b"\n")
            yield block

    def _close(self, part: bytes) -> None:
        self._whole += [*self._open, part]
        self._size += self._open_size + len(part)
        self._open, self._open_size = [], 0

    def _lose(self, error: str) -> Lost:
        head = self._head
        if head is None:
            head = b"".join(self._open)[:HEAD_BYTES]
        lost = Lost(self.line, head, self._open_size, error)
        self._open, self._open_size, self._head = [], 0, None
        self.line += 1
        return lost

    def cut(self, blocks: Iterable[bytes]) -> Iterator[Block | Lost]:
        """Blocks of whole lines in order, and between them the lines that are lost."""
        try:
            for block in blocks:
                yield from self._take(block)
        except DamagedError as damage:
            yield from self._flush()
            yield self._lose(str(damage))
            return
        if self._head is not None:
            yield self._lose(self._too_long())
        elif self._open_size:
            self._close(b"")
        yield from self._flush()

    def _too_long(self) -> str:
        return f"record of {self._open_size} bytes, more than input.max_record_bytes"

    def _take(self, block: bytes) -> Iterator[Block | Lost]:
        if self._head is not None:
            end = block.find(b"\n")
            self._open_size += len(block) if end < 0 else end
            if end < 0:
                return
            yield self._lose(self._too_long())
            block = block[end + 1 :]
        end = block.rfind(b"\n") + 1
        if end:
            self._close(block[:end])
            block = block[end:]
        if block:
            self._open.append(block)
            self._open_size += len(block)
        if self._open_size > self.limit + 1:
            yield from self._flush()
            self._head = b"".join(self._open)[:HEAD_BYTES]
            self._open = []
        if self._size >= WINDOW_BYTES:
            yield from self._flush()
