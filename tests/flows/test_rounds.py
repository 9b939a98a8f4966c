"""Rounds that a deployment runs, as far as they need no server; more: tests/e2e/test_doors.py."""

from headrace.flows.rounds import on_window
from headrace.tasks.settings import RetrainVerb


def test_without_a_window_nothing_is_taught_and_the_run_says_so() -> None:
    state = on_window(None, False, RetrainVerb())
    assert state.is_completed() and state.name == "Cached" and "no window" in str(state.message)
