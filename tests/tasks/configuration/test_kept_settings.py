"""What `up` and `deploy` keep, in one file."""

import json
from typing import Any

import pytest

from headrace.infra.configuration.config_file import Config
from headrace.infra.errors import UsageError
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.kept_settings import effective, keep, keep_up, of_up, read
from headrace.tasks.configuration.settings import UpConfig


def given(**settings: Any) -> list[Config]:
    return [Config("--set", settings)]


def up(*sources: Config, reset: bool = False) -> UpConfig:
    """A call of `up` that works."""
    kept = read(without_stack=reset)
    settings = of_up(kept, {}, sources)
    keep_up(kept, sources, settings)
    return settings


def deploy(*sources: Config) -> Any:
    kept = read()
    settings = effective(kept, {}, sources)
    keep(kept, sources, "local", settings)
    return settings


def test_up_keeps_what_it_was_told() -> None:
    up(*given(ports={"prefect": 4300}, variables=["HF_HOME"]))
    up(*given(retention={"spark_days": 3}, pools={"training": {"name": "gpu"}}))
    now = up()
    assert now.ports == {"prefect": 4300} and now.variables == ("HF_HOME",)
    assert now.retention.spark_days == 3 and now.pools.training.name == "gpu"
    assert now.retention.runs_days == UpConfig().retention.runs_days
    again = up(reset=True)
    assert again.ports == {} and again.retention == UpConfig().retention
    assert up().ports == {}, "it stays forgotten"


def test_up_and_deploy_have_the_same_pools() -> None:
    deploy(*given(pools={"training": {"name": "gpu"}}, seed=7))
    assert up().pools.training.name == "gpu"
    up(*given(pools={"spark": {"name": "big"}}, retention={"spark_days": 3}))
    settings = deploy(*given(settle_seconds=5))
    assert (settings.pools.spark.name, settings.pools.training.name) == ("big", "gpu")
    assert settings.seed == 7 and up().retention.spark_days == 3


def test_up_keeps_neither_passwords_nor_what_is_not_the_stacks() -> None:
    up(*given(database="postgresql://u:s3cr3t@h", notify={"webhook": "http://h/t0ken"}, seed=3))
    assert not kept_settings.path().exists()
    up(*given(database="postgresql://u:s3cr3t@h", ports={"mlflow": 5001}))
    assert json.loads(kept_settings.path().read_text()) == {
        "profile": None, "settings": {}, "up": {"ports": {"mlflow": 5001}},
    }  # fmt: skip
    assert kept_settings.path().stat().st_mode & 0o077 == 0


def test_a_damaged_file_is_named() -> None:
    home().root.mkdir(parents=True, exist_ok=True)
    kept_settings.path().write_text('{"settings": {}, "up": {"prots": {}}}')
    with pytest.raises(UsageError, match="prots"):
        read()
    assert read(without_stack=True).stack.data == {}
