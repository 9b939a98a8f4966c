"""The fitted model of level 2: how sound a text is, and how much of it is repeated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import arrow
from headrace.spark_jobs.kernels import fluency
from headrace.spark_jobs.kernels.linear import Bytes, Ints
from headrace.spark_jobs.levels.base import Verdict
from headrace.spark_jobs.levels.l2_semantics import PIVOT, SCORE, SemanticsSettings
from headrace.spark_jobs.texts import Texts

Floats = npt.NDArray[np.float64]

_LOGIT = float(np.log(PIVOT / (1 - PIVOT)))
REPEATED = "_semantics_repeated"
"""Private column: share of repeated stretches where they decide the score, else 0."""


def features(sums: Ints, found: Ints, scale: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Return what fluency is computed from: (N, 6) means weighted by script, and (N,) sizes.

    Columns: n-grams and single characters of Chinese times its share h, h, words and letters of
    Latin script times 1 - h, and 1. The size is in Chinese characters; four letter n-grams count
    as one.
    """
    mean = np.where(found > 0, sums / np.maximum(found, 1) * scale + bias, 0.0)
    han, latin = found[:, fluency.SINGLE], found[:, fluency.LETTERS] / 4
    size = han + latin
    h = han / np.maximum(size, 1)
    left = [mean[:, c] * h for c in (fluency.HAN, fluency.SINGLE)]
    right = [mean[:, c] * (1 - h) for c in (fluency.WORDS, fluency.LETTERS)]
    return np.column_stack([*left, h, *right, np.ones_like(h)]), size


HAN_SHARE = 2
"""Column of `features` that holds h."""


@dataclass(frozen=True)
class Fluency:
    """The fitted model of this level."""

    weights: npt.NDArray[np.int8]
    """(SIZE,) n-gram weights."""
    scale: Floats
    """(FAMILIES,) size of a unit of weight."""
    bias: Floats
    """(FAMILIES,) log-odds of a mean of 0."""
    mix: Floats
    """(heads, 6) coefficients of `features`: a head for lost order, lost letters, noise each."""
    bound: Floats
    """(heads, 2, 2, knots): head; Latin, Chinese; log size and the calibrated point there."""
    repeated: float
    """Share of repeated stretches at the calibrated point."""

    @classmethod
    def load(cls, path: Path) -> Fluency:
        """Load the model from an .npz file that `save` wrote."""
        with np.load(path, allow_pickle=False) as f:
            return cls(
                np.ascontiguousarray(f["weights"]),
                f["scale"],
                f["bias"],
                f["mix"],
                f["bound"],
                float(f["repeated"]),
            )

    def save(self, path: Path) -> None:
        """Write the model as .npz without objects."""
        np.savez_compressed(path, **vars(self))

    def parts(self, data: Bytes, starts: Ints, ends: Ints) -> tuple[Floats, Floats, Floats]:
        """Log-odds of fluency and of repetition per span, .7 at PIVOT, and repeated share."""
        sums, found, repeated = fluency.measure(data, starts, ends, self.weights)
        x, size = features(sums, found, self.scale, self.bias)
        h = x[:, HAN_SHARE]
        log_size = np.log(np.maximum(size, 1))
        fluent = np.full(size.size, np.inf)
        for mix, bound in zip(self.mix, self.bound, strict=True):
            latin, chinese = (np.interp(log_size, *side) for side in bound)
            fluent = np.minimum(fluent, x @ mix - h * chinese - (1 - h) * latin)
        # Without a letter there is nothing to judge: such text is level 1's.
        fluent = np.where(size > 0, fluent, 0.5)
        return _LOGIT + fluent, _LOGIT + 14 * (self.repeated - repeated), repeated


@cache
def _model() -> Fluency:
    return Fluency.load(Path(__file__).with_name("data") / "l2_semantics.npz")


def score(texts: Texts, settings: SemanticsSettings) -> dict[str, pa.Array[Any]]:
    """Return the semantic score, and the share of repeated stretches where they decide it."""
    fluent, once, repeated = _model().parts(texts.folded, texts.offsets[:-1], texts.offsets[1:])
    margin = np.clip(np.minimum(fluent, once), -30, 30)
    return {
        SCORE.name: pa.array((1 / (1 + np.exp(-margin))).astype(np.float32)),
        REPEATED: pa.array(np.where(once < fluent, repeated, 0.0).astype(np.float32)),
    }


def decide(records: pa.Table, settings: SemanticsSettings) -> Verdict:
    """Reject below the threshold: `semantics.repeated`, or `semantics.incoherent`."""
    score = records[SCORE.name].combine_chunks()
    low = pc.less(score, pa.scalar(settings.threshold, pa.float32())).fill_null(False)
    repeated: pa.Array[Any] = pa.nulls(len(records), pa.float32())
    if REPEATED in records.column_names:  # not stored: a replay knows the score alone
        repeated = records[REPEATED].combine_chunks()
    repeated = arrow.fill_null(repeated, 0.0)
    often = pc.greater(repeated, pa.scalar(0.0, pa.float32()))
    why = pc.if_else(often, "semantics.repeated", "semantics.incoherent")
    share = pc.round(pc.multiply(repeated, pa.scalar(100.0)), 0).cast(pa.int32())
    seen = arrow.join("score", pc.round(score, 3).cast(pa.string()), " ")
    more = arrow.join(seen, ", ", share.cast(pa.string()), " % repeated", "")
    nothing = pa.scalar(None, pa.string())
    return Verdict(
        pc.if_else(low, why, nothing), pc.if_else(low, pc.if_else(often, more, seen), nothing)
    )
