"""Inbox or window -> drift verdict -> event."""

from __future__ import annotations

from typing import Any

from prefect import flow

from headrace.infra.errors import InputError, NoTextError, UnreadableError, ValidationError
from headrace.tasks.alerts import emit
from headrace.tasks.drift import alert_payload, compare_texts, reference_of
from headrace.tasks.settings import DriftSettings, MonitorVerb, component
from headrace.tasks.windows import check_there, dissolve, judged, next_windows, watching


@flow(name="monitor", flow_run_name="monitor-{window}")
def monitor(reference: str | None, window: str, settings: MonitorVerb) -> dict[str, Any]:
    """Whether a window has drifted from the reference; an alert is emitted as an event."""
    against = reference_of(reference, settings)
    verdict = compare_texts(
        against, window, component(settings, DriftSettings), settings.curate, settings
    )
    if verdict["drift"]:
        waits = emit(alert_payload(window, against, verdict), settings)
        verdict = {**verdict, "outbox": waits}
    judged(window, verdict)
    return verdict


@flow(name="monitor-inbox", flow_run_name="monitor-inbox")
def monitor_inbox(reference: str | None, inbox: str, settings: MonitorVerb) -> dict[str, Any]:
    """The verdict on each window that an inbox has come to hold; the last one's stands for all."""
    nothing: dict[str, Any] = {
        "drift": False,
        "p_value": None,
        "effect": None,
        "drifted": [],
        "report": None,
    }
    verdicts = []
    # What is wrong with the reference is no window's fault.
    check_there(reference_of(reference, settings))
    with watching(inbox):
        for window in next_windows(inbox, settings.inbox):
            try:
                verdict = monitor.fn(reference, window, settings)
            except (UnreadableError, NoTextError) as error:
                # It will not mend itself, and the windows after it must not wait for it.
                verdict = {**nothing, "drift": None, "why": error.message}
                judged(window, verdict)
            except (ValidationError, InputError) as error:
                # Too little text for a test, or a file has gone or changed meanwhile: what is there
                # joins what comes next.
                dissolve(window)
                nothing["waits"] = error.message
                continue
            verdicts.append({"window": window, **verdict})
    last = next((v for v in reversed(verdicts) if v["drift"]), verdicts[-1] if verdicts else {})
    answer = {**nothing, **last, "inbox": inbox, "windows": verdicts}
    return {**answer, "drift": bool(answer["drift"])}
