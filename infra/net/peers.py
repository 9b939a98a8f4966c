"""Who holds the other ends of the connections that this process has accepted on this machine.

What listens on loopback without a password can be reached by every account; Linux tells whose the
socket at the other end is.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_ESTABLISHED = "01"
"""State in /proc/net/tcp (include/net/tcp_states.h)."""


def strangers() -> set[int]:
    """Ids of other accounts than this one and root that have connected to this process.

    Empty where the system doesn't tell.
    """
    places = psutil.Process().net_connections("tcp")
    doors = {c.laddr[1] for c in places if c.status == psutil.CONN_LISTEN}
    accepted = [
        (c.raddr[1], c.laddr[1])
        for c in places
        if c.status == psutil.CONN_ESTABLISHED and c.laddr[1] in doors
    ]
    owners = _owners() if accepted else {}
    return {owners[ports] for ports in accepted if ports in owners} - {0, os.getuid()}


def _owners() -> dict[tuple[int, int], int]:
    """{(own port, other port): account} of the connected TCP sockets of this machine."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, remote, state, _, _, _, uid, *_ = line.split()
            if state == _ESTABLISHED:
                own, other = (int(place.rpartition(":")[2], 16) for place in (local, remote))
                found[own, other] = int(uid)
    return found
