"""What a worker reports; the worker itself runs in tests/infra/test_worker.py."""

from typing import Any
from uuid import uuid4

import pytest

from headrace.flows import run_states, worker
from headrace.infra.errors import HeadraceError

ODD = {"settings": {"seed": "odd"}}


@pytest.mark.parametrize(
    "parameters", [{}, {"settings": {"notify": {"webhook": "https://x/y"}}}, ODD]
)
@pytest.mark.parametrize("state", ["CRASHED", "CANCELLED"])
def test_a_run_that_the_worker_ended_is_reported(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any], state: str
) -> None:
    run, told = str(uuid4()), []
    answers = {
        f"/flow_runs/{run}": {"flow_id": "f", "parameters": parameters},
        "/flows/f": {"name": "retrain"},
    }
    monkeypatch.setenv("PREFECT_API_URL", "http://p/api")
    monkeypatch.setattr(worker, "request", lambda api, method, path, body: answers[path])
    monkeypatch.setattr(run_states, "notify", lambda *a: told.append(a))
    worker.report(run, state, "its process was gone 4 times")
    ((settings, flow, name, reason, command, links),) = told
    assert (flow, name) == ("retrain", state.capitalize()) and "4 times" in reason
    assert command.endswith(f"flow-run retry {run}") and links["log"]
    given = (parameters.get("settings") or {}).get("notify") or {}
    assert settings.webhook == given.get("webhook")


def test_a_server_that_is_away_stops_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise HeadraceError("no answer", "wait")

    monkeypatch.setenv("PREFECT_API_URL", "http://p/api")
    monkeypatch.setattr(worker, "request", away)
    worker.report("r", "CRASHED", "why")
