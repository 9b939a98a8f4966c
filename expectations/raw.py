"""Expectations on raw input: its list of files, as an inventory or a manifest has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from headrace.expectations import validation
from headrace.expectations.suites import raw_files
from headrace.expectations.validation import Suite, ValidationResult
from headrace.infra.errors import ValidationError


@dataclass(frozen=True)
class ListedFile:
    """A file of an input."""

    uri: str
    bytes: int
    checksum: str
    """SHA-256 or etag; empty where there is neither."""


def validate(files: Sequence[ListedFile]) -> ValidationResult:
    """Hold a list of input files against the expectations; no file is opened.

    Raises:
        ValidationError: the list is empty.
    """
    if not files:
        raise ValidationError("no input files", "give --input a file or folder that holds some")
    total = sum(file.bytes for file in files)
    frame = pd.DataFrame(
        [
            {
                "uri": file.uri,
                "bytes": file.bytes,
                "input_bytes": total,
                "checksum": "yes" if file.checksum else "no",
            }
            for file in files
        ]
    )
    return validation.run([Suite("input files", frame, raw_files.expectations(), "uri")])
