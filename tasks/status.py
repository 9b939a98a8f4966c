"""Where everything stands: the answer of `headrace status`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.infra import events, releases, stack
from headrace.infra.errors import HeadraceError
from headrace.infra.home import home
from headrace.infra.registry import COMPARED, NOBODY, Version
from headrace.infra.settings import Shared
from headrace.tasks.recording import registry
from headrace.tasks.windows import last_verdict


def status(shared: Shared) -> dict[str, Any]:
    """The answer of `headrace status`, as the contract has it.

    `running`, `next` and `paused` are what the stack's Prefect server says, and empty without one;
    `alerts` are those in the outbox, each with the reason why it waits.
    """
    models, up = registry(shared.model.name), stack.running(home())
    champion = models.current()
    return {
        "champion": None if champion is None else {
            "version": champion.number,
            "release_id": releases.manifest(champion.release)["release_id"],
            "since": models.since(champion.number),
        },
        "waiting": [_waits(v) for v in models.waiting()],
        "window": last_verdict(),
        **_flows(up),
        "alerts": [
            {"window": a.window, "outbox": str(a.path), "why": a.reason}
            for a in events.waiting(home(), up.prefect_api if up else None)
        ],
        "decision": models.last_decision(),
        "stack": up.prefect_api.removesuffix("/api") if up else None,
        "disk": {"state_bytes": _bytes(home().root), "free_bytes": home().free_bytes()},
    }  # fmt: skip


def _waits(version: Version) -> dict[str, Any]:
    """What a person needs to decide on a version: the gate's page, and its rival (None: none)."""
    pages = sorted(version.export.parent.glob("gate*.html"), key=lambda p: p.stat().st_mtime)
    rival = version.tags.get(COMPARED)
    return {
        "version": version.number,
        "run_id": version.run_id,
        "compared_with": None if rival == NOBODY else rival,
        "report": str(pages[-1]) if pages else None,
    }


def _flows(up: stack.Stack | None) -> dict[str, Any]:
    """What runs, what comes next and what is paused; `stack_fault`, where the server is silent."""
    nothing: dict[str, Any] = {"running": [], "next": [], "paused": [], "stack_fault": None}
    if up is None:
        return nothing
    import httpx

    try:
        return {**nothing, **_asked(up)}
    except (httpx.HTTPError, HeadraceError):
        return {**nothing, "stack_fault": " does not answer: `headrace up` starts what has died"}


def _asked(up: stack.Stack) -> dict[str, Any]:
    stack.join(up)
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    def in_state(*types: StateType) -> FlowRunFilter:
        return FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}})

    with get_client(sync_client=True) as client:
        names = {f.id: f.name for f in client.read_flows(limit=200)}
        deployments = client.read_deployments(limit=200)
        pools = client.read_work_pools(limit=200)
        now = client.read_flow_runs(
            flow_run_filter=in_state(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
        )
        later = client.read_flow_runs(
            flow_run_filter=in_state(StateType.SCHEDULED),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=200,
        )
    deployed = [r for r in now if r.parent_task_run_id is None]
    # Of each deployment the next run is enough.
    soon = {r.deployment_id: r for r in reversed(later) if r.deployment_id}
    return {
        "running": [
            {"flow": names.get(r.flow_id), "name": r.name, "since": _told(r.start_time)}
            for r in deployed
        ],
        "next": [
            {"flow": names.get(r.flow_id), "name": r.name, "at": _told(r.expected_start_time)}
            for r in sorted(soon.values(), key=lambda r: str(r.expected_start_time))
        ],
        "paused": [
            *events.paused(up.prefect_api),
            *(f"work pool {p.name}: nothing in it starts" for p in pools if p.is_paused),
            *(
                f"deployment {names.get(d.flow_id)}/{d.name}: it starts by hand or on an event only"
                for d in deployments
                if d.paused or (d.schedules and not any(s.active for s in d.schedules))
            ),
        ],
    }


def _told(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _bytes(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # it went while we looked
                continue
    return total
