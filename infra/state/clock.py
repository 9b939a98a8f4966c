"""How long ago something was, whatever was done to the machine's clock meanwhile.

The clock of the day can be set back or ahead by years (a flat battery, a wrong time server). The
kernel also counts the seconds since it started, which no one can set, but they mean nothing after
the next start or on another machine. A stamp has both.
"""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError


class Stamp(BaseModel):
    """What a record keeps, beside the time of the day, to tell its age by."""

    model_config = ConfigDict(frozen=True, strict=True)

    host: str = ""
    boot: str = ""
    """The kernel's name for the time since it started."""
    uptime: float = 0.0
    """Seconds since then."""


def now() -> datetime:
    """Return the time of the day, UTC."""
    return datetime.now(UTC)


def uptime() -> float:
    """Seconds since the machine started, those that it slept included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """Return the kernel's name for the time since it started; empty where it gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def stamp() -> Stamp:
    """Return this moment."""
    return Stamp(host=host(), boot=boot_id(), uptime=uptime())


def age(at: datetime, stamped: Stamp | None) -> float:
    """Seconds since a moment, never negative.

    Exact within one start of one machine. What was stamped before this start is as old as the start
    at least; so is what seems to lie in the future. Else the time of the day decides.

    Args:
        at: what the clock of the day said then.
        stamped: its stamp; None where the record has none.
    """
    up, by_day = uptime(), (now() - at).total_seconds()
    if stamped is not None and stamped.boot:
        if stamped.boot == boot_id() and stamped.uptime <= up:
            return up - stamped.uptime
        if stamped.host == host():
            return max(by_day, up)
    return by_day if by_day >= 0 else up


def stamp_of(value: object) -> Stamp | None:
    """Return the stamp that a record has under some key; None where it has none, or no good one."""
    try:
        return Stamp.model_validate(value)
    except ValidationError:
        return None
