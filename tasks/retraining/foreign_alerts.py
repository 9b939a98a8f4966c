"""Alerts of other monitors: what Alertmanager and Evidently send, as payloads of the drift event.

Alertmanager (and Grafana, which sends the same form): each alert that fires is one; the annotations
or labels `window`, `reference`, `p_value`, `effect`, `drifted` (names, separated by commas) and
`report` are taken over. https://prometheus.io/docs/alerting/latest/configuration/#webhook_config

Evidently: the JSON of a report or test suite, by `json()` or `dict()`, is one where a
test failed or a dataset drifted; `window`, `reference` and `report` stand beside it.
https://docs.evidentlyai.com
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UnansweredError, UsageError
from headrace.infra.stack import events
from headrace.infra.state.state_dir import home
from headrace.infra.visible import visible
from headrace.tasks.retraining.alerts import send_outbox, why_they_wait
from headrace.tasks.retraining.windows import check_there

logger = logging.getLogger(__name__)
Payload = dict[str, Any]
_TEXT = ("window", "reference", "report")
_NUMBERS = ("p_value", "effect")


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


F = TypeVar("F", bound=_Form)


class _Fired(_Form):
    """One alert of Alertmanager."""

    status: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    generatorURL: str | None = None


class _Alertmanager(_Form):
    alerts: list[_Fired]


class _Test(_Form):
    """A test of Evidently."""

    name: str = "a test"
    status: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class _Metric(_Form):
    """A metric of Evidently's reports before version 0.7."""

    metric: str | None = None
    result: Any = None


class _Evidently(_Form):
    tests: list[_Test] = Field(default_factory=list)
    metrics: list[_Metric] = Field(default_factory=list)
    window: str | None = None
    reference: str | None = None
    report: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


def of_alertmanager(body: Any) -> list[Payload]:
    """The alerts that fire in what Alertmanager or Grafana sends.

    Raises:
        UsageError: it has another form.
    """
    found = []
    for alert in _checked(_Alertmanager, body, "Alertmanager's webhook sends").alerts:
        if alert.status != "firing":
            continue
        said = {**alert.labels, **alert.annotations}
        payload: Payload = {name: said.get(name) or None for name in _TEXT}
        payload |= {name: _number(name, said.get(name)) for name in _NUMBERS}
        named = [part.strip() for part in said.get("drifted", "").split(",") if part.strip()]
        payload["drifted"] = named or None
        payload["report"] = payload["report"] or alert.generatorURL or None
        found.append(payload)
    return found


def of_evidently(body: Any) -> list[Payload]:
    """The alert in a report or test suite of Evidently; none where it has found nothing.

    Raises:
        UsageError: it has another form, or holds neither tests nor a verdict on drift.
    """
    form = _checked(_Evidently, body, "Evidently's `json()` gives")
    failed = [t for t in form.tests if t.status.upper() in ("FAIL", "ERROR")]
    verdicts = [
        m.result for m in form.metrics
        if isinstance(m.result, dict) and isinstance(m.result.get("dataset_drift"), bool)
    ]  # fmt: skip
    if not form.tests and not verdicts:
        raise UsageError(
            "the report holds neither tests nor a verdict on drift",
            "add tests to Evidently's report (include_tests=True), or DataDriftPreset",
        )
    drifted = [v for v in verdicts if v["dataset_drift"]]
    if not failed and not drifted:
        return []
    names = [_tested(t) for t in failed]
    for metric in form.metrics:
        columns = metric.result.get("drift_by_columns") if isinstance(metric.result, dict) else None
        if isinstance(columns, dict):
            names += [n for n, c in columns.items()
                      if isinstance(c, dict) and c.get("drift_detected") is True]  # fmt: skip
    shares = [v.get("share_of_drifted_columns") for v in drifted]
    effects = [
        float(s)
        for s in shares
        if isinstance(s, int | float) and not isinstance(s, bool) and abs(s) <= 1
    ]
    payload: Payload = {}
    for name in _TEXT:
        beside = form.metadata.get(name)
        payload[name] = getattr(form, name) or (beside if isinstance(beside, str) else None)
    return [
        {
            **payload,
            "p_value": None,
            "effect": max(effects, default=None),
            "drifted": list(dict.fromkeys(names)) or None,
        }
    ]


RECEIVED: Mapping[str, Callable[[Any], list[Payload]]] = {
    "alertmanager": of_alertmanager,
    "evidently": of_evidently,
}
"""How the body of each sender is read."""


def receive(sender: str, body: Any, window: str | None, shared: Shared) -> dict[str, Any]:
    """Emit what a webhook sent: {`alerts`: [{`window`, `sent`, `outbox`, `why`}]}.

    Each alert is taken by itself: one whose window isn't there is not emitted, and `why` says so.

    Args:
        sender: a key of RECEIVED.
        body: what it sent, as JSON.
        window: the window of alerts that name none; None: all windows of the inboxes.
        shared: for the model that the alerts are on.

    Raises:
        UsageError: the body has another form, or, as InputError, none of its alerts is emitted.
        UnansweredError: the storage of a window doesn't answer. The other alerts are emitted, so
            the same body may be sent again.
    """
    payloads = RECEIVED[sender](body)
    faults: dict[int, UsageError | InputError] = {}
    paths: dict[int, Path] = {}
    for number, payload in enumerate(payloads):
        payload["window"] = payload["window"] or window
        try:
            if payload["window"] is not None:
                # A round has another working directory than the receiver.
                payload["window"] = storage.display(payload["window"])
                check_there(payload["window"])
        except (UsageError, InputError) as error:
            faults[number] = error
        except OSError as error:
            faults[number] = UnansweredError(f"{payload['window']}: {error}", "send it again")
        else:
            # Not by `emit`, whose alerts may be the owner's.
            known = events.Payload.model_validate(payload)
            event = events.drift_event(shared.model.name, known)
            paths[number] = events.to_outbox(home(), event)
    send_outbox()
    away = [e for e in faults.values() if isinstance(e, UnansweredError)]
    if away:
        raise away[0]
    if faults and not paths:
        raise next(iter(faults.values()))
    reasons = why_they_wait() if any(path.exists() for path in paths.values()) else {}
    alerts = []
    for number, payload in enumerate(payloads):
        outbox: str | None = None
        why: str | None
        if number in faults:
            sent, why = False, f"not taken: {faults[number].message}"
        else:
            outbox = str(paths[number]) if paths[number].exists() else None
            sent, why = outbox is None, reasons.get(outbox) if outbox else None
        alerts.append({"window": payload["window"], "sent": sent, "outbox": outbox, "why": why})
    return {"alerts": alerts}


def _tested(test: _Test) -> str:
    """What a failed test is about: its column where it names one."""
    column = test.parameters.get("column_name") or test.parameters.get("column")
    return str(column) if isinstance(column, str) else re.sub(r"\s+", " ", test.name)


def _number(name: str, value: str | None) -> float | None:
    """A figure that is shown with the alert; None, with a warning, where it is none."""
    if not value:
        return None
    with suppress(ValueError):
        if math.isfinite(number := float(value)):
            return number
    logger.warning("%s = %s is no number: the alert comes without it", name, visible(value, 40))
    return None


def _checked(form: type[F], body: Any, what: str) -> F:
    try:
        return form.model_validate(body)
    except ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"])) or "the body"
        raise UsageError(
            f"this isn't what {what}: {visible(at, 60)}: {fault['msg'].lower()}",
            "POST Alertmanager's webhook to /alertmanager, Evidently's JSON to /evidently",
        ) from None
