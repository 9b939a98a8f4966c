"""What other monitors send, as payloads of the drift event."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UnansweredError, UsageError
from headrace.infra.state.state_dir import home
from headrace.tasks.retraining.alert import Alert
from headrace.tasks.retraining.foreign_alerts import (
    RECEIVED,
    of_alertmanager,
    of_evidently,
    receive,
)

FIRED = {
    "status": "firing",
    "labels": {"alertname": "TextDrift", "severity": "page"},
    "annotations": {"window": "s3://b/w", "p_value": "0.004", "drifted": "lang, domain,"},
    "startsAt": "2026-01-02T03:04:05.678Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "1a30ba71cca2921f",
}


def group(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "headrace",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "truncatedAlerts": 0,
        "externalURL": "http://alertmanager", "alerts": list(alerts),
    }  # fmt: skip


def test_each_alert_that_fires_is_one() -> None:
    resolved = {**FIRED, "status": "resolved"}
    bare = {"status": "firing", "labels": {"alertname": "x"}, "annotations": {}}
    assert [a.payload().model_dump() for a in of_alertmanager(group(FIRED, resolved, bare))] == [
        {
            "window": "s3://b/w", "reference": None, "report": "http://prometheus/graph",
            "p_value": 0.004, "effect": None, "drifted": ["lang", "domain"],
        },
        {
            "window": None, "reference": None, "report": None, "p_value": None, "effect": None,
            "drifted": None,
        },
    ]  # fmt: skip


def test_evidentlys_failed_tests_are_an_alert() -> None:
    test: dict[str, JsonValue] = {
        "id": "1", "name": "Share of Drifted Columns", "description": "…", "status": "FAIL",
        "metric_config": {},
    }  # fmt: skip
    passed: JsonValue = {**test, "status": "SUCCESS"}
    report: dict[str, JsonValue] = {
        "metrics": [{"id": "m", "value": 0.5}],
        "tests": [test, passed],
        "window": "/w",
    }
    assert [a.payload().model_dump() for a in of_evidently(report)] == [
        {
            "window": "/w", "reference": None, "report": None, "p_value": None, "effect": None,
            "drifted": ["Share of Drifted Columns"],
        }
    ]  # fmt: skip
    assert of_evidently({**report, "tests": [passed]}) == []


def test_evidentlys_verdict_on_drift_is_an_alert() -> None:
    def report(drift: bool) -> dict[str, Any]:
        verdict = {"dataset_drift": drift, "share_of_drifted_columns": 0.5}
        columns = {"length": {"drift_detected": True}, "lang": {"drift_detected": False}}
        return {
            "metrics": [
                {"metric": "DatasetDriftMetric", "result": verdict},
                {"metric": "DataDriftTable", "result": {**verdict, "drift_by_columns": columns}},
            ],
            "metadata": {"window": "/w", "n": 3},
        }

    (alert,) = of_evidently(report(True))
    assert alert.effect == 0.5 and alert.drifted == ["length"]
    assert alert.window == "/w"
    assert of_evidently(report(False)) == []


@pytest.mark.parametrize(
    ("sender", "body", "said"),
    [
        ("alertmanager", [], "the body"),
        ("alertmanager", {}, "alerts: field required"),
        ("alertmanager", {"alerts": [{"labels": {}}]}, "alerts.0.status"),
        ("alertmanager", {"tests": []}, "alerts: field required"),
        ("evidently", group(FIRED), "neither tests nor a verdict"),
        ("evidently", {"tests": [{"name": 3, "status": "FAIL"}]}, "tests.0.name"),
        ("evidently", {"metrics": []}, "neither tests nor a verdict"),
        ("evidently", "x", "the body"),
    ],
)
def test_another_form_is_refused_with_its_place(sender: str, body: Any, said: str) -> None:
    with pytest.raises(UsageError) as error:
        RECEIVED[sender](body)
    assert said in error.value.message and error.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["alerts", "status", "labels", "annotations", "tests", "metrics", "result",
                         "dataset_drift", "drift_by_columns", "window", "name", "parameters"])
        | st.text(max_size=3),
        inner, max_size=4,
    ),
)  # fmt: skip


@given(JSON, st.sampled_from(sorted(RECEIVED)))
def test_any_body_gives_payloads_or_a_clear_refusal(body: Any, sender: str) -> None:
    alerts: list[Alert] = []
    hint = ""
    try:
        alerts = RECEIVED[sender](body)
        hint = "not refused"
    except UsageError as error:
        hint = error.hint
    assert hint
    names = {"window", "reference", "p_value", "effect", "drifted", "report"}
    assert all(names == set(alert.payload().model_dump()) for alert in alerts)


@pytest.mark.parametrize("value", ["small", "nan", "inf", "-Infinity", "0,01", "1e999"])
def test_a_figure_that_is_no_number_loses_no_alert(value: str) -> None:
    (alert,) = of_alertmanager(group({**FIRED, "annotations": {"p_value": value}}))
    assert alert.p_value is None


@pytest.mark.parametrize("share", [float("nan"), float("inf"), "0.5", True, None, 10**400])
def test_evidentlys_odd_share_loses_no_alert(share: Any) -> None:
    result = {"dataset_drift": True, "share_of_drifted_columns": share}
    (alert,) = of_evidently({"metrics": [{"metric": "DatasetDriftMetric", "result": result}]})
    assert alert.effect is None


def body(*windows: str) -> dict[str, Any]:
    return group(*({**FIRED, "annotations": {"window": w} if w else {}} for w in windows))


@pytest.fixture
def window(tmp_path: Path) -> str:
    path = tmp_path / "w.jsonl"
    path.write_text('{"text": "x"}\n')
    return str(path)


def kept() -> list[str | None]:
    files = sorted(home().outbox.glob("*.json"))
    return [json.loads(path.read_text())["payload"]["window"] for path in files]


def test_alerts_wait_in_the_outbox(window: str) -> None:
    receipts = receive("alertmanager", body("", window), window, Shared())
    assert [a.window for a in receipts] == [window] * 2
    assert not receipts[0].sent and "headrace up" in str(receipts[0].why)
    (file,) = home().outbox.glob("*.json")
    assert json.loads(file.read_text())["payload"]["report"] == "http://prometheus/graph"


@pytest.mark.parametrize("bad", ["/none", "gs://b/w", "/none/*.jsonl", "a\0b"])
def test_one_bad_window_of_a_group_drops_no_other(bad: str, window: str) -> None:
    with pytest.raises((InputError, UsageError)):
        receive("alertmanager", body(bad), None, Shared())
    assert kept() == []
    first, second = receive("alertmanager", body(bad, window), None, Shared())
    assert not first.sent and first.outbox is None and "not taken" in str(first.why)
    assert second.outbox and kept() == [window]


@pytest.mark.parametrize(
    "error", [OSError("curlCode: 7, Couldn't connect"), OSError("ACCESS_DENIED"), TimeoutError()]
)
def test_storage_that_does_not_answer_is_asked_again_and_drops_no_other(
    error: OSError, window: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any) -> None:
        raise error

    monkeypatch.setattr(storage, "filesystem", lambda uri: (SimpleNamespace(get_file_info=silent),
                                                            str(uri)))  # fmt: skip
    with pytest.raises(UnansweredError):
        receive("alertmanager", body("s3://b/w", window, "/none"), None, Shared())
    assert kept() == [window]
    with pytest.raises(UnansweredError):  # as Alertmanager sends it again
        receive("alertmanager", body("s3://b/w", window, "/none"), None, Shared())
    assert kept() == [window], "the same alert is one"


def test_a_relative_window_is_sent_as_it_was_checked(
    window: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (alert,) = receive("alertmanager", body("w.jsonl"), None, Shared())
    assert alert.window == window and kept() == [window]
