"""MinHash signatures of texts by one permutation, and the comparison of candidates.

One hash a shingle: its top bits choose one of 128 bins, and each bin keeps the smallest value (Li,
Owen, Zhang 2012, "One permutation hashing"). An empty bin borrows from a bin that a fixed hash of
its number chooses (Shrivastava 2017, "Optimal densification"). Shingles are five characters of a
Chinese text and five words of any other, letters and digits only, so that layout and punctuation
don't matter.
"""

from __future__ import annotations

from typing import Any, cast

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra.arrow import Binaries, numbers
from headrace.spark_jobs.kernels.utf8 import Int
from headrace.spark_jobs.texts import ZH, Texts

BINS = 128
"""Values of a signature: the standard error of an estimate is at most 0.045."""
BANDS = 16
"""Bands of eight values: two records of similarity .8, .85, .9 share one with probability .95,
.99, 1."""
SHINGLE = 5

_U = np.uint64
_P = _U(0x9E3779B97F4A7C15)
_P5 = _U(pow(0x9E3779B97F4A7C15, 5, 1 << 64))
_EMPTY = _U(0xFFFFFFFFFFFFFFFF)


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(x: np.uint64) -> np.uint64:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U(27))) * _U(0x94D049BB133111EB)
    return x ^ (x >> _U(31))


@numba.njit(cache=True, nogil=True)
def _is_letter(c: np.int64) -> bool | np.bool_:
    """Letters and digits; of other scripts all but spaces, punctuation and private use."""
    if c < 0x80:
        return 48 <= c <= 57 or 97 <= c <= 122
    if c < 0xC0:
        return False
    return not (
        0x2000 <= c <= 0x2BFF
        or 0x3000 <= c <= 0x3004
        or 0x3008 <= c <= 0x3020
        or 0xE000 <= c <= 0xF8FF
        or 0xFE00 <= c <= 0xFE6F
        or 0xFF00 <= c <= 0xFF0F
        or 0xFF1A <= c <= 0xFF20
        or 0xFF3B <= c <= 0xFF40
        or 0xFF5B <= c <= 0xFF65
        or c == 0xFEFF
        or c == 0xFFFD
    )


@numba.njit(cache=True, nogil=True, inline="always")
def _put(bins: npt.NDArray[np.uint64], h: np.uint64) -> None:
    x = _mix(h)
    b = x >> _U(57)
    if x < bins[b]:
        bins[b] = x


@numba.njit(cache=True, nogil=True)
def _shingles(
    data: npt.NDArray[np.uint8],
    i: Int,
    stop: Int,
    by_character: bool | np.bool_,
    bins: npt.NDArray[np.uint64],
) -> int:
    """Fill `bins` with the smallest hash of each from the shingles of data[i:stop]."""
    ring = np.zeros(SHINGLE, np.uint64)
    units, rolling, word, in_word = 0, _U(0), _U(0xCBF29CE484222325), False
    while i <= stop:
        c = np.int64(32)  # a space after the end closes the last word
        if i < stop:
            c = np.int64(data[i])
            if c < 0x80:
                i += 1
                if 65 <= c <= 90:
                    c += 32
            elif c < 0xE0:
                c = (c & 0x1F) << 6 | data[i + 1] & 0x3F
                i += 2
            elif c < 0xF0:
                c = (c & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | data[i + 2] & 0x3F
                i += 3
            else:
                c = (
                    (c & 0x07) << 18
                    | (data[i + 1] & 0x3F) << 12
                    | (data[i + 2] & 0x3F) << 6
                    | data[i + 3] & 0x3F
                )
                i += 4
        else:
            i += 1
        letter = _is_letter(c)
        if by_character:
            if not letter:
                continue
            unit = _U(c)
        elif letter:
            word = (word ^ _U(c)) * _U(0x100000001B3)
            in_word = True
            continue
        elif in_word:
            unit = _mix(word)
            word, in_word = _U(0xCBF29CE484222325), False
        else:
            continue
        k = units % SHINGLE
        rolling = rolling * _P + unit - ring[k] * _P5
        ring[k] = unit
        units += 1
        if units >= SHINGLE:
            _put(bins, rolling)
    if 0 < units < SHINGLE:
        _put(bins, rolling)
    return units


@numba.njit(cache=True, nogil=True)
def _sign(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    by_character: npt.NDArray[np.bool_],
    signature: npt.NDArray[np.uint16],
    bands: npt.NDArray[np.int64],
) -> None:
    bins = np.empty(BINS, np.uint64)
    full = np.empty(BINS, np.uint64)
    rows = BINS // BANDS
    for n in range(offsets.size - 1):
        bins[:] = _EMPTY
        units = _shingles(data, offsets[n], offsets[n + 1], by_character[n], bins)
        if units == 0:  # nothing but punctuation: alike only where the bytes are
            h = _U(0)
            for i in range(offsets[n], offsets[n + 1]):
                h = (h ^ _U(data[i])) * _U(0x100000001B3)
            _put(bins, h)
        for b in range(BINS):
            k, attempt = np.int64(b), 0
            while bins[k] == _EMPTY:
                attempt += 1
                k = np.int64(_mix(_U(b * 100_003 + attempt)) >> _U(57))
            # The borrowed value is the lender's; the bin's number must not enter it.
            full[b] = bins[k]
            signature[n, b] = np.uint16(_mix(bins[k] + _U(1)) & _U(0xFFFF))
        for band in range(BANDS):
            h = _U(band)
            for r in range(rows):
                h = _mix(h * _P + full[band * rows + r])
            bands[n, band] = np.int64(h)


def signatures(texts: Texts) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """((N, BINS) signatures, (N, BANDS) hashes of their bands) of N texts."""
    n = len(texts.text)
    signature = np.empty((n, BINS), np.uint16)
    bands = np.empty((n, BANDS), np.int64)
    _sign(texts.folded, texts.offsets, texts.lang == ZH, signature, bands)
    return signature, bands


def packed(signature: npt.NDArray[np.uint16]) -> Binaries:
    """(N, BINS) signatures as N binaries, without a copy."""
    offsets = np.arange(len(signature) + 1, dtype=np.int32) * (BINS * 2)
    buffers = [None, *(pa.py_buffer(cast(bytes, part)) for part in (offsets, signature))]
    return pa.Array.from_buffers(pa.binary(), len(signature), buffers)


def unpacked(signature: Binaries) -> npt.NDArray[np.uint16]:
    """(N, BINS) signatures of N binaries, none of them null."""
    n = len(signature)
    _, offsets, data = signature.buffers()
    first = int(numbers(offsets, np.int32)[signature.offset]) // 2
    return numbers(data, np.uint16)[first : first + n * BINS].reshape(-1, BINS)


def band_lists(bands: npt.NDArray[np.int64]) -> pa.Array[Any]:
    """(N, BANDS) hashes as N lists."""
    offsets = np.arange(len(bands) + 1, dtype=np.int32) * BANDS
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(bands.ravel(), pa.int64())
    )


HELD = 256
"""Records of one band that later ones are compared with, so that a band that a third of all
records share costs time and memory in proportion to them."""
FIRST = 64
"""Records of a band that are compared with each other whatever they are like."""


@numba.njit(cache=True, nogil=True)
def _match(
    band: npt.NDArray[np.int64],
    doc: npt.NDArray[np.int64],
    old: npt.NDArray[np.bool_],
    signature: npt.NDArray[np.uint16],
    need: Int,
    state: npt.NDArray[np.int64],
    held_doc: npt.NDArray[np.int64],
    held: npt.NDArray[np.uint16],
    u: npt.NDArray[np.int64],
    v: npt.NDArray[np.int64],
) -> tuple[int, int]:
    edges = 0
    for n in range(band.size):
        if state[1] < 0 or band[n] != state[0]:
            state[0], state[1], state[2] = band[n], 0, 0
        if (
            edges + state[1] > u.size
        ):  # no room for all that this row may add: continue in a new call
            return edges, n
        met = False
        for k in range(state[1]):
            # An ancestor's document (a negative number) is never compared with another one.
            if old[n] and held_doc[k] < 0:
                continue
            same = 0
            for b in range(BINS):
                same += held[k, b] == signature[n, b]
            if same >= need:
                met = True
                u[edges], v[edges] = held_doc[k], doc[n]
                edges += 1
                if state[2] >= FIRST:
                    break
        if state[2] < FIRST or (not met and state[1] < HELD):
            held_doc[state[1]] = doc[n]
            held[state[1]] = signature[n]
            state[1] += 1
        state[2] += 1
    return edges, band.size


class Matcher:
    """Pairs of similar records among rows that come sorted by band; the state is one band's."""

    def __init__(self, threshold: float) -> None:
        self._need = int(np.ceil(threshold * BINS))
        self._state = np.array([0, -1, 0], np.int64)
        self._doc = np.zeros(HELD, np.int64)
        self._held = np.zeros((HELD, BINS), np.uint16)

    def match(
        self,
        band: npt.NDArray[np.int64],
        doc: npt.NDArray[np.int64],
        signature: npt.NDArray[np.uint16],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(u, v): record u came before v in a band and their estimated similarity is enough."""
        us, vs, at = [], [], 0
        u, v = np.empty(1 << 16, np.int64), np.empty(1 << 16, np.int64)
        while at < band.size:
            edges, used = _match(
                band[at:], doc[at:], doc[at:] < 0, signature[at:], self._need,
                self._state, self._doc, self._held, u, v,
            )  # fmt: skip
            us.append(u[:edges].copy())
            vs.append(v[:edges].copy())
            at += used
        none = np.zeros(0, np.int64)
        return np.concatenate([none, *us]), np.concatenate([none, *vs])
