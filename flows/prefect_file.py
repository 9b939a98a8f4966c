"""prefect.yaml, read strictly: a fault is named with line and column before anything is deployed.

`prefect deploy` skips what it can't read and ignores keys that it doesn't know. Here an unknown key
is an error, and so is a trigger that could fire without bound.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_type_hints
from uuid import UUID

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.flows import Flow
from prefect.utilities.templating import apply_values, find_placeholders
from pydantic import Field, JsonValue, ValidationError, create_model, model_validator

from headrace.flows.parameters import FormValues
from headrace.infra.configuration.config_file import Config, KeyPath, read_config
from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.setting_tree import laid
from headrace.infra.configuration.settings import Settings, build
from headrace.infra.errors import UsageError

SHIPPED = Path(__file__).resolve().parents[1] / "infra" / "deploy" / "prefect.yaml"
SLOW_SECONDS = 10.0
"""Least `within` of a trigger on Prefect's own events, of which each run makes some: it may fire on
those of the runs that it started, and then it does so without end."""
FLOWS = ("curate", "monitor", "retrain", "evaluate", "lifecycle")
"""Flows that have a form, each in its module."""
BUILD_STEP = "headrace.flows.parameters.kept_parameters"
"""The one build step that `headrace deploy` takes."""


class _Pool(Settings):
    name: str
    """Work pool of the server; `spark` and `training` stand for those that `pools` names."""
    work_queue_name: str | None = None
    """Queue of the pool; None: its default."""
    job_variables: dict[str, JsonValue] = Field(default_factory=dict)
    """What is set of the pool's base job template."""


class Schedule(Settings):
    """When a deployment runs by itself."""

    cron: str | None = None
    """Minute, hour, day, month, weekday: `0 2 * * *`."""
    interval: float | None = Field(default=None, ge=60, le=1e9)
    """Seconds between two runs; in place of `cron`."""
    timezone: str | None = None
    """As `Asia/Shanghai`; None: UTC."""
    active: bool = True
    """Whether it runs; what was paused in Prefect's pages stays paused."""
    slug: str | None = None
    """Its name, by which a changed schedule is known again."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Parameters of its runs that differ from the deployment's."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> Schedule:
        if (self.cron is None) == (self.interval is None):
            raise SettingError("a schedule needs `cron` or `interval`", "write one of the two")
        try:
            self.as_prefects()
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

    def as_prefects(self) -> CronSchedule | IntervalSchedule:
        """The schedule as Prefect's class."""
        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        return IntervalSchedule(
            interval=timedelta(seconds=self.interval or 0), timezone=self.timezone
        )

    def created(self, active: bool) -> DeploymentScheduleCreate:
        """What registers it."""
        return DeploymentScheduleCreate(
            schedule=self.as_prefects(),
            active=active,
            slug=self.slug,
            parameters=self.parameters,
        )

    def __str__(self) -> str:
        if self.cron is None:
            return f"every {self.interval:g} s"
        return f"at {self.cron} {self.timezone or 'UTC'}"


class Trigger(Settings):
    """Events that start a deployment: an automation."""

    type: Literal["event"] = "event"
    """Kind of trigger."""
    name: str = Field(min_length=1)
    """Name of the automation."""
    description: str = ""
    """For its page."""
    enabled: bool = True
    """Whether it fires; what was paused in Prefect's pages stays paused."""
    expect: tuple[str, ...] = Field(min_length=1)
    """Names of the events; without one it would fire on every event, its own runs' included."""
    match: dict[str, JsonValue] = Field(default_factory=dict)
    """Labels of the resource of the events."""
    posture: Literal["Reactive"] = "Reactive"
    """It fires when events arrive."""
    threshold: int = Field(default=1, ge=1)
    """Number of events within the time below that make it fire."""
    within: float = Field(default=0, ge=0)
    """Seconds in which it fires once at most, and in which further events are lost; 0: it fires on
    each."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Parameters of the run, as templates over `event`."""
    job_variables: dict[str, JsonValue] | None = None
    """What is set of the pool's base job template."""

    @model_validator(mode="after")
    def _is_bounded(self) -> Trigger:
        own = [name for name in self.expect if _is_prefects(name)]
        if own and self.within < SLOW_SECONDS:
            raise SettingError(
                f"a trigger on {own[0]} fires on the events of the very runs that it starts",
                f"write `within: {SLOW_SECONDS:g}` or more, so that it fires at most that often",
            )
        return self

    def automation(self, deployment: UUID) -> AutomationCore:
        """The automation that `prefect deploy` makes of it."""
        given = {k: getattr(self, k) for k in self.model_fields_set}
        trigger = DeploymentEventTrigger.model_validate(given)
        trigger.set_deployment_id(deployment)
        return trigger.as_automation()


def _is_prefects(event: str) -> bool:
    """Whether a name, or a beginning of names with `*`, means events that Prefect itself emits."""
    begins = event.removesuffix("*")
    return event.startswith("prefect.") or (event != begins and "prefect.".startswith(begins))


class _Limit(Settings):
    limit: int = Field(ge=1)
    """Runs of the deployment at a time."""
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"
    """What happens to a further run."""
    grace_period_seconds: int | None = Field(default=None, ge=60, le=86400)
    """Time that a run has to start before its place is given to another."""


class Entry(Settings):
    """A deployment as the file declares it."""

    name: str = Field(pattern=r"^[^/%&<>]+$")
    """Its name below its flow's."""
    entrypoint: str
    """`module.flow`."""
    version: str | None = None
    """Shown on its page."""
    description: str | None = None
    """For its page."""
    work_pool: _Pool
    """Where its runs are worked on."""
    schedules: tuple[Schedule, ...] = ()
    """When it runs by itself."""
    triggers: tuple[Trigger, ...] = ()
    """Events that start it."""
    tags: tuple[str, ...] = ()
    """For its page."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """What its form is filled with; what is left out comes from the kept settings."""
    enforce_parameter_schema: bool = True
    """Whether the server refuses parameters that the flow doesn't take."""
    concurrency_limit: int | _Limit | None = None
    """Runs at a time."""
    pull: tuple[dict[str, JsonValue], ...] | None = None
    """Steps that fetch the code; none: it is installed where the workers run."""

    @model_validator(mode="after")
    def _runs_at_all(self) -> Entry:
        if self.limit is not None and self.limit < 1:
            raise SettingError(
                f"concurrency_limit = {self.limit}: no run would ever start", "write 1 or more"
            )
        return self

    @property
    def limit(self) -> int | None:
        """Runs at a time; None: any number."""
        limit = self.concurrency_limit
        return limit.limit if isinstance(limit, _Limit) else limit

    @property
    def limit_options(self) -> ConcurrencyOptions | None:
        """What happens to a run over the limit."""
        if not isinstance(self.concurrency_limit, _Limit):
            return None
        given = self.concurrency_limit.model_dump(exclude={"limit"}, exclude_none=True)
        return ConcurrencyOptions.model_validate(given)


class _File(Settings):
    deployments: tuple[Entry, ...] = Field(min_length=1)
    pull: tuple[dict[str, JsonValue], ...] = ()
    name: str | None = None
    build: tuple[dict[str, JsonValue], ...] = ()
    push: tuple[dict[str, JsonValue], ...] = ()
    definitions: JsonValue = None


@dataclass(frozen=True)
class Form:
    """A deployment with its flow, and the parameters that fill its form."""

    entry: Entry
    flow: Flow[..., Any]
    parameters: dict[str, JsonValue]
    pull: tuple[dict[str, JsonValue], ...]

    @property
    def name(self) -> str:
        """FLOW/DEPLOYMENT."""
        return f"{self.flow.name}/{self.entry.name}"

    def takes(self, parameter: str) -> bool:
        """Whether its flow has a parameter."""
        return parameter in get_type_hints(self.flow.fn)


def read_forms(path: Path, kept: FormValues) -> list[Form]:
    """The deployments of a file, all of them checked before one is registered.

    Args:
        path: the file.
        kept: what `{{ headrace.… }}` stands for.

    Raises:
        UsageError: it isn't there, is no YAML, or a flow, key or value in it is unknown.
    """
    file = _filled(read_config(path), kept)
    _refuse_steps(file)
    data = {k: v for k, v in file.data.items() if k != "prefect-version"}
    whole = build(_File, Config(file.name, data, file.places))
    forms: list[Form] = []
    for i, entry in enumerate(whole.deployments):
        flow = flow_of(entry.entrypoint, file.at(("deployments", i, "entrypoint")))
        given = file.section("deployments", i, "parameters")
        filled = fill(flow, kept.flows.get(flow.name, {}), given)
        pull = whole.pull if entry.pull is None else entry.pull
        pool = entry.work_pool
        named = {"name": kept.pools.get(pool.name, pool.name)}
        entry = entry.model_copy(update={"work_pool": pool.model_copy(update=named)})
        form = Form(entry=entry, flow=flow, parameters=filled, pull=pull)
        at = file.at(("deployments", i, "triggers"))
        for trigger in entry.triggers:
            if missing := [p for p in trigger.parameters if not form.takes(p)]:
                raise UsageError(
                    f"{at}: {entry.entrypoint} takes no `{missing[0]}`",
                    "give the trigger parameters that the flow has",
                )
        if form.name in [other.name for other in forms]:
            raise UsageError(
                f"{file.at(('deployments', i, 'name'))}: two deployments are called {form.name}",
                "give one another name",
            )
        forms.append(form)
    return forms


def _filled(file: Config, kept: FormValues) -> Config:
    """The file with the values that its placeholders stand for.

    A trigger's parameters are templates over the event, which are filled when it fires.

    Raises:
        UsageError: a placeholder stands for nothing that is known here.
    """
    values = {"headrace": kept.as_json()}
    data = dict(file.data)
    deployments = data.get("deployments")
    if not isinstance(deployments, list):
        return file
    out: list[JsonValue] = []
    for i, entry in enumerate(deployments):
        if not isinstance(entry, dict):
            out.append(entry)
            continue
        later = _trigger_parameters(entry)
        filled: Any = apply_values(_without(entry), values, remove_notset=False)
        filled = apply_values(filled, dict(os.environ), remove_notset=False)
        _refuse_unknown(file, ("deployments", i), filled)
        for trigger, parameters in zip(filled["triggers"] if later else (), later, strict=False):
            if parameters is not None:
                trigger["parameters"] = parameters
        out.append(filled)
    return Config(file.name, {**data, "deployments": out}, file.places)


def _trigger_parameters(entry: dict[str, JsonValue]) -> list[JsonValue]:
    triggers = entry.get("triggers")
    if not isinstance(triggers, list):
        return []
    return [t.get("parameters") if isinstance(t, dict) else None for t in triggers]


def _without(entry: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """An entry without its triggers' parameters."""
    triggers = entry.get("triggers")
    if not isinstance(triggers, list):
        return entry
    return {
        **entry,
        "triggers": [
            {k: v for k, v in t.items() if k != "parameters"} if isinstance(t, dict) else t
            for t in triggers
        ],
    }


def _refuse_unknown(file: Config, path: KeyPath, value: JsonValue) -> None:
    items: Iterable[tuple[str | int, JsonValue]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        _refuse_unknown(file, (*path, key), inner)
    if isinstance(value, str) and (unknown := find_placeholders(value)):
        name = min(p.full_match for p in unknown)
        raise UsageError(
            f"{file.at(path)}: {name} stands for nothing",
            "write `{{ headrace.FLOW.PARAMETER }}`, `{{ headrace.model }}` or `{{ $VARIABLE }}`; "
            "for others use `prefect deploy`",
        )


def _refuse_steps(file: Config) -> None:
    """Refuse build and push steps other than headrace's own: only `prefect deploy` runs them."""
    places: list[KeyPath] = [()]
    deployments = file.data.get("deployments")
    if isinstance(deployments, list):
        places += [("deployments", i) for i in range(len(deployments))]
    for place in places:
        section = file.section(*place).data
        for kind in ("build", "push"):
            steps = (section.get(kind) if isinstance(section, dict) else None) or []
            for step in steps if isinstance(steps, list) else [steps]:
                if not isinstance(step, dict) or list(step) != [BUILD_STEP]:
                    raise UsageError(
                        f"{file.at((*place, kind), key=True)}: headrace deploy runs no such step",
                        "give a file with steps to `prefect deploy`",
                    )


def fill(
    flow: Flow[..., Any], defaults: Mapping[str, JsonValue], given: Config
) -> dict[str, JsonValue]:
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


def flow_of(entrypoint: str, where: str) -> Flow[..., Any]:
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
        raise UsageError(
            f"{where}: {entrypoint} isn't a flow",
            f"write headrace.flows.NAME.NAME; the flows: {', '.join(FLOWS)}",
        )
    return found
