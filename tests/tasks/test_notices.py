"""The webhook, against a real HTTP server."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.infra.home import home
from headrace.infra.ports import free_port
from headrace.infra.settings import NotifySettings
from headrace.tasks.notices import keep, notify


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/t0ken", got
    server.shutdown()


def test_what_is_told(hook: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = hook
    settings = NotifySettings(webhook=url)
    assert notify(settings, "retrain", "Failed", "no\n space  left", "headrace retrain",
                  {"run": "http://p/1", "log": None})  # fmt: skip
    assert got == [
        {
            "flow": "retrain", "state": "Failed", "reason": "no space left",
            "command": "headrace retrain", "links": {"run": "http://p/1"},
        }
    ]  # fmt: skip


def test_without_a_webhook_that_of_deploy_is_used(hook: tuple[str, list[dict[str, Any]]]) -> None:
    url, got = hook
    assert not notify(NotifySettings(), "f", "Failed", "r", "c", {})
    keep(NotifySettings(webhook=url))
    assert notify(NotifySettings(), "f", "Failed", "r", "c", {}) and len(got) == 1
    assert (home().root / "notify.json").stat().st_mode & 0o077 == 0
    keep(NotifySettings())
    assert not notify(NotifySettings(), "f", "Failed", "r", "c", {})


def test_a_dead_webhook_is_logged_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    settings = NotifySettings(webhook=f"http://127.0.0.1:{free_port()}/t0ken")
    with caplog.at_level(logging.WARNING):
        assert not notify(settings, "f", "Failed", "r", "c", {})
    assert "did not take" in caplog.text and "t0ken" not in caplog.text
