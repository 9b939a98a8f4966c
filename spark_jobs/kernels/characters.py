"""Counts of what a text is made of, read from UTF-8 bytes in one pass: what level 1 judges.

A decoder over the Arrow buffers: no Python object is made.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from headrace.spark_jobs.kernels.utf8 import character

CHARACTERS = 0
"""Code points, without a byte order mark at the start."""
VISIBLE = 1
"""Those that are not white space."""
LETTERS = 2
"""Letters of any script and digits."""
WEIGHT = 3
"""Letters and digits, a Han or kana character or a Hangul syllable counted twice."""
REPLACED = 4
"""U+FFFD, which decoders put in place of invalid bytes."""
CONTROL = 5
"""C0 and C1 controls but tab, line feed, vertical tab, form feed, carriage return, next line."""
PRIVATE = 6
"""Private use and noncharacters: only the sender knows what they mean."""
MOJIBAKE = 7
"""Characters of UTF-8 sequences read as Latin-1 or Windows-1252, and of the GBK of U+FFFD."""
ENCODED = 8
"""Characters in unbroken runs of at least `ENCODED_RUN` letters of base64 and hexadecimal."""
LONGEST_REPEAT = 9
"""Length of the longest run of one visible character."""
TAGS = 10
"""Characters in HTML or XML tags."""
COLUMNS = 11

ENCODED_RUN = 120
"""Longer than any word of a language written in ASCII; hashes (128 hexadecimal digits) and data
pass it, and so do some addresses: level 1 judges the share of such runs in a text."""
LONGEST_TAG = 2000
"""A `<` that isn't closed within so many bytes opens no tag."""


@nb.njit(cache=True, nogil=True)
def _continues(point: np.int64) -> bool | np.bool_:
    """Whether a UTF-8 continuation byte becomes this code point in Latin-1 or Windows-1252."""
    if 0x80 <= point <= 0xBF:
        return True
    if point < 0x152 or point > 0x2122:
        return False
    return (
        point == 0x152
        or point == 0x153
        or point == 0x160
        or point == 0x161
        or point == 0x178
        or point == 0x17D
        or point == 0x17E
        or point == 0x192
        or point == 0x2C6
        or point == 0x2DC
        or (0x2013 <= point <= 0x2014)
        or (0x2018 <= point <= 0x201E)
        or (0x2020 <= point <= 0x2022)
        or point == 0x2026
        or point == 0x2030
        or (0x2039 <= point <= 0x203A)
        or point == 0x20AC
        or point == 0x2122
    )


@nb.njit(cache=True, nogil=True)
def _is_letter(point: np.int64) -> bool | np.bool_:
    """Whether a code point from U+0080 on is a letter or a digit, to the precision of blocks."""
    if point < 0x2B0:
        return point >= 0xC0 and point != 0xD7 and point != 0xF7
    if point < 0x370:
        return False
    if point < 0x2000:
        return True
    if point < 0x2C00:
        # Letter-like symbols, number forms and circled numbers are none of them prose.
        return False
    if point < 0x2E00:
        return True
    if point < 0x3041:
        return bool(point == 0x3005 or point == 0x3007)
    if point < 0xA000:
        return point != 0x30FB and point != 0x30A0 and not (0x3200 <= point < 0x3400)
    if point < 0xD7B0:
        return True
    if 0xF900 <= point < 0xFE00 or 0xFE70 <= point < 0xFEFD:
        return True
    if 0xFF10 <= point < 0xFFE0:
        return not (0xFF1A <= point <= 0xFF20 or 0xFF3B <= point <= 0xFF40) and not (
            0xFF5B <= point <= 0xFF65
        )
    return 0x10000 <= point < 0x1F000 or 0x20000 <= point < 0x40000


@nb.njit(cache=True, nogil=True)
def _is_space(point: np.int64) -> bool | np.bool_:
    return (
        point == 0x20
        or 9 <= point <= 13
        or point == 0x85
        or point == 0xA0
        or 0x2000 <= point <= 0x200F
        or 0x2028 <= point <= 0x202F
        or 0x205F <= point <= 0x2064
        or point == 0x3000
        or point == 0xFEFF
        or 0xFE00 <= point <= 0xFE0F
    )


@nb.njit(cache=True, nogil=True)
def _text(data: npt.NDArray[np.uint8], at: int, end: int, out: npt.NDArray[np.int64]) -> None:
    before = before2 = np.int64(-1)  # the code points read last
    repeat = run = leading = 0
    tag_from = -1
    tag_chars = 0
    while at < end:
        byte = data[at]
        start = at
        point: np.int64 = np.int64(byte)
        if byte < 0x80:
            at += 1
        else:
            point, size = character(data, at, end)
            at += size
        out[CHARACTERS] += 1
        if tag_from >= 0:
            tag_chars += 1
        if _is_space(point):
            repeat = 0
        else:
            out[VISIBLE] += 1
            repeat = repeat + 1 if point == before else 1
            if repeat > out[LONGEST_REPEAT]:
                out[LONGEST_REPEAT] = repeat
        encoding = False
        if point < 0x80:
            lower = point | 0x20
            if 97 <= lower <= 122 or 48 <= point <= 57:
                out[LETTERS] += 1
                out[WEIGHT] += 1
                encoding = True
            elif point < 32:
                if not 9 <= point <= 13:
                    out[CONTROL] += 1
            elif point == 127:
                out[CONTROL] += 1
            elif point == 60:  # <
                tag_from = start
                tag_chars = 1
            elif point == 62 and tag_from >= 0:  # >
                first = data[tag_from + 1]
                named = 97 <= (first | 0x20) <= 122 or first == 47 or first == 33 or first == 63
                if named and start - tag_from <= LONGEST_TAG:
                    out[TAGS] += tag_chars
                tag_from = -1
            elif point == 43 or point == 47 or point == 61 or point == 45 or point == 95:
                encoding = True
            leading = 0
        else:
            if _is_letter(point):
                out[LETTERS] += 1
                wide = 0x3041 <= point < 0xD7B0 or point >= 0x20000
                out[WEIGHT] += 2 if wide else 1
            elif point == 0xFFFD:
                out[REPLACED] += 1
            elif 0x80 <= point < 0xA0 and point != 0x85:
                out[CONTROL] += 1
            elif (
                0xE000 <= point < 0xF900
                or point >= 0xF0000
                or 0xFDD0 <= point < 0xFDF0
                or (point & 0xFFFE) == 0xFFFE
            ):
                out[PRIVATE] += 1
            # A lead byte of UTF-8 read as a letter, and the continuation bytes it asks for.
            if leading and _continues(point):
                leading -= 1
                out[MOJIBAKE] += 1
            elif 0xC2 <= point <= 0xF4:
                leading = 1 if point < 0xE0 else (2 if point < 0xF0 else 3)
            else:
                leading = 0
            if point == 0x62F7 and before == 0x65A4 and before2 == 0x951F:  # the GBK of U+FFFD
                out[MOJIBAKE] += 3
        if encoding:
            run += 1
        elif run:
            if run >= ENCODED_RUN:
                out[ENCODED] += run
            run = 0
        before2, before = before, point
    if run >= ENCODED_RUN:
        out[ENCODED] += run


@nb.njit(cache=True, nogil=True)
def count(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N, COLUMNS) counts of each text."""
    out = np.zeros((offsets.size - 1, COLUMNS), np.int64)
    for n in range(offsets.size - 1):
        _text(data, offsets[n], offsets[n + 1], out[n])
    return out
