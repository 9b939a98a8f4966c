"""Prefect's HTTP API where importing Prefect's client would cost seconds."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from headrace.infra.errors import HeadraceError
from headrace.infra.home import home

BUSY = 503


def _log() -> Path:
    return home().logs / "stack" / "prefect.log"


def request(
    api: str, method: str, path: str, body: Any, allow: tuple[int, ...] = (), tries: int = 20
) -> Any:
    """What the server at `api` (…/api) answers, as JSON; None for a status in `allow`.

    A server that is busy (503: its database was locked, and nothing was done) is asked again.

    Raises:
        HeadraceError: it doesn't answer, or refuses.
    """
    call = urllib.request.Request(
        api + path,
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(call, timeout=30) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        if error.code in allow:
            return None
        if error.code == BUSY and tries > 1:
            time.sleep(1)
            return request(api, method, path, body, allow, tries - 1)
        raise HeadraceError(
            f"Prefect answers {error.code} to {method} {path}", f"see its log {_log()}"
        ) from None
    except OSError as error:
        cause = getattr(error, "reason", error)
        raise HeadraceError(
            f"Prefect at {api} does not answer: {cause}",
            f"`headrace up` starts what has died; its log is {_log()}",
        ) from None
    return json.loads(said) if said else None
