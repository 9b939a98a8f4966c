"""Ports of the loopback interface: the usual one, or the next that is free."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from headrace.infra.errors import UsageError
from headrace.infra.state.lock import exclusive

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a TCP port of the loopback interface that no process uses just now."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((HOST, port))
        except OSError:
            return False
    return True


def alone_choosing() -> AbstractContextManager[None]:
    """One process of this machine and user at a time chooses ports and starts to listen there."""
    place = Path(tempfile.gettempdir()) / f"headrace-ports-{os.getuid()}.lock"
    return exclusive(place, "waiting for another stack to start")


def choose_ports(usual: Mapping[str, int], asked: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name: the one asked for, else the usual one or the next free one.

    Raises:
        UsageError: a port that was asked for is taken, or asked for twice.
    """
    chosen: dict[str, int] = {}
    for name, port in asked.items():
        if port in chosen.values() or not is_free(port):
            raise UsageError(
                f"port {port} ({name}) is taken", f"give another by --set ports.{name}=PORT"
            )
        chosen[name] = port
    for name, port in usual.items():
        if name not in chosen:
            while port in chosen.values() or not is_free(port):
                port += 1
            chosen[name] = port
    return chosen
