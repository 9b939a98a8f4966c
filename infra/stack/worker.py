"""A worker of the stack: it takes up what a killed one left, then Prefect's own serves the pool.

Prefect's worker knows only of runs that it started itself, so a run whose worker and process are
both gone would be Running for ever and hold its pool's only place. So would one whose process is
gone while the server can't be reached: nothing asks again later. A thread beside Prefect's worker
therefore looks every few seconds which runs have a process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import psutil
from pydantic import BaseModel, ConfigDict, JsonValue

from headrace.infra import storage
from headrace.infra.errors import HeadraceError
from headrace.infra.files import quarantine
from headrace.infra.lineage import digest
from headrace.infra.net import servers
from headrace.infra.stack.folder_id import folder_id, make_folder_id
from headrace.infra.stack.prefect_api import every, request
from headrace.infra.stack.retention import from_variable, keep_tidy
from headrace.infra.state import private
from headrace.infra.state.state_dir import home

logger = logging.getLogger(__name__)

ENGINE = "prefect.engine"
RUN_ID = "PREFECT__FLOW_RUN_ID"
HOME = "HEADRACE_HOME"
LOOK_SECONDS = 2.0
WATCH_SECONDS = 8.0
PATIENCE = {"RUNNING": 24.0, "CANCELLING": 24.0, "PENDING": 40.0}
"""Seconds that a run of each state may be without a process while its worker lives."""
MOST_TIMES = 3
"""How often a worker has a run begin again whose process was gone without a word."""


_SERVER = "headrace.flows.worker"
"""The module that is run: it reports what happens to runs, which is above this layer."""
Ended = Callable[[str, str, str], None]
"""Takes the id of a run that was ended here, the type of its state, and why."""


def command(pool: str, kind: str = "process") -> list[str]:
    """Return the worker of a pool of a type, one run at a time."""
    return [sys.executable, "-m", _SERVER, pool, kind]


def _unreported(run: str, state: str, why: str) -> None:
    logger.warning("run %s has ended: %s (%s)", run, state, why)


def take_up(api: str, pool: str, ended: Ended = _unreported) -> bool:
    """Have runs of a pool that no process works at begin again; they resume from what is on disk.

    Only while no worker of the pool runs, and where its runs are processes of this machine.

    Returns:
        Whether a process works at one; it is ended where it was to be cancelled.
    """
    unfinished = _unfinished(api, pool)
    at_work = {run: p for run, p in _at_work().items() if run in unfinished}
    for run, process in at_work.items():
        if unfinished[run] == "CANCELLING":
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
    gone = unfinished.keys() - at_work.keys()
    # Asked again: a process that is gone by now may have said before how it ended.
    for run, state in _unfinished(api, pool).items() if gone else ():
        if run in gone:
            _end_or_begin_again(api, run, state, ended)
    return bool(at_work)


class Watch:
    """Notices runs of a pool whose process is gone, beside the worker that started them.

    The worker itself says so within a second, unless it can't reach the server; and a run that it
    has just claimed has no process yet. So a run is left alone for a while.

    Args:
        api: of the server.
        pool: the pool's name.
        own: all runs of the pool are processes of this machine, as on the stack's own server;
            else only those that were seen as such are looked after, by this worker or by one
            before it: the state folder keeps their ids.
        now: a clock.
        ended: called for each run that is ended here, since Prefect calls no hook for it.
    """

    def __init__(
        self,
        api: str,
        pool: str,
        own: bool = True,
        now: Callable[[], float] = time.monotonic,
        ended: Ended = _unreported,
    ) -> None:
        self._api, self._pool, self._own, self._now, self._ended = api, pool, own, now, ended
        self._file = home().stack / "runs" / f"{digest([api, pool])[:12]}.json"
        self._seen = set[str]() if own else self._kept()
        self._without: dict[str, float] = {}
        """Run -> since when it has been without a process."""
        self._again: Counter[str] = Counter()

    def look(self) -> None:
        """Look once, and act on what has been without a process for long enough.

        Raises:
            HeadraceError: the server doesn't answer.
        """
        now, unfinished = self._now(), _unfinished(self._api, self._pool)
        at_work = _at_work() if unfinished else {}
        self._keep((self._seen | at_work.keys()) & unfinished.keys())
        gone = unfinished.keys() - at_work.keys()
        gone = gone if self._own else gone & self._seen
        since = {r: self._without.get(r, now) for r in gone}
        self._without = since
        over = [r for r, at in since.items() if now - at >= PATIENCE[unfinished[r]]]
        # Asked again: it may have ended, or begun, meanwhile.
        for run, state in _unfinished(self._api, self._pool).items() if over else ():
            if run in over and run not in _at_work():
                self._again[run] += 1
                logger.warning("the process of run %s is gone", run)
                often = self._again[run] > MOST_TIMES
                _end_or_begin_again(self._api, run, state, self._ended, often)
                del self._without[run]
                self._keep(self._seen - {run})  # another machine may begin it again

    def _kept(self) -> set[str]:
        """Return what a worker before this one has seen; of a copied state folder, nothing."""
        said = quarantine.read(self._file, _Seen.model_validate)
        return set(said.runs) if said is not None and said.folder == folder_id(home()) else set()

    def _keep(self, runs: set[str]) -> None:
        if runs != self._seen and not self._own:
            here = make_folder_id(home()) or ""
            storage.write_json(self._file, _Seen(folder=here, runs=sorted(runs)).model_dump())
        self._seen = runs


class _Seen(BaseModel):
    """The runs that had a process on this machine when a worker looked last."""

    model_config = ConfigDict(frozen=True)

    folder: str
    runs: list[str]


def keep_looking(look: Callable[[], object], every: float = WATCH_SECONDS) -> None:
    """Look every few seconds; doesn't return."""
    while True:
        time.sleep(every)
        try:
            look()
        except HeadraceError as error:
            logger.warning("runs can't be watched: %s", error.message)
        except Exception:  # a run may be odd, and the next one must be looked after all the same
            logger.exception("runs can't be watched")


def _unfinished(api: str, pool: str) -> dict[str, str]:
    """Return the runs of a pool that should have a process, or soon will: id -> type of state."""
    wanted: dict[str, JsonValue] = {
        "flow_runs": {"state": {"type": {"any_": list(PATIENCE)}}},
        "work_pools": {"name": {"any_": [pool]}},
        "sort": "ID_DESC",
    }
    found = every(api, "/flow_runs/filter", wanted)
    return {run["id"]: run["state"]["type"] for run in found}


def _end_or_begin_again(
    api: str, run: str, state: str, ended: Ended, crashed: bool = False
) -> None:
    """Say of a run without a process that it is cancelled, or waits to be started again.

    Args:
        api: of the server.
        run: its id.
        state: type of the state that it has.
        ended: called where it is ended.
        crashed: end it, since it was started again often enough.
    """
    if state == "CANCELLING":
        new = {"type": "CANCELLED", "message": "its process was gone when it was cancelled"}
    elif crashed:
        why = f"its process was gone {MOST_TIMES + 1} times, and did not say why"
        new = {"type": "CRASHED", "message": why}
    else:
        new = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    body = {"state": new, "force": True}
    request(api, "POST", f"/flow_runs/{run}/set_state", body)
    if "message" in new:
        ended(run, new["type"], new["message"])


def _at_work() -> dict[str, psutil.Process]:
    """Return the process of each run by its id; what such a process has started doesn't count.

    Nor do those of another state folder: one that this is a copy of has runs of the same ids.
    """
    found, own = {}, os.environ.get(HOME)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if ENGINE in process.cmdline() and process.environ().get(HOME) == own:
                found[process.environ().get(RUN_ID, "")] = process
    return found


def serve(pool: str, kind: str, ended: Ended, guard: Callable[[], object], every: float) -> None:
    """Serve a pool; doesn't return.

    Args:
        pool: its name.
        kind: its type.
        ended: called for each run that is ended here, since Prefect calls no hook for it.
        guard: is called beside the worker.
        every: seconds between two calls of it.
    """
    private.begin(home())
    # A run that outlived its worker has the pool's only place: until it ends, somebody must watch
    # it, and nothing else could begin.
    # On another's server the runs of other machines would look as if their processes were gone.
    api, on_machine = os.environ[servers.PREFECT], kind == "process"
    ours = api in servers.own_addresses(os.environ)
    while on_machine and ours and take_up(api, pool, ended):
        time.sleep(LOOK_SECONDS)
    beside: list[Callable[[], None]] = [partial(keep_looking, guard, every)]
    if on_machine:
        beside.append(partial(keep_looking, Watch(api, pool, ours, ended=ended).look))
    if (keep := from_variable()) is not None:
        beside.append(partial(keep_tidy, home(), keep))
    for target in beside:
        threading.Thread(target=target, daemon=True).start()
    # Prefect's worker ends on SIGTERM by sending itself a SIGINT, which is ignored in what a shell
    # starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = ["prefect", "worker", "start", "--pool", pool, "--type", kind]
    sys.argv = [*worker, "--name", f"headrace-{pool}", "--limit", "1"]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
