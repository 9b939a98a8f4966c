"""Prefect's HTTP API where importing Prefect's client would cost seconds."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from headrace.infra import servers
from headrace.infra.addresses import shown
from headrace.infra.errors import HeadraceError
from headrace.infra.home import home

BUSY = 503
_SECONDS = 90.0
"""On a busy machine a write to SQLite waits for others for up to a minute."""


def _log() -> Path:
    return home().logs / "stack" / "prefect.log"


def _see_log(server: servers.Server) -> str:
    if not server.own:
        return f"check {servers.PREFECT}; its own log says more"
    return f"`headrace up` starts what has died; its log is {_log()}"


def request(
    api: str, method: str, path: str, body: Any, allow: tuple[int, ...] = (), tries: int = 20
) -> Any:
    """What the server at `api` (…/api) answers, as JSON; None for a status in `allow`.

    It is shown the credentials that this process's environment has for it (servers.join). A server
    that is busy (503: its database was locked, and nothing was done) is asked again.

    Raises:
        HeadraceError: it doesn't answer, or refuses.
    """
    server = servers.joined_prefect(os.environ, api)
    call = urllib.request.Request(
        api + path,
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json", **server.headers},
        method=method,
    )
    try:
        with urllib.request.urlopen(call, timeout=_SECONDS, context=server.tls) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        if error.code in allow:
            return None
        if error.code == BUSY and tries > 1:
            time.sleep(1)
            return request(api, method, path, body, allow, tries - 1)
        if error.code in (401, 403):
            raise HeadraceError(
                f"Prefect at {shown(api)} refuses the credentials ({error.code})",
                servers.prefect_login(server),
            ) from None
        raise HeadraceError(
            f"Prefect answers {error.code} to {method} {path}", _see_log(server)
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HeadraceError(
            f"Prefect at {shown(api)} does not answer: {servers.why(error)}", _see_log(server)
        ) from None
    try:
        return json.loads(said) if said else None
    except ValueError:
        raise HeadraceError(
            f"Prefect at {shown(api)} answers with a page, not as its API does", _see_log(server)
        ) from None
