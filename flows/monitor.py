"""Inbox or window -> drift verdict -> event."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from prefect import flow
from prefect.runtime import deployment

from headrace.infra.errors import InputError, NoTextError, UnreadableError, ValidationError
from headrace.tasks.configuration.settings import DriftSettings, MonitorVerb, component
from headrace.tasks.input_checks import reference_of
from headrace.tasks.retraining.alerts import emit
from headrace.tasks.retraining.drift import alert_payload, compare_texts, release_id
from headrace.tasks.retraining.windows import check_there, dissolve, judged, next_windows, watching

_NOTHING: Mapping[str, Any] = MappingProxyType(
    {"drift": False, "p_value": None, "effect": None, "drifted": (), "report": None}
)
"""What a pass without a window says."""


@flow(name="monitor", flow_run_name="monitor-{window}")
def monitor(reference: str | None, window: str, settings: MonitorVerb) -> dict[str, Any]:
    """Whether a window has drifted from the reference; an alert is emitted as an event."""
    against = reference_of(reference, settings)
    verdict = compare_texts(
        against, window, component(settings, DriftSettings), settings.curate, settings
    )
    verdict = {**verdict, "reference": release_id(against)}
    if verdict["drift"]:
        # A deployed run's window is a parameter that whoever has the API's password may set.
        owners = deployment.id is None
        waits = emit(alert_payload(window, against, verdict), settings, owners=owners)
        verdict = {**verdict, "outbox": waits}
    judged(window, verdict)
    return verdict


@flow(name="monitor-inbox", flow_run_name="monitor-inbox")
def monitor_inbox(reference: str | None, inbox: str, settings: MonitorVerb) -> dict[str, Any]:
    """The verdict on each new window of an inbox, and the one that stands for the pass."""
    verdicts: list[dict[str, Any]] = []
    waits: list[str] = []
    # What is wrong with the reference is no window's fault.
    check_there(reference_of(reference, settings))
    with watching(inbox):
        for window in next_windows(inbox, settings.inbox):
            try:
                verdict = monitor.fn(reference, window, settings)
            except (UnreadableError, NoTextError) as error:
                # It won't become readable, and the windows after it must not wait for it.
                verdict = {**_NOTHING, "drift": None, "why": error.message}
                judged(window, verdict)
            except (ValidationError, InputError) as error:
                # Too little text for a test, or a file has gone or changed meanwhile: what is there
                # joins what comes next.
                dissolve(window)
                waits.append(error.message)
                continue
            verdicts.append({"window": window, **verdict})
    answer = {**_NOTHING, **_for_all(verdicts), "inbox": inbox, "windows": verdicts}
    if waits:
        answer["waits"] = "; ".join(dict.fromkeys(waits))
    return {**answer, "drift": bool(answer["drift"])}


def _for_all(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict that stands for a pass: the last alert, else the last that was judged at all."""
    for kind in (True, False, None):
        found = [v for v in verdicts if v["drift"] is kind]
        if found:
            return found[-1]
    return {}
