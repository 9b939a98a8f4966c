"""What is read: the files of an input, and the pieces in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.infra import storage
from headrace.infra.errors import InputError

UNPACKED = 4
"""How much a compressed file is taken to grow."""


@dataclass(frozen=True)
class InputFile:
    """A file of the input."""

    uri: str
    source: str
    """What stands in the column `source`."""
    kind: str
    """How it is read (see `reading.content.Kind`)."""
    codec: str
    """gzip, zstd or nothing; where it can't be read, any name that says it is compressed."""
    bytes: int
    sha256: str
    changed: int
    """When it was changed (ns), to notice a change between two steps."""
    error: str = ""
    """Why it can't be read: then it counts as one unreadable record."""
    licence: str = ""
    """The license of its `Source`."""
    encoding: str = ""
    """Encoding of its text, where that isn't UTF-8."""
    ending: str = "\n"
    """What ends a line."""
    note: str = ""
    """What it is, where that isn't what its name says."""

    @property
    def weight(self) -> int:
        """About how many bytes it holds once it is unpacked."""
        return self.bytes * (UNPACKED if self.codec else 1)

    def check(self) -> None:
        """Raise unless the file is still the one that was counted.

        Raises:
            InputError: it changed.
        """
        if self.error or (self.bytes, self.changed) == storage.stat(self.uri):
            return
        raise InputError(f"{self.uri} changed while it was read", "run again when it is complete")


@dataclass(frozen=True)
class Chunk:
    """A piece of a file: bytes [start, stop) of whole lines, row groups, or all of it."""

    file: int
    """Its number in `Inventory.files`."""
    start: int
    stop: int
    first: int
    """1-based position of its first record."""
    weight: int
    """About how many bytes of text it holds."""
