"""Level 4: rejects text that is hostile to groups of people for most of its length.

Each sentence gets a probability of hostility from a hashed n-gram model that can't see which
group is named: every name of a group is masked first (`kernels.groups`), so swapping one group for
another changes nothing. A document's score is 1 - exp(-density), where density is the mean over
its sentences, weighted by their length, of `bias_density.weight` of that probability: one mild
sentence in a long text weighs little, a page of abuse weighs all. `bias_density.PRIOR` bytes of
neutral text are added to every document, since a short text is little evidence: a line must be
plainly hostile to be rejected, where a page need only be so on the whole.

Fitted by `python -m headrace.spark_jobs.fit.bias`; figures and weaknesses: docs/levels/l4_bias.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.infra.level_facts import Score
from headrace.spark_jobs.levels.base import Level, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.spark_jobs.texts import Texts


class BiasSettings(Settings):
    """What level 4 rejects."""

    threshold: float = Field(default=0.3, ge=0, le=1)
    """A document with a higher score is rejected."""


def score(texts: Texts, settings: BiasSettings) -> dict[str, pa.Array[Any]]:
    """Return the bias score, and the worst sentence of what will be rejected."""
    from headrace.spark_jobs.levels import bias_density

    return bias_density.score(texts, settings)


def decide(records: pa.Table, settings: BiasSettings) -> Verdict:
    """Reject above the threshold."""
    from headrace.spark_jobs.levels import bias_density

    return bias_density.decide(records, settings)


BIAS = Level(
    name="bias",
    columns=(
        Score(
            "bias_score",
            title="Bias: density of demeaning statements about groups",
            meaning="bias score (level 4)",
            threshold="threshold",
            keeps="below",
        ),
    ),
    reasons=("group", "abuse", "density"),
    settings=BiasSettings,
    score=score,
    decide=decide,
)
