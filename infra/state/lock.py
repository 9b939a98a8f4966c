"""A lock that goes with its process, also by kill -9: one at a time has it, the others wait."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.infra import console
from headrace.infra.state import private


@contextmanager
def exclusive(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Hold the lock of a file, which is made, with its folder, where it isn't there.

    Args:
        path: the file; it is no link, and nothing is written into it.
        waiting: what the user is told while another has it; None: nothing, it is short.
    """
    private.make_folder(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if waiting is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with console.Progress(waiting):
                    fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
