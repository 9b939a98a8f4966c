"""`headrace receive`: other monitors' webhooks become alerts; Prometheus reads where all stands.

It listens on loopback and wants a token, as `Authorization: Bearer TOKEN` or as the password of
HTTP basic authentication. Alertmanager tries again what ends in 5xx.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from json import JSONDecodeError
from pathlib import Path
from typing import cast

import uvicorn
from pydantic import JsonValue
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headrace.infra import console, faults, storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError, InputError, UnansweredError, UsageError
from headrace.infra.net.ports import HOST
from headrace.infra.state.state_dir import home
from headrace.infra.visible import visible
from headrace.tasks.operations.prometheus import exposition
from headrace.tasks.retraining.foreign_alerts import RECEIVED, receive

Endpoint = Callable[[Request], Awaitable[Response]]
TOKEN = "HEADRACE_RECEIVER_TOKEN"  # nosec B105 # the name of a variable
"""Variable with the token; with `_FILE` behind it, a file that holds it. None: one is made."""
_LONGEST = 1 << 20
"""Bytes of a body at most."""
_LEAST = 12
"""Characters of a token at least."""


def token_file() -> Path:
    """Where the token is kept that was made here."""
    return home().root / "receiver.json"


def token() -> str:
    """The token that a sender has to know: given by the environment, or made once and kept.

    Raises:
        UsageError: the file that should hold it can't be read, or the token is too short.
    """
    given, where = os.environ.get(TOKEN), TOKEN
    if path := os.environ.get(f"{TOKEN}_FILE"):
        where = f"{TOKEN}_FILE"
        try:
            given = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise UsageError(f"{where}={path}: it can't be read", "name a text file") from None
    if given is not None:
        if len(given) < _LEAST:
            raise UsageError(f"{where}: fewer than {_LEAST} characters", "give a longer token")
        return given
    if not token_file().exists():
        storage.write_private(token_file(), {"token": secrets.token_urlsafe(32)})
    return str(storage.read_json(token_file())["token"])


def application(word: str, shared: Shared) -> Starlette:
    """The web application.

    Args:
        word: the token.
        shared: for the model that the alerts are on.
    """

    def guarded(answer: Endpoint) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            if not _knows(request.headers.get("authorization", ""), word):
                headers = {"www-authenticate": "Bearer"}
                hint = f"send `Authorization: Bearer TOKEN`; the token: {token_file()}"
                return _refused(401, "no token, or a wrong one", hint, headers)
            try:
                return await answer(request)
            except UnansweredError as error:
                return _refused(503, error.message, error.hint)
            except (UsageError, InputError) as error:
                return _refused(422, error.message, error.hint)
            except HeadraceError as error:
                return _refused(500, error.message, error.hint)

        return endpoint

    def taking(sender: str) -> Route:
        async def take(request: Request) -> Response:
            body = await _body(request)
            window = request.query_params.get("window")
            receipts = await run_in_threadpool(receive, sender, body, window, shared)
            for alert in receipts:
                state = "sent" if alert.sent else f"waits: {alert.why}"
                console.say(
                    visible(f"{sender}: alert for {alert.window or 'the inboxes'}: {state}")
                )
            return JSONResponse({"alerts": [asdict(alert) for alert in receipts]})

        return Route(f"/{sender}", guarded(take), methods=["POST"])

    async def metrics(_: Request) -> Response:
        text = await run_in_threadpool(exposition, shared)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def fault(_: Request, error: Exception) -> Response:
        explained = faults.explained(error)
        return _refused(500, explained.message, explained.hint)

    routes = [*map(taking, RECEIVED), Route("/metrics", guarded(metrics))]
    return Starlette(routes=routes, exception_handlers={Exception: fault})


async def _body(request: Request) -> JsonValue:
    """The JSON that was sent, read no further than it may be long."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > _LONGEST:
            raise UsageError(f"more than {_LONGEST:,} bytes", "send fewer alerts at once")
        parts.append(part)
    try:
        return cast("JsonValue", json.loads(b"".join(parts)))
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError("the body is no JSON", "send what the monitor's webhook sends") from None


def _knows(header: str, word: str) -> bool:
    """Whether an Authorization header holds the token."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "basic":
        try:
            _, _, value = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return secrets.compare_digest(value.strip().encode(), word.encode())


def _refused(
    status: int, message: str, hint: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "hint": hint}}, status, headers)


def serve(port: int, shared: Shared) -> None:
    """Listen on loopback until the process is ended.

    Raises:
        UsageError: the port is taken, or the token isn't fit.
    """
    app = application(token(), shared)
    config = uvicorn.Config(app, HOST, port, log_config=None, access_log=False, server_header=False)
    try:
        socket = config.bind_socket()
    except SystemExit:
        raise UsageError(f"port {port} is taken", "give another: --port N") from None
    source = TOKEN if TOKEN in os.environ else os.environ.get(f"{TOKEN}_FILE", str(token_file()))
    console.say(f"listening on http://{HOST}:{port}: POST {', '.join(f'/{s}' for s in RECEIVED)}; "
                f"GET /metrics; the token: {visible(source)}")  # fmt: skip
    uvicorn.Server(config).run(sockets=[socket])
