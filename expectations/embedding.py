"""Texts as points: hashed byte n-grams, weighted by rarity, in a fixed sparse random projection.

No vocabulary and no model, so that any language, any topic and any fault of encoding moves a text.
Feature hashing after Weinberger et al. (2009), sparse projection after Li, Hastie, Church (2006).
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra import arrow
from headrace.infra.arrow import Strings

ORDERS = (2, 3, 4, 6)
"""Bytes of an n-gram: 3 and 6 are one and two Chinese characters, 4 and 6 parts of a word."""
BUCKETS = 1 << 15
"""Distinct hashed n-grams before the projection."""
_COPIES = 4
"""Places of the projection that each bucket adds to, with a sign."""


@nb.njit(cache=True, inline="always")
def _mix(h: np.uint64) -> np.uint64:
    """Finalize as splitmix64 does: every bit of the result depends on every bit of `h`."""
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@nb.njit(cache=True)
def _count(
    data: npt.NDArray[np.uint8],
    start: int,
    end: int,
    counts: npt.NDArray[np.int32],
    touched: npt.NDArray[np.int32],
    n: int,
) -> int:
    """Count the n-grams of one span; `touched[:n]` are the buckets counted so far; returns n."""
    for order in ORDERS:
        for i in range(start, end - order + 1):
            value = np.uint64(order)
            for j in range(i, i + order):
                value = (value << np.uint64(8)) | np.uint64(data[j])
            bucket = np.int32(_mix(value) & np.uint64(BUCKETS - 1))
            if counts[bucket] == 0:
                touched[n] = bucket
                n += 1
            counts[bucket] += 1
    return n


@nb.njit(cache=True)
def _project(
    data: npt.NDArray[np.uint8], spans: npt.NDArray[np.int64], dimensions: int
) -> npt.NDArray[np.float32]:
    """(N, dimensions) unit vectors of texts given as (N, 4) spans start, end, start, end."""
    texts = spans.shape[0]
    counts = np.zeros(BUCKETS, np.int32)
    touched = np.empty(BUCKETS, np.int32)
    seen_in = np.zeros(BUCKETS, np.int64)
    for t in range(texts):
        n = _count(data, spans[t, 0], spans[t, 1], counts, touched, 0)
        n = _count(data, spans[t, 2], spans[t, 3], counts, touched, n)
        for k in range(n):
            seen_in[touched[k]] += 1
            counts[touched[k]] = 0
    rarity = np.log((1.0 + texts) / (1.0 + seen_in))
    place = np.empty((BUCKETS, _COPIES), np.int32)
    sign = np.empty((BUCKETS, _COPIES), np.float32)
    for b in range(BUCKETS):
        for c in range(_COPIES):
            h = _mix(np.uint64(b * _COPIES + c + 1) * np.uint64(0x9E3779B97F4A7C15))
            place[b, c] = np.int32((h >> np.uint64(1)) % np.uint64(dimensions))
            sign[b, c] = 1.0 if h & np.uint64(1) else -1.0
    out = np.zeros((texts, dimensions), np.float32)
    for t in range(texts):
        n = _count(data, spans[t, 0], spans[t, 1], counts, touched, 0)
        n = _count(data, spans[t, 2], spans[t, 3], counts, touched, n)
        norm = 0.0
        for k in range(n):
            b = touched[k]
            weight = np.log1p(counts[b]) * rarity[b]
            norm += weight * weight
            for c in range(_COPIES):
                out[t, place[b, c]] += np.float32(weight) * sign[b, c]
            counts[b] = 0
        if norm > 0.0:
            out[t] /= np.float32(np.sqrt(norm * _COPIES))
    return out


def embed(text: Strings, max_bytes: int = 2048, dimensions: int = 512) -> npt.NDArray[np.float32]:
    """(N, dimensions) vectors of N texts, of about unit length; the rarity weights are theirs.

    Of a text longer than `max_bytes` the first half of that many bytes counts and as many from
    its middle, so that a long document costs no more than a short one and weighs no more.

    Args:
        text: pa.string() of length N; null counts as empty.
        max_bytes: bytes of a text that are looked at.
        dimensions: length of a vector.
    """
    text = pa.concat_arrays([arrow.fill_null(text.cast(pa.large_string()), "")])
    n = len(text)
    if n == 0:
        return np.zeros((0, dimensions), np.float32)
    _, positions, raw = text.buffers()
    offsets = arrow.numbers(positions, np.int64)[text.offset : text.offset + n + 1]
    data = arrow.numbers(raw, np.uint8)
    start, end = offsets[:-1], offsets[1:]
    half = max_bytes // 2
    long = end - start > max_bytes
    middle = (start + end) // 2
    spans = np.stack(
        [
            start,
            np.where(long, start + half, end),
            np.where(long, np.maximum(middle, start + half), end),
            np.where(long, np.maximum(middle, start + half) + half, end),
        ],
        axis=1,
    )
    return _project(data, spans, dimensions)
