"""The fitted model of level 5: a score per domain."""

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
from headrace.spark_jobs.kernels.linear import Bytes, Ints, LinearModel, probabilities
from headrace.spark_jobs.levels.base import Verdict
from headrace.spark_jobs.levels.l5_domain import DOMAINS, DomainSettings
from headrace.spark_jobs.texts import Texts

GENERAL = DOMAINS.index("general")


def lifted(
    margins: npt.NDArray[np.float32], counts: Ints, lift: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """`margins` (N, 4) with general lifted toward 0 where `counts` (N,) of n-grams are few."""
    general = margins[:, GENERAL]
    thin = np.interp(np.log(np.maximum(counts, 1)), lift[0], lift[1], right=0.0)
    least = np.minimum(general + thin, 0.0)
    out = margins.copy()
    out[:, GENERAL] = np.maximum(general, least)
    return out


@dataclass(frozen=True)
class DomainModel:
    """The fitted model of this level."""

    linear: LinearModel
    """One output per domain, calibrated so that .5 is the even point."""
    lift: npt.NDArray[np.float64]
    """(2, knots): log of the number of n-grams, rising; log-odds by which general is lifted there,
    never rising. Beyond the last knot there is no lift."""

    @classmethod
    def load(cls, path: Path) -> DomainModel:
        """Load the model from an .npz file that `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(LinearModel.load(path), file["lift"])

    def save(self, path: Path) -> None:
        """Write the model as .npz without objects."""
        self.linear.save(path, lift=self.lift)

    def scores(self, data: Bytes, starts: Ints, ends: Ints) -> npt.NDArray[np.float32]:
        """(N, 4) scores in [0, 1] of the spans data[starts[i]:ends[i]]."""
        margins, counts = self.linear.counted(data, starts, ends)
        return probabilities(lifted(margins, counts, self.lift))


@cache
def _model() -> DomainModel:
    return DomainModel.load(Path(__file__).with_name("data") / "l5_domain.npz")


def score(texts: Texts, settings: DomainSettings) -> dict[str, pa.Array[Any]]:
    """Return the best of the target domains, and its score."""
    names = [d for d in DOMAINS if d in settings.targets]
    every = _model().scores(texts.folded, texts.offsets[:-1], texts.offsets[1:])
    scores = every[:, [DOMAINS.index(d) for d in names]]
    wanted = np.array([settings.targets[d] for d in names], np.float32)
    # Those that reach their threshold come before all that don't; the sooner named wins a tie.
    best = np.argmax(scores + 2 * (scores >= wanted), axis=1)
    return {
        "domain": pa.array(names, pa.string()).take(pa.array(best)),
        "domain_score": pa.array(scores[np.arange(len(best)), best], pa.float32()),
    }


def decide(records: pa.Table, settings: DomainSettings) -> Verdict:
    """Reject what reaches no target's threshold."""
    domain = records["domain"].combine_chunks()
    score = records["domain_score"].combine_chunks()
    reached = pa.array(np.zeros(len(records), bool))
    for name, threshold in settings.targets.items():
        enough = pc.greater_equal(score, pa.scalar(threshold, pa.float32()))
        reached = pc.or_(reached, pc.and_(pc.equal(domain, pa.scalar(name)), enough))
    missed = pc.invert(reached).fill_null(False)
    nothing = pa.scalar(None, pa.string())
    shown = pc.round(score, 3).cast(pa.string())
    seen = arrow.join("best", domain, shown, " ")
    return Verdict(
        pc.if_else(missed, pa.scalar("domain.none"), nothing), pc.if_else(missed, seen, nothing)
    )
