"""Deployments, schedules and automations from prefect.yaml, registered with the Prefect server.

The file has the form that `prefect deploy` reads. Registering the same again changes nothing: a
deployment, and an automation by its name, is updated in place.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import Field

from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.events import DRIFT
from headrace.infra.home import home
from headrace.infra.settings import NotifySettings, Settings, Shared, build, merge, read_config
from headrace.infra.stack import Stack
from headrace.tasks import notices
from headrace.tasks.alerts import send_outbox
from headrace.tasks.chain import round_settings
from headrace.tasks.settings import CurateVerb, DeployVerb, InboxSettings, MonitorVerb, RunVerb

SHIPPED = Path(__file__).resolve().parents[1] / "infra" / "deploy" / "prefect.yaml"


class _Pool(Settings):
    name: Literal["spark", "training"]


class _Schedule(Settings):
    cron: str
    timezone: str = "UTC"
    active: bool = True


class _Trigger(Settings):
    event: str = DRIFT


class Entry(Settings):
    """A deployment as the file declares it."""

    name: str
    """Its name below its flow's."""
    entrypoint: str
    """`module.flow`."""
    description: str | None = None
    """For its page."""
    work_pool: _Pool
    """One of the pools that the stack has workers for."""
    schedules: tuple[_Schedule, ...] = ()
    """When it runs by itself."""
    triggers: tuple[_Trigger, ...] = ()
    """Events that start it."""
    tags: tuple[str, ...] = ()
    """Besides `headrace`."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """These win over the settings that `deploy` is given."""


class _File(Settings):
    deployments: tuple[Entry, ...]


_PAYLOAD = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"},
}


def deploy(settings: DeployVerb, up: Stack) -> dict[str, Any]:
    """The answer of `headrace deploy`.

    Raises:
        UsageError: the file is no list of deployments.
    """
    entries = read_entries(Path(settings.file) if settings.file else SHIPPED)
    defaults = _defaults(settings, up)
    notices.keep(settings.notify)
    registered = []
    with get_client(sync_client=True) as client:
        for entry in entries:
            registered.append(_register(client, entry, defaults, settings.model.name))
    return {
        "deployments": registered,
        "prefect": up.prefect_api.removesuffix("/api"),
        "alerts_sent": send_outbox(),
    }


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The deployments of a file.

    Raises:
        UsageError: it isn't there, is no YAML, or a key or value is unknown.
    """
    data = {k: v for k, v in read_config(path).items() if k == "deployments"}
    return build(_File, data, str(path)).deployments


def _defaults(settings: DeployVerb, up: Stack) -> dict[str, dict[str, Any]]:
    """What each flow's form is filled with: the settings that were given to `deploy`."""
    # The webhook stands apart (notices.keep).
    settings = settings.model_copy(update={"notify": NotifySettings()})
    shared = {k: getattr(settings, k) for k in Shared.model_fields}
    on_cluster = settings.spark.model_copy(
        update={"master": up.spark_master, "event_log": up.event_log}
    )
    part = {
        "curate": CurateVerb(**{**shared, "spark": on_cluster}, **dict(settings.curate)),
        "monitor": MonitorVerb(
            **shared,
            **dict(settings.monitor),
            curate=settings.curate,
            inbox=InboxSettings(settle_seconds=settings.settle_seconds),
        ),
        "retrain": round_settings(settings),
        "evaluate": Shared(**shared),
        "lifecycle": RunVerb(**{k: getattr(settings, k) for k in RunVerb.model_fields}),
    }
    own: dict[str, dict[str, Any]] = {
        # Absolute, for a worker runs elsewhere.
        "curate": {
            "input": [storage.display(uri) for uri in settings.input] or None,
            "output": storage.display(settings.output) if settings.output else None,
        },
        "monitor": {"inbox": storage.display(settings.inbox or home().inbox)},
    }
    return {k: {**own.get(k, {}), "settings": _json(v)} for k, v in part.items()}


def _json(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def _flow(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.rpartition(".")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, Flow):
        raise UsageError(f"{entrypoint} is no flow", f"see {SHIPPED}")
    return found


def _register(
    client: SyncPrefectClient, entry: Entry, defaults: dict[str, dict[str, Any]], model: str
) -> dict[str, Any]:
    """One deployment with its schedules and triggers; what was paused in its page stays paused."""
    flow = _flow(entry.entrypoint)
    name = f"{flow.name}/{entry.name}"
    paused, active = _paused(client, name)
    deployment = client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=entry.name,
        entrypoint=entry.entrypoint,
        work_pool_name=entry.work_pool.name,
        description=entry.description,
        tags=["headrace", *entry.tags],
        parameters=merge(dict(defaults.get(flow.name, {})), entry.parameters),
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy.ENQUEUE, grace_period_seconds=600
        ),
        schedules=[
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=s.cron, timezone=s.timezone),
                active=active.get(f"at-{i}", s.active),
                slug=f"at-{i}",
            )
            for i, s in enumerate(entry.schedules)
        ],
        job_variables={"stream_output": False},
        paused=paused,
    )
    triggers = [_automate(client, name, deployment, t.event, model) for t in entry.triggers]
    crons = [s.cron for s in entry.schedules]
    return {"name": name, "id": str(deployment), "schedules": crons, "automations": triggers}


def _paused(client: SyncPrefectClient, name: str) -> tuple[bool, dict[str, bool]]:
    """Whether a deployment is paused, and which of its schedules are active."""
    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return False, {}
    return bool(found.paused), {str(s.slug): s.active for s in found.schedules}


def _automate(client: SyncPrefectClient, name: str, deployment: Any, event: str, model: str) -> str:
    """Start a deployment on an event, the event's payload its parameter `alert`."""
    wanted = AutomationCore(
        name=f"{event} starts {name}",
        description="An alert retrains the champion, whichever monitor raised it.",
        trigger=EventTrigger(
            expect={event},
            match={"prefect.resource.id": f"headrace.model.{model}"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment,
                parameters={"alert": _PAYLOAD},
                job_variables=None,
            )
        ],
    )
    found = client.request("POST", "/automations/filter", json={"limit": 200}).json()
    same = [a for a in found if a["name"] == wanted.name]
    if same:
        wanted.enabled = same[0]["enabled"]
        client.request("PUT", "/automations/{id}", path_params={"id": same[0]["id"]},
                       json=wanted.model_dump(mode="json", exclude_unset=True))  # fmt: skip
    else:
        client.request("POST", "/automations/", json=wanted.model_dump(mode="json"))
    return wanted.name
