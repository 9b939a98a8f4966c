"""What counts as a stack that is up; the stack itself runs in tests/e2e/test_doors.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.infra import stack
from headrace.infra.endpoints import endpoints
from headrace.infra.home import Home
from headrace.infra.services import MARK
from headrace.infra.stack import StackSettings


def write(place: Home, **changed: Any) -> None:
    said = {
        "home": str(place.root), "pid": os.getpid(), "ready": True,
        "mark": "m", "prefect_api": "http://p/api", "tracking_uri": "http://m",
        "spark_master": "spark://s", "event_log": "/e", "services": [], **changed,
    }  # fmt: skip
    (place.root / "stack").mkdir(parents=True, exist_ok=True)
    (place.root / "stack" / "stack.json").write_text(json.dumps(said))


def marked(mark: str) -> subprocess.Popen[bytes]:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(sleep, env={**os.environ, MARK: mark})


def test_a_stack_counts_while_its_supervisor_lives(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert stack.running(home) is None and endpoints(home).mlflow.url == home.mlflow_uri
    supervisor = marked("m")
    try:
        write(home, pid=supervisor.pid)
        up = stack.running(home)
        assert up is not None and up.prefect_api == "http://p/api"
        for changed in ({"ready": False}, {"home": "/elsewhere"}, {"mark": "of another"}):
            write(home, pid=supervisor.pid, **changed)
            assert stack.running(home) is None
    finally:
        supervisor.kill()
        supervisor.wait()
    write(home, pid=supervisor.pid)
    assert stack.running(home) is None


def test_a_stack_leaves_no_process_that_has_its_mark(tmp_path: Path) -> None:
    home = Home(tmp_path)
    child = marked("of this test")
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        write(home, mark="of this test", pid=2**22 - 1)
        assert stack.down(home) == []
        assert not psutil.pid_exists(child.pid) and other.poll() is None
        assert not (tmp_path / "stack" / "stack.json").exists()
    finally:
        other.kill()
        child.kill()


def test_a_port_has_a_known_name() -> None:
    with pytest.raises(ValueError, match="prefekt"):
        StackSettings.model_validate({"ports": {"prefekt": 1}})
