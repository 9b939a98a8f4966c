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
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UnansweredError, UsageError
from headrace.infra.stack import events
from headrace.infra.state.state_dir import home
from headrace.infra.visible import visible
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.alerts import Receipt, send_outbox, why_they_wait
from headrace.tasks.retraining.window import check_there

logger = logging.getLogger(__name__)


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
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class _Metric(_Form):
    """A metric of Evidently's reports before version 0.7."""

    metric: str | None = None
    result: JsonValue = None


class _Evidently(_Form):
    tests: list[_Test] = Field(default_factory=list)
    metrics: list[_Metric] = Field(default_factory=list)
    window: str | None = None
    reference: str | None = None
    report: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    def beside(self, name: str) -> str | None:
        """Return a text that stands beside the report, or in its metadata."""
        value = {"window": self.window, "reference": self.reference, "report": self.report}[name]
        found = value or self.metadata.get(name)
        return found if isinstance(found, str) else None


def of_alertmanager(body: JsonValue) -> list[Alert]:
    """Return the alerts that fire in what Alertmanager or Grafana sends.

    Raises:
        UsageError: it has another form.
    """
    alerts = []
    for fired in _checked(_Alertmanager, body, "Alertmanager's webhook sends").alerts:
        if fired.status != "firing":
            continue
        given = {**fired.labels, **fired.annotations}
        names = [part.strip() for part in given.get("drifted", "").split(",") if part.strip()]
        alerts.append(
            Alert(
                window=given.get("window") or None,
                reference=given.get("reference") or None,
                p_value=_number("p_value", given.get("p_value")),
                effect=_number("effect", given.get("effect")),
                drifted=names or None,
                report=given.get("report") or fired.generatorURL or None,
            )
        )
    return alerts


def of_evidently(body: JsonValue) -> list[Alert]:
    """Return the alert in a report or test suite of Evidently; none where it has found nothing.

    Raises:
        UsageError: it has another form, or holds neither tests nor a verdict on drift.
    """
    form = _checked(_Evidently, body, "Evidently's `json()` gives")
    failed = [t for t in form.tests if t.status.upper() in ("FAIL", "ERROR")]
    results = [m.result for m in form.metrics if isinstance(m.result, dict)]
    verdicts = [r for r in results if isinstance(r.get("dataset_drift"), bool)]
    if not form.tests and not verdicts:
        raise UsageError(
            "the report holds neither tests nor a verdict on drift",
            "add tests to Evidently's report (include_tests=True), or DataDriftPreset",
        )
    drifted = [v for v in verdicts if v["dataset_drift"]]
    if not failed and not drifted:
        return []
    names = [_tested(t) for t in failed]
    for result in results:
        columns = result.get("drift_by_columns")
        if isinstance(columns, dict):
            names += [n for n, c in columns.items()
                      if isinstance(c, dict) and c.get("drift_detected") is True]  # fmt: skip
    shares = [v.get("share_of_drifted_columns") for v in drifted]
    effects = [
        float(s)
        for s in shares
        if isinstance(s, int | float) and not isinstance(s, bool) and abs(s) <= 1
    ]
    return [
        Alert(
            window=form.beside("window"),
            reference=form.beside("reference"),
            effect=max(effects, default=None),
            drifted=list(dict.fromkeys(names)) or None,
            report=form.beside("report"),
        )
    ]


RECEIVED: Mapping[str, Callable[[JsonValue], list[Alert]]] = {
    "alertmanager": of_alertmanager,
    "evidently": of_evidently,
}
"""How the body of each sender is read."""


def receive(sender: str, body: JsonValue, window: str | None, shared: Shared) -> list[Receipt]:
    """Emit what a webhook sent; each alert is taken by itself.

    One whose window isn't there is not emitted, and its `why` says so.

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
    alerts = [_placed(alert, window) for alert in RECEIVED[sender](body)]
    taken = [_take(alert, shared) for alert in alerts]
    send_outbox()
    faults = [t for t in taken if not isinstance(t, Path)]
    for fault in faults:
        if isinstance(fault, UnansweredError):
            raise fault
    if faults and len(faults) == len(taken):
        raise faults[0]
    reasons = why_they_wait() if any(isinstance(t, Path) and t.exists() for t in taken) else {}
    return [_receipt(a, t, reasons) for a, t in zip(alerts, taken, strict=True)]


def _placed(alert: Alert, window: str | None) -> Alert:
    """Return the alert on its own window, or on the one that is given for those that name none."""
    named = alert.window or window
    with suppress(UsageError, InputError):  # `_take` says what is wrong with it
        # A round has another working directory than the receiver.
        named = named and storage.display(named)
    return alert.model_copy(update={"window": named})


def _take(alert: Alert, shared: Shared) -> Path | UsageError | InputError:
    """Return the file of the alert in the outbox, or why it isn't taken."""
    try:
        if alert.window is not None:
            check_there(alert.window)
    except (UsageError, InputError) as error:
        return error
    except OSError as error:
        return UnansweredError(f"{alert.window}: {error}", "send it again")
    # Not by `emit`, whose alerts may be the owner's.
    return events.to_outbox(home(), events.drift_event(shared.model.name, alert.payload()))


def _receipt(
    alert: Alert, taken: Path | UsageError | InputError, reasons: Mapping[str, str]
) -> Receipt:
    if not isinstance(taken, Path):
        return Receipt(alert.window, sent=False, outbox=None, why=f"not taken: {taken.message}")
    outbox = str(taken) if taken.exists() else None
    why_waits = reasons.get(outbox) if outbox else None
    return Receipt(alert.window, outbox is None, outbox, why_waits)


def _tested(test: _Test) -> str:
    """Return what a failed test is about: its column where it names one."""
    column = test.parameters.get("column_name") or test.parameters.get("column")
    return str(column) if isinstance(column, str) else re.sub(r"\s+", " ", test.name)


def _number(name: str, value: str | None) -> float | None:
    """Return a figure that is shown with the alert; None, with a warning, where it is none."""
    if not value:
        return None
    with suppress(ValueError):
        if math.isfinite(number := float(value)):
            return number
    logger.warning(
        "%s = %s is not a number: the alert is raised without it", name, visible(value, 40)
    )
    return None


def _checked(form: type[F], body: JsonValue, what: str) -> F:
    try:
        return form.model_validate(body)
    except ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"])) or "the body"
        raise UsageError(
            f"this isn't what {what}: {visible(at, 60)}: {fault['msg'].lower()}",
            "POST Alertmanager's webhook to /alertmanager, Evidently's JSON to /evidently",
        ) from None
