"""Spark's pages for whoever has logged in.

Started by `python -m headrace.infra.stack.spark_pages PORT=INNER …`.

The pages of master, workers and history server want a token that a browser can't give
(spark_auth.daemon_settings). This asks for the password instead, adds the token, and passes on what
is read. Nothing is written: a page's buttons stay without effect.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.infra.net import credentials
from headrace.infra.net.locked_app import Locked
from headrace.infra.net.ports import HOST
from headrace.infra.spark import auth
from headrace.infra.state import private
from headrace.infra.state.state_dir import home

_SECONDS = 30.0
_PASSED = (b"content-type", b"content-disposition", b"location", b"cache-control")
_TEXT = (b"text/html", b"application/json")


class _Pages:
    """What stands at the inner ports, at the outer ones."""

    def __init__(self, inner: Mapping[int, int], secret: str) -> None:
        self._inner, self._secret = dict(inner), secret
        outer = {b"%d" % there: b"%d" % here for here, there in inner.items()}
        ports = b"|".join(outer)
        self._links = re.compile(rb"\b((?:127\.0\.0\.1|localhost):)(" + ports + rb")\b")
        self._outer = outer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _say(send, 405, b"these pages are for reading")
            return
        import httpx

        port = self._inner[scope["server"][1]]
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        url = f"http://{HOST}:{port}{scope['raw_path'].decode('latin-1')}{query}"
        token = {"authorization": auth.bearer(self._secret)}
        try:
            async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
                found = await client.request(scope["method"], url, headers=token)
        except httpx.HTTPError:
            await _say(send, 502, b"Spark does not answer: `headrace up` restarts what has died")
            return
        headers = [(k.lower(), self._led_out(v)) for k, v in found.headers.raw
                   if k.lower() in _PASSED]  # fmt: skip
        body = found.content
        if dict(headers).get(b"content-type", b"").startswith(_TEXT):
            body = self._led_out(body)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": found.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _led_out(self, text: bytes) -> bytes:
        """Return a text whose links lead to the outer ports."""
        return self._links.sub(lambda m: m[1] + self._outer[m[2]], text)


async def _say(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def locked_pages(inner: Mapping[int, int], password: str, secret: str) -> ASGIApp:
    """Return the pages behind a lock; `inner`: the port of Spark's own page by that opened."""
    return Locked(_Pages(inner, secret), password, "Spark of headrace")


def command(inner: Mapping[int, int]) -> list[str]:
    """Return what a supervisor starts."""
    ports = [f"{here}={there}" for here, there in inner.items()]
    return [sys.executable, "-m", "headrace.infra.stack.spark_pages", *ports]


def main(arguments: list[str]) -> None:
    """Serve them on loopback until the process is ended."""
    private.begin(home())
    inner: dict[int, int] = {}
    for argument in arguments:
        here, there = argument.split("=")
        inner[int(here)] = int(there)
    found = credentials.known(home())
    assert found is not None, "no credentials: `headrace up` makes them"
    import uvicorn

    app = locked_pages(inner, found.spark_password, found.spark_secret)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, lifespan="off")
    uvicorn.Server(config).run(sockets=[_listening(port) for port in inner])


def _listening(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((HOST, port))
    return made


if __name__ == "__main__":
    main(sys.argv[1:])
