"""What the forms of the deployments are filled with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.flows import parameters as parameters_
from headrace.flows.parameters import kept_parameters, parameters
from headrace.infra.stack.endpoints import Cluster
from headrace.tasks.configuration.settings import DeployConfig

UP = Cluster("spark://127.0.0.1:7099", "/e", {})


def flows_of(settings: DeployConfig) -> dict[str, Any]:
    """The parameters of the flows as they are registered."""
    values = parameters(settings).as_json()
    assert values.pop("model") == settings.model.name and values.pop("pools")
    return values


def test_what_deploy_is_given_fills_the_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters_, "endpoints", lambda _: SimpleNamespace(spark=UP))
    settings = DeployConfig.model_validate(
        {
            "input": ["s3://corpus/in"],
            "inbox": "s3://corpus/new/",
            "settle_seconds": 3,
            "curate": {"bias": {"threshold": 0.2}},
            "retrain": {"cooldown_minutes": 5},
            "notify": {"webhook": "http://127.0.0.1:1/"},
        }
    )
    filled = flows_of(settings)
    assert filled["curate"]["input"] == ["s3://corpus/in"]
    assert filled["curate"]["settings"]["spark"]["master"] == UP.master
    assert filled["curate"]["settings"]["bias"]["threshold"] == 0.2
    assert filled["monitor"]["inbox"] == "s3://corpus/new"
    assert filled["monitor"]["settings"]["inbox"]["settle_seconds"] == 3
    assert filled["retrain"]["settings"]["cooldown_minutes"] == 5
    assert filled["retrain"]["settings"]["alert_roots"] == ["s3://corpus/new"]
    for flow in filled.values():
        assert flow["settings"]["notify"]["webhook"] is None, "in its page it could be read"
    relative = flows_of(DeployConfig(input=("corpus",), output="out", inbox="in"))
    assert relative["curate"]["input"] == [str(Path("corpus").absolute())]
    assert relative["curate"]["output"] == str(Path("out").absolute())
    assert relative["monitor"]["inbox"] == str(Path("in").absolute())


def test_the_build_step_of_prefect_yaml_gives_what_deploy_keeps() -> None:
    values = kept_parameters()
    assert (
        values == parameters(DeployConfig.model_validate({"pretrain": {"processes": 2}})).as_json()
    )
    assert values["pools"] == {"spark": "spark", "training": "training"}
