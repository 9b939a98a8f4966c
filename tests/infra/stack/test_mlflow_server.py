"""MLflow's server is one process: killed, it leaves the port to the next one."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from headrace.infra.net import credentials, servers
from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import free_port, is_free
from headrace.infra.state.state_dir import home


@pytest.mark.server
def test_killed_it_leaves_no_child_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    env = {
        **os.environ,
        "HEADRACE_MLFLOW_STORE": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "HEADRACE_MLFLOW_ARTIFACTS": (tmp_path / "artifacts").as_uri(),
    }
    server = servers.own_mlflow(
        f"http://127.0.0.1:{port}", credentials.make(home()).mlflow_password
    )
    command = [sys.executable, "-m", "headrace.infra.stack.mlflow_server", str(port)]
    for _ in range(2):
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.3)
            search = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=9"
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(search, timeout=20)
            ask = urllib.request.Request(search, headers=server.headers)
            with urllib.request.urlopen(ask, timeout=20) as answer:
                names = [e["name"] for e in json.load(answer)["experiments"]]
            assert names == ["Default"]
            assert servers.runs_page(server, "Default") == (
                f"{server.url}/#/experiments/0/runs?workflowType=machine_learning"
            )
            assert servers.runs_page(server, "not yet") == f"{server.url}/#/experiments"
        finally:
            process.kill()
            process.wait()
        end = time.monotonic() + 10
        while not is_free(port):
            assert time.monotonic() < end
            time.sleep(0.1)
