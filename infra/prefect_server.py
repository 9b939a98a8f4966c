"""The Prefect server that a command brings along where no stack is up.

Prefect can start one itself, but that one outlives a kill -9 of the command and starts only when
the flow asks for it; this one dies with its parent and boots while the command still imports.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

from headrace.infra import console
from headrace.infra.errors import HeadraceError
from headrace.infra.home import Home
from headrace.infra.ports import free_port
from headrace.infra.process import die_with_parent

BOOT_SECONDS = 120.0
_OFF = (
    "SCHEDULER",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "CANCELLATION_CLEANUP",
    "FOREMAN",
    "REPOSSESSOR",
    "TRIGGERS",
)


class OwnServer:
    """A Prefect server on loopback with its database in the state folder."""

    def __init__(self, home: Home) -> None:
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        folder = home.root / "prefect"
        folder.mkdir(parents=True, exist_ok=True)
        ours = {
            "PREFECT_HOME": str(folder),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
                f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
            ),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_LOGGING_TO_API_ENABLED": "true",
            "DO_NOT_TRACK": "1",
            **{f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _OFF},
        }
        os.environ.update(ours)
        os.environ["PREFECT_API_URL"] = self.api
        # Registered before Prefect is imported, so it runs after Prefect has sent its last lines:
        # against a server that is gone it would try again for a minute.
        atexit.register(self._close)
        # Prefect's own log lines go to the log file, as everything on descriptor 2 does.
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "--factory",
                "prefect.server.api.server:create_app",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--log-level",
                "warning",
                "--timeout-keep-alive",
                "10",
            ],
            stdin=subprocess.DEVNULL,
            # What is sent to the command's group (Ctrl-C, a time limit) is for the command: it
            # still has to tell the server how the flow ended.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            HeadraceError: it ended, or it took longer than BOOT_SECONDS.
        """
        with console.Progress("prefect: start"):
            end = time.monotonic() + BOOT_SECONDS
            while time.monotonic() < end and self._process.poll() is None:
                try:
                    with urllib.request.urlopen(f"{self.api}/health", timeout=2):
                        return
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
        raise HeadraceError("Prefect's server did not start", f"see the log {console.log_path()}")

    def _close(self) -> None:
        """End the server, after all that Prefect itself still has to say at the end."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
