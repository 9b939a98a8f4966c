"""A worker of the stack, with what it reports: runs that it ended, automations that it paused.

python -m headrace.flows.worker POOL [TYPE]
"""

from __future__ import annotations

import functools
import logging
import os
import sys

from headrace.flows import run_states
from headrace.flows.runaway import EVERY, pause_runaways
from headrace.infra.errors import HeadraceError
from headrace.infra.net import servers
from headrace.infra.stack import worker
from headrace.infra.stack.prefect_api import request

logger = logging.getLogger(__name__)


def report(run: str, state: str, why: str) -> None:
    """Notify the owner of a run that the worker ended, for which Prefect calls no hook.

    Args:
        run: its id.
        state: the type of its state.
        why: one sentence.
    """
    api = os.environ[servers.PREFECT]
    try:
        found = request(api, "GET", f"/flow_runs/{run}", None)
        flow = request(api, "GET", f"/flows/{found['flow_id']}", None)["name"]
    except HeadraceError as error:  # what was done to the run is done all the same
        logger.warning("no notice of run %s can be sent: %s", run, error.message)
        return
    settings = (found.get("parameters") or {}).get("settings")
    run_states.report_end(flow, run, settings, state.capitalize(), why)


def main(pool: str, kind: str = "process") -> None:
    """Serve a pool; doesn't return."""
    worker.serve(pool, kind, report, functools.partial(pause_runaways, pool), EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
