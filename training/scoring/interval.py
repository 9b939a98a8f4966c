"""Intervals and p-values of a ratio of sums over documents, for a few documents as for many.

A metric of a text set is a ratio of sums (bits over bytes, reward over prompts), because long
documents hold more bytes. With values v and weights w the ratio is above a bound b exactly where
the mean of v - b w is above 0, so each statement about it is a one-sample test of a mean. Two tests
have to agree on every statement; p is the larger of their two, the interval holds both intervals:

- Sign flips: under the bound the signs of v - b w are exchangeable if they are symmetric around 0.
  The test is exact at any number of documents and for any tails (Fisher 1935; a random part of the
  flips with the identity keeps it exact: Hemerik and Goeman 2018). Its inversion needs no search:
  the ratios of the subsets that a flip leaves alone are its interval's ends (Hartigan 1969).
- A studentized mean against skewed populations. Flips call a model better too often where few
  documents lose much and most gain a little: a small sample shows none of the losses. So the
  statistic is also held against what log-normal populations give, of every skewness up to
  `SHAPES[-1]` that the sample's own skewness doesn't rule out (Berger and Boos 1994: the chance of
  ruling out the true one is added to p). Where the sample shows that it isn't skewed, this is
  Student's t.

No procedure can hold its level for all distributions of finite mean (Bahadur and Savage 1956): a
loss so rare that no sampled document shows it can't be seen by anything. docs/gate.md has the
simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXACT = 12
"""Up to so many documents all sign flips are counted, above it `flips` random ones."""
SHAPES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
"""Standard deviations of the logarithm of the log-normal populations; 0 is the normal one. The last
has a skewness of 13. Per-document differences of a run of the chain have -3.0 to 0.7; log-normal
ones of shape 1 that are weighted by the documents' bytes have up to 9."""
SIMULATED = 20_000
"""Samples of each of these populations."""
RULED_OUT = 0.04
"""A shape is ruled out where the chance of so little skewness is below this part of the level."""
SPENT = 0.2
"""Part of the level that ruling out costs: more than it is worth in log-normal samples, since
populations with rare losses of one size show less of them."""
RESAMPLES = 400
"""Samples like the given one, to see what they would show."""
LARGEST = 512
"""Number of documents beyond which the populations' samples are no larger. Skewness matters less
the more documents there are, so this errs on the wide side."""
_CELLS = 4_000_000
"""Most cells of one block of random numbers: bounds memory at 32 MB."""


@dataclass(frozen=True)
class _Shape:
    """What samples of one population give, ascending."""

    t: Floats
    """(SIMULATED,) studentized means of values that are skewed to the left, true mean 0."""
    skewness: Floats
    """(SIMULATED,) sample skewness of the same values with the sign turned."""


@lru_cache(maxsize=128)
def _shapes(n: int) -> tuple[_Shape, ...]:
    """Return the populations' samples of `n` values; always the same ones."""
    dice = np.random.default_rng(n)
    found: list[list[tuple[Floats, Floats]]] = [[] for _ in SHAPES]
    block = max(1, _CELLS // n)
    for start in range(0, SIMULATED, block):
        normal = dice.standard_normal((min(block, SIMULATED - start), n))
        for shape, parts in zip(SHAPES, found, strict=True):
            values = np.exp(shape * normal) - math.exp(shape**2 / 2) if shape else normal
            mean = values.mean(axis=1)
            values = values - mean[:, None]
            square = values * values
            spread = square.mean(axis=1)
            third = np.einsum("ij,ij->i", square, values) / n
            parts.append((-mean / np.sqrt(spread / (n - 1)), third / spread**1.5))
    return tuple(
        _Shape(*(np.sort(np.concatenate(x)) for x in zip(*parts, strict=True))) for parts in found
    )


def _subsets(values: Floats, weights: Floats, flips: int, seed: int) -> Floats:
    """Ratios of the documents that flips other than the identity turn, ascending."""
    n = len(values)
    both = np.stack([values, weights], axis=1)
    if n <= EXACT:
        chosen = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
        sums = chosen @ both
    else:
        dice = np.random.default_rng([seed, n])
        sums = np.empty((flips, 2))
        block = max(1, _CELLS // n)
        for start in range(0, flips, block):
            chosen = dice.integers(0, 2, size=(min(block, flips - start), n), dtype=np.int8)
            # einsum, not a BLAS product: its order of summation doesn't depend on threads.
            sums[start : start + block] = np.einsum("rn,nc->rc", chosen.astype(np.float64), both)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = sums[:, 0] / sums[:, 1]
    # A flip that turns nothing is the identity: it never speaks against any bound.
    return np.sort(np.where(sums[:, 1] > 0, ratios, np.nan))


@dataclass(frozen=True)
class _Side:
    """What there is to say of values that should be large."""

    value: float
    se: float
    subsets: Floats
    """(M,) ascending; NaN (an empty subset) last."""
    shapes: tuple[_Shape, ...]
    """Those that the sample's skewness doesn't rule out."""
    level: float

    def p(self, bound: float) -> float:
        """One-sided p of "the true ratio is at most `bound`"."""
        never = int(np.count_nonzero(np.isnan(self.subsets)))
        flips = 1 + never + int(np.searchsorted(self.subsets, bound, side="right"))
        t = _over(self.value - bound, self.se)
        as_far = max(len(s.t) - int(np.searchsorted(s.t, t, side="left")) for s in self.shapes)
        skewed = SPENT * self.level + (1 + as_far) / (1 + SIMULATED)
        return min(1.0, max(flips / (1 + len(self.subsets)), skewed))

    def low(self) -> float:
        """Return the largest bound that p stays at or below the level for, or -inf."""
        never = int(np.count_nonzero(np.isnan(self.subsets)))
        most = _most(self.level, len(self.subsets)) - never
        if most < 0:
            return -math.inf
        by_flips = float(self.subsets[most])
        most = _most((1 - SPENT) * self.level, SIMULATED)
        if most < 0:
            return -math.inf
        furthest = max(float(s.t[SIMULATED - 1 - most]) for s in self.shapes)
        return min(by_flips, self.value - furthest * self.se)


def _most(level: float, draws: int) -> int:
    """How many of `draws` may be as extreme as the sample, itself not counted, at a level."""
    # The small addition: 0.025 * 4000 is a little less than 100 in binary.
    return math.floor(level * (1 + draws) + 1e-9) - 1


def _over(difference: float, se: float) -> float:
    """`difference` / `se`, also where all documents differ by the same."""
    if se > 0:
        return difference / se
    return math.copysign(math.inf, difference) if difference else 0.0


@dataclass(frozen=True)
class Interval:
    """A ratio of sums over documents with all that can be said of its true value."""

    value: float
    """sum(values) / sum(weights)."""
    se: float
    """Its standard error; NaN for fewer than two documents."""
    low: float
    """Lower end; -inf where so few documents can't give one at this confidence."""
    high: float
    """Upper end; inf for the same reason."""
    n: int
    _above: _Side | None
    _below: _Side | None

    @property
    def bounded(self) -> bool:
        """Whether the documents are enough for an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def p_above(self, bound: float) -> float:
        """One-sided p of "the true ratio is at most `bound`"; 1 for fewer than two documents."""
        return 1.0 if self._above is None else self._above.p(bound)

    def p_below(self, bound: float) -> float:
        """One-sided p of "the true ratio is at least `bound`"; 1 for fewer than two documents."""
        return 1.0 if self._below is None else self._below.p(-bound)

    def ends(self) -> tuple[float | None, float | None]:
        """(low, high) as JSON has them: null without an interval."""
        return (self.low, self.high) if self.bounded else (None, None)


def ratio(values: Floats, weights: Floats, *, confidence: float, flips: int, seed: int) -> Interval:
    """sum(values) / sum(weights) with its interval at a two-sided confidence.

    Either end holds at half of 1 - `confidence`. `p_above(b)` is at most that exactly where b is
    below `low`, `p_below(b)` where it is above `high`. The same arguments give the same answer.
    Without documents, or with values that aren't finite, the value is NaN and has no interval.

    Args:
        values: (N,) one per document.
        weights: (N,) at least 0.
        confidence: between 0 and 1.
        flips: random sign flips where there are too many to count them all.
        seed: of these.
    """
    n, total = len(values), float(weights.sum())
    if n == 0 or total <= 0 or not np.isfinite(values).all():
        return Interval(math.nan, math.nan, -math.inf, math.inf, n, None, None)
    value = float(values.sum()) / total
    if n == 1:
        return Interval(value, math.nan, -math.inf, math.inf, n, None, None)
    residuals = values - value * weights
    square = float(residuals @ residuals)
    # Equal differences leave rounding errors, which are neither spread nor skewness.
    if square <= n * (1e-12 * max(float(np.abs(values).max()), 1e-300)) ** 2:
        square = 0.0
    se = math.sqrt(square * n / (n - 1)) / total
    skewness = float((residuals**3).mean()) / (square / n) ** 1.5 if square else 0.0
    level = (1 - confidence) / 2
    subsets = _subsets(values, weights, flips, seed)
    finite = subsets[~np.isnan(subsets)]
    turned = np.concatenate([-finite[::-1], subsets[len(finite) :]])
    shapes = _shapes(min(n, LARGEST))
    above = _Side(value, se, subsets, _possible(shapes, -skewness, level), level)
    below = _Side(-value, se, turned, _possible(shapes, skewness, level), level)
    return Interval(value, se, above.low(), -below.low(), n, above, below)


def _possible(shapes: tuple[_Shape, ...], skewness: float, level: float) -> tuple[_Shape, ...]:
    """Return the populations that give so little `skewness` more often than the level allows."""
    rare = RULED_OUT * level
    return shapes[:1] + tuple(
        s
        for s in shapes[1:]
        if np.searchsorted(s.skewness, skewness, side="right") > rare * SIMULATED
    )


def detectable(
    values: Floats, weights: Floats, *, confidence: float, share: float, seed: int
) -> tuple[float, float]:
    """(rise, fall) of the true ratio from 0 that `share` of such samples would show to be one.

    Samples like this one are drawn from it with replacement, and moved by as much as it takes for
    their interval to leave 0 out. Of the two tests only the second is held against them: flips say
    the same or less wherever they can speak at all. Both are inf where there is no interval.

    Args:
        values: (N,), as for `ratio`.
        weights: (N,).
        confidence: of the interval.
        share: between 0 and 1.
        seed: of the draws.
    """
    n, level = len(values), (1 - confidence) / 2
    most = _most((1 - SPENT) * level, SIMULATED)
    if n < 2 or 2.0**-n > level or most < 0:
        return math.inf, math.inf
    drawn = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    v, w = values[drawn], weights[drawn]
    total = w.sum(axis=1)
    means = v.sum(axis=1) / total
    rest = v - means[:, None] * w
    square = (rest * rest).mean(axis=1)
    spread = np.sqrt(square / (n - 1)) * n / total
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = np.nan_to_num((rest**3).mean(axis=1) / square**1.5)
    shapes = _shapes(min(n, LARGEST))
    value = float(values.sum() / weights.sum())
    ends = []
    for sign in (1, -1):
        furthest = np.full(RESAMPLES, shapes[0].t[SIMULATED - 1 - most])
        for s in shapes[1:]:
            seen = np.searchsorted(s.skewness, -sign * skewness, side="right")
            possible = seen > RULED_OUT * level * SIMULATED
            furthest = np.where(possible, np.maximum(furthest, s.t[SIMULATED - 1 - most]), furthest)
        low = sign * means - furthest * spread
        ends.append(max(0.0, sign * value - float(np.quantile(low, 1 - share))))
    return ends[0], ends[1]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests, in order, family-wise (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
