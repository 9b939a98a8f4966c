"""The drift event: what an alert says, and the outbox where it waits for a server."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.errors import HeadraceError
from headrace.infra.home import Home
from headrace.infra.lineage import digest
from headrace.infra.lock import exclusive
from headrace.infra.prefect_api import request

logger = logging.getLogger(__name__)

DRIFT = "headrace.drift.detected"
RESOURCE = "prefect.resource.id"
PATIENCE = 120.0
"""Seconds that a server may take to make a run of an event."""
TRIES = 5
"""How often the same event is sent at most."""


def drift_event(model: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The event of the contract; fields of the payload that are not known are null."""
    known = ("window", "reference", "p_value", "effect", "drifted", "report")
    return {
        "id": str(uuid.uuid4()),
        "event": DRIFT,
        "resource": {RESOURCE: f"headrace.model.{model}"},
        "payload": {k: payload.get(k) for k in known},
        "occurred": datetime.now(UTC).isoformat(),
    }


def to_outbox(home: Home, event: dict[str, Any], not_before: datetime | None = None) -> Path:
    """Leave an event for the server; the same alert twice is one file.

    `not_before`: it is not sent earlier (a cool-down).
    """
    path = home.outbox / f"{digest([event['resource'], event['payload']])}.json"
    if not_before is not None:
        event = {**event, "not_before": not_before.isoformat()}
    if not path.exists():
        storage.write_json(path, event)
    return path


def send_outbox(home: Home, api: str) -> int:
    """Send what waits, the oldest first; how many were sent. What can't be sent stays.

    So does an alert on a model for which no automation listens, as before `headrace deploy`.

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


def _listeners(api: str) -> list[str]:
    """Patterns of the resources whose drift starts something; sent before, an alert is lost."""
    found: list[str] = []
    for automation in request(api, "POST", "/automations/filter", {"limit": 200}):
        trigger = automation["trigger"]
        starts = any(a["type"] == "run-deployment" for a in automation["actions"])
        if automation["enabled"] and starts and DRIFT in (trigger.get("expect") or ()):
            means = (trigger.get("match") or {}).get(RESOURCE, "*")
            found += [means] if isinstance(means, str) else means
    return found


def _send(home: Home, api: str) -> int:
    waiting = [(storage.read_json(p), p) for p in home.outbox.glob("*.json")]
    if not waiting:
        return 0
    sent, now, listeners = 0, datetime.now(UTC), _listeners(api)
    for event, path in sorted(waiting, key=lambda x: str(x[0]["occurred"])):
        resource = event["resource"][RESOURCE]
        if not any(fnmatchcase(resource, pattern) for pattern in listeners):
            logger.warning(
                "an alert waits in %s: no automation listens for %s", home.outbox, resource
            )
            continue
        later = event.pop("not_before", None)
        if later is not None and datetime.fromisoformat(later) > now:
            continue
        # The server passes over events of long ago: it happens for it when it is told.
        occurred = datetime.now(UTC).isoformat()
        tries = event.pop("tries", 0)
        request(api, "POST", "/events", [{**event, "occurred": occurred}])
        said = {**event, "occurred": occurred, "tries": tries + 1}
        storage.write_json(home.outbox / "sent" / path.name, said)
        path.unlink()
        sent += 1
    return sent


def _recall(home: Home, api: str) -> None:
    """Forget the sent alerts of which a run was made; have the others sent again after a while."""
    for path in (home.outbox / "sent").glob("*.json"):
        event = storage.read_json(path)
        sent = datetime.fromisoformat(event["occurred"])
        wanted = {
            "flow_runs": {"expected_start_time": {"after_": sent.isoformat()}},
            "flows": {"name": {"any_": ["retrain"]}},
            "limit": 200,
        }
        runs = request(api, "POST", "/flow_runs/filter", wanted)
        alerts = [run["parameters"].get("alert") for run in runs]
        window = event["payload"]["window"]
        if any(a is not None and a.get("window") == window for a in alerts):
            path.unlink()
        elif event["tries"] >= TRIES:
            logger.warning("the alert on %s made no run: see the automation in Prefect", window)
        elif (datetime.now(UTC) - sent).total_seconds() > PATIENCE:
            logger.warning("the alert on %s made no run: it is sent again", window)
            # A new id: an event that the server has seen before is none to it.
            to_outbox(home, {**event, "id": str(uuid.uuid4())})
            path.unlink()
