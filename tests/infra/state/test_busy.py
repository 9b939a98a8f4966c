import subprocess
import sys
from pathlib import Path

import pytest

from headrace.infra.errors import UsageError
from headrace.infra.state import busy
from headrace.infra.state.state_dir import Home

WORK = """
import os, sys, time
from pathlib import Path
from headrace.infra.state import busy
from headrace.infra.state.state_dir import Home
busy.join(Home(Path(sys.argv[1])))
print("at work", flush=True)
time.sleep(60)
"""


def at_work(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "at work\n"
    return process


def test_several_work_and_nobody_removes_until_all_have_ended(tmp_path: Path) -> None:
    processes = [at_work(tmp_path), at_work(tmp_path)]
    for process in processes:
        with pytest.raises(UsageError, match="at work"), busy.alone(Home(tmp_path)):
            raise AssertionError("was let in")
        process.kill()
        process.wait()
    with busy.alone(Home(tmp_path)):
        pass


def test_only_one_removes(tmp_path: Path) -> None:
    with (
        busy.alone(Home(tmp_path)),
        pytest.raises(UsageError, match="at work"),
        busy.alone(Home(tmp_path)),
    ):
        raise AssertionError("was let in")
    with busy.alone(Home(tmp_path)):
        pass
