"""Alerts without a server wait; the rest is in tests/e2e/test_doors.py."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError
from headrace.infra.state.state_dir import home
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.alerts import emit, raise_alert, send_outbox, with_reasons
from headrace.tasks.retraining.verdicts import Finding


def test_an_alert_waits_for_the_server(tmp_path: Path) -> None:
    window = tmp_path / "w.jsonl"
    window.write_text('{"text": "t"}\n')
    said = raise_alert(Alert(window=str(window), p_value=0.01), Shared())
    assert said.window == str(window) and not said.sent
    assert said.outbox is not None
    event = json.loads(Path(said.outbox).read_text())
    assert event["event"] == "headrace.drift.detected"
    assert event["payload"] == {
        "window": str(window), "reference": None, "p_value": 0.01, "effect": None,
        "drifted": None, "report": None,
    }  # fmt: skip
    assert send_outbox() == 0 and Path(said.outbox).exists()


def test_an_alert_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none"):
        raise_alert(Alert(window=str(tmp_path / "none.jsonl")), Shared())
    assert not home().outbox.exists()


def test_an_alert_that_is_put_off_says_until_when() -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    path = emit(Alert(window="/w"), Shared(), until)
    assert path is not None
    assert json.loads(Path(path).read_text())["not_before"] == until.isoformat()


def test_a_finding_whose_alert_waits_says_why() -> None:
    outbox = emit(Alert(window="/w"), Shared())
    calm, raised = Finding(drift=False, report="/r"), Finding(drift=True, outbox=outbox)
    first, second = with_reasons([calm, raised])
    assert first == calm and "alert_waits" not in first.as_json()
    assert second.alert_waits and "no server is up" in second.alert_waits
    assert second.as_json() == {**raised.as_json(), "alert_waits": second.alert_waits}
    (lost,) = with_reasons([Finding(drift=True, outbox="/gone.json")])
    assert lost.as_json()["alert_waits"] is None
