"""Which servers are used: another's where the environment names one, else the stack's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.net import credentials
from headrace.infra.spark import auth
from headrace.infra.stack.endpoints import OwnStack, Theirs, endpoints
from headrace.infra.stack.services import MARK
from headrace.infra.state.state_dir import Home

API, TRACKING, MASTER = "http://127.0.0.1:4/api", "http://127.0.0.1:5", "spark://127.0.0.1:7"
THEIRS = {
    "prefect": ("PREFECT_API_URL", "https://prefect.example/api"),
    "mlflow": ("MLFLOW_TRACKING_URI", "https://mlflow.example"),
}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Home]:
    """A state folder whose stack counts as up: its supervisor is a process with its mark."""
    home = Home(tmp_path / "state")
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    supervisor = subprocess.Popen(sleep, env={**os.environ, MARK: "m"})
    services = [
        {"name": n, "address": n, "health": None, "later": False} for n in ("prefect", "mlflow")
    ]
    said = {"home": str(home.root), "pid": supervisor.pid, "mark": "m", "ready": True,
            "prefect_api": API, "tracking_uri": TRACKING, "spark_master": MASTER,
            "event_log": "/e", "services": services}  # fmt: skip
    storage.write_json(home.stack / "stack.json", said)
    auth.write(home, MASTER, credentials.make(home))
    try:
        yield home
    finally:
        supervisor.kill()
        supervisor.wait()


def test_without_a_stack_there_is_the_store_of_the_folder(tmp_path: Path) -> None:
    found = endpoints(Home(tmp_path))
    assert isinstance(found, OwnStack) and found.prefect is None and found.spark is None
    assert found.mlflow.url == f"sqlite:///{tmp_path / 'mlflow.db'}" and found.mlflow.own
    assert set(found.environment()) == {"MLFLOW_TRACKING_URI", "HEADRACE_OWN_SERVERS"}


def test_the_stack_is_used_with_its_credentials(up: Home) -> None:
    found, made = endpoints(up), credentials.make(up)
    assert found.prefect is not None and found.prefect.own and found.spark is not None
    given = found.environment()
    assert given["PREFECT_API_URL"] == API and given["PREFECT_API_AUTH_STRING"] == made.prefect
    assert given["MLFLOW_TRACKING_URI"] == TRACKING
    assert given["MLFLOW_TRACKING_PASSWORD"] == made.mlflow_password
    assert given["SPARK_CONF_DIR"] == str(up.stack / "spark-conf")
    assert json.loads(given["HEADRACE_OWN_SERVERS"]) == [API, TRACKING]


@pytest.mark.parametrize("named", [("prefect",), ("mlflow",), ("prefect", "mlflow")])
def test_each_server_that_is_named_is_used_and_the_rest_is_the_stacks(
    up: Home, monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...]
) -> None:
    for name in named:
        monkeypatch.setenv(*THEIRS[name])
    found = endpoints(up)
    assert isinstance(found, Theirs) and found.spark is not None
    assert found.prefect is not None
    for name, server, own in (("prefect", found.prefect, API), ("mlflow", found.mlflow, TRACKING)):
        assert server.own == (name not in named)
        assert server.url == (THEIRS[name][1] if name in named else own)
    secret = credentials.make(up).mlflow_password
    assert ("mlflow" in named) == (secret not in json.dumps(found.environment()))


def test_what_a_process_joined_is_the_stacks_again_when_it_comes_back(
    up: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in endpoints(up).environment():
        monkeypatch.setenv(name, "")  # so that what is joined ends with the test
    endpoints(Home(tmp_path / "another")).join()
    found = endpoints(up)
    assert isinstance(found, OwnStack) and found.mlflow.url == TRACKING
    found.join()
    assert os.environ["MLFLOW_TRACKING_URI"] == TRACKING
    assert isinstance(endpoints(up), OwnStack)


def test_a_server_that_does_not_answer_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with pytest.raises(UsageError, match="does not answer"):
        endpoints(Home(tmp_path)).check_others()
