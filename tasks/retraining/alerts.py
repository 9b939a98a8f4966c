"""Alerts: each is left in the outbox first, then sent where a server is up."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.states import Cancelled

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.registry import kept_registry
from headrace.infra.stack import events
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.prefect_api import pages
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining import trusted
from headrace.tasks.retraining.windows import check_there


def send_outbox() -> int:
    """Send the alerts that wait, if a Prefect server is up; how many were sent."""
    api = _api()
    return events.send_outbox(home(), api) if api else 0


def _api() -> str | None:
    """Prefect's API, which this process uses from here on; None where no server is up."""
    found = endpoints(home())
    kept_registry.check(home(), found)
    if found.prefect is None:
        return None
    found.join()
    return found.prefect.url


def emit(
    payload: dict[str, Any],
    shared: Shared,
    not_before: datetime | None = None,
    owners: bool = False,
) -> str | None:
    """Emit the drift event; the file in the outbox where it waits, None where it was sent.

    Args:
        payload: of the event.
        shared: for the model that the alert is on.
        not_before: it is not sent earlier.
        owners: the owner of the state folder has it raised, so it may name any text (trusted.py).
    """
    if owners and payload.get("window"):
        trusted.note(str(payload["window"]))
    event = events.drift_event(shared.model.name, events.Payload.model_validate(payload))
    path = events.to_outbox(home(), event, not_before)
    send_outbox()
    return str(path) if path.exists() else None


def why_they_wait() -> dict[str, str]:
    """Why the alerts in the outbox wait, by their files."""
    return {str(a.path): a.reason for a in events.waiting(home(), _api())}


def raise_alert(window: str, known: dict[str, Any], shared: Shared) -> dict[str, Any]:
    """The answer of `headrace alert`: another monitor's alert on a window.

    {`window`, `sent`, `outbox` (the file where it waits), `why` it waits}.

    Raises:
        InputError: the window isn't there.
    """
    check_there(window)
    payload = {"reference": _corpus(shared), **known, "window": window}
    waits = emit(payload, shared, owners=True)
    why = why_they_wait().get(waits) if waits else None
    return {"window": window, "sent": waits is None, "outbox": waits, "why": why}


def _corpus(shared: Shared) -> str | None:
    """Id of the champion's release, None before there is a champion."""
    models = registry(shared.model.name)
    try:
        champion = models.champion()
    except UsageError:
        return None
    try:
        return str(releases.manifest(champion.release)["release_id"])
    except HeadraceError:  # another machine made it: the alert matters all the same
        return champion.tags.get("release_id")


def gather(alert: dict[str, Any]) -> list[dict[str, Any]]:
    """This run's alert and all that wait for a run of the same deployment, one a window.

    While one retraining runs, every alert makes a run that waits. The first to begin takes the
    others over: their windows into its own parameters, so that a retry knows them too, then their
    runs are cancelled as merged.
    """
    client, own = get_client(sync_client=True), UUID(str(flow_run.id))
    me = client.read_flow_run(own)
    waits = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [me.deployment_id]},
            "state": {"type": {"any_": [StateType.SCHEDULED, StateType.PENDING]}},
        }
    )
    waiting = list(pages(client.read_flow_runs, flow_run_filter=waits, sort=FlowRunSort.ID_DESC))
    others = [r for r in waiting if r.id != own and r.parameters.get("alert") is not None]
    all_alerts = [alert, *(r.parameters["alert"] for r in others)]
    # A run that waits again after a stop may have taken others over before.
    found = list(dict.fromkeys(w for a in all_alerts for w in (a.get("window"), *_more(a))))
    if others:
        more = [w for w in found if w != alert.get("window")]
        merged = {**me.parameters, "alert": {**alert, "more": more}}
        client.update_flow_run(own, parameters=merged)
        for run in others:
            gone: State[Any] = Cancelled(
                name="Merged", message=f"run {me.name} learns this window too"
            )
            client.set_flow_run_state(run.id, gone, force=True)
    return [{**alert, "more": (), "window": w} if w == alert.get("window") else {"window": w}
            for w in found]  # fmt: skip


def _more(alert: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(alert.get("more") or ())


def put_off(payloads: list[dict[str, Any]], until: datetime, shared: Shared) -> None:
    """Leave alerts in the outbox until they may be sent again."""
    for payload in payloads:
        emit(payload, shared, not_before=until)
