"""Retraining as a deployment runs it: on an alert or by schedule, with its page and its state."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State

from headrace.flows import run_states
from headrace.flows.retrain import RetrainJob, retrain
from headrace.flows.run_states import OVERTAKEN, ended
from headrace.infra.errors import (
    DamagedWindowError,
    DeadlineError,
    GoneError,
    NoTextError,
    UnreadableError,
    ValidationError,
)
from headrace.infra.state.state_dir import home
from headrace.infra.visible import markdown
from headrace.tasks.configuration.settings import RetrainVerb
from headrace.tasks.reporting import run_artifacts
from headrace.tasks.retraining import alerts, trusted
from headrace.tasks.retraining.budget import Later, accounted, allowance, limited
from headrace.tasks.retraining.drift import still_drifts
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.round_start import compare_windows, one_round, unfinished_round
from headrace.tasks.retraining.windows import joined, open_windows, settled


def on_window(window: str | None, force: bool, settings: RetrainVerb) -> State[Any]:
    """A round on one window, or on all of the inboxes' that no round has been made of."""
    if window is not None:
        return _round([window], force, settings)
    state = ended("Cached", "no window holds text that the champion doesn't know")
    if unfinished := unfinished_round(open_windows(), settings):
        state = _round(unfinished, force, settings)
    if windows := _new(open_windows(), settings):
        state = _round(windows, force, settings)
    return state


def on_alert(alert: dict[str, Any], settings: RetrainVerb) -> State[Any]:
    """A round that a monitor asked for: all alerts that wait at once, within the budget, once."""
    payloads, refused = _trusted(alerts.gather(alert), settings)
    if refused and not payloads:
        return ended("Refused", refused)
    may = allowance(settings)
    if isinstance(may, Later):
        alerts.put_off(payloads, may.at, settings)
        return ended("Later", f"{may.why}: the alert waits until {may.at:%F %T} UTC")
    named = [p["window"] for p in payloads]
    # An alert that names no window means all that the inboxes have got.
    asked = list(dict.fromkeys([*filter(None, named), *(open_windows() if None in named else [])]))
    unfinished = unfinished_round(asked, settings)
    windows = unfinished or _new(asked, settings)
    if not windows:
        return ended("Cached", "the champion's corpus holds this text already")
    # What is no drift any more is left to the weekly round.
    windows = unfinished or [w for w in windows if still_drifts(w, settings)]
    if not windows:
        return ended("NoDrift", "the champion has learned this shift since the alert")
    try:
        with accounted(may) as used:
            state = _round(windows, True, limited(settings, may), used)
    except DeadlineError:
        again = allowance(settings)
        until = again.at if isinstance(again, Later) else datetime.now(UTC)
        alerts.put_off(payloads, until, settings)
        return ended("Later", f"its minutes are used up: it goes on after {until:%F %T} UTC")
    if state.name == OVERTAKEN:
        left = payloads
    else:  # a round that a kill had cut short was finished first
        left = [p for p in payloads if unfinished and p["window"] not in unfinished]
    alerts.put_off(left, datetime.now(UTC), settings)
    return state


def _trusted(
    payloads: list[dict[str, Any]], settings: RetrainVerb
) -> tuple[list[dict[str, Any]], str]:
    """The alerts that name text which they may name; the others are reported with the reason.

    See trusted.py.
    """
    kept, reasons = [], []
    for payload in payloads:
        window = payload["window"]
        why = trusted.why_not(window, settings.alert_roots) if window else None
        if why is None:
            kept.append(payload)
            continue
        reasons.append(why)
        said = f"HEADRACE_HOME={shlex.quote(str(home().root))} headrace alert --window"
        run_states.tell(settings, "retrain", "Refused", why, f"{said} {shlex.quote(window)}")
    return kept, "; ".join(reasons)


def _new(windows: list[str], settings: RetrainVerb) -> list[str]:
    """Those that hold text which is new to the champion; of those that can't be read it is told.

    Nobody comes back to a window that holds nothing new, or can't be read whoever tries. One whose
    storage doesn't answer is tried again.

    Raises:
        InputError: none of them can be read.
    """
    if not windows:
        return []
    compared = compare_windows(windows, settings)
    for window in compared.known:
        settled(window, "Cached")
    for window, error in compared.unreadable.items():
        if isinstance(error, UnreadableError | GoneError | ValidationError):
            settled(window, "Unreadable")
    bad = list(compared.unreadable.values())
    if len(bad) == len(windows):
        raise bad[0]
    if bad:
        more = f" (and {len(bad) - 1} more windows)" if len(bad) > 1 else ""
        run_states.tell(
            settings, "retrain", "Unreadable", bad[0].message + more, run_states.again()
        )
    return compared.new


def _round(
    windows: list[str],
    force: bool,
    settings: RetrainVerb,
    used: dict[str, int] | None = None,
) -> State[Any]:
    """A round on windows at once; where they are damaged together, one on each of them.

    A damaged window among others must not be their verdict as well.
    """
    try:
        return _one_round(windows, force, settings, used)
    except (DamagedWindowError, NoTextError) as error:
        if len(windows) == 1:
            return _refused(windows[0], error, settings)
        states = [_round([window], force, settings, used) for window in windows]
        # An overtaken one has to be tried again; else the last that came to a round says most.
        states.sort(key=lambda s: (s.name == OVERTAKEN, s.name != "Refused"))
        return states[-1]


def _refused(window: str, error: ValidationError, settings: RetrainVerb) -> State[Any]:
    run_states.tell(settings, "retrain", "Refused", error.message, run_states.again())
    said = f"**Refused**: {markdown(error.message)}\n\n{markdown(error.hint)}"
    run_artifacts.show_text("decision", said, "The window is not fit to learn from")
    settled(window, "Refused")
    return ended("Refused", error.message)


def _one_round(
    windows: list[str], force: bool, settings: RetrainVerb, used: dict[str, int] | None
) -> State[Any]:
    """A round on windows at once, and what became of it stored with each.

    Raises:
        DamagedWindowError, NoTextError: together they keep too little; nothing is stored then.
    """
    with one_round(windows, settings) as version:
        job = RetrainJob(window=joined(windows), force=force, champion=version, settings=settings)
        answer = retrain.fn(job)
        if used is not None:
            used["tokens"] = used.get("tokens", 0) + answer.tokens
        state = _told(answer, settings)
        if state.name != OVERTAKEN:
            for window in windows:
                settled(window, str(state.name))
    return state


def _told(answer: Retrained, settings: RetrainVerb) -> State[Any]:
    """The page, the notice and the state of a round of retraining."""
    child, gated = answer.child, answer.gated
    if child is None or gated is None:
        return ended("NoDrift", f"nothing is trained; champion version {answer.champion}")
    run_artifacts.show_ledger(child)
    run_artifacts.show_gate(gated, answer.changes)
    run_artifacts.rename(f"retrain-{child.id[:12]}-version-{gated.version}")
    run_states.tell_of_gate(settings, "retrain", gated)
    reason = "; ".join(gated.reasons)
    if gated.overtaken:
        return ended(OVERTAKEN, reason)
    if not gated.promoted:
        return ended("Refused", reason)
    if gated.waiting:
        return ended("Waiting", f"version {gated.version} waits for a person")
    if not gated.moved:
        return ended("Decided", f"a person has decided on version {gated.version} before")
    return ended("Promoted", f"version {gated.version} is the champion: {reason}")
