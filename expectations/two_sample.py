"""Two-sample tests by permutation: one set of permuted labels serves all tests of a comparison.

What is permuted is the *unit*: a document by itself, or a run of neighbors that depend on each
other (runs.py). A document weighs one over the size of its unit, so that each unit counts once.
Where every unit is one document, this is the ordinary permutation test.

Each test gives a statistic, and a distance between 0 and 1: a lower bound on the share of the
window that would have to be exchanged to make it look like the reference (total variation).
The family-wise p-value is the single-step max-T of Westfall and Young (1993), which is exact for
exchangeable units, however much the tests depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]
"""(B + 1, G): row 0 is the truth, the others are permuted; 1 is the window, 0 the reference."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

DISTANCES = 200
"""Permutations from which the distance that chance alone gives is taken."""


@dataclass(frozen=True)
class Units:
    """N documents in G units, with the units' true and permuted labels."""

    of: Ints
    """(N,) the unit of each document, 0…G-1."""
    weight: Floats
    """(N,) one over the size of the document's unit."""
    labels: Labels

    @property
    def side(self) -> Labels:
        """(N,) the true label of each document."""
        side: Labels = self.labels[0][self.of]
        return side


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
    """Labels of `reference` + `window` units and `permutations` random rearrangements."""
    truth = np.r_[np.zeros(reference, np.uint8), np.ones(window, np.uint8)]
    rows = np.tile(truth, (permutations + 1, 1))
    np.random.default_rng(seed).permuted(rows[1:], axis=1, out=rows[1:])
    return rows


def blocks(documents: int, length: float) -> Ints:
    """(documents,) the block of each document: consecutive ones, each block about `length` long."""
    count = max(1, round(documents / length))
    return (np.arange(documents, dtype=np.int64) * count // documents).astype(np.int32)


def units_of(reference: Ints, window: Ints, permutations: int, seed: int) -> Units:
    """Build a comparison's units from the unit numbers (0, 1, …) of either side's documents."""
    first = int(reference.max()) + 1
    of = np.concatenate([reference, window + first]).astype(np.int32)
    labels = permuted_labels(first, int(window.max()) + 1, permutations, seed)
    return Units(of, 1.0 / np.bincount(of)[of], labels)


def adjusted(outcomes: list[Outcome]) -> list[float]:
    """Family-wise p-value of each test, in order: single-step max-T over standardized statistics.

    Standardized with the moments of all rows, the observed one too, so that every row is treated
    alike and the level is exact.
    """
    z = np.stack([o.statistic for o in outcomes])
    spread = z.std(axis=1, keepdims=True)
    z = (z - z.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    largest = z[:, 1:].max(axis=0)
    return [float((1 + (largest >= z[j, 0]).sum()) / (1 + len(largest))) for j in range(len(z))]


def categories(name: str, units: Units, codes: Ints) -> Outcome:
    """Shares of categories: root of Pearson's chi-square per unit, and total variation."""
    count = units.labels.shape[1]
    shares = np.zeros((count, int(codes.max()) + 1))
    np.add.at(shares, (units.of, codes), units.weight)
    total = shares.sum(axis=0)
    shares, total = shares[:, total > 0], total[total > 0]
    size = units.labels.sum(axis=1, dtype=np.float64)[:, None]
    inside = np.empty((len(units.labels), len(total)))
    for at in range(0, len(inside), 256):
        inside[at : at + 256] = units.labels[at : at + 256] @ shares
    gap = inside / size - (total - inside) / (count - size)
    statistic = np.sqrt((gap**2 / (total / count)).sum(axis=1))
    return Outcome(name, statistic, np.abs(gap[: DISTANCES + 1]).sum(axis=1) / 2)


@nb.njit(cache=True)
def _ks(
    labels: Labels, of: Ints, weight: Floats, order: Ints, last: npt.NDArray[np.bool_]
) -> Floats:
    rows, n = labels.shape[0], len(order)
    out = np.zeros(rows)
    for b in range(rows):
        window = total = 0.0
        for k in range(n):
            i = order[k]
            total += weight[i]
            if labels[b, of[i]]:
                window += weight[i]
        if window <= 0.0 or window >= total:
            continue
        inside = outside = 0.0
        for k in range(n):
            i = order[k]
            if labels[b, of[i]]:
                inside += weight[i]
            else:
                outside += weight[i]
            if last[k]:
                gap = abs(inside / window - outside / (total - window))
                if gap > out[b]:
                    out[b] = gap
    return out


def numbers(name: str, units: Units, values: Floats) -> Outcome:
    """Kolmogorov-Smirnov distance of a score; documents without one (nan) are left out of it."""
    order = np.argsort(values, kind="stable").astype(np.int32)
    order = order[~np.isnan(values[order])]
    ranked = values[order]
    last = np.r_[ranked[1:] != ranked[:-1], True]
    distance = _ks(units.labels, units.of, units.weight, order, last)
    return Outcome(name, distance, distance[: DISTANCES + 1])


@nb.njit(cache=True)
def _neighbors(labels: Labels, of: Ints, weight: Floats, near: Ints) -> tuple[Floats, Floats]:
    rows = labels.shape[0]
    n, k = near.shape
    statistic, distance = np.zeros(rows), np.zeros(rows)
    for b in range(rows):
        seen = np.zeros((2, k + 1))
        for i in range(n):
            inside = 0
            for j in range(k):
                inside += labels[b, of[near[i, j]]]
            seen[labels[b, of[i]], inside] += weight[i]
        size, rest = seen[1].sum(), seen[0].sum()
        low = high = 0.0
        for j in range(k + 1):
            statistic[b] += j * seen[1, j] / size + (k - j) * seen[0, j] / rest
            high += seen[1, j] / size
            low += seen[0, j] / rest
            distance[b] = max(distance[b], low - high)
    return statistic / k, distance


def neighbors(name: str, units: Units, near: Ints) -> Outcome:
    """How often a document's nearest neighbors are of its own side (Schilling 1986, Henze 1988).

    Sees a new topic as its own cluster, however small a part of the window it is. The
    distance is that of the neighbors' labels as a score.

    Args:
        name: name of the test.
        units: the documents.
        near: (N, k) indices of the nearest documents, none of the document's own unit.
    """
    statistic, distance = _neighbors(units.labels, units.of, units.weight, near)
    return Outcome(name, statistic, distance[: DISTANCES + 1])


def directions(name: str, units: Units, points: Floats) -> Outcome:
    """Hotelling's T-squared on points whose columns are uncorrelated and of unit variance.

    Sees a shift of the whole window, and of shares of topics. The distance is that of the
    projection on the discriminant, fitted again for every row of labels.

    Args:
        name: name of the test.
        units: the documents.
        points: (N, d).
    """
    labels = units.labels
    centered = points - np.average(points, axis=0, weights=units.weight)
    means = np.zeros((labels.shape[1], points.shape[1]))
    np.add.at(means, units.of, centered * units.weight[:, None])
    share = labels[0].mean()
    apart = np.empty((len(labels), points.shape[1]))
    for at in range(0, len(labels), 256):
        apart[at : at + 256] = (labels[at : at + 256] - share) @ means
    distance = [
        _ks(
            labels[b : b + 1],
            units.of,
            units.weight,
            np.argsort(score := centered @ apart[b], kind="stable").astype(np.int32),
            np.ones(len(score), np.bool_),
        )[0]
        for b in range(min(DISTANCES + 1, len(labels)))
    ]
    return Outcome(name, np.linalg.norm(apart, axis=1), np.array(distance))
