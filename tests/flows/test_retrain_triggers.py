"""Rounds that a deployment runs, as far as they need no server; more: tests/e2e/test_doors.py."""

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.flows import retrain_triggers
from headrace.flows.retrain_triggers import on_window
from headrace.infra.errors import DamagedWindowError
from headrace.tasks.configuration.settings import RetrainVerb


def test_without_a_window_nothing_is_taught_and_the_run_says_so() -> None:
    state = on_window(None, False, RetrainVerb())
    assert state.is_completed() and state.name == "Cached" and "no window" in str(state.message)


def test_a_damaged_window_is_not_the_verdict_of_those_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several windows are learned at once; damaged together, each is tried by itself."""
    damaged, stored, tried = {"b"}, {}, []

    @contextlib.contextmanager
    def one_round(windows: list[str], settings: RetrainVerb) -> Iterator[str]:
        yield "1"

    def retrain(job: Any) -> dict[str, Any]:
        tried.append(job.window)
        if damaged & set(job.window.split("+")):
            raise DamagedWindowError("keeps 1 of 20 records", "collect more text")
        return {"tokens": 10, "drift": True}

    monkeypatch.setattr(retrain_triggers, "one_round", one_round)
    monkeypatch.setattr(retrain_triggers, "joined", "+".join)
    monkeypatch.setattr(retrain_triggers, "retrain", types.SimpleNamespace(fn=retrain))
    monkeypatch.setattr(
        retrain_triggers, "_told", lambda *_: retrain_triggers.ended("Promoted", "every rule holds")
    )
    monkeypatch.setattr(retrain_triggers, "settled", stored.__setitem__)
    monkeypatch.setattr(retrain_triggers.run_artifacts, "show_text", lambda *_: None)
    used: dict[str, int] = {"tokens": 0}
    state = retrain_triggers._round(["a", "b", "c"], True, RetrainVerb(), used)
    assert tried == ["a+b+c", "a", "b", "c"]
    assert stored == {"a": "Promoted", "b": "Refused", "c": "Promoted"}
    assert state.name == "Promoted" and used["tokens"] == 20
    tried.clear()
    assert retrain_triggers._round(
        ["a", "c"], True, RetrainVerb()
    ).name == "Promoted" and tried == ["a+c"]
    assert retrain_triggers._round(["b"], True, RetrainVerb()).name == "Refused"
