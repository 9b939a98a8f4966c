import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.infra.events import drift_event, send_outbox, to_outbox
from headrace.infra.home import home
from headrace.infra.ports import free_port

listens: list[Any] = []
"""The automations of the server."""


@pytest.fixture
def server(json_server: Callable[..., Any]) -> Iterator[tuple[str, list[Any]]]:
    sent: list[Any] = []
    listens[:] = [{"trigger": {"expect": ["headrace.drift.detected"]}}]

    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        if "automations" in path:
            return 200, listens
        sent.extend([path, event] for event in got[-1][1])
        return 200, None

    with json_server(answer) as (url, _):
        yield f"{url}/api", sent


def test_the_event_of_the_contract() -> None:
    event = drift_event("headrace", {"window": "/w", "p_value": 0.01, "tests": ["not of it"]})
    assert event["event"] == "headrace.drift.detected"
    assert event["resource"] == {"prefect.resource.id": "headrace.model.headrace"}
    assert event["payload"] == {
        "window": "/w", "reference": None, "p_value": 0.01, "effect": None, "drifted": None,
        "report": None,
    }  # fmt: skip


def test_the_same_alert_waits_once() -> None:
    one = to_outbox(home(), drift_event("m", {"window": "/w"}))
    assert one == to_outbox(home(), drift_event("m", {"window": "/w"}))
    assert one != to_outbox(home(), drift_event("m", {"window": "/v"}))
    assert json.loads(one.read_text())["payload"]["window"] == "/w"
    assert len(list(home().outbox.iterdir())) == 2


def test_what_waits_is_sent_once_and_in_order(server: tuple[str, list[Any]]) -> None:
    api, got = server
    ids = []
    for window in ("/b", "/a"):
        event = drift_event("m", {"window": window})
        ids.append(event["id"])
        to_outbox(home(), event)
    later = drift_event("m", {"window": "/later"})
    to_outbox(home(), later, not_before=datetime.now(UTC) + timedelta(hours=1))
    assert send_outbox(home(), api) == 2 and send_outbox(home(), api) == 0
    assert [(path, e["id"]) for path, e in got] == [("/api/events", i) for i in ids]
    assert all("not_before" not in e for _, e in got)
    assert len(list(home().outbox.glob("*.json"))) == 1


def test_before_an_automation_listens_everything_waits(server: tuple[str, list[Any]]) -> None:
    api, got = server
    listens[:] = [{"trigger": {"expect": ["something.else"]}}, {"trigger": {}}]
    path = to_outbox(home(), drift_event("m", {"window": "/w"}))
    assert send_outbox(home(), api) == 0 and path.exists() and got == []


def test_what_can_not_be_sent_stays() -> None:
    path = to_outbox(home(), drift_event("m", {"window": "/w"}))
    assert send_outbox(home(), f"http://127.0.0.1:{free_port()}/api") == 0
    assert path.exists()
