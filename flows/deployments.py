"""Deployments, schedules and automations from prefect.yaml, registered with the Prefect server.

The file has the form that `prefect deploy` reads. Registering the same again changes nothing: a
deployment, and an automation by its name, is updated in place.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from headrace.infra.errors import UsageError
from headrace.infra.events import DRIFT
from headrace.infra.home import home
from headrace.infra.settings import Settings, Shared, merge
from headrace.infra.stack import Stack
from headrace.tasks.chain import round_settings
from headrace.tasks.settings import CurateVerb, DeployVerb, InboxSettings, MonitorVerb, RunVerb

SHIPPED = Path(__file__).resolve().parents[1] / "infra" / "deploy" / "prefect.yaml"
_PAYLOAD = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"},
}


def deploy(settings: DeployVerb, up: Stack) -> dict[str, Any]:
    """The answer of `headrace deploy`.

    Raises:
        UsageError: the file is no list of deployments.
    """
    defaults = _defaults(settings, up)
    registered = []
    with get_client(sync_client=True) as client:
        for entry in _entries(Path(settings.file) if settings.file else SHIPPED):
            registered.append(_register(client, entry, defaults, settings.model.name))
    return {"deployments": registered, "prefect": up.prefect_api.removesuffix("/api")}


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
        for entry in entries:
            {**entry}["name"], entry["entrypoint"], entry["work_pool"]["name"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: {type(error).__name__}: {error}", f"write it like {SHIPPED}"
        ) from None
    yield from entries


def _defaults(settings: DeployVerb, up: Stack) -> dict[str, dict[str, Any]]:
    """What each flow's form is filled with: the settings that were given to `deploy`."""
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
        "curate": {"input": list(settings.input) or None, "output": settings.output},
        "monitor": {"inbox": settings.inbox or str(home().inbox)},
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
    client: SyncPrefectClient,
    entry: dict[str, Any],
    defaults: dict[str, dict[str, Any]],
    model: str,
) -> dict[str, Any]:
    """One deployment with its schedules and triggers."""
    flow = _flow(entry["entrypoint"])
    crons = [s["cron"] for s in entry.get("schedules", ())]
    deployment = client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=entry["name"],
        entrypoint=entry["entrypoint"],
        work_pool_name=entry["work_pool"]["name"],
        description=entry.get("description"),
        tags=["headrace", *entry.get("tags", ())],
        parameters=merge(defaults.get(flow.name, {}), entry.get("parameters", {})),
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy.ENQUEUE, grace_period_seconds=600
        ),
        schedules=[
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=cron, timezone="UTC"), active=True, slug=f"at-{i}"
            )
            for i, cron in enumerate(crons)
        ],
        job_variables={"stream_output": False},
        paused=False,
    )
    name = f"{flow.name}/{entry['name']}"
    triggers = [_automate(client, name, deployment, t, model) for t in entry.get("triggers", ())]
    return {"name": name, "id": str(deployment), "schedules": crons, "automations": triggers}


def _automate(
    client: SyncPrefectClient, name: str, deployment: Any, trigger: dict[str, Any], model: str
) -> str:
    """Start a deployment on an event, the event's payload its parameter `alert`."""
    event = trigger.get("event", DRIFT)
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
        client.request("PUT", "/automations/{id}", path_params={"id": same[0]["id"]},
                       json=wanted.model_dump(mode="json", exclude_unset=True))  # fmt: skip
    else:
        client.request("POST", "/automations/", json=wanted.model_dump(mode="json"))
    return wanted.name
