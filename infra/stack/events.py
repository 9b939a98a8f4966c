"""The drift event: what an alert says, and the outbox where it waits for a server."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

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
_OURS = ("not_before", "put_off", "tries", "sent")
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


def _names_a_resource(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get(RESOURCE), str):
        raise ValueError(f"no {RESOURCE}")
    if not all(isinstance(label, str) for label in value.values()):
        raise ValueError("a label that is no text")
    return value


def _is_uuid(text: str) -> str:
    uuid.UUID(text)
    return text


def _is_json(value: dict[str, Any]) -> dict[str, Any]:
    json.dumps(value, allow_nan=False)
    return value


class _Kept(BaseModel):
    """What a file of the outbox has to hold."""

    model_config = ConfigDict(strict=True)

    class Payload(BaseModel):
        model_config = ConfigDict(strict=True, allow_inf_nan=False)

        window: str | None
        p_value: float | None = None
        effect: float | None = None

    class PutOff(BaseModel):
        model_config = ConfigDict(strict=True)

        time: Instant

    id: Annotated[str, AfterValidator(_is_uuid)]
    event: str
    resource: Annotated[dict[str, Any], AfterValidator(_names_a_resource)]
    payload: Payload
    occurred: Instant
    not_before: Instant | None = None
    put_off: PutOff | None = None
    tries: int = 0


def _checked(value: Any) -> dict[str, Any]:
    _Kept.model_validate(value)
    return _is_json(dict(value))


def drift_event(model: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The event of the contract; fields of the payload that are not known are null."""
    known = ("window", "reference", "p_value", "effect", "drifted", "report")
    return {
        "id": str(uuid.uuid4()),
        "event": DRIFT,
        "resource": {RESOURCE: f"{MODEL}.{model}"},
        "payload": {k: payload.get(k) for k in known},
        "occurred": clock.now().isoformat(),
    }


def to_outbox(home: Home, event: dict[str, Any], not_before: datetime | None = None) -> Path:
    """Leave an event for the server; the same alert twice is one file.

    `not_before`: it is not sent earlier (a cool-down).
    """
    path = home.outbox / f"{digest([event['resource'], event['payload']])}.json"
    if not_before is not None:
        put_off = {"time": clock.now().isoformat(), **clock.stamp().model_dump()}
        event = {**event, "not_before": not_before.isoformat(), "put_off": put_off}
    if not path.exists():
        storage.write_json(path, event)
    return path


@dataclass(frozen=True)
class Waiting:
    """An alert in the outbox."""

    path: Path
    event: dict[str, Any]
    why: str | None
    """Why it isn't sent, and what to do about it; None: it can be sent now."""

    @property
    def window(self) -> str | None:
        """The text that drifted."""
        return self.event["payload"]["window"]

    @property
    def reason(self) -> str:
        """Why it waits, also where only the next sending is needed."""
        return self.why or DUE


def waiting(home: Home, api: str | None) -> list[Waiting]:
    """The alerts in the outbox, the oldest first; `api` is None where no server is up."""
    found = quarantine.read_all(sorted(home.outbox.glob("*.json")), _checked)
    if not found:
        return []
    automations, fault = [], "no server is up: `headrace up` sends it"
    if api is not None:
        try:
            automations, fault = _automations(api), ""
        except HeadraceError as error:
            fault = f"{error.message}: {error.hint}"
    return [
        Waiting(path, event, fault or _unsent(event, automations))
        for path, event in sorted(found, key=lambda x: datetime.fromisoformat(x[1]["occurred"]))
    ]


def _unsent(event: dict[str, Any], automations: list[dict[str, Any]]) -> str | None:
    """Why an event isn't to be sent now; None where it is. Sent before, an alert is lost."""
    resource = event["resource"][RESOURCE]
    listening = [a for a in automations if any(fnmatchcase(resource, p) for p in _resources(a))]
    if not any(a["enabled"] for a in listening):
        if listening:
            names = ", ".join(f"`{a['name']}`" for a in listening)
            return f"the automation {names} is paused: enable it in Prefect's pages (Automations)"
        heard = sorted({p for a in automations for p in _resources(a)})
        if heard:
            model = heard[0].removeprefix(f"{MODEL}.")
            return (
                f"the deployments listen for {', '.join(heard)}, not for {resource}: deploy again "
                f"with its model.name, or raise it for theirs (--set model.name={model})"
            )
        return f"no deployment listens for {resource}: `headrace deploy` registers one"
    if (left := _left(event)) > 0:
        return f"{PUT_OFF} until {clock.now() + timedelta(seconds=left):%F %T} UTC"
    return None


def _left(event: dict[str, Any]) -> float:
    """Seconds that an alert is still put off; wherever the clock stands by now."""
    if event.get("not_before") is None:
        return 0.0
    later = datetime.fromisoformat(event["not_before"])
    since = (event.get("put_off") or {}).get("time")
    if since is None:
        return (later - clock.now()).total_seconds()
    at = datetime.fromisoformat(since)
    return (later - at).total_seconds() - clock.age(at, clock.stamp_of(event["put_off"]))


def paused(api: str) -> list[str]:
    """The automations on the drift event that are paused, and what that means.

    Raises:
        HeadraceError: the server doesn't answer.
    """
    return [
        f"automation {a['name']}: alerts wait in the outbox; enable it in Prefect's pages"
        for a in _automations(api)
        if not a["enabled"]
    ]


def _automations(api: str) -> list[dict[str, Any]]:
    """The automations that start a deployment on the drift event, paused ones included."""
    return [
        automation
        for automation in every(api, "/automations/filter", {"sort": "CREATED_DESC"})
        if DRIFT in (automation["trigger"].get("expect") or ())
        and any(a["type"] == "run-deployment" for a in automation["actions"])
    ]


def _resources(automation: dict[str, Any]) -> list[str]:
    """Patterns of the resources whose events an automation hears."""
    means = (automation["trigger"].get("match") or {}).get(RESOURCE, "*")
    return [means] if isinstance(means, str) else list(means)


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
        event = {k: v for k, v in alert.event.items() if k not in _OURS}
        # Prefect ignores events of long ago: it occurs when it is sent.
        event["occurred"] = clock.now().isoformat()
        said = {"tries": alert.event.get("tries", 0) + 1, "sent": clock.stamp().model_dump()}
        try:
            request(api, "POST", "/events", [event])
        except StatusError as error:
            _refused(alert.path, error)
            continue
        storage.write_json(home.outbox / "sent" / alert.path.name, {**event, **said})
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
        at = datetime.fromisoformat(event["occurred"])
        ago = clock.age(at, clock.stamp_of(event.get("sent")))
        # By the clock as it stands: one that was set back calls the runs since then earlier.
        sent = min(at, clock.now() - timedelta(seconds=ago))
        wanted = {
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
        window = event["payload"]["window"]
        if any(isinstance(a, dict) and a.get("window") == window for a in alerts):
            path.unlink()
        elif event.get("tries", 0) >= TRIES:
            logger.warning(
                "the alert on %s made no run after %d tries: see the automation's events in "
                "Prefect's pages (Automations)",
                window,
                TRIES,
            )
            if ago > GIVEN_UP:  # else it would be told, and asked for, for ever
                quarantine.set_aside(path, f"the alert made no run after {TRIES} tries")
        elif ago > PATIENCE:
            logger.warning("the alert on %s made no run: it is sent again", window)
            # A new id: an event that the server has seen before is none to it.
            to_outbox(home, {**event, "id": str(uuid.uuid4())})
            path.unlink()
