"""Models are trained from and into local folders."""

from __future__ import annotations

from pathlib import Path

from headrace.infra import storage
from headrace.infra.errors import UsageError


def local_folder(uri: str, what: str) -> Path:
    """Return the path of a local URI.

    Raises:
        UsageError: it is on S3.
    """
    path = storage.local_path(uri)
    if path is None:
        raise UsageError(f"{uri}: {what} must be a local folder", "copy it here and give the path")
    return path
