"""The drift event: what an alert says, and the outbox where it waits for a server."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue

from headrace.infra import storage
from headrace.infra.errors import HeadraceError
from headrace.infra.files import quarantine
from headrace.infra.files.quarantine import Instant
from headrace.infra.lineage import digest
from headrace.infra.stack.prefect_api import StatusError, every, request
from headrace.infra.state import clock
from headrace.infra.state.lock import exclusive
from headrace.infra.state.state_dir import Home

logger = logging.getLogger(__name__)

DRIFT = "headrace.drift.detected"
RESOURCE = "prefect.resource.id"
MODEL = "headrace.model"
"""What the resource of a model begins with."""
DUE = "the next `headrace monitor`, `alert`, `up` or `deploy` sends it"
"""What happens to an alert in the outbox that nothing holds up."""
PUT_OFF = "it was put off"
"""How the reason of an alert begins that waits for a cool-down or a budget."""
_OURS = {"not_before", "put_off", "tries", "sent"}
"""Keys of a kept alert that are not the event's."""
PATIENCE = 120.0
"""Seconds that a server may take to make a run of an event."""
GIVEN_UP = 86400.0
"""Seconds after the last try when an alert of which no run comes is set aside."""
TRIES = 5
"""How often the same event is sent at most."""
_NO_SERVER = (401, 403, 407, 408, 425, 429, 502, 503, 504)
"""Statuses that any event would meet: a login that doesn't hold, a server that can't work now."""
_NO_PLACE = (404, 405)
"""Statuses that say nothing of the event: its address isn't known, to a proxy perhaps."""


def _names_a_resource(labels: dict[str, str]) -> dict[str, str]:
    if RESOURCE not in labels:
        raise ValueError(f"no {RESOURCE}")
    return labels


def _is_uuid(text: str) -> str:
    uuid.UUID(text)
    return text


class Payload(BaseModel):
    """What the drift event says, as the contract has it; what isn't known is null."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    window: str | None
    """URI of the text that drifted; None: all windows of the inboxes."""
    reference: str | None = None
    """Id of the release that it was compared with."""
    p_value: float | None = None
    effect: float | None = None
    drifted: list[str] | None = None
    """Names of what drifted."""
    report: str | None = None


class PutOff(clock.Stamp):
    """When an alert was put off."""

    time: Instant


class DriftEvent(BaseModel):
    """The drift event, and what the outbox keeps beside it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: Annotated[str, AfterValidator(_is_uuid)]
    event: str = DRIFT
    resource: Annotated[dict[str, str], AfterValidator(_names_a_resource)]
    payload: Payload
    occurred: Instant
    not_before: Instant | None = None
    """When it may be sent (a cool-down); None: at once."""
    put_off: PutOff | None = None
    """Since when it waits for that."""
    tries: int = 0
    """How often it was sent."""
    sent: Annotated[clock.Stamp | None, BeforeValidator(clock.stamp_of)] = None
    """When it was sent last; None: not yet, or that can't be read."""

    @property
    def model(self) -> str:
        """The resource of the model that the alert is on."""
        return self.resource[RESOURCE]

    def as_sent(self) -> dict[str, JsonValue]:
        """Return the event of the contract, without what only the outbox keeps."""
        value: dict[str, JsonValue] = self.model_dump(mode="json", exclude=_OURS)
        return value

    def seconds_left(self) -> float:
        """Return for how long it is still put off; wherever the clock stands by now."""
        if self.not_before is None:
            return 0.0
        later = datetime.fromisoformat(self.not_before)
        if self.put_off is None:
            return (later - clock.now()).total_seconds()
        at = datetime.fromisoformat(self.put_off.time)
        return (later - at).total_seconds() - clock.age(at, self.put_off)


def _checked(value: object) -> DriftEvent:
    event = DriftEvent.model_validate(value, strict=True)
    json.dumps(value, allow_nan=False)
    return event


def drift_event(model: str, payload: Payload) -> DriftEvent:
    """Return the event of an alert on a model."""
    return DriftEvent(
        id=str(uuid.uuid4()),
        resource={RESOURCE: f"{MODEL}.{model}"},
        payload=payload,
        occurred=clock.now().isoformat(),
    )


def to_outbox(home: Home, event: DriftEvent, not_before: datetime | None = None) -> Path:
    """Leave an event for the server; the same alert twice is one file.

    `not_before`: it is not sent earlier (a cool-down).
    """
    path = home.outbox / f"{digest([event.resource, event.payload.model_dump()])}.json"
    if not_before is not None:
        since = PutOff(time=clock.now().isoformat(), **clock.stamp().model_dump())
        event = event.model_copy(update={"not_before": not_before.isoformat(), "put_off": since})
    if not path.exists():
        _write(path, event)
    return path


def _write(path: Path, event: DriftEvent) -> None:
    storage.write_json(path, event.model_dump(mode="json", exclude_defaults=True) | event.as_sent())


class _Action(BaseModel):
    type: str


class _Trigger(BaseModel):
    expect: list[str] | None = None
    match: dict[str, str | list[str]] | None = None


class _Automation(BaseModel):
    """What is read of an automation of the server."""

    name: str
    enabled: bool
    trigger: _Trigger
    actions: list[_Action]

    def resources(self) -> list[str]:
        """Patterns of the resources whose events it hears."""
        patterns = (self.trigger.match or {}).get(RESOURCE, "*")
        return [patterns] if isinstance(patterns, str) else patterns

    def hears(self, resource: str) -> bool:
        """Whether it hears the events of a resource."""
        return any(fnmatchcase(resource, pattern) for pattern in self.resources())


@dataclass(frozen=True)
class Waiting:
    """An alert in the outbox."""

    path: Path
    event: DriftEvent
    why: str | None
    """Why it isn't sent, and what to do about it; None: it can be sent now."""

    @property
    def window(self) -> str | None:
        """The text that drifted."""
        return self.event.payload.window

    @property
    def reason(self) -> str:
        """Why it waits, also where only the next sending is needed."""
        return self.why or DUE


def waiting(home: Home, api: str | None) -> list[Waiting]:
    """Return the alerts in the outbox, the oldest first; `api` is None where no server is up."""
    found = quarantine.read_all(sorted(home.outbox.glob("*.json")), _checked)
    if not found:
        return []
    automations: list[_Automation] = []
    fault = "no server is up: `headrace up` sends it"
    if api is not None:
        try:
            automations = _automations(api)
            fault = ""
        except HeadraceError as error:
            fault = f"{error.message}: {error.hint}"
    return [
        Waiting(path, event, fault or _unsent(event, automations))
        for path, event in sorted(found, key=lambda x: datetime.fromisoformat(x[1].occurred))
    ]


def _unsent(event: DriftEvent, automations: list[_Automation]) -> str | None:
    """Why an event isn't to be sent now; None where it is. Sent before, an alert is lost."""
    listening = [automation for automation in automations if automation.hears(event.model)]
    if not any(automation.enabled for automation in listening):
        if listening:
            names = ", ".join(f"`{automation.name}`" for automation in listening)
            return f"the automation {names} is paused: enable it in Prefect's pages (Automations)"
        heard = sorted({pattern for a in automations for pattern in a.resources()})
        if heard:
            model = heard[0].removeprefix(f"{MODEL}.")
            return (
                f"the deployments listen for {', '.join(heard)}, not for {event.model}: deploy "
                f"again with its model.name, or raise it for theirs (--set model.name={model})"
            )
        return f"no deployment listens for {event.model}: `headrace deploy` registers one"
    if (left := event.seconds_left()) > 0:
        return f"{PUT_OFF} until {clock.now() + timedelta(seconds=left):%F %T} UTC"
    return None


def paused(api: str) -> list[str]:
    """Return the automations on the drift event that are paused, and what that means.

    Raises:
        HeadraceError: the server doesn't answer.
    """
    return [
        f"automation {a.name}: alerts wait in the outbox; enable it in Prefect's pages"
        for a in _automations(api)
        if not a.enabled
    ]


def _automations(api: str) -> list[_Automation]:
    """Return the automations that start a deployment on the drift event, paused ones included."""
    rows = every(api, "/automations/filter", {"sort": "CREATED_DESC"})
    return [
        automation
        for automation in map(_Automation.model_validate, rows)
        if DRIFT in (automation.trigger.expect or ())
        and any(action.type == "run-deployment" for action in automation.actions)
    ]


def send_outbox(home: Home, api: str) -> int:
    """Send what waits, the oldest first; how many were sent. What can't be sent stays.

    So does an alert on a model for which no automation listens, as before `headrace deploy` or
    while it is paused.

    The server holds an event in memory until a run is made of it. So one that was sent is kept in
    `outbox/sent` until that run is seen, and sent again where it isn't: a kill of the server
    between both loses nothing, and the same alert twice ends as Cached.
    """
    if not any(home.outbox.glob("**/*.json")):
        return 0
    with exclusive(home.outbox / ".lock"):
        try:
            _recall(home, api)
            return _send(home, api)
        except HeadraceError as error:
            logger.warning("alerts wait in %s: %s", home.outbox, error.message)
            return 0


def _send(home: Home, api: str) -> int:
    sent = 0
    for alert in waiting(home, api):
        if alert.why is not None:
            level = logging.INFO if alert.why.startswith(PUT_OFF) else logging.WARNING
            logger.log(level, "an alert waits in %s: %s", home.outbox, alert.why)
            continue
        event = alert.event.model_copy(
            update={
                # Prefect ignores events of long ago: it occurs when it is sent.
                "occurred": clock.now().isoformat(),
                "not_before": None,
                "put_off": None,
                "tries": alert.event.tries + 1,
                "sent": clock.stamp(),
            }
        )
        try:
            request(api, "POST", "/events", [event.as_sent()])
        except StatusError as error:
            _refused(alert.path, error)
            continue
        _write(home.outbox / "sent" / alert.path.name, event)
        alert.path.unlink()
        sent += 1
    return sent


def _refused(path: Path, error: StatusError) -> None:
    """Set an alert aside where the server says that it is no event; leave it where that fails.

    Those behind it are sent in either case.

    Raises:
        StatusError: the server would refuse any other too.
    """
    if error.status in _NO_SERVER:
        raise error
    if 400 <= error.status < 500 and error.status not in _NO_PLACE:
        quarantine.set_aside(path, f"the server refuses it ({error.status})")
    else:
        logger.warning("the alert %s waits: %s", path, error.message)


def _recall(home: Home, api: str) -> None:
    """Forget the sent alerts of which a run was made; have the others sent again after a while."""
    kept = sorted((home.outbox / "sent").glob("*.json"))
    for path, event in quarantine.read_all(kept, _checked):
        at = datetime.fromisoformat(event.occurred)
        ago = clock.age(at, event.sent)
        # By the clock as it stands: one that was set back calls the runs since then earlier.
        sent = min(at, clock.now() - timedelta(seconds=ago))
        wanted: dict[str, JsonValue] = {
            "flow_runs": {"expected_start_time": {"after_": sent.isoformat()}},
            "flows": {"name": {"any_": ["retrain"]}},
            "sort": "ID_DESC",
        }
        try:
            runs = every(api, "/flow_runs/filter", wanted)
        except StatusError as error:
            _refused(path, error)
            continue
        alerts = [run["parameters"].get("alert") for run in runs]
        window = event.payload.window
        if any(isinstance(a, dict) and a.get("window") == window for a in alerts):
            path.unlink()
        elif event.tries >= TRIES:
            logger.warning(
                "the alert on %s made no run after %d tries: see the automation's events in "
                "Prefect's pages (Automations)",
                window,
                TRIES,
            )
            if ago > GIVEN_UP:  # else it would be logged, and asked for, forever
                quarantine.set_aside(path, f"the alert made no run after {TRIES} tries")
        elif ago > PATIENCE:
            logger.warning("the alert on %s started no run: it is sent again", window)
            # A new id: an event that the server has seen before is none to it.
            to_outbox(home, event.model_copy(update={"id": str(uuid.uuid4())}))
            path.unlink()
