"""MLflow's server is one process: killed, it leaves the port to the next one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.infra.ports import free_port, is_free
from headrace.infra.supervisor import answers


@pytest.mark.server
def test_killed_it_leaves_no_child_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    env = {
        **os.environ,
        "HEADRACE_MLFLOW_STORE": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "HEADRACE_MLFLOW_ARTIFACTS": (tmp_path / "artifacts").as_uri(),
    }
    command = [sys.executable, "-m", "headrace.infra.mlflow_server", str(port)]
    for _ in range(2):
        server = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert server.poll() is None and time.monotonic() < end
                time.sleep(0.3)
            from mlflow import MlflowClient

            names = [e.name for e in MlflowClient(f"http://127.0.0.1:{port}").search_experiments()]
            assert names == ["Default"]
        finally:
            server.kill()
            server.wait()
        end = time.monotonic() + 10
        while not is_free(port):
            assert time.monotonic() < end
            time.sleep(0.1)
