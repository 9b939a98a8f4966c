"""A worker of the stack: it takes up what a killed one left, then Prefect's own serves the pool.

Prefect's worker knows only of runs that it started itself, so a run whose worker and process are
both gone would be Running for ever and hold its pool's only place.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import psutil

from headrace.infra.prefect_api import request

ENGINE = "prefect.engine"
RUN_ID = "PREFECT__FLOW_RUN_ID"


def command(pool: str) -> list[str]:
    """The worker of a pool, one run at a time."""
    return [sys.executable, "-m", __name__, pool]


def take_up(api: str, pool: str) -> None:
    """Have runs of a pool that no process works at begin again; they go on from what is on disk.

    Only while no worker of the pool runs, and where its runs are processes of this machine.
    """
    wanted = {
        "flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}},
        "work_pools": {"name": {"any_": [pool]}},
    }
    unfinished = {run["id"] for run in request(api, "POST", "/flow_runs/filter", wanted)}
    gone = unfinished - _at_work()
    # Asked again: a process that is gone by now may have said before how it ended.
    for run in request(api, "POST", "/flow_runs/filter", wanted) if gone else ():
        if run["id"] in gone:
            ends = run["state"]["type"] == "CANCELLING"
            state = {"type": "CANCELLED"} if ends else {"type": "SCHEDULED",
                                                        "name": "AwaitingRetry"}  # fmt: skip
            body: dict[str, Any] = {"state": state, "force": True}
            request(api, "POST", f"/flow_runs/{run['id']}/set_state", body)


def _at_work() -> set[str]:
    """Ids of the runs that have a process; what such a process has started doesn't count."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if ENGINE in process.cmdline():
                found.add(process.environ().get(RUN_ID, ""))
    return found


def main(pool: str) -> None:
    """Serve a pool; doesn't return."""
    take_up(os.environ["PREFECT_API_URL"], pool)
    worker = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    name = ["--name", f"headrace-{pool}", "--limit", "1"]
    os.execv(sys.executable, [sys.executable, *worker, *name])


if __name__ == "__main__":
    main(sys.argv[1])
