"""JSON objects in a byte buffer: a strict scanner that finds the members that a reader asks for.

It takes what RFC 8259 allows and readers agree on. Everything else is odd and left to
`json_repair`: invalid JSON, a key twice in one object, half of a surrogate pair, a number that no
double can hold, nesting deeper than MAX_DEPTH. The bytes must be valid UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from headrace.spark_jobs.kernels.utf8 import Bytes, Index

MAX_DEPTH = 100
"""Levels of nesting that any reader takes: Ruby's gives up after 100, Rust's serde after 128."""

ABSENT, STRING, ESCAPED, INTEGER, NUMBER, OBJECT, ARRAY, BOOLEAN, NULL = range(9)
"""Kinds of a value; ESCAPED is a string with a backslash in it."""

_ODD = -1
_FNV, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_LARGEST_EXPONENT = 308
"""A number is below 10 to the power of its digits before the point and its exponent; from here on
a double might not hold it."""
_FEW = 24
"""Keys of an object that are compared with each other; more are sorted."""

# What the scanner expects next.
_KEY, _KEY_OR_END, _VALUE, _VALUE_OR_END, _AFTER = range(5)


@dataclass(frozen=True)
class Objects:
    """What was found in N slices of a buffer."""

    sound: npt.NDArray[np.bool_]
    """(N,) whether the slice is a JSON object with nothing odd in it."""
    kind: npt.NDArray[np.int8]
    """(N, names) kind of the named member's value."""
    start: npt.NDArray[np.int64]
    """(N, names) where the value begins."""
    stop: npt.NDArray[np.int64]
    """(N, names) where it ends."""
    rest: Bytes
    """The bytes of all other members, without braces, those of one object divided by commas."""
    rest_offsets: npt.NDArray[np.int32]
    """(N + 1,) where each object's part of `rest` begins."""


@numba.njit(cache=True, nogil=True)
def _hex(data: Bytes, at: int, stop: int) -> int:
    """Return the code unit of four hexadecimal digits at `at`, -1 where there are none."""
    if at + 4 > stop:
        return _ODD
    unit = 0
    for k in range(at, at + 4):
        c = int(data[k])
        if 0x30 <= c <= 0x39:
            digit = c - 0x30
        elif 0x61 <= (c | 0x20) <= 0x66:
            digit = (c | 0x20) - 0x57
        else:
            return _ODD
        unit = unit << 4 | digit
    return unit


@numba.njit(cache=True, nogil=True)
def _escape(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """(code point, where the escape that begins at `at` ends); the end is -1 where it is odd."""
    if at + 1 >= stop:
        return 0, _ODD
    c = data[at + 1]
    if c == 0x75:  # u
        unit = _hex(data, at + 2, stop)
        if unit < 0 or 0xDC00 <= unit <= 0xDFFF:
            return 0, _ODD
        if unit < 0xD800 or unit > 0xDBFF:
            return unit, at + 6
        if at + 7 >= stop or data[at + 6] != 0x5C or data[at + 7] != 0x75:
            return 0, _ODD
        low = _hex(data, at + 8, stop)
        if low < 0xDC00 or low > 0xDFFF:
            return 0, _ODD
        return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), at + 12
    if c == 0x22 or c == 0x5C or c == 0x2F:
        return int(c), at + 2
    if c == 0x62:
        return 0x08, at + 2
    if c == 0x66:
        return 0x0C, at + 2
    if c == 0x6E:
        return 0x0A, at + 2
    if c == 0x72:
        return 0x0D, at + 2
    if c == 0x74:
        return 0x09, at + 2
    return 0, _ODD


@numba.njit(cache=True, nogil=True)
def _put(point: int, out: Bytes, at: int) -> int:
    """Write a character as UTF-8 at `at`; where it ends."""
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at] = 0xC0 | point >> 6
        at += 1
    else:
        if point < 0x10000:
            out[at] = 0xE0 | point >> 12
            at += 1
        else:
            out[at] = 0xF0 | point >> 18
            out[at + 1] = 0x80 | point >> 12 & 0x3F
            at += 2
        out[at] = 0x80 | point >> 6 & 0x3F
        at += 1
    out[at] = 0x80 | point & 0x3F
    return at + 1


@numba.njit(cache=True, nogil=True)
def _string(data: Bytes, at: int, stop: int) -> tuple[int, bool]:
    """(where the string whose quote is at `at` ends, whether it has escapes); -1 where odd."""
    i, escaped = at + 1, False
    while i < stop:
        c = data[i]
        if c == 0x22:
            return i + 1, escaped
        if c == 0x5C:
            escaped = True
            _, i = _escape(data, i, stop)
            if i < 0:
                return _ODD, True
        elif c < 0x20:
            return _ODD, escaped
        else:
            i += 1
    return _ODD, escaped


@numba.njit(cache=True, nogil=True)
def _key(data: Bytes, at: int, stop: int, unit: Bytes) -> tuple[int, np.uint64]:
    """(where the key whose quote is at `at` ends, a hash of its characters); -1 where odd."""
    i, value = at + 1, _FNV
    while i < stop:
        c = data[i]
        if c == 0x22:
            return i + 1, value
        if c == 0x5C:
            point, i = _escape(data, i, stop)
            if i < 0:
                return _ODD, value
            for k in range(_put(point, unit, 0)):
                value = (value ^ np.uint64(unit[k])) * _PRIME
        elif c < 0x20:
            return _ODD, value
        else:
            value = (value ^ np.uint64(c)) * _PRIME
            i += 1
    return _ODD, value


@numba.njit(cache=True, nogil=True)
def _number(data: Bytes, at: int, stop: int, checked: bool) -> tuple[int, int]:
    """(where the number at `at` ends, its kind); -1 where it is odd."""
    i = at
    if data[i] == 0x2D:
        i += 1
    first = i
    while i < stop and 0x30 <= data[i] <= 0x39:
        i += 1
    digits = i - first
    if digits == 0 or (digits > 1 and data[first] == 0x30):
        return _ODD, NUMBER
    if data[first] == 0x30:
        digits = 0
    kind, exponent = INTEGER, 0
    if i < stop and data[i] == 0x2E:
        kind = NUMBER
        i += 1
        first = i
        while i < stop and 0x30 <= data[i] <= 0x39:
            i += 1
        if i == first:
            return _ODD, NUMBER
    if i < stop and data[i] | 0x20 == 0x65:
        kind = NUMBER
        i += 1
        negative = False
        if i < stop and (data[i] == 0x2B or data[i] == 0x2D):
            negative = data[i] == 0x2D
            i += 1
        first = i
        while i < stop and 0x30 <= data[i] <= 0x39:
            exponent = min(exponent * 10 + int(data[i]) - 0x30, 1 << 40)
            i += 1
        if i == first:
            return _ODD, NUMBER
        if negative:
            exponent = -exponent
    if digits + exponent > _LARGEST_EXPONENT and not checked:
        return _ODD, kind
    return i, kind


@numba.njit(cache=True, nogil=True)
def _word(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """(where `true`, `false` or `null` at `at` ends, its kind); -1 where it is odd."""
    if at + 4 <= stop and data[at + 3] == 0x65 and data[at + 1] == 0x72 and data[at + 2] == 0x75:
        return (at + 4, BOOLEAN) if data[at] == 0x74 else (_ODD, NULL)
    if at + 4 <= stop and data[at + 1] == 0x75 and data[at + 2] == 0x6C and data[at + 3] == 0x6C:
        return (at + 4, NULL) if data[at] == 0x6E else (_ODD, NULL)
    if at + 5 <= stop and data[at] == 0x66 and data[at + 1] == 0x61 and data[at + 2] == 0x6C:
        return (at + 5, BOOLEAN) if data[at + 3] == 0x73 and data[at + 4] == 0x65 else (_ODD, NULL)
    return _ODD, NULL


@numba.njit(cache=True, nogil=True)
def _repeated(keys: npt.NDArray[np.uint64]) -> bool:
    """Whether two of the hashes are equal."""
    if keys.size > _FEW:
        ordered = np.sort(keys)
        return bool(np.any(ordered[1:] == ordered[:-1]))
    for k in range(1, keys.size):
        for other in range(k):
            if keys[k] == keys[other]:
                return True
    return False


@numba.njit(cache=True, nogil=True)
def _same(data: Bytes, at: int, names: Bytes, low: int, size: int) -> bool:
    same = True
    for k in range(size):
        same &= data[at + k] == names[low + k]
    return same


@numba.njit(cache=True, nogil=True)
def _objects(
    data: Bytes,
    starts: Index,
    stops: Index,
    names: Bytes,
    name_ends: npt.NDArray[np.int64],
    sound: npt.NDArray[np.bool_],
    kinds: npt.NDArray[np.int8],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    rest: Bytes,
    rest_offsets: npt.NDArray[np.int32],
    checked: bool,
) -> None:
    hashes = np.empty(256, np.uint64)  # of the keys of all open objects
    first = np.empty(MAX_DEPTH + 1, np.int64)  # of an open object's keys in `hashes`; -1: an array
    unit = np.empty(4, np.uint8)
    name_hashes = np.empty(name_ends.size, np.uint64)
    for k in range(name_ends.size):
        value = _FNV
        for at in range(name_ends[k - 1] if k else 0, name_ends[k]):
            value = (value ^ np.uint64(names[at])) * _PRIME
        name_hashes[k] = value
    written = 0
    for n in range(starts.size):
        i, stop = int(starts[n]), int(stops[n])
        begin_rest = written
        depth, keys, state = 0, 0, _VALUE
        member = value_at = i
        kind, field, good = ABSENT, -1, False
        while True:
            while i < stop and (
                data[i] == 0x20 or data[i] == 0x0A or data[i] == 0x0D or data[i] == 0x09
            ):
                i += 1
            if depth == 0 and state == _AFTER:
                good = i == stop
                break
            if i >= stop:
                break
            c = data[i]
            if state == _AFTER:
                if c == 0x2C:
                    state = _KEY if first[depth] >= 0 else _VALUE
                    i += 1
                    continue
                if c != (0x7D if first[depth] >= 0 else 0x5D):
                    break
            elif state == _KEY or (state == _KEY_OR_END and c != 0x7D):
                if c != 0x22:
                    break
                after, value = _key(data, i, stop, unit)
                if after < 0:
                    break
                if keys == hashes.size:
                    grown = np.empty(2 * keys, np.uint64)
                    grown[:keys] = hashes
                    hashes = grown
                hashes[keys] = value
                keys += 1
                if depth == 1:
                    member, field = i, -1
                    for k in range(name_ends.size):
                        if value == name_hashes[k]:
                            low, size = (name_ends[k - 1] if k else 0), after - i - 2
                            # Of another length it is the name in escapes: the hash is of those.
                            if size != name_ends[k] - low or _same(data, i + 1, names, low, size):
                                field = k
                i = after
                while i < stop and (
                    data[i] == 0x20 or data[i] == 0x0A or data[i] == 0x0D or data[i] == 0x09
                ):
                    i += 1
                if i >= stop or data[i] != 0x3A:
                    break
                i += 1
                state = _VALUE
                continue
            elif state != _KEY_OR_END and not (state == _VALUE_OR_END and c == 0x5D):
                if depth == 1:
                    value_at = i
                if c == 0x22:
                    i, escaped = _string(data, i, stop)
                    kind = ESCAPED if escaped else STRING
                elif c == 0x7B or c == 0x5B:
                    if depth == MAX_DEPTH or (depth == 0 and c == 0x5B):
                        break
                    depth += 1
                    first[depth] = keys if c == 0x7B else -1
                    state = _KEY_OR_END if c == 0x7B else _VALUE_OR_END
                    i += 1
                    continue
                elif c == 0x2D or 0x30 <= c <= 0x39:
                    i, kind = _number(data, i, stop, checked)
                else:
                    i, kind = _word(data, i, stop)
                if i < 0 or depth == 0:
                    break
                state = _AFTER
                if depth > 1:
                    continue
                c = np.uint8(0)
            # Here a value is complete: a plain member of the outermost object, or what c closes.
            if c:
                i += 1
                if first[depth] >= 0:
                    if not checked and _repeated(hashes[first[depth] : keys]):
                        break
                    keys = first[depth]
                    kind = OBJECT
                else:
                    kind = ARRAY
                depth -= 1
                state = _AFTER
                if depth != 1:
                    continue
            if field >= 0:
                kinds[n, field], begins[n, field], ends[n, field] = kind, value_at, i
            else:
                if written > begin_rest:
                    rest[written] = 0x2C
                    written += 1
                for k in range(member, i):
                    rest[written + k - member] = data[k]
                written += i - member
        if not good:
            written = begin_rest
            for k in range(name_ends.size):
                kinds[n, k] = ABSENT
        sound[n] = good
        rest_offsets[n + 1] = written


def scan(
    data: Bytes, starts: Index, stops: Index, names: Sequence[str] = (), checked: bool = False
) -> Objects:
    """Return what N slices of `data` hold, which should be JSON objects.

    Args:
        data: the buffer; valid UTF-8 in every slice.
        starts: (N,) where the slices start.
        stops: (N,) where they end.
        names: keys whose values are asked for, all different.
        checked: numbers and repeated keys were looked at already, exactly; here they are taken
            for odd where a short look can't tell.
    """
    n = starts.size
    raw = [name.encode() for name in names]
    found = Objects(
        sound=np.zeros(n, np.bool_),
        kind=np.zeros((n, len(raw)), np.int8),
        start=np.zeros((n, len(raw)), np.int64),
        stop=np.zeros((n, len(raw)), np.int64),
        rest=np.empty(int(np.sum(stops - starts)), np.uint8),
        rest_offsets=np.zeros(n + 1, np.int32),
    )
    _objects(
        data, starts, stops, np.frombuffer(b"".join(raw) or b" ", np.uint8),
        np.cumsum([len(r) for r in raw], dtype=np.int64), found.sound, found.kind, found.start,
        found.stop, found.rest, found.rest_offsets, checked,
    )  # fmt: skip
    return found


@numba.njit(cache=True, nogil=True)
def _copy(
    data: Bytes, starts: Index, stops: Index, escaped: npt.NDArray[np.bool_], out: Bytes,
    offsets: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    at = 0
    for n in range(starts.size):
        i, stop = int(starts[n]), int(stops[n])
        if escaped[n]:
            while i < stop:
                if data[i] == 0x5C:
                    point, i = _escape(data, i, stop)
                    at = _put(point, out, at)
                else:
                    out[at] = data[i]
                    at += 1
                    i += 1
        else:
            for k in range(stop - i):
                out[at + k] = data[i + k]
            at += max(0, stop - i)
        offsets[n + 1] = at


def copies(
    data: Bytes, starts: Index, stops: Index, escaped: npt.NDArray[np.bool_]
) -> tuple[Bytes, npt.NDArray[np.int32]]:
    """(bytes, (N + 1,) offsets) of N slices of `data`, escapes resolved where `escaped` says so."""
    out = np.empty(int(np.sum(stops - starts)), np.uint8)
    offsets = np.zeros(starts.size + 1, np.int32)
    _copy(data, starts, stops, escaped, out, offsets)
    return out, offsets


@numba.njit(cache=True, nogil=True)
def _quoted_size(data: Bytes, offsets: Index) -> int:
    size = 2 * (offsets.size - 1)
    for i in range(offsets[0], offsets[-1]):
        c = data[i]
        if c < 0x20:
            short = c == 0x08 or c == 0x09 or c == 0x0A or c == 0x0C or c == 0x0D
            size += 2 if short else 6
        else:
            size += 2 if c == 0x22 or c == 0x5C else 1
    return size


@numba.njit(cache=True, nogil=True)
def _quote(data: Bytes, offsets: Index, out: Bytes, out_offsets: npt.NDArray[np.int64]) -> None:
    at = 0
    for n in range(offsets.size - 1):
        out[at] = 0x22
        at += 1
        for i in range(offsets[n], offsets[n + 1]):
            c = data[i]
            if c >= 0x20 and c != 0x22 and c != 0x5C:
                out[at] = c
                at += 1
                continue
            out[at] = 0x5C
            letter = c
            if c == 0x0A:
                letter = np.uint8(0x6E)
            elif c == 0x09:
                letter = np.uint8(0x74)
            elif c == 0x0D:
                letter = np.uint8(0x72)
            elif c == 0x08:
                letter = np.uint8(0x62)
            elif c == 0x0C:
                letter = np.uint8(0x66)
            elif c < 0x20:
                letter = np.uint8(0x75)
            out[at + 1] = letter
            at += 2
            if letter == 0x75:
                out[at] = out[at + 1] = 0x30
                out[at + 2] = 0x30 + (c >> 4)
                low = c & 0x0F
                out[at + 3] = low + (0x30 if low < 10 else 0x57)
                at += 4
        out[at] = 0x22
        at += 1
        out_offsets[n + 1] = at


def quoted(data: Bytes, offsets: Index) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """(bytes, (N + 1,) offsets) of N texts as JSON strings; `offsets` are those of the texts."""
    out = np.empty(_quoted_size(data, offsets), np.uint8)
    out_offsets = np.zeros(offsets.size, np.int64)
    _quote(data, offsets, out, out_offsets)
    return out, out_offsets
