"""The lock of a work folder: one process at a time, and none that a killed process leaves."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from headrace.spark_jobs.curate import lock

HOLD = """
import sys, time
from headrace.spark_jobs.curate import lock
lock.hold(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def holder(work: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_waits_until_the_first_is_killed(tmp_path: Path) -> None:
    first = holder(tmp_path / "work")
    assert said(first) == "held"
    second = holder(tmp_path / "work")
    time.sleep(1.5)
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert said(second) == "held"
    assert time.monotonic() - killed < 30
    for process in (first, second):
        process.kill()
        process.wait()


def test_it_can_be_held_again_after_release_and_removal(tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    lock.hold(work)
    lock.hold(work)
    (tmp_path / "work" / "lock").unlink()
    lock.release(work)
    lock.hold(work)
    assert (tmp_path / "work" / "lock").exists()
    lock.release(work)
