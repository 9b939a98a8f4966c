"""Expectations on data for alignment: preferences, instructions and prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from headrace.expectations import validation
from headrace.expectations.suites import pairs
from headrace.expectations.validation import Suite, ValidationResult


def validate(
    records: Sequence[Mapping[str, str | None]], columns: Sequence[str]
) -> ValidationResult:
    """How records meet the expectations; a failure names them by their place, counted from 1.

    Args:
        records: at least one, with those columns.
        columns: prompt; prompt, response; or prompt, chosen, rejected.
    """
    rows: list[dict[str, str | int | None]] = []
    seen: set[tuple[str | None, ...]] = set()
    for i, record in enumerate(records, 1):
        texts = tuple(record.get(c) for c in columns)
        row: dict[str, str | int | None] = {
            "record": i, **dict(zip(columns, texts, strict=True))
        }  # fmt: skip
        row["repeated"] = int(texts in seen)
        row["alike"] = int("chosen" in columns and record["chosen"] == record["rejected"])
        seen.add(texts)
        rows.append(row)
    frame = pd.DataFrame(rows).astype(dict.fromkeys(columns, pd.StringDtype("python")))
    return validation.run([Suite("pairs", frame, pairs.expectations(columns), "record")])
