"""Prefect's server behind a lock: that of the stack, and the one that a command brings along.

`python -m headrace.infra.stack.prefect_server PORT` serves it on loopback. The password is the
state folder's (credentials.py), or HEADRACE_PREFECT_PASSWORD.
"""

from __future__ import annotations

import atexit
import os
import secrets
import subprocess
import sys
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.infra import console
from headrace.infra.errors import HeadraceError
from headrace.infra.net import credentials, http_client, servers
from headrace.infra.net.locked_app import Locked, from_page, headers_of
from headrace.infra.net.ports import HOST, free_port
from headrace.infra.net.servers import Server
from headrace.infra.state import private
from headrace.infra.state.state_dir import Home, home
from headrace.infra.subprocess_jobs import die_with_parent

BOOT_SECONDS = 120.0
UNLOCKED = ("/api/health", "/api/ready")
"""Paths that answer without a password, with nothing but whether the server is well."""
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
    """A Prefect server on loopback with its database in the state folder, for this process only."""

    def __init__(self, home: Home) -> None:
        self.port = free_port()
        password = secrets.token_urlsafe(32)
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
        api = f"http://{HOST}:{self.port}/api"
        word = {"PREFECT_API_AUTH_STRING": f"{credentials.USER}:{password}"}
        self.server = Server(api, None, {servers.PREFECT: api, **word}, own=True)
        servers.join(self.server)
        # Registered before Prefect is imported, so it runs after Prefect has sent its last lines:
        # against a server that is gone it would try again for a minute.
        atexit.register(self._close)
        # Prefect's own log lines go to the log file, as everything on descriptor 2 does.
        self._process = subprocess.Popen(  # nosec B603 # no shell; own module, a number
            [sys.executable, "-m", __name__, str(self.port)],
            env={**os.environ, credentials.variable("prefect_password"): password},
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
                if http_client.answers(f"{self.server.url}/health", 2):
                    return
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


_SCRIPT = """<script>(() => {
  const name = 'prefect-password';
  localStorage.removeItem(name);
  for (const way of ['getItem', 'setItem', 'removeItem']) {
    const was = Storage.prototype[way];
    Storage.prototype[way] = function (key, ...more) {
      return was.call(key === name ? sessionStorage : this, key, ...more);
    };
  }
  sessionStorage.setItem(name, '%s');
})()</script>"""


class _SignedIn:
    """Prefect's pages know the password of whoever the browser has let in: it is asked for once.

    Their own form would keep it in the browser's localStorage, which outlives the stack, and the
    next program that listens at this address would find it there. A tab's sessionStorage ends with
    the tab.
    """

    def __init__(self, app: ASGIApp, word: str) -> None:
        self._app = app
        self._script = _SCRIPT % word

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or b"text/html" not in headers_of(scope).get(b"accept", b""):
            await self._app(scope, receive, send)
            return
        # Uncompressed and uncached: a packed or a remembered page could not be written into.
        skip = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
        scope = {**scope, "headers": [h for h in scope["headers"] if h[0] not in skip]}
        start: Message = {}
        parts: list[bytes] = []

        async def rewrite(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = dict(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = b"".join(parts).replace(b"<head>", b"<head>" + self._script.encode(), 1)
            kept = [
                h
                for h in start["headers"]
                if h[0].lower() not in (b"content-length", b"etag", b"last-modified")
            ]
            kept += [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
            await send({**start, "headers": kept})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, rewrite)


def locked_app(port: int, password: str) -> ASGIApp:
    """Prefect's application behind its own lock and ours.

    Its own asks WebSockets too, and CSRF tokens of pages; programs have none, and no one can make
    them send what they don't want.
    """
    site = f"http://{HOST}:{port}"
    os.environ.update(
        {
            "PREFECT_SERVER_API_AUTH_STRING": f"{credentials.USER}:{password}",
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": site,
            # Relative, so that the pages work through a tunnel as well, whatever its port.
            "PREFECT_UI_API_URL": "/api",
        }
    )
    from prefect.server.api.middleware import CsrfMiddleware
    from prefect.server.api.server import create_app
    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response

    class CsrfOfPages(CsrfMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            if not from_page(headers_of(request.scope)):
                return await call_next(request)
            return await super().dispatch(request, call_next)

    app: Any = create_app()
    for middleware in app.user_middleware:
        if middleware.cls is CsrfMiddleware:
            middleware.cls = CsrfOfPages
    word = servers.encoded(f"{credentials.USER}:{password}")
    return Locked(_SignedIn(app, word), password, "Prefect of headrace", UNLOCKED, sockets=True)


def main(port: int) -> None:
    """Serve it on loopback until the process is ended."""
    private.begin(home())
    password = os.environ.pop(credentials.variable("prefect_password"), None)
    if password is None:
        found = credentials.known(home())
        assert found is not None, "no credentials: `headrace up` makes them"
        password = found.prefect_password
    import uvicorn

    uvicorn.run(
        locked_app(port, password),
        host=HOST,
        port=port,
        log_level="warning",
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
