"""How text runs: hashed n-grams of three families with learned weights, and repeated stretches.

One pass over the UTF-8 bytes gives, for every text, means of 8-bit weights by family:
- HAN: 2- and 3-grams of characters where one is Chinese (a Latin word or a number counts as one
  character, white space as none);
- WORDS: 2-grams of words, and 2- and 3-grams of word classes and punctuation, where a class is the
  word itself if it is short, else its ending, and whether it begins with a capital: function words,
  endings and stops show whether words stand in an order that a language has, whatever the topic;
- LETTERS: 3- and 4-grams of the letters of each word with its borders;
- SINGLE: Chinese characters one by one.
And it gives the share of stretches of 8 units (words, Chinese characters) that were seen before in
the same text. Sums are integers: nothing depends on order, batch or machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from headrace.spark_jobs.kernels.linear import Bytes, Ints, mix
from headrace.spark_jobs.kernels.utf8 import Int, character

HAN, WORDS, LETTERS, SINGLE = range(4)
FAMILIES = 4
BITS = (19, 18, 17, 14)
"""Base-2 logarithm of the number of buckets of each family."""
START = (0, 1 << 19, (1 << 19) + (1 << 18), (1 << 19) + (1 << 18) + (1 << 17))
"""Where each family begins in one row of weights."""
SIZE = START[-1] + (1 << BITS[-1])
STRETCH = 8
"""Units in a stretch that is looked for again."""

_BLOCK = 2048
_TABLE = 1 << 15
_PER_BYTE = 7
_Q = np.uint64(0xD6E8FEB86659FD93)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_WORD, _NUMBER, _OTHER = np.uint64(0x110001), np.uint64(0x110002), np.uint64(0x110003)
"""Stand-ins, outside Unicode: a Latin word and a number among Chinese; Chinese among Latin."""
_SHORT = 4
"""Letters up to which a word is its own class."""


@njit(cache=True, nogil=True)
def _put(ids: npt.NDArray[np.int32], n: Int, family: int, h: np.uint64) -> Int:
    ids[n] = np.int32(START[family]) + np.int32((h * _Q) >> np.uint64(64 - BITS[family]))
    return n + 1


@njit(cache=True, nogil=True)
def _han(
    s: npt.NDArray[np.uint64],
    unit: np.uint64,
    is_han: np.uint64,
    ids: npt.NDArray[np.int32],
    n: Int,
) -> Int:
    """Take `unit` into the stream of Chinese n-grams: s[0:2] last units, s[2:4] whether Han."""
    if is_han:
        n = _put(ids, n, SINGLE, unit)
    if s[0] != _ZERO:
        if s[2] or is_han:
            n = _put(ids, n, HAN, mix(mix(_ONE, s[0]), unit))
        if s[1] != _ZERO and (s[2] or is_han or s[3]):
            n = _put(ids, n, HAN, mix(mix(mix(np.uint64(3), s[1]), s[0]), unit))
    s[1], s[3] = s[0], s[2]
    s[0], s[2] = unit, is_han
    return n


@njit(cache=True, nogil=True)
def _class(
    s: npt.NDArray[np.uint64],
    kind: np.uint64,
    is_word: np.uint64,
    ids: npt.NDArray[np.int32],
    n: Int,
) -> Int:
    """Take a class into the stream of word-class n-grams: s[4:6] last classes, s[6:8] words."""
    if kind == s[4]:  # a rule of dashes is one dash
        return n
    if s[4] != _ZERO:
        if s[6] or is_word:
            n = _put(ids, n, WORDS, mix(mix(np.uint64(5), s[4]), kind))
        if s[5] != _ZERO and (s[6] or is_word or s[7]):
            n = _put(ids, n, WORDS, mix(mix(mix(np.uint64(7), s[5]), s[4]), kind))
    s[5], s[7] = s[4], s[6]
    s[4], s[6] = kind, is_word
    return n


@njit(cache=True, nogil=True)
def _stretch(
    ring: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint64],
    mark: np.uint64,
    every: np.uint64,
    unit: np.uint64,
) -> None:
    """Take a unit into the search for repeated stretches; counts: seen again, looked at, units."""
    at = counts[2] % STRETCH
    counts[2] += 1
    ring[at] = unit
    if counts[2] < STRETCH:
        return
    h = np.uint64(11)
    for k in range(STRETCH):
        h = mix(h, ring[(at + 1 + k) % STRETCH])
    h *= _Q
    if (h >> np.uint64(40)) % every != 0:
        return
    slot = (h >> np.uint64(20)) & np.uint64(_TABLE - 1)
    entry = (mark << np.uint64(32)) | (h & np.uint64(0xFFFFFFFF))
    counts[1] += 1
    if table[slot] == entry:
        counts[0] += 1
    else:
        table[slot] = entry


@njit(cache=True, nogil=True)
def _end_word(
    s: npt.NDArray[np.uint64],
    w: npt.NDArray[np.uint64],
    ids: npt.NDArray[np.int32],
    n: Int,
    ring: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint64],
    mark: np.uint64,
    every: np.uint64,
) -> Int:
    """Close the word in `w`: hash, length, capital, digits only, last two letters."""
    word, size, capital, digits = w[0], w[1], w[2], w[3]
    n = _han(s, _NUMBER if digits else _WORD, _ZERO, ids, n)
    if digits:
        n = _class(s, _NUMBER, _ONE, ids, n)
        word = _NUMBER
    else:
        kind = word if size <= _SHORT else mix(mix(np.uint64(13), w[4]), w[5])
        n = _class(s, mix(kind, capital + _ONE), _ONE, ids, n)
        # Borders: the last letters with the end of the word.
        n = _put(ids, n, LETTERS, mix(mix(mix(np.uint64(17), w[4]), w[5]), _ZERO))
    if s[8] != _ZERO:
        n = _put(ids, n, WORDS, mix(mix(np.uint64(19), s[8]), word))
    s[8] = word
    _stretch(ring, counts, table, mark, every, word)
    w[:] = _ZERO
    return n


@njit(cache=True, nogil=True)
def _walk(
    data: npt.NDArray[np.uint8],
    at: Int,
    stop: Int,
    end: Int,
    s: npt.NDArray[np.uint64],
    w: npt.NDArray[np.uint64],
    ids: npt.NDArray[np.int32],
    ring: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    table: npt.NDArray[np.uint64],
    mark: np.uint64,
    every: np.uint64,
) -> tuple[Int, Int]:
    """Hash the n-grams of data[at:stop]; returns (next position, number of ids)."""
    n: Int = 0
    while at < stop:
        code = np.uint64(data[at])
        step = 1
        if code >= 0xC0:
            point, step = character(data, at, end)
            code = np.uint64(point)
            if 0xFF01 <= code <= 0xFF5E:
                code -= np.uint64(0xFEE0)
        at += step
        capital = bool(65 <= code <= 90)
        if capital:
            code += np.uint64(32)
        digit = bool(48 <= code <= 57)
        if digit:
            code = np.uint64(48)
        letter = bool(97 <= code <= 122 or digit or 0xC0 <= code < 0x2000)
        if letter:
            if w[1] == 0:
                w[2] = _ONE if capital else _ZERO
                w[3] = _ONE
            if not digit:
                w[3] = _ZERO
                before = w[5] if w[1] > 0 else _OTHER
                h = mix(mix(mix(np.uint64(23), w[4]), before), code)
                n = _put(ids, n, LETTERS, h)
                if w[1] >= 3:
                    n = _put(ids, n, LETTERS, mix(mix(np.uint64(29), w[6]), h))
            w[6] = w[4]
            w[4] = w[5]
            w[5] = code
            w[0] = mix(w[0], code)
            w[1] += _ONE
            if at >= end:
                n = _end_word(s, w, ids, n, ring, counts, table, mark, every)
            continue
        if w[1] > 0:
            n = _end_word(s, w, ids, n, ring, counts, table, mark, every)
        if code <= 32 or code == 0x3000 or code == 0xA0:
            continue
        han = code >= 0x2E80 and not (0x3000 <= code <= 0x303F or 0xFE10 <= code <= 0xFE6F)
        n = _han(s, code, _ONE if han else _ZERO, ids, n)
        if han:
            n = _class(s, _OTHER, _ZERO, ids, n)
            s[8] = _OTHER
            _stretch(ring, counts, table, mark, every, code)
        else:
            n = _class(s, code, _ZERO, ids, n)
    return at, n


@njit(cache=True, nogil=True)
def _every(size: Int) -> np.uint64:
    """One stretch in how many is looked at, so that a long text does not fill the table."""
    return np.uint64(1 + size // (3 * (_TABLE // 2)))


@njit(cache=True, nogil=True)
def _measure(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int8],
    sums: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
    repeated: npt.NDArray[np.int64],
) -> None:
    ids = np.empty((_BLOCK + 8) * _PER_BYTE, np.int32)
    s, w = np.empty(9, np.uint64), np.empty(7, np.uint64)
    ring, counts = np.empty(STRETCH, np.uint64), np.empty(3, np.int64)
    table = np.zeros(_TABLE, np.uint64)
    for i in range(starts.size):
        at, end = starts[i], ends[i]
        every, mark = _every(end - at), np.uint64(i + 1)
        s[:] = _ZERO
        w[:] = _ZERO
        counts[:] = 0
        while at < end:
            stop = min(end, at + _BLOCK)
            at, n = _walk(data, at, stop, end, s, w, ids, ring, counts, table, mark, every)
            for j in range(n):
                bucket = ids[j]
                family = (
                    np.int64(bucket >= START[1])
                    + np.int64(bucket >= START[2])
                    + np.int64(bucket >= START[3])
                )
                sums[i, family] += weights[bucket]
                found[i, family] += 1
        repeated[i, 0], repeated[i, 1] = counts[0], counts[1]


@njit(cache=True, nogil=True)
def _ids(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    indptr: npt.NDArray[np.int64],
    out: npt.NDArray[np.int32],
) -> None:
    ids = np.empty((_BLOCK + 8) * _PER_BYTE, np.int32)
    s, w = np.empty(9, np.uint64), np.empty(7, np.uint64)
    ring, counts = np.empty(STRETCH, np.uint64), np.empty(3, np.int64)
    table = np.zeros(_TABLE, np.uint64)
    total: Int = 0
    for i in range(starts.size):
        at, end = starts[i], ends[i]
        s[:] = _ZERO
        w[:] = _ZERO
        counts[:] = 0
        while at < end:
            stop = min(end, at + _BLOCK)
            at, n = _walk(data, at, stop, end, s, w, ids, ring, counts, table, _ONE, _ONE)
            if out.size:
                out[total : total + n] = ids[:n]
            total += n
        indptr[i + 1] = total


def buckets(data: Bytes, starts: Ints, ends: Ints) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Bucket ids, each family's from its START on: (indptr (N + 1,), ids)."""
    indptr = np.zeros(starts.size + 1, np.int64)
    _ids(data, starts, ends, indptr, np.empty(0, np.int32))
    out = np.empty(indptr[-1], np.int32)
    _ids(data, starts, ends, indptr, out)
    return indptr, out


def measure(
    data: Bytes, starts: Ints, ends: Ints, weights: npt.NDArray[np.int8]
) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Of every text: sums of weights and n-grams found, each (N, FAMILIES), repeated share (N,).

    `weights` is (SIZE,).
    """
    n = starts.size
    sums, found = np.zeros((n, FAMILIES), np.int64), np.zeros((n, FAMILIES), np.int64)
    repeated = np.zeros((n, 2), np.int64)
    _measure(data, starts, ends, weights, sums, found, repeated)
    return sums, found, repeated[:, 0] / np.maximum(repeated[:, 1], 1)
