"""UTF-8 in byte buffers: which slices are valid, which hold anything but space, and characters."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Int = int | np.int64
"""A whole number in compiled code: Python's or NumPy's."""


@numba.njit(cache=True, nogil=True)
def _valid(data: Bytes, i: int, stop: int) -> bool:
    while i < stop:
        a = data[i]
        if a < 0x80:
            i += 1
            continue
        # Table 3-7 of the Unicode standard: well-formed byte sequences.
        low, high, more = 0x80, 0xBF, 1
        if 0xC2 <= a <= 0xDF:
            more = 1
        elif 0xE0 <= a <= 0xEF:
            more = 2
            if a == 0xE0:
                low = 0xA0
            elif a == 0xED:
                high = 0x9F
        elif 0xF0 <= a <= 0xF4:
            more = 3
            if a == 0xF0:
                low = 0x90
            elif a == 0xF4:
                high = 0x8F
        else:
            return False
        if i + more >= stop or data[i + 1] < low or data[i + 1] > high:
            return False
        for j in range(i + 2, i + more + 1):
            if data[j] < 0x80 or data[j] > 0xBF:
                return False
        i += more + 1
    return True


@numba.njit(cache=True, nogil=True)
def _blank(data: Bytes, i: int, stop: int) -> bool:
    while i < stop:
        a = data[i]
        if a <= 0x20:
            i += 1
            continue
        b = data[i + 1] if i + 1 < stop else 0
        c = data[i + 2] if i + 2 < stop else 0
        if a == 0xC2 and b in (0x85, 0xA0):  # next line, no-break space
            i += 2
        elif (
            (a == 0xE3 and b == 0x80 and c == 0x80)  # ideographic space
            or (a == 0xE2 and b == 0x80 and (0x80 <= c <= 0x8F or 0xA8 <= c <= 0xAF))
            or (a == 0xE2 and b == 0x81 and (c == 0x9F or c == 0xA0))
            or (a == 0xEF and b == 0xBB and c == 0xBF)  # byte order mark
        ):
            i += 3
        else:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _slices(data: Bytes, starts: Index, stops: Index, blank: bool) -> npt.NDArray[np.bool_]:
    out = np.empty(starts.size, np.bool_)
    for k in range(starts.size):
        at, stop = starts[k], stops[k]
        out[k] = _blank(data, at, stop) if blank else _valid(data, at, stop)
    return out


def valid_slices(data: Bytes, starts: Index, stops: Index) -> npt.NDArray[np.bool_]:
    """(N,) whether each slice of `data` is well-formed UTF-8."""
    return _slices(data, starts, stops, False)


def blank_slices(data: Bytes, starts: Index, stops: Index) -> npt.NDArray[np.bool_]:
    """(N,) whether each slice holds nothing but white space, control characters and marks."""
    return _slices(data, starts, stops, True)


@numba.njit(cache=True, nogil=True)
def character(data: Bytes, at: Int, end: Int) -> tuple[np.int64, int]:
    """(code point, bytes) of the character of two to four bytes at `at`; `end` ends the text.

    Numba's cache only sees changes of a kernel's own file: after a change here, clear the caches
    of the kernels that call it.
    """
    byte = np.int64(data[at])
    if byte < 0xE0:
        size, point = 2, byte & 0x1F
    elif byte < 0xF0:
        size, point = 3, byte & 0x0F
    else:
        size, point = 4, byte & 0x07
    for k in range(1, size):
        if at + k < end:
            point = point << 6 | np.int64(data[at + k] & 0x3F)
    return point, size
