"""What must hold of counts that are known from two places, and of shares."""

from __future__ import annotations

from headrace.expectations.suites.phrases import between, equal, filled
from headrace.expectations.validation import Expectation


def counts() -> tuple[Expectation, ...]:
    """Return expectations on `what`, `stated`, `found`: one row per count."""
    return (
        filled("what"),
        equal("stated", "found", "adds up: the same count wherever it is taken"),
    )


def shares() -> tuple[Expectation, ...]:
    """Return expectations on `what`, `share`, `below`, `above`: how far it is out of bounds."""
    return (
        filled("share"),
        between("below", None, 0, "is not smaller than is plausible"),
        between("above", None, 0, "is not larger than is plausible"),
    )
