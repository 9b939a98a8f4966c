"""Whose a stack is: the machine and account that started it, and the folder that it serves.

A state folder can be reached by several paths (links, bind mounts), accounts, containers and hosts,
and it can be copied, records included. Processes can be seen by some of these only, and a process
id means nothing elsewhere: where a process can't be seen it isn't known to be dead.
"""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from headrace.infra.state.clock import boot_id
from headrace.infra.state.state_dir import Home

Sight = Literal["visible", "rebooted", "container", "account", "host"]
"""How an owner's processes stand to this one: visible to it, ended by a restart of the machine, in
another process namespace of it, another account's, or on another host."""
LOCK_FD = 3
"""Descriptor of `alive_lock` in the supervisor, which closes all above 4."""


class Owner(BaseModel):
    """A machine and an account on it."""

    model_config = ConfigDict(frozen=True)

    host: str
    boot: str
    """The kernel's name for the time since it started; empty where it gives none."""
    namespace: str
    """In which process ids have their meaning: a container has its own."""
    uid: int
    user: str

    def __str__(self) -> str:
        return f"{self.user} (uid {self.uid}) on {self.host}"

    def sight(self, own: Owner) -> Sight:
        """How this owner's processes stand to a process of `own`."""
        if self.boot != own.boot or not self.boot:
            if self.host != own.host:
                return "host"
            if self.boot:
                return "rebooted"
        if self.namespace != own.namespace:
            return "container"
        return "visible" if own.uid in (0, self.uid) else "account"


def here() -> Owner:
    """Return this process's machine and account."""
    return Owner(
        host=socket.gethostname(),
        boot=boot_id(),
        namespace=_namespace(),
        uid=os.getuid(),
        user=account(),
    )


def place(home: Home) -> str:
    """Return a state folder as another machine knows it: `account@host:/path`."""
    return f"{account()}@{socket.gethostname()}:{home.root}"


def account(uid: int | None = None) -> str:
    """Return the name of an account, its number where it has none; None: that of this process.

    It is asked of the system: what the environment says (USER) can be set by anybody.
    """
    uid = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def other_owner(*places: Path) -> str | None:
    """Return the owner of the first place that can be seen; None if that is this account."""
    for place in places:
        try:
            uid = place.stat().st_uid
        except OSError:
            continue
        return f"{account(uid)} (uid {uid})" if uid != os.getuid() else None
    return None


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def alive_lock(home: Home) -> Path:
    """Return the file that a supervisor keeps locked as long as it lives, in whatever container."""
    return home.stack / "alive.lock"
