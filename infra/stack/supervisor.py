"""supervisord (https://supervisord.org): it starts services and brings back what dies."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import xmlrpc.client  # nosec B411 # own supervisor, by a socket of the owner
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from headrace.infra import storage
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.lineage import digest
from headrace.infra.stack.folder_id import make_folder_id
from headrace.infra.stack.services import Service
from headrace.infra.state.owner import LOCK_FD, alive_lock
from headrace.infra.state.state_dir import Home


def socket_path(home: Home) -> Path:
    """Return the supervisor's socket; a socket's path may have 107 bytes at most.

    Where it can't lie in the state folder, it has the same place by every path of that.
    """
    path = home.stack / "supervisor.sock"
    if len(os.fsencode(path)) <= 100:
        return path
    of = digest(make_folder_id(home))[:12]
    return Path(tempfile.gettempdir()) / f"headrace-{of}.sock"


def configuration(home: Home, services: list[Service]) -> str:
    """Return what supervisord reads.

    Raises:
        UsageError: a path can't be written down there.
    """

    def quoted(value: str) -> str:
        return '"' + value.replace("%", "%%").replace('"', '\\"') + '"'

    logs = home.logs / "stack"
    lines = [
        "[unix_http_server]",
        f"file={socket_path(home)}".replace("%", "%%"),
        "chmod=0700",
        "[supervisord]",
        f"logfile={logs / 'supervisor.log'}".replace("%", "%%"),
        "logfile_maxbytes=5MB",
        "logfile_backups=1",
        f"pidfile={home.stack / 'supervisor.pid'}".replace("%", "%%"),
        f"directory={home.root}".replace("%", "%%"),
        "umask=077",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for service in services:
        lines += [
            f"[program:{service.name}]",
            "command=" + " ".join(map(quoted, service.argv)),
            f"autostart={'false' if service.later else 'true'}",
            "autorestart=true",
            # What dies at once is started again after 1, 2, 3 … seconds, and never given up.
            "startsecs=5",
            "startretries=10000",
            "stopasgroup=true",
            "killasgroup=true",
            "stopwaitsecs=12",
            "redirect_stderr=true",
            # This one it expands twice.
            f"stdout_logfile={logs / service.name}.log".replace("%", "%%%%"),
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=2",
        ]
        if service.env:
            pairs = (f"{k}={quoted(v)}" for k, v in service.env.items())
            lines.append("environment=" + ",".join(pairs))
    if odd := next((line for line in lines if re.search(r'\s[;#]|\\"', line)), None):
        raise UsageError(
            f"the supervisor can't take a quote, or a blank before ; or #, in a path: {odd}",
            "give HEADRACE_HOME, or the checkout, another path",
        )
    return "\n".join(lines) + "\n"


_HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv.pop(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
if fd != {fd}:
    os.dup2(fd, {fd})
    os.close(fd)
from supervisor.supervisord import main
main()
"""
"""A supervisor that holds owner.alive_lock until it ends; its children don't inherit it."""


def launch(home: Home, services: list[Service], env: dict[str, str]) -> psutil.Process:
    """Start a supervisor with some services; returns once it can be spoken to.

    Raises:
        HeadraceError: it didn't start.
    """
    path = home.stack / "supervisor.conf"
    # It may hold the database's password.
    storage.write_bytes(path, b"")
    path.chmod(0o600)
    path.write_text(configuration(home, services))
    subprocess.run(  # nosec B603 # no shell; own paths
        [sys.executable, "-c", _HOLD.format(fd=LOCK_FD), "-c", str(path), str(alive_lock(home))],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=True,
        check=True,
    )
    pid_file, end = home.stack / "supervisor.pid", time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text().strip() and socket_path(home).exists()):
        if time.monotonic() > end:
            raise HeadraceError(
                "the supervisor did not start", f"see {home.logs / 'stack' / 'supervisor.log'}"
            )
        time.sleep(0.1)
    return psutil.Process(int(pid_file.read_text()))


def forget(home: Home) -> None:
    """Take away the files of a supervisor that is gone."""
    for name in ("supervisor.pid", "supervisor.conf"):
        (home.stack / name).unlink(missing_ok=True)
    socket_path(home).unlink(missing_ok=True)


@dataclass(frozen=True)
class ProcessState:
    """How a process is, as supervisord has it."""

    pid: int
    state: str
    """One of supervisord's: RUNNING, STARTING, BACKOFF, …"""


class Supervisor:
    """The running supervisord of a state folder."""

    def __init__(self, home: Home) -> None:
        from supervisor.xmlrpc import SupervisorTransport

        # By another path of the folder the socket's may have been too long, or short enough.
        inside = home.stack / "supervisor.sock"
        place = inside if inside.exists() else socket_path(home)
        transport = SupervisorTransport(None, None, f"unix://{place}")
        self._rpc: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def processes(self) -> dict[str, ProcessState]:
        """Return the state of each process by its name."""
        return {
            info["name"]: ProcessState(info["pid"], info["statename"])
            for info in self._rpc.supervisor.getAllProcessInfo()
        }

    def start(self, name: str) -> None:
        """Start a process that isn't running."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it has been started already
            self._rpc.supervisor.startProcess(name, False)

    def stop(self, name: str) -> None:
        """End a process and wait for it."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it doesn't run
            self._rpc.supervisor.stopProcess(name, True)

    def shutdown(self) -> None:
        """End everything, this supervisor last; returns before that is done."""
        self._rpc.supervisor.shutdown()


def listens(pid: int, url: str) -> bool:
    """Whether a process is the one that listens at a URL's port."""
    with contextlib.suppress(psutil.Error):
        places = psutil.Process(pid).net_connections("tcp")
        port = urlsplit(url).port
        return any(p.status == psutil.CONN_LISTEN and p.laddr.port == port for p in places)
    return False
