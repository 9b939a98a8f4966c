"""Texts as points: centered, their leading directions, and which lie nearest to which."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.expectations.two_sample import Floats, Ints, Units

Rows = npt.NDArray[np.int64]
Points = npt.NDArray[np.float32]
"""(N, d) whole numbers; see `centered`."""


def centered(vectors: Points) -> Points:
    """Vectors about their mean, of unit length, in whole steps of 1/2000.

    Whole numbers make every later product exact in 32-bit floating point (the product of two is at
    most 2000 squared, below 2^24), so that the verdict does not depend on the order of addition.
    """
    about = vectors - vectors.mean(axis=0, dtype=np.float64)
    about /= np.maximum(np.linalg.norm(about, axis=1, keepdims=True), 1e-9)
    steps: Points = np.rint(about * 2000).astype(np.float32)
    return steps


def leading(points: Points, count: int) -> tuple[Floats, Floats]:
    """(N, d) coordinates along the leading directions of all points, and their (d,) deviations.

    The coordinates are of unit variance; times the deviations they are as far apart as the points.
    """
    wide = points.astype(np.float64)
    wide -= wide.mean(axis=0)
    n, dimensions = wide.shape
    few = n < dimensions
    # Of few points the matrix of products between points is the smaller one, with the same axes.
    square, axes = np.linalg.eigh(wide @ wide.T if few else wide.T @ wide)
    lead = np.argsort(-square)[: max(1, min(count, n // 4))]
    lead = lead[square[lead] > 1e-6 * max(float(square[lead[0]]), 1e-9)]
    scaled = axes[:, lead] * np.sqrt(n)
    deviations = np.sqrt(np.maximum(square[lead], 0.0) / n)
    return np.asarray(scaled if few else wide @ scaled / np.sqrt(square[lead])), deviations


def nearest(points: Points, units: Units, reach: tuple[float, float], k: int, seed: int) -> Ints:
    """(N, up to k) the most similar documents of each; of equal ones the earlier.

    One document of each unit, drawn at random, can be a neighbor, so that a run of twenty is one
    neighbor and not twenty. Documents of the same side that stand within one and a half lengths of
    a run of each other are none: they are alike because they came together, and some runs are
    longer than the mean.

    Args:
        points: (N, d) in the order of arrival, the reference first.
        units: the same documents.
        reach: length of a run in the reference and in the window.
        k: neighbors wanted.
        seed: of the draws.
    """
    n = len(points)
    shuffled = np.random.default_rng(seed).permutation(n)
    _, first = np.unique(units.of[shuffled], return_index=True)
    chosen = np.sort(shuffled[first])
    side = units.side.astype(np.int64)
    # A unit by itself is only kept from being its own neighbor.
    apart = np.array([int(np.ceil(1.5 * r)) if r > 1 else 0 for r in reach])[side]
    # On either side of a document at most so many candidates are too near in the order.
    k = max(1, min(k, len(chosen) - int(_too_near(chosen, side, apart).max())))
    out = np.empty((n, k), np.int32)
    # Similarities are whole numbers, so that a fraction of the index breaks ties.
    later = chosen.astype(np.float64) / n
    for at in range(0, n, 512):
        rows = np.arange(at, min(at + 512, n))
        similar = (points[rows] @ points[chosen].T).astype(np.float64) - later
        close = np.abs(rows[:, None] - chosen) <= apart[rows, None]
        similar[close & (side[rows, None] == side[chosen])] = -np.inf
        out[rows] = chosen[np.argpartition(-similar, k - 1, axis=1)[:, :k]]
    return out


def _too_near(chosen: Rows, side: Rows, apart: Rows) -> Rows:
    """(N,) how many candidates of its own side are within `apart` of each document."""
    at, first = np.arange(len(side)), int((side == 0).sum())
    low = np.maximum(at - apart, np.where(side == 0, 0, first))
    high = np.minimum(at + apart, np.where(side == 0, first - 1, len(side) - 1))
    inside: Rows = np.searchsorted(chosen, high, "right") - np.searchsorted(chosen, low, "left")
    return inside
