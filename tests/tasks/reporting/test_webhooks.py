"""The webhook, against a real HTTP server."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.settings import NotifySettings
from headrace.infra.net.ports import free_port
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.kept_settings import Kept
from headrace.tasks.configuration.settings import DeployConfig
from headrace.tasks.reporting.webhooks import notify

Hook = tuple[str, list[tuple[str, Any]]]


def deployed(settings: NotifySettings) -> None:
    given = [Config("here", {"notify": settings.model_dump(mode="json")})]
    kept_settings.keep(Kept(), given, None, DeployConfig(notify=settings))


@pytest.fixture
def hook(json_server: Callable[..., Any]) -> Iterator[Hook]:
    with json_server(lambda *_: (204, None)) as (url, got):
        yield f"{url}/t0ken", got


def test_what_is_told(hook: Hook) -> None:
    url, got = hook
    settings = NotifySettings(webhook=url)
    assert notify(settings, "retrain", "Failed", "no\n space  left", "headrace retrain",
                  {"run": "http://p/1", "log": None})  # fmt: skip
    assert got == [
        (
            "/t0ken",
            {
                "flow": "retrain", "state": "Failed", "reason": "no space left",
                "command": "headrace retrain", "links": {"run": "http://p/1"},
            },
        )
    ]  # fmt: skip


def test_without_a_webhook_that_of_deploy_is_used(hook: Hook) -> None:
    url, got = hook
    assert not notify(NotifySettings(), "f", "Failed", "r", "c", {})
    deployed(NotifySettings(webhook=url))
    assert notify(NotifySettings(), "f", "Failed", "r", "c", {}) and len(got) == 1
    assert (home().root / "deploy.json").stat().st_mode & 0o077 == 0
    deployed(NotifySettings())
    assert not notify(NotifySettings(), "f", "Failed", "r", "c", {})


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/t0ken", "http://127.0.0.1:{}/t0ken x"])
def test_a_dead_webhook_is_logged_without_its_address(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = NotifySettings(webhook=address.format(free_port()))
    with caplog.at_level(logging.WARNING):
        assert not notify(settings, "f", "Failed", "r", "c", {})
    assert "did not accept" in caplog.text and "t0ken" not in caplog.text
