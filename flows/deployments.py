"""Deployments, schedules and automations from prefect.yaml, registered with the Prefect server.

The file has the form that `prefect deploy` reads. Registering the same again changes nothing: a
deployment, and an automation by its name, is updated in place.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import Field, ValidationError, create_model, model_validator

from headrace.infra import pools, storage
from headrace.infra.config_file import Config, read_config
from headrace.infra.endpoints import Cluster, Endpoints
from headrace.infra.errors import UsageError
from headrace.infra.events import DRIFT, MODEL, RESOURCE
from headrace.infra.home import home
from headrace.infra.pools import PoolsSettings, Role
from headrace.infra.setting_faults import SettingError
from headrace.infra.setting_tree import laid
from headrace.infra.settings import NotifySettings, Settings, Shared, build
from headrace.tasks import notices
from headrace.tasks.alerts import send_outbox
from headrace.tasks.chain import round_settings
from headrace.tasks.judging import policy_of
from headrace.tasks.settings import (
    CurateVerb,
    DeployVerb,
    InboxSettings,
    MonitorVerb,
    RetrainVerb,
    RunVerb,
)

SHIPPED = Path(__file__).resolve().parents[1] / "infra" / "deploy" / "prefect.yaml"


class _Pool(Settings):
    name: Role
    """What it is for; its name on the server is a setting (`pools`)."""


class _Schedule(Settings):
    cron: str
    """Minute, hour, day, month, weekday: `0 2 * * *`."""
    timezone: str = "UTC"
    """As `Asia/Shanghai`."""
    active: bool = True
    """Whether it runs; what was paused in its page stays paused."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> _Schedule:
        try:
            CronSchedule(cron=self.cron, timezone=self.timezone)
        except ValidationError as error:
            of_cron = error.errors()[0]["loc"] == ("cron",)
            what = (
                f"{self.cron!r} isn't a cron schedule"
                if of_cron
                else f"no timezone {self.timezone!r}"
            )
            hint = "write five fields, as `0 2 * * *`" if of_cron else "write one as Asia/Shanghai"
            raise SettingError(what, hint) from None
        return self


class _Trigger(Settings):
    event: str = DRIFT


class Entry(Settings):
    """A deployment as the file declares it."""

    name: str = Field(pattern=r"^[^/%&<>]+$")
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
    deployments: tuple[Entry, ...] = Field(min_length=1)


_PREFECTS = ("name", "prefect-version", "build", "push", "pull", "definitions")
"""What else `prefect deploy` reads in such a file; headrace doesn't need it."""


_PAYLOAD = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"},
}


def deploy(settings: DeployVerb, found: Endpoints) -> dict[str, Any]:
    """The answer of `headrace deploy`.

    Raises:
        UsageError: the file is no list of deployments.
    """
    prefect = found.prefect
    assert prefect is not None, "join_prefect has looked"
    forms = read_forms(
        Path(settings.file) if settings.file else SHIPPED, _defaults(settings, found.spark)
    )
    notices.keep(settings.notify)
    pools.make(prefect.url, settings.pools, prefect.own)
    registered = []
    with get_client(sync_client=True) as client:
        for form in forms:
            registered.append(_register(client, form, settings.model.name, settings.pools))
    return {
        "deployments": registered,
        "prefect": prefect.page or prefect.url,
        "alerts_sent": send_outbox(),
    }


@dataclass(frozen=True)
class Form:
    """A deployment with its flow, and the parameters that fill its form."""

    entry: Entry
    flow: Flow[..., Any]
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """FLOW/DEPLOYMENT."""
        return f"{self.flow.name}/{self.entry.name}"


def read_forms(path: Path, defaults: Mapping[str, Mapping[str, Any]]) -> list[Form]:
    """The deployments of a file, all of them checked before one is registered.

    Args:
        path: the file.
        defaults: parameters by flow, over which the file's own are laid.

    Raises:
        UsageError: it isn't there, is no YAML, or a flow, key or value in it is unknown.
    """
    file = read_config(path)
    known = {k: v for k, v in file.data.items() if k not in _PREFECTS}
    entries = build(_File, Config(file.name, known, file.places)).deployments
    forms: list[Form] = []
    for i, entry in enumerate(entries):
        flow = _flow(entry.entrypoint, file.at(("deployments", i, "entrypoint")))
        given = file.section("deployments", i, "parameters")
        if entry.triggers and "alert" not in inspect.signature(flow.fn).parameters:
            raise UsageError(
                f"{file.at(('deployments', i, 'triggers'))}: {entry.entrypoint} takes no `alert`",
                "leave the triggers out: a flow must take the event's payload to start on it",
            )
        form = Form(entry, flow, _parameters(flow, defaults.get(flow.name, {}), given))
        if form.name in [other.name for other in forms]:
            raise UsageError(
                f"{file.at(('deployments', i, 'name'))}: two deployments are called {form.name}",
                "give one another name",
            )
        forms.append(form)
    return forms


def _parameters(flow: Flow[..., Any], defaults: Mapping[str, Any], given: Config) -> dict[str, Any]:
    """What a flow's form is filled with, as JSON: what the file gives, laid over the defaults."""
    kinds = get_type_hints(flow.fn)
    fields: dict[str, Any] = {
        name: (kinds[name], ... if p.default is p.empty else p.default)
        for name, p in inspect.signature(flow.fn).parameters.items()
    }
    model = create_model("Parameters", __base__=Settings, **fields)
    data = laid(defaults, given.data, model)
    filled = build(model, data, sources=[given])
    return filled.model_dump(mode="json", include=set(data))


def _defaults(settings: DeployVerb, cluster: Cluster | None) -> dict[str, dict[str, Any]]:
    """What each flow's form is filled with: the settings that were given to `deploy`."""
    # The webhook stands apart (notices.keep), and a worker runs elsewhere.
    gate = settings.gate
    policy_of(gate, "default")
    if gate.policy and Path(gate.policy).is_file():
        gate = gate.model_copy(update={"policy": storage.display(gate.policy)})
    settings = settings.model_copy(update={"notify": NotifySettings(), "gate": gate})
    shared = {k: getattr(settings, k) for k in Shared.model_fields}
    on_cluster = settings.spark
    if cluster is not None:
        on_cluster = settings.spark.model_copy(
            update={"master": cluster.master, "event_log": cluster.event_log}
        )
    inbox = storage.display(settings.inbox or home().inbox)
    part = {
        "curate": CurateVerb(**{**shared, "spark": on_cluster}, **dict(settings.curate)),
        "monitor": MonitorVerb(
            **shared,
            **dict(settings.monitor),
            curate=settings.curate,
            inbox=InboxSettings(settle_seconds=settings.settle_seconds),
        ),
        "retrain": _trusting(round_settings(settings), inbox),
        "evaluate": Shared(**shared),
        "lifecycle": RunVerb(**{k: getattr(settings, k) for k in RunVerb.model_fields}),
    }
    own: dict[str, dict[str, Any]] = {
        "curate": {
            "input": [storage.display(uri) for uri in settings.input] or None,
            "output": storage.display(settings.output) if settings.output else None,
        },
        "monitor": {"inbox": inbox},
    }
    return {k: {**own.get(k, {}), "settings": _json(v)} for k, v in part.items()}


def _trusting(settings: RetrainVerb, inbox: str) -> RetrainVerb:
    """The settings of a deployed round, in which an alert may name text of the inbox."""
    roots = dict.fromkeys((*map(storage.display, settings.alert_roots), inbox))
    return settings.model_copy(update={"alert_roots": tuple(roots)})


def _json(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def _flow(entrypoint: str, where: str) -> Flow[..., Any]:
    """The flow that an entrypoint names.

    Raises:
        UsageError: there is none.
    """
    module, _, name = entrypoint.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        found = None
    if not isinstance(found, Flow):
        from headrace.flows import scheduled

        shipped = [n for n, value in vars(scheduled).items() if isinstance(value, Flow)]
        raise UsageError(
            f"{where}: {entrypoint} isn't a flow",
            f"write {scheduled.__name__}.NAME; its flows: {', '.join(shipped)}",
        )
    return found


def _register(
    client: SyncPrefectClient, form: Form, model: str, names: PoolsSettings
) -> dict[str, Any]:
    """One deployment with its schedules and triggers; what was paused in its page stays paused."""
    entry, flow, name = form.entry, form.flow, form.name
    paused, active = _paused(client, name)
    deployment = client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=entry.name,
        entrypoint=entry.entrypoint,
        work_pool_name=names.by_role()[entry.work_pool.name].name,
        description=entry.description,
        tags=["headrace", *entry.tags],
        parameters=form.parameters,
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
    triggers = dict(_automate(client, name, deployment, t.event, model) for t in entry.triggers)
    resting = ["the deployment"] if paused else []
    resting += [
        f"the schedule {s.cron}"
        for i, s in enumerate(entry.schedules)
        if not active.get(f"at-{i}", s.active)
    ]
    return {
        "name": name,
        "id": str(deployment),
        "schedules": [s.cron for s in entry.schedules],
        "automations": list(triggers),
        "paused": resting
        + [f"the automation {n}" for n, enabled in triggers.items() if not enabled],
    }


def _paused(client: SyncPrefectClient, name: str) -> tuple[bool, dict[str, bool]]:
    """Whether a deployment is paused, and which of its schedules are active."""
    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return False, {}
    return bool(found.paused), {str(s.slug): s.active for s in found.schedules}


def _automate(
    client: SyncPrefectClient, name: str, deployment: Any, event: str, model: str
) -> tuple[str, bool]:
    """Start a deployment on an event, the event's payload its parameter `alert`.

    (name, whether it is enabled) of the automation; what was paused in its page stays paused.
    """
    wanted = AutomationCore(
        name=f"{event} starts {name}",
        description="An alert retrains the champion, whichever monitor raised it.",
        trigger=EventTrigger(
            expect={event},
            match={RESOURCE: f"{MODEL}.{model}"},
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
    return wanted.name, wanted.enabled
