"""Expectations on data for alignment: preferences, instructions and prompts, JSONL or Parquet."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from headrace.expectations import validation
from headrace.expectations.suites import pairs
from headrace.expectations.validation import Suite, ValidationResult
from headrace.infra import storage
from headrace.infra.errors import InputError, ValidationError

KINDS: dict[str, tuple[str, ...]] = {
    "preferences": ("prompt", "chosen", "rejected"),
    "instructions": ("prompt", "response"),
    "prompts": ("prompt",),
}
"""Columns of each kind of data."""


def validate(file: str, kind: str | None = None) -> ValidationResult:
    """How a file of alignment data meets the expectations; nothing is written.

    Args:
        file: URI of a JSON Lines or Parquet file.
        kind: preferences, instructions or prompts; None takes what its columns say.

    Raises:
        InputError: it can't be read.
        ValidationError: it lacks the columns of its kind, or holds no record.
    """
    records = _read(file)
    shown = storage.display(file)
    if not records:
        raise ValidationError(f"{shown}: no records", "give a file with a record a line")
    present = set().union(*records)
    fits = [k for k, columns in KINDS.items() if set(columns) <= present]
    kind = kind or (fits[0] if fits else "prompts")
    missing = [c for c in KINDS[kind] if c not in present]
    if missing:
        raise ValidationError(
            f"{shown}: the records lack {', '.join(missing)}; they have "
            f"{', '.join(sorted(map(str, present))[:8])}",
            f"{kind} need {', '.join(KINDS[kind])}",
        )
    columns = KINDS[kind]
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str | None, ...]] = set()
    for i, record in enumerate(records, 1):
        texts = tuple(_text(record.get(c)) for c in columns)
        row: dict[str, Any] = {"record": i, **dict(zip(columns, texts, strict=True))}
        row["repeated"] = int(texts in seen)
        row["alike"] = int(kind == "preferences" and texts[1] == texts[2])
        seen.add(texts)
        rows.append(row)
    frame = pd.DataFrame(rows).astype(dict.fromkeys(columns, pd.StringDtype("python")))
    return validation.run([Suite(kind, frame, pairs.expectations(columns), "record")])


def _text(value: Any) -> str | None:
    """A text; a conversation (a list of turns) as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _read(file: str) -> list[dict[str, Any]]:
    shown = storage.display(file)
    if not storage.exists(file):
        raise InputError(f"{shown}: no such file", "check the path")
    if shown.endswith(".parquet"):
        with storage.open_input(file) as f:
            try:
                return list(pq.read_table(f).to_pylist())
            except (OSError, ValueError):
                raise InputError(f"{shown}: not a Parquet file", "give Parquet or JSONL") from None
    records = []
    for number, line in enumerate(storage.read_bytes(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise InputError(f"{shown}, line {number}: not a JSON object", "write an object a line")
        records.append(record)
    return records
