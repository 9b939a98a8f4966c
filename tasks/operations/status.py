"""Where everything stands: what `headrace status` answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from headrace.infra import releases
from headrace.infra.audit import AuditEntry
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError
from headrace.infra.json_types import Json
from headrace.infra.net.servers import Server
from headrace.infra.registry.rules import COMPARED, NO_VERSION
from headrace.infra.registry.versions import Version
from headrace.infra.stack import events, retention
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.prefect_api import PAGE, pages
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining.verdicts import Verdict, last_verdict

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


@dataclass(frozen=True)
class Champion:
    """The champion, and what of it isn't in this state folder."""

    version: str
    release_id: str | None
    missing: str | None
    """None: nothing. Another machine, or no headrace at all, may have registered it."""
    since: str | None


@dataclass(frozen=True)
class Waiting:
    """A version that waits for a person, with what is needed to decide on it."""

    version: str
    run_id: str
    compared_with: str | None
    report: str | None
    """The gate's page."""


@dataclass(frozen=True)
class Running:
    """A flow run at work."""

    flow: str | None
    name: str | None
    since: str | None


@dataclass(frozen=True)
class Due:
    """The next run of a deployment."""

    flow: str | None
    name: str | None
    at: str | None


@dataclass(frozen=True)
class AlertRun:
    """A run of retraining that an alert started."""

    windows: list[str | None]
    event: str | None
    """Id of the alert's event."""
    occurred: str | None
    run: str
    """Its id."""
    name: str | None
    state: str | None
    says: str | None
    page: str | None
    merged_into: str | None
    """Id of the run that learns its windows in its place."""


@dataclass(frozen=True)
class Flows:
    """What Prefect's server says."""

    running: list[Running] = field(default_factory=list)
    next: list[Due] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    alert_runs: list[AlertRun] = field(default_factory=list)
    stack_fault: str | None = None
    """Why it says nothing."""


@dataclass(frozen=True)
class WaitingAlert:
    """An alert in the outbox."""

    window: str | None
    outbox: str
    why: str


@dataclass(frozen=True)
class Disk:
    """What the state folder takes."""

    state_bytes: int
    free_bytes: int
    parts: dict[str, int]


@dataclass(frozen=True)
class Status:
    """Where everything stands."""

    champion: Champion | None
    waiting: list[Waiting]
    window: Verdict | None
    """The last verdict of a monitor."""
    running: list[Running]
    next: list[Due]
    paused: list[str]
    alert_runs: list[AlertRun]
    stack_fault: str | None
    alerts: list[WaitingAlert]
    decision: AuditEntry | None
    """The last one on the model."""
    stack: str | None
    disk: Disk

    def as_json(self) -> dict[str, Json]:
        """Return the answer of `headrace status`."""
        window = self.window.model_dump(mode="json") if self.window else None
        return {**asdict(self), "window": window}


def status(shared: Shared, recent: bool = False) -> Status:
    """Return where everything stands.

    `running`, `next` and `paused` are what Prefect's server says, and empty without one.

    Args:
        shared: for the model.
        recent: what the state folder takes may be some minutes old.
    """
    servers = endpoints(home())
    if servers.mlflow.own and not home().begun():
        servers.join()
        return _nothing(servers.prefect)
    models = registry(shared.model.name)
    servers.join()
    prefect = servers.prefect
    champion, last = models.current(), models.last_decision()
    return Status(
        champion=_champion(champion, models.since(champion.number)) if champion else None,
        waiting=[_waits(v) for v in models.waiting()],
        window=last_verdict(),
        **vars(_flows(prefect)),
        alerts=[
            WaitingAlert(a.window, str(a.path), a.reason)
            for a in events.waiting(home(), prefect.url if prefect else None)
        ],
        decision=last.entry if last else None,
        stack=(prefect.page or prefect.url) if prefect else None,
        disk=disk(recent),
    )


def _nothing(prefect: Server | None) -> Status:
    """Return the status without a state folder, which isn't made; flows are another server's."""
    return Status(
        champion=None,
        waiting=[],
        window=None,
        **vars(_flows(prefect)),
        alerts=[],
        decision=None,
        stack=(prefect.page or prefect.url) if prefect else None,
        disk=Disk(0, home().free_bytes(), {}),
    )


def disk(recent: bool = False) -> Disk:
    """Return what the state folder takes; `recent`: as of some minutes ago."""
    parts = (retention.recent_sizes if recent else retention.sizes)(home())
    return Disk(sum(parts.values()), home().free_bytes(), parts)


def _champion(version: Version, since: str | None) -> Champion:
    try:
        release, export = version.release, version.export
        release_id = releases.manifest(release)["release_id"]
    except HeadraceError as error:
        return Champion(version.number, version.tags.get("release_id"), error.message, since)
    missing = None if export.is_dir() else f"{export}: no such folder"
    return Champion(version.number, release_id, missing, since)


def _waits(version: Version) -> Waiting:
    folder = version.export.parent if "export" in version.tags else None
    files = folder.glob("gate*.html") if folder else ()
    pages = sorted(files, key=lambda p: p.stat().st_mtime)
    rival = version.tags.get(COMPARED)
    return Waiting(
        version=version.number,
        run_id=version.run_id,
        compared_with=None if rival == NO_VERSION else rival,
        report=str(pages[-1]) if pages else None,
    )


def _flows(prefect: Server | None) -> Flows:
    """Return what runs, what comes next and what is paused."""
    if prefect is None:
        return Flows()
    import httpx

    try:
        return _asked(prefect)
    except (httpx.HTTPError, HeadraceError):
        hint = "`headrace up` restarts what has died" if prefect.own else "`headrace doctor` looks"
        return Flows(stack_fault=f" does not answer: {hint}")


def _asked(prefect: Server) -> Flows:
    """Ask the server; of another's only what concerns headrace's deployments."""
    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import Settings, get_current_settings

    # Prefect may have been imported before the server was joined.
    with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
        return _answer(prefect, get_current_settings().ui_url)


def _answer(prefect: Server, site: str | None) -> Flows:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        FlowFilter,
        FlowRunFilter,
        WorkPoolFilter,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    def in_state(*types: StateType) -> FlowRunFilter:
        return FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}})

    tagged = DeploymentFilter.model_validate({"tags": {"all_": ["headrace"]}})
    with get_client(sync_client=True) as client:
        deployments = list(pages(client.read_deployments, deployment_filter=tagged))
        at_work = FlowRunFilter.model_validate(
            {
                "state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}},
                "parent_task_run_id": {"is_null_": True},
            }
        )
        deployed = list(
            pages(
                client.read_flow_runs,
                flow_run_filter=at_work,
                deployment_filter=None if prefect.own else tagged,
                sort=FlowRunSort.ID_DESC,
            )
        )
        soon = [
            run
            for d in deployments
            for run in client.read_flow_runs(
                flow_run_filter=in_state(StateType.SCHEDULED),
                deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [d.id]}}),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=1,  # of each deployment the next run is enough
            )
        ]
        learning = list(
            islice(
                pages(
                    client.read_flow_runs,
                    flow_filter=FlowFilter.model_validate({"name": {"any_": ["retrain"]}}),
                    deployment_filter=tagged,
                    sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                ),
                _LOOKED_AT,
            )
        )
        ids = list({*(r.flow_id for r in deployed), *(d.flow_id for d in deployments)})
        names = {
            flow.id: flow.name
            for first in range(0, len(ids), PAGE)
            for flow in client.read_flows(
                flow_filter=FlowFilter.model_validate({"id": {"any_": ids[first : first + PAGE]}}),
                limit=PAGE,
            )
        }
        used = sorted({d.work_pool_name for d in deployments if d.work_pool_name})
        wanted = WorkPoolFilter.model_validate({"name": {"any_": used}})
        pools = list(pages(client.read_work_pools, work_pool_filter=wanted))
    return Flows(
        running=[Running(names.get(r.flow_id), r.name, _moment(r.start_time)) for r in deployed],
        next=[
            Due(names.get(r.flow_id), r.name, _moment(r.expected_start_time))
            for r in sorted(soon, key=lambda r: str(r.expected_start_time))
        ],
        alert_runs=_alert_runs(learning, site),
        paused=[
            *events.paused(prefect.url),
            *(f"work pool {p.name}: nothing in it starts" for p in pools if p.is_paused),
            *(
                f"deployment {names.get(d.flow_id)}/{d.name}: it starts by hand or on an event only"
                for d in deployments
                if d.paused or (d.schedules and not any(s.active for s in d.schedules))
            ),
        ],
    )


_SHOWN = 20
"""Runs that alerts made and the status shows: the newest."""
_LOOKED_AT = 1000
"""The newest runs of retraining, made by alerts or not, among which these are looked for."""


def _alert_runs(runs: Iterable[FlowRun], site: str | None) -> list[AlertRun]:
    """Return the runs that alerts made, the newest first."""
    made = [r for r in runs if r.parameters.get("alert") is not None]
    out = []
    for run in made[:_SHOWN]:
        alert = run.parameters["alert"]
        windows = [alert.get("window"), *(alert.get("more") or ())]
        state = run.state.name if run.state else None
        by = None
        if state == "Merged":
            taking = (r for r in made if windows[0] in (r.parameters["alert"].get("more") or ()))
            by = next((str(r.id) for r in taking), None)
        out.append(
            AlertRun(
                windows=windows,
                event=alert.get("event"),
                occurred=alert.get("occurred"),
                run=str(run.id),
                name=run.name,
                state=state,
                says=run.state.message if run.state else None,
                page=f"{site}/runs/flow-run/{run.id}" if site else None,
                merged_into=by,
            )
        )
    return out


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None
