"""Where in a batch something may stand that can be checked: an Aho-Corasick automaton over bytes.

Aho and Corasick, "Efficient string matching", CACM 18(6), 1975, with a full transition table. Many
searches run in one pass; each gives windows round its anchors, merged where they overlap, so that
the regular expressions of level 3 see a few per cent of the text. About 200 MB/s per core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

LONGEST = 2048
"""Bytes of the longest window. A text full of anchors is cut into windows that overlap, so that
what a regular expression costs stays bounded on any text; a statement there may count twice."""


@dataclass(frozen=True)
class Search:
    """Literal anchors and the window round them."""

    anchors: tuple[str, ...]
    """Any of these, ASCII letters in lower case; upper case in the text matches too."""
    before: int
    """Bytes of the window before the anchor's end."""
    after: int
    """Bytes of the window after the anchor's end."""
    digits: int = 1
    """A window with fewer digits is not given."""


class Anchors:
    """The automaton of up to 64 searches."""

    def __init__(self, searches: Sequence[Search]) -> None:
        if len(searches) > 64:
            raise ValueError(f"{len(searches)} searches; a mask has 64 bits")
        rows: list[dict[int, int]] = [{}]
        masks = [0]
        for bit, search in enumerate(searches):
            for anchor in search.anchors:
                state = 0
                for byte in anchor.lower().encode():
                    if byte not in rows[state]:
                        rows.append({})
                        masks.append(0)
                        rows[state][byte] = len(rows) - 1
                    state = rows[state][byte]
                masks[state] |= 1 << bit
        step = np.zeros((len(rows), 256), np.int32)
        back = [0] * len(rows)
        for byte, state in rows[0].items():
            step[0, byte] = state
        queue = deque(rows[0].values())
        while queue:
            state = queue.popleft()
            masks[state] |= masks[back[state]]
            step[state] = step[back[state]]
            for byte, child in rows[state].items():
                back[child] = int(step[back[state], byte])
                step[state, byte] = child
                queue.append(child)
        # Upper case takes the way of lower case, which saves the kernel a look-up.
        step[:, 65:91] = step[:, 97:123]
        self._step, self._masks = step, np.array(masks, np.uint64)
        self._before = np.array([s.before for s in searches], np.int64)
        self._after = np.array([s.after for s in searches], np.int64)
        self._digits = np.array([s.digits for s in searches], np.int64)

    def find(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """(W, 4) windows in order of text: text, search, first byte, byte after the last."""
        limits = (self._before, self._after, self._digits)
        found = np.empty((4096, 4), np.int64)
        while True:
            n = _find(data, offsets, self._step, self._masks, *limits, found)
            if n <= len(found):
                return found[:n]
            found = np.empty((n, 4), np.int64)


@nb.njit(cache=True, nogil=True)
def _close(
    data: npt.NDArray[np.uint8],
    text: int,
    search: int,
    start: int,
    stop: int,
    need: int,
    found: npt.NDArray[np.int64],
    n: int,
) -> int:
    """Count a window that has its digits, and note it where there is room."""
    digits = 0
    for at in range(start, stop):
        if 48 <= data[at] <= 57:
            digits += 1
            if digits >= need:
                break
    if digits < need:
        return n
    if n < len(found):
        found[n, 0] = text
        found[n, 1] = search
        found[n, 2] = start
        found[n, 3] = stop
    return n + 1


@nb.njit(cache=True, nogil=True)
def _find(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    step: npt.NDArray[np.int32],
    masks: npt.NDArray[np.uint64],
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    need: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
) -> int:
    """Count the windows; as many of them as there is room are in `found`."""
    n = 0
    searches = before.size
    start = np.full(searches, -1, np.int64)
    stop = np.zeros(searches, np.int64)
    for text in range(offsets.size - 1):
        first, end = offsets[text], offsets[text + 1]
        state = np.int32(0)
        for at in range(first, end):
            state = step[state, data[at]]
            mask = masks[state]
            search = 0
            while mask:
                if mask & np.uint64(1):
                    low = max(first, at + 1 - before[search])
                    high = min(end, at + 1 + after[search])
                    near = start[search] >= 0 and low <= stop[search]
                    if near and high - start[search] <= LONGEST:
                        stop[search] = high
                    else:
                        if start[search] >= 0:
                            n = _close(
                                data, text, search, start[search], stop[search],
                                need[search], found, n,
                            )  # fmt: skip
                        start[search] = low
                        stop[search] = high
                mask >>= np.uint64(1)
                search += 1
        for search in range(searches):
            if start[search] >= 0:
                n = _close(data, text, search, start[search], stop[search], need[search], found, n)
                start[search] = -1
    return n
