"""The elements of a JSON array as JSON Lines, in a stream of blocks.

Only brackets, commas and quotes are looked at; what stands between them is judged later, like any
line. Each element becomes one line, so its number is the number of the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numba
import numpy as np
import numpy.typing as npt

from headrace.infra.files.unpack import DamagedError

_DEPTH, _STRING, _ESCAPE, _FILLED, _WHOLE, _CLOSED = range(6)
"""The state between blocks: open brackets, in a string, after a backslash, whether the element has
anything in it and has been closed, after the array's last bracket."""


@numba.njit(cache=True, nogil=True)
def _cut(
    data: npt.NDArray[np.uint8], state: npt.NDArray[np.int64], out: npt.NDArray[np.uint8]
) -> int:
    """Write the lines of a block to `out` (twice as long); their bytes."""
    depth, string, escape, filled, whole, closed = state
    n = 0
    for k in range(data.size):
        c = data[k]
        if closed:
            out[n] = c
            n += 1
            continue
        if string:
            if escape:
                escape = 0
            elif c == 0x5C:  # backslash
                escape = 1
            elif c == 0x22:  # quote
                string = 0
            # A line feed in a string is no JSON; a carriage return isn't either, and ends no line.
            out[n] = 0x0D if c == 0x0A else c
            n += 1
            continue
        if c == 0x0A or c == 0x0D or c == 0x20 or c == 0x09:
            out[n] = 0x20
            n += 1
            continue
        if depth == 0:
            if c == 0x5B:  # the bracket that opens the array; a byte order mark may precede it
                depth = 1
            continue
        if depth == 1 and (c == 0x2C or c == 0x5D):  # comma, ]
            if c == 0x2C and not filled:
                out[n] = c  # an element that is nothing: the line is no JSON
                n += 1
            if c == 0x2C or filled:
                out[n] = 0x0A
                n += 1
            filled = whole = 0
            if c == 0x5D:
                closed, depth = 1, 0
            continue
        filled = 1
        if c == 0x22:
            string = 1
        elif c == 0x5B or c == 0x7B:
            depth += 1
        elif (c == 0x5D or c == 0x7D) and depth > 1:
            depth -= 1
            whole = int(depth == 1)
        out[n] = c
        n += 1
    state[:] = depth, string, escape, filled, whole, closed
    return n


def elements(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the elements of an array, one per line; what follows the array passes unchanged.

    Args:
        blocks: the array; white space and a byte order mark may precede it.

    Raises:
        DamagedError: the array doesn't end; after all elements that do.
    """
    state = np.zeros(6, np.int64)
    for block in blocks:
        out = np.empty(2 * len(block), np.uint8)
        n = _cut(np.frombuffer(block, np.uint8), state, out)
        if n:
            yield out[:n].tobytes()
    if not state[_CLOSED]:
        if state[_WHOLE]:
            yield b"\n"
        raise DamagedError("truncated JSON array: the file ends before its last bracket")
