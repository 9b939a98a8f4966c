"""A hashed n-gram logistic model that reads the UTF-8 bytes of an Arrow buffer in one pass.

Text is cut into units: a run of letters or digits (lower case, every digit read as 0) is one
unit, and so is every Chinese character; what lies between is skipped. n-grams of units and, where
asked for, of characters are hashed into 2^bits buckets (feature hashing: Weinberger et al., 2009),
each with a signed 8-bit weight per output. A mark, which stands for something masked, is no n-gram
by itself and part of none of characters: only what stands beside it tells. A text's margin is
bias + scale * sum / count^power: with power 1 the mean over its n-grams, so that a sentence and a
book are judged alike. Sums are integers: the result does not depend on order, batch or machine.

Files are .npz without objects, read with allow_pickle=False. `headrace.spark_jobs.fit.logistic`
makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from headrace.spark_jobs.kernels.utf8 import Int, character
from headrace.spark_jobs.texts import Texts

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_BLOCK = 4096
"""Bytes read before their n-grams are summed: the ids of a block stay in the first cache."""
_TOP = 6
"""The highest order of n-grams."""
# Numba widens 32-bit products to 64 bits, so hashes are 64-bit from the start.
_P = np.uint64(0x9E3779B97F4A7C15)
_Q = np.uint64(0xD6E8FEB86659FD93)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_MARKS = np.uint64(0xE000)
"""First of 256 private-use characters that stand for something masked (kernels.groups)."""
_WORD_SEED = np.uint64(0x51ED270B7A6E3C25)
_CHAR_SEED = np.uint64(0x2545F4914F6CDD1D)


@dataclass(frozen=True)
class NGrams:
    """Which n-grams of a text are looked at."""

    words: tuple[int, ...] = (1, 2)
    """Orders of n-grams of units (words, Chinese characters), each from 1 to 6."""
    chars: tuple[int, ...] = ()
    """Orders of n-grams of characters (white space as one blank), each from 1 to 6."""
    bits: int = 17
    """Base-2 logarithm of the number of buckets, 8 to 24."""

    def __post_init__(self) -> None:
        """Refuse what the kernel does not have.

        Raises:
            ValueError: an order outside 1 to 6, no order at all, or bits outside 8 to 24.
        """
        orders = (*self.words, *self.chars)
        if not orders or min(orders) < 1 or max(orders) > _TOP or not 8 <= self.bits <= 24:
            raise ValueError(f"no such n-grams: {self}; orders 1 to {_TOP}, bits 8 to 24")

    @property
    def masks(self) -> tuple[int, int]:
        """The orders as bit masks: bit n is set where order n is wanted."""
        return sum(1 << n for n in set(self.words)), sum(1 << n for n in set(self.chars))


@njit(cache=True, nogil=True)
def mix(a: np.uint64, b: np.uint64) -> np.uint64:
    """Hash of the pair (a, b), never 0."""
    return (((a ^ b) * _P) ^ (a >> np.uint64(29))) | _ONE


@njit(cache=True, nogil=True)
def _push(
    rolling: npt.NDArray[np.uint64],
    seed: np.uint64,
    unit: np.uint64,
    orders: Int,
    shift: np.uint64,
    ids: npt.NDArray[np.int32],
    n: Int,
) -> Int:
    """Move the rolling hashes on by one unit and add the wanted orders to `ids`; the new count."""
    for k in range(_TOP, 0, -1):
        if orders >> k == 0:
            continue
        before = seed if k == 1 else rolling[k - 1]
        if before == 0:  # fewer than k units so far
            continue
        rolling[k] = mix(before, unit)
        if (orders >> k) & 1:
            ids[n] = np.int32((rolling[k] * _Q) >> shift)
            n += 1
    return n


@njit(cache=True, nogil=True)
def _walk(
    data: npt.NDArray[np.uint8],
    at: Int,
    stop: Int,
    end: Int,
    words: Int,
    chars: Int,
    shift: np.uint64,
    state: npt.NDArray[np.uint64],
    ids: npt.NDArray[np.int32],
) -> tuple[Int, Int]:
    """Hash the n-grams of data[at:stop] into `ids`; returns (next position, number of ids).

    `state` (3, _TOP + 1) uint64 carries the text's rolling hashes from block to block, zeros at
    its beginning; a unit that touches `end`, where the text ends, is closed there.
    """
    n: Int = 0
    word = state[2, 0]  # hash of the word being read, 0 between words
    blank = state[2, 1]  # 1 after white space
    while at < stop:
        code = np.uint64(data[at])
        step = 1
        if code >= 0xC0:  # the first byte of a character of two to four bytes
            point, step = character(data, at, end)
            code = np.uint64(point)
            if 0xFF01 <= code <= 0xFF5E:  # full-width forms of ASCII
                code -= np.uint64(0xFEE0)
        at += step
        letter = alone = False
        if code < 0x80:
            if 65 <= code <= 90:
                code += np.uint64(32)
            elif 48 <= code <= 57:
                code = np.uint64(48)
            letter = bool(97 <= code <= 122 or code == 48)
        elif code >= 0x2E80:
            alone = not bool(0x3000 <= code <= 0x303F or 0xFE10 <= code <= 0xFE6F)
        else:
            letter = bool(0xC0 <= code < 0x2000)
        mark = bool(_MARKS <= code < _MARKS + 256)
        if chars and mark:
            state[1] = _ZERO
            blank = _ZERO
        elif chars:
            space = _ONE if code <= 32 or code == 0x3000 else _ZERO
            if not (space and blank):
                unit = np.uint64(32) if space else code
                n = _push(state[1], _CHAR_SEED, unit, chars, shift, ids, n)
            blank = space
        if words:
            if word != 0 and not letter:
                n = _push(state[0], _WORD_SEED, word, words, shift, ids, n)
                word = _ZERO
            if letter:
                word = mix(word, code)
                if at >= end:
                    n = _push(state[0], _WORD_SEED, word, words, shift, ids, n)
                    word = _ZERO
            elif alone:
                orders = words & ~2 if mark else words
                n = _push(state[0], _WORD_SEED, (code * _Q) | _ONE, orders, shift, ids, n)
    state[2, 0] = word
    state[2, 1] = blank
    return at, n


@njit(cache=True, nogil=True)
def _sums(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    words: Int,
    chars: Int,
    shift: np.uint64,
    per_byte: int,
    weights: npt.NDArray[np.int8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sum the weights (buckets, K) over each span's n-grams: (N, K) int64 and counts (N,)."""
    outputs = weights.shape[1]
    sums = np.zeros((starts.size, outputs), np.int64)
    counts = np.zeros(starts.size, np.int64)
    ids = np.empty((_BLOCK + 4) * per_byte, np.int32)
    state = np.empty((3, _TOP + 1), np.uint64)
    here = np.empty(outputs, np.int64)
    for i in range(starts.size):
        at, end = starts[i], ends[i]
        state[:] = 0
        here[:] = 0
        while at < end:
            stop = min(end, at + _BLOCK)
            at, n = _walk(data, at, stop, end, words, chars, shift, state, ids)
            counts[i] += n
            for j in range(n):
                row = ids[j]
                for k in range(outputs):
                    here[k] += weights[row, k]
        sums[i] = here
    return sums, counts


@njit(cache=True, nogil=True)
def _ids(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    words: Int,
    chars: Int,
    shift: np.uint64,
    per_byte: int,
    indptr: npt.NDArray[np.int64],
    out: npt.NDArray[np.int32],
) -> None:
    """Fill `indptr`, and `out` too unless it is empty: bucket ids a span."""
    ids = np.empty((_BLOCK + 4) * per_byte, np.int32)
    state = np.empty((3, _TOP + 1), np.uint64)
    total: Int = 0
    for i in range(starts.size):
        at, end = starts[i], ends[i]
        state[:] = 0
        while at < end:
            stop = min(end, at + _BLOCK)
            at, n = _walk(data, at, stop, end, words, chars, shift, state, ids)
            if out.size:
                out[total : total + n] = ids[:n]
            total += n
        indptr[i + 1] = total


def buckets(
    ngrams: NGrams, data: Bytes, starts: Ints, ends: Ints
) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Bucket ids of every span as a sparse matrix: (indptr (N + 1,) int64, ids int32)."""
    words, chars = ngrams.masks
    per_byte = len(ngrams.words) + len(ngrams.chars)
    indptr = np.zeros(starts.size + 1, np.int64)
    args = (data, starts, ends, words, chars, np.uint64(64 - ngrams.bits), per_byte, indptr)
    _ids(*args, np.empty(0, np.int32))
    out = np.empty(indptr[-1], np.int32)
    _ids(*args, out)
    return indptr, out


def probabilities(margins: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-odds as probabilities."""
    odds = np.clip(margins, -40, 40).astype(np.float64)
    scores: npt.NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return scores.astype(np.float32)


@dataclass(frozen=True)
class LinearModel:
    """K independent logistic outputs over hashed n-grams."""

    ngrams: NGrams
    outputs: tuple[str, ...]
    """Name of each output."""
    weights: npt.NDArray[np.int8]
    """(2^bits, K) weights in units of `scale`."""
    scale: npt.NDArray[np.float32]
    """(K,) size of one unit of weight; calibration is folded in."""
    bias: npt.NDArray[np.float32]
    """(K,) margin of a text without n-grams."""
    power: float = 1.0
    """The sum is divided by count^power."""

    @classmethod
    def load(cls, path: Path) -> LinearModel:
        """Load the model from an .npz file that `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                NGrams(
                    tuple(file["words"].tolist()), tuple(file["chars"].tolist()), int(file["bits"])
                ),
                tuple(file["outputs"].tolist()),
                np.ascontiguousarray(file["weights"]),
                file["scale"],
                file["bias"],
                float(file["power"]),
            )

    def save(self, path: Path, **more: npt.NDArray[np.float64]) -> None:
        """Write the model as .npz without objects, `more` arrays with it."""
        arrays: dict[str, Any] = dict(
            words=np.array(self.ngrams.words, np.int8),
            chars=np.array(self.ngrams.chars, np.int8),
            bits=np.int8(self.ngrams.bits),
            outputs=np.array(self.outputs),
            weights=self.weights,
            scale=self.scale,
            bias=self.bias,
            power=np.float32(self.power),
        )
        np.savez_compressed(path, **(arrays | more))

    def margins(self, data: Bytes, starts: Ints, ends: Ints) -> npt.NDArray[np.float32]:
        """(N, K) log-odds of the spans data[starts[i]:ends[i]]; they may overlap."""
        return self.counted(data, starts, ends)[0]

    def counted(
        self, data: Bytes, starts: Ints, ends: Ints
    ) -> tuple[npt.NDArray[np.float32], Ints]:
        """`margins`, and the number of n-grams (N,) that each rests on."""
        words, chars = self.ngrams.masks
        shift = np.uint64(64 - self.ngrams.bits)
        per_byte = len(self.ngrams.words) + len(self.ngrams.chars)
        sums, counts = _sums(data, starts, ends, words, chars, shift, per_byte, self.weights)
        size = np.maximum(counts, 1).astype(np.float64) ** self.power
        margins: npt.NDArray[np.float64] = self.bias + self.scale * (sums / size[:, None])
        return margins.astype(np.float32), counts

    def span_scores(self, data: Bytes, starts: Ints, ends: Ints) -> npt.NDArray[np.float32]:
        """(N, K) probabilities of the spans data[starts[i]:ends[i]]."""
        return probabilities(self.margins(data, starts, ends))

    def scores(self, texts: Texts) -> npt.NDArray[np.float32]:
        """(N, K) probabilities of whole texts, folded."""
        return self.span_scores(texts.folded, texts.offsets[:-1], texts.offsets[1:])
