"""What counts as a stack that is up; the stack itself runs in tests/e2e/test_doors.py."""

import json
import os
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.infra import stack
from headrace.infra.errors import UsageError
from headrace.infra.home import Home
from headrace.infra.stack import DEFAULT_PORTS, StackSettings

NAMES = ["prefect", "worker-spark", "worker-training", "mlflow", "spark-master", "spark-worker-1",
         "spark-worker-2", "spark-history"]  # fmt: skip


def write(place: Home, **changed: Any) -> None:
    me = psutil.Process()
    said = {
        "home": str(place.root), "pid": me.pid, "created": me.create_time(), "ready": True,
        "mark": "m", "prefect_api": "http://p/api", "tracking_uri": "http://m",
        "spark_master": "spark://s", "event_log": "/e", "services": [], **changed,
    }  # fmt: skip
    (place.root / "stack").mkdir(parents=True, exist_ok=True)
    (place.root / "stack" / "stack.json").write_text(json.dumps(said))


def test_a_stack_counts_while_its_supervisor_lives(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert stack.running(home) is None and stack.tracking_uri(home) == home.mlflow_uri
    write(home)
    up = stack.running(home)
    assert up is not None and up.prefect_api == "http://p/api"
    assert stack.tracking_uri(home) == "http://m"


@pytest.mark.parametrize(
    "changed", [{"ready": False}, {"created": 1.0}, {"pid": 2**22 - 1}, {"home": "/elsewhere"}]
)
def test_what_is_left_of_a_stack_is_none(tmp_path: Path, changed: dict[str, Any]) -> None:
    write(Home(tmp_path), **changed)
    assert stack.running(Home(tmp_path)) is None


def test_the_services_of_the_contract_on_loopback(tmp_path: Path) -> None:
    services = stack.services(Home(tmp_path), DEFAULT_PORTS, None)
    assert [s.name for s in services] == NAMES
    assert all("0.0.0.0" not in " ".join(s.argv) for s in services)
    parsed = RawConfigParser()
    parsed.read_string(stack._configuration(Home(tmp_path / "50% off"), services))
    for name in NAMES:
        assert parsed[f"program:{name}"]["autorestart"] == "true"
    # A per cent sign would be taken for a variable of supervisor's.
    assert "50%% off" in parsed["supervisord"]["directory"]


def test_a_long_path_gets_a_socket_that_fits(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 120))
    assert len(str(stack._socket(home))) <= 100
    assert stack._socket(home) != stack._socket(Home(tmp_path / ("y" * 120)))


def test_a_stack_leaves_no_process_that_has_its_mark(tmp_path: Path) -> None:
    home = Home(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, stack.MARK: "of this test"},
    )
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        write(home, mark="of this test", pid=2**22 - 1)
        assert stack.down(home) == []
        assert not psutil.pid_exists(child.pid) and other.poll() is None
        assert not (tmp_path / "stack" / "stack.json").exists()
    finally:
        other.kill()
        child.kill()


def test_only_postgresql_and_only_from_the_beginning(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(UsageError, match="mysql"):
        stack._choose_database(home, "mysql://localhost")
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:1"):
        stack._choose_database(home, "postgresql://u:secret@127.0.0.1:1")
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(UsageError, match="another database"):
        stack._choose_database(home, "postgresql://u:secret@127.0.0.1:1")
    assert stack._choose_database(home, None) is None


def test_only_the_process_itself_counts_as_listening() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        url = f"http://127.0.0.1:{s.getsockname()[1]}/health"
        assert stack.listens(os.getpid(), url)
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            assert not stack.listens(other.pid, url), "another's server is not ours"
        finally:
            other.kill()
            other.wait()
    assert not stack.listens(os.getpid(), url)


def test_a_port_has_a_known_name() -> None:
    with pytest.raises(ValueError, match="prefekt"):
        StackSettings.model_validate({"ports": {"prefekt": 1}})
