"""Prefect's own server as a process of the test."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import free_port
from headrace.infra.subprocess_jobs import die_with_parent


@contextmanager
def prefect_process(
    folder: Path, env: Mapping[str, str]
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """(its API, the process) while it answers; its log lies in `folder`, which is PREFECT_HOME."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    app = ["--factory", "prefect.server.api.server:create_app", "--log-level", "warning"]
    own = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *app, "--host", "127.0.0.1", "--port", str(port)],
            env={**env, **own}, stdout=log, stderr=log, preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        end = time.monotonic() + 300
        while not answers(f"{api}/health", 5):
            assert server.poll() is None and time.monotonic() < end, folder / "log"
            time.sleep(0.5)
        yield api, server
    finally:
        server.terminate()
        server.wait(60)
