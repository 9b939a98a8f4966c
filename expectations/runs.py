"""How many documents in a row depend on each other, so that a test can count what is independent.

Documents reach an inbox in runs: consecutive pages of one site, chapters of one book, the news of
one day. Twenty neighbors of one source are closer to one draw from the mix than to twenty, and a
test that takes them for twenty alarms on every window.

A run is seen in the order of the documents: neighbors are more alike than documents far apart.
Similarity is measured in several channels (the wording, the leading directions of the texts, the
columns that are compared), each against what shuffled orders give. The mean length of the runs is
the integrated autocorrelation, 1 + 2 Σ r(lag) (Geyer 1992, section 3.1), with r relative to that of
next neighbors, so that loosely similar runs count as runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.expectations.two_sample import Floats

SHUFFLES = 99
"""Shuffled orders that an order is compared with."""
LEAST = 3.0
"""Standard deviations beyond the shuffled orders from which a channel shows runs."""
_FEWEST = 16
"""Documents below which an order says nothing."""
_END = 0.1
"""The correlation below which a run has ended, relative to that of next neighbors."""
_ROUNDS = 4


def run_length(channels: Sequence[Floats], seed: int, most: float = np.inf) -> float:
    """Mean number of consecutive documents in a run, 1 where their order shows none.

    Args:
        channels: each (N, d), one row per document, in their order. The similarity of two
            documents is the product of their rows.
        seed: of the shuffled orders.
        most: the longest run that is of interest.
    """
    n = len(channels[0])
    if n < _FEWEST:
        return 1.0
    draw = np.random.default_rng(seed)
    seen = _neighbors(channels)
    shuffled = np.empty((SHUFFLES, len(channels)))
    for row in shuffled:
        order = draw.permutation(n)
        row[:] = _neighbors([c[order] for c in channels])
    mean, spread = shuffled.mean(axis=0), np.maximum(shuffled.std(axis=0), 1e-12)
    beyond = (seen - mean) / spread
    # The largest of several channels, against the largest in each shuffled order.
    if beyond.max() < LEAST or (((shuffled - mean) / spread).max(axis=1) >= beyond.max()).any():
        return 1.0
    clear = beyond >= max(LEAST, beyond.max() / 2)
    lengths = [_integrated(channels[c], mean[c], most) for c in np.flatnonzero(clear).tolist()]
    return float(min(max(lengths), n, most))


def _neighbors(channels: Sequence[Floats]) -> Floats:
    """Mean similarity of documents one and two apart, in each channel."""
    return np.array([_similar(c - c.mean(axis=0), (1, 2)).mean() for c in channels])


def _similar(centered: Floats, lags: Sequence[int]) -> Floats:
    """Mean similarity of documents so far apart in the order."""
    return np.array([np.einsum("nd,nd->n", centered[:-lag], centered[lag:]).mean() for lag in lags])


def _integrated(channel: Floats, chance: float, most: float) -> float:
    """1 + 2 Σ r(lag) up to where the correlation ends."""
    n = len(channel)
    lags = range(1, int(min(n // 2, 2 * most)) + 1)
    similar = _similar(channel - channel.mean(axis=0), lags) - chance
    length = 1.0
    for _ in range(_ROUNDS):
        # The mean of few runs is near each of them, which hides a part of what they share.
        hidden = similar[:2].max() * length / (n - min(length, n / 2))
        relative = (similar + hidden) / max(float(similar[:2].max() + hidden), 1e-12)
        smooth = np.convolve(relative, np.ones(3) / 3, "valid")
        ended = np.flatnonzero(smooth < _END)
        end = int(ended[0]) + 1 if len(ended) else len(relative)
        length = 1 + 2 * max(0.0, float(relative[:end].sum()))
    return length
