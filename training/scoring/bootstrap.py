"""Bootstrap over documents: resample counts, intervals and p-values, all vectorised.

A metric of a text set is a ratio of sums (bits over bytes, reward over prompts), because long
documents hold more bytes; resampling whole documents keeps the dependence inside them. The paired
form draws the same documents for both models, so that what is hard for both cancels
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_CELLS = 4_000_000
"""Most cells of one block of the count matrix: bounds memory at 32 MB."""


def sums(columns: Floats, resamples: int, seed: int) -> Floats:
    """Sums of each column over each bootstrap sample of the rows, (resamples, C).

    Every column is summed over the same samples, which is what makes differences paired. The
    draws depend on the number of rows, `resamples` and `seed` alone.

    Args:
        columns: (N, C) values, a row a document.
        resamples: number of bootstrap samples, each of N rows drawn with replacement.
        seed: seed of the draws.
    """
    n = len(columns)
    rng = np.random.default_rng(seed)
    out = np.empty((resamples, columns.shape[1]))
    block = max(1, _CELLS // max(n, 1))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        # einsum, not a BLAS product: its order of summation doesn't depend on threads.
        out[start : start + rows] = np.einsum("rn,nc->rc", counts.astype(np.float64), columns)
    return out


def interval(draws: Floats, confidence: float) -> tuple[float, float]:
    """The percentile interval (low, high) of bootstrap draws; draws that are NaN don't count."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def p_value(draws: Floats, bound: float) -> float:
    """One-sided p of "the true value is at most `bound`": the share of draws there.

    One is added above and below, so that p is never 0 (Davison and Hinkley, 1997, section 4.2).
    """
    known = draws[~np.isnan(draws)]
    return float((1 + np.count_nonzero(known <= bound)) / (1 + len(known)))


def ratio_interval(
    numerator: Floats, denominator: Floats, *, confidence: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """(value, low, high) of the ratio of sums of one sample; NaN where it is empty."""
    if len(numerator) == 0 or denominator.sum() <= 0:
        return float("nan"), float("nan"), float("nan")
    drawn = sums(np.stack([numerator, denominator], 1), resamples, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = interval(drawn[:, 0] / drawn[:, 1], confidence)
    return float(numerator.sum() / denominator.sum()), low, high
