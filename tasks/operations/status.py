"""Where everything stands: the answer of `headrace status`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError
from headrace.infra.net.servers import Server
from headrace.infra.registry.versions import COMPARED, NOBODY, Version
from headrace.infra.stack import events, retention
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.prefect_api import PAGE, pages
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining.verdicts import last_verdict


def status(shared: Shared, recent: bool = False) -> dict[str, Any]:
    """The answer of `headrace status`, as the contract has it.

    Args:
        shared: for the model.
        recent: what the state folder takes may be some minutes old.

    `running`, `next` and `paused` are what Prefect's server says, and empty without one;
    `alerts` are those in the outbox, each with the reason why it waits.
    """
    found = endpoints(home())
    if found.mlflow.own and not home().begun():
        found.join()
        return _nothing(found.prefect)
    models = registry(shared.model.name)
    found.join()
    prefect = found.prefect
    champion, window = models.current(), last_verdict()
    return {
        "champion": None if champion is None else {
            "version": champion.number,
            **_corpus(champion),
            "since": models.since(champion.number),
        },
        "waiting": [_waits(v) for v in models.waiting()],
        "window": window.model_dump(mode="json") if window else None,
        **_flows(prefect),
        "alerts": [
            {"window": a.window, "outbox": str(a.path), "why": a.reason}
            for a in events.waiting(home(), prefect.url if prefect else None)
        ],
        "decision": models.last_decision(),
        "stack": (prefect.page or prefect.url) if prefect else None,
        "disk": disk(recent),
    }  # fmt: skip


def _nothing(prefect: Server | None) -> dict[str, Any]:
    """The answer where no state folder is, which none is made for; flows are another's server's."""
    return {
        "champion": None,
        "waiting": [],
        "window": None,
        **_flows(prefect),
        "alerts": [],
        "decision": None,
        "stack": (prefect.page or prefect.url) if prefect else None,
        "disk": {"state_bytes": 0, "free_bytes": home().free_bytes(), "parts": {}},
    }


def disk(recent: bool = False) -> dict[str, Any]:
    """What the state folder takes, all of it and each part; `recent`: as of some minutes ago."""
    parts = (retention.recent_sizes if recent else retention.sizes)(home())
    return {
        "state_bytes": sum(parts.values()),
        "free_bytes": home().free_bytes(),
        "parts": parts,
    }


def _corpus(champion: Version) -> dict[str, Any]:
    """{`release_id`, `missing`: what of the version isn't in this state folder, None: nothing}.

    Another machine, or no headrace at all, may have registered it.
    """
    try:
        release, export = champion.release, champion.export
        release_id = releases.manifest(release)["release_id"]
    except HeadraceError as error:
        return {"release_id": champion.tags.get("release_id"), "missing": error.message}
    lacks = None if export.is_dir() else f"{export}: no such folder"
    return {"release_id": release_id, "missing": lacks}


def _waits(version: Version) -> dict[str, Any]:
    """What a person needs to decide on a version: the gate's page, and its rival (None: none)."""
    folder = version.export.parent if "export" in version.tags else None
    found = folder.glob("gate*.html") if folder else ()
    pages = sorted(found, key=lambda p: p.stat().st_mtime)
    rival = version.tags.get(COMPARED)
    return {
        "version": version.number,
        "run_id": version.run_id,
        "compared_with": None if rival == NOBODY else rival,
        "report": str(pages[-1]) if pages else None,
    }


def _flows(prefect: Server | None) -> dict[str, Any]:
    """What runs, what comes next and what is paused; `stack_fault`, where the server is silent."""
    nothing: dict[str, Any] = {
        "running": [], "next": [], "paused": [], "alert_runs": [], "stack_fault": None,
    }  # fmt: skip
    if prefect is None:
        return nothing
    import httpx

    try:
        return {**nothing, **_asked(prefect)}
    except (httpx.HTTPError, HeadraceError):
        hint = "`headrace up` starts what has died" if prefect.own else "`headrace doctor` looks"
        return {**nothing, "stack_fault": f" does not answer: {hint}"}


def _asked(prefect: Server) -> dict[str, Any]:
    """What the server says; of another's only what concerns headrace's deployments."""
    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import Settings, get_current_settings

    # Prefect may have been imported before the server was joined.
    with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
        return _said(prefect, get_current_settings().ui_url)


def _said(prefect: Server, site: str | None) -> dict[str, Any]:
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
    return {
        "running": [
            {"flow": names.get(r.flow_id), "name": r.name, "since": _told(r.start_time)}
            for r in deployed
        ],
        "next": [
            {"flow": names.get(r.flow_id), "name": r.name, "at": _told(r.expected_start_time)}
            for r in sorted(soon, key=lambda r: str(r.expected_start_time))
        ],
        "alert_runs": _alert_runs(learning, site),
        "paused": [
            *events.paused(prefect.url),
            *(f"work pool {p.name}: nothing in it starts" for p in pools if p.is_paused),
            *(
                f"deployment {names.get(d.flow_id)}/{d.name}: it starts by hand or on an event only"
                for d in deployments
                if d.paused or (d.schedules and not any(s.active for s in d.schedules))
            ),
        ],
    }


_SHOWN = 20
"""Runs that alerts made, the newest, of which the status tells."""
_LOOKED_AT = 1000
"""The newest runs of retraining, made by alerts or not, among which these are looked for."""


def _alert_runs(runs: Iterable[Any], site: str | None) -> list[dict[str, Any]]:
    """The runs that alerts made, the newest first.

    [{`windows`, `event` (its id), `occurred`, `run` (its id), `name`, `state`, `says`, `page`,
    `merged_into`: the id of the run that learns its windows in its place}].
    """
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
            {
                "windows": windows,
                "event": alert.get("event"),
                "occurred": alert.get("occurred"),
                "run": str(run.id),
                "name": run.name,
                "state": state,
                "says": run.state.message if run.state else None,
                "page": f"{site}/runs/flow-run/{run.id}" if site else None,
                "merged_into": by,
            }
        )
    return out


def _told(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None
