"""The drift event: what an alert says, and the outbox where it waits for a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.home import Home
from headrace.infra.lineage import digest

DRIFT = "headrace.drift.detected"


def drift_event(model: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The event of the contract; fields of the payload that are not known are null."""
    known = ("window", "reference", "p_value", "effect", "drifted", "report")
    return {
        "event": DRIFT,
        "resource": {"prefect.resource.id": f"headrace.model.{model}"},
        "payload": {k: payload.get(k) for k in known},
        "occurred": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def to_outbox(home: Home, event: dict[str, Any]) -> Path:
    """Leave an event for the next server; the same alert twice is one file."""
    path = home.outbox / f"{digest([event['resource'], event['payload']])}.json"
    if not path.exists():
        storage.write_json(path, event)
    return path
