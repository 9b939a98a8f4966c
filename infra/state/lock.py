"""Locks on files, which the kernel releases when their process ends, also by kill -9.

`exclusive` is for one process at a time. Any number of processes work in a state folder at once
(`work_in`), and one alone may remove things there (`alone_in`).

The library filelock isn't used: its lock for one holder asks again and again, and it takes a lock
whose folder was renamed meanwhile for one that still guards the path; its readers-writer lock is
an SQLite database, which a process forked from a holder can't open.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headrace.infra import console
from headrace.infra.errors import AtWorkError
from headrace.infra.state import private
from headrace.infra.state.state_dir import Home

_held: dict[Path, int] = {}
"""The descriptors of the locks that this process keeps, by path."""


@contextmanager
def exclusive(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock on `path`, creating it and its folder if missing.

    Args:
        path: a folder, or a file that is no link; nothing is written into it.
        waiting: shown to the user while another process holds it; None: nothing, it is short.
    """
    fd = _acquire(path, waiting)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def exclusive_now(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, creating it and its folder if missing; don't wait.

    Raises:
        BlockingIOError: another process holds it.
    """
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def hold(path: Path, waiting: str) -> None:
    """Hold an exclusive lock on `path` until `release`, or until this process ends."""
    if path not in _held:
        _held[path] = _acquire(path, waiting)


def release(path: Path) -> None:
    """Release a lock that this process holds; do nothing if it doesn't."""
    if path in _held:
        os.close(_held.pop(path))


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file; True where that can't be known."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def work_in(home: Home) -> None:
    """Count as at work in a state folder until this process ends; wait while things are removed.

    What a flow has made and not registered yet looks like garbage, so nothing is removed meanwhile.
    """
    path = _work_file(home)
    if path not in _held:
        fd = _open(path)
        fcntl.flock(fd, fcntl.LOCK_SH)
        _held[path] = fd


@contextmanager
def alone_in(home: Home) -> Iterator[None]:
    """Keep others from working in a state folder, to remove what they might use.

    Raises:
        AtWorkError: a command or a flow is at work there.
    """
    with ExitStack() as alone:
        try:
            alone.enter_context(exclusive_now(_work_file(home)))
        except BlockingIOError:
            raise AtWorkError(
                f"a command or a flow is at work in {home.root}",
                "wait until it has ended (flows: `headrace status` shows them), then try again",
            ) from None
        yield


def _work_file(home: Home) -> Path:
    return home.root / ".busy.lock"


def _acquire(path: Path, waiting: str | None) -> int:
    """Wait for the exclusive lock of `path`; return the descriptor that holds it."""
    while True:
        fd = _open(path)
        try:
            if waiting is None:
                fcntl.flock(fd, fcntl.LOCK_EX)
            else:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    with console.Progress(waiting):
                        fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _open(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    private.make_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _is_at(fd: int, path: Path) -> bool:
    """Whether `path` still names the open file: who held the lock may have moved or removed it."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
