"""Columns of a release, as the contract has them."""

from __future__ import annotations

import pyarrow as pa

LEVELS = ("format", "semantics", "facts", "bias", "domain", "duplicate", "contamination")
"""Where a record can be rejected, in the order of decision."""

SCORED = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("position", pa.int64()),
        ("lang", pa.string()),
        ("lang_score", pa.float32()),
        ("domain", pa.string()),
        ("content_hash", pa.string()),
        ("semantic_score", pa.float32()),
        ("fact_verdict", pa.string()),
        ("fact_checks", pa.int32()),
        ("bias_score", pa.float32()),
        ("domain_score", pa.float32()),
        ("created", pa.timestamp("us", tz="UTC")),
        ("metadata", pa.string()),
    ]
)
"""A record with all its scores; null where a score could not be had (no usable text)."""

VERDICT = pa.schema([("level", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
"""Of a rejected record: the first level that failed, `<level>.<rule>`, and what was seen."""

UNREADABLE = pa.schema(
    [
        ("source", pa.string()),
        ("position", pa.int64()),
        ("raw", pa.binary()),
        ("error", pa.string()),
    ]
)
"""What could not be read: where, its first 4 KiB, and why."""

LEDGER = pa.schema(
    [
        ("source", pa.string()),
        ("outcome", pa.string()),
        ("level", pa.string()),
        ("reason", pa.string()),
        ("lang", pa.string()),
        ("records", pa.int64()),
        ("bytes", pa.int64()),
        ("repaired", pa.int64()),
    ]
)
"""Counts; outcome is kept, rejected or unreadable. Bytes are of the text (UTF-8). `repaired` says
how many of the records were read after repairs, which their metadata names."""


def _without(schema: pa.Schema, *names: str) -> pa.Schema:
    return pa.schema([f for f in schema if f.name not in names])


DOCUMENTS_FILE = _without(SCORED, "lang", "domain")
"""A file below documents/lang=…/domain=…/."""
REJECTED_FILE = pa.schema([*SCORED, *_without(VERDICT, "level")])
"""A file below rejected/level=…/."""
