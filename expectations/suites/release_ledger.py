"""What must hold of a release's ledger."""

from __future__ import annotations

from headrace.expectations.suites.phrases import among, between, columns, equal, filled, matching
from headrace.expectations.validation import Expectation
from headrace.infra.schemas import LEDGER, LEVELS


def expectations() -> tuple[Expectation, ...]:
    """Expectations on LEDGER's columns, and `is_rejected` and `has_level` as 0 or 1."""
    return (
        columns([*LEDGER.names, "is_rejected", "has_level"]),
        filled("source"),
        filled("outcome"),
        among("outcome", ["kept", "rejected", "unreadable"], "is an outcome of the contract"),
        among("level", LEVELS, "is a level of the contract"),
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
