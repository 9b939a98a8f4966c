"""Alerts: each is left in the outbox first, then sent where a server is up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import JsonValue

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
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.retraining.window import check_there


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


@dataclass(frozen=True)
class Receipt:
    """What became of an alert that was raised; the answers have these fields."""

    window: str | None
    sent: bool
    outbox: str | None
    """The file where it waits."""
    why: str | None
    """Why it waits."""


def emit(
    alert: Alert,
    shared: Shared,
    not_before: datetime | None = None,
    owners: bool = False,
) -> str | None:
    """Emit the drift event; the file in the outbox where it waits, None where it was sent.

    Args:
        alert: what the event says.
        shared: for the model that the alert is on.
        not_before: it is not sent earlier.
        owners: the owner of the state folder has it raised, so it may name any text (trusted.py).
    """
    if owners and alert.window:
        trusted.note(alert.window)
    event = events.drift_event(shared.model.name, alert.payload())
    path = events.to_outbox(home(), event, not_before)
    send_outbox()
    return str(path) if path.exists() else None


def why_they_wait() -> dict[str, str]:
    """Why the alerts in the outbox wait, by their files."""
    return {str(a.path): a.reason for a in events.waiting(home(), _api())}


def with_reasons(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings, those whose alert waits with the reason for that."""
    reasons = why_they_wait() if any(f.outbox for f in findings) else {}
    return tuple(f.of(alert_waits=reasons.get(f.outbox)) if f.outbox else f for f in findings)


def raise_alert(alert: Alert, shared: Shared) -> Receipt:
    """Raise another monitor's alert on a window.

    Raises:
        InputError: the window isn't there.
    """
    if alert.window is not None:
        check_there(alert.window)
    known = alert.model_copy(update={"reference": alert.reference or _corpus(shared)})
    waits = emit(known, shared, owners=True)
    why = why_they_wait().get(waits) if waits else None
    return Receipt(alert.window, waits is None, waits, why)


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


def gather(alert: Alert) -> list[Alert]:
    """Return this run's alert and all that wait for a run of its deployment, one per window.

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
    # A run that waits again after a stop may have taken others over before.
    asked = [alert, *(_windows_of(r.parameters["alert"]) for r in others)]
    windows = list(dict.fromkeys(w for a in asked for w in a.windows))
    if others:
        more = tuple(w for w in windows if w != alert.window)
        merged = alert.model_copy(update={"more": more}).model_dump(mode="json")
        client.update_flow_run(own, parameters={**me.parameters, "alert": merged})
        for run in others:
            gone: State[None] = Cancelled(
                name="Merged", message=f"run {me.name} learns this window too"
            )
            client.set_flow_run_state(run.id, gone, force=True)
    own_alert = alert.model_copy(update={"more": ()})
    return [own_alert if w == alert.window else Alert(window=w) for w in windows]


def _windows_of(parameter: JsonValue) -> Alert:
    """Return the windows that another run's alert names."""
    given = parameter if isinstance(parameter, dict) else {}
    return Alert.model_validate({"window": given.get("window"), "more": given.get("more") or ()})


def defer(alerts: Iterable[Alert], until: datetime, shared: Shared) -> None:
    """Leave alerts in the outbox until they may be sent again."""
    for alert in alerts:
        emit(alert, shared, not_before=until)
