"""What other monitors send, as payloads of the drift event."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.errors import InputError, UsageError
from headrace.infra.home import home
from headrace.infra.settings import Shared
from headrace.tasks.received import RECEIVED, of_alertmanager, of_evidently, receive

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
    assert of_alertmanager(group(FIRED, resolved, bare)) == [
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
    test = {"id": "1", "name": "Share of Drifted Columns", "description": "…", "status": "FAIL",
            "metric_config": {}}  # fmt: skip
    passed = {**test, "status": "SUCCESS"}
    report = {"metrics": [{"id": "m", "value": 0.5}], "tests": [test, passed], "window": "/w"}
    assert of_evidently(report) == [
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

    (payload,) = of_evidently(report(True))
    assert payload["effect"] == 0.5 and payload["drifted"] == ["length"]
    assert payload["window"] == "/w"
    assert of_evidently(report(False)) == []


@pytest.mark.parametrize(
    ("sender", "body", "said"),
    [
        ("alertmanager", [], "the body"),
        ("alertmanager", {}, "alerts: field required"),
        ("alertmanager", {"alerts": [{"labels": {}}]}, "alerts.0.status"),
        ("alertmanager", group({**FIRED, "annotations": {"p_value": "small"}}), "no number"),
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
    try:
        payloads = RECEIVED[sender](body)
    except UsageError as error:
        assert error.hint
    else:
        assert all({"window", "reference", "p_value", "effect", "drifted", "report"} == set(p)
                   for p in payloads)  # fmt: skip


def test_alerts_wait_in_the_outbox_and_none_is_emitted_where_a_window_is_missing(
    tmp_path: Any,
) -> None:
    window = tmp_path / "w.jsonl"
    window.write_text('{"text": "x"}\n')

    def body(*windows: str) -> dict[str, Any]:
        return group(*({**FIRED, "annotations": {"window": w} if w else {}} for w in windows))

    with pytest.raises(InputError):
        receive("alertmanager", body(str(window), "/none"), None, Shared())
    assert not list(home().outbox.glob("*.json"))
    data = receive("alertmanager", body("", str(window)), str(window), Shared())
    assert [a["window"] for a in data["alerts"]] == [str(window)] * 2
    assert not data["alerts"][0]["sent"] and "headrace up" in data["alerts"][0]["why"]
    (kept,) = home().outbox.glob("*.json")
    assert json.loads(kept.read_text())["payload"]["report"] == "http://prometheus/graph"
