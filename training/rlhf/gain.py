"""The gain of a stage over held-out items, paired before and after, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.training.scoring import interval

Floats = npt.NDArray[np.float64]
FLIPS, CONFIDENCE = 2000, 0.95
"""Random sign flips behind the interval, and its level."""


@dataclass(frozen=True)
class Gain:
    """Mean improvement, and the ends of its interval; None where there are too few items."""

    value: float | None
    low: float | None
    high: float | None


def paired(before: Floats, after: Floats, seed: int) -> Gain:
    """Mean of after - before over the items."""
    return _gain(after - before, np.ones(len(after)), seed)


def paired_ratio(before: Floats, after: Floats, size: Floats, seed: int) -> Gain:
    """sum(before - after) / sum(size): the gain of a cost that is better when less."""
    return _gain(before - after, size, seed)


def _gain(gains: Floats, sizes: Floats, seed: int) -> Gain:
    found = interval.ratio(gains, sizes, confidence=CONFIDENCE, flips=FLIPS, seed=seed)
    return Gain(found.value, *found.ends())
