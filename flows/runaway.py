"""A limit on what automations do: one that starts runs without bound is paused, and it is reported.

`headrace deploy` makes none that fires on the events of its own runs, but Prefect's pages do: one
without `expect` fires on every event, and each of its runs makes more of them.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled

from headrace.flows import notices
from headrace.infra.settings import Shared

PERIOD = timedelta(minutes=10)
MOST_RUNS = 90
"""Runs of a deployment that one automation may start within a period: one every seven seconds."""
_PAGE = 200
"""Rows that the server gives at once."""
logger = logging.getLogger(__name__)


def pause_runaway(settings: Shared) -> list[str]:
    """Pause the automations that started too many runs of this run's deployment; their names.

    Their runs that still wait are cancelled, unless they carry an alert: the run takes these over
    (tasks/alerts.py).
    """
    if not deployment.id:
        return []
    paused = []
    with get_client(sync_client=True) as client:
        for automation, runs in _by_automation(client, UUID(deployment.id)).items():
            if len(runs) <= MOST_RUNS:
                continue
            name = _pause(client, automation)
            if name is None:
                continue
            paused.append(name)
            for run in runs:
                waits = run.state_type in (StateType.SCHEDULED, StateType.PENDING)
                if waits and str(run.id) != flow_run.id and not run.parameters.get("alert"):
                    gone: State[Any] = Cancelled(
                        name="Runaway", message=f"the automation {name} was paused"
                    )
                    client.set_flow_run_state(run.id, gone, force=True)
            reason = (
                f"the automation {name!r} started {len(runs)} runs in "
                f"{PERIOD.total_seconds() / 60:g} minutes and is paused"
            )
            logger.warning("%s", reason)
            notices.tell(settings, str(flow_run.flow_name), "Paused", reason,
                         "headrace deploy")  # fmt: skip
    return paused


def _by_automation(client: SyncPrefectClient, own: UUID) -> dict[UUID, list[FlowRun]]:
    """The runs of a deployment in the last period, by the automation that started them."""
    since = (datetime.now(UTC) - PERIOD).isoformat()
    wanted = FlowRunFilter.model_validate(
        {"deployment_id": {"any_": [own]}, "expected_start_time": {"after_": since}}
    )
    found: dict[UUID, list[FlowRun]] = {}
    offset = 0
    while page := client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_PAGE,
        offset=offset,
    ):  # fmt: skip
        for run in page:
            by = run.created_by
            if by is not None and by.type == "AUTOMATION" and by.id:
                found.setdefault(UUID(str(by.id)), []).append(run)
        offset += len(page)
        if len(page) < _PAGE:
            break
    return found


def _pause(client: SyncPrefectClient, automation: UUID) -> str | None:
    """Pause an automation; its name, None where it is paused already or gone."""
    try:
        found = client.read_automation(automation)
    except ObjectNotFound:
        return None
    if found is None or not found.enabled:
        return None
    client.pause_automation(automation)
    return found.name
