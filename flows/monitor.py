"""Window -> drift verdict -> event."""

from __future__ import annotations

from typing import Any

from prefect import flow

from headrace.tasks.drift import compare_texts, emit_alert, reference_of
from headrace.tasks.settings import DriftSettings, MonitorVerb, component


@flow(name="monitor", flow_run_name="monitor-{window}")
def monitor(reference: str | None, window: str, settings: MonitorVerb) -> dict[str, Any]:
    """Whether a window has drifted from the reference; an alert is emitted as an event."""
    against = reference_of(reference, settings)
    verdict = compare_texts(
        against, window, component(settings, DriftSettings), settings.curate, settings
    )
    if verdict["drift"]:
        verdict = {**verdict, "outbox": emit_alert(window, against, verdict, settings)}
    return verdict
