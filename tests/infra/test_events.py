import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.infra import events
from headrace.infra.events import drift_event, send_outbox, to_outbox
from headrace.infra.home import home
from headrace.infra.ports import free_port

listens: list[Any] = []
"""The automations of the server."""
runs: list[str] = []
"""The windows of the runs that it made of events."""


def automation(enabled: bool = True, **trigger: Any) -> dict[str, Any]:
    means = {"prefect.resource.id": "headrace.model.m"}
    expect = ["headrace.drift.detected"]
    return {
        "name": "on drift",
        "enabled": enabled,
        "trigger": {"expect": expect, "match": means, **trigger},
        "actions": [{"type": "run-deployment"}],
    }


@pytest.fixture
def server(json_server: Callable[..., Any]) -> Iterator[tuple[str, list[Any]]]:
    sent: list[Any] = []
    listens[:], runs[:] = [automation()], []

    def answer(path: str, got: list[Any]) -> tuple[int, Any]:
        if "automations" in path:
            return 200, listens
        if "flow_runs" in path:
            return 200, [{"parameters": {"alert": {"window": w}}} for w in runs]
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


@pytest.mark.parametrize(
    "other",
    [
        automation(expect=["something.else"]),
        {**automation(), "trigger": {}},
        {**automation(), "actions": [{"type": "send-notification"}]},
        automation(enabled=False),
        automation(match={"prefect.resource.id": ["headrace.model.n", "headrace.model.m2"]}),
    ],
)
def test_before_an_automation_listens_everything_waits(
    server: tuple[str, list[Any]], other: dict[str, Any]
) -> None:
    api, got = server
    listens[:] = [other]
    path = to_outbox(home(), drift_event("m", {"window": "/w"}))
    assert send_outbox(home(), api) == 0 and path.exists() and got == []
    listens.append(automation(match={"prefect.resource.id": "headrace.model.*"}))
    assert send_outbox(home(), api) == 1 and not path.exists()


def test_an_event_that_the_server_lost_is_sent_again(
    server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, got = server
    for window in ("/a", "/b"):
        to_outbox(home(), drift_event("m", {"window": window}))
    assert send_outbox(home(), api) == 2
    runs[:] = ["/b"]
    assert send_outbox(home(), api) == 0, "the server may still be at it"
    monkeypatch.setattr(events, "PATIENCE", -1.0)
    assert send_outbox(home(), api) == 1 and got[-1][1]["payload"]["window"] == "/a"
    assert len({e["id"] for _, e in got}) == 3, "an event of the same id is the same"
    for _ in range(events.TRIES):
        send_outbox(home(), api)
    assert len(got) == 2 + events.TRIES - 1, "an event that nobody takes is not sent for ever"
    assert all("tries" not in e for _, e in got)
    runs[:] = ["/a", "/b"]
    assert send_outbox(home(), api) == 0 and not list(home().outbox.glob("**/*.json"))


def test_what_can_not_be_sent_stays() -> None:
    path = to_outbox(home(), drift_event("m", {"window": "/w"}))
    assert send_outbox(home(), f"http://127.0.0.1:{free_port()}/api") == 0
    assert path.exists()
