"""Retraining as a deployment runs it: on an alert or by schedule, with its page and its state."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State

from headrace.flows import run_states
from headrace.flows.retrain_round import RetrainJob, retrain_once
from headrace.flows.run_states import RunState, ended
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
from headrace.tasks.configuration.settings import RetrainConfig
from headrace.tasks.reporting import run_artifacts
from headrace.tasks.retraining import alerts, rounds, trusted
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.budget import Deferred, Usage, accounted, allowance, limited
from headrace.tasks.retraining.drift import still_drifts
from headrace.tasks.retraining.inbox import open_windows
from headrace.tasks.retraining.round import Retrained
from headrace.tasks.retraining.round_start import compare_windows
from headrace.tasks.retraining.rounds import unfinished_round
from headrace.tasks.retraining.window import Window


def on_window(window: str | None, force: bool, settings: RetrainConfig) -> State[Any]:
    """A round on one window, or on all of the inboxes' that no round has closed."""
    if window is not None:
        return _round([window], force, settings)
    state = ended(RunState.CACHED, "no window holds text that the champion doesn't know")
    if unfinished := unfinished_round(open_windows(), settings.model.name):
        state = _round(unfinished, force, settings)
    if windows := _new(open_windows(), settings):
        state = _round(windows, force, settings)
    return state


def on_alert(alert: Alert, settings: RetrainConfig) -> State[Any]:
    """A round that a monitor asked for: all alerts that wait at once, within the budget, once."""
    asked, refused = _trusted(alerts.gather(alert), settings)
    if refused and not asked:
        return ended(RunState.REFUSED, refused)
    allowed = allowance(settings)
    if isinstance(allowed, Deferred):
        alerts.defer(asked, allowed.at, settings)
        reason = f"{allowed.why}: the alert waits until {allowed.at:%F %T} UTC"
        return ended(RunState.DEFERRED, reason)
    named = _windows(asked)
    unfinished = unfinished_round(named, settings.model.name)
    windows = unfinished or _new(named, settings)
    if not windows:
        return ended(RunState.CACHED, "the champion's corpus holds this text already")
    # What is no drift any more is left to the weekly round.
    windows = unfinished or [w for w in windows if still_drifts(w, settings)]
    if not windows:
        return ended(RunState.NO_DRIFT, "the champion has learned this shift since the alert")
    try:
        with accounted(allowed) as used:
            state = _round(windows, True, limited(settings, allowed), used)
    except DeadlineError:
        again = allowance(settings)
        until = again.at if isinstance(again, Deferred) else datetime.now(UTC)
        alerts.defer(asked, until, settings)
        reason = f"its minutes are used up: it resumes after {until:%F %T} UTC"
        return ended(RunState.DEFERRED, reason)
    if state.name == RunState.OVERTAKEN:
        left = asked
    else:  # a round that a kill had cut short was finished first
        left = [a for a in asked if unfinished and a.window not in unfinished]
    alerts.defer(left, datetime.now(UTC), settings)
    return state


def _windows(asked: Sequence[Alert]) -> list[str]:
    """The windows of alerts; one that names none means all that the inboxes hold."""
    named = [a.window for a in asked]
    return list(dict.fromkeys([*filter(None, named), *(open_windows() if None in named else [])]))


def _trusted(asked: Sequence[Alert], settings: RetrainConfig) -> tuple[list[Alert], str]:
    """The alerts that name text which they may name; the others are reported with the reason.

    See trusted.py.
    """
    kept, reasons = [], []
    for alert in asked:
        why = trusted.why_not(alert.window, settings.alert_roots) if alert.window else None
        if alert.window is None or why is None:
            kept.append(alert)
            continue
        reasons.append(why)
        command = f"HEADRACE_HOME={shlex.quote(str(home().root))} headrace alert --window"
        command = f"{command} {shlex.quote(alert.window)}"
        run_states.report(settings, "retrain", RunState.REFUSED, why, command)
    return kept, "; ".join(reasons)


def _new(windows: list[str], settings: RetrainConfig) -> list[str]:
    """Return the windows with text that the champion hasn't seen.

    Unreadable windows are reported; windows that are known or unreadable are closed and never
    retried. One whose storage doesn't answer is tried again.

    Raises:
        InputError: none of them can be read.
    """
    if not windows:
        return []
    compared, model = compare_windows(windows, settings), settings.model.name
    for window in compared.known:
        rounds.close(window, rounds.State.CACHED, model)
    for window, error in compared.unreadable.items():
        if isinstance(error, UnreadableError | GoneError | ValidationError):
            rounds.close(window, rounds.State.UNREADABLE, model)
    bad = list(compared.unreadable.values())
    if len(bad) == len(windows):
        raise bad[0]
    if bad:
        more = f" (and {len(bad) - 1} more windows)" if len(bad) > 1 else ""
        reason = bad[0].message + more
        run_states.report(settings, "retrain", RunState.UNREADABLE, reason, run_states.again())
    return compared.new


def _round(
    windows: Sequence[str], force: bool, settings: RetrainConfig, used: Usage | None = None
) -> State[Any]:
    """A round on windows at once; where they are damaged together, one on each of them.

    A damaged window among others must not be their verdict as well.
    """
    report = functools.partial(_report, settings=settings, used=used or Usage())
    window = Window.of(*windows)
    try:
        job = RetrainJob(window=window, force=force, closes=True, settings=settings)
        return end_state(retrain_once(job, report=report))
    except (DamagedWindowError, NoTextError) as error:
        if len(windows) == 1:
            return _refused(windows[0], error, settings)
        states = [_round([window], force, settings, used) for window in windows]
        # An overtaken round has to be retried; else the last window that had a round decides.
        states.sort(key=lambda s: (s.name == RunState.OVERTAKEN, s.name != RunState.REFUSED))
        return states[-1]


def _refused(window: str, error: ValidationError, settings: RetrainConfig) -> State[Any]:
    run_states.report(settings, "retrain", RunState.REFUSED, error.message, run_states.again())
    text = f"**Refused**: {markdown(error.message)}\n\n{markdown(error.hint)}"
    run_artifacts.show_text("decision", text, "The window is not fit to learn from")
    rounds.close(window, rounds.State.REFUSED, settings.model.name)
    return ended(RunState.REFUSED, error.message)


def _report(made: Retrained, settings: RetrainConfig, used: Usage) -> None:
    """The page and the notice of a round of retraining, and what it has used."""
    used.tokens += made.tokens
    if made.child is None or made.gated is None:
        return
    run_artifacts.show_ledger(made.child)
    run_artifacts.show_gate(made.gated, made.changes)
    run_artifacts.rename(f"retrain-{made.child.id[:12]}-version-{made.gated.version}")
    run_states.report_gate(settings, "retrain", made.gated)


def end_state(made: Retrained) -> State[Any]:
    """The state of a run that has made a round."""
    state = RunState(made.outcome)
    if made.gated is None:
        return ended(state, f"nothing is trained; champion version {made.champion}")
    version, reason = made.gated.version, "; ".join(made.gated.reasons)
    messages = {
        RunState.WAITING: f"version {version} waits for a person",
        RunState.DECIDED: f"a person has decided on version {version} before",
        RunState.PROMOTED: f"version {version} is the champion: {reason}",
    }
    return ended(state, messages.get(state, reason))
