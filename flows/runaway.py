"""A limit on what automations do: one that starts runs without bound is paused, and it is reported.

`headrace deploy` makes none that fires on events of the runs it starts, but Prefect's pages do: one
without `expect` fires on every event, and each of its runs makes more of them. Workers look for
such automations beside the run that they have at work, which may last for days.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    WorkPoolFilter,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from headrace.infra.configuration.settings import NotifySettings
from headrace.infra.net import servers
from headrace.infra.stack.prefect_api import pages
from headrace.tasks.reporting.webhooks import notify

PERIOD = timedelta(minutes=10)
MOST_RUNS = 90
"""Runs of a deployment that one automation may start within a period: one every seven seconds."""
EVERY = 30.0
"""Seconds between two looks of a worker."""
logger = logging.getLogger(__name__)


def pause_runaways(pool: str) -> list[str]:
    """Pause the automations that started too many runs of the deployments in a pool.

    On another's server only headrace's own count, by their tag.

    All of their runs that still wait are cancelled, however old, unless they carry an alert: the
    next round takes these over (tasks/retraining/alerts.py).

    Returns:
        The names of those that were paused now.
    """
    paused = []
    with get_client(sync_client=True) as client:
        # A server of others may have deployments of theirs in the pool.
        own = os.environ.get(servers.PREFECT) in servers.own_addresses(os.environ)
        tagged = DeploymentFilter.model_validate({} if own else {"tags": {"all_": ["headrace"]}})
        in_pool = WorkPoolFilter.model_validate({"name": {"any_": [pool]}})
        found = pages(client.read_deployments, deployment_filter=tagged, work_pool_filter=in_pool)
        deployments = {d.id: d for d in found}
        if not deployments:
            return []
        scheduled = {"state": {"type": {"any_": ["SCHEDULED", "PENDING"]}}}
        waiting = _runs(client, deployments, FlowRunFilter.model_validate(scheduled))
        now = datetime.now(UTC)
        period = {"after_": (now - PERIOD).isoformat(), "before_": (now + PERIOD).isoformat()}
        started = FlowRunFilter.model_validate({"expected_start_time": period})
        recent = _runs(client, deployments, started)
        for (automation, deployment), most in _fastest([*waiting, *recent]).items():
            if most <= MOST_RUNS:
                continue
            name, enabled = _pause(client, automation)
            # Also where it was paused before: a kill may have come before the last of them.
            _cancel(client, (r for r in waiting if _started_by(r) == automation), name)
            if enabled:
                paused.append(name)
                _report(client, deployments[deployment], name, most)
    return paused


def _runs(
    client: SyncPrefectClient, deployments: Iterable[UUID], which: FlowRunFilter
) -> list[FlowRun]:
    """The runs of some deployments that automations started."""
    of = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
    found = pages(
        client.read_flow_runs,
        flow_run_filter=which,
        deployment_filter=of,
        sort=FlowRunSort.ID_DESC,
    )
    return [run for run in found if _started_by(run) is not None]


def _started_by(run: FlowRun) -> UUID | None:
    by = run.created_by
    return UUID(str(by.id)) if by is not None and by.type == "AUTOMATION" and by.id else None


def _fastest(runs: Iterable[FlowRun]) -> dict[tuple[UUID, UUID], int]:
    """{(automation, deployment): the most of its runs within a period, whenever that was}."""
    starts: dict[tuple[UUID, UUID], dict[UUID, datetime]] = {}
    for run in runs:
        by = _started_by(run)
        if by is not None and run.deployment_id is not None and run.expected_start_time is not None:
            starts.setdefault((by, run.deployment_id), {})[run.id] = run.expected_start_time
    most = {}
    for key, times in starts.items():
        ordered, first, most[key] = sorted(times.values()), 0, 0
        for last, at in enumerate(ordered):
            while at - ordered[first] > PERIOD:
                first += 1
            most[key] = max(most[key], last - first + 1)
    return most


def _pause(client: SyncPrefectClient, automation: UUID) -> tuple[str, bool]:
    """Pause an automation: (its name, whether it was enabled)."""
    try:
        found = client.read_automation(automation)
    except ObjectNotFound:
        found = None
    if found is None:
        return str(automation), False
    if found.enabled:
        client.pause_automation(automation)
    return found.name, found.enabled


def _cancel(client: SyncPrefectClient, runs: Iterable[FlowRun], name: str) -> None:
    for run in runs:
        if not run.parameters.get("alert"):
            gone: State[Any] = Cancelled(
                name="Runaway", message=f"the automation {name} was paused"
            )
            try:
                client.set_flow_run_state(run.id, gone, force=True)
            except ObjectNotFound:  # it was deleted meanwhile
                continue


def _report(
    client: SyncPrefectClient, deployment: DeploymentResponse, name: str, most: int
) -> None:
    reason = (
        f"the automation {name!r} started {most} runs of {deployment.name} in "
        f"{PERIOD.total_seconds() / 60:g} minutes and is paused"
    )
    logger.warning("%s", reason)
    flow = client.read_flow(deployment.flow_id).name
    notify(NotifySettings(), flow, "Paused", reason, "headrace deploy", {})
