"""Who gets through the lock: a table of requests, and any mix of foreign headers."""

import asyncio
import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from headrace.infra.net.locked_app import Locked

PASSWORD = "correct-horse-battery"
HOST = "127.0.0.1:4200"


def word(user: str = "headrace", password: str = PASSWORD) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    headers: dict[str, str],
    method: str = "GET",
    path: str = "/api/flows",
    kind: str = "http",
    sockets: bool = False,
) -> tuple[int, dict[bytes, bytes]]:
    """(status, headers) of an answer; of a WebSocket 101 or 403."""
    sent: list[Any] = []
    scope = {
        "type": kind, "scheme": "http" if kind == "http" else "ws", "method": method,
        "path": path, "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    locked = Locked(app, PASSWORD, "test", ("/api/health",), sockets)
    asyncio.run(locked(scope, receive, send))
    if kind == "websocket":
        return (101 if sent[0]["type"] == "websocket.accept" else 403), {}
    if sent[0]["status"] != 200:
        assert b"inside" not in sent[1]["body"]
    return sent[0]["status"], dict(sent[0]["headers"])


OWN = {"host": HOST, "authorization": word()}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
TEXT = {"content-type": "text/plain;charset=UTF-8"}
FROM_PAGE = {"origin": "http://evil.example"}
FROM_ELSEWHERE = {"sec-fetch-site": "cross-site"}


@pytest.mark.parametrize(
    ("status", "headers", "more"),
    [
        (200, OWN, {}),
        (200, OWN | JSON, {"method": "POST"}),
        (200, {**OWN, "host": "localhost:9999"}, {}),  # through a tunnel
        (200, OWN | {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}, {}),
        (200, {"host": HOST}, {"path": "/api/health"}),
        (401, {"host": HOST}, {}),
        (401, {"host": HOST}, {"path": "/api/health", "method": "POST"}),
        (401, {"host": HOST}, {"path": "/api/health/"}),
        (401, {"host": HOST, "authorization": word(password="wrong")}, {}),
        (401, {"host": HOST, "authorization": word(user="admin")}, {}),
        (401, {"host": HOST, "authorization": f"Bearer {PASSWORD}"}, {}),
        (401, {"host": HOST, "authorization": ""}, {}),
        # Whoever has the password doesn't get in either from another's page or by another's name.
        (403, OWN | FROM_PAGE, {}),
        (403, OWN | FROM_PAGE | TEXT, {"method": "POST"}),
        (403, OWN | FROM_PAGE, {"path": "/api/health"}),
        (403, OWN | {"origin": "null"}, {}),
        (403, OWN | {"origin": "http://127.0.0.1:1"}, {}),
        (403, OWN | {"origin": f"https://{HOST}"}, {}),
        (403, OWN | FROM_ELSEWHERE, {}),
        (403, OWN | {"sec-fetch-site": "same-site"}, {}),
        (403, {**OWN, "host": "evil.example"}, {}),
        (403, {**OWN, "host": "127.0.0.1.evil.example:4200"}, {}),
        (403, {**OWN, "host": "127.0.0.1@evil.example"}, {}),
        (403, {**OWN, "host": "[::1"}, {}),
        (403, {"authorization": word()}, {}),
        (415, OWN | TEXT, {"method": "POST"}),
        (415, OWN | FORM, {"method": "POST"}),
        (415, OWN | {"content-type": "Text/Plain"}, {"method": "POST"}),
    ],
)
def test_who_gets_through(status: int, headers: dict[str, str], more: dict[str, Any]) -> None:
    assert ask(headers, **more)[0] == status


def test_a_link_from_elsewhere_may_be_followed_but_not_framed() -> None:
    link = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ask(OWN | FROM_ELSEWHERE | link)[0] == 200
    assert ask(OWN | FROM_ELSEWHERE | link | JSON, method="POST")[0] == 403
    assert ask(OWN | FROM_ELSEWHERE | link | {"sec-fetch-dest": "iframe"})[0] == 403
    answer = ask(OWN)[1]
    assert answer[b"x-frame-options"] == b"SAMEORIGIN"
    assert answer[b"cross-origin-resource-policy"] == b"same-origin"


def test_a_browser_is_asked_for_the_password_where_its_page_may_come_from() -> None:
    assert b"www-authenticate" in ask({"host": HOST})[1]
    assert b"www-authenticate" not in ask({"host": HOST} | FROM_PAGE)[1]


def test_websockets_pass_only_where_the_application_asks_them_itself() -> None:
    assert ask({"host": HOST}, kind="websocket", sockets=True)[0] == 101
    assert ask(OWN, kind="websocket")[0] == 403
    assert ask(OWN | FROM_PAGE, kind="websocket", sockets=True)[0] == 403
    assert ask(OWN | {"host": "evil.example"}, kind="websocket", sockets=True)[0] == 403


NAMES = st.sampled_from(
    ["host", "origin", "authorization", "content-type", "sec-fetch-site", "sec-fetch-mode",
     "sec-fetch-dest", "cookie", "x-forwarded-host", "x-http-method-override", "forwarded"]
)  # fmt: skip
VALUES = st.sampled_from(
    [HOST, "localhost", "evil.example", f"http://{HOST}", "http://evil.example", "null", "none",
     "same-origin", "cross-site", "navigate", "document", "text/plain", "application/json",
     word(password="guess"), f"Basic {PASSWORD}", "Basic", ""]
)  # fmt: skip


@given(
    headers=st.dictionaries(NAMES, VALUES),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    path=st.sampled_from(["/", "/api/flows/", "/api/health/../flows", "//api/health"]),
)
def test_without_the_password_no_mix_of_headers_gets_in(
    headers: dict[str, str], method: str, path: str
) -> None:
    assert ask(headers, method=method, path=path)[0] in (401, 403, 415)
