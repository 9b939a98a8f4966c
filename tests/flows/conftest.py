"""A Prefect server for tests of what is registered with one; nothing works on its runs."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from headrace.infra.pools import ROLES as POOLS
from headrace.infra.ports import free_port
from headrace.infra.prefect_api import request
from headrace.infra.process import die_with_parent


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the API of a real Prefect server that has headrace's work pools."""
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = {
        **os.environ,
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    app = ["--factory", "prefect.server.api.server:create_app", "--log-level", "warning"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *app, "--host", "127.0.0.1", "--port", str(port)],
            env=env, stdout=log, stderr=log, preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        end = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"{api}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None and time.monotonic() < end, folder / "log"
                time.sleep(0.5)
        for pool in POOLS:
            request(api, "POST", "/work_pools/", {"name": pool, "type": "process"})
        yield api
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def on_server(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The Prefect of this process speaks to the server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield prefect_server
    # The next test has another state folder, whose deploy would be refused those of this one.
    request(prefect_server, "DELETE", "/variables/name/headrace_deployments", None, allow=(404,))
