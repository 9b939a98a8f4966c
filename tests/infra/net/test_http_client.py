"""The one HTTP client, against real servers."""

import http.server
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from raw_server import raw_server

from headrace.infra.net.http_client import Answer, NoAnswerError, answers, ask
from headrace.infra.net.ports import free_port

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_json_goes_out_and_comes_back(json_server: Callable[..., Any]) -> None:
    with json_server(lambda *_: (200, {"is": "中"})) as (url, got):
        assert ask(f"{url}/a", 5, method="POST", body={"text": "中"}).json() == {"is": "中"}
        assert ask(f"{url}/b", 5).ok
        assert got == [("/a", {"text": "中"}), ("/b", None)]
    assert Answer(204, b"").json() is None


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_every_status_is_an_answer(json_server: Callable[..., Any], status: int) -> None:
    with json_server(lambda *_: (status, {})) as (url, _):
        answer = ask(url, 5)
        assert answer.status == status and answer.ok == (status < 400)
        assert answers(url) == (status < 500)


def test_what_is_no_answer_says_why() -> None:
    with pytest.raises(NoAnswerError, match="refused"):
        ask(f"http://127.0.0.1:{free_port()}/", 5)
    with (
        raw_server(b"SSH-2.0-OpenSSH_9\r\n") as url,
        pytest.raises(NoAnswerError, match="not HTTP"),
    ):
        ask(url, 5)
    for address in ("nonsense", "http://[::1", "ftp://127.0.0.1/x"):
        with pytest.raises(NoAnswerError):
            ask(address, 5)
        assert not answers(address)


def test_loopback_is_reached_directly_and_others_by_the_proxy(
    json_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        json_server(lambda *_: (200, "the proxy")) as (proxy, through),
        json_server(lambda *_: (200, "the server")) as (url, _),
    ):
        for name in PROXIES:
            monkeypatch.setenv(name, proxy)
        assert ask(url, 5).json() == "the server"
        assert ask(url.replace("127.0.0.1", "localhost"), 5).json() == "the server"
        assert not through
        assert ask("http://webhooks.example/x", 5).json() == "the proxy"
        monkeypatch.setenv("no_proxy", "webhooks.invalid")
        with pytest.raises(NoAnswerError):
            ask("http://webhooks.invalid/x", 5)
        assert len(through) == 1
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
        with pytest.raises(NoAnswerError):
            ask("http://webhooks.example/x", 5)


@contextmanager
def redirecting(to: str) -> Iterator[str]:
    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("location", to)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_credentials_do_not_follow_a_redirect_to_another_server() -> None:
    shown: list[str | None] = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["authorization"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with redirecting(f"http://127.0.0.1:{other.server_port}/") as url:
            assert ask(url, 5, headers={"Authorization": "Basic c2VjcmV0"}).ok
        assert shown == [None]
        assert ask(f"http://127.0.0.1:{other.server_port}/", 5, headers={"Authorization": "x"}).ok
        assert shown == [None, "x"]
        other.shutdown()


def test_no_address_is_logged(
    json_server: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), json_server(lambda *_: (200, {})) as (url, _):
        assert ask(f"{url}/t0ken", 5).ok
    assert "t0ken" not in caplog.text
