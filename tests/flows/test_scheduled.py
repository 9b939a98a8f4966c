"""Parameters of the flows that deployments run; their runs: tests/e2e/test_doors.py."""

from pathlib import Path

import pytest

from headrace.flows.scheduled import Alert, _on_todays_cluster
from headrace.infra import stack
from headrace.infra.home import Home
from headrace.infra.settings import SparkSettings
from headrace.infra.stack import Stack
from headrace.tasks.settings import CurateVerb


def test_an_alert_of_any_monitor_is_understood() -> None:
    alert = Alert.model_validate({"window": "/w", "score": 3, "p_value": None})
    assert alert.window == "/w" and alert.more == () and alert.report is None
    assert Alert.model_validate({}).window is None


def test_windows_that_were_taken_over_come_back_with_the_parameters() -> None:
    said = Alert(window="/a", more=("/b", None)).model_dump(mode="json")
    assert Alert.model_validate(said).more == ("/b", None)


@pytest.mark.parametrize(
    ("deployed", "runs_on"),
    [
        ("spark://127.0.0.1:7077", "spark://127.0.0.1:7099"),
        ("local[4]", "local[4]"),
        ("spark://elsewhere:7077", "spark://elsewhere:7077"),
    ],
)
def test_a_cluster_that_moved_to_another_port_is_found(
    monkeypatch: pytest.MonkeyPatch, deployed: str, runs_on: str
) -> None:
    up = Stack("http://p/api", "http://m", "spark://127.0.0.1:7099", "/e", ())
    settings = CurateVerb(spark=SparkSettings(master=deployed))
    assert _on_todays_cluster(settings) is settings, "no stack is up"

    def running(home: Home) -> Stack:
        assert isinstance(home.root, Path)
        return up

    monkeypatch.setattr(stack, "running", running)
    assert _on_todays_cluster(settings).spark.master == runs_on
