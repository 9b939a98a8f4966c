"""Settings of a deployed run; whole runs: tests/e2e/test_doors.py."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from headrace.flows import run_settings
from headrace.flows.run_settings import on_todays_cluster, whole
from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.errors import UsageError
from headrace.infra.stack import record
from headrace.infra.state.state_dir import Home
from headrace.tasks.configuration.settings import CurateConfig, RetrainConfig


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
    up = SimpleNamespace(spark_master="spark://127.0.0.1:7099")
    settings = CurateConfig(spark=SparkSettings(master=deployed))
    assert on_todays_cluster(settings) is settings, "no stack is up"

    def running(home: Home) -> SimpleNamespace:
        assert isinstance(home.root, Path)
        return up

    monkeypatch.setattr(record, "running", running)
    assert on_todays_cluster(settings).spark.master == runs_on


def run_of(monkeypatch: pytest.MonkeyPatch, own: dict[str, Any], given: dict[str, Any]) -> FlowRun:
    """A run with the parameters `given` of a deployment with the parameters `own`."""

    @contextmanager
    def client(sync_client: bool) -> Any:
        yield SimpleNamespace(read_deployment=lambda _: SimpleNamespace(parameters=own))

    monkeypatch.setattr(run_settings, "get_client", client)
    return FlowRun(flow_id=uuid4(), deployment_id=uuid4(), parameters=given)


def test_a_run_that_is_given_some_settings_keeps_the_others_of_its_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = RetrainConfig.model_validate(
        {"model": {"name": "m"}, "ewc": {"strength": 7, "course": {"optimizer": {"warmup": 0.3}}}}
    )
    given = {"ewc": {"course": {"optimizer": {"adamw_lr": 5e-4}}}}
    run = run_of(monkeypatch, {"settings": own.model_dump(mode="json")}, {"settings": given})
    made = whole(RetrainConfig.model_validate(given), "retrain", run)
    assert made.model.name == "m" and made.ewc.strength == 7
    rates = made.ewc.course.optimizer
    assert (rates.adamw_lr, rates.warmup, rates.muon_lr) == (5e-4, 0.3, 0.01)


def test_a_run_of_a_whole_form_or_of_no_deployment_has_the_settings_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = CurateConfig.model_validate(
        {"bias": {"threshold": 0.2}, "domain": {"targets": {"legal": 1}}}
    )
    assert whole(form, "curate", FlowRun(flow_id=uuid4())) is form
    stored = CurateConfig(seed=5).model_dump(mode="json")
    run = run_of(monkeypatch, {"settings": stored}, {"settings": form.model_dump(mode="json")})
    assert whole(form, "curate", run) == form
    run = run_of(monkeypatch, {}, {"settings": {"semantics": {"treshold": 1}}})
    with pytest.raises(
        UsageError, match=r"settings of this run: unknown setting semantics\.treshold"
    ):
        whole(form, "curate", run)
