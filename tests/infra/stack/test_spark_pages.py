"""Spark's pages behind a password; with a real cluster: tests/e2e/test_locks.py."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.infra.net.servers import encoded
from headrace.infra.spark import auth
from headrace.infra.stack.spark_pages import command, locked_pages

OUTER, SECRET, PASSWORD = 18080, "of-the-cluster", "correct-horse-battery"


class Page(http.server.BaseHTTPRequestHandler):
    """A page of Spark's, which wants a token and links to another one."""

    def do_GET(self) -> None:
        token = self.headers.get("authorization", "").rsplit(".", 1)[0]
        wanted = auth.bearer(SECRET).rsplit(".", 1)[0]
        fits = token.split(".")[0] == wanted.split(".")[0]
        self.send_response(200 if fits else 403)
        self.send_header("content-type", "text/html")
        self.send_header("set-cookie", "a=b")
        self.end_headers()
        port = self.connection.getsockname()[1]
        self.wfile.write(f'<a href="http://127.0.0.1:{port}{self.path}">'.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def inner() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(inner: int, method: str = "GET", **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []
    scope = {
        "type": "http", "scheme": "http", "method": method, "path": "/app/", "raw_path": b"/app/",
        "query_string": b"id=1", "server": ("127.0.0.1", OUTER),
        "headers": [(b"host", b"127.0.0.1:18080"), *((k.encode(), v.encode())
                                                      for k, v in headers.items())],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def call() -> None:
        await locked_pages({OUTER: inner}, PASSWORD, SECRET)(scope, receive, send)

    asyncio.run(call())
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


WORD = f"Basic {encoded(f'headrace:{PASSWORD}')}"


def test_a_page_is_shown_with_links_to_the_pages_that_are_open(inner: int) -> None:
    status, headers, body = ask(inner, authorization=WORD)
    assert status == 200 and body == b'<a href="http://127.0.0.1:18080/app/?id=1">'
    assert b"set-cookie" not in headers and headers[b"content-length"] == b"%d" % len(body)


def test_without_the_password_nothing_is_asked_of_spark(inner: int) -> None:
    assert ask(inner)[0] == 401
    assert ask(inner, authorization=auth.bearer(SECRET))[0] == 401
    assert ask(inner, authorization=WORD, origin="http://evil.example")[0] == 403


def test_buttons_have_no_effect_and_a_dead_page_says_what_to_do(inner: int) -> None:
    assert ask(inner, "POST", authorization=WORD)[0] == 405
    status, _, body = ask(1, authorization=WORD)
    assert status == 502 and b"headrace up" in body


def test_no_secret_is_on_its_command_line() -> None:
    assert command({1: 2})[-1] == "1=2"
