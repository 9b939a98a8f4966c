"""Where everything stands, for Prometheus: the queue, the last verdict, budget, champion."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from headrace.infra import storage
from headrace.infra.settings import Shared
from headrace.tasks import kept_settings
from headrace.tasks.budget import Later, allowance
from headrace.tasks.chain import round_settings
from headrace.tasks.status import status


def exposition(shared: Shared) -> bytes:
    """The metrics of a model in Prometheus' text format."""
    return generate_latest(_registry(status(shared), shared.model.name))


def write_textfile(path: Path, shared: Shared) -> dict[str, Any]:
    """Write a file for node_exporter's textfile collector, whole or not at all; the status.

    Raises:
        UsageError: nothing can be written there.
    """
    found = status(shared)
    storage.write_bytes(path, generate_latest(_registry(found, shared.model.name)))
    path.chmod(0o644)  # node_exporter runs as another user
    return found


def _registry(found: dict[str, Any], model: str) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, value: float | None, **labels: str) -> None:
        if value is None:
            return
        made = known.get(name) or Gauge(f"headrace_{name}", meaning, [*labels], registry=registry)
        known[name] = made
        (made.labels(**labels) if labels else made).set(value)

    known: dict[str, Gauge] = {}
    champion, verdict = found["champion"], found["window"]
    if champion is not None:
        gauge("champion_info", "The champion; always 1.", 1, model=model,
              version=str(champion["version"]), release_id=str(champion["release_id"]))  # fmt: skip
        gauge("champion_since_timestamp_seconds", "When it became champion.",
              _seconds(champion["since"]))  # fmt: skip
    gauge("versions_waiting", "Model versions that wait for a person.", len(found["waiting"]))
    gauge("alerts_waiting", "Alerts in the outbox.", len(found["alerts"]))
    for state in ("running", "next"):
        flows = [str(run["flow"]) for run in found[state]]
        for flow in dict.fromkeys(flows):
            gauge("flow_runs", "Flow runs at work (running) or due (next: one a deployment).",
                  flows.count(flow), state=state, flow=flow)  # fmt: skip
    gauge("paused", "What is paused in Prefect.", len(found["paused"]))
    gauge("prefect_up", "Whether a Prefect server answers.",
          float(bool(found["stack"]) and not found["stack_fault"]))  # fmt: skip
    if verdict is not None:
        gauge("last_verdict_drift", "Whether the last window has drifted.",
              None if verdict["drift"] is None else float(verdict["drift"]))  # fmt: skip
        gauge("last_verdict_timestamp_seconds", "When it was judged.", _seconds(verdict["judged"]))
        gauge("last_verdict_p_value", "Its family-wise p-value.", verdict.get("p_value"))
        gauge("last_verdict_effect", "Share of it that differs.", verdict.get("effect"))
    may = allowance(round_settings(kept_settings.effective(kept_settings.read(), {})))
    gauge("retrain_allowed", "Whether an alert may retrain now: no cool-down, budget left.",
          float(not isinstance(may, Later)))  # fmt: skip
    if isinstance(may, Later):
        gauge("retrain_allowed_timestamp_seconds", "When an alert may retrain again.",
              may.at.timestamp())  # fmt: skip
    else:
        gauge("retrain_budget_tokens", "Tokens left of the budget; missing: no limit.", may.tokens)
        gauge("retrain_budget_seconds", "Time left of the budget; missing: no limit.", may.seconds)
    gauge("state_bytes", "Size of the state folder.", found["disk"]["state_bytes"])
    gauge("free_bytes", "Room on its disk.", found["disk"]["free_bytes"])
    return registry


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
