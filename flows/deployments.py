"""`headrace deploy`: kept settings, what changes, and deployments registered with Prefect's server.

Registering the same again changes nothing: deployments, and automations by their names, are updated
in place, and what was paused in Prefect's pages stays paused. `prefect deploy --all` registers
the same deployments, but enables automations that were paused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel, JsonValue

from headrace.flows.parameters import parameters
from headrace.flows.prefect_file import SHIPPED, Form, Schedule, read_forms
from headrace.infra import storage
from headrace.infra.configuration.config_file import Config
from headrace.infra.errors import HeadraceError, InputError, UsageError
from headrace.infra.files.walk import expand
from headrace.infra.json_types import Json
from headrace.infra.stack import pools, stack
from headrace.infra.stack.endpoints import endpoints
from headrace.infra.stack.prefect_api import pages, request
from headrace.infra.stack.profiles import LOCAL, profile_settings
from headrace.infra.state import owner
from headrace.infra.state.lock import exclusive
from headrace.infra.state.state_dir import home
from headrace.tasks import audit_records
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.kept_settings import Change, Kept
from headrace.tasks.configuration.settings import DeployConfig
from headrace.tasks.gate.promotion import policy_of
from headrace.tasks.reporting import webhooks
from headrace.tasks.retraining.alerts import send_outbox

_WHOSE = "headrace_deployments"
"""Variable of a Prefect server of others: which state folder each deployment is of."""


@dataclass(frozen=True)
class Registered:
    """A deployment that is registered."""

    name: str
    id: str
    schedules: list[str]
    automations: list[str]
    paused: list[str]
    """What of it was paused in Prefect's pages."""


@dataclass(frozen=True)
class Edit:
    """A parameter that was changed in Prefect's pages, and is set back."""

    deployment: str
    parameter: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True)
class Deployed:
    """The result of `headrace deploy`."""

    deployments: list[Registered]
    without_worker: list[str]
    """Work pools that no worker serves."""
    changed: list[Change]
    edited: list[Edit]
    kept: str
    """File of the kept settings."""
    prefect: str
    """Page of the server."""
    alerts_sent: int

    def as_json(self) -> dict[str, Json]:
        """Return the answer of `headrace deploy`."""
        changed = [{"setting": c.setting, "from": c.before, "to": c.after} for c in self.changed]
        edited = [
            {"deployment": e.deployment, "parameter": e.parameter, "from": e.before, "to": e.after}
            for e in self.edited
        ]
        return {**asdict(self), "changed": changed, "edited": edited}


def deploy(given: list[Config], profile: str | None = None, reset: bool = False) -> Deployed:
    """Keep the settings, and register the deployments.

    Args:
        given: settings that it was given, the strongest last.
        profile: `--profile`, None where it was not given.
        reset: forget what earlier calls were given.

    Raises:
        UsageError: a setting, or the file of the deployments, is wrong.
        InputError: text, a folder or a file that the settings name isn't there.
    """
    with exclusive(home().root / ".deploy.lock", "waiting for another deploy"):
        known = _known(reset)
        kept = Kept(stack=known.stack) if reset else known
        old = kept_settings.effective(known, profile_settings(known.profile or LOCAL))
        profile = profile or kept.profile
        new = kept_settings.effective(kept, profile_settings(profile or LOCAL), given)
        check_places(new)
        forms = _forms(new)
        _check_after_release(new, forms)
        webhooks.check_blocks(new.notify.blocks)
        prefect = endpoints(home()).prefect
        assert prefect is not None, "join_prefect has looked"
        with _server() as client:
            pools.make(prefect.url, new.pools, prefect.own)
            _check_pools(client, forms)
            there = {form.name: _found(client, form.name) for form in forms}
            if not prefect.own:
                _claim(prefect.url, [name for name, found in there.items() if found], forms)
            # Before anything is registered: whatever comes between, the next `deploy` knows it.
            kept_settings.keep(kept, given, profile, new)
            left = kept_settings.left()
            registered: list[Registered] = []
            edited: list[Edit] = []
            for form in forms:
                found = there[form.name]
                if found is not None and form.name in left:
                    edited += _edited(form, found.parameters, left[form.name])
                left[form.name] = form.parameters
                kept_settings.leave(left)
                registered.append(register(client, form, found))
            audit_records.deployed({form.name: form.parameters for form in forms}, new.model.name)
    used = {form.entry.work_pool.name for form in forms}
    return Deployed(
        deployments=registered,
        without_worker=pools.without_worker(prefect.url, used - stack.served(home())),
        changed=kept_settings.difference(old, new),
        edited=edited,
        kept=str(kept_settings.path()),
        prefect=prefect.page or prefect.url,
        alerts_sent=send_outbox(),
    )


@contextmanager
def _server() -> Iterator[SyncPrefectClient]:
    """A client of Prefect's server.

    Raises:
        HeadraceError: it doesn't answer, or refuses.
    """
    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPError as error:
        answer = getattr(error, "response", None)
        state = f"answers {answer.status_code}" if answer is not None else "does not answer"
        raise HeadraceError(
            f"Prefect's server {state}: {type(error).__name__}",
            "`headrace deploy` again finishes what it began; `headrace status` says how the server "
            f"is, and {home().logs / 'stack' / 'prefect.log'} why",
        ) from error


def _known(reset: bool) -> Kept:
    """What was kept; with `reset` a damaged file counts as none."""
    try:
        return kept_settings.read()
    except UsageError:
        if reset:
            return Kept()
        raise


def _forms(settings: DeployConfig) -> list[Form]:
    return read_forms(Path(settings.file) if settings.file else SHIPPED, parameters(settings))


def check_places(settings: DeployConfig) -> None:
    """Look at what the scheduled runs will need, so that a slip shows now and not at night.

    Raises:
        InputError: text or a folder isn't there, or its storage doesn't answer.
        UsageError: nothing can be written to the output, or the policy is wrong.
    """
    policy_of(settings.gate, "default")
    for uri in settings.input:
        expand(uri)
    if settings.output:
        storage.writable_folder(settings.output)
    if settings.inbox is None:
        home().inbox.mkdir(parents=True, exist_ok=True)
    elif storage.local_path(settings.inbox) is None:
        storage.ask(settings.inbox)  # an empty prefix is no fault, a bucket that isn't there is
    elif not Path(storage.local_path(settings.inbox) or "").is_dir():
        raise InputError(
            f"inbox {settings.inbox}: no such folder",
            f"make it (`mkdir -p {settings.inbox}`), or give another: --set inbox=URI",
        )


def _check_after_release(settings: DeployConfig, forms: list[Form]) -> None:
    name = settings.after_release
    if name and not any(f.name == name and f.takes("release") for f in forms):
        fit = ", ".join(f.name for f in forms if f.takes("release")) or "none"
        raise UsageError(
            f"after_release = {name}: no deployment of this name takes a release",
            f"deployments that take one: {fit}",
        )


def _check_pools(client: SyncPrefectClient, forms: list[Form]) -> None:
    for form in forms:
        pool = form.entry.work_pool.name
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            there = ", ".join(p.name for p in pages(client.read_work_pools)) or "none"
            raise UsageError(
                f"{form.name}: the server has no work pool {pool}",
                f"its pools: {there}; make it: `prefect work-pool create`",
            ) from None


def _found(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _edited(
    form: Form, there: Mapping[str, JsonValue], before: Mapping[str, JsonValue]
) -> list[Edit]:
    """Return what was changed elsewhere, and is set back.

    Args:
        form: what is registered now.
        there: the parameters that the server has.
        before: those that the last `deploy` left there.
    """
    was, now = dict(_leaves(before)), dict(_leaves(form.parameters))
    return [
        Edit(form.name, key, value, now.get(key))
        for key, value in _leaves(there)
        if value != was.get(key) and value != now.get(key)
    ]


def _leaves(value: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def _claim(api: str, there: list[str], forms: list[Form]) -> None:
    """Note on a server of others whose deployments these are.

    Args:
        api: of the server.
        there: names of those that are registered already.
        forms: what this state folder registers.

    Raises:
        UsageError: one that is there is another state folder's.
    """
    place = owner.place(home())
    found = request(api, "POST", "/variables/filter", {"variables": {"name": {"any_": [_WHOSE]}}})
    whose: dict[str, str] = dict(found[0]["value"]) if found else {}
    for name in there:
        if (other := whose.get(name, place)) != place:
            raise UsageError(
                f"the deployment {name} is that of the state folder {other}",
                "deploy it there; give yours names of their own in a file (--set file=FILE); or, "
                f"where that folder is no more, `prefect deployment delete {name}`",
            )
    new = {**whose, **{form.name: place for form in forms}}
    if not found:
        request(api, "POST", "/variables/", {"name": _WHOSE, "value": new})
    elif new != whose:
        request(api, "PATCH", f"/variables/name/{_WHOSE}", {"value": new})


class _Wanted(TypedDict):
    """What decides about a deployment, by the names that Prefect's client has."""

    entrypoint: str
    version: str | None
    work_pool_name: str
    work_queue_name: str | None
    job_variables: dict[str, JsonValue]
    description: str | None
    tags: list[str]
    parameters: dict[str, JsonValue]
    parameter_openapi_schema: dict[str, JsonValue]
    enforce_parameter_schema: bool
    concurrency_limit: int | None
    concurrency_options: ConcurrencyOptions | None
    schedules: list[DeploymentScheduleCreate]
    pull_steps: list[dict[str, JsonValue]]


def register(client: SyncPrefectClient, form: Form, found: DeploymentResponse | None) -> Registered:
    """Register one deployment with its schedules and automations.

    Args:
        client: of the server.
        form: what to register.
        found: the deployment as it is there; what was paused of it stays paused.
    """
    entry, flow = form.entry, form.flow
    active = [_active(schedule, found) for schedule in entry.schedules]
    wanted: _Wanted = {
        "entrypoint": entry.entrypoint,
        "version": entry.version or flow.version,
        "work_pool_name": entry.work_pool.name,
        "work_queue_name": entry.work_pool.work_queue_name,
        "job_variables": entry.work_pool.job_variables,
        "description": entry.description or flow.description,
        "tags": list(entry.tags),
        "parameters": form.parameters,
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": entry.enforce_parameter_schema,
        "concurrency_limit": entry.limit,
        "concurrency_options": entry.limit_options,
        "schedules": [s.created(on) for s, on in zip(entry.schedules, active, strict=True)],
        "pull_steps": list(form.pull),
    }
    if found is not None and _is_there(wanted, found):
        # Writing the same again would cancel the scheduled runs and create them again.
        deployment = found.id
    else:
        deployment = client.create_deployment(
            flow_id=client.create_flow_from_name(flow.name),
            name=entry.name,
            paused=found is not None and bool(found.paused),
            **wanted,
        )
    enabled = _automate(client, form, deployment)
    paused = ["the deployment"] if found is not None and found.paused else []
    paused += [f"the schedule {s}" for s, on in zip(entry.schedules, active, strict=True) if not on]
    paused += [f"the automation {name}" for name, on in enabled.items() if not on]
    return Registered(
        name=form.name,
        id=str(deployment),
        schedules=list(map(str, entry.schedules)),
        automations=list(enabled),
        paused=paused,
    )


def _is_there(wanted: _Wanted, found: DeploymentResponse) -> bool:
    """Whether the server has a deployment as it is wanted."""
    limit = found.global_concurrency_limit
    there = {**dict(found), "concurrency_limit": limit.limit if limit else None}
    if wanted["work_queue_name"] is None:
        there["work_queue_name"] = None  # the server names the pool's default
    return all(_plain(value) == _plain(there[name]) for name, value in wanted.items())


def _plain(value: object) -> JsonValue:
    """A value as JSON; of schedules what decides when they run, in any order."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list) and value and hasattr(value[0], "schedule"):
        rows: list[JsonValue] = [
            [_plain(s.schedule), s.active, s.slug, s.parameters] for s in value
        ]
        return sorted(rows, key=str)
    plain: JsonValue = json.loads(json.dumps(value, default=str))
    return plain


def _active(schedule: Schedule, found: DeploymentResponse | None) -> bool:
    """Whether a schedule runs: as it was left in Prefect's pages, else as the file says."""
    for there in found.schedules if found is not None else ():
        same = there.slug == schedule.slug if schedule.slug else (
            there.schedule == schedule.as_prefects()
        )  # fmt: skip
        if same:
            return bool(there.active)
    return schedule.active


def _automate(client: SyncPrefectClient, form: Form, deployment: UUID) -> dict[str, bool]:
    """Make the automations of a deployment what its triggers say; {name: whether it is enabled}.

    The server doesn't say which automations a deployment owns and which a person made for it. So,
    as `prefect deploy` does, replace those that it owns, unless nothing differs.
    """
    resource = f"prefect.deployment.{deployment}"
    wanted = [trigger.automation(deployment) for trigger in form.entry.triggers]
    there = client.read_resource_related_automations(resource)
    enabled = {a.name: a.enabled for a in there}
    for automation in wanted:
        automation.enabled = enabled.get(automation.name, automation.enabled)
    if sorted(map(_content, there)) != sorted(map(_content, wanted)):
        client.delete_resource_owned_automations(resource)
        names = {a.name for a in wanted}
        for left in client.read_resource_related_automations(resource):
            if left.name in names:  # of a version whose automations belonged to no deployment
                client.delete_automation(left.id)
        for automation in wanted:
            client.create_automation(automation)
    return {a.name: a.enabled for a in wanted}


def _content(automation: AutomationCore | Automation) -> str:
    """All that decides what an automation does."""
    core = AutomationCore.model_validate(
        automation.model_dump(mode="json", include=set(AutomationCore.model_fields))
    )
    return core.model_dump_json(exclude={"owner_resource"})
