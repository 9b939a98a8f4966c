"""Inbox or window -> drift verdict -> event."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from prefect.client.schemas.objects import State

from headrace.flows import run_states
from headrace.flows.box import Outcome, box
from headrace.flows.run_states import RunState, ended
from headrace.infra import storage
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import MonitorConfig
from headrace.tasks.reporting import run_artifacts
from headrace.tasks.retraining.alerts import send_outbox
from headrace.tasks.retraining.monitoring import Pass, judge_window, watch_inbox
from headrace.tasks.retraining.verdicts import Finding

_SETTINGS = MonitorConfig()


@box("monitor", hours=2)
def monitor(
    inbox: str | None = None,
    window: str | None = None,
    reference: str | None = None,
    settings: MonitorConfig = _SETTINGS,
) -> Outcome[Pass]:
    """Inbox or window -> drift verdict -> event.

    Args:
        inbox: Folder or s3:// prefix whose new files form windows; none: `inbox` in the state
            folder.
        window: One window instead of an inbox.
        reference: Release or raw text to compare with; none: the champion's corpus.
        settings: As `headrace monitor` takes them by --config and --set.
    """
    send_outbox()
    if window:
        finding = judge_window(reference, window, settings)
        watched, findings = Pass(None, (finding,), ()), [finding.of(window=window)]
    else:
        watched = watch_inbox(reference, storage.display(inbox or str(home().inbox)), settings)
        findings = list(watched.findings)
    return Outcome(watched, functools.partial(_page, findings, watched.waits, settings))


def _page(
    findings: Sequence[Finding], waits: Sequence[str], settings: MonitorConfig, _began: float
) -> State[Any]:
    """Each window's verdict; windows that no one can read are reported."""
    run_artifacts.show_verdicts(findings)
    bad = [f for f in findings if f.drift is None]
    for finding in bad:
        run_states.report(
            settings, "monitor", RunState.UNREADABLE, str(finding.why), run_states.again()
        )
    if waits and not findings:
        return ended(RunState.WAITS, "; ".join(dict.fromkeys(waits)))
    if not findings:
        return ended(RunState.CACHED, "no new window: nothing was compared")
    drifted = [f for f in findings if f.drift]
    if drifted:
        shifted = ", ".join(dict.fromkeys(name for f in drifted for name in f.drifted))
        return ended(RunState.DRIFT, f"{len(drifted)} of {len(findings)} windows: {shifted}")
    if bad:
        return ended(RunState.UNREADABLE, str(bad[-1].why))
    return ended(RunState.NO_DRIFT, f"{len(findings)} windows compared")
