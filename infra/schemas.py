"""Columns of a release, as the contract and the levels have them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from headrace.infra.level_facts import LevelFacts

_BEFORE_LEVELS: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("text", pa.string()),
    ("source", pa.string()),
    ("position", pa.int64()),
    ("lang", pa.string()),
    ("lang_score", pa.float32()),
    ("domain", pa.string()),
    ("content_hash", pa.string()),
)
_TYPES: dict[str, pa.DataType] = {
    "float32": pa.float32(),
    "string": pa.string(),
    "int32": pa.int32(),
}
_AFTER_LEVELS: tuple[tuple[str, pa.DataType], ...] = (
    ("created", pa.timestamp("us", tz="UTC")),
    ("metadata", pa.string()),
)


def scored(levels: Sequence[LevelFacts]) -> pa.Schema:
    """Return a record with all its scores; null where a score could not be had (no usable text)."""
    filled = [(c.name, _TYPES[c.type]) for level in levels for c in level.columns]
    return pa.schema([*_BEFORE_LEVELS, *filled, *_AFTER_LEVELS])


def documents_file(levels: Sequence[LevelFacts]) -> pa.Schema:
    """Return a file below documents/lang=…/domain=…/."""
    return _without(scored(levels), "lang", "domain")


def rejected_file(levels: Sequence[LevelFacts]) -> pa.Schema:
    """Return a file below rejected/level=…/."""
    return pa.schema([*scored(levels), *_without(VERDICT, "level")])


VERDICT = pa.schema([("level", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
"""What a rejected record has besides: the first level that failed, `<level>.<rule>`, and what was
seen."""

_UNREADABLE: list[tuple[str, pa.DataType]] = [
    ("source", pa.string()),
    ("position", pa.int64()),
    ("raw", pa.binary()),
    ("error", pa.string()),
]
UNREADABLE = pa.schema(_UNREADABLE)
"""What could not be read: where, its first 4 KiB, and why."""

_LEDGER: list[tuple[str, pa.DataType]] = [
    ("source", pa.string()),
    ("outcome", pa.string()),
    ("level", pa.string()),
    ("reason", pa.string()),
    ("lang", pa.string()),
    ("records", pa.int64()),
    ("bytes", pa.int64()),
    ("repaired", pa.int64()),
]
LEDGER = pa.schema(_LEDGER)
"""Counts; outcome is kept, rejected or unreadable. Bytes are of the text (UTF-8). `repaired` says
how many of the records were read after repairs, which their metadata names."""


def _without(schema: pa.Schema, *names: str) -> pa.Schema:
    return pa.schema([f for f in schema if f.name not in names])
