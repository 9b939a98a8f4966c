"""How a deployed monitor's run ends; its windows: tests/tasks/retraining/test_monitoring.py."""

from typing import Any

import pytest

from headrace.flows import monitor as module
from headrace.flows.monitor import _page, monitor
from headrace.tasks.configuration.settings import MonitorConfig
from headrace.tasks.retraining.monitoring import Pass
from headrace.tasks.retraining.verdicts import Finding

FINE = Finding(drift=False, p_value=0.4, effect=0.0, drifted=(), report="/fine.html")
DRIFT = Finding(drift=True, p_value=0.001, effect=0.4, drifted=("topic",), report="/d.html")
BAD = Finding.unreadable("/w", "it can't be read")


@pytest.mark.parametrize(
    ("findings", "waits", "name", "message"),
    [
        ([], [], "Cached", "no new window: nothing was compared"),
        ([], ["3 records", "3 records"], "Waits", "3 records"),
        ([FINE], ["3 records"], "NoDrift", "1 windows compared"),
        ([FINE, DRIFT, BAD], [], "Drift", "1 of 3 windows: topic"),
        ([FINE, BAD], [], "Unreadable", "it can't be read"),
    ],
)
def test_a_run_ends_in_a_state_that_says_what_the_windows_are(
    monkeypatch: pytest.MonkeyPatch,
    findings: list[Finding],
    waits: list[str],
    name: str,
    message: str,
) -> None:
    shown: list[Any] = []
    reported: list[str] = []
    monkeypatch.setattr("headrace.tasks.reporting.run_artifacts.show_verdicts", shown.append)
    monkeypatch.setattr("headrace.flows.run_states.report", lambda *a: reported.append(a[3]))
    monkeypatch.setattr("headrace.flows.run_states.again", lambda: "retry")
    state = _page(findings, waits, MonitorConfig(), 0.0)
    assert (state.name, state.message) == (name, message) and state.is_completed()
    assert shown == [findings] and reported == ["it can't be read"] * findings.count(BAD)


def test_a_single_window_answers_with_its_finding_and_an_inbox_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "send_outbox", lambda: 0)
    monkeypatch.setattr(module, "judge_window", lambda *_: DRIFT)
    monkeypatch.setattr(module, "watch_inbox", lambda *a: Pass(a[1], (FINE,), ()))
    assert monitor.fn(window="/w").as_json() == DRIFT.as_json()
    answer = monitor.fn(inbox="/in").as_json()
    assert answer["inbox"] == "/in" and answer["windows"] == [FINE.as_json()]
