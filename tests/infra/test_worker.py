"""Which runs a worker takes up; the worker itself runs in tests/e2e."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from headrace.infra.worker import ENGINE, RUN_ID, take_up

STATES = {"gone": "RUNNING", "pending": "PENDING", "ending": "CANCELLING",
          "at-work": "RUNNING", "to-end": "CANCELLING", "just-ended": "RUNNING"}  # fmt: skip


def test_only_what_no_process_works_at_begins_again(json_server: Callable[..., Any]) -> None:
    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        asked = sum(p == "/flow_runs/filter" for p, _ in got)
        runs = [{"id": k, "state": {"type": v}} for k, v in STATES.items()
                if k != "just-ended" or asked == 1]  # fmt: skip
        return 200, runs if path == "/flow_runs/filter" else {}

    # The original of a copied state folder has runs of the same ids.
    away = {**os.environ, "HEADRACE_HOME": "/elsewhere"}
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "at-work"})
    cancelled = subprocess.Popen([*sleep, ENGINE], env={**os.environ, RUN_ID: "to-end"})
    original = subprocess.Popen([*sleep, ENGINE], env={**away, RUN_ID: "pending"})
    # What a run started may outlive it for a moment.
    child = subprocess.Popen(sleep, env={**os.environ, RUN_ID: "gone"})
    try:
        with json_server(answer) as (url, got):
            assert take_up(url, "training"), "a run is at work"
            assert cancelled.wait(10)
    finally:
        cancelled.kill()
        process.kill()
        child.kill()
        assert original.poll() is None
        original.kill()
    assert got[0][1]["work_pools"] == {"name": {"any_": ["training"]}}
    said = {p.split("/")[2]: body["state"] for p, body in got if p.endswith("set_state")}
    waits = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    assert said == {"gone": waits, "pending": waits, "ending": {"type": "CANCELLED"}}


def test_without_any_run_the_worker_may_begin(json_server: Callable[..., Any]) -> None:
    with json_server(lambda *_: (200, [])) as (url, got):
        assert not take_up(url, "spark") and len(got) == 1
