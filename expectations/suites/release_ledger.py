"""What must hold of a release's ledger."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.expectations.suites.phrases import among, between, columns, equal, filled, matching
from headrace.expectations.validation import Expectation
from headrace.infra.level_facts import LevelFacts, places
from headrace.infra.schemas import LEDGER


def expectations(levels: Sequence[LevelFacts]) -> tuple[Expectation, ...]:
    """Return expectations on LEDGER's columns, and `is_rejected` and `has_level` as 0 or 1.

    Args:
        levels: that the release was made by.
    """
    return (
        columns([*LEDGER.names, "is_rejected", "has_level"]),
        filled("source"),
        filled("outcome"),
        among("outcome", ["kept", "rejected", "unreadable"], "is an outcome of the contract"),
        among("level", places(levels), "is a level of the contract"),
        equal(
            "is_rejected", "has_level", "has a level where the outcome is rejected, and only there"
        ),
        matching("reason", r"\A[a-z]+\.[a-z0-9_.-]+\Z", "is written <level>.<rule>"),
        filled("records"),
        between("records", 1, None, "counts at least one record"),
        filled("bytes"),
        between("bytes", 0, None, "is a count"),
        between("repaired", 0, None, "is a count"),
    )
