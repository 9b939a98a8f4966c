"""What the profiles set."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.settings import Shared, build
from headrace.infra.stack.profiles import PROFILES, profile_settings


@pytest.mark.parametrize("name", [path.stem for path in sorted(PROFILES.glob("*.yaml"))])
def test_a_profile_is_made_of_settings(name: str) -> None:
    build(Shared, Config(name, profile_settings(name)))


def test_the_cluster_is_that_of_the_stack_while_it_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    up = SimpleNamespace(spark_master="spark://127.0.0.1:7", event_log="/e")
    monkeypatch.setattr("headrace.infra.stack.record.running", lambda _: up)
    cluster: Any = profile_settings("cluster")
    local: Any = profile_settings("local")
    assert cluster["spark"]["master"] == "spark://127.0.0.1:7"
    assert local["spark"]["master"].startswith("local")
