"""Level 3: checks what a text states against the calendar, arithmetic and packaged knowledge.

Three-valued: a document is refuted if one check fails for certain, supported if checks applied and
all passed, else unverified (most are). An automaton finds where something may stand that can be
checked; only there the rules of `headrace.spark_jobs.facts` look. They are made for precision: a
refutation rejects, so what could be read in another way is left alone, and so is what a text
quotes, denies, tells or tries out (`facts.context`). One refutation rejects a text of up to
`fact_findings.PER_CHARACTERS`; a longer one needs one for each PER_CHARACTERS begun, so that a slip
doesn't reject a book. docs/levels/l3_facts.md has coverage, precision and what each rule reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.infra.configuration.settings import Settings
from headrace.infra.level_facts import Count, Label
from headrace.spark_jobs.levels.base import Level, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.spark_jobs.texts import Texts

SUPPORTED, REFUTED, UNVERIFIED = "supported", "refuted", "unverified"


class FactsSettings(Settings):
    """What level 3 does with its verdicts."""

    enabled: bool = True
    """Whether refuted documents are rejected; verdicts are stored in any case."""


def score(texts: Texts, settings: FactsSettings) -> dict[str, pa.Array[Any]]:
    """Return the verdict, how many checks applied, and what was refuted."""
    from headrace.spark_jobs.levels import fact_findings

    return fact_findings.score(texts, settings)


def decide(records: pa.Table, settings: FactsSettings) -> Verdict:
    """Reject what is refuted, unless the level is switched off."""
    from headrace.spark_jobs.levels import fact_findings

    return fact_findings.decide(records, settings)


FACTS = Level(
    name="facts",
    columns=(
        Label(
            "fact_verdict",
            values=(SUPPORTED, UNVERIFIED, REFUTED),
            rejected=(REFUTED,),
            switch="enabled",
        ),
        Count("fact_checks"),
    ),
    reasons=(
        "age", "capital", "chronology", "clock", "continent", "conversion", "coordinates",
        "currency", "date_impossible", "day_impossible", "direction", "element", "equation",
        "identifier", "percentage", "proportion", "share", "span", "sum", "temperature", "weekday",
    ),
    settings=FactsSettings,
    score=score,
    decide=decide,
)  # fmt: skip
