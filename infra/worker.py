"""A worker of the stack: it takes up what a killed one left, then Prefect's own serves the pool.

Prefect's worker knows only of runs that it started itself, so a run whose worker and process are
both gone would be Running for ever and hold its pool's only place.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

import psutil

from headrace.infra import private, servers
from headrace.infra.home import home
from headrace.infra.prefect_api import request

ENGINE = "prefect.engine"
RUN_ID = "PREFECT__FLOW_RUN_ID"
HOME = "HEADRACE_HOME"
LOOK_SECONDS = 2.0


def command(pool: str, kind: str = "process") -> list[str]:
    """The worker of a pool of a type, one run at a time."""
    return [sys.executable, "-m", __name__, pool, kind]


def take_up(api: str, pool: str) -> bool:
    """Have runs of a pool that no process works at begin again; they go on from what is on disk.

    Only while no worker of the pool runs, and where its runs are processes of this machine.

    Returns:
        Whether a process works at one; it is ended where it was to be cancelled.
    """
    wanted = {
        "flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}},
        "work_pools": {"name": {"any_": [pool]}},
    }
    unfinished = {r["id"]: r["state"] for r in request(api, "POST", "/flow_runs/filter", wanted)}
    at_work = {run: p for run, p in _at_work().items() if run in unfinished}
    for run, process in at_work.items():
        if unfinished[run]["type"] == "CANCELLING":
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
    gone = unfinished.keys() - at_work.keys()
    # Asked again: a process that is gone by now may have said before how it ended.
    for run in request(api, "POST", "/flow_runs/filter", wanted) if gone else ():
        if run["id"] in gone:
            ends = run["state"]["type"] == "CANCELLING"
            state = {"type": "CANCELLED"} if ends else {"type": "SCHEDULED",
                                                        "name": "AwaitingRetry"}  # fmt: skip
            body: dict[str, Any] = {"state": state, "force": True}
            request(api, "POST", f"/flow_runs/{run['id']}/set_state", body)
    return bool(at_work)


def _at_work() -> dict[str, psutil.Process]:
    """The process of each run by its id; what such a process has started doesn't count.

    Nor do those of another state folder: one that this is a copy of has runs of the same ids.
    """
    found, own = {}, os.environ.get(HOME)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if ENGINE in process.cmdline() and process.environ().get(HOME) == own:
                found[process.environ().get(RUN_ID, "")] = process
    return found


def main(pool: str, kind: str = "process") -> None:
    """Serve a pool; doesn't return."""
    private.begin(home())
    # A run that outlived its worker has the pool's only place: until it ends, somebody must watch
    # it, and nothing else could begin.
    # On another's server the runs of other machines would look as if their processes were gone.
    api = os.environ[servers.PREFECT]
    ours = kind == "process" and api in servers.own_addresses(os.environ)
    while ours and take_up(api, pool):
        time.sleep(LOOK_SECONDS)
    worker = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", kind]
    name = ["--name", f"headrace-{pool}", "--limit", "1"]
    os.execv(sys.executable, [sys.executable, *worker, *name])


if __name__ == "__main__":
    main(*sys.argv[1:])
