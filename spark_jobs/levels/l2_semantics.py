"""Level 2: scores whether a text runs as language does.

1 is sound; 0 is shuffled, garbled or one piece repeated. The lowest of four parts is the score.
Lost order, lost letters, noise: a mix each of learned weights of neighboring characters, words,
word classes and letters (kernels/fluency.py). Repetition: the share of stretches of 8 words
(Chinese: characters) that came before. Scores are scaled so that .7 is where about 2 % of sound
text of sources not fitted on falls below, every source weighing the same, and .1 % of short text,
of which a few n-grams say little. The order of whole sentences is beyond this level, and so is
whether a statement is true (level 3).

Weights: data/l2_semantics.npz, made by `python -m headrace.spark_jobs.fit.semantics`
(data/l2_semantics.md says from what).
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

PIVOT = 0.7
"""The semantic score of the calibrated point."""


class SemanticsSettings(Settings):
    """What level 2 lets pass."""

    threshold: float = Field(default=PIVOT, ge=0, le=1)
    """Smallest semantic score that is kept."""


SCORE = Score(
    "semantic_score",
    title="Semantics: how likely the text is sound",
    meaning="semantic score (level 2)",
    threshold="threshold",
)


def score(texts: Texts, settings: SemanticsSettings) -> dict[str, pa.Array[Any]]:
    """Return the semantic score, and which share of the text is repeated where that decides it."""
    from headrace.spark_jobs.levels import semantics_model

    return semantics_model.score(texts, settings)


def decide(records: pa.Table, settings: SemanticsSettings) -> Verdict:
    """Reject below the threshold."""
    from headrace.spark_jobs.levels import semantics_model

    return semantics_model.decide(records, settings)


SEMANTICS = Level(
    name="semantics",
    columns=(SCORE,),
    reasons=("incoherent", "repeated"),
    settings=SemanticsSettings,
    score=score,
    decide=decide,
)
