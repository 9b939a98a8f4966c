"""Traditional Chinese characters read as simplified ones, in place: same bytes long, same offsets.

Levels and signatures are fitted on simplified text, so they look at folded text; what is stored
stays as it is. A character that only traditional text has folds anywhere. One that simplified text
has too (乾 of 乾隆, 著 of 著名) folds only where more than `SHARE` of the Chinese characters are of
the first kind, so that simplified text is never changed. Japanese text is not folded at all: its
shinjitai are neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

SHARE = 0.05
"""Of traditional text a quarter to a third of the characters have their own simplified form;
names and quotations in simplified text stay far below a twentieth."""
_ANYWHERE, _IN_TRADITIONAL = 1, 2


@dataclass(frozen=True)
class Table:
    """What folds to what, for characters of three bytes (U+0800 to U+FFFF)."""

    kinds: npt.NDArray[np.uint8]
    """(65536,) 0 stays, 1 folds anywhere, 2 folds in traditional text."""
    targets: npt.NDArray[np.uint16]
    """(65536,) code point to write."""

    @classmethod
    def load(cls, path: Path) -> Table:
        """Load the table in a JSON file: {"anywhere"|"in_traditional": [from, to]}, strings."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls.build(
            dict(zip(*stored["anywhere"], strict=True)),
            dict(zip(*stored["in_traditional"], strict=True)),
        )

    @classmethod
    def build(cls, anywhere: dict[str, str], in_traditional: dict[str, str]) -> Table:
        """Build the table from two maps of single characters.

        Raises:
            ValueError: a character that is not three bytes long in UTF-8.
        """
        kinds, targets = np.zeros(65536, np.uint8), np.zeros(65536, np.uint16)
        for kind, pairs in ((_ANYWHERE, anywhere), (_IN_TRADITIONAL, in_traditional)):
            for old, new in pairs.items():
                if len(old.encode()) != 3 or len(new.encode()) != 3:
                    raise ValueError(f"{old!r} to {new!r}: both must have three bytes in UTF-8")
                kinds[ord(old)], targets[ord(old)] = kind, ord(new)
        return cls(kinds, targets)

    def fold(self, data: Bytes, offsets: Ints, rows: npt.NDArray[np.bool_]) -> Bytes:
        """Fold the texts data[offsets[i]:offsets[i + 1]] of the chosen `rows` in `data`.

        It is `data` itself where nothing changes.
        """
        traditional, han = _count(data, offsets, rows, self.kinds)
        if not traditional.any():
            return data
        out = data.copy()
        _write(out, offsets, traditional, han, self.kinds, self.targets)
        return out


@njit(cache=True, nogil=True)
def _count(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.bool_],
    kinds: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(N,) characters that fold anywhere, and (N,) Chinese characters of each chosen text."""
    traditional = np.zeros(rows.size, np.int64)
    han = np.zeros(rows.size, np.int64)
    for i in range(rows.size):
        if not rows[i]:
            continue
        at, last = offsets[i], offsets[i + 1] - 2
        here = chinese = 0
        while at < last:
            c = data[at]
            if c < 0xE0 or c >= 0xF0:
                at += 1
                continue
            code = (c & 0x0F) << 12 | (data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F)
            chinese += 0x3400 <= code < 0xA000
            here += kinds[code] == _ANYWHERE
            at += 3
        traditional[i], han[i] = here, chinese
    return traditional, han


@njit(cache=True, nogil=True)
def _write(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    traditional: npt.NDArray[np.int64],
    han: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.uint16],
) -> None:
    """Fold, in `data`, the texts that have traditional characters."""
    for i in range(traditional.size):
        if traditional[i] == 0:
            continue
        most = _IN_TRADITIONAL if traditional[i] > SHARE * han[i] else _ANYWHERE
        at, last = offsets[i], offsets[i + 1] - 2
        while at < last:
            c = data[at]
            if c < 0xE0 or c >= 0xF0:
                at += 1
                continue
            code = (c & 0x0F) << 12 | (data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F)
            if 0 < kinds[code] <= most:
                new = targets[code]
                data[at] = 0xE0 | new >> 12
                data[at + 1] = 0x80 | (new >> 6 & 0x3F)
                data[at + 2] = 0x80 | (new & 0x3F)
            at += 3
