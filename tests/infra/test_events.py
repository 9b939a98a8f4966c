import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.infra.events import drift_event, send_outbox, to_outbox
from headrace.infra.home import home
from headrace.infra.ports import free_port

listens: list[Any] = []
"""The automations of the server."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []
    listens[:] = [{"trigger": {"expect": ["headrace.drift.detected"]}}]

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()
            if "automations" in self.path:
                self.wfile.write(json.dumps(listens).encode())
            else:
                got.extend([self.path, e] for e in said)
                self.wfile.write(b"null")

        def log_message(self, *_: object) -> None:
            pass

    made = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}/api", got
    made.shutdown()


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
