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
from headrace.infra.home import Home
from headrace.infra.services import MARK
from headrace.infra.stack import StackSettings


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


def test_a_stack_leaves_no_process_that_has_its_mark(tmp_path: Path) -> None:
    home = Home(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, MARK: "of this test"},
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


def test_a_port_has_a_known_name() -> None:
    with pytest.raises(ValueError, match="prefekt"):
        StackSettings.model_validate({"ports": {"prefekt": 1}})
