"""A file that appears whole or not at all, also where it is written piece by piece."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.infra import storage
from headrace.infra.faults import naming
from headrace.infra.state import private


@contextmanager
def written(uri: str, scratch: str) -> Iterator[str]:
    """Yield a local path to write to; what is there at the end appears at `uri`.

    Args:
        uri: where the file is to be.
        scratch: a folder on the same storage for what is not finished; what a killed process
            leaves there goes with the folder.
    """
    folder = storage.local_path(scratch)
    with naming(scratch):
        if folder is not None:
            private.make_folder(folder)
        fd, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
    os.close(fd)
    try:
        with naming(uri):
            yield name
            storage.copy_out(Path(name), uri)
    finally:
        Path(name).unlink(missing_ok=True)
