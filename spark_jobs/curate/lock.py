"""One process at a time makes a release: a lock on its work folder that ends with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from headrace.infra import console, storage
from headrace.infra.state import private

_held: dict[str, int] = {}


def hold(work: str) -> None:
    """Lock the work folder, waiting for another process that makes the same release.

    The kernel lets the lock go when its process ends, however it ends. On S3 there is no lock: two
    processes write the same bytes to the same places.
    """
    folder = storage.local_path(work)
    if folder is None or work in _held:
        return
    path = Path(folder) / "lock"
    while True:
        private.make_folder(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with console.Progress("waiting for another process that makes this release"):
                fcntl.flock(fd, fcntl.LOCK_EX)
        # Whoever had it may have removed the folder: then this is the lock of a file that is gone.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(fd).st_ino == path.stat().st_ino:
                _held[work] = fd
                return
        os.close(fd)


def release(work: str) -> None:
    """Let the lock go, if this process has it."""
    fd = _held.pop(work, None)
    if fd is not None:
        os.close(fd)
