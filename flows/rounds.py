"""Retraining as a deployment runs it: on an alert or by schedule, with its page and its state."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State

from headrace.flows import notices
from headrace.flows.notices import ended
from headrace.flows.retrain import RetrainJob, retrain
from headrace.infra.errors import DamagedWindowError, DeadlineError
from headrace.tasks import alerts, run_page
from headrace.tasks.budget import Later, accounted, allowance, limited
from headrace.tasks.curation import Source
from headrace.tasks.retraining import unknown_windows
from headrace.tasks.settings import RetrainVerb
from headrace.tasks.windows import all_windows, joined


def on_window(window: str | None, force: bool, settings: RetrainVerb) -> State[Any]:
    """A round on one window, or on all of the inboxes' that the champion doesn't know."""
    if window is not None:
        return _round(window, force, settings)
    windows = unknown_windows(all_windows(), settings)
    if not windows:
        return ended("Cached", "no window holds text that the champion doesn't know")
    return _round(joined(windows), force, settings)


def on_alert(alert: dict[str, Any], settings: RetrainVerb) -> State[Any]:
    """A round that a monitor asked for: all alerts that wait at once, within the budget, once."""
    payloads = alerts.gather(alert)
    may = allowance(settings)
    if isinstance(may, Later):
        alerts.put_off(payloads, may.at, settings)
        return ended("Later", f"{may.why}: the alert waits until {may.at:%F %T} UTC")
    windows = unknown_windows([p["window"] for p in payloads] or all_windows(), settings)
    if not windows:
        return ended("Cached", "the champion's corpus holds this text already")
    try:
        with accounted(may) as used:
            return _round(joined(windows), True, limited(settings, may), used)
    except DeadlineError:
        again = allowance(settings)
        until = again.at if isinstance(again, Later) else datetime.now(UTC)
        alerts.put_off(payloads, until, settings)
        return ended("Later", f"its minutes are used up: it goes on after {until:%F %T} UTC")


def _round(
    window: str | tuple[Source, ...],
    force: bool,
    settings: RetrainVerb,
    used: dict[str, int] | None = None,
) -> State[Any]:
    try:
        answer = retrain.fn(RetrainJob(window=window, force=force, settings=settings))
    except DamagedWindowError as error:
        again = window if isinstance(window, str) else window[0].uri
        notices.tell(settings, "retrain", "Refused", error.message,
                     f"headrace retrain --force --window {shlex.quote(again)}")  # fmt: skip
        run_page.show_text("decision", f"**Refused**: {error.message}\n\n{error.hint}",
                           "The window is not fit to learn from")  # fmt: skip
        return ended("Refused", error.message)
    if used is not None:
        used["tokens"] = answer.get("tokens", 0)
    return _told(answer, settings)


def _told(answer: dict[str, Any], settings: RetrainVerb) -> State[Any]:
    """The page, the notice and the state of a round of retraining."""
    if answer["drift"] is False:
        return ended("NoDrift", f"nothing is trained; champion version {answer['champion']}")
    run_page.show_ledger({**answer["window"], "release": answer["release"]})
    run_page.show_decision(answer)
    what = f"{answer['release_id'][:12]}-version-{answer['version']}"
    run_page.rename(f"retrain-{what}")
    reason = "; ".join(answer["reasons"])
    overrule = f"headrace decide --version {answer['version']} --promote --by NAME --why TEXT"
    links = {"gate report": answer["gate"].get("report")}
    if answer["decision"] != "promote":
        notices.tell(settings, "retrain", "Refused", reason, overrule, links)
        return ended("Refused", reason)
    if not answer["moved"]:
        notices.tell(settings, "retrain", "Waiting", f"the gate says promote: {reason}",
                     overrule, links)  # fmt: skip
        return ended("Waiting", f"version {answer['version']} waits for a person")
    return ended("Promoted", f"version {answer['version']} is the champion: {reason}")
