"""What must hold of the Parquet files of a release or of token shards."""

from __future__ import annotations

from headrace.expectations.suites.phrases import among, between, distinct, equal, filled
from headrace.expectations.validation import Expectation


def expectations(stated: bool) -> tuple[Expectation, ...]:
    """Return expectations on `path`, `rows`, `bytes`, `wrong_columns` and their stated values.

    Args:
        stated: whether there is a manifest to compare with.
    """
    out = [
        filled("path"),
        distinct("path", "is listed once"),
        among("wrong_columns", [""], "has the columns and types of the contract"),
        between("rows", 1, None, "holds at least one row"),
    ]
    if stated:
        out += [
            equal("rows", "stated_rows", "has the rows that the manifest states"),
            equal("bytes", "stated_bytes", "has the bytes that the manifest states"),
            equal("sha256", "stated_sha256", "has the checksum that the manifest states"),
        ]
    return tuple(out)
