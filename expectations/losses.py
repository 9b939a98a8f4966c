"""Model drift: whether the champion reads a window worse than the text that it was judged by.

The loss is in bits per byte, the unit that retraining improves. Documents of one language and
domain are compared with each other, so that a window of a harder domain is no drift by itself where
the champion knows that domain. Domains of which it has too little held-out text are one stratum of
their language; where it has none of them at all, the whole language stands for them, or all there
is. The permutation stays inside a stratum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pyarrow as pa

from headrace.expectations import two_sample
from headrace.expectations.two_sample import DISTANCES, Floats, Ints, Outcome

LOSS = "model.loss"
FEWEST = 20
"""Held-out documents of a language and domain from which they stand for themselves."""


@dataclass(frozen=True)
class Losses:
    """A model's loss, one row per document: `lang`, `domain`, `bits`, `bytes`."""

    heldout: pa.Table
    """Text that the model was judged by and not trained on."""
    window: pa.Table
    """Documents of the window, with `row`: their place in the table that is compared."""


@dataclass(frozen=True)
class Stratum:
    """Documents that are compared with each other."""

    name: str
    heldout_documents: int
    window_documents: int
    heldout: float
    """Bits per byte."""
    window: float
    """Bits per byte."""


class StratumJson(TypedDict):
    """A stratum in the answer of `headrace monitor`."""

    name: str
    heldout_documents: int
    window_documents: int
    heldout: float
    window: float


class LossJson(TypedDict):
    """The champion's loss in the answer of `headrace monitor`."""

    heldout: float
    window: float
    strata: list[StratumJson]
    rise: float


@dataclass(frozen=True)
class LossRise:
    """The champion's loss on both sides, in bits per byte."""

    heldout: float
    """Weighted as the window's strata are."""
    window: float
    strata: tuple[Stratum, ...]

    @property
    def rise(self) -> float:
        """By how much the window is read worse."""
        return self.window - self.heldout

    def to_json(self) -> LossJson:
        """Return the losses as JSON values."""
        return {
            "heldout": self.heldout,
            "window": self.window,
            "strata": [
                {
                    "name": s.name,
                    "heldout_documents": s.heldout_documents,
                    "window_documents": s.window_documents,
                    "heldout": s.heldout,
                    "window": s.window,
                }
                for s in self.strata
            ],
            "rise": self.rise,
        }


def loss_test(
    losses: Losses, units: Ints, permutations: int, seed: int
) -> tuple[Outcome, LossRise]:
    """Test one-sidedly for a rise of the loss, and measure the rise by stratum.

    The statistic is the difference of bits per byte, the mean over strata with the window's shares.
    A unit counts once in each stratum that it has documents in.

    Args:
        losses: of both sides, at least one document each.
        units: (rows of `losses.window`,) the unit of each document of the window.
        permutations: of the labels.
        seed: of the permutations.
    """
    heldout, window = losses.heldout, losses.window
    shares, strata = [], []
    apart: list[Floats] = []
    for at, (name, mine, theirs) in enumerate(_strata(heldout, window)):
        own = np.unique(units[mine], return_inverse=True)[1].astype(np.int32)
        of = two_sample.units_of(
            np.arange(len(theirs), dtype=np.int32), own, permutations, seed + at
        )
        bits, sizes = (
            np.concatenate([heldout[c].to_numpy()[theirs], window[c].to_numpy()[mine]])
            for c in ("bits", "bytes")
        )
        sums = np.zeros((2, of.labels.shape[1]))
        for row, values in zip(sums, (bits, sizes), strict=True):
            np.add.at(row, of.of, values * of.weight)
        labels = of.labels.astype(np.float64)
        inside = np.einsum("bg,cg->bc", labels, sums)
        outside = sums.sum(axis=1) - inside
        rates = inside[:, 0] / inside[:, 1], outside[:, 0] / outside[:, 1]
        apart.append(rates[0] - rates[1])
        shares.append(int(own.max()) + 1)
        strata.append(Stratum(name, len(theirs), len(mine), float(rates[1][0]), float(rates[0][0])))
    weights = np.array(shares) / sum(shares)
    statistic = weights @ np.stack(apart)
    sides = [
        float(weights @ np.array([getattr(s, side) for s in strata]))
        for side in ("heldout", "window")
    ]
    distance = np.maximum(statistic[: DISTANCES + 1], 0.0)
    return Outcome(LOSS, statistic, distance), LossRise(sides[0], sides[1], tuple(strata))


def _strata(heldout: pa.Table, window: pa.Table) -> list[tuple[str, Ints, Ints]]:
    """(name, rows of the window, held-out rows) of what is compared with each other."""

    def labels(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        lang, domain = (
            np.array([v or "none" for v in table[c].to_pylist()], dtype=object)
            for c in ("lang", "domain")
        )
        return lang, lang + " " + domain

    (lang, both), (own_lang, own_both) = labels(heldout), labels(window)
    name, theirs = (np.full(len(x), "all text", dtype=object) for x in (own_both, both))
    for mine, known in ((own_lang, lang), (own_both, both)):
        values, counts = np.unique(known.astype(str), return_counts=True)
        enough = set(values[counts >= FEWEST])
        name = np.where([v in enough for v in mine], mine, name)
        theirs = np.where([v in enough for v in known], known, theirs)
    out = []
    for value in sorted(set(name)):
        # What stands for itself on one side does so on the other: of one mix both hold the same.
        alike = theirs == value
        if not alike.any():  # nothing of the kind is known: it is compared with what is nearest
            alike = (lang == value) | (value == "all text")
        rows = np.flatnonzero(name == value), np.flatnonzero(alike)
        out.append((value, rows[0].astype(np.int32), rows[1].astype(np.int32)))
    return out
