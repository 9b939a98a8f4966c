"""What an alert says, of headrace's own monitor or of another."""

from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.verdicts import Finding


def test_an_alert_of_any_monitor_is_understood() -> None:
    alert = Alert.model_validate({"window": "/w", "score": 3, "p_value": None})
    assert alert.window == "/w" and alert.more == () and alert.report is None
    assert Alert.model_validate({}).window is None


def test_windows_that_were_taken_over_come_back_with_the_parameters() -> None:
    stored = Alert(window="/a", more=("/b", None)).model_dump(mode="json")
    assert Alert.model_validate(stored).windows == ("/a", "/b", None)


def test_the_event_has_what_was_found_and_nothing_of_the_run() -> None:
    finding = Finding(drift=True, p_value=0.01, effect=0.3, drifted=("lang",), report="/r.html")
    alert = Alert.on("/w", finding.of(reference="r1")).model_copy(update={"event": "e"})
    assert alert.payload().model_dump() == {
        "window": "/w", "reference": "r1", "p_value": 0.01, "effect": 0.3, "drifted": ["lang"],
        "report": "/r.html",
    }  # fmt: skip
