"""Who is at work in a state folder: many may make things there, one alone may remove them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.infra.errors import AtWorkError
from headrace.infra.state.state_dir import Home

_joined: dict[Path, int] = {}


def join(home: Home) -> None:
    """Count as at work until this process ends, however it ends; waits while things are removed.

    What a flow has made and not yet registered looks like litter, so nothing is removed meanwhile.
    """
    if home.root not in _joined:
        fd = _open(home)
        fcntl.flock(fd, fcntl.LOCK_SH)
        _joined[home.root] = fd


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """The right to remove what others might be using.

    Raises:
        AtWorkError: some command or flow is at work in the state folder.
    """
    fd = _open(home)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AtWorkError(
                f"a command or a flow is at work in {home.root}",
                "wait until it has ended (flows: `headrace status` shows them), then try again",
            ) from None
        yield
    finally:
        os.close(fd)


def _open(home: Home) -> int:
    home.root.mkdir(parents=True, exist_ok=True)
    return os.open(home.root / ".busy.lock", os.O_RDWR | os.O_CREAT, 0o600)
