"""What must hold of the files of an input, before a record of them is read."""

from __future__ import annotations

from headrace.expectations.suites.phrases import among, between, distinct, filled
from headrace.expectations.validation import Expectation


def expectations() -> tuple[Expectation, ...]:
    """Return expectations on `uri`, `bytes` and `checksum` (whether there is one, as yes or no)."""
    return (
        filled("uri"),
        distinct("uri", "is listed once"),
        filled("bytes"),
        between("bytes", 0, None, "is a size"),
        between("input_bytes", 1, None, "is not empty as a whole"),
        among("checksum", ["yes"], "has a checksum or an etag"),
    )
