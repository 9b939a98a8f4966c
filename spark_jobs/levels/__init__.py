"""The five levels, in order, one file each."""

from typing import Any

from headrace.infra.level_facts import Score, places, scores
from headrace.spark_jobs.levels.base import Level
from headrace.spark_jobs.levels.l1_format import FORMAT
from headrace.spark_jobs.levels.l2_semantics import SEMANTICS
from headrace.spark_jobs.levels.l3_facts import FACTS
from headrace.spark_jobs.levels.l4_bias import BIAS
from headrace.spark_jobs.levels.l5_domain import DOMAIN

LEVELS: tuple[Level[Any], ...] = (FORMAT, SEMANTICS, FACTS, BIAS, DOMAIN)
"""In order; the first level to fail decides."""

PLACES = places(LEVELS)
"""Where a record can be rejected, in order."""
DRAWN = (
    Score("lang_score", title="Certainty of the language", meaning="certainty of the language"),
    *scores(LEVELS),
)
"""Scores whose distribution the report of a release shows."""
