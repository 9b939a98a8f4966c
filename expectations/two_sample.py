"""Two-sample tests by permutation: one set of permuted labels serves all tests of a comparison.

Each test gives a statistic, and a distance between 0 and 1: a lower bound on the share of the
window that would have to be exchanged to make it look like the reference (total variation).
The family-wise p-value is the single-step max-T of Westfall and Young (1993), which is exact for
exchangeable documents, however much the tests depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]
"""(B + 1, N): row 0 is the truth, the others are permuted; 1 is the window, 0 the reference."""
Floats = npt.NDArray[np.float64]

DISTANCES = 200
"""Permutations from which the distance that chance alone gives is taken."""


@dataclass(frozen=True)
class Outcome:
    """What one test saw under each row of labels."""

    name: str
    statistic: Floats
    """(B + 1,) larger is more different."""
    distance: Floats
    """(1 + up to DISTANCES,) between 0 and 1."""

    @property
    def effect(self) -> float:
        """The distance beyond what chance gives, 0 where there is none."""
        chance = float(np.mean(self.distance[1:] ** 2)) if len(self.distance) > 1 else 0.0
        return float(np.sqrt(max(0.0, float(self.distance[0]) ** 2 - chance)))


def permuted_labels(reference: int, window: int, permutations: int, seed: int) -> Labels:
    """Labels of `reference` + `window` documents and `permutations` random rearrangements."""
    truth = np.r_[np.zeros(reference, np.uint8), np.ones(window, np.uint8)]
    rows = np.tile(truth, (permutations + 1, 1))
    np.random.default_rng(seed).permuted(rows[1:], axis=1, out=rows[1:])
    return rows


def adjusted(outcomes: list[Outcome]) -> list[float]:
    """Family-wise p-value of each test, in order: single-step max-T over standardised statistics.

    Standardised with the moments of all rows, the observed one too, so that every row is treated
    alike and the level is exact.
    """
    z = np.stack([o.statistic for o in outcomes])
    spread = z.std(axis=1, keepdims=True)
    z = (z - z.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    largest = z[:, 1:].max(axis=0)
    return [float((1 + (largest >= z[j, 0]).sum()) / (1 + len(largest))) for j in range(len(z))]


@nb.njit(cache=True)
def _shares(
    labels: npt.NDArray[np.uint8], codes: npt.NDArray[np.int32], classes: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, n = labels.shape
    total = np.zeros(classes)
    for i in range(n):
        total[codes[i]] += 1
    statistic, distance = np.zeros(rows), np.zeros(rows)
    for b in range(rows):
        inside = np.zeros(classes)
        size = 0
        for i in range(n):
            inside[codes[i]] += labels[b, i]
            size += labels[b, i]
        for c in range(classes):
            if total[c] > 0:
                gap = inside[c] / size - (total[c] - inside[c]) / (n - size)
                statistic[b] += gap * gap / (total[c] / n)
                distance[b] += abs(gap) / 2
        statistic[b] = np.sqrt(statistic[b])
    return statistic, distance


def categories(name: str, labels: Labels, codes: npt.NDArray[np.int32]) -> Outcome:
    """Shares of categories: root of Pearson's chi-square per document, and total variation."""
    statistic, distance = _shares(labels, codes, int(codes.max()) + 1)
    return Outcome(name, statistic, distance[: DISTANCES + 1])


@nb.njit(cache=True)
def _ks(
    labels: npt.NDArray[np.uint8], order: npt.NDArray[np.int64], last: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    rows, n = labels.shape[0], len(order)
    out = np.zeros(rows)
    for b in range(rows):
        size = 0
        for i in order:
            size += labels[b, i]
        if size == 0 or size == n:
            continue
        inside = 0
        for k in range(n):
            inside += labels[b, order[k]]
            if last[k]:
                gap = abs(inside / size - (k + 1 - inside) / (n - size))
                if gap > out[b]:
                    out[b] = gap
    return out


def numbers(name: str, labels: Labels, values: Floats) -> Outcome:
    """Kolmogorov-Smirnov distance of a score; documents without one (nan) are left out of it."""
    order = np.argsort(values, kind="stable")
    order = order[~np.isnan(values[order])]
    ranked = values[order]
    last = np.r_[ranked[1:] != ranked[:-1], True]
    distance = _ks(labels, order, last)
    return Outcome(name, distance, distance[: DISTANCES + 1])


@nb.njit(cache=True)
def _neighbours(
    labels: npt.NDArray[np.uint8], near: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, n = labels.shape
    k = near.shape[1]
    statistic, distance = np.zeros(rows), np.zeros(rows)
    for b in range(rows):
        seen = np.zeros((2, k + 1))
        for i in range(n):
            inside = 0
            for j in range(k):
                inside += labels[b, near[i, j]]
            seen[labels[b, i], inside] += 1
        size, rest = seen[1].sum(), seen[0].sum()
        low = high = 0.0
        for j in range(k + 1):
            statistic[b] += j * seen[1, j] / size + (k - j) * seen[0, j] / rest
            high += seen[1, j] / size
            low += seen[0, j] / rest
            distance[b] = max(distance[b], low - high)
    return statistic / k, distance


def neighbours(name: str, labels: Labels, near: npt.NDArray[np.int32]) -> Outcome:
    """How often a document's nearest neighbours are of its own side (Schilling 1986, Henze 1988).

    Sees a new topic as a cluster of its own, however small a part of the window it is. The
    distance is that of the neighbours' labels as a score.

    Args:
        name: name of the test.
        labels: (B + 1, N).
        near: (N, k) indices of the nearest other documents.
    """
    statistic, distance = _neighbours(labels, near)
    return Outcome(name, statistic, distance[: DISTANCES + 1])


def directions(name: str, labels: Labels, points: Floats) -> Outcome:
    """Hotelling's T-squared on points whose columns are uncorrelated and of unit variance.

    Sees a shift of the whole window, and of shares of topics. The distance is that of the
    projection on the discriminant, found anew for every row of labels.

    Args:
        name: name of the test.
        labels: (B + 1, N).
        points: (N, d).
    """
    centred = points - points.mean(axis=0)
    share = labels[0].mean()
    means = np.empty((len(labels), points.shape[1]))
    for at in range(0, len(labels), 256):
        means[at : at + 256] = (labels[at : at + 256] - share) @ centred
    distance = [
        _ks(
            labels[b : b + 1],
            np.argsort(score := centred @ means[b], kind="stable"),
            np.ones(len(score), np.bool_),
        )[0]
        for b in range(min(DISTANCES + 1, len(labels)))
    ]
    return Outcome(name, np.linalg.norm(means, axis=1), np.array(distance))
