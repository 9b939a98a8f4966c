"""The drift event: what an alert says, and the outbox where it waits for a server."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
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


def drift_event(model: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The event of the contract; fields of the payload that are not known are null."""
    known = ("window", "reference", "p_value", "effect", "drifted", "report")
    return {
        "id": str(uuid.uuid4()),
        "event": DRIFT,
        "resource": {"prefect.resource.id": f"headrace.model.{model}"},
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

    So does everything while no automation listens, that is before `headrace deploy`.

    An event keeps its id, so that one which was sent just before a kill is the same event.
    """
    if not any(home.outbox.glob("*.json")) or not _heard(api):
        return 0
    with exclusive(home.outbox / ".lock"):
        return _send(home, api)


def _heard(api: str) -> bool:
    """Whether an automation waits for the event; sent before that, an alert would be lost."""
    try:
        automations = request(api, "POST", "/automations/filter", {"limit": 200})
    except HeadraceError as error:
        logger.warning("alerts wait: %s", error.message)
        return False
    return any(DRIFT in (a["trigger"].get("expect") or ()) for a in automations)


def _send(home: Home, api: str) -> int:
    sent, now = 0, datetime.now(UTC)
    waiting = [(storage.read_json(p), p) for p in home.outbox.glob("*.json")]
    for event, path in sorted(waiting, key=lambda x: str(x[0]["occurred"])):
        later = event.pop("not_before", None)
        if later is not None and datetime.fromisoformat(later) > now:
            continue
        # The server passes over events of long ago: it happens for it when it is told.
        try:
            request(api, "POST", "/events", [{**event, "occurred": datetime.now(UTC).isoformat()}])
        except HeadraceError as error:
            logger.warning("alerts wait in %s: %s", home.outbox, error.message)
            break
        path.unlink()
        sent += 1
    return sent
