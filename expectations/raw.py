"""Expectations on raw input: its list of files, as an inventory or a manifest has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from headrace.expectations import validation
from headrace.expectations.suites import raw_files
from headrace.expectations.validation import Suite, ValidationResult
from headrace.infra.errors import ValidationError


def validate(inputs: Sequence[Mapping[str, Any]]) -> ValidationResult:
    """How a list of input files meets the expectations; no file is opened.

    Args:
        inputs: `uri`, `bytes`, and `sha256` or `etag` of each, as `manifest.json` lists them.

    Raises:
        ValidationError: the list is empty.
    """
    if not inputs:
        raise ValidationError("no input files", "give --input a file or folder that holds some")
    total = sum(int(entry.get("bytes") or 0) for entry in inputs)
    frame = pd.DataFrame(
        [
            {
                "uri": entry.get("uri"),
                "bytes": entry.get("bytes"),
                "input_bytes": total,
                "checksum": "yes" if entry.get("sha256") or entry.get("etag") else "no",
            }
            for entry in inputs
        ]
    )
    return validation.run([Suite("input files", frame, raw_files.expectations(), "uri")])
