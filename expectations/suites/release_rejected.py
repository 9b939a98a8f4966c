"""What must hold of a release's rejected records."""

from __future__ import annotations

from headrace.expectations.suites.phrases import among, between, columns, equal, filled, matching
from headrace.expectations.validation import Expectation
from headrace.infra.schemas import LEVELS, REJECTED_FILE


def expectations() -> tuple[Expectation, ...]:
    """Expectations on REJECTED_FILE's columns, `level`, and `reason_level`: the reason's part."""
    return (
        columns([*REJECTED_FILE.names, "level", "reason_level"]),
        filled("id"),
        filled("source"),
        between("position", 1, None, "counts from 1"),
        among("level", LEVELS, "is a level of the contract"),
        filled("reason"),
        matching("reason", r"\A[a-z]+\.[a-z0-9_.-]+\Z", "is written <level>.<rule>"),
        equal("reason_level", "level", "names the level of its folder"),
        *[
            between(score, 0, 1, "is a share")
            for score in ("lang_score", "semantic_score", "bias_score", "domain_score")
        ],
        among("fact_verdict", ["supported", "refuted", "unverified"], "is a verdict"),
    )
