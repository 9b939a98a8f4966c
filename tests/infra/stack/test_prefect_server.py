"""Prefect's server behind a lock, as a command brings it along; more in tests/e2e/test_locks.py."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from headrace.infra.net import servers
from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import free_port

PASSWORD = "correct-horse-battery"


def status(url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


SOCKETS = ("events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled",
           "work_pools/a/workers/connect")  # fmt: skip


def listened(port: int, path: str, token: str | None, origin: str | None = None) -> bool:
    """Whether a WebSocket stays open once it has shown a token; None: it shows none."""
    protocols = [Subprotocol("prefect")] if token else None
    headers = {"origin": origin} if origin else None
    try:
        with connect(f"ws://127.0.0.1:{port}/api/{path}", subprotocols=protocols,
                     additional_headers=headers, open_timeout=60) as socket:  # fmt: skip
            if token:
                socket.send(json.dumps({"type": "auth", "token": token}))
            said = json.loads(socket.recv(timeout=20 if token else 5))
            return bool(said["type"] == "auth_success")
    except TimeoutError:
        return True  # it is open and waits
    except (WebSocketException, OSError):
        return False


@pytest.mark.server
def test_programs_need_the_password_and_pages_a_token_as_well(tmp_path: Path) -> None:
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    env = {
        **os.environ, "HEADRACE_PREFECT_PASSWORD": PASSWORD, "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }  # fmt: skip
    command = [sys.executable, "-m", "headrace.infra.stack.prefect_server", str(port)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 600
        while not answers(f"{site}/api/health"):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.5)
        own = servers.own_prefect(f"{site}/api", f"headrace:{PASSWORD}").headers
        sent = {"content-type": "application/json"}
        flows = f"{site}/api/flows/filter"
        assert status(flows, sent, b"{}")[0] == 401
        assert status(flows, sent | own, b"{}") == (200, "[]")
        # A page of the server's own, without the token that it fetches first.
        page = sent | own | {"origin": site, "sec-fetch-site": "same-origin"}
        assert status(flows, page, b"{}")[0] == 403
        token = json.loads(status(f"{site}/api/csrf-token?client=a", own)[1])["token"]
        with_token = {"prefect-csrf-token": token, "prefect-csrf-client": "a"}
        assert status(flows, page | with_token, b"{}") == (200, "[]")
        shown = status(f"{site}/", own | {"accept": "text/html"})[1]
        assert "sessionStorage.setItem(name" in shown, "it is asked for once"
        assert PASSWORD not in status(f"{site}/", {"accept": "text/html"})[1]
        for path in SOCKETS:
            assert not listened(port, path, None) and not listened(port, path, "headrace:guess")
            assert not listened(port, path, f"headrace:{PASSWORD}", "http://evil.example")
        assert listened(port, SOCKETS[0], f"headrace:{PASSWORD}")
        assert listened(port, SOCKETS[0], f"headrace:{PASSWORD}", site)
    finally:
        process.kill()
        process.wait()
