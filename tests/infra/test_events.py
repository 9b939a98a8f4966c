import json

from headrace.infra.events import drift_event, to_outbox
from headrace.infra.home import home


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
