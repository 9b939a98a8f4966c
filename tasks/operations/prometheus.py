"""Where everything stands, for Prometheus: the queue, the last verdict, budget, champion."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError
from headrace.tasks.configuration import kept_settings
from headrace.tasks.lifecycle import round_settings
from headrace.tasks.operations.status import Disk, Status, disk, status
from headrace.tasks.retraining.budget import Deferred, allowance
from headrace.tasks.retraining.verdicts import Verdict

Add = Callable[..., None]
"""Adds a gauge: its name, meaning, value (None: it isn't known) and labels."""
_ODD = (ValueError, TypeError, KeyError, OverflowError)
"""What a record of another version, or an edited one, can lead to."""
logger = logging.getLogger(__name__)


def exposition(shared: Shared) -> bytes:
    """Format a model's metrics for Prometheus; `headrace_fault` stands for what isn't known."""
    try:
        found: Status | None = status(shared, recent=True)
    except (HeadraceError, OSError) as error:
        _log("status", error)
        found = None
    return _exposition(found, shared)


def write_textfile(path: Path, shared: Shared) -> Status:
    """Write a file for node_exporter's textfile collector, whole or not at all.

    Raises:
        UsageError: nothing can be written there.
        HeadraceError: where all stands can't be known; the file says so.
    """
    found = None
    try:
        found = status(shared, recent=True)
    finally:
        storage.write_bytes(path, _exposition(found, shared))
        path.chmod(0o644)  # node_exporter runs as another user
    return found


def _exposition(found: Status | None, shared: Shared) -> bytes:
    """Return the metrics of a status, None where it can't be known."""
    registry = CollectorRegistry()
    known: dict[str, Gauge] = {}

    def gauge(name: str, meaning: str, value: float | None, **labels: str) -> None:
        if value is None:
            return
        made = known.get(name) or Gauge(f"headrace_{name}", meaning, [*labels], registry=registry)
        known[name] = made
        (made.labels(**labels) if labels else made).set(value)

    def part(name: str, add: Callable[[], None]) -> None:
        try:
            add()
        except (HeadraceError, OSError, *_ODD) as error:
            _log(name, error)
            gauge("fault", fault, 1, part=name)

    fault = "Whether metrics are missing, by part: 1; a part that isn't named lacks none."
    gauge("fault", fault, float(found is None), part="status")
    if found is not None:
        part("champion", lambda: _champion(gauge, found, shared.model.name))
        part("queue", lambda: _queue(gauge, found))
        part("verdict", lambda: _verdict(gauge, found.window))
    part("budget", lambda: _budget(gauge))
    part("disk", lambda: _disk(gauge, found.disk if found else disk(recent=True)))
    return generate_latest(registry)


def _log(name: str, error: Exception) -> None:
    logger.warning("metrics of the %s are missing: %s", name, error)


def _champion(gauge: Add, found: Status, model: str) -> None:
    champion = found.champion
    if champion is not None:
        gauge("champion_info", "The champion; always 1.", 1, model=model,
              version=champion.version, release_id=str(champion.release_id))  # fmt: skip
        gauge("champion_since_timestamp_seconds", "When it became champion.",
              _seconds(champion.since))  # fmt: skip


def _queue(gauge: Add, found: Status) -> None:
    gauge("versions_waiting", "Model versions that wait for a person.", len(found.waiting))
    gauge("alerts_waiting", "Alerts in the outbox.", len(found.alerts))
    for state, runs in (("running", found.running), ("next", found.next)):
        flows = [str(run.flow) for run in runs]
        for flow in dict.fromkeys(flows):
            gauge("flow_runs", "Flow runs in progress or scheduled (next: one per deployment).",
                  flows.count(flow), state=state, flow=flow)  # fmt: skip
    gauge("paused", "What is paused in Prefect.", len(found.paused))
    gauge("prefect_up", "Whether a Prefect server answers.",
          float(bool(found.stack) and not found.stack_fault))  # fmt: skip


def _verdict(gauge: Add, verdict: Verdict | None) -> None:
    if verdict is not None:
        drift = None if verdict.drift is None else float(verdict.drift)
        gauge("last_verdict_drift", "Whether the last window has drifted.", drift)
        gauge("last_verdict_timestamp_seconds", "When it was judged.", _seconds(verdict.judged))
        gauge("last_verdict_p_value", "Its family-wise p-value.", verdict.p_value)
        gauge("last_verdict_effect", "Share of the last window that differs.", verdict.effect)


def _budget(gauge: Add) -> None:
    may = allowance(round_settings(kept_settings.today()))
    gauge("retrain_allowed", "Whether an alert may retrain now: no cool-down, budget left.",
          float(not isinstance(may, Deferred)))  # fmt: skip
    if isinstance(may, Deferred):
        gauge("retrain_allowed_timestamp_seconds", "When an alert may retrain again.",
              may.at.timestamp())  # fmt: skip
    else:
        gauge("retrain_budget_tokens", "Tokens left of the budget; missing: no limit.", may.tokens)
        gauge("retrain_budget_seconds", "Time left of the budget; missing: no limit.", may.seconds)


def _disk(gauge: Add, found: Disk) -> None:
    gauge("state_bytes", "Size of the state folder, as of some minutes ago.", found.state_bytes)
    gauge("free_bytes", "Free space on its disk.", found.free_bytes)


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
